"""Doing one leased job: make a copy, drop a copy, or re-read a stretch of the disk. What became of it is a value."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from concurrent.futures import Executor
from dataclasses import dataclass

from fluffy.base.deadline import Deadline
from fluffy.base.errors import ChunkCorrupt, ChunkNotFound, DeadlineExceeded, FluffyError
from fluffy.base.ids import ChunkId
from fluffy.base.threads import in_thread
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_jobs import JobEnd
from fluffy.core.metadata.job_rules import COPYING_KINDS
from fluffy.core.metadata.model_jobs import ChunkLine, Job
from fluffy.ports import ChunkStore, Clock, MetadataReader
from fluffy.services.keeper.copying import Copier
from fluffy.services.keeper.scrub import Scrubber, Tally

log = logging.getLogger("fluffy.keeper")

# A scrub's slice ends so long before its job must, because the chunk in hand is finished.
SCRUB_REST_S = 5.0
# A file's time so far ahead of a drop's begin was not given by a put since then (a lease is much shorter), but by a
# clock that was wrong once; it would spare the file for ever.
TOUCHED_AHEAD_MS = 600_000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended, as `JobResult` has it. `moved_bytes`: what a copying job moved over the wire."""

    end: JobEnd
    error: str = ""
    position: bytes = b""
    moved_bytes: int = 0


class JobWork:
    """Shared by all jobs of a node."""

    def __init__(self, reader: MetadataReader, store: ChunkStore, clock: Clock, disk: Executor, copier: Copier,
                 scrubber: Scrubber) -> None:
        self._reader = reader
        self._store = store
        self._clock = clock
        self._disk = disk
        self._copier = copier
        self._scrubber = scrubber

    async def do(self, job: Job, stop: Deadline) -> Ended:
        """Do it, and be over at `stop`. Raises only CancelledError and what is a bug."""
        try:
            async with asyncio.timeout_at(stop.at_s):
                if job.kind in COPYING_KINDS:
                    return await self._copy(job, stop)
                if job.kind == "drop":
                    return await self._drop(job.chunk_id, stop)
                return await self._scrub(job.position, stop)
        except FluffyError as error:
            return Ended("failed", error.code())
        except OSError:
            return Ended("failed", DeadlineExceeded.code() if stop.passed else "DiskFailed")

    async def _copy(self, job: Job, stop: Deadline) -> Ended:
        chunk = self._reader.read(lambda db: queries.chunk_lines(db, [job.chunk_id])).get(job.chunk_id)
        if chunk is None:
            return Ended("failed", ChunkNotFound.code())  # forgotten meanwhile: the next lease finds it obsolete
        return Ended("done", moved_bytes=await self._copier.copy(chunk, stop))

    async def _drop(self, chunk_id: ChunkId, stop: Deadline) -> Ended:
        """The lease is the permission. A put that found the file since this began keeps it: then it is a copy again.

        So does the loss of other copies since the log allowed this: then it may be the last good one.
        """
        began_ms = self._clock.now_ms()
        if stop.passed:
            return Ended("failed", DeadlineExceeded.code())
        needed = self._reader.read(lambda db: _needed(db, chunk_id))
        if needed is not None and await self._copier.is_here(needed, stop):
            log.info("drop.kept", extra={"chunk": chunk_id.hex()[:16], "replicas": len(needed.replicas)})
            return Ended("kept")
        if await in_thread(self._disk, self._store.delete, chunk_id, began_ms, began_ms + TOUCHED_AHEAD_MS):
            return Ended("done")
        return Ended("kept" if await in_thread(self._disk, self._is_there, chunk_id) else "done")

    def _is_there(self, chunk_id: ChunkId) -> bool:
        try:
            self._store.length(chunk_id)
        except (ChunkNotFound, ChunkCorrupt):
            return False
        return True

    async def _scrub(self, position: bytes, stop: Deadline) -> Ended:
        """A slice of a scrub by hand: with all the speed that the throttle gives."""
        after, tally = position, Tally()
        while page := await self._scrubber.page(after):
            for chunk_id in page:
                if stop.left_s <= SCRUB_REST_S:
                    return Ended("again", position=after)
                await self._scrubber.check(chunk_id, tally)
                after = chunk_id
        log.info("scrub.walked", extra={"chunks": tally.chunks, "bad": tally.bad})
        return Ended("done")


def _needed(db: sqlite3.Connection, chunk_id: ChunkId) -> ChunkLine | None:
    """The chunk, when files need it and fewer copies than wanted are certain without the one to be dropped."""
    line = queries.chunk_lines(db, [chunk_id]).get(chunk_id)
    if line is None or not line.refs:
        return None
    up = {node.node_no for node in queries.placement_map(db).nodes if node.state == "up"}
    return line if sum(no in up for no in line.replicas) < line.wanted else None
