"""Which state a read is answered from (promise P3).

Strong reads pass a *barrier*: the log confirms that this node has applied everything committed before the question. One
barrier serves all readers that arrived before it was sent, so a thousand readers cost the cluster one round trip.
Without a majority there is no newest state to be had: reads then go on from this node's own, marked with its age.
`local` reads skip the barrier; `Fluffy-Min-Seq` makes any read wait until this node has what the client has seen.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded, FluffyError, NotReady, Overloaded, QuerySyntax, Unavailable
from fluffy.core.metadata import queries
from fluffy.gateways.native.exchange import Point
from fluffy.ports import Clock, MetadataLog, MetadataReader

# A leader's loss is over in two seconds; a reader waits that long for a strong answer before it takes a stale one.
BARRIER_TIMEOUT_S = 2.5
# After a barrier failed, readers do not queue up behind another one for this long.
BLIND_S = 0.5
MIN_SEQ_WAIT_S = 5.0
# Local reads of such a moment share one look at the state, which costs as much as the rest of a small answer.
LOOK_KEPT_S = 0.002


class ReadGate:
    """Gives each read its point. `run` must be running; `majority_seen`: whether a barrier is worth a try."""

    def __init__(self, log: MetadataLog, reader: MetadataReader, clock: Clock,
                 majority_seen: Callable[[], bool]) -> None:
        self._log = log
        self._reader = reader
        self._clock = clock
        self._majority_seen = majority_seen
        self._readers: list[asyncio.Future[Point]] = []  # who take a stale point when there is no newest
        self._strict: list[asyncio.Future[Point]] = []
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None  # looking for it takes a system call
        self._blind_until_s = 0.0
        self._fresh_at_s = clock.monotonic_s()
        self._looked_at_s = -LOOK_KEPT_S
        self.seq = 0
        self.barriers = 0

    async def run(self) -> None:
        """Send barriers, one at a time, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            readers, self._readers = self._readers, []
            strict, self._strict = self._strict, []
            began_s = self._clock.monotonic_s()
            self.barriers += 1
            try:
                seq = await self._log.barrier(Deadline.after(BARRIER_TIMEOUT_S))
            except FluffyError as error:
                self._blind_until_s = self._clock.monotonic_s() + BLIND_S
                _fail(strict, error)
                if isinstance(error, Unavailable) and not isinstance(error, Overloaded):
                    self._answer_stale(readers)
                else:
                    _fail(readers, error)
            else:
                self.learned(seq, began_s)
                _give(readers, point := Point(self.seq))
                _give(strict, point)

    def learned(self, seq: int, fresh_at_s: float | None = None) -> None:
        """This node has applied `seq`; `fresh_at_s`: and at that moment nothing newer was committed."""
        self.seq = max(self.seq, seq)
        if fresh_at_s is not None:
            self._fresh_at_s = max(self._fresh_at_s, fresh_at_s)

    def point(self, consistency: str, min_seq: int | None, deadline: Deadline) -> Awaitable[Point]:
        """The state to answer from, to be awaited. Raises Overloaded, and NotReady when `min_seq` stays away."""
        if consistency == "strong" and min_seq is None and self._is_seeing():
            return self._ask(self._readers)
        return self._point(consistency, min_seq, deadline)

    def newest(self) -> asyncio.Future[Point]:
        """A barrier, whatever the consistency. To be awaited; raises Unavailable."""
        return self._ask(self._strict)

    async def _point(self, consistency: str, min_seq: int | None, deadline: Deadline) -> Point:
        if consistency != "strong":
            point = Point(self._local_seq())
        elif self._is_seeing():
            point = await self._ask(self._readers)
        else:
            point = self._stale()
        if min_seq is not None and point.seq < min_seq:
            point = Point(await self._wait_seq(min_seq, deadline), point.age_s)
        return point

    def _is_seeing(self) -> bool:
        """A barrier is worth a try."""
        return self._clock.monotonic_s() >= self._blind_until_s and self._majority_seen()

    def _ask(self, waiting: list[asyncio.Future[Point]]) -> asyncio.Future[Point]:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        reader: asyncio.Future[Point] = self._loop.create_future()
        waiting.append(reader)
        self._wake.set()
        return reader

    def _answer_stale(self, readers: list[asyncio.Future[Point]]) -> None:
        try:
            point = self._stale()
        except (FluffyError, OSError, sqlite3.Error) as error:  # each of them tells what it is; the gate goes on
            _fail(readers, error)
        else:
            _give(readers, point)

    def _stale(self) -> Point:
        age_s = max(0.0, self._clock.monotonic_s() - self._fresh_at_s)
        return Point(self._own_seq(), int(age_s))

    def _local_seq(self) -> int:
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_at_s >= LOOK_KEPT_S:
            self._own_seq()
            self._looked_at_s = now_s
        return self.seq

    def _own_seq(self) -> int:
        state = self._reader.read(queries.cluster_state)
        if state is None:
            raise NotReady
        self.learned(state.seq)
        return state.seq

    async def _wait_seq(self, seq: int, deadline: Deadline) -> int:
        try:
            return await self._log.wait_seq(seq, deadline.at_most(MIN_SEQ_WAIT_S))
        except DeadlineExceeded as error:
            raise NotReady("this node has not yet seen what Fluffy-Min-Seq asks for; try another peer",
                           seq=self.seq, min_seq=seq) from error


def parse_consistency(text: str | None, default: str) -> str:
    """The `Fluffy-Consistency` header. Raises QuerySyntax."""
    if text is None:
        return default
    if text not in ("strong", "local"):
        raise QuerySyntax("Fluffy-Consistency is strong or local")
    return text


def parse_min_seq(text: str | None) -> int | None:
    """The `Fluffy-Min-Seq` header. Raises QuerySyntax."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise QuerySyntax("Fluffy-Min-Seq is a number")
    return int(text)


def _give(readers: list[asyncio.Future[Point]], point: Point) -> None:
    for reader in readers:
        if not reader.done():
            reader.set_result(point)


def _fail(readers: list[asyncio.Future[Point]], error: Exception) -> None:
    for reader in readers:
        if not reader.done():
            reader.set_exception(error)
