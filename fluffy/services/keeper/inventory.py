"""Comparing the disk with the catalog, slowly and for ever, in both directions.

*Catalog without file*: a copy that the catalog counts on this node but whose file is gone is reported lost, and so
becomes a missing chunk that the heal loop makes again. Only the files' own records are read; the rest is scrub's work.

*File without catalog* (an upload that was never committed, or a forgotten chunk) is removed. Removing is the one thing
here that could lose bytes, so four conditions hold together:

1. its time is older than the orphan grace (24 h by default; a `put` of the same chunk renews it), far longer than any
   upload may last between its first chunk and its commit;
2. this process itself found it unknown on an earlier pass, longer ago than the longest upload by the monotonic clock,
   with the time unchanged since: a wall clock that jumped, or a process that just started, removes nothing;
3. after a *barrier* this node's catalog still does not know it: a node that lags or has no majority removes nothing;
4. the removal itself is atomic against a `put` that finds the file there at that moment (`ChunkStore.delete`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from fluffy.base.deadline import Deadline
from fluffy.base.errors import ChunkCorrupt, ChunkNotFound
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata import queries
from fluffy.core.repair.retention import ORPHAN_RULES, OrphanRules
from fluffy.ports import ChunkStore, Clock, MetadataLog, MetadataReader, StoredChunk
from fluffy.services.replica_reports import ReplicaReporter

log = logging.getLogger("fluffy.keeper")
R = TypeVar("R")

# One slice a second: 500 stats are a few milliseconds of disk; a million chunks (8 TiB) take half an hour.
SLICE_CHUNKS = 500
# Between two passes over everything.
PASS_REST_S = 600.0
# 32 bytes and change each: 10 MB. More orphans than that are found in later passes.
SUSPECTS_MAX = 65_536
BARRIER_TIMEOUT_S = 5.0
SCAN_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class _Suspect:
    seen_s: float
    modified_ms: int


class Inventory:
    """Call `one_round` each second; it does one slice of both comparisons."""

    def __init__(self, own_no: NodeNo, log_: MetadataLog, reader: MetadataReader, store: ChunkStore,
                 reports: ReplicaReporter, clock: Clock, disk: Executor, rules: OrphanRules = ORPHAN_RULES,
                 pass_rest_s: float = PASS_REST_S) -> None:
        self._own_no = own_no
        self._log = log_
        self._reader = reader
        self._store = store
        self._reports = reports
        self._clock = clock
        self._disk = disk
        self._rules = rules
        self._pass_rest_s = pass_rest_s
        self._counted_after: ChunkId | None = None
        self._counted_from_s = clock.monotonic_s()
        self._files: Iterator[StoredChunk] | None = None
        self._files_from_s = clock.monotonic_s()
        self._suspects: dict[ChunkId, _Suspect] = {}
        self.passes = 0
        self.removed = 0

    async def one_round(self) -> None:
        if self._clock.monotonic_s() >= self._counted_from_s:
            await self._check_counted()
        if self._clock.monotonic_s() >= self._files_from_s:
            await self._check_files()

    async def _check_counted(self) -> None:
        """One slice of the copies that the catalog counts here."""
        after = self._counted_after
        page = await self._reader.read_in_thread(
            lambda db: queries.chunks_of_node(db, self._own_no, after, SLICE_CHUNKS), Deadline.after(SCAN_TIMEOUT_S))
        lost = await self._in_disk_thread(lambda: [chunk_id for chunk_id in page if not self._has(chunk_id)])
        for chunk_id in lost:
            self._reports.lost(chunk_id, self._own_no)
        if lost:
            log.warning("copies.missing", extra={"copies": len(lost), "first": lost[0].hex()[:16]})
        self._counted_after = page[-1] if len(page) == SLICE_CHUNKS else None
        if self._counted_after is None:
            self._counted_from_s = self._clock.monotonic_s() + self._pass_rest_s

    def _has(self, chunk_id: ChunkId) -> bool:
        """Blocking. The store looks at the file's record, and quarantines one that is damaged or short."""
        try:
            self._store.length(chunk_id)
        except (ChunkNotFound, ChunkCorrupt):
            return False
        return True

    async def _check_files(self) -> None:
        """One slice of the files on the disk."""
        if self._files is None:
            self._files = self._store.scan()
        files = self._files
        found = await self._in_disk_thread(lambda: list(islice(files, SLICE_CHUNKS)))
        if not found:
            self._end_pass()
            return
        ids = [chunk.chunk_id for chunk in found]
        known = self._reader.read(lambda db: queries.known_chunks(db, ids))
        condemned = []
        for chunk in found:
            if chunk.chunk_id in known:
                self._suspects.pop(chunk.chunk_id, None)
            elif self._is_condemned(chunk):
                condemned.append(chunk)
        if condemned:
            await self._remove(condemned)

    def _end_pass(self) -> None:
        self._files = None
        self.passes += 1
        self._files_from_s = self._clock.monotonic_s() + self._pass_rest_s

    def _is_condemned(self, chunk: StoredChunk) -> bool:
        """Conditions 1 and 2 of the module's text; notes the file as suspect when it is new to us."""
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
        """Conditions 3 and 4. Raises Unavailable without a majority; the suspects stay for the next pass."""
        await self._log.barrier(Deadline.after(BARRIER_TIMEOUT_S))
        ids = [chunk.chunk_id for chunk in condemned]
        known = self._reader.read(lambda db: queries.known_chunks(db, ids))
        before_ms = self._clock.now_ms() - self._rules.grace_ms
        doomed = [chunk_id for chunk_id in ids if chunk_id not in known]
        removed = await self._in_disk_thread(
            lambda: sum(self._store.delete(chunk_id, unless_touched_since_ms=before_ms) for chunk_id in doomed))
        for chunk_id in ids:
            self._suspects.pop(chunk_id, None)
        self.removed += removed
        log.info("orphans.removed", extra={"files": removed, "spared": len(ids) - removed})

    async def _in_disk_thread(self, call: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call)
