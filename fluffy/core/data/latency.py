"""How long each peer usually takes: the memory behind read order and hedging."""

from __future__ import annotations

from collections import deque

from fluffy.base.ids import NodeNo

# Enough for a 95th percentile that follows a change within a minute of ordinary reading.
SAMPLES_MAX = 64
# Fewer samples say nothing about the slowest twentieth.
SAMPLES_MIN = 8
# Never hedge sooner: a garbage collection or a disk flush is not a failure. Never later: a person waits.
HEDGE_MS_MIN = 30
HEDGE_MS_MAX = 1000
# Before anything is known.
HEDGE_MS_FIRST = 300


class Latencies:
    """Of one kind of request (answers of about one size). Bounded by the number of nodes."""

    def __init__(self) -> None:
        self._samples: dict[NodeNo, deque[int]] = {}

    def record(self, node: NodeNo, took_ms: int) -> None:
        self._samples.setdefault(node, deque(maxlen=SAMPLES_MAX)).append(took_ms)

    def hedge_after_ms(self, node: NodeNo) -> int:
        """The node's 95th percentile within bounds."""
        samples = self._samples.get(node, ())
        if len(samples) < SAMPLES_MIN:
            return HEDGE_MS_FIRST
        slowest = sorted(samples)[len(samples) * 95 // 100]
        return max(HEDGE_MS_MIN, min(HEDGE_MS_MAX, slowest))

    def medians_ms(self) -> dict[NodeNo, int]:
        return {node: sorted(samples)[len(samples) // 2] for node, samples in self._samples.items()}
