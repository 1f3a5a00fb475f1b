"""The arithmetic of background work: bounds, classes, whose turn it is, how long a queue takes, what is worth stealing.

Pure, in whole numbers, and the same on every node: the state machine decides by it, and the planner and the workers
ask it beforehand whether a command is worth its log entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fluffy.base.checks import invariant
from fluffy.base.ids import NodeNo
from fluffy.base.units import KIB, MIB, MINUTE_MS
from fluffy.core.metadata.commands_jobs import LEASE_MS

JOB_KINDS = ("repair", "drain", "rebalance", "drop", "scrub")
# These make a copy on the node whose queue they are in.
COPYING_KINDS = frozenset({"repair", "drain", "rebalance"})
# The others are bound to a disk, and a rebalance is for the sake of the node that gets the copy.
STEALABLE_KINDS = frozenset({"repair", "drain"})
# A class is a hundred priorities wide; inside it, fewer copies left come first.
CLASS_WIDTH = 100
PRIORITY_MAX = CLASS_WIDTH * len(JOB_KINDS) - 1

# A node drops some hundred files, or copies 75 chunks of 8 MiB, a second: the planner, who comes each second, keeps it
# busy with all classes (core/repair/queues.py divides the window among them).
QUEUE_JOBS_MAX = 1_024
# What failed for good and waits for other facts; beyond that the plan finds it again anyway.
STUCK_JOBS_MAX = 256
# What a worker holds at a time: nobody else can do it meanwhile.
LEASED_JOBS_MAX = 32
LEASE_MS_MIN = 1_000
LEASE_MS_MAX = 10 * MINUTE_MS
# What is leased cannot be stolen, so a node takes only what it does soon, by estimate: a slow node one job at a time.
LEASE_WORK_MS = 3_000
# But one to do and one at hand, however slow it is.
LEASED_ALWAYS = 2
# Of a node that nobody knows the speed of yet: rather too few jobs.
LEASE_RATE_UNKNOWN = 10 * MIB
REASON_BYTES_MAX = 64
ERROR_BYTES_MAX = 64
POSITION_BYTES_MAX = 64
COST_MAX = 1 << 50

# Every eighth lease of a node goes to a class that is not the most urgent one, so that none starves.
FLOOR_EVERY = 8

# Five attempts with these pauses take half a minute; then the job waits for other facts and says so.
STUCK_AFTER_FAILURES = 5
BACK_OFF_FIRST_MS = 1_000
BACK_OFF_MAX_MS = 1 * MINUTE_MS

# Until a node has told how fast it is.
RATE_UNKNOWN = 50 * MIB
RATE_MIN = 4 * KIB  # a copy of the smallest chunk in some seconds
RATE_MAX = 1 << 40
# Of one job beside its bytes: a look-up, a connection, an fsync.
JOB_OVERHEAD_MS = 20
# A steal costs a log entry, and another lease.
TRANSFER_MS = 200
STEAL_JOBS_MAX = 128
STEAL_LOOKED_MAX = 256
STEAL_VICTIMS_MAX = 3
SEARCH_FIRST_MS = 500
SEARCH_MAX_MS = 8_000
invariant(4 * LEASE_WORK_MS <= LEASE_MS, "a worker that stops after half a lease has done what it took")
invariant(BACK_OFF_FIRST_MS <= BACK_OFF_MAX_MS and SEARCH_FIRST_MS <= SEARCH_MAX_MS, "pauses grow")


def class_of(kind: str) -> int:
    """The rank of a kind's class; 0 is the most urgent."""
    return JOB_KINDS.index(kind)


def priority_of(kind: str, copies_left: int = 0) -> int:
    """Where a job stands in its queue."""
    return class_of(kind) * CLASS_WIDTH + min(max(copies_left, 0), CLASS_WIDTH - 1)


def back_off_ms(failures: int) -> int:
    """How long to wait after the n-th failure in a row, n >= 1."""
    return min(BACK_OFF_FIRST_MS << min(failures - 1, 16), BACK_OFF_MAX_MS)


