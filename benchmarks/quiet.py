"""Waiting for a quiet machine, and telling how quiet it was: other people's work makes a measurement say less."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.processes import TICKS_PER_S

SAMPLE_S = 0.5
# Of one core. Idle nodes and the system itself take a few hundredths.
QUIET_CORES = 0.25


def busy_cores(seconds: float = SAMPLE_S) -> float:
    """How many cores were busy on average over the next `seconds`, whoever kept them so (stolen time counts)."""
    before = _busy_s()
    time.sleep(seconds)
    return (_busy_s() - before) / seconds


def _busy_s() -> float:
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    idle = fields[3] + fields[4]
    return (sum(fields[:8]) - idle) / TICKS_PER_S


class QuietTime:
    """Call `wait` before each round, while nothing of ours works. Waits at most `patience_s` each time."""

    def __init__(self, patience_s: float, say: Callable[[str], None]) -> None:
        self._patience_s = patience_s
        self._say = say
        self.busy: list[float] = []

    def wait(self) -> None:
        until_s = time.monotonic() + self._patience_s
        busy = busy_cores()
        while busy > QUIET_CORES and time.monotonic() < until_s:
            busy = busy_cores()
        self.busy.append(busy)
        if busy > QUIET_CORES:
            self._say(f"others keep {busy:.1f} of {os.cpu_count()} cores busy; measuring all the same")

    def summary(self) -> str:
        disturbed = sum(busy > QUIET_CORES for busy in self.busy)
        return (f"before {disturbed} of {len(self.busy)} rounds others kept more than {QUIET_CORES} cores busy "
                f"(worst {max(self.busy, default=0.0):.1f})")
