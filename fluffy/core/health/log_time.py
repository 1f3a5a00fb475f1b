"""Log time as a node expects it to go on: never behind what was committed, and it does not stand still there.

Log time is the newest stamp of any command, so one machine whose clock runs ahead, even for a moment, takes it along;
until all wall clocks have caught up with it, stamps from them would change nothing. Then pauses would not end, and no
grace, lease or trash. So whoever does background work counts on from the newest log time by a clock that nobody sets.

While it is ahead of the wall clock it counts a little slower, and so comes back to it.
"""

from __future__ import annotations

from dataclasses import dataclass

# An hour ahead is made good in 16 hours; what should take a minute meanwhile takes 64 seconds.
SLOWER = 16


@dataclass(slots=True)
class LogTime:
    """Of one process. Feed it the three clocks, as often as the time is wanted."""

    _from_ms: int = 0
    _since_ms: int = 0

    def now_ms(self, *, log_ms: int, wall_ms: int, monotonic_ms: int) -> int:
        """`log_ms`: of the own state; it may be behind. Never goes back."""
        passed_ms = max(0, monotonic_ms - self._since_ms)
        expected_ms = self._from_ms + passed_ms - passed_ms // SLOWER
        now_ms = max(log_ms, wall_ms, expected_ms if self._from_ms else 0)
        if now_ms > expected_ms or not self._from_ms:
            self._from_ms, self._since_ms = now_ms, monotonic_ms
        return now_ms
