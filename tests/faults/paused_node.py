"""A storage node is stopped (SIGSTOP) under reads: after three seconds readers hardly notice that it is gone.

Four nodes with two copies of each file, so that most reads go to another node, and half of those to the stopped one.

    python -m tests.faults.paused_node --seconds 30
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

from tests.faults.drill import drill_main
from tests.faults.timed_reads import Readers, p99, upload
from tests.support.cluster import Cluster

# Small ones are one chunk that a peer sends in one answer; large ones have several.
SIZES = {"small": 40_000, "large": 3_000_000}
FILES = {"small": 150, "large": 12}
# Without a cache: every read that finds no copy on its own disk asks a peer.
CLUSTER = {"chunk_size": "1MiB", "replication": 2, "write_quorum": 1, "cache_size": "0", "repair": {
    "mode": "quiet", "down_after": "60s", "grace": "1h"}}
SUSPECT_WITHIN_S = 3.0
# The map must be read as well: it is asked for over HTTP, ten times a second.
LOOK_S = 0.5
ALLOWED_RATIO = 2.0
# Of a p99 of a few milliseconds twice as much is what one busy moment of the machine makes.
NOISE_MS = 15.0


@dataclass(slots=True)
class Report:
    suspect_s: list[float] = field(default_factory=list)
    normal_ms: dict[str, list[float]] = field(default_factory=dict)
    first_ms: dict[str, list[float]] = field(default_factory=dict)
    after_ms: dict[str, list[float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        lines = [f"suspect in the published map after: worst {max(self.suspect_s):.1f} s"]
        for kind in SIZES:
            normal, first, after = (sorted(times[kind]) for times in (self.normal_ms, self.first_ms, self.after_ms))
            lines.append(
                f"{kind}: p99 normal {p99(normal):.1f} ms ({len(normal)} reads), first 3 s of the pause "
                f"{p99(first):.1f} ms ({len(first)}), after them {p99(after):.1f} ms ({len(after)}); "
                f"ratio {p99(after) / p99(normal):.2f}")
        return [*lines, f"problems: {len(self.problems)}", *self.problems[:10]]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems[:10]
        assert max(self.suspect_s) <= slack * (SUSPECT_WITHIN_S + LOOK_S), self.suspect_s
        for kind in SIZES:
            normal, after = p99(sorted(self.normal_ms[kind])), p99(sorted(self.after_ms[kind]))
            allowed = slack * max(ALLOWED_RATIO * normal, normal + NOISE_MS)
            assert after <= allowed, f"{kind}: p99 {normal:.1f} ms before, {after:.1f} ms while a node stood still"


async def run(cluster: Cluster, rounds: int, seed: int, seconds: int = 30) -> Report:
    """The cluster is ready before and after."""
    report = Report()
    for number in range(rounds):
        await asyncio.to_thread(_round, cluster, random.Random(f"{seed}/{number}"), f"admin/pause{seed}-{number}",
                                seconds, report)
    return report


def _round(cluster: Cluster, rng: random.Random, folder: str, seconds: int, report: Report) -> None:
    leader = cluster.leader()
    paused = rng.choice([name for name in cluster.names if name != leader])
    others = [name for name in cluster.names if name != paused]
    kinds = {kind: upload(cluster, leader, f"{folder}/{kind}", FILES[kind], size, rng) for kind, size in SIZES.items()}
    normal_s = max(3.0, seconds / 2)
    with Readers(cluster, others, kinds, rng.randrange(1 << 30)) as readers:
        time.sleep(1.0)
        began_s = time.monotonic()
        time.sleep(normal_s)
        paused_s = time.monotonic()
        cluster.pause(paused)
        report.suspect_s.append(cluster.wait_until(
            lambda: _state(cluster, leader, paused) == "suspect", 10.0, "the stopped node is suspect"))
        time.sleep(max(0.0, paused_s + seconds - time.monotonic()))
        end_s = time.monotonic()
        cluster.resume(paused)
    for kind, reads in readers.reads.items():
        report.problems += reads.problems
        for times, span in ((report.normal_ms, (began_s, paused_s - 0.5)),
                            (report.first_ms, (paused_s, paused_s + SUSPECT_WITHIN_S)),
                            (report.after_ms, (paused_s + SUSPECT_WITHIN_S, end_s))):
            times.setdefault(kind, []).extend(reads.between(*span))
    cluster.wait_until(lambda: _state(cluster, leader, paused) == "up", 90.0, "the resumed node is up")


def _state(cluster: Cluster, asked: str, node: str) -> str:
    return next(line["state"] for line in cluster.json(asked, "/v1/nodes")["nodes"] if line["name"] == node)


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, nodes=4, cluster=CLUSTER,
               arguments={"seconds": (int, 30, "for how long the node stands still")})
