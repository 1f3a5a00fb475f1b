"""Telling the catalog which copies a node gained or lost.

A gateway that meets a damaged copy, and a keeper that made or missed one, must get a `ReplicasChanged` committed, but
neither may wait for it while serving, nor send a command per chunk when a whole disk is lost. So reports are
collected, the newest word about each (chunk, node) wins, and one batch at a time is proposed until it is accepted.

Losing a report is harmless: the keeper's inventory finds a missing file again, its heal loop a present one. That is
why the collection may be bounded and drop.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import islice

from fluffy.base.checks import invariant
from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError, OutcomeUnknown, Unavailable
from fluffy.base.ids import ChunkId, NodeNo, RequestId, UserNo
from fluffy.base.units import KIB
from fluffy.core.metadata.commands import Header, ReplicasChanged
from fluffy.ports import Clock, MetadataLog
from fluffy.services.condition import Condition

log = logging.getLogger("fluffy.replica_reports")

# 40 bytes each in the log: a batch of about 40 KiB, far below the 1 MiB of a group.
BATCH_REPORTS_MAX = 1_000
# A lost disk of 65,536 chunks is half a TiB; more waits in the inventory's cursor. About 10 MB of memory.
PENDING_REPORTS_MAX = 65_536
# Reports of one moment travel together; a reader's bad copy is out of the catalog well within a second.
LINGER_S = 0.05
PROPOSE_TIMEOUT_S = 10.0
BACK_OFF_FIRST_S = 0.2
BACK_OFF_MAX_S = 5.0
REPORT_BYTES = 48
invariant(BATCH_REPORTS_MAX * REPORT_BYTES < 256 * KIB, "a batch of reports fits a quarter of a group")

Report = tuple[ChunkId, NodeNo]


class ReplicaReporter:
    """Collects reports on the event loop's thread; `run` proposes them until cancelled.

    `gained` and `lost` never block and never raise. Only one `run` per reporter.
    """

    def __init__(self, log_: MetadataLog, clock: Clock, own_no: NodeNo) -> None:
        self._log = log_
        self._clock = clock
        self._own_no = own_no
        self._pending: dict[Report, bool] = {}  # True: gained, False: lost; oldest word first
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._condition = Condition("replica reports")
        self.dropped = 0

    @property
    def pending(self) -> int:
        return len(self._pending)

    def gained(self, chunk_id: ChunkId, node_no: NodeNo) -> None:
        """`node_no` has fsynced a good copy of the chunk."""
        self._add((chunk_id, node_no), True)

    def lost(self, chunk_id: ChunkId, node_no: NodeNo) -> None:
        """`node_no` has no good copy of the chunk (any more): the file is gone, or was moved to quarantine."""
        self._add((chunk_id, node_no), False)

    async def flush(self, deadline: Deadline) -> bool:
        """Wait until all that was reported is committed. False when the deadline came first."""
        try:
            async with asyncio.timeout_at(deadline.at_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Propose batches, one at a time, for ever."""
        back_off_s = BACK_OFF_FIRST_S
        while True:
            await self._wake.wait()
            await asyncio.sleep(LINGER_S)
            if await self._propose_batch():
                back_off_s = BACK_OFF_FIRST_S
            else:
                await asyncio.sleep(back_off_s)
                back_off_s = min(2 * back_off_s, BACK_OFF_MAX_S)

    def _add(self, report: Report, is_gain: bool) -> None:
        self._pending.pop(report, None)  # the newest word goes last
        if len(self._pending) >= PENDING_REPORTS_MAX:
            self._pending.pop(next(iter(self._pending)))
            if self.dropped == 0:
                log.info("replica_reports.dropping", extra={"pending_max": PENDING_REPORTS_MAX})
            self.dropped += 1
        self._pending[report] = is_gain
        self._wake.set()
        self._idle.clear()

    async def _propose_batch(self) -> bool:
        """True when the batch was answered (accepted, or refused for good); False when it stays pending."""
        batch = dict(islice(self._pending.items(), BATCH_REPORTS_MAX))
        command = ReplicasChanged(
            # Idempotent by itself, so it needs no place in the request-id window.
            Header(RequestId(b""), self._clock.now_ms(), self._own_no, UserNo(0)),
            added=tuple(report for report, is_gain in batch.items() if is_gain),
            removed=tuple(report for report, is_gain in batch.items() if not is_gain))
        try:
            await self._log.propose(command, Deadline.after(PROPOSE_TIMEOUT_S))
        except (Unavailable, OutcomeUnknown, OSError) as error:
            self._condition.blocked(error)
            return False
        except FluffyError as error:
            # A refusal of an idempotent report would be refused again: drop it, the inventory reports afresh.
            log.info("replica_reports.refused", extra={"error": error.code(), "reports": len(batch)})
        self._condition.fine()
        for report, is_gain in batch.items():
            if self._pending.get(report) is is_gain:
                del self._pending[report]
        if not self._pending:
            self._wake.clear()
            self._idle.set()
        return True
