"""What users of this gateway felt in the last few seconds, for the keeper, which slows down when they suffer.

Only requests for files count, and only those that moved little: the time of a large transfer is its size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

from fluffy.base.units import MIB
from fluffy.core.health.pacing import UserTimes

# A percentile over less jumps; over more it tells of what is long over.
WINDOW_SECONDS = 5
BYTES_MAX = MIB
# Upper bounds in milliseconds, each a tenth above the one before: a percentile is right to a tenth.
BOUNDS_MS = tuple(1.1**step for step in range(120))


@dataclass(slots=True)
class Traffic:
    """Answered requests and the bytes of their bodies, since the gateway's start."""

    requests: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0

    def note(self, sent_bytes: int, received_bytes: int) -> None:
        self.requests += 1
        self.sent_bytes += sent_bytes
        self.received_bytes += received_bytes


class UserTimesTally:
    """`note` each request, `turn` once a second. One thread."""

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque([_empty()], maxlen=WINDOW_SECONDS)
        self.traffic = Traffic()

    def note(self, seconds: float, moved_bytes: int) -> None:
        if moved_bytes <= BYTES_MAX:
            self._seconds[-1][bisect_left(BOUNDS_MS, seconds * 1000)] += 1

    def turn(self) -> UserTimes:
        """The window up to now; the next second begins."""
        counts = [sum(column) for column in zip(*self._seconds, strict=True)]
        self._seconds.append(_empty())
        return _percentile(counts)


def _empty() -> list[int]:
    return [0] * (len(BOUNDS_MS) + 1)


def _percentile(counts: list[int]) -> UserTimes:
    total = sum(counts)
    left = total - total * 99 // 100
    for index in range(len(counts) - 1, -1, -1):
        left -= counts[index]
        if left <= 0 and total:
            return UserTimes(total, round(BOUNDS_MS[min(index, len(BOUNDS_MS) - 1)], 2))
    return UserTimes(0, 0.0)


def worst_of(gateways: list[UserTimes], requests_min: int) -> UserTimes | None:
    """Of the gateways with enough requests the slowest; with few in each, all requests together and the slowest time.

    None: nobody says anything.
    """
    if not gateways:
        return None
    judged = [times for times in gateways if times.requests >= requests_min] or gateways
    return UserTimes(sum(times.requests for times in gateways), max(times.p99_ms for times in judged))
