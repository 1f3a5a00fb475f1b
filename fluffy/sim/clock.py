"""Virtual time: what happens next, in an order that only the seed decides, and the record of what happened.

Everything in a simulation is a call at a time. Two calls of one time run in the order in which they were asked for.
Nothing sleeps; an hour of waiting costs nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import TextIO

from blake3 import blake3

# A simulated cluster does a few ten thousand things; a million means that something runs in circles.
EVENTS_MAX = 1_000_000


class RunsInCircles(Exception):
    """The simulation did so much that it cannot be making progress."""


class Trace:
    """A running hash of everything that happened; optionally the text of it, for reading after a violation."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._hasher = blake3()
        self._file = file
        self.lines = 0

    def note(self, at_s: float, line: str) -> None:
        text = f"{at_s:.6f} {line}\n"
        self._hasher.update(text.encode())
        self.lines += 1
        if self._file is not None:
            self._file.write(text)

    def digest(self) -> str:
        return self._hasher.hexdigest(16)


class World:
    """The clock, the queue of what is to come, the one source of chance, and the trace."""

    def __init__(self, seed: int, trace: Trace | None = None) -> None:
        self.rng = Random(seed)
        self.trace = trace or Trace()
        self.now_s = 0.0
        # While a process runs, how much time it has spent in its present turn (disk syncs); see `clock`.
        self.spent_s = 0.0
        # Each process has its own monotonic clock, which says nothing about anybody else's.
        self.skew_s = 0.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._asked = 0
        self.events = 0

    def clock(self) -> float:
        """The monotonic clock of the process that is running."""
        return self.now_s + self.spent_s + self.skew_s

    def at(self, when_s: float, call: Callable[[], None]) -> None:
        """Run `call` at `when_s`, or now when that has passed."""
        self._asked += 1
        heapq.heappush(self._queue, (max(when_s, self.now_s), self._asked, call))

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        self.at(self.now_s + delay_s, call)

    def note(self, line: str) -> None:
        self.trace.note(self.now_s, line)

    def run_until(self, end_s: float, done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass up to `end_s`, or until `done` says so (asked after every event)."""
        while self._queue and self._queue[0][0] <= end_s:
            self.now_s, _, call = heapq.heappop(self._queue)
            self.events += 1
            if self.events > EVENTS_MAX:
                raise RunsInCircles(f"{EVENTS_MAX} events, and time stands at {self.now_s:.3f} s")
            call()
            if done():
                return
        self.now_s = max(self.now_s, end_s)
