"""Comparing the disk with the catalog, in both directions: slowly and for ever, and at once when there is reason to.

There is reason when this keeper starts, when the others had taken this node for down and it is up again (a returning
node, a replaced disk), and when an admin asks (`recover NODE`). Then both walks go at full speed; else they rest.

*Catalog without file*: a copy that the catalog counts on this node but whose file is gone is reported lost, and so
becomes a missing chunk that is made again. Only the files' own records are read; the rest is scrub's work.

*File that is not counted*, of a chunk that the catalog knows: a copy that came too late for its upload, or one that the
catalog lost sight of. When the chunk has too few copies it is compared with its name and reported; else it is
superfluous and treated like the next.

*File without catalog* (an upload that was never committed, or a forgotten chunk) is removed. Removing is the one thing
here that could lose bytes, so five conditions hold together:

1. its time is older than the orphan grace (24 h by default; a `put` of the same chunk renews it), far longer than any
   upload may last between its first chunk and its commit;
2. this process itself found it unwanted on an earlier pass, longer ago than the longest upload by the monotonic clock,
   with the time unchanged since: a wall clock that jumped, or a process that just started, removes nothing;
3. after a *barrier* this node's catalog still does not want it: a node that lags or has no majority removes nothing;
4. it is not older than the cluster: what a disk brings along from before is the last hope of a restore from storage;
5. the removal itself is atomic against a `put` that finds the file there at that moment (`ChunkStore.delete`).

Copies that the catalog counts are removed by jobs alone (job_work.py), also on a node that was away: its drops wait.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

from fluffy.base.deadline import Deadline
from fluffy.base.errors import ChunkCorrupt, ChunkNotFound
from fluffy.base.hashing import chunk_id_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata import queries, queries_keeper
from fluffy.core.metadata.model_jobs import ChunkLine
from fluffy.core.repair.retention import ORPHAN_RULES, OrphanRules
from fluffy.ports import Buffers, ChunkStore, Clock, MetadataLog, MetadataReader, StoredChunk
from fluffy.services.replica_reports import ReplicaReporter

log = logging.getLogger("fluffy.keeper")
R = TypeVar("R")

# One slice a second: 500 stats are a few milliseconds of disk; a million chunks (8 TiB) take half an hour.
SLICE_CHUNKS = 500
# Between two passes over everything.
PASS_REST_S = 600.0
# 32 bytes and change each: 10 MB. More orphans than that are found in later passes.
SUSPECTS_MAX = 65_536
# While more reports wait for the log than that, the walk waits too: a lost disk is told in order and at once.
REPORTS_WAITING_MAX = 20_000
BARRIER_TIMEOUT_S = 5.0
SCAN_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class _Suspect:
    seen_s: float
    modified_ms: int


class InventoryMemory(Protocol):
    """Where the keeper keeps which wish it has fulfilled; blocking."""

    def load(self) -> dict[str, Any]: ...
    def save(self, value: dict[str, Any]) -> None: ...


class Inventory:
    """Call `one_round` each second; it does one slice of both comparisons, and is called again at once in a hurry."""

    def __init__(self, own_no: NodeNo, log_: MetadataLog, reader: MetadataReader, store: ChunkStore,
                 reports: ReplicaReporter, clock: Clock, disk: Executor, buffers: Buffers, memory: InventoryMemory,
                 rules: OrphanRules = ORPHAN_RULES, pass_rest_s: float = PASS_REST_S) -> None:
        self._own_no = own_no
        self._log = log_
        self._reader = reader
        self._store = store
        self._reports = reports
        self._clock = clock
        self._disk = disk
        self._buffers = buffers
        self._memory = memory
        self._rules = rules
        self._pass_rest_s = pass_rest_s
        self._counted_after: ChunkId | None = None
        self._counted_from_s = clock.monotonic_s()
        self._files: Iterator[StoredChunk] | None = None
        self._files_from_s = clock.monotonic_s()
        self._suspects: dict[ChunkId, _Suspect] = {}
        self._was_down = False
        self._asked_seq: int | None = None  # of the wish that was fulfilled last; None: not loaded yet
        self._hurrying_for: int | None = 0  # the wish for which both walks hurry; 0: none, but for another reason
        self._counted_done = self._files_done = False  # since the hurry began
        self.passes = 0
        self.removed = 0
        self.found = 0
        self.lost = 0

    async def one_round(self) -> bool:
        """True while in a hurry."""
        await self._look_for_reasons()
        if self._reports.pending > REPORTS_WAITING_MAX:
            return False
        if self._clock.monotonic_s() >= self._counted_from_s:
            await self._check_counted()
        if self._clock.monotonic_s() >= self._files_from_s:
            await self._check_files()
        if self._hurrying_for is not None and self._counted_done and self._files_done:
            await self._end_hurry(self._hurrying_for)
        return self._hurrying_for is not None

    def word(self) -> dict[str, Any]:
        """For the keeper's word."""
        return {"hurrying": self._hurrying_for is not None, "passes": self.passes, "lost": self.lost,
                "found": self.found, "removed": self.removed, "recovered": self._asked_seq or 0}

    # --- when to hurry

    async def _look_for_reasons(self) -> None:
        if self._asked_seq is None:
            seq = (await self._in_disk_thread(self._memory.load)).get("asked_seq")
            self._asked_seq = seq if type(seq) is int else 0
        placement = self._reader.read(queries.placement_map)
        is_down = any(node.node_no == self._own_no and node.state == "down" for node in placement.nodes)
        was_down, self._was_down = self._was_down, is_down
        newest = self._reader.read(lambda db: queries_keeper.newest_ask(db, "recover", self._own_no))
        if newest > self._asked_seq and newest != self._hurrying_for:
            self._hurry(newest)
        elif was_down and not is_down:
            self._hurry(self._hurrying_for or 0)

    def _hurry(self, wish: int) -> None:
        """Begin both walks anew, now."""
        log.info("inventory.hurries", extra={"wish": wish})
        self._hurrying_for = wish
        self._counted_done = self._files_done = False
        self._counted_after = self._files = None
        self._counted_from_s = self._files_from_s = self._clock.monotonic_s()

    async def _end_hurry(self, wish: int) -> None:
        log.info("inventory.compared", extra={"lost": self.lost, "found": self.found, "wish": wish})
        self._hurrying_for = None
        if wish:
            self._asked_seq = wish
            await self._in_disk_thread(lambda: self._memory.save({"asked_seq": wish}))

    # --- the catalog's side

    async def _check_counted(self) -> None:
        """One slice of the copies that the catalog counts here."""
        after = self._counted_after
        page = await self._reader.read_in_thread(
            lambda db: queries.chunks_of_node(db, self._own_no, after, SLICE_CHUNKS), Deadline.after(SCAN_TIMEOUT_S))
        lost = await self._in_disk_thread(lambda: [chunk_id for chunk_id in page if not self._has(chunk_id)])
        for chunk_id in lost:
            self._reports.lost(chunk_id, self._own_no)
        self.lost += len(lost)
        if lost:
            log.warning("copies.missing", extra={"copies": len(lost), "first": lost[0].hex()[:16]})
        self._counted_after = page[-1] if len(page) == SLICE_CHUNKS else None
        if self._counted_after is None:
            self._counted_done = True
            self._counted_from_s = self._clock.monotonic_s() + self._pass_rest_s

    def _has(self, chunk_id: ChunkId) -> bool:
        """Blocking. The store looks at the file's record, and quarantines one that is damaged or short."""
        try:
            self._store.length(chunk_id)
        except (ChunkNotFound, ChunkCorrupt):
            return False
        return True

    # --- the disk's side

    async def _check_files(self) -> None:
        """One slice of the files on the disk."""
        if self._files is None:
            self._files = self._store.scan()
        files = self._files
        found = await self._in_disk_thread(lambda: list(islice(files, SLICE_CHUNKS)))
        if not found:
            self._end_pass()
            return
        uncounted = self._uncounted([chunk.chunk_id for chunk in found])
        condemned = []
        for chunk in found:
            if chunk.chunk_id not in uncounted:
                self._suspects.pop(chunk.chunk_id, None)
                continue
            line = uncounted[chunk.chunk_id]
            if line is not None and len(line.replicas) < line.wanted:
                await self._report_found(line)
            elif self._is_condemned(chunk):
                condemned.append(chunk)
        if condemned:
            await self._remove(condemned)

    def _uncounted(self, ids: list[ChunkId]) -> dict[ChunkId, ChunkLine | None]:
        """Those that the catalog does not count on this node: as it knows them, or None."""

        def query(db: sqlite3.Connection) -> dict[ChunkId, ChunkLine | None]:
            replicas = queries.chunk_replicas(db, ids)
            others = [chunk_id for chunk_id in ids if self._own_no not in replicas.get(chunk_id, ())]
            lines = queries.chunk_lines(db, [chunk_id for chunk_id in others if chunk_id in replicas])
            return {chunk_id: lines.get(chunk_id) for chunk_id in others}

        return self._reader.read(query)

    async def _report_found(self, line: ChunkLine) -> None:
        """A copy too few, and one lies here: if it is what it should be, it counts again."""
        with await self._buffers.acquire(Deadline.after(SCAN_TIMEOUT_S)) as buffer:
            is_good = await self._in_disk_thread(lambda: self._is_good(line, buffer.view[:line.length]))
        if is_good:
            self._reports.gained(line.chunk_id, self._own_no)
            self.found += 1

    def _is_good(self, line: ChunkLine, out: memoryview) -> bool:
        try:
            if self._store.length(line.chunk_id) != line.length:
                return False
            self._store.read(line.chunk_id, 0, out)
        except (ChunkNotFound, ChunkCorrupt):
            return False
        return chunk_id_of(out) == line.chunk_id

    def _end_pass(self) -> None:
        self._files = None
        self._files_done = True
        self.passes += 1
        self._files_from_s = self._clock.monotonic_s() + self._pass_rest_s

    def _is_condemned(self, chunk: StoredChunk) -> bool:
        """Conditions 1, 2 and 4 of the module's text; notes the file as suspect when it is new to us."""
        if chunk.modified_ms < self._reader.read(queries_keeper.born_ms):
            return False
        if chunk.modified_ms > self._clock.now_ms() - self._rules.grace_ms:
            self._suspects.pop(chunk.chunk_id, None)
            return False
        suspect = self._suspects.get(chunk.chunk_id)
        if suspect is None or suspect.modified_ms != chunk.modified_ms:
            if len(self._suspects) < SUSPECTS_MAX:
                self._suspects[chunk.chunk_id] = _Suspect(self._clock.monotonic_s(), chunk.modified_ms)
            return False
        return (self._clock.monotonic_s() - suspect.seen_s) * 1000 >= self._rules.watched_ms

    async def _remove(self, condemned: list[StoredChunk]) -> None:
        """Conditions 3 and 5. Raises Unavailable without a majority; the suspects stay for the next pass."""
        await self._log.barrier(Deadline.after(BARRIER_TIMEOUT_S))
        ids = [chunk.chunk_id for chunk in condemned]
        unwanted = self._uncounted(ids)
        doomed = {chunk_id for chunk_id, line in unwanted.items()
                  if line is None or len(line.replicas) >= max(line.wanted, 1)}
        # Not by an age, which a clock that jumps meanwhile would change: its time must be the one that was judged.
        removed = await self._in_disk_thread(
            lambda: sum(self._store.delete(chunk.chunk_id, unless_touched_since_ms=chunk.modified_ms + 1)
                        for chunk in condemned if chunk.chunk_id in doomed))
        for chunk_id in ids:
            self._suspects.pop(chunk_id, None)
        self.removed += removed
        log.info("orphans.removed", extra={"files": removed, "spared": len(ids) - removed})

    async def _in_disk_thread(self, call: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call)
