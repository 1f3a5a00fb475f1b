"""The leader's tidying: what no rule keeps is expired, forgotten uploads are ended, unreferenced chunks are forgotten.

All are small fenced commands. Expiry is proposed every round even when nothing may be due: whether it is depends on
log time, and this command is also what moves log time on in an idle cluster (one small entry a minute, by a clock that
goes on even when log time is ahead of all wall clocks: log_clock.py). Files of
forgotten chunks are removed later by each node's own inventory, after a grace of their own.
"""

from __future__ import annotations

import logging

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Conflict
from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.base.units import HOUR_MS
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import ExpireVersions, ForgetChunks, Header
from fluffy.core.metadata.commands_uploads import ExpireUploads
from fluffy.core.metadata.outcomes import Accepted
from fluffy.ports import Clock, MetadataLog, MetadataReader
from fluffy.services.keeper.leadership import Leadership

log = logging.getLogger("fluffy.keeper")

# A purge touches versions, chunks and the change feed: some ten milliseconds of apply per batch.
EXPIRE_VERSIONS_MAX = 200
# What they hold is freed in steps of a bounded number of chunks, whatever their number.
EXPIRE_UPLOADS_MAX = 200
# The feature level that knows uploads in parts.
UPLOADS_LEVEL = 2
# The feature level that knows jobs.
JOBS_LEVEL = 3
# 32 bytes each: 16 KiB of log per batch.
FORGET_CHUNKS_MAX = 500
# The same bytes are often put again soon (a file renamed by delete and upload); then nothing need be sent twice.
FORGET_GRACE_MS = 1 * HOUR_MS
SCAN_TIMEOUT_S = 10.0
PROPOSE_TIMEOUT_S = 5.0


class Tidier:
    """Call `one_round` now and then; True means that there is more to do at once."""

    def __init__(self, own_no: NodeNo, leadership: Leadership, log_: MetadataLog, reader: MetadataReader,
                 clock: Clock, forget_grace_ms: int = FORGET_GRACE_MS) -> None:
        self._own_no = own_no
        self._leadership = leadership
        self._log = log_
        self._reader = reader
        self._clock = clock
        self._forget_grace_ms = forget_grace_ms

    async def one_round(self) -> bool:
        if self._leadership.term is None:
            return False
        expired_more = await self._expire()
        ended_more = await self._end_uploads()
        forgot_more = await self._forget()
        return expired_more or ended_more or forgot_more

    def _header(self) -> Header:
        return Header(RequestId(b""), self._clock.now_ms(), self._own_no, UserNo(0))

    async def _propose(self, command: ExpireVersions | ForgetChunks | ExpireUploads) -> Accepted | None:
        try:
            return await self._log.propose(command, Deadline.after(PROPOSE_TIMEOUT_S))
        except Conflict as error:
            self._leadership.resign(error)
            return None

    async def _expire(self) -> bool:
        term = self._leadership.term
        if term is None:
            return False
        accepted = await self._propose(ExpireVersions(self._header(), term, EXPIRE_VERSIONS_MAX))
        if accepted is None:
            return False
        if accepted.facts["freed"]:
            log.info("versions.expired", extra={"versions": accepted.facts["freed"]})
        return bool(accepted.facts["more"])

    async def _end_uploads(self) -> bool:
        """Sessions whose lease is over in log time, and what ended ones still hold."""
        term = self._leadership.term
        state = self._reader.read(queries.cluster_state)
        if term is None or state is None or state.feature_level < UPLOADS_LEVEL:
            return False
        if not self._reader.read(queries.has_ended_uploads):
            return False
        accepted = await self._propose(ExpireUploads(self._header(), term, EXPIRE_UPLOADS_MAX))
        if accepted is None:
            return False
        log.info("uploads.ended", extra={"uploads": accepted.facts["ended"], "parts": accepted.facts["freed"]})
        return bool(accepted.facts["more"])

    async def _forget(self) -> bool:
        term = self._leadership.term
        if term is None:
            return False
        state = self._reader.read(queries.cluster_state)
        if state is None:
            return False
        before_ms = state.clock_ms - self._forget_grace_ms
        # With jobs, the files are dropped first, by a job for each copy; the row goes when none is left.
        dropped_only = state.feature_level >= JOBS_LEVEL
        chunk_ids = await self._reader.read_in_thread(
            lambda db: queries.unreferenced_chunks(db, before_ms, FORGET_CHUNKS_MAX, dropped_only=dropped_only),
            Deadline.after(SCAN_TIMEOUT_S))
        if not chunk_ids:
            return False
        accepted = await self._propose(ForgetChunks(self._header(), term, chunk_ids, self._forget_grace_ms))
        if accepted is None:
            return False
        log.info("chunks.forgotten", extra={"chunks": accepted.facts["forgotten"]})
        return len(chunk_ids) >= FORGET_CHUNKS_MAX
