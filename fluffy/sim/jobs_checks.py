"""What must hold in the protocol of jobs, watched from outside: a second book about leases, and the disks themselves.

    no job is under two valid leases; only who has the lease finishes a job, and only in time
    a steal or a cancel touches nothing that is leased
    no permission to drop leaves fewer certain copies than wanted
    no file is deleted whose copy counts, so a copy that counts is there
    as long as no more disks are lost than copies allow, every chunk that a file needs is on a disk
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.health.log_time import LogTime
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Command, PutFile
from fluffy.core.metadata.commands_jobs import CancelJobs, FinishJobs, LeaseJobs, StealJobs
from fluffy.core.metadata.outcomes import Accepted, Outcome


@dataclass(slots=True)
class Node:
    """One machine. `life` counts its starts: what an earlier life began goes on in none.

    `disk`: chunk -> wall time at which a put last touched it.
    """

    no: NodeNo
    disk: dict[ChunkId, int] = field(default_factory=dict)
    is_alive: bool = True
    is_lost: bool = False  # with its disk, for good
    paused_until_s: float = 0.0
    life: int = 0
    slowness: int = 1
    is_full: bool = False
    skew_ms: int = 0
    log_time: LogTime = field(default_factory=LogTime)
    leads_in: int | None = None  # the term in which it believes to lead, having applied all before it


@dataclass(slots=True)
class _Lease:
    node_no: NodeNo
    term: int
    attempt: int
    until_ms: int


class Checks:
    """Called with every entry, before and after it is applied to the truth; and when a file is deleted."""

    def __init__(self, db: sqlite3.Connection, nodes: Mapping[NodeNo, Node], counters: Counter[str],
                 now_s: Callable[[], float]) -> None:
        self._db = db
        self._nodes = nodes
        self._counters = counters
        self._now_s = now_s
        self._leases: dict[int, _Lease] = {}
        self._granted: set[tuple[ChunkId, NodeNo]] = set()
        self._done: set[int] = set()
        self._before: dict[int, NodeNo] = {}
        self.violations: list[str] = []

    def violation(self, text: str) -> None:
        self.violations.append(f"{self._now_s():.3f} s: {text}")

    # --- entries

    def before(self, command: Command) -> None:
        if isinstance(command, StealJobs):
            self._before = {job.no: job.node_no for job in queries.jobs(self._db, limit=10_000)}
        elif isinstance(command, PutFile):
            self._note_barred(command)

    def after(self, command: Command, outcome: Outcome, term: int) -> None:
        if not isinstance(outcome, Accepted):
            self._counters[f"refused {outcome.code}"] += 1
            return
        self._note_ends(self._clock_ms(), term)
        match command:
            case LeaseJobs():
                self._leased(command, outcome)
            case FinishJobs():
                self._finished(command, outcome)
            case StealJobs():
                self._stolen(command, outcome)
            case CancelJobs():
                self._counters["cancelled"] += outcome.facts["cancelled"]
        self._leases_hold()
        if isinstance(command, PutFile | FinishJobs | LeaseJobs):
            self.copies_are_there()

    def _clock_ms(self) -> int:
        return int(self._db.execute("SELECT clock_ms FROM state").fetchone()[0])

    def _note_ends(self, clock_ms: int, term: int) -> None:
        """Leases that are over by now. In their time somebody may have ceased to lead."""
        for no, lease in list(self._leases.items()):
            if lease.until_ms <= clock_ms:
                del self._leases[no]
                self._counters["lease_ended"] += 1
                if lease.term != term:
                    self._counters["lease_end_over_leader_change"] += 1

    def _leased(self, command: LeaseJobs, outcome: Accepted) -> None:
        self._counters["obsolete"] += outcome.facts["obsolete"]
        for no in outcome.facts["leased"]:
            row = queries.job(self._db, no)
            if row is None or row.node_no != command.node_no:
                self.violation(f"job {no} is leased to {command.node_no} and not in its queue")
                continue
            if no in self._leases:
                self.violation(f"job {no} is under two valid leases")
            self._leases[no] = _Lease(row.node_no, row.term, row.attempt, outcome.facts["until_ms"])
            if row.kind == "drop":
                self._grant(row.chunk_id, row.node_no)
        self._counters["leased"] += len(outcome.facts["leased"])

    def _grant(self, chunk_id: ChunkId, node_no: NodeNo) -> None:
        if (chunk_id, node_no) in self._granted:
            self._counters["granted_again"] += 1
            return
        self._granted.add((chunk_id, node_no))
        self._counters["granted"] += 1
        line = queries.chunk_lines(self._db, [chunk_id]).get(chunk_id)
        if line is None or line.refs == 0:
            return
        states = {node.node_no: node.state for node in queries.placement_map(self._db).nodes}
        certain = [no for no in line.replicas if states.get(no) == "up" and chunk_id in self._nodes[no].disk]
        if len(certain) < line.wanted:
            self.violation(f"a drop on node {node_no} leaves {len(certain)} copies of {line.wanted}")

    def _finished(self, command: FinishJobs, outcome: Accepted) -> None:
        late = outcome.facts["late"]
        self._counters["late_completions"] += len(late)
        for result in command.results:
            if result.job_no in late:
                continue
            lease = self._leases.pop(result.job_no, None)
            if lease is None or (lease.node_no, lease.term, lease.attempt) != (
                    command.node_no, result.term, result.attempt):
                self.violation(f"job {result.job_no} was ended by node {command.node_no}, which has no lease of it")
            if result.end == "done":
                if result.job_no in self._done:
                    self.violation(f"job {result.job_no} was done twice")
                self._done.add(result.job_no)
            self._counters[f"end {result.end}"] += 1
        pending = {(drop.chunk_id, drop.node_no) for drop in queries.open_drops(self._db, 10_000)}
        self._granted &= pending

    def _stolen(self, command: StealJobs, outcome: Accepted) -> None:
        if not outcome.facts["moved"]:
            self._counters["vain_searches"] += 1
            return
        self._counters["steals"] += 1
        self._counters["stolen_jobs"] += outcome.facts["moved"]
        victim = self._nodes[outcome.facts["victim"]]
        if not victim.is_alive or victim.paused_until_s > self._now_s():
            self._counters["stolen_while_dying"] += 1
        chunks: dict[ChunkId, set[NodeNo]] = {}
        for job in queries.jobs(self._db, limit=10_000):
            if job.chunk_id and job.node_no in chunks.setdefault(job.chunk_id, set()):
                self.violation(f"two jobs of one chunk on node {job.node_no}")
            chunks.setdefault(job.chunk_id, set()).add(job.node_no)
            if self._before.get(job.no, job.node_no) != job.node_no and job.no in self._leases:
                self.violation(f"job {job.no} was stolen under a valid lease")

    def _leases_hold(self) -> None:
        """What is leased stays in the queue of who leased it."""
        for no, lease in self._leases.items():
            row = queries.job(self._db, no)
            if row is None or (row.node_no, row.state, row.attempt) != (lease.node_no, "leased", lease.attempt):
                self.violation(f"job {no} was taken from node {lease.node_no} under a valid lease")

    def _note_barred(self, command: PutFile) -> None:
        for (chunk_id, _), nodes in zip(command.chunks, command.replicas, strict=True):
            barred = self._db.execute(
                "SELECT node_no FROM drops WHERE chunk_id = ? AND NOT (done_seq > 0 AND done_seq <= ?)",
                (chunk_id, command.since_seq)).fetchall()
            if any((no,) in barred for no in nodes):
                self._counters["drop_against_reupload"] += 1
            (passed,) = self._db.execute("SELECT count(*) FROM drops WHERE chunk_id = ?", (chunk_id,)).fetchone()
            self._counters["claims_newer_than_drops"] += passed > len(barred)

    # --- disks

    def deleted(self, node: Node, chunk_id: ChunkId) -> None:
        """A node has deleted a file."""
        row = self._db.execute("SELECT 1 FROM drops WHERE chunk_id = ? AND node_no = ? AND done_ms = 0",
                               (chunk_id, node.no)).fetchone()
        if row is None:
            self.violation(f"node {node.no} deleted a file without permission")
        self.copies_are_there()

    def copies_are_there(self) -> None:
        """A copy that counts is on its disk, unless that is lost; and what files need is somewhere."""
        for line in queries.chunks_stretch(self._db, 0, rows_max=10_000).chunks:
            for no in line.replicas:
                if not self._nodes[no].is_lost and line.chunk_id not in self._nodes[no].disk:
                    self.violation(f"node {no} does not have its copy of {line.chunk_id.hex()[-4:]}")
            if not any(line.chunk_id in node.disk for node in self._nodes.values() if not node.is_lost):
                self.violation(f"chunk {line.chunk_id.hex()[-4:]} is lost, and a file needs it")

    # --- the end

    def unfinished(self) -> str:
        """What is still to be done in a calm cluster; empty: nothing."""
        jobs = queries.jobs(self._db, limit=10)
        if jobs:
            return f"{jobs[0].kind} job {jobs[0].no} of node {jobs[0].node_no} is {jobs[0].state} ({jobs[0].error})"
        states = {node.node_no: node.state for node in queries.placement_map(self._db).nodes}
        up = [no for no, node in self._nodes.items() if not node.is_lost]
        away = [no for no in up if states.get(no) != "up"]
        if away:
            return f"node {away[0]} is {states.get(away[0])}"
        if any(drop.node_no in up for drop in queries.open_drops(self._db, 100)):
            return "a drop was not told"
        for line in queries.chunks_stretch(self._db, 0, rows_max=10_000).chunks:
            certain = sum(no in up for no in line.replicas)
            if certain != min(line.wanted, len(up)):
                return f"chunk {line.chunk_id.hex()[-4:]} has {certain} copies of {line.wanted}"
        free = self._db.execute("SELECT chunk_id FROM chunks WHERE refs = 0 AND free_since_ms < ?",
                                (self._clock_ms() - 10_000,)).fetchone()
        lost = [no for no in self._nodes if no not in up]
        if free is not None:
            line = queries.chunk_lines(self._db, [free[0]])[free[0]]
            if not set(line.replicas) <= set(lost) or not line.replicas:
                return "a chunk that nobody needs is not forgotten"
        return ""

    def can_lose(self, node: Node) -> bool:
        """Whether all that files need would still be on some other disk."""
        return all(any(line.chunk_id in other.disk for other in self._nodes.values() if other is not node)
                   for line in queries.chunks_stretch(self._db, 0, rows_max=10_000).chunks)
