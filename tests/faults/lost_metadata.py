"""All metadata deleted on all nodes: what the disks hold comes back with owners, tags, generations; the rest is named.

    python -m tests.faults.lost_metadata --files 1000
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from fluffy.drivers.manifest_files import ManifestShelf
from fluffy.services.keeper.manifests import PEOPLE_EVERY_S
from fluffy.wire.manifest_records import Damage, read_segment
from tests.faults.backup_restore import digest_of, fluffy, log_in, uuid_of
from tests.faults.disaster_tree import Tree, client_of, differences, plant
from tests.faults.drill import drill_main
from tests.support.cluster import Cluster

CATCH_UP_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Report:
    files: int = 0
    bytes: int = 0
    manifest_bytes: int = 0
    lag_s: float = 0.0
    restore_s: float = 0.0
    refusals: list[int] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    can_log_in: bool = False
    new_uuid: bool = False

    def lines(self) -> list[str]:
        sums = self.said.get("salvaged") or {}
        return [
            f"files: {self.files:,} of {self.bytes:,} bytes; manifests: {self.manifest_bytes:,} bytes a node, level "
            f"with the tree {self.lag_s:.1f} s after the last change",
            f"nodes without a log refused to start with {self.refusals}",
            f"restored from storage in {self.restore_s:.1f} s, {self.files / max(0.01, self.restore_s):.0f} files/s: "
            f"{sums}",
            f"files all of whose copies were damaged: {len(self.lost)}; named: {len(self.said.get('lost', []))}",
            f"people before and after: {self.before.get('people', '')[:16]} {self.after.get('people', '')[:16]}",
            f"wrong files: {len(self.wrong)}", *self.wrong[:10]]

    def verify(self, slack: float = 1.0) -> None:
        assert set(self.refusals) == {78}, "a node that lost its log started"
        assert not self.wrong, f"{len(self.wrong)} files are not as they were: {self.wrong[0]}"
        assert {line["path"] for line in self.said["lost"]} == self.lost, "not exactly the lost files were named"
        assert self.before["people"] == self.after["people"], "people, grants, rules or quotas are others"
        assert self.after["files"] == self.before["files"] - len(self.lost), "there are more or fewer files"
        assert self.can_log_in, "a password of before does not work"
        assert self.new_uuid, "the cluster is the old one"


async def run(cluster: Cluster, rounds: int, seed: int, files: int = 120) -> Report:
    return await asyncio.to_thread(_run, cluster, seed, files)


def _run(cluster: Cluster, seed: int, files: int) -> Report:
    report = Report()
    tree = plant(cluster, seed, files)
    report.files, report.bytes, report.before = len(tree.files), tree.bytes, digest_of(cluster)
    old_uuid = uuid_of(cluster)
    report.lag_s = cluster.wait_until(lambda: _level(cluster), CATCH_UP_TIMEOUT_S, "manifests are level")
    time.sleep(2 * PEOPLE_EVERY_S + 5.0)  # a busy machine's keepers come later
    cluster.kill_all()
    report.manifest_bytes = sum(stock.bytes for stock in ManifestShelf(cluster.node_dir("one")).stocks())
    _forget_everything(cluster)
    report.lost = _damage(cluster, tree)
    cluster.start()
    report.refusals = [cluster.exit_code(name) for name in cluster.names]
    for name in cluster.names:
        fluffy(cluster, "admin", "reset-node", name, "--yes")
    cluster.start_ready()
    began_s = time.monotonic()
    report.said = json.loads(fluffy(cluster, "admin", "restore", "--from-storage", "--json", ok=(0, 1)).stdout)
    report.restore_s = time.monotonic() - began_s
    report.after = digest_of(cluster)
    report.new_uuid = uuid_of(cluster) != old_uuid
    report.wrong = differences(cluster, tree, without=frozenset(report.lost))
    report.can_log_in = log_in(cluster)
    with client_of(cluster) as client:
        client.put("/alice/after", b"after")
    return report


def _level(cluster: Cluster) -> bool:
    """Whether every node's manifests reach as far as its state; people are looked at every few seconds."""
    for name in cluster.names:
        seq = cluster.json(name, "/v1/status")["seq"]
        [stock] = ManifestShelf(cluster.node_dir(name)).stocks()
        data = ManifestShelf(cluster.node_dir(name)).segment(stock.cluster_uuid, stock.segments[-1])
        marks = [record.seq for _, record in read_segment(data, Damage()) if type(record).__name__ == "MarkManifest"]
        if not marks or marks[-1] < seq:
            return False
    return True


def _forget_everything(cluster: Cluster) -> None:
    """Log, databases and checkpoints of all nodes."""
    for name in cluster.names:
        folder = cluster.node_dir(name)
        for path in (*folder.glob("meta*"), *folder.glob("search*")):
            path.unlink()
        for kind in ("log", "checkpoints"):
            shutil.rmtree(folder / kind)


def _damage(cluster: Cluster, tree: Tree) -> set[str]:
    """Flip a byte in every copy of one chunk, and in one copy of another; the paths that must be named."""
    large = [path for path, known in tree.files.items() if len(known.data) > 100_000 and known.generation == 1][:2]
    for number, path in enumerate(large):
        name = blake3(tree.files[path].data).hexdigest()
        for node in cluster.names[:1] if number else cluster.names:
            file = cluster.node_dir(node) / "chunks" / name[:2] / name[2:4] / name
            if file.exists():
                data = bytearray(file.read_bytes())
                data[5_000] ^= 0xFF
                file.write_bytes(data)
    return set(large[:1])


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, arguments={"files": (int, 1000, "how many files the tree is made of")})
