"""A circuit breaker for one cluster: after failures in a row it is left alone for a while, so that it delays nobody."""

from __future__ import annotations

FAILURES_MAX = 2
OPEN_FIRST_S = 0.5
# Known again within this time of its return.
OPEN_MAX_S = 2.0


class Breaker:
    """Ask `may_try` before, tell `worked` or `failed` after. Time is an argument."""

    def __init__(self) -> None:
        self._failures = 0
        self._open_s = OPEN_FIRST_S
        self._closed_at_s = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether the last tries worked (an electrician's word: current flows)."""
        return self._failures < FAILURES_MAX

    def may_try(self, now_s: float) -> bool:
        """True when closed, and for one try each time that its rest is over."""
        return self.is_closed or now_s >= self._closed_at_s

    def wait_s(self, now_s: float) -> float:
        return 0.0 if self.is_closed else max(0.0, self._closed_at_s - now_s)

    def worked(self) -> None:
        self._failures = 0
        self._open_s = OPEN_FIRST_S

    def failed(self, now_s: float) -> None:
        self._failures += 1
        if not self.is_closed:
            self._closed_at_s = now_s + self._open_s
            self._open_s = min(2 * self._open_s, OPEN_MAX_S)
