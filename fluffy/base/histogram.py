"""Counting how long things take, or how large they are, cheaply enough to do it every time.

A histogram is a few integers: how many values fell below each bound. Whoever asks computes quantiles from them, over
any time and any number of machines, which no average and no percentile of one process allows.
"""

from __future__ import annotations

from bisect import bisect_left

# From a lookup in memory to a long transfer.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
# What a disk or a neighbour does: from a cached write to one that stands still.
SHORT_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
# How many go together.
NUMBERS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


class Histogram:
    """`counts[i]`: values up to `bounds[i]` and above the bound before; the last one counts what is above them all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
