"""How fast background work may go: the plain knob `repair: quiet | balanced | fast`, a token bucket, and feedback.

Users come first: background bytes share disks and wires with them. The knob says what a node's background work may take
at most. Below that the rate follows the users' own times (additive increase, multiplicative decrease, as in TCP: Chiu
and Jain, 1989): as soon as their 99th percentile is half as long again as it is while nothing runs in the background,
the rate is halved; while it is not, the rate grows back in steps.

Chunks of which one copy is left do not wait for good times: they have a floor of their own, which nobody halves.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.checks import invariant
from fluffy.base.units import KIB, MIB


@dataclass(frozen=True, slots=True)
class Pace:
    """`copies_max`: chunks copied at the same time by one node; `bytes_per_s`: of one node, at most."""

    copies_max: int
    bytes_per_s: int


# A gigabit wire carries 119 MiB/s: a twelfth of it, a half, and as much as a 10-gigabit wire and a good disk give.
PACES = {
    "quiet": Pace(copies_max=1, bytes_per_s=10 * MIB),
    "balanced": Pace(copies_max=2, bytes_per_s=60 * MIB),
    "fast": Pace(copies_max=4, bytes_per_s=600 * MIB),
}
COPIES_AT_ONCE_MAX = max(pace.copies_max for pace in PACES.values())
# What endangered chunks get whatever users feel: a lost disk of 100 GiB with one copy left is safe again in an hour
# when ten nodes share the work.
ENDANGERED_BYTES_PER_S = 4 * MIB
# A chunk of a few bytes costs files, names and a log entry too.
CHUNK_COST_BYTES = 64 * KIB

# Users' times this far above their idle value halve the rate.
STRAIN_PERCENT = 150
# A percentile of a few milliseconds is half as long again for no reason at all.
STRAIN_MS_MIN = 5
# Fewer requests than this in a window have no percentile worth the name: then users are few, and in nobody's way.
REQUESTS_MIN = 20
# The rate is never halved more often than the window of times moves on.
HALVED_EVERY_S = 3.0
# Of the knob's rate: never below a sixteenth, nor below what a chunk of 8 MiB needs to come within a lease; back in
# twenty steps (a step a second).
FLOOR_DIVISOR = 16
FLOOR_BYTES_PER_S = 1 * MIB
STEP_DIVISOR = 20
# A new idle value moves the known one by a quarter.
IDLE_SHARE = 4
invariant(PACES["quiet"].bytes_per_s > ENDANGERED_BYTES_PER_S, "the floor of the endangered is no faster than quiet")


class TokenBucket:
    """Tells how long to wait before the next `amount`. Full at the start; holds one second's worth at most.

    It allows debt, so one piece larger than the burst is possible, and is paid for by waiting afterwards.
    """

    def __init__(self, per_s: int, now_s: float) -> None:
        invariant(per_s > 0, "a bucket fills")
        self._per_s = per_s
        self._tokens = float(per_s)
        self._filled_s = now_s

    def set_rate(self, per_s: int, now_s: float) -> None:
        """From now on; what was gained or is owed stays, up to the new burst."""
        invariant(per_s > 0, "a bucket fills")
        self._fill(now_s)
        self._per_s = per_s
        self._tokens = min(self._tokens, float(per_s))

    def wait_s(self, amount: int, now_s: float) -> float:
        """What `take` would return, without taking."""
        self._fill(now_s)
        return max(0.0, (amount - self._tokens) / self._per_s)

    def take(self, amount: int, now_s: float) -> float:
        """Take `amount` at once, in debt if need be; returns the seconds to wait before using it."""
        invariant(amount >= 0, "nobody takes less than nothing")
        self._fill(now_s)
        self._tokens -= amount
        return max(0.0, -self._tokens / self._per_s)

    def _fill(self, now_s: float) -> None:
        gained = max(0.0, now_s - self._filled_s) * self._per_s
        self._tokens = min(float(self._per_s), self._tokens + gained)
        self._filled_s = max(self._filled_s, now_s)


@dataclass(frozen=True, slots=True)
class UserTimes:
    """What users of one node felt in the last few seconds: how many requests for files, and their 99th percentile."""

    requests: int
    p99_ms: float


class Feedback:
    """The rate of one node's background work, from its users' times. Call `observe` once a second."""

    def __init__(self, pace: Pace, now_s: float) -> None:
        self._pace = pace
        self._halved_s = now_s - HALVED_EVERY_S
        self.bytes_per_s = pace.bytes_per_s
        self.idle_p99_ms: float | None = None
        self.halvings = 0

    def set_pace(self, pace: Pace) -> None:
        """Another knob: begins with all that it allows."""
        if pace != self._pace:
            self._pace = pace
            self.bytes_per_s = pace.bytes_per_s

    def observe(self, users: UserTimes | None, is_working: bool, now_s: float) -> int:
        """`users`: None when nothing is known. `is_working`: whether background bytes moved in the same seconds.

        Returns the rate for the next second.
        """
        if users is None or users.requests < REQUESTS_MIN:
            self._grow()
        elif not is_working:
            self._learn_idle(users.p99_ms)
            self._grow()
        elif self._is_strained(users.p99_ms):
            if now_s - self._halved_s >= HALVED_EVERY_S:
                self._halved_s = now_s
                self.halvings += 1
                floor = max(FLOOR_BYTES_PER_S, self._pace.bytes_per_s // FLOOR_DIVISOR)
                self.bytes_per_s = max(floor, self.bytes_per_s // 2)
        else:
            self._grow()
        return self.bytes_per_s

    def _learn_idle(self, p99_ms: float) -> None:
        known = self.idle_p99_ms
        self.idle_p99_ms = p99_ms if known is None else known + (p99_ms - known) / IDLE_SHARE

    def _is_strained(self, p99_ms: float) -> bool:
        if self.idle_p99_ms is None or p99_ms < self.idle_p99_ms:
            # Never idle yet, or better than that: times without background work cannot be worse.
            self._learn_idle(p99_ms)
        idle = self.idle_p99_ms or p99_ms
        return p99_ms * 100 > idle * STRAIN_PERCENT and p99_ms > idle + STRAIN_MS_MIN

    def _grow(self) -> None:
        step = self._pace.bytes_per_s // STEP_DIVISOR
        self.bytes_per_s = min(self._pace.bytes_per_s, self.bytes_per_s + step)
