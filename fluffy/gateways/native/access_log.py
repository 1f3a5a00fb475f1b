"""One line per request, written by nobody who is waiting for an answer.

A log record costs more than a small request (140 µs with aiohttp's own access log), so requests are noted as tuples
and written in batches. Failures of ours (5xx) and slow requests always get a line; of the rest, up to a number per
second, and what is left out is counted in a line of its own: nothing disappears silently.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

log = logging.getLogger("fluffy.access")

FLUSH_S = 1.0
# A line is about 250 bytes: at most 25 KB a second, 2 GB a day at full load; 5xx and slow ones come on top.
LINES_PER_FLUSH_MAX = 100
# More failures than this in a second are one event, not many.
FAILURES_PER_FLUSH_MAX = 200
SLOW_MS = 1000


@dataclass(frozen=True, slots=True)
class Visit:
    """What is noted about a request. `target` without the query; never a header or a body."""

    method: str
    path: str
    status: int
    duration_ms: float
    sent_bytes: int
    user: str
    remote: str
    request_id: str


class AccessLog:
    """Collects visits on the loop's thread; `run` writes them once a second and at its end."""

    def __init__(self) -> None:
        self._visits: list[Visit] = []
        self._failures: list[Visit] = []
        self._left_out = 0
        self.left_out_ever = 0

    def note(self, visit: Visit) -> None:
        if visit.status >= 500 or visit.duration_ms >= SLOW_MS:
            lines, lines_max = self._failures, FAILURES_PER_FLUSH_MAX
        else:
            lines, lines_max = self._visits, LINES_PER_FLUSH_MAX
        if len(lines) < lines_max:
            lines.append(visit)
        else:
            self._left_out += 1

    @property
    def wants_visit(self) -> bool:
        """False when an ordinary visit would only be counted, so that callers need not build it."""
        return len(self._visits) < LINES_PER_FLUSH_MAX

    def leave_out(self) -> None:
        """Count an ordinary visit that was not even built."""
        self._left_out += 1

    async def run(self) -> None:
        """Write for ever; what is there at the end is written too."""
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                self.flush()
        finally:
            self.flush()

    def flush(self) -> None:
        visits, self._visits = self._failures + self._visits, []
        self._failures, left_out, self._left_out = [], self._left_out, 0
        self.left_out_ever += left_out
        for visit in visits:
            log.info("request", extra={
                "method": visit.method, "path": visit.path, "status": visit.status,
                "duration_ms": round(visit.duration_ms, 1), "sent_bytes": visit.sent_bytes, "user": visit.user,
                "remote": visit.remote, "request_id": visit.request_id})
        if left_out:
            log.info("requests.not_written", extra={"requests": left_out})
