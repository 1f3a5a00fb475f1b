"""One round of the planner: from the committed state to the commands that the leader should propose.

Each round looks at a bounded part of the catalog and goes on there in the next one; when a pass is through, it begins
again. What is most urgent has a pass of its own. Measured with a million chunks and a dead node: half a second for a
whole pass, in stretches of some ten milliseconds.

    silent nodes   chunks that would have one live copy or none       (all of the catalog, in stretches)
    away nodes     chunks that have too few copies that count         (all of the catalog, in stretches)
    nobody away    chunks that have too few copies                    (by an index)
    always         too many copies; nothing refers to them            (by indexes)
    patrol         zones, balance                                     (all of the catalog, slowly)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_jobs import JobOrder
from fluffy.core.metadata.job_rules import COPYING_KINDS, QUEUE_JOBS_MAX, STUCK_JOBS_MAX
from fluffy.core.metadata.model import ClusterState, PlacementMap
from fluffy.core.metadata.model_jobs import ChunkLine, ChunkPage, Job
from fluffy.core.metadata.packing import pack_nodes
from fluffy.core.repair.cluster_view import DOWN, ClusterView, view_of
from fluffy.core.repair.plan import Planner
from fluffy.core.repair.queues import WINDOWS, Room
from fluffy.core.repair.rebalance import Wave, excesses, is_due

# (chunk, map) -> all eligible nodes in the chunk's placement order.
Candidates = Callable[[ChunkId, PlacementMap], Sequence[NodeNo]]

# A stretch of so many rows takes some ten milliseconds, most of it to find that nothing is wrong.
STRETCH_ROWS = 50_000
# Of one kind of chunks in one round: the queues hold not many more.
FOUND_MAX = 1_000
PATROL_ROWS = 2_000
# A wave looks at more, to find chunks that suit.
WAVE_STRETCHES_MAX = 10
# One round's commands stay small.
ORDERS_MAX = 2_000
CANCELS_MAX = 2_000
# Facts that nobody sees change too: a full disk, a cable.
STUCK_RETRY_MS = 600_000
NO_CHUNK = ChunkId(b"")
NOTHING_FREE = (-1, NO_CHUNK)


@dataclass(frozen=True, slots=True)
class Rules:
    """`grace_ms`: how long a node may be down before its copies are made anew.

    `forget_grace_ms`: how long chunks that nothing refers to are kept.
    """

    grace_ms: int
    forget_grace_ms: int


@dataclass(slots=True)
class Memory:
    """Where the next round goes on. May be thrown away at any time; a new leader begins with a new one."""

    urgent_after: int = 0
    short_after: int = 0
    missing_after: ChunkId = NO_CHUNK
    free_after: tuple[int, ChunkId] = NOTHING_FREE
    surplus_after: int = 0
    patrol_after: int = 0
    is_moving: bool = False


@dataclass(slots=True)
class Round:
    """What to propose, in this order. `has_more`: the next round should come at once."""

    leases_ended: bool = False  # leases or bars are over, and no command has noticed: an empty one does
    cancels: list[int] = field(default_factory=list)
    retries: list[int] = field(default_factory=list)
    orders: list[JobOrder] = field(default_factory=list)

    @property
    def has_more(self) -> bool:
        return bool(self.orders)


def plan_round(db: sqlite3.Connection, memory: Memory, state: ClusterState, rules: Rules, rank: Candidates,
               now_ms: int) -> Round:
    """Look at the next part of the state. `now_ms`: log time as it would be if something were proposed now."""
    placement = queries.placement_map(db)
    view = view_of(queries.members(db), {node.node_no: node.weight for node in placement.nodes},
                   queries.node_healths(db), queries.node_intents(db), now_ms=now_ms, grace_ms=rules.grace_ms)
    result = Round()
    result.leases_ended = queries.has_ended_leases(db, now_ms)
    _tidy_queues(db, view, result, now_ms)
    excess = excesses(view, state.settings.replication)
    closed = [queue.node_no for queue in queries.queues(db) if queue.stuck >= STUCK_JOBS_MAX]
    room = Room(queries.queued_by_kind(db), closed)
    looker = _Looker(db, Planner(view, room, lambda chunk_id: rank(chunk_id, placement), excess))
    looker.look_at_short(view, memory)
    looker.look_at_surplus(view, memory)
    looker.look_at_drops(view, memory, now_ms - rules.forget_grace_ms)
    looker.look_at_wishes(view)
    looker.patrol(view, memory, state, excess)
    result.orders = looker.planner.orders[:ORDERS_MAX]
    return result


def _tidy_queues(db: sqlite3.Connection, view: ClusterView, result: Round, now_ms: int) -> None:
    """Take back what nodes that are down or leaving will not do; let stuck jobs try again when the facts are others."""
    for queue in queries.queues(db):
        node = view.nodes.get(queue.node_no)
        if node is None or node.is_certain or not queue.load.queued:
            continue
        for job in queries.jobs_of_node(db, queue.node_no, "queued", QUEUE_JOBS_MAX):
            if node.state == DOWN or (node.is_leaving and job.kind in COPYING_KINDS):
                result.cancels.append(job.no)
    changed_ms = max((health.since_ms for health in queries.node_healths(db)), default=0)
    stuck = queries.stuck_jobs(db, STUCK_JOBS_MAX)
    lines = queries.chunk_lines(db, [job.chunk_id for job in stuck])
    for job in stuck:
        line = lines.get(job.chunk_id)
        replicas = () if line is None else line.replicas
        if not _can_do(view, job) or (job.kind in COPYING_KINDS and (line is None or job.node_no in replicas)):
            result.cancels.append(job.no)
        elif changed_ms > job.stuck_ms or now_ms - job.stuck_ms >= STUCK_RETRY_MS or pack_nodes(replicas) != job.seen:
            result.retries.append(job.no)
    result.cancels = result.cancels[:CANCELS_MAX]


def _can_do(view: ClusterView, job: Job) -> bool:
    node = view.nodes.get(job.node_no)
    return node is not None and (node.is_certain if job.kind in COPYING_KINDS else node.is_live)


def _unknown(chunk_id: ChunkId) -> ChunkLine:
    """What an order needs of a chunk that the catalog need not know."""
    return ChunkLine(0, chunk_id, 0, 0, 0, (), None)


class _Looker:
    """Walks over the parts of the catalog, each chunk once in a round."""

    def __init__(self, db: sqlite3.Connection, planner: Planner) -> None:
        self._db = db
        self._seen: set[ChunkId] = set()
        self.planner = planner

    def _look(self, chunks: Iterable[ChunkLine], look: Callable[[ChunkLine, Sequence[Job]], None]) -> None:
        fresh = [chunk for chunk in chunks if chunk.chunk_id not in self._seen]
        self._seen.update(chunk.chunk_id for chunk in fresh)
        ids = [chunk.chunk_id for chunk in fresh]
        jobs = queries.jobs_of_chunks(self._db, ids)
        self.planner.dropping |= queries.dropping_nodes(self._db, ids)
        for chunk in fresh:
            look(chunk, jobs.get(chunk.chunk_id, ()))

    def look_at_short(self, view: ClusterView, memory: Memory) -> None:
        """Endangered chunks first, then all that have too few copies."""
        if view.silent:
            memory.urgent_after = self._stretch(queries.chunks_short(
                self._db, memory.urgent_after, view.silent, rows_max=STRETCH_ROWS, found_max=FOUND_MAX, left_max=1))
        if view.away:
            memory.short_after = self._stretch(queries.chunks_short(
                self._db, memory.short_after, view.away, rows_max=STRETCH_ROWS, found_max=FOUND_MAX))
            return
        missing = queries.chunks_missing(self._db, memory.missing_after, FOUND_MAX)
        memory.missing_after = missing[-1].chunk_id if len(missing) == FOUND_MAX else NO_CHUNK
        self._look(missing, self.planner.look_at)

    def _stretch(self, page: ChunkPage) -> int:
        self._look(page.chunks, self.planner.look_at)
        return page.after or 0

    def look_at_surplus(self, view: ClusterView, memory: Memory) -> None:
        chunks = queries.chunks_surplus(self._db, memory.surplus_after, FOUND_MAX)
        memory.surplus_after = chunks[-1].no if len(chunks) == FOUND_MAX else 0
        self._look(chunks, self.planner.look_at)

    def look_at_drops(self, view: ClusterView, memory: Memory, free_before_ms: int) -> None:
        """Chunks that nobody needs, and drops that were granted and lost their job."""
        free = queries.chunks_free(self._db, free_before_ms, memory.free_after, FOUND_MAX)
        last = free[-1] if len(free) == FOUND_MAX else None
        memory.free_after = NOTHING_FREE if last is None else (last.free_since_ms or 0, last.chunk_id)
        self._look(free, self.planner.look_at_free)
        for no, node in view.nodes.items():
            drops = queries.open_drops(self._db, WINDOWS["drop"], no) if node.is_live else ()
            jobs = queries.jobs_of_chunks(self._db, [drop.chunk_id for drop in drops])
            for drop in drops:
                if not any(job.node_no == no for job in jobs.get(drop.chunk_id, ())):
                    self.planner.order("drop", _unknown(drop.chunk_id), no, "granted")

    def look_at_wishes(self, view: ClusterView) -> None:
        for wish in queries.scrub_wishes(self._db):
            if not wish.done_ms and wish.node_no in view.nodes and view.nodes[wish.node_no].is_live:
                self.planner.order("scrub", _unknown(NO_CHUNK), wish.node_no, "asked")

    def patrol(self, view: ClusterView, memory: Memory, state: ClusterState, excess: dict[NodeNo, int]) -> None:
        """Zones, where nodes share any; balance, when nothing else is going on."""
        wave = self._wave(view, memory, state, excess)
        zones = [view.zone(no) for no in view.nodes]
        if wave is None and len(set(zones)) == len(zones):
            return
        for _ in range(WAVE_STRETCHES_MAX if wave else 1):
            page = queries.chunks_stretch(self._db, memory.patrol_after, rows_max=PATROL_ROWS)
            memory.patrol_after = page.after or 0
            self._look(page.chunks, self.planner.look_at if wave is None else wave.look_at)
            if wave is None or wave.is_over or page.after is None:
                return

    def _wave(self, view: ClusterView, memory: Memory, state: ClusterState, excess: dict[NodeNo, int]) -> Wave | None:
        """The next wave of moves, when it is due and the last one is over."""
        if not view.is_calm:
            return None
        memory.is_moving = is_due(view, excess, chunk_size=state.settings.chunk_size, moving=memory.is_moving)
        busy = bool(self.planner.orders or queries.queued_by_kind(self._db) or queries.open_drops(self._db, 1)
                    or queries.chunks_surplus(self._db, 0, 1))
        return Wave(view, excess, self.planner) if memory.is_moving and not busy else None
