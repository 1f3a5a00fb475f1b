"""From whom a copy of a chunk is fetched when one has to be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fluffy.base.ids import ChunkId, NodeNo

# A node that is down is asked last, not never: being wrong about it costs little, and it may be the only one.
_RANK = {"up": 0, "draining": 0, "joining": 0, "suspect": 1}


def copy_sources(chunk_id: ChunkId, replicas: Sequence[NodeNo], own: NodeNo,
                 states: Mapping[NodeNo, str]) -> tuple[NodeNo, ...]:
    """The holders in the order to ask them: those that should answer first; among equals it begins at a place that
    depends on the chunk and on who asks, so that a node's reading is spread over all that hold copies.
    """
    holders = sorted(node for node in replicas if node != own)
    if not holders:
        return ()
    start = (chunk_id[0] + own) % len(holders)
    turned = [*holders[start:], *holders[:start]]
    return tuple(sorted(turned, key=lambda node: _RANK.get(states.get(node, "down"), 2)))
