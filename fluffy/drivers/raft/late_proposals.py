"""Lines about changes that took long or were not done, with the id of the request that wanted them.

The gateway's line tells that a request was slow; this one tells that the log was why. When nothing can be committed,
thousands of changes fail in a second: they get a few lines and a count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from fluffy.base.tracing import Trace

log = logging.getLogger("fluffy.log")

LATE_S = 1.0
LINES_PER_SECOND_MAX = 20


class LateProposals:
    """Single-threaded, on the log's loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since_s = clock()
        self._lines = 0
        self._left_out = 0

    def note(self, trace: Trace, error: str | None, took_s: float) -> None:
        """A proposal was answered; `error`: the code of a refusal."""
        if error is None and took_s < LATE_S:
            return
        now_s = self._clock()
        if now_s - self._since_s >= 1.0:
            if self._left_out:
                log.info("proposals.not_written", extra={"proposals": self._left_out})
            self._since_s, self._lines, self._left_out = now_s, 0, 0
        if self._lines >= LINES_PER_SECOND_MAX:
            self._left_out += 1
            return
        self._lines += 1
        log.info("proposal.late" if error is None else "proposal.failed", extra={
            "request_id": trace.request_id, "error": error, "duration_ms": round(took_s * 1000, 1)})
