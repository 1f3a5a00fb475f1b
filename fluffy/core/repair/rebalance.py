"""Moving copies from nodes that hold more than their share to those that hold less.

A node's share is proportional to its room (what it holds and what is free), but never more than all chunks once: a
node holds one copy of a chunk. Moving begins when some node is a tenth of its share off and ends when all are within a
twenty-fifth, so that uploads and deletions do not set copies wandering. It comes in waves: the next one is planned when
the last one is done and the copies that became too many are gone, so nothing overshoots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fluffy.base.ids import NodeNo
from fluffy.core.metadata.model_jobs import ChunkLine, Job
from fluffy.core.repair.cluster_view import ClusterView
from fluffy.core.repair.plan import Planner

# Parts of a node's share, as divisors.
BEGIN_AT = 10
END_AT = 25
# Below so many of the largest chunks nobody is helped.
MOVED_CHUNKS_MIN = 4


def excesses(view: ClusterView, replication: int) -> dict[NodeNo, int]:
    """By how many bytes each node that may be given copies is above (below: negative) its share."""
    nodes = [node for node in view.nodes.values() if node.is_certain]
    total = sum(node.bytes for node in nodes)
    cap = total // max(1, min(replication, len(nodes)))
    shares: dict[NodeNo, int] = {}
    rest = total
    waiting = sorted(nodes, key=lambda node: (-(node.bytes + node.free_bytes), node.no))
    while waiting:
        room = sum(node.bytes + node.free_bytes for node in waiting)
        node = waiting.pop(0)
        shares[node.no] = min(cap, rest * (node.bytes + node.free_bytes) // max(1, room))
        rest -= shares[node.no]
    return {node.no: node.bytes - shares[node.no] for node in nodes}


def is_due(view: ClusterView, excess: Mapping[NodeNo, int], *, chunk_size: int, moving: bool) -> bool:
    """Whether some node is too far off. `moving`: whether the last look said so."""
    divisor = END_AT if moving else BEGIN_AT
    return any(abs(off) > max(MOVED_CHUNKS_MIN * chunk_size, (view.nodes[no].bytes - off) // divisor)
               for no, off in excess.items())


class Wave:
    """One wave: what each node should still give away (positive) or get (negative)."""

    def __init__(self, view: ClusterView, excess: Mapping[NodeNo, int], planner: Planner) -> None:
        self._view = view
        self._planner = planner
        self._off = dict(excess)

    @property
    def is_over(self) -> bool:
        """Nobody has to give, or nobody has to get."""
        return max(self._off.values(), default=0) <= 0 or min(self._off.values(), default=0) >= 0

    def look_at(self, chunk: ChunkLine, jobs: Sequence[Job]) -> None:
        """Order one more copy of a chunk on a node below its share, if it is on one above; then one is too many."""
        view = self._view
        certain = view.certain(chunk.replicas)
        if jobs or len(certain) != len(chunk.replicas) or len(certain) != chunk.wanted:
            return
        givers = [no for no in certain if self._off.get(no, 0) >= chunk.length]
        if not givers:
            return
        giver = max(givers, key=lambda no: (self._off[no], no))
        zones = {view.zone(no) for no in certain if no != giver}
        taken = (*chunk.replicas, *self._planner.dropping.get(chunk.chunk_id, ()))
        takers = [no for no, off in self._off.items()
                  if no not in taken and off <= -chunk.length and view.zone(no) not in zones]
        if not takers:
            return
        taker = min(takers, key=lambda no: (self._off[no], no))
        if self._planner.order("rebalance", chunk, taker, "imbalance", left=len(certain)):
            self._off[giver] -= chunk.length
            self._off[taker] += chunk.length
