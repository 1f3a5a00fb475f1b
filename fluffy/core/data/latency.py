"""How long each peer usually takes, and who does not answer just now: the memory behind read order and hedging."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from fluffy.base.checks import invariant
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
# For so long a peer that another one overtook is asked last; doubled each time it happens again. One slow answer of a
# healthy peer costs it a second of readers; of a stopped one, one reader in a while finds out that it is still so.
DOUBT_MS_FIRST = 1_000
DOUBT_MS_MAX = 16_000
invariant(HEDGE_MS_MAX <= DOUBT_MS_FIRST, "a doubt outlasts the wait that raised it")


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


@dataclass(frozen=True, slots=True)
class _Doubt:
    until_ms: int
    lasting_ms: int


class Doubts:
    """Peers that did not answer in their usual time, by a reader's own experience: sooner than any map can say so.

    Times are of one monotonic clock. Bounded by the number of nodes.
    """

    def __init__(self) -> None:
        self._doubts: dict[NodeNo, _Doubt] = {}

    def overtaken(self, node: NodeNo, now_ms: int) -> None:
        """It still owed its answer when another node had given it. Many requests of one moment count once."""
        doubt = self._doubts.get(node)
        if doubt is not None and now_ms < doubt.until_ms:
            return
        lasting_ms = DOUBT_MS_FIRST if doubt is None else min(DOUBT_MS_MAX, 2 * doubt.lasting_ms)
        self._doubts[node] = _Doubt(now_ms + lasting_ms, lasting_ms)

    def answered(self, node: NodeNo) -> None:
        self._doubts.pop(node, None)

    def doubtful(self, now_ms: int) -> frozenset[NodeNo]:
        return frozenset(node for node, doubt in self._doubts.items() if now_ms < doubt.until_ms)
