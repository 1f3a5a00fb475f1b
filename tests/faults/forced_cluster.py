"""The majority is lost for good: a survivor goes on alone with the newest data, and the lost ones can never come back.

    python -m tests.faults.forced_cluster --files 200
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

from tests.faults.backup_restore import digest_of, fluffy, uuid_of
from tests.faults.disaster_tree import client_of, differences, plant
from tests.faults.drill import drill_main
from tests.support.cluster import Cluster

STAY_OUT_S = 6.0


@dataclass(slots=True)
class Report:
    files: int = 0
    force_s: float = 0.0
    pause_s: float = 0.0
    digests: list[str] = field(default_factory=list)
    uuids: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    old_one_was_let_in: bool = False
    refused_alone: int = 0

    def lines(self) -> list[str]:
        return [f"files: {self.files:,}; forcing took {self.force_s:.1f} s, ready after {self.pause_s:.1f} s",
                f"tree before and after: {self.digests[0][:16]} {self.digests[1][:16]}",
                f"members after: {self.members}; a lost node that came back was let in: {self.old_one_was_let_in}",
                f"wrong files: {len(self.wrong)}", *self.wrong[:10]]

    def verify(self, slack: float = 1.0) -> None:
        assert self.digests[0] == self.digests[1], "the tree is another one"
        assert not self.wrong, f"{len(self.wrong)} files are not as they were: {self.wrong[0]}"
        assert self.uuids[0] != self.uuids[1] and len(self.members) == 1
        assert not self.old_one_was_let_in, "a node of the lost cluster disturbs the new one"
        assert self.refused_alone == 503, "without a majority a write must not have been acknowledged"


async def run(cluster: Cluster, rounds: int, seed: int, files: int = 60) -> Report:
    return await asyncio.to_thread(_run, cluster, seed, files)


def _run(cluster: Cluster, seed: int, files: int) -> Report:
    report = Report()
    tree = plant(cluster, seed, files)
    report.files = len(tree.files)
    report.digests.append(digest_of(cluster)["digest"])
    report.uuids.append(uuid_of(cluster))
    survivor, *lost = cluster.names
    cluster.kill(*lost)
    cluster.wait_until(lambda: _refused(cluster, survivor) == 503, 30.0, "a write is refused")
    report.refused_alone = _refused(cluster, survivor)
    cluster.kill(survivor)
    began_s = time.monotonic()
    told = json.loads(fluffy(cluster, "admin", "force-new-cluster", survivor, "--yes", "--json").stdout)
    report.force_s = time.monotonic() - began_s
    assert sorted(told["left_out"]) == sorted(lost), told
    began_s = time.monotonic()
    cluster.start_ready(survivor)
    report.pause_s = time.monotonic() - began_s
    report.uuids.append(uuid_of(cluster))
    report.digests.append(digest_of(cluster)["digest"])
    with client_of(cluster) as client:
        client.put("/alice/after", b"after")
    cluster.start(*lost)
    time.sleep(STAY_OUT_S)
    status = cluster.json(survivor, "/v1/status")
    report.members = [node["name"] for node in status["nodes"]]
    report.old_one_was_let_in = any(node["connected"] for node in status["nodes"] if node["name"] != survivor) or (
        status["leader"] != survivor)
    cluster.kill(*lost)
    report.wrong = differences(cluster, tree)
    return report


def _refused(cluster: Cluster, name: str) -> int:
    try:
        return cluster.request(name, "PUT", "/v1/files/alice/refused", b"x", timeout_s=15.0)[0]
    except OSError:
        return 0


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, arguments={"files": (int, 200, "how many files the tree is made of")})
