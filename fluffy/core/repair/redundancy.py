"""How many copies are left on nodes that answer, and what stopping one more would cost: sums over sets of copies.

A copy is *living* when its node takes part (up, draining or joining): what is suspect or down may come back, but
nobody may count on it. A chunk is *short* with fewer living copies than wanted, *endangered* with one, *away* with
none (some node that is not here has one), and *lost* when no member has a copy at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from fluffy.base.ids import NodeNo
from fluffy.core.metadata.queries_redundancy import CopySet

LIVING_STATES = frozenset({"up", "draining", "joining"})


@dataclass(frozen=True, slots=True)
class Coverage:
    """Referenced chunks by how many living copies they have; each is in exactly one of the five counts."""

    whole: int = 0
    short: int = 0
    endangered: int = 0
    away: int = 0
    lost: int = 0
    missing_copies: int = 0
    missing_bytes: int = 0

    @property
    def chunks(self) -> int:
        return self.whole + self.short + self.endangered + self.away + self.lost


@dataclass(frozen=True, slots=True)
class StopCost:
    """What stopping a node now would do to the chunks. `gone`: the sets of copies behind `gone_chunks`.

    `gone_chunks` have their only living copy there; `last_chunks` would be left with one although they want more.
    """

    gone: tuple[tuple[NodeNo, ...], ...]
    gone_chunks: int
    last_chunks: int
    held_chunks: int
    held_bytes: int


def coverage(sets: Iterable[CopySet], living: Set[NodeNo], members: Set[NodeNo]) -> Coverage:
    """`members`: all nodes of the cluster, whatever their state."""
    whole = short = endangered = away = lost = copies = size = 0
    for each in sets:
        left = sum(node in living for node in each.nodes)
        if left >= each.wanted:
            whole += each.chunks
            continue
        copies += (each.wanted - left) * each.chunks
        size += (each.wanted - left) * each.bytes
        if left > 1:
            short += each.chunks
        elif left == 1:
            endangered += each.chunks
        elif any(node in members for node in each.nodes):
            away += each.chunks
        else:
            lost += each.chunks
    return Coverage(whole, short, endangered, away, lost, copies, size)


def unreadable_sets(sets: Iterable[CopySet], living: Set[NodeNo]) -> tuple[tuple[NodeNo, ...], ...]:
    """The sets of copies of which none is living."""
    return _distinct(each.nodes for each in sets if not any(node in living for node in each.nodes))


def cost_of_stop(sets: Sequence[CopySet], living: Set[NodeNo], node: NodeNo) -> StopCost:
    """What the chunks would have left without `node`, beyond what they lack already."""
    gone = []
    gone_chunks = last_chunks = held_chunks = held_bytes = 0
    for each in sets:
        if node not in each.nodes:
            continue
        held_chunks += each.chunks
        held_bytes += each.bytes
        if node not in living:
            continue
        left = sum(other in living for other in each.nodes) - 1
        if left == 0:
            gone.append(each.nodes)
            gone_chunks += each.chunks
        elif left == 1 and each.wanted > 1:
            last_chunks += each.chunks
    return StopCost(_distinct(gone), gone_chunks, last_chunks, held_chunks, held_bytes)


def _distinct(sets: Iterable[tuple[NodeNo, ...]]) -> tuple[tuple[NodeNo, ...], ...]:
    return tuple(dict.fromkeys(sets))
