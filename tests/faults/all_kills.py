"""Kill -9 all nodes at one instant under load, half of the times while a checkpoint is being made.

    python -m tests.faults.all_kills --rounds 20
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.checks import check_feed, check_files, settle
from tests.faults.drill import drill_main
from tests.faults.recorder import Load, Record
from tests.support.cluster import Cluster
from tests.support.loader import load_files

ACKS_BETWEEN_KILLS = 60
COPY_WAIT_S = 2.0
# Log entries between automatic checkpoints: several in each round, so compaction is under way all the time.
CLUSTER = {"checkpoint": {"entries": 200}}


@dataclass(slots=True)
class Report:
    record: Record
    rounds: int
    with_checkpoint: int = 0
    back_s: list[float] = field(default_factory=list)
    files_read: int = 0
    digest: str = ""

    def lines(self) -> list[str]:
        record = self.record
        return [
            f"all nodes killed: {self.rounds} times, {self.with_checkpoint} of them during a checkpoint",
            f"acknowledged writes: {record.acked}; open: {record.open_writes}; reads: {record.reads}; "
            f"repeated attempts: {record.retries}",
            f"ready again after: worst {max(self.back_s):.1f} s",
            f"files compared through every node: {self.files_read}; digest of all states: {self.digest[:16]}",
            f"violations: {len(record.violations)}", *record.violations]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.record.violations, self.record.violations
        # A copy may end between the look and the kill; but if none was ever caught, the drill shows nothing.
        assert self.with_checkpoint >= max(1, self.rounds // 4), "no checkpoint was running when the nodes were killed"


async def _checkpoint_everywhere(cluster: Cluster) -> list[asyncio.Task[object]]:
    """Ask all nodes for a checkpoint without waiting for the answers."""
    return [asyncio.create_task(asyncio.to_thread(_checkpoint, cluster, name)) for name in cluster.names]


def _unfinished_copies(cluster: Cluster) -> list[Path]:
    return [path for name in cluster.names for path in (cluster.node_dir(name) / "checkpoints").glob("*.tmp")]


def _wait_for_copy(cluster: Cluster) -> None:
    """Until a node has begun to write a checkpoint; not for ever, it may be done before we look."""
    until_s = time.monotonic() + COPY_WAIT_S
    while time.monotonic() < until_s and not _unfinished_copies(cluster):
        time.sleep(0.001)


def _checkpoint(cluster: Cluster, name: str) -> object:
    try:
        return cluster.request(name, "POST", "/v1/admin/checkpoint", b"", timeout_s=10.0)
    except OSError as error:
        return error  # killed while it worked: that is the point


async def run(cluster: Cluster, rounds: int, seed: int, files: int = 20_000, writers: int = 8) -> Report:
    """The cluster is ready before and after. `files` in the metadata make a checkpoint take its time."""
    rng = random.Random(seed)
    leader = await asyncio.to_thread(cluster.leader)
    await load_files(cluster.node_dir(leader) / "run" / "log.sock", files, f"admin/ballast{seed}", lambda _: None)
    async with Load(cluster.urls(), cluster.token, seed, writers=writers, readers=1) as load:
        report = Report(load.record, rounds)
        for number in range(rounds):
            await load.until_acked(ACKS_BETWEEN_KILLS)
            asked: list[asyncio.Task[object]] = []
            if number % 2 == 0:
                asked = await _checkpoint_everywhere(cluster)
                await asyncio.to_thread(_wait_for_copy, cluster)
                await asyncio.sleep(rng.uniform(0.0, 0.004))
            await asyncio.to_thread(cluster.kill, *cluster.names)
            if asked:
                report.with_checkpoint += bool(_unfinished_copies(cluster))
            started_s = time.monotonic()
            await asyncio.to_thread(cluster.start_ready)
            report.back_s.append(time.monotonic() - started_s)
            await asyncio.gather(*asked)
    report.digest = await asyncio.to_thread(settle, cluster)
    for node in cluster.names:
        await asyncio.to_thread(check_feed, load.record, cluster, node)
    report.files_read = await asyncio.to_thread(check_files, load.record, cluster, cluster.names)
    return report


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=20, cluster=CLUSTER,
               arguments={"files": (int, 20_000, "files in the metadata before")})
