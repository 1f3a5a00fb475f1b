"""A follower that was away while the log was compacted catches up from a checkpoint while writes go on.

    python -m tests.faults.lagging_follower --rounds 1 --files 20000
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fluffy.core.metadata.commands import PutFile
from tests.faults.checks import settle
from tests.faults.drill import drill_main
from tests.support.cluster import Cluster
from tests.support.loader import creations, load_files, propose_all

COMMIT_MAX_MS = 500.0
# Entries behind a checkpoint that the log keeps for followers: one must be further behind to need a checkpoint.
BEHIND_ENTRIES = 1_500
CATCH_UP_TIMEOUT_S = 120.0
WRITERS = 8
# The next checkpoint comes when we ask for it, not while we measure something else.
CLUSTER = {"checkpoint": {"entries": 10_000_000}}


@dataclass(slots=True)
class Report:
    files: int
    catch_up_s: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    received: int = 0
    digest: str = ""

    def lines(self) -> list[str]:
        ordered = sorted(self.latencies_ms)
        return [
            f"files in the metadata before: {self.files:,}",
            f"caught up after: worst {max(self.catch_up_s):.1f} s; checkpoints received: {self.received}",
            f"commits meanwhile: {len(ordered):,}, p50 {ordered[len(ordered) // 2]:.1f} ms, "
            f"p99 {ordered[len(ordered) * 99 // 100]:.1f} ms, longest {ordered[-1]:.0f} ms",
            f"digest of all states: {self.digest[:16]}"]

    def verify(self, slack: float = 1.0) -> None:
        assert self.received >= len(self.catch_up_s), "the follower caught up without a checkpoint"
        assert max(self.latencies_ms) <= slack * COMMIT_MAX_MS, f"a commit took {max(self.latencies_ms):.0f} ms"


def _socket(cluster: Cluster, node: str) -> Path:
    return cluster.node_dir(node) / "run" / "log.sock"


async def run(cluster: Cluster, rounds: int, seed: int, files: int = 2_000) -> Report:
    """The cluster is ready before and after."""
    report = Report(files)
    leader = await asyncio.to_thread(cluster.leader)
    await load_files(_socket(cluster, leader), files, f"admin/lag{seed}", lambda text: print(text, file=sys.stderr))
    for number in range(rounds):
        await _round(cluster, f"admin/lag{seed}-{number}", report)
    report.digest = await asyncio.to_thread(settle, cluster)
    return report


async def _round(cluster: Cluster, folder: str, report: Report) -> None:
    leader = await asyncio.to_thread(cluster.leader)
    follower = next(name for name in cluster.names if name != leader)
    received = len(cluster.log_lines(follower, "checkpoint.receiving"))
    await asyncio.to_thread(cluster.kill, follower)
    before = _commit_index(cluster, leader)
    start = 0
    while _commit_index(cluster, leader) - before < BEHIND_ENTRIES:
        await propose_all(_socket(cluster, leader), creations(500, folder, start), in_flight=2)
        start += 500
    await asyncio.to_thread(cluster.request, leader, "POST", "/v1/admin/checkpoint", b"", 60.0)
    started_s = time.monotonic()
    cluster.start(follower)
    async with asyncio.TaskGroup() as group:
        stop = asyncio.Event()
        writing = group.create_task(propose_all(
            _socket(cluster, leader), _until(stop, creations(10_000_000, folder, start)), WRITERS))
        await asyncio.to_thread(cluster.wait_ready, follower, timeout_s=CATCH_UP_TIMEOUT_S)
        report.catch_up_s.append(time.monotonic() - started_s)
        await asyncio.sleep(1.0)
        stop.set()
    report.latencies_ms += writing.result()
    report.received += len(cluster.log_lines(follower, "checkpoint.receiving")) - received


def _until(stop: asyncio.Event, commands: Iterator[PutFile]) -> Iterator[PutFile]:
    return itertools.takewhile(lambda _: not stop.is_set(), commands)


def _commit_index(cluster: Cluster, node: str) -> int:
    return int(cluster.json(node, "/v1/status")["log"]["commit_index"])


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, cluster=CLUSTER,
               arguments={"files": (int, 20_000, "files in the metadata before")})
