"""How fast background work may go: the plain knob `repair: quiet | balanced | fast`, and a token bucket.

Users come first: background bytes share disks and wires with them. The bucket allows debt, so one chunk larger than
the burst is possible, and is paid for by waiting afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.checks import invariant
from fluffy.base.units import MIB


@dataclass(frozen=True, slots=True)
class Pace:
    """`copies_max`: chunks copied at the same time by one node; `bytes_per_s`: of one node."""

    copies_max: int
    bytes_per_s: int


# A gigabit wire carries 119 MiB/s: a twelfth of it, a half, and as much as a 10-gigabit wire and a good disk give.
PACES = {
    "quiet": Pace(copies_max=1, bytes_per_s=10 * MIB),
    "balanced": Pace(copies_max=2, bytes_per_s=60 * MIB),
    "fast": Pace(copies_max=4, bytes_per_s=600 * MIB),
}


class TokenBucket:
    """Tells how long to wait before the next `amount`. Full at the start; holds one second's worth at most."""

    def __init__(self, per_s: int, now_s: float) -> None:
        invariant(per_s > 0, "a bucket fills")
        self._per_s = per_s
        self._tokens = float(per_s)
        self._filled_s = now_s

    def take(self, amount: int, now_s: float) -> float:
        """Take `amount` at once, in debt if need be; returns the seconds to wait before using it."""
        invariant(amount >= 0, "nobody takes less than nothing")
        gained = max(0.0, now_s - self._filled_s) * self._per_s
        self._tokens = min(float(self._per_s), self._tokens + gained) - amount
        self._filled_s = max(self._filled_s, now_s)
        return max(0.0, -self._tokens / self._per_s)
