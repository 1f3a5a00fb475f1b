"""Scrub: every stored byte is read again and compared with its name, long before anybody misses it.

Disks forget silently. A copy whose bytes no longer hash to its name goes to quarantine and is reported lost, and the
planner has it made again from a good one; two bad copies of one chunk are thus never waited for together.

The scheduled scrub is this node's own loop: a pass takes half of `scrub_days` and the next one begins when the other
half is over at the latest, so no byte stays unread for longer than `scrub_days`, at the lowest rate that this takes.
Its position is kept in the node's folder and survives restarts. A scrub by hand is a job from the log (worker.py)
that walks with all the speed that the throttle gives, on a position of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from typing import Any, Protocol

from fluffy.base.deadline import Deadline
from fluffy.base.errors import ChunkCorrupt, ChunkNotFound
from fluffy.base.hashing import chunk_id_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.threads import in_thread
from fluffy.base.units import DAY_MS
from fluffy.core.health.pacing import CHUNK_COST_BYTES
from fluffy.core.repair.scrubbing import is_due, pass_rate
from fluffy.ports import Buffers, ChunkStore, Clock
from fluffy.services.replica_reports import ReplicaReporter
from fluffy.services.throttle import Throttle

log = logging.getLogger("fluffy.keeper")

# Names fetched from the disk at a time.
PAGE_CHUNKS = 64
# A round of the scheduled scrub ends here, so that its position is kept once a second; and what it may read at once.
ROUND_S = 1.0
BUFFER_WAIT_S = 30.0


class ScrubMemory(Protocol):
    """Where a pass keeps how far it is; blocking."""

    def load(self) -> dict[str, Any]: ...
    def save(self, value: dict[str, Any]) -> None: ...


@dataclass(slots=True)
class Tally:
    """What a walk found: chunks and bytes read, and copies that were bad."""

    chunks: int = 0
    bytes: int = 0
    bad: int = 0


class Scrubber:
    """Re-reads this node's copies. Shared by the scheduled pass and by jobs."""

    def __init__(self, own_no: NodeNo, store: ChunkStore, reports: ReplicaReporter, disk: Executor, buffers: Buffers,
                 throttle: Throttle) -> None:
        self._own_no = own_no
        self._store = store
        self._reports = reports
        self._disk = disk
        self._buffers = buffers
        self._throttle = throttle
        self.total = Tally()

    async def page(self, after: bytes) -> list[ChunkId]:
        """The next chunks behind a position; empty at the end of the disk."""
        return await in_thread(self._disk, lambda: list(islice(self._store.names(after), PAGE_CHUNKS)))

    async def check(self, chunk_id: ChunkId, tally: Tally) -> int:
        """Re-read one copy; a bad one is in quarantine and reported when this returns. Returns the bytes read."""
        with await self._buffers.acquire(Deadline.after(BUFFER_WAIT_S)) as buffer:
            length = await in_thread(self._disk, self._reread, chunk_id, buffer.view)
        is_bad = length < 0
        if is_bad:
            self._reports.lost(chunk_id, self._own_no)
            log.warning("scrub.bad_copy", extra={"chunk": chunk_id.hex()[:16]})
        for each in (tally, self.total):
            each.chunks += 1
            each.bytes += max(0, length)
            each.bad += is_bad
        await self._throttle.pay(max(length, CHUNK_COST_BYTES))
        return max(length, 0)

    def _reread(self, chunk_id: ChunkId, out: memoryview) -> int:
        """Bytes read; 0: no such copy any more; -1: it was bad. Blocking."""
        try:
            length = self._store.reread(chunk_id, out)
        except ChunkNotFound:
            return 0
        except ChunkCorrupt:
            return -1
        if chunk_id_of(out[:length]) != chunk_id:
            self._store.quarantine(chunk_id, "scrub: its bytes do not match its name")
            return -1
        return length


@dataclass(slots=True)
class Pass:
    """The scheduled pass, as it is kept on the disk. Times are wall clock."""

    after: str = ""  # hex of the last chunk that was read
    started_ms: int = 0  # 0: none ever began
    finished_ms: int = 0  # of this pass; 0: it goes on
    tally: Tally = field(default_factory=Tally)
    last: Tally = field(default_factory=Tally)  # of the pass before
    last_finished_ms: int = 0


class ScheduledScrub:
    """Call `one_round` each second. `stored_bytes`: what the catalog says is on this node."""

    def __init__(self, scrubber: Scrubber, clock: Clock, scrub_days: int, memory: ScrubMemory, disk: Executor,
                 stored_bytes: Callable[[], int]) -> None:
        self._scrubber = scrubber
        self._clock = clock
        self._period_ms = scrub_days * DAY_MS
        self._memory = memory
        self._disk = disk
        self._stored_bytes = stored_bytes
        self._pass: Pass | None = None
        self._free_at_s = 0.0

    async def one_round(self) -> None:
        now = self._pass
        if now is None:
            now = self._pass = _loaded(await in_thread(self._disk, self._memory.load))
        if not is_due(self._clock.now_ms(), now.started_ms, now.finished_ms, self._period_ms):
            return
        if now.started_ms == 0 or now.finished_ms:
            now = self._pass = Pass(started_ms=self._clock.now_ms(), last=now.tally, last_finished_ms=now.finished_ms)
        await self._walk(now)
        await in_thread(self._disk, self._memory.save, asdict(now))

    async def _walk(self, now: Pass) -> None:
        started_s = self._clock.monotonic_s()
        if started_s < self._free_at_s:
            return
        rate = pass_rate(self._stored_bytes(), self._period_ms)
        page = await self._scrubber.page(bytes.fromhex(now.after))
        if not page:
            now.finished_ms = self._clock.now_ms()
            log.info("scrub.finished", extra=asdict(now.tally))
        for chunk_id in page:
            length = await self._scrubber.check(chunk_id, now.tally)
            now.after = chunk_id.hex()
            self._free_at_s = max(self._free_at_s, started_s - ROUND_S) + length / rate
            if not self._free_at_s <= self._clock.monotonic_s() < started_s + ROUND_S:
                return

    def word(self) -> dict[str, Any]:
        """For the keeper's word."""
        now = self._pass or Pass()
        done = 1.0 if now.finished_ms else int((now.after or "0")[:4], 16) / 65_536
        return {"chunks": now.tally.chunks, "bytes": now.tally.bytes, "bad": now.tally.bad, "done": round(done, 4),
                "started_ms": now.started_ms, "finished_ms": now.finished_ms or now.last_finished_ms,
                "bad_since_start": self._scrubber.total.bad, "chunks_since_start": self._scrubber.total.chunks,
                "bytes_since_start": self._scrubber.total.bytes}


def _loaded(value: dict[str, Any]) -> Pass:
    """A pass from its file; a damaged file is no pass, and the next one begins."""
    try:
        made = Pass(**{**value, "tally": Tally(**value["tally"]), "last": Tally(**value["last"])})
        bytes.fromhex(made.after)
    except (KeyError, TypeError, ValueError):
        return Pass()
    numbers = [made.started_ms, made.finished_ms, made.last_finished_ms]
    numbers += [getattr(tally, each.name) for tally in (made.tally, made.last) for each in fields(Tally)]
    return made if all(type(number) is int and number >= 0 for number in numbers) else Pass()
