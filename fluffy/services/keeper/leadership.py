"""Is this node's log process the leader, and in which term? Asked once a second, shared by the leader's duties.

A new leader may not plan on state it has not applied yet: the term counts as ours only after a barrier in it.
Whatever is decided is fenced by that term anyway: the state machine refuses commands of an older one.
"""

from __future__ import annotations

import logging

from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError
from fluffy.ports import MetadataLog

log = logging.getLogger("fluffy.keeper")

STATUS_TIMEOUT_S = 2.0
BARRIER_TIMEOUT_S = 5.0


class Leadership:
    """`term` is the term in which this node leads and has applied all before it; None while it does not lead."""

    def __init__(self, log_: MetadataLog, own_name: str) -> None:
        self._log = log_
        self._own_name = own_name
        self.term: int | None = None

    async def refresh(self) -> int | None:
        """Ask the log process. Raises Unavailable when it does not answer; then we do not lead."""
        before, self.term = self.term, None
        status = await self._log.status(Deadline.after(STATUS_TIMEOUT_S))
        if status.leader != self._own_name or not status.majority_connected:
            self._note(before, None)
            return None
        if status.term != before:
            await self._log.barrier(Deadline.after(BARRIER_TIMEOUT_S))
        self.term = status.term
        self._note(before, self.term)
        return self.term

    def resign(self, error: FluffyError) -> None:
        """The state machine refused our term: somebody else leads."""
        log.info("keeper.resigned", extra={"term": self.term, "error": error.code()})
        self.term = None

    def _note(self, before: int | None, now: int | None) -> None:
        if before != now:
            log.info("keeper.leadership", extra={"term": now})
