"""Why each copy is where it is: the copies of a file's chunks beside the placement, alike ones put together.

Chunks are alike when the same nodes hold them, the same nodes should, and they want as many copies; so a file of
ten thousand chunks on five nodes is a handful of groups. Ranks are positions in the chunk's own order of nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.queries_redundancy import PlacedChunk

# chunk -> all eligible nodes in its placement order.
Order = Callable[[ChunkId], Sequence[NodeNo]]


@dataclass(slots=True)
class Group:
    """Chunks of one file that are alike. `spans`: their indexes, runs joined: [first, last]."""

    nodes: tuple[NodeNo, ...]
    placed: frozenset[NodeNo]
    wanted: int
    chunks: int = 0
    bytes: int = 0
    spans: list[list[int]] = field(default_factory=list)
    ranks: dict[NodeNo, tuple[int, int]] = field(default_factory=dict)
    ids: list[ChunkId] = field(default_factory=list)

    def add(self, chunk: PlacedChunk, order: Sequence[NodeNo]) -> None:
        self.chunks += 1
        self.bytes += chunk.length
        self.ids.append(chunk.chunk_id)
        if self.spans and self.spans[-1][1] == chunk.index - 1:
            self.spans[-1][1] = chunk.index
        else:
            self.spans.append([chunk.index, chunk.index])
        for rank, node in enumerate(order, 1):
            low, high = self.ranks.get(node, (rank, rank))
            self.ranks[node] = (min(low, rank), max(high, rank))

    def living(self, living: Set[NodeNo]) -> int:
        return sum(node in living for node in self.nodes)

    @property
    def lacking(self) -> tuple[NodeNo, ...]:
        """Nodes that should hold a copy and do not, ascending."""
        return tuple(sorted(self.placed.difference(self.nodes)))


def group_alike(chunks: Iterable[PlacedChunk], order: Order, groups_max: int) -> tuple[list[Group], int | None]:
    """The groups, in the order of their first chunks, and the index to go on from; None when all were put into one.

    Ends before the chunk that would make one group more than `groups_max`.
    """
    groups: dict[tuple[tuple[NodeNo, ...], frozenset[NodeNo], int], Group] = {}
    for chunk in chunks:
        ranked = order(chunk.chunk_id)
        placed = frozenset(ranked[:chunk.wanted])
        key = (chunk.nodes, placed, chunk.wanted)
        group = groups.get(key)
        if group is None:
            if len(groups) == groups_max:
                return list(groups.values()), chunk.index
            group = groups[key] = Group(chunk.nodes, placed, chunk.wanted)
        group.add(chunk, ranked)
    return list(groups.values()), None


def why_here(group: Group, node: NodeNo, state: str = "up") -> str:
    """Why `node`, which is in that state, holds a copy: one clause."""
    if state in ("down", "suspect"):
        return "its node does not answer; the copy counts again when it does"
    if state == "draining":
        return "its node is being emptied; the copy is read from and does not count for long"
    ranks = group.ranks.get(node)
    if ranks is None:
        return "no node that the placement would choose now; its copy counts until another one is made"
    low, high = ranks
    rank = f"rank {low}" if low == high else f"ranks {low} to {high}"
    if node in group.placed:
        return f"{rank} in the placement of {'this chunk' if group.chunks == 1 else 'these chunks'}"
    return f"{rank}: stands in, or the file was written through it"


def how_covered(group: Group, living: Set[NodeNo]) -> str:
    """`whole`, `short`, `endangered`, `away` or `lost`, as `redundancy` says it of sums."""
    left = group.living(living)
    if left >= group.wanted:
        return "whole"
    if left > 1:
        return "short"
    if left == 1:
        return "endangered"
    return "away" if group.nodes else "lost"


def what_blocks_group(group: Group, living: Set[NodeNo], name: Callable[[NodeNo], str],
                      pending_errors: Sequence[str | None]) -> str:
    """Why the group is not whole; empty: it is, or jobs are on their way. `pending_errors`: the last of its jobs."""
    how = how_covered(group, living)
    away = ", ".join(name(node) for node in group.nodes if node not in living)
    if how == "whole":
        return ""
    if how == "away":
        return f"nothing can be copied until one of these is back: {away}"
    if how == "lost":
        return "no node has a copy: restore the file from elsewhere"
    if pending_errors:
        failed = sorted({error for error in pending_errors if error})
        return f"its jobs failed so far: {', '.join(failed)}" if failed else ""
    if not group.lacking:
        return f"no node is left that could take a copy: {len(group.ranks)} can, {group.wanted} are wanted"
    if away:
        return f"no job yet: {away} may come back within repair.grace; endangered chunks do not wait"
    return "no job yet: the leader plans one within seconds"