def search_pause_ms(searches: int) -> int:
    """How long a thief waits after the n-th vain search in a row, n >= 1."""
    return min(SEARCH_FIRST_MS << min(searches - 1, 16), SEARCH_MAX_MS)


def effort_ms(jobs: int, cost: int, rate: int) -> int:
    """Estimated time for jobs of together `cost` bytes. `rate`: bytes a second; 0: not known."""
    return jobs * JOB_OVERHEAD_MS + cost * 1_000 // (max(rate, RATE_MIN) if rate else RATE_UNKNOWN)


def next_rate(rate: int, moved_bytes: int, busy_ms: int) -> int:
    """A node's speed after it told of some more work: the newest word counts a quarter."""
    measured = min(max(moved_bytes * 1_000 // max(busy_ms, 1), RATE_MIN), RATE_MAX)
    return measured if rate == 0 else (3 * rate + measured) // 4


def turns(classes: Sequence[Sequence[int]], turn: int, count: int) -> list[int]:
    """Which jobs a node does next. `classes`: of each class the jobs in order; returns up to `count` of them.

    The most urgent class goes first, except that each FLOOR_EVERY-th turn belongs to the others, one after another.
    """
    waiting = [list(reversed(jobs)) for jobs in classes if jobs]
    taken: list[int] = []
    while waiting and len(taken) < count:
        turn += 1
        at = 0
        if turn % FLOOR_EVERY == 0 and len(waiting) > 1:
            at = 1 + (turn // FLOOR_EVERY) % (len(waiting) - 1)
        taken.append(waiting[at].pop())
        waiting = [jobs for jobs in waiting if jobs]
    return taken


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """What one node has to do. `rate`: bytes a second; 0: not known."""

    queued: int
    queued_bytes: int
    leased: int
    leased_bytes: int
    rate: int
    stealable: int = 0  # of the queued ones

    @property
    def wait_ms(self) -> int:
        """Until it has done all, by estimate."""
        return effort_ms(self.queued + self.leased, self.queued_bytes + self.leased_bytes, self.rate)


def victims(thief: NodeNo, loads: Mapping[NodeNo, QueueLoad]) -> list[NodeNo]:
    """From whom stealing ends the work sooner: wait(victim) > transfer + wait(thief); the longest wait first."""
    own = loads[thief].wait_ms if thief in loads else 0
    found = [node_no for node_no, load in loads.items()
             if node_no != thief and load.stealable and load.wait_ms > TRANSFER_MS + own]
    return sorted(found, key=lambda node_no: (-loads[node_no].wait_ms, node_no))


class Loot:
    """How much of a victim's tail one steal takes: half of the waiting time, and never so much that it turns round."""

    def __init__(self, victim: QueueLoad, thief: QueueLoad) -> None:
        self._victim_rate = victim.rate
        self._thief_rate = thief.rate
        self._victim_ms = victim.wait_ms
        self._thief_ms = thief.wait_ms
        self._half_ms = (effort_ms(victim.queued, victim.queued_bytes, victim.rate) + 1) // 2
        self._taken_ms = 0
        self.jobs = 0

    def takes(self, cost: int) -> bool:
        """Whether the next job from the tail goes too; counts it if so."""
        if self.jobs >= STEAL_JOBS_MAX or self._taken_ms >= self._half_ms:
            return False
        mine_ms = self._thief_ms + effort_ms(1, cost, self._thief_rate)
        if mine_ms + TRANSFER_MS > self._victim_ms:
            return False
        theirs_ms = effort_ms(1, cost, self._victim_rate)
        self._thief_ms = mine_ms
        self._victim_ms -= theirs_ms
        self._taken_ms += theirs_ms
        self.jobs += 1
        return True


def searchers_max(nodes_up: int) -> int:
    """So many nodes look for work at a time: more would only fill the log."""
    return max(1, nodes_up // 2)
