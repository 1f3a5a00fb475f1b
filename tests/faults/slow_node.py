"""A node is lost, and one of those that make its copies anew is ten times slower than the others: idle nodes steal.

Four times the same repair: all nodes equally fast; without the slow node's share (the plan gives it nothing, and the
others do all of it: the measure); one slow, and idle nodes steal; one slow, stealing forbidden. Every copy takes a
fixed time, four at once on each node, so that the repair's time is the jobs' and not this machine's.

    python -m tests.faults.slow_node --files 1500
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from fluffy.core.metadata import queries
from tests.faults.drill import judge
from tests.faults.timed_reads import upload
from tests.support.cluster import Cluster
from tests.support.states import copy_state

NODES = 5
FILE_BYTES = 20_000
CLUSTER = {"repair": {"mode": "fast", "down_after": "4s", "grace": "1s"}}
DELAY_S = 0.2
SLOWER = 10
SLOW_NODE = "four"
SLOW_NO = 1 + ("one", "two", "three", "four", "five").index(SLOW_NODE)
# "Within 1.3 times the time without the slow node's share": of what the three others need for all of it.
ALLOWED_RATIO = 1.3
TIMEOUT_S = 300.0


@dataclass(slots=True)
class Run:
    """`jobs`: copies that had to be made. `took_s`: from the first job in a queue to the last copy."""

    took_s: float
    jobs: int
    done: dict[str, int] = field(default_factory=dict)
    stolen: int = 0


@dataclass(slots=True)
class Report:
    even: Run
    without: Run
    stealing: Run
    forbidden: Run

    @property
    def reference_s(self) -> float:
        """What the other nodes needed for all of it, for as many copies: the nodes that are lost may differ."""
        return self.without.took_s * self.stealing.jobs / max(1, self.without.jobs)

    def lines(self) -> list[str]:
        rows = (("all equally fast", self.even), ("without the slow node's share", self.without),
                (f"one {SLOWER} times slower, idle nodes steal", self.stealing),
                (f"one {SLOWER} times slower, stealing forbidden", self.forbidden))
        lines = [f"{what:<46} {run.took_s:6.1f} s for {run.jobs} copies; stolen {run.stolen}; done by each: {run.done}"
                 for what, run in rows]
        forbidden_s = self.forbidden.took_s * self.stealing.jobs / max(1, self.forbidden.jobs)
        return [*lines, f"without the slow node's share {self.reference_s:.1f} s for as many copies; with stealing "
                        f"{self.stealing.took_s / self.reference_s:.2f} times that (allowed {ALLOWED_RATIO}), "
                        f"without stealing {forbidden_s / self.reference_s:.2f} times"]

    def verify(self, slack: float = 1.0) -> None:
        allowed_s = slack * ALLOWED_RATIO * self.reference_s
        assert self.without.done.get(SLOW_NODE, 0) == 0, "it was to have no share"
        assert self.stealing.took_s <= allowed_s, f"{self.stealing.took_s:.1f} s, allowed {allowed_s:.1f} s"
        assert self.stealing.stolen > 0 and self.forbidden.stolen == 0
        assert self.forbidden.took_s > 1.5 * self.stealing.took_s, "stealing made no difference"


def run(folder: Path, seed: int, files: int, delay_s: float = DELAY_S) -> Report:
    return Report(repair(folder / "even", seed, files, delay_s),
                  repair(folder / "without", seed, files, delay_s, spared=True),
                  repair(folder / "stealing", seed, files, delay_s, slow=True),
                  repair(folder / "forbidden", seed, files, delay_s, slow=True, steals=False))


def repair(folder: Path, seed: int, files: int, delay_s: float, *, slow: bool = False, steals: bool = True,
           spared: bool = False) -> Run:
    """`spared`: the slow node neither gets nor takes jobs."""
    with Cluster(folder, nodes=NODES, cluster=CLUSTER) as cluster:
        for name in cluster.names:
            delay_ms = round(delay_s * 1000) * (SLOWER if slow and name == SLOW_NODE else 1)
            options = [f"--job-delay {delay_ms}ms", *([f"--spare {SLOW_NO}"] if spared else [])]
            if not steals or (spared and name == SLOW_NODE):
                options.append("--no-steal")
            cluster.env["FLUFFY_KEEPER_OPTIONS"] = " ".join(options)
            cluster.start(name)
        cluster.wait_ready()
        leader = cluster.leader()
        lost = next(name for name in reversed(cluster.names) if name not in (leader, SLOW_NODE))
        cluster.wait_until(lambda: _weights_known(cluster, leader), 20.0, "the map has everybody's weight")
        for name in cluster.names:  # a node through which a file comes keeps a copy
            upload(cluster, name, f"admin/{name}{seed}", files // NODES, FILE_BYTES, random.Random(f"{seed}/{name}"))
        cluster.wait_until(lambda: _short(cluster, leader, None) == 0, 60.0, "all copies of the files")
        jobs = _short(cluster, leader, lost)
        cluster.kill(lost)
        cluster.wait_until(lambda: _queued(cluster, leader) > 0, 60.0, "the plan fills the queues")
        started_s = time.monotonic()
        cluster.wait_until(lambda: _short(cluster, leader, lost) == 0, TIMEOUT_S, "all copies are made anew")
        run = Run(time.monotonic() - started_s, jobs)
        with closing(copy_state(cluster.node_dir(leader))) as db:
            names = {record.node_no: record.name for record in queries.node_records(db)}
            for queue in queries.queues(db):
                run.done[names[queue.node_no]] = queue.done
                run.stolen += queue.stolen_in
    return run


def _weights_known(cluster: Cluster, asked: str) -> bool:
    with closing(copy_state(cluster.node_dir(asked))) as db:
        return all(node.state == "up" and node.weight > 1 for node in queries.placement_map(db).nodes)


def _short(cluster: Cluster, asked: str, lost: str | None) -> int:
    """Chunks that have too few copies when those on the lost node do not count."""
    with closing(copy_state(cluster.node_dir(asked))) as db:
        away = [record.node_no for record in queries.node_records(db) if record.name == lost]
        return len(queries.chunks_short(db, 0, away, rows_max=1_000_000, found_max=1_000_000).chunks)


def _queued(cluster: Cluster, asked: str) -> int:
    with closing(copy_state(cluster.node_dir(asked))) as db:
        return sum(queue.load.queued + queue.load.leased + queue.done for queue in queries.queues(db))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluffy-drill-") as temporary:
        print(f"seed {given.seed}, {NODES} nodes in {temporary}", flush=True)
        report = run(Path(temporary), given.seed, given.files)
    print("\n".join(report.lines()))
    judge(report)


if __name__ == "__main__":
    main()
