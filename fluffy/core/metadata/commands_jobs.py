"""Commands of background work: assign, lease, steal, finish, cancel and retry jobs, ask for a scrub. Kinds 70 to 84.

A job says what one node should do with one chunk (or, for a scrub, with its own disk). The leader assigns a bounded
window of jobs; the nodes lease, steal and finish them. Which jobs there are follows from the rest of the state, so
all of them may be thrown away at any time: the next plan makes them again. What may not be thrown away is a granted
drop (see `drop_table`). Feature level 3; the rules of `commands` hold.

Nodes send these for the cluster (`user_no` 0) and without a request id: repeating one does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.header import Header

JobKind = Literal["repair", "drain", "rebalance", "drop", "scrub"]
# How a node ended its work on a job. kept: the file of a drop was touched by a put meanwhile and stays a copy.
# again: the lease is too short for all of it; what is left goes back to the queue, from `position` on.
JobEnd = Literal["done", "failed", "kept", "again"]

# Log time. A chunk of 64 MiB over a wire of 10 MiB/s takes 7 s; a worker stops after half of its lease.
LEASE_MS = 60_000


@dataclass(frozen=True, slots=True)
class JobOrder:
    """One job to be assigned. `chunk_id`: empty for a scrub. `priority`: smaller comes first (`job_rules`)."""

    kind: str
    chunk_id: ChunkId
    node_no: NodeNo
    priority: int
    cost: int  # bytes that it moves
    reason: str


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of a leased job. `term` and `attempt` are those of the lease; `error` is an error's code."""

    job_no: int
    term: int
    attempt: int
    end: str
    error: str = ""
    position: bytes = b""


@dataclass(frozen=True, slots=True)
class AssignJobs:
    """Leader work: put jobs into the queues of nodes.

    One job for a chunk and a node: one that is there already is only made more urgent. facts: assigned, known,
    full (the queue had no room), skipped (not possible in this state).
    """

    KIND: ClassVar[int] = 70
    header: Header
    term: int
    jobs: tuple[JobOrder, ...]


@dataclass(frozen=True, slots=True)
class CancelJobs:
    """Leader work: take jobs away that nobody has a valid lease of. facts: cancelled, skipped."""

    KIND: ClassVar[int] = 71
    header: Header
    term: int
    job_nos: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LeaseJobs:
    """A node takes the next jobs of its own queue for `lease_ms` of log time.

    Jobs that the state no longer needs vanish instead; the lease of a drop is the permission to delete the file.
    facts: leased (numbers), obsolete, until_ms.
    """

    KIND: ClassVar[int] = 72
    header: Header
    node_no: NodeNo
    jobs_max: int
    lease_ms: int = LEASE_MS


@dataclass(frozen=True, slots=True)
class StealJobs:
    """An idle node takes half of the tail of the longest queue, by estimated seconds, if that ends the work sooner.

    facts: moved, victim (0: none), again_ms (log time before which the node need not ask again).
    """

    KIND: ClassVar[int] = 73
    header: Header
    node_no: NodeNo


@dataclass(frozen=True, slots=True)
class FinishJobs:
    """A node tells how leased jobs ended. `moved_bytes` in `busy_ms`: how fast it is, for estimates; 0: not said.

    facts: done, failed, returned (kept or again), late (numbers of the jobs whose lease was not this one any more).
    """

    KIND: ClassVar[int] = 74
    header: Header
    node_no: NodeNo
    results: tuple[JobResult, ...]
    moved_bytes: int = 0
    busy_ms: int = 0


@dataclass(frozen=True, slots=True)
class RetryJobs:
    """Let stuck jobs begin afresh, and those that wait after a failure go on at once; none named: all.

    By the leader's plan when the facts have changed, and by admins. facts: retried.
    """

    KIND: ClassVar[int] = 75
    header: Header
    job_nos: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestScrub:
    """Ask that nodes re-read all they hold, now; none named: all members. facts: nodes (how many were asked)."""

    KIND: ClassVar[int] = 76
    header: Header
    node_nos: tuple[NodeNo, ...] = ()


JobCommand = AssignJobs | CancelJobs | LeaseJobs | StealJobs | FinishJobs | RetryJobs | RequestScrub
JOB_COMMANDS = (AssignJobs, CancelJobs, LeaseJobs, StealJobs, FinishJobs, RetryJobs, RequestScrub)
