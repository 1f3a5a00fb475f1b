"""Figures of the log: how many file-creating commands it commits, how long one takes, what one costs."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop
from blake3 import blake3

from benchmarks import bare_commit
from benchmarks.report import Figure
from benchmarks.stage import cpu_of_cluster, reference
from fluffy.base.deadline import Deadline
from fluffy.base.hashing import etag_of
from fluffy.base.ids import NodeNo, UserNo, new_request_id
from fluffy.core.metadata.commands import Header, PutFile
from fluffy.drivers.log_client import LogClient
from tests.support.cluster import Cluster

IN_FLIGHT = 256
PROPOSE_TIMEOUT_S = 30.0
INLINE_BYTES = 100
ADMIN_NO = UserNo(1)

Say = Callable[[str], None]


def put_command(path: str, content: bytes) -> PutFile:
    """A file small enough to live in the metadata, as a gateway would propose it."""
    digest = blake3(content).digest()
    return PutFile(
        Header(new_request_id(), time.time_ns() // 1_000_000, NodeNo(1), ADMIN_NO), path, len(content), digest,
        etag_of(digest), "application/octet-stream", {}, {}, content, (), ())


async def propose_all(socket_path: Path, commands: Iterator[PutFile], in_flight: int,
                      until_s: float) -> tuple[int, list[float]]:
    """Keep `in_flight` proposals under way until the commands or the time end; (accepted, latencies in ms)."""
    client = LogClient(socket_path)
    latencies_ms: list[float] = []

    async def one_after_another() -> None:
        for command in commands:
            began_s = time.perf_counter()
            await client.propose(command, Deadline.after(PROPOSE_TIMEOUT_S))
            latencies_ms.append((time.perf_counter() - began_s) * 1000)
            if time.perf_counter() >= until_s:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(one_after_another())
    await client.close()
    return len(latencies_ms), latencies_ms


def commits(cluster: Cluster, folder: Path, rounds: int, seconds: float, say: Say) -> list[Figure]:
    text = "one process appending to a file, one fdatasync per turn: no agreement, no copies, no state"
    rate = Figure("commit x256", "/s", True, 4_000, text, goal_is_absolute=True)
    single = Figure("commit, one at a time, p50", "ms", False, 5.0, text, goal_is_absolute=True)
    cost = Figure("commit x256, CPU per node", "us", False, None, note="log process, mean of the three nodes")
    leader = cluster.leader()
    socket_path = cluster.node_dir(leader) / "run" / "log.sock"
    bare_socket, numbers = folder / "bare.sock", itertools.count()
    record = os.urandom(INLINE_BYTES + 150)
    with reference("benchmarks.bare_commit", str(bare_socket), str(folder / "bare.log"), ready=bare_socket):
        for number in range(rounds):
            rate.bare.append(uvloop.run(bare_commit.drive(bare_socket, record, IN_FLIGHT, seconds))[0])
            before = cpu_of_cluster(cluster)["log"]
            started_s = time.perf_counter()
            accepted, _ = uvloop.run(propose_all(socket_path, _creations(number, numbers), IN_FLIGHT,
                                                 started_s + seconds))
            rate.ours.append(accepted / (time.perf_counter() - started_s))
            cost.ours.append((cpu_of_cluster(cluster)["log"] - before) * 1e6 / accepted / len(cluster.names))
            single.bare.append(statistics.median(
                uvloop.run(bare_commit.drive(bare_socket, record, 1, seconds / 2))[1]))
            _, latencies_ms = uvloop.run(propose_all(socket_path, _creations(number, numbers), 1,
                                                     time.perf_counter() + seconds / 2))
            single.ours.append(statistics.median(latencies_ms))
            say(f"log, round {number + 1}: {rate.ours[-1]:,.0f} ({rate.bare[-1]:,.0f}) commits/s, one alone "
                f"{single.ours[-1]:.2f} ({single.bare[-1]:.2f}) ms, {cost.ours[-1]:.0f} us CPU per node")
    return [rate, single, cost]


def _creations(run: int, numbers: Iterator[int]) -> Iterator[PutFile]:
    for number in numbers:
        yield put_command(f"admin/bench/commit{run}/f{number:08}", number.to_bytes(8, "little") + os.urandom(92))
