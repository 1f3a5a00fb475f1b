"""Kill -9 the leader's whole node, again and again, under load; nothing acknowledged may be lost or doubled.

    python -m tests.faults.leader_kills --rounds 20
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field

from tests.faults.checks import check_feed, check_files, settle
from tests.faults.drill import drill_main
from tests.faults.recorder import Load, Record
from tests.support.cluster import Cluster

GAP_MEDIAN_MAX_S = 2.0
GAP_WORST_MAX_S = 4.0
# Longer than the worst gap may be, so that a gap is seen to its end.
AFTER_KILL_S = 6.0
ACKS_BETWEEN_KILLS = 40


@dataclass(slots=True)
class Report:
    record: Record
    gaps_s: list[float] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    files_read: int = 0
    digest: str = ""

    def lines(self) -> list[str]:
        record = self.record
        return [
            f"leaders killed: {len(self.killed)} ({', '.join(self.killed)})",
            f"acknowledged writes: {record.acked}; open: {record.open_writes}; reads: {record.reads}; "
            f"repeated attempts: {record.retries}",
            f"write gap: median {statistics.median(self.gaps_s):.2f} s, worst {max(self.gaps_s):.2f} s "
            f"(all: {' '.join(f'{gap:.2f}' for gap in self.gaps_s)})",
            f"write latency without kills counted: median {statistics.median(record.write_ms):.1f} ms",
            f"files compared through every node: {self.files_read}; digest of all states: {self.digest[:16]}",
            f"violations: {len(record.violations)}", *record.violations]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.record.violations, self.record.violations
        assert statistics.median(self.gaps_s) < slack * GAP_MEDIAN_MAX_S, self.gaps_s
        assert max(self.gaps_s) < slack * GAP_WORST_MAX_S, self.gaps_s


async def run(cluster: Cluster, rounds: int, seed: int, writers: int = 8) -> Report:
    """The cluster is ready before and after."""
    async with Load(cluster.urls(), cluster.token, seed, writers=writers, readers=2) as load:
        report = Report(load.record)
        for _ in range(rounds):
            await load.until_acked(ACKS_BETWEEN_KILLS)
            leader = await asyncio.to_thread(cluster.leader)
            killed_s = time.monotonic()
            await asyncio.to_thread(cluster.kill, leader)
            report.killed.append(leader)
            await asyncio.sleep(max(0.0, killed_s + AFTER_KILL_S - time.monotonic()))
            report.gaps_s.append(load.record.longest_gap_s(killed_s, time.monotonic()))
            await asyncio.to_thread(cluster.start_ready, leader)
    report.digest = await asyncio.to_thread(settle, cluster)
    for node in cluster.names:
        await asyncio.to_thread(check_feed, load.record, cluster, node)
    report.files_read = await asyncio.to_thread(check_files, load.record, cluster, cluster.names)
    return report


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=20)
