"""Figures of the log: how many file-creating commands it commits, how long one takes, what one costs."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop

from benchmarks import bare_commit
from benchmarks.quiet import QuietRounds
from benchmarks.report import Figure
from benchmarks.stage import cpu_of_cluster, cpu_of_tree, reference
from fluffy.core.metadata.commands import PutFile
from tests.support.cluster import Cluster
from tests.support.loader import propose_all, put_command

IN_FLIGHT = 256
INLINE_BYTES = 100

Say = Callable[[str], None]


def commits(cluster: Cluster, folder: Path, rounds: QuietRounds, seconds: float, say: Say) -> list[Figure]:
    text = "three bare processes: batches copied, appended, fdatasynced, inserted into a table; no agreement, no checks"
    rate = Figure("commit x256", "/s", True, 4_000, text, goal_is_absolute=True)
    single = Figure("commit, one at a time, p50", "ms", False, 5.0, text, goal_is_absolute=True)
    cost = Figure("commit x256, CPU per node", "us", False, None, text, note="log process, mean of the three nodes")
    leader = cluster.leader()
    socket_path = cluster.node_dir(leader) / "run" / "log.sock"
    bare_socket, numbers = folder / "bare.sock", itertools.count()
    record = os.urandom(INLINE_BYTES + 150)
    with reference("benchmarks.bare_commit", str(bare_socket), str(folder / "bare-log"), ready=bare_socket) as bare_pid:
        for number in rounds.run():
            before_s = cpu_of_tree(bare_pid)
            rate.bare.append(uvloop.run(bare_commit.drive(bare_socket, record, IN_FLIGHT, seconds))[0])
            cost.bare.append((cpu_of_tree(bare_pid) - before_s) * 1e6 / (rate.bare[-1] * seconds) / len(cluster.names))
            before = cpu_of_cluster(cluster)["log"]
            started_s = time.perf_counter()
            accepted = len(uvloop.run(propose_all(socket_path, _creations(number, numbers), IN_FLIGHT,
                                                  started_s + seconds)))
            rate.ours.append(accepted / (time.perf_counter() - started_s))
            cost.ours.append((cpu_of_cluster(cluster)["log"] - before) * 1e6 / accepted / len(cluster.names))
            single.bare.append(statistics.median(
                uvloop.run(bare_commit.drive(bare_socket, record, 1, seconds / 2))[1]))
            single.ours.append(statistics.median(uvloop.run(propose_all(
                socket_path, _creations(number, numbers), 1, time.perf_counter() + seconds / 2))))
            say(f"log, round {number + 1}: {rate.ours[-1]:,.0f} ({rate.bare[-1]:,.0f}) commits/s, one alone "
                f"{single.ours[-1]:.2f} ({single.bare[-1]:.2f}) ms, {cost.ours[-1]:.0f} us CPU per node")
    return rounds.keep([rate, single, cost])


def _creations(run: int, numbers: Iterator[int]) -> Iterator[PutFile]:
    for number in numbers:
        yield put_command(f"admin/bench/commit{run}/f{number:08}", number.to_bytes(8, "little") + os.urandom(92))
