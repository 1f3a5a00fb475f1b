"""One deadline for a whole request, passed down; no hop invents a fresh timeout."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant on this process's monotonic clock (`time.monotonic`, the clock asyncio and uvloop use too)."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    @property
    def left_s(self) -> float:
        """Seconds left; never negative."""
        return max(0.0, self.at_s - time.monotonic())

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self.at_s

    def at_most(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now: for one step of a longer request."""
        return Deadline(min(self.at_s, time.monotonic() + seconds))
