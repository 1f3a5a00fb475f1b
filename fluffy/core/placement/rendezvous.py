"""Which nodes should hold a chunk: weighted rendezvous hashing over the committed placement map.

Every node scores every chunk by itself: hash the pair (chunk, node) to a number u in (0, 1) and take -log(u) / weight;
the smallest scores win (Thaler and Ravishankar 1998; the weighted form after Schindelhauer and Schomaker 2005). A
node's score does not depend on who else is there, so a node that comes takes over exactly its share, a node that goes
gives away exactly its own, and nothing moves between the others. With no state but the map, every node computes the
same answer.

The logarithm is done in integers: scores of two machines, two compilers and two maths libraries must be equal to the
last bit, since the answer is compared across nodes (who heals what, what is misplaced).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import xxhash

from fluffy.base.checks import invariant
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.commands import NodeState
from fluffy.core.metadata.model import PlacementMap

_HASH_BITS = 64
_TABLE_BITS = 10  # 1,024 steps: interpolating between them is off by less than 1e-6
_FRACTION_BITS = 40
_INDEX_SHIFT = _HASH_BITS - 1 - _TABLE_BITS


def place(chunk_id: ChunkId, placement: PlacementMap, count: int, own: NodeNo | None) -> list[NodeNo]:
    """All candidates for a chunk, best first; the first `count` are its placement, the rest stand in for them.

    The own node comes first when it is up. Zones are kept apart: each zone is taken once before any is taken twice.
    Nodes that are suspect come last, in the same order among themselves, so that they are asked only when nobody
    else is left. Nodes that are draining or joining are not candidates; nodes that are down neither, unless without
    them there are fewer than `count`: then they come after all others, since the map may be older than the truth, and
    a node that takes the bytes is not down. `count`: how many the caller cannot do without; the order of the others
    never depends on it.
    """
    invariant(count > 0, "a chunk is placed on at least one node")
    up = _ranked(chunk_id, placement.nodes, "up")
    suspect = _ranked(chunk_id, placement.nodes, "suspect")
    order = zones_apart(up, own) + zones_apart(suspect, None)
    if len(order) < count:
        order += zones_apart(_ranked(chunk_id, placement.nodes, "down"), None)
    return order


def zones_apart(ranked: Sequence[NodeState], first: NodeNo | None) -> list[NodeNo]:
    """`ranked` with `first` (if in it) moved to the front, and every zone taken once before any is taken again.

    A zone's name is free text; nodes without one (empty) count as one zone each: nothing is known to join them.
    """
    waiting = sorted(ranked, key=lambda node: node.node_no != first)
    order: list[NodeNo] = []
    while waiting:
        taken: set[str] = set()
        later: list[NodeState] = []
        for node in waiting:
            if node.zone and node.zone in taken:
                later.append(node)
            else:
                taken.add(node.zone)
                order.append(node.node_no)
        waiting = later
    return order


def _ranked(chunk_id: ChunkId, nodes: Iterable[NodeState], state: str) -> list[NodeState]:
    """Nodes in `state` by score; equal scores by node number, so that the order is total."""
    eligible = [node for node in nodes if node.state == state and node.weight > 0]
    if len(eligible) < 2:
        return eligible
    return sorted(eligible, key=lambda node: (_score(chunk_id, node), node.node_no))


def _score(chunk_id: ChunkId, node: NodeState) -> int:
    """-log2(u) / weight as an integer; 24 more bits than the log's own, so that large weights do not round to ties."""
    u = xxhash.xxh3_64_intdigest(chunk_id, seed=node.node_no)
    return (minus_log2(u) << 24) // node.weight


def minus_log2(u: int) -> int:
    """-log2(u / 2^64) for 0 <= u < 2^64, times 2^40, in integers; never increases with u."""
    if u == 0:
        return (_HASH_BITS + 1) << _FRACTION_BITS
    bits = u.bit_length()
    mantissa = u << (_HASH_BITS - bits)  # in [2^63, 2^64)
    index = (mantissa >> _INDEX_SHIFT) - (1 << _TABLE_BITS)
    rest = mantissa & ((1 << _INDEX_SHIFT) - 1)
    low, high = _LOG2[index], _LOG2[index + 1]
    fraction = low + ((high - low) * rest >> _INDEX_SHIFT)
    return ((_HASH_BITS - bits + 1) << _FRACTION_BITS) - fraction


def _log2_table() -> tuple[int, ...]:
    """log2(1 + i / 1024) times 2^40, by repeated squaring of a fixed-point number: exact the same everywhere."""
    table = []
    for i in range((1 << _TABLE_BITS) + 1):
        x = ((1 << _TABLE_BITS) + i) << (62 - _TABLE_BITS)  # 1.0 is 2^62
        result = 0
        if x >> 63:  # the last entry: log2(2)
            result, x = 1, x >> 1
        for _ in range(_FRACTION_BITS):
            x = x * x >> 62
            result <<= 1
            if x >> 63:
                result |= 1
                x >>= 1
        table.append(result)
    return tuple(table)


_LOG2 = _log2_table()
invariant(_LOG2[0] == 0 and _LOG2[-1] == 1 << _FRACTION_BITS, "log2 runs from 0 to 1 over one octave")
invariant(all(a < b for a, b in pairwise(_LOG2)), "the table is strictly rising")
