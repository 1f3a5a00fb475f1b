"""Which copy of a chunk to read, whom to ask when it fails, and when to ask a second one although nothing failed.

A hedge (Dean and Barroso, "The tail at scale", 2013) is a second request sent when the first takes longer than the
peer's 95th percentile: a few percent more requests, and one slow disk no longer slows every file with a copy on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import xxhash

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.model import PlacementMap

# One hedge: two slow peers at once are an overloaded cluster, and more requests would not help it.
ASKED_AT_ONCE_MAX = 2
_TRUST = {"up": 0, "draining": 0, "joining": 0, "suspect": 1}


@dataclass(frozen=True, slots=True)
class Fetch:
    node: NodeNo


@dataclass(frozen=True, slots=True)
class OutOfCopies:
    """Everybody was asked and nobody had a good copy. `failures` says why, by node."""

    failures: dict[NodeNo, str]


ReadStep = Fetch | OutOfCopies


class ChunkRead:
    """One chunk's way from its peers. The first good answer ends it; the caller then drops the other request."""

    def __init__(self, candidates: Sequence[NodeNo]) -> None:
        self._unused = deque(candidates)
        self._asked: set[NodeNo] = set()
        self._failures: dict[NodeNo, str] = {}

    def start(self) -> list[ReadStep]:
        return [self._fetch_next()] if self._unused else [OutOfCopies({})]

    def failed(self, node: NodeNo, code: str) -> list[ReadStep]:
        self._asked.discard(node)
        self._failures[node] = code
        if self._unused:
            return [self._fetch_next()]
        return [] if self._asked else [OutOfCopies(dict(self._failures))]

    @property
    def can_hedge(self) -> bool:
        return bool(self._unused) and len(self._asked) < ASKED_AT_ONCE_MAX

    def hedge_due(self) -> list[ReadStep]:
        """The first request takes unusually long."""
        return [self._fetch_next()] if self.can_hedge else []

    def _fetch_next(self) -> Fetch:
        node = self._unused.popleft()
        self._asked.add(node)
        return Fetch(node)


def read_order(chunk_id: ChunkId, replicas: Sequence[NodeNo], placement: PlacementMap, own: NodeNo,
               latency_ms: Mapping[NodeNo, int], doubtful: Set[NodeNo] = frozenset()) -> list[NodeNo]:
    """Peers to ask, best first: recorded copies on trusted nodes, then on doubtful ones, then anybody who is up.

    `doubtful`: nodes that owe the asker answers just now; they count as suspect, whatever the map says.

    Among equals the faster come first, in steps of a doubling, and within a step the chunk's own hash decides, so
    that readers spread over the copies. Nodes without a record are asked last: a copy made by repair a moment ago
    may not be in this node's state yet. A node the map calls down is still tried: being wrong about it costs little.
    """
    states = {node.node_no: node.state for node in placement.nodes}

    def rank(node: NodeNo) -> tuple[int, int, int]:
        trust = _TRUST.get(states.get(node, "down"), 2)
        if node in doubtful:
            trust = max(trust, _TRUST["suspect"])
        speed = latency_ms.get(node, 0).bit_length()
        return trust, speed, xxhash.xxh3_64_intdigest(chunk_id, seed=node)

    recorded = sorted({node for node in replicas if node != own}, key=rank)
    others = sorted((node for node, state in states.items()
                     if state == "up" and node != own and node not in replicas), key=rank)
    return recorded + others
