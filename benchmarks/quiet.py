"""Rounds on a machine that other people use too: wait for quiet, measure what the others did, keep the quietest rounds.

What others do is known without looking at them: all busy time of the machine (/proc/stat) minus that of our own process
and its children. A round is chosen by that alone, never by its result.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.report import Figure
from tests.support.processes import TICKS_PER_S, descendants, usage

SAMPLE_S = 0.5
# Of one core. Idle nodes and the system itself take a few hundredths.
QUIET_CORES = 0.25
# At most so many times the wanted rounds are tried for quiet ones.
ATTEMPTS_FACTOR = 2


def _busy_s() -> float:
    """CPU seconds of the whole machine that were not idle; stolen ones count."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / TICKS_PER_S


def _ours_s() -> float:
    own = os.getpid()
    return sum(usage(pid).cpu_s for pid in (own, *descendants(own)))


class Others:
    """Cores that others kept busy since this object was made."""

    def __init__(self) -> None:
        self._began = (time.monotonic(), _busy_s(), _ours_s())

    def cores(self) -> float:
        began_s, busy_s, ours_s = self._began
        return max(0.0, (_busy_s() - busy_s) - (_ours_s() - ours_s)) / (time.monotonic() - began_s)


class QuietRounds:
    """`for number in rounds.run():` measures; `rounds.keep(figures)` then drops the disturbed rounds."""

    def __init__(self, wanted: int, patience_s: float, say: Callable[[str], None]) -> None:
        self.wanted = wanted
        self._patience_s = patience_s
        self._say = say
        self._others: list[float] = []
        self.kept: list[float] = []

    def run(self) -> Iterator[int]:
        """Numbers of rounds, until enough were quiet or too many were tried."""
        self._others = []
        for number in range(ATTEMPTS_FACTOR * self.wanted):
            self._wait()
            others = Others()
            yield number
            self._others.append(others.cores())
            self._say(f"  (others kept {self._others[-1]:.2f} cores busy)")
            if sum(cores <= QUIET_CORES for cores in self._others) >= self.wanted:
                return

    def keep(self, figures: Sequence[Figure]) -> list[Figure]:
        """The figures with the values of the quietest rounds only."""
        quietest = sorted(sorted(range(len(self._others)), key=lambda number: self._others[number])[:self.wanted])
        self.kept += [self._others[number] for number in quietest]
        for figure in figures:
            figure.ours = [figure.ours[number] for number in quietest]
            figure.bare = [figure.bare[number] for number in quietest] if figure.bare else []
        return list(figures)

    def summary(self) -> str:
        disturbed = sum(cores > QUIET_CORES for cores in self.kept)
        return (f"in {disturbed} of {len(self.kept)} rounds that count others kept more than {QUIET_CORES} cores busy "
                f"(worst {max(self.kept, default=0.0):.2f})")

    def _wait(self) -> None:
        until_s = time.monotonic() + self._patience_s
        while time.monotonic() < until_s:
            others = Others()
            time.sleep(SAMPLE_S)
            if others.cores() <= QUIET_CORES:
                return
