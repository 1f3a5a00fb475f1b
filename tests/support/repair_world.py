"""A lost node's copies made anew by real workers on the real state, by the real plan, in virtual time.

Only disks and wires are missing: a copy takes as long as its node is slow, so many at a time as the pace allows.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from fluffy.base.deadline import Deadline
from fluffy.base.ids import ChunkId, NodeNo, RequestId, UserNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import (
    FEATURE_LEVEL,
    Command,
    Header,
    NodeState,
    PublishPlacement,
    PutFile,
    SetFeatureLevel,
)
from fluffy.core.metadata.commands_jobs import AssignJobs, CancelJobs, RetryJobs
from fluffy.core.metadata.model import PlacementMap
from fluffy.core.metadata.model_jobs import Job
from fluffy.core.metadata.outcomes import Accepted
from fluffy.core.placement import place
from fluffy.core.repair.round import Memory, Rules, plan_round
from fluffy.ports import MetadataLog, MetadataReader
from fluffy.services.keeper.job_work import Ended, JobWork
from fluffy.services.keeper.worker import Worker
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.virtual_time import run_virtually

R = TypeVar("R")
NODES = 5
LOST = NodeNo(NODES)
WEIGHT = 100
# Of a proposal until its state can be read, on a busy machine.
COMMIT_S = 0.02
SLOTS = 4
TIMEOUT_S = 600.0


@dataclass(slots=True)
class Repaired:
    """`took_s`: from the node's loss to the last copy. `done`, `stolen`: jobs by node."""

    took_s: float
    copies: int
    done: Mapping[int, int] = field(default_factory=dict)
    stolen: Mapping[int, int] = field(default_factory=dict)


class _Clock:
    def now_ms(self) -> int:
        return round(time.monotonic() * 1000)

    def monotonic_s(self) -> float:
        return time.monotonic()


class _Log:
    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def propose(self, command: Command, deadline: Deadline) -> Accepted:
        await asyncio.sleep(COMMIT_S / 2)
        accepted = self._state.accept(command)
        await asyncio.sleep(COMMIT_S / 2)
        return accepted

    async def barrier(self, deadline: Deadline) -> int:
        return self._state.machine.seq


class _Reader:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def read(self, query: Callable[[sqlite3.Connection], R]) -> R:
        return query(self._db)


class _Work:
    """Copies take `copy_s` each, SLOTS at a time."""

    def __init__(self, copy_s: float) -> None:
        self._copy_s = copy_s
        self._slots = asyncio.Semaphore(SLOTS)

    async def do(self, job: Job, stop: Deadline) -> Ended:
        async with self._slots:
            await asyncio.sleep(self._copy_s)
        return Ended("done", moved_bytes=job.cost)


def by_cluster() -> Header:
    return Header(RequestId(b""), _Clock().now_ms(), NodeNo(1), UserNo(0))


def repair(chunks: int, length: int, copy_s: Mapping[int, float], *, steals: bool = True,
           thieves: Collection[int] = range(1, NODES), spared: int | None = None) -> Repaired:
    """Lose a node with some of `chunks` and wait for its copies. `copy_s`: of each other node. `thieves`: may steal.

    `spared`: the plan gives that node nothing, and it takes nothing.
    """
    return run_virtually(_repair(chunks, length, copy_s, thieves if steals else (), spared))


async def _repair(chunks: int, length: int, copy_s: Mapping[int, float], thieves: Collection[int],
                  spared: int | None) -> Repaired:
    state = MemoryState(genesis_command(NODES, at_ms=_Clock().now_ms(), inline_max=0))
    publish(state, lost=False)
    state.accept(SetFeatureLevel(by_cluster(), FEATURE_LEVEL))
    placement = queries.placement_map(state.db)
    copies = 0
    for number in range(chunks):
        chunk_id = ChunkId(number.to_bytes(32, "big"))
        nodes = tuple(sorted(place(chunk_id, placement, 1, None)[:3]))
        copies += LOST in nodes
        state.accept(PutFile(header(at_ms=0), f"admin/{number}", length, chunk_id, "e", "a/b", {}, {}, None,
                             ((chunk_id, length),), (nodes,)))
    publish(state, lost=True)
    started_s = time.monotonic()
    workers = [Worker(NodeNo(no), cast(MetadataLog, _Log(state)), cast(MetadataReader, _Reader(state.db)), _Clock(),
                      cast(JobWork, _Work(seconds)), lambda: SLOTS, steals=no in thieves)
               for no, seconds in copy_s.items() if no != spared]
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        tasks = [group.create_task(worker.run()) for worker in workers]
        tasks.append(group.create_task(_plan(state, spared)))
        while queries.chunks_short(state.db, 0, [LOST], rows_max=10**6, found_max=1).chunks:  # noqa: ASYNC110 - a database
            await asyncio.sleep(0.01)  # virtual
        took_s = time.monotonic() - started_s
        for task in tasks:
            task.cancel()
    queues = queries.queues(state.db)
    state.close()
    return Repaired(took_s, copies, {queue.node_no: queue.done for queue in queues},
                    {queue.node_no: queue.stolen_in for queue in queues})


def publish(state: MemoryState, *, lost: bool) -> None:
    placement = queries.placement_map(state.db)
    lines = tuple(NodeState(line.node_no, "down" if lost and line.node_no == LOST else "up", line.zone, WEIGHT)
                  for line in placement.nodes)
    state.accept(PublishPlacement(by_cluster(), state.term, placement.epoch + 1, lines))


async def _plan(state: MemoryState, spared: int | None) -> None:
    def rank(chunk_id: ChunkId, placement: PlacementMap) -> list[NodeNo]:
        return [no for no in place(chunk_id, placement, 1, None) if no != spared]

    memory = Memory()
    while True:
        found = queries.cluster_state(state.db)
        assert found is not None
        planned = plan_round(state.db, memory, found, Rules(0, 3_600_000), rank, _Clock().now_ms())
        commands: list[Any] = []
        if planned.cancels or planned.leases_ended:
            commands.append(CancelJobs(by_cluster(), state.term, tuple(planned.cancels)))
        if planned.retries:
            commands.append(RetryJobs(by_cluster(), tuple(planned.retries)))
        if planned.orders:
            commands.append(AssignJobs(by_cluster(), state.term, tuple(planned.orders)))
        for command in commands:
            state.accept(command)
        await asyncio.sleep(1.0)
