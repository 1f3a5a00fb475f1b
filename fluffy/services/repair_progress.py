"""How far repair is: what is missing by the catalog, how fast it comes back, when it will be done.

Counting is a scan of the chunks; many may ask (a dashboard each second), so one count serves all for a while, and a
count that took long serves longer.
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded, NotReady
from fluffy.core.metadata import queries
from fluffy.core.metadata.model_jobs import Queue
from fluffy.core.metadata.queries_redundancy import copy_sets
from fluffy.core.repair.redundancy import LIVING_STATES, Coverage, coverage
from fluffy.ports import Clock, MetadataReader

COUNT_TIMEOUT_S = 10.0
KEPT_S = 1.0
# So small a share of the time may be spent counting.
KEPT_TIMES = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """`coverage` None: it could not be counted. `left_s` None: nothing is missing, or nobody works on it yet.

    `rate`: bytes a second of the nodes that have jobs, as they last told.
    """

    coverage: Coverage | None
    queues: tuple[Queue, ...]
    rate: int
    left_s: int | None


class RepairProgress:
    """One per gateway."""

    def __init__(self, reader: MetadataReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._counting = asyncio.Lock()
        self._coverage: Coverage | None = None
        self._good_until_s = 0.0

    async def now(self) -> Progress:
        """The present queues beside a count that is at most some seconds old."""
        await self._count()
        queues = self._reader.read(queries.queues)
        rate = sum(queue.load.rate for queue in queues if queue.load.queued or queue.load.leased)
        return Progress(self._coverage, queues, rate, _left_s(self._coverage, queues, rate))

    async def _count(self) -> None:
        async with self._counting:
            began_s = self._clock.monotonic_s()
            if began_s < self._good_until_s:
                return
            try:
                self._coverage = await self._reader.read_in_thread(_coverage, Deadline.after(COUNT_TIMEOUT_S))
            except (DeadlineExceeded, NotReady):
                self._coverage = None
            now_s = self._clock.monotonic_s()
            self._good_until_s = now_s + max(KEPT_S, KEPT_TIMES * (now_s - began_s))


def _coverage(db: sqlite3.Connection) -> Coverage:
    nodes = queries.placement_map(db).nodes
    members = frozenset(record.node_no for record in queries.node_records(db))
    return coverage(copy_sets(db), frozenset(node.node_no for node in nodes if node.state in LIVING_STATES), members)


def _left_s(cover: Coverage | None, queues: tuple[Queue, ...], rate: int) -> int | None:
    if not rate:
        return None
    queued = max((queue.load.wait_ms for queue in queues if queue.load.queued or queue.load.leased), default=0)
    missing = 0 if cover is None else cover.missing_bytes * 1000 // rate
    return max(queued, missing) // 1000
