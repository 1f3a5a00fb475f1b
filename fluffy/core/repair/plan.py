"""What should be done about a chunk: the plan, looked at anew each time from the committed state.

Level-triggered: nothing is remembered but what is in the state. The same chunk with the same jobs gives the same
orders, so a leader's death, a lost command or a plan made twice does no harm.

    too few copies count             repair (drain, when only an emptied node is the reason)
    one live copy or none else       repair at once, whatever the grace
    two copies in one zone           a further copy in a free zone (rebalance); then there is one too many
    more certain copies than wanted  drop, of the one that can best be spared
    nothing refers to it             drop all (the grace is in the query)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.commands_jobs import JobOrder
from fluffy.core.metadata.job_rules import COPYING_KINDS, priority_of
from fluffy.core.metadata.model_jobs import ChunkLine, Job
from fluffy.core.repair.cluster_view import ClusterView
from fluffy.core.repair.queues import Room

# Nodes that may take a chunk, best first: the placement's order.
Rank = Callable[[ChunkId], Sequence[NodeNo]]
Jobs = Mapping[ChunkId, Sequence[Job]]

REASONS: Mapping[str, str] = {
    "copies": "it has fewer copies than its bucket wants",
    "lost": "a node that held a copy has been down for longer than the grace",
    "endangered": "only one copy is on a node that answers",
    "draining": "a node that holds a copy is being emptied",
    "zone": "two of its copies are in one zone although another zone is free",
    "imbalance": "the node that holds it is fuller than its share, and this one emptier",
    "surplus": "it has more copies than its bucket wants",
    "unreferenced": "no file refers to it any more",
    "granted": "the copy was given up already, and the node has not told that its file is deleted",
    "asked": "somebody asked for it",
}


class Planner:
    """One round of planning: a view, the room in the queues, and the orders so far."""

    def __init__(self, view: ClusterView, room: Room, rank: Rank, spare_order: Mapping[NodeNo, int]) -> None:
        """`spare_order`: how far each node is above its share; the fullest gives its copy away first."""
        self._view = view
        self._room = room
        self._rank = rank
        self._spare_order = spare_order
        # Of chunks that are looked at: nodes that may be deleting their file right now.
        self.dropping: dict[ChunkId, tuple[NodeNo, ...]] = {}
        self.orders: list[JobOrder] = []

    def look_at(self, chunk: ChunkLine, jobs: Sequence[Job]) -> None:
        """Order what a referenced chunk needs. `jobs`: all that are about it."""
        if self._repair(chunk, jobs):
            return
        if len(self._view.certain(chunk.replicas)) > chunk.wanted:
            self._drop_surplus(chunk, jobs)
        else:
            self._part_zones(chunk, jobs)

    def look_at_free(self, chunk: ChunkLine, jobs: Sequence[Job]) -> None:
        """Order the removal of all copies of a chunk that nothing has referred to for the grace."""
        busy = {job.node_no for job in jobs}
        for no in self._view.live(chunk.replicas):
            if no not in busy:
                self.order("drop", chunk, no, "unreferenced")

    def order(self, kind: str, chunk: ChunkLine, no: NodeNo, reason: str, *, left: int = 0) -> bool:
        """Add an order if the node's queue has room; False when it has none."""
        if not self._room.take(no, kind):
            return False
        self.orders.append(JobOrder(kind, chunk.chunk_id, no, priority_of(kind, left),
                                    chunk.length if kind in COPYING_KINDS else 0, reason))
        return True

    def _repair(self, chunk: ChunkLine, jobs: Sequence[Job]) -> bool:
        """Whether copies are missing, ordered or not."""
        view = self._view
        counted, live = view.counted(chunk.replicas), view.live(chunk.replicas)
        endangered = len(live) <= 1 < chunk.wanted
        need = chunk.wanted - len(counted)
        if endangered:
            need = max(need, 2 - len(live))
        if need <= 0:
            return False
        if not live:
            return True  # nobody to copy from; whoever returns makes it possible
        kind, reason = "repair", "endangered" if endangered else "copies"
        leaving = [no for no in live if view.nodes[no].is_leaving]
        if not endangered and len(counted) + len(leaving) >= chunk.wanted:
            kind, reason = "drain", "draining"
        elif not endangered and any(no in view.nodes and view.nodes[no].is_lost for no in chunk.replicas):
            reason = "lost"
        pending = self._pending(jobs)
        for _ in range(need - len(pending)):
            target = self._target(chunk, jobs, [*counted, *pending], kind)
            if target is None:
                break
            self.order(kind, chunk, target, reason, left=len(live))
            pending.append(target)
        return True

    def _pending(self, jobs: Sequence[Job]) -> list[NodeNo]:
        """Nodes that are going to make a copy: not those that are stuck, nor those that are away with their queue."""
        return [job.node_no for job in jobs if job.kind in COPYING_KINDS and job.state != "stuck"
                and job.node_no in self._view.nodes and self._view.nodes[job.node_no].is_certain]

    def _target(self, chunk: ChunkLine, jobs: Sequence[Job], there: Sequence[NodeNo], kind: str,
                *, new_zone: bool = False) -> NodeNo | None:
        """Who should make a copy: by the placement's order, a zone without a copy before one that has some."""
        view = self._view
        taken = {*chunk.replicas, *there, *(job.node_no for job in jobs), *self.dropping.get(chunk.chunk_id, ())}
        zones = {view.zone(no) for no in there}
        second: NodeNo | None = None
        for no in self._rank(chunk.chunk_id):
            if no in taken or no not in view.nodes or not view.nodes[no].is_certain or not self._room.of(no, kind):
                continue
            if view.zone(no) not in zones:
                return no
            second = second or no
        return None if new_zone else second

    def _part_zones(self, chunk: ChunkLine, jobs: Sequence[Job]) -> None:
        """Where two copies share a zone and another zone has none: one more copy there."""
        counted = self._view.counted(chunk.replicas)
        there = [*counted, *self._pending(jobs)]
        zones = {self._view.zone(no) for no in there}
        if len(there) > chunk.wanted or len(zones) == len(there) or not self._view.live(counted):
            return
        target = self._target(chunk, jobs, there, "rebalance", new_zone=True)
        if target is not None:
            self.order("rebalance", chunk, target, "zone", left=len(counted))

    def _drop_surplus(self, chunk: ChunkLine, jobs: Sequence[Job]) -> None:
        """Give up what can best be spared: of two in one zone one, else the copy on the fullest node."""
        certain = self._view.certain(chunk.replicas)
        if self._pending(jobs):
            return  # a copy is on its way: what is too many is known afterwards
        dropping = {job.node_no for job in jobs if job.kind == "drop"}
        for _ in range(len(certain) - chunk.wanted - len(dropping)):
            rest = [no for no in certain if no not in dropping]
            victim = self._spare(chunk, rest)
            dropping.add(victim)
            self.order("drop", chunk, victim, "surplus")

    def _spare(self, chunk: ChunkLine, nodes: Sequence[NodeNo]) -> NodeNo:
        zones = [self._view.zone(no) for no in nodes]
        rank = {no: at for at, no in enumerate(self._rank(chunk.chunk_id))}
        return max(nodes, key=lambda no: (zones.count(self._view.zone(no)) > 1, self._spare_order.get(no, 0),
                                          rank.get(no, len(rank)), no))
