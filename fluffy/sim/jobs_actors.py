"""Who acts in the simulated protocol of jobs: workers by the rules of services/keeper/worker.py, the planner, writers.

A worker obeys its rules, and the world does not: between any two of its steps it may be paused, killed or overtaken.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fluffy.base.ids import ChunkId, NodeNo, RequestId
from fluffy.base.units import MIB
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import DeleteFile, ForgetChunks, NodeState, PublishPlacement, PutFile
from fluffy.core.metadata.commands_jobs import (
    AssignJobs,
    CancelJobs,
    FinishJobs,
    JobResult,
    LeaseJobs,
    RetryJobs,
    StealJobs,
)
from fluffy.core.metadata.model import PlacementMap
from fluffy.core.metadata.model_jobs import Job
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.placement import place
from fluffy.core.repair.round import Memory, Rules, plan_round
from fluffy.core.repair.stealing import should_steal
from fluffy.sim.jobs_checks import Node
from fluffy.sim.jobs_world import ADMIN, WRITE_QUORUM, JobsWorld

LEASE_MS = 6_000
SLOTS = 3
RATE = 8 * MIB  # bytes a second of a healthy node
GRACE_MS = 6_000
FORGET_GRACE_MS = 2_000
RULES = Rules(GRACE_MS, FORGET_GRACE_MS)
SUSPECT_AFTER_S = 2.0
DOWN_AFTER_S = 4.0
PATHS = tuple(f"admin/f{number}" for number in range(14))
CONTENTS = 10
FILES_AT_BEGIN = 30
SENDS_AGAIN_MAX = 6
# A file whose time is further ahead has it from a clock that was wrong (services/keeper/job_work.py).
TOUCHED_AHEAD_MS = 10_000


def chunk_of(content: int) -> ChunkId:
    return ChunkId(content.to_bytes(32, "big"))


def length_of(content: int) -> int:
    return (1 + content % 5) * MIB


def rank(chunk_id: ChunkId, placement: PlacementMap) -> list[NodeNo]:
    return place(chunk_id, placement, 1, None)


@dataclass(slots=True)
class _Held:
    job: Job
    until_s: float


class Worker:
    """One node's keeper, from its start on; a restart makes a new one."""

    def __init__(self, world: JobsWorld, node: Node) -> None:
        self._world = world
        self._node = node
        self._held: dict[int, _Held] = {}
        self._asked_s: dict[int, float] = {}
        self._results: list[JobResult] = []
        self._is_telling = False
        self._is_asking = False
        self._turn()

    def _turn(self) -> None:
        world, node = self._world, self._node
        db = world.db_of(node)
        now_ms = world.log_ms(node)
        self._start_leased(now_ms)
        if self._results and not self._is_telling:
            self._tell()
        queues = queries.queues(db) if not self._is_asking and len(self._held) < SLOTS else ()
        queue = next((queue for queue in queues if queue.node_no == node.no), None)
        if queue is not None and queue.load.queued:
            self._lease()
        elif (any(other.load.stealable for other in queues) and not self._held
              and should_steal(node.no, queues, queries.placement_map(db), now_ms,
                               lambda victim: queries.cost_of_suiting(db, victim, node.no))):
            self._ask(StealJobs(world.header(node), node.no), lambda _: None)
        world.later(node, world.rng.uniform(0.1, 0.4) + 0.5 * world.is_calm, self._turn)

    def _ask(self, command: StealJobs | LeaseJobs, answer: Callable[[Outcome | None], None]) -> None:
        self._is_asking = True

        def answered(outcome: Outcome | None) -> None:
            self._is_asking = False
            answer(outcome)

        self._world.propose(self._node, command, answered)

    def _lease(self) -> None:
        asked_s = self._world.now_s

        def answered(outcome: Outcome | None) -> None:
            if isinstance(outcome, Accepted):
                self._asked_s = dict.fromkeys(outcome.facts["leased"], asked_s)

        self._ask(LeaseJobs(self._world.header(self._node), self._node.no, SLOTS + 1, LEASE_MS), answered)

    def _start_leased(self, now_ms: int) -> None:
        world, node = self._world, self._node
        told = {result.job_no for result in self._results}
        for job in queries.jobs_of_node(world.db_of(node), node.no, "leased", 32):
            if len(self._held) >= SLOTS or job.no in self._held or job.no in told:
                continue
            asked_s = self._asked_s.get(job.no)
            if asked_s is not None:
                until_s = asked_s + LEASE_MS / 2_000
            else:
                until_s = world.now_s + (job.lease_until_ms - now_ms) / 2_000
            if until_s <= world.now_s:
                continue
            self._held[job.no] = _Held(job, until_s)
            if job.kind == "drop":
                world.later(node, world.rng.uniform(0.01, 0.1), partial(self._drop, job))
            elif job.kind == "scrub":
                world.later(node, world.rng.uniform(0.5, 2.0), partial(self._scrub, job))
            else:
                self._copy(job)

    def _end(self, job: Job, end: str, error: str = "", position: bytes = b"") -> None:
        """What comes after half of the lease is not told."""
        held = self._held.pop(job.no)
        if self._world.now_s > held.until_s:
            self._world.counters["given_up"] += 1
            return
        self._results.append(JobResult(job.no, job.term, job.attempt, end, error, position))

    # --- jobs

    def _copy(self, job: Job) -> None:
        world, node = self._world, self._node
        line = queries.chunk_lines(world.db_of(node), [job.chunk_id]).get(job.chunk_id)
        sources = [no for no in (() if line is None else line.replicas) if no != node.no]
        world.rng.shuffle(sources)
        took_s = 0.05 + job.cost / RATE * node.slowness * world.rng.uniform(0.5, 1.5)

        def fetched() -> None:
            if job.chunk_id in node.disk:
                self._end(job, "done")
            elif node.is_full or (not world.is_calm and world.rng.random() < 0.02):
                self._end(job, "failed", "DiskFull")
            elif not any(world.is_running(world.nodes[no]) and job.chunk_id in world.nodes[no].disk for no in sources):
                self._end(job, "failed", "PeerUnreachable")
            else:
                node.disk[job.chunk_id] = world.wall_ms(node)
                # The file is there; whether that is told in time is another matter.
                world.later(node, 0.01, lambda: self._end(job, "done"))

        world.later(node, took_s, fetched)

    def _drop(self, job: Job) -> None:
        world, node = self._world, self._node
        if world.now_s > self._held[job.no].until_s:
            self._end(job, "failed")
            return
        began_ms = world.wall_ms(node)
        db = world.db_of(node)
        line = queries.chunk_lines(db, [job.chunk_id]).get(job.chunk_id)
        up = {line.node_no for line in queries.placement_map(db).nodes if line.state == "up"}
        if (line is not None and line.refs and sum(no in up for no in line.replicas) < line.wanted
                and job.chunk_id in node.disk):
            node.disk[job.chunk_id] = began_ms
            world.counters["kept_as_needed"] += 1
            world.later(node, 0.01, lambda: self._end(job, "kept"))
            return

        def delete() -> None:
            """One step against a put of the same chunk (ChunkStore.delete)."""
            if began_ms <= node.disk.get(job.chunk_id, 0) <= began_ms + TOUCHED_AHEAD_MS:
                world.counters["kept"] += 1
                self._end(job, "kept")
                return
            if node.disk.pop(job.chunk_id, None) is not None:
                world.counters["deleted"] += 1
                world.checks.deleted(node, job.chunk_id)
            world.later(node, 0.01, lambda: self._end(job, "done"))

        world.later(node, world.rng.uniform(0.001, 0.2), delete)

    def _scrub(self, job: Job) -> None:
        if job.position:
            self._end(job, "done")
        else:
            self._end(job, "again", position=b"half")

    def _tell(self) -> None:
        world, node = self._world, self._node
        batch = tuple(self._results[:20])
        self._is_telling = True

        def answered(outcome: Outcome | None) -> None:
            self._is_telling = False
            if outcome is not None:
                self._results = [result for result in self._results if result not in batch]

        moved = sum(MIB for result in batch if result.end == "done")
        command = FinishJobs(world.header(node), node.no, batch, moved, moved * 1_000 // RATE * node.slowness)
        world.propose(node, command, answered)


class Leader:
    """The duties of a node that believes to lead in a term: the map, the plan, forgetting."""

    def __init__(self, world: JobsWorld, node: Node, term: int) -> None:
        self._world = world
        self._node = node
        self._term = term
        self._memory = Memory()
        self._heard_s = dict.fromkeys(world.nodes, world.now_s)
        self._waiting = 0
        node.leads_in = term
        self._watch()
        self._plan()
        self._forget()

    def _leads(self) -> bool:
        return self._node.leads_in == self._term

    def _send(self, command: AssignJobs | CancelJobs | RetryJobs | PublishPlacement | ForgetChunks) -> None:
        self._waiting += 1

        def answered(outcome: Outcome | None) -> None:
            self._waiting -= 1
            if isinstance(outcome, Rejected) and outcome.code == "TermStale" and self._leads():
                self._node.leads_in = None

        self._world.propose(self._node, command, answered)

    def _watch(self) -> None:
        world, node = self._world, self._node
        if not self._leads():
            return
        for no, other in world.nodes.items():
            if world.is_running(other):
                self._heard_s[no] = world.now_s
        db = world.db_of(node)
        draining = queries.node_intents(db)
        current = queries.placement_map(db)
        lines = []
        for line in current.nodes:
            silent_s = world.now_s - self._heard_s[line.node_no]
            state = "down" if silent_s > DOWN_AFTER_S else "suspect" if silent_s > SUSPECT_AFTER_S else "up"
            if line.state == "down" and state == "suspect":
                state = "down"
            if state != "down" and line.node_no in draining:
                state = "draining"
            lines.append(NodeState(line.node_no, state, line.zone, line.weight))
        if tuple(lines) != current.nodes:
            self._send(PublishPlacement(world.header(node), self._term, current.epoch + 1, tuple(lines)))
        world.later(node, 0.5, self._watch)

    def _plan(self) -> None:
        world, node = self._world, self._node
        if not self._leads():
            return
        db = world.db_of(node)
        state = queries.cluster_state(db)
        if state is not None and not self._waiting:
            now_ms = world.log_ms(node)
            planned = plan_round(db, self._memory, state, RULES, rank, now_ms)
            header = world.header(node)
            if planned.cancels or planned.leases_ended:
                self._send(CancelJobs(header, self._term, tuple(planned.cancels)))
            if planned.retries:
                self._send(RetryJobs(header, tuple(planned.retries)))
            if planned.orders:
                self._send(AssignJobs(header, self._term, tuple(planned.orders)))
        world.later(node, 1.0, self._plan)

    def _forget(self) -> None:
        """Also what moves log time on when nothing else happens."""
        world, node = self._world, self._node
        if not self._leads():
            return
        db = world.db_of(node)
        before_ms = _clock_ms(db) - FORGET_GRACE_MS
        chunks = queries.unreferenced_chunks(db, before_ms, 100, dropped_only=True)
        self._send(ForgetChunks(world.header(node), self._term, chunks, FORGET_GRACE_MS))
        world.later(node, 2.0, self._forget)


class Writer:
    """One client at a time through any gateway: puts of few contents at few paths, and purges."""

    def __init__(self, world: JobsWorld) -> None:
        self._world = world
        self._next()

    def _next(self) -> None:
        world = self._world
        if world.is_calm:
            return
        nodes = [node for node in world.nodes.values() if world.is_running(node)]
        if nodes:
            node = world.rng.choice(nodes)
            path = world.rng.choice(PATHS)
            if world.rng.random() < 0.55:
                self._put(node, path, world.rng.randrange(CONTENTS), SENDS_AGAIN_MAX)
            else:
                command = DeleteFile(world.header(node, ADMIN, self._request_id()), path, purge=True)
                world.propose(node, command, lambda _: None)
        world.at(world.now_s + world.rng.uniform(0.1, 0.8), self._next)

    def _request_id(self) -> RequestId:
        return RequestId(self._world.rng.randbytes(16))

    def _put(self, node: Node, path: str, content: int, tries: int) -> None:
        """Send the bytes to three nodes, commit when two have them, send them again when that was not enough."""
        world = self._world
        chunk_id = chunk_of(content)
        db = world.db_of(node)
        since_seq = queries.drops_since(db)
        targets = place(chunk_id, queries.placement_map(db), WRITE_QUORUM, node.no)[:3]
        acked: list[NodeNo] = []
        committed: list[bool] = []

        def store(target: Node) -> None:
            if not world.is_running(target) or target.is_full:
                return
            target.disk[chunk_id] = world.wall_ms(target)
            world.later(node, world.delay_s(), lambda: ack(target.no))

        def ack(no: NodeNo) -> None:
            acked.append(no)
            if len(acked) == len(targets):
                commit()
            elif len(acked) == 2:
                world.later(node, world.rng.uniform(0.0, 3.0), commit)

        def commit() -> None:
            if committed:
                return
            committed.append(True)
            command = PutFile(
                world.header(node, ADMIN, self._request_id()), path, length_of(content), bytes(32), "e", "", {}, {},
                None, ((chunk_id, length_of(content)),), (tuple(sorted(acked)),), since_seq=since_seq)
            world.propose(node, command, answered)

        def answered(outcome: Outcome | None) -> None:
            if isinstance(outcome, Accepted):
                world.counters["acknowledged"] += 1
            elif isinstance(outcome, Rejected) and outcome.code == "ChunksMissing" and tries:
                world.counters["sent_again"] += 1
                self._put(node, path, content, tries - 1)

        for no in targets:
            world.at(world.now_s + world.delay_s(), partial(store, world.nodes[no]))


def fill(world: JobsWorld) -> None:
    """What is there in the beginning: so many chunks that queues have something to steal."""
    node = world.nodes[NodeNo(1)]
    for number in range(FILES_AT_BEGIN):
        content = CONTENTS + number
        targets = place(chunk_of(content), queries.placement_map(world.truth_db), 3, None)[:3]
        for no in targets:
            world.nodes[no].disk[chunk_of(content)] = 0
        size = length_of(content)
        world.commit(PutFile(world.header(node, ADMIN), f"admin/old{number}", size, bytes(32), "e", "", {}, {}, None,
                             ((chunk_of(content), size),), (tuple(sorted(targets)),)))


def _clock_ms(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT clock_ms FROM state").fetchone()[0])
