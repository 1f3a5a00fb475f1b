"""Which node makes a missing copy, and from whom.

Every node decides alone, from the same committed state: the placement's candidates in order, minus those that hold
the chunk; the first of them, as many as copies are missing, are the ones to act. So no two nodes copy the same chunk
for the same gap, and nobody has to ask. (Assigned jobs, leases and stealing come on top of this; a node that acts on
an old map only makes a copy too many, never one too few.)
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from fluffy.base.ids import NodeNo
from fluffy.core.metadata.model import MissingChunk


def healers(chunk: MissingChunk, candidates: Sequence[NodeNo]) -> tuple[NodeNo, ...]:
    """The nodes that should copy `chunk` now. `candidates`: all eligible nodes in the chunk's placement order."""
    gap = chunk.wanted - len(chunk.replicas)
    if gap <= 0:
        return ()
    return tuple(node for node in candidates if node not in chunk.replicas)[:gap]


def sources(chunk: MissingChunk, own: NodeNo, alive: Set[NodeNo]) -> tuple[NodeNo, ...]:
    """Nodes to fetch `chunk` from, in order: starts at a place that depends on the chunk and on who asks.

    So a returning node spreads its reading over all that hold copies instead of asking the lowest number.
    """
    holders = sorted(node for node in chunk.replicas if node != own and node in alive)
    if not holders:
        return ()
    start = (chunk.chunk_id[0] + own) % len(holders)
    return (*holders[start:], *holders[:start])


def most_endangered_first(chunks: Sequence[MissingChunk]) -> list[MissingChunk]:
    """Fewest copies left first; then by id, so that the order is the same everywhere."""
    return sorted(chunks, key=lambda chunk: (len(chunk.replicas), chunk.chunk_id))
