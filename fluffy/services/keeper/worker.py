"""Working on jobs: lease few, do them, tell in batches, and take from others' queues when the own one is empty.

The log decides who may do what; this only asks it. What is leased is read back from the state after every lease and at
the start, so an answer that was lost, or a keeper that was killed, loses nothing. A job is over at half of its lease
by this process's monotonic clock, so no clock of another machine and no pause makes two nodes do it at once.

Few jobs are held at a time: what a node has leased nobody can take from it, and a slow node's queue is to be stolen.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError
from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Header
from fluffy.core.metadata.commands_jobs import LEASE_MS, FinishJobs, JobResult, LeaseJobs, StealJobs
from fluffy.core.metadata.job_rules import COPYING_KINDS, LEASED_JOBS_MAX
from fluffy.core.metadata.model_jobs import Job
from fluffy.core.repair.stealing import is_worth_waiting, others_end_within, should_steal
from fluffy.ports import Clock, MetadataLog, MetadataReader
from fluffy.services.condition import Condition
from fluffy.services.keeper.job_work import Ended, JobWork
from fluffy.services.keeper.tallies import KeeperTallies

log = logging.getLogger("fluffy.keeper")

JOBS_LEVEL = 3
# How often a keeper without work looks whether there is some.
IDLE_REST_S = 0.5
# Results wait so long for others, to share a log entry; a job that is done counts this much later.
LINGER_S = 0.15
RESULTS_MAX = 64
FAILED_REST_S = 1.0
PROPOSE_TIMEOUT_S = 10.0
# Beside what its slots are busy with, a worker holds what it does in about this time at its own speed: some round trips
# to the log, so that it never waits for them. What stays with a slow node while others are idle is that much more.
HOLD_S = 0.25
# Over so many of the last jobs.
SPEED_JOBS = 32
SLOW_JOBS = 8
LEASE_S = LEASE_MS / 1000


@dataclass(slots=True)
class _Held:
    job: Job
    task: asyncio.Task[Ended]
    since_s: float


class Worker:
    """`run` for ever. `slots()`: copies at a time now. `steals`: a test may forbid it."""

    def __init__(self, own_no: NodeNo, log_: MetadataLog, reader: MetadataReader, clock: Clock, work: JobWork,
                 slots: Callable[[], int], *, steals: bool = True, tallies: KeeperTallies | None = None) -> None:
        self._own_no = own_no
        self._log = log_
        self._reader = reader
        self._clock = clock
        self._work = work
        self._slots = slots
        self._steals = steals
        self._tallies = tallies or KeeperTallies()
        self._held: dict[int, _Held] = {}
        self._results: list[JobResult] = []
        self._results_since_s = 0.0
        self._moved_bytes = 0
        self._busy_s = 0.0
        self._busy_since_s: float | None = None
        self._search_again_ms = 0
        self._asked_s: dict[int, float] = {}  # of the jobs of the last lease: when it was asked for
        self._done_s: deque[float] = deque(maxlen=SPEED_JOBS)  # when the last jobs ended; first: when they began
        self._took_s: deque[float] = deque(maxlen=SLOW_JOBS)  # of copies, from their lease on
        self._left_since_s: float | None = None  # since when nobody took from the queue although it is left to them
        self._left_jobs = 0
        self._knows_present = False  # whether the own state holds all that was committed before this keeper began
        self._condition = Condition("working on jobs")
        self.counts = {"done": 0, "failed": 0, "late": 0, "stolen": 0}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    rest_s = await self._turn(group)
                    self._condition.fine()
                except (FluffyError, OSError, sqlite3.OperationalError) as error:
                    self._condition.blocked(error)
                    rest_s = FAILED_REST_S
                await self._wait(rest_s)

    def word(self) -> dict[str, Any]:
        """For the keeper's word."""
        return {"held": len(self._held), **self.counts}

    async def _wait(self, rest_s: float) -> None:
        tasks = [held.task for held in self._held.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=rest_s, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(rest_s)

    async def _turn(self, group: asyncio.TaskGroup) -> float:
        """One look at everything; returns for how long there is nothing to do unless a job ends."""
        state = self._reader.read(queries.cluster_state)
        if state is None or state.feature_level < JOBS_LEVEL:
            return IDLE_REST_S
        if not self._knows_present:  # an old state's leases may be long over, and what was done under them told
            await self._log.barrier(Deadline.after(PROPOSE_TIMEOUT_S))
            self._knows_present = True
            return 0.0
        self._reap()
        await self._tell_if_due()
        now_ms = max(state.clock_ms, self._clock.now_ms())
        room = self._room()
        due = self._due(now_ms)
        leaves_them = self._are_for_others(due)
        if room > 0 and due and not leaves_them:
            await self._lease(room)
        elif room > 0 and not due and await self._steal(now_ms):
            return 0.0
        self._start_leased(group, now_ms)
        self._note_busy()
        if self._results:
            return max(0.01, self._results_since_s + LINGER_S - time.monotonic())
        return IDLE_REST_S

    # --- what is done

    def _reap(self) -> None:
        for no, held in list(self._held.items()):
            if not held.task.done():
                continue
            del self._held[no]
            ended = held.task.result()
            self._done_s.append(time.monotonic())
            if held.job.kind in COPYING_KINDS:
                self._took_s.append(time.monotonic() - held.since_s)
            self._tallies.job_ended(held.job.kind, time.monotonic() - held.since_s)
            if not self._results:
                self._results_since_s = time.monotonic()
            self._moved_bytes += ended.moved_bytes
            self._results.append(JobResult(no, held.job.term, held.job.attempt, ended.end, ended.error, ended.position))
            if ended.end == "failed":
                log.info("job.failed", extra={"job": no, "kind": held.job.kind, "error": ended.error,
                                              "chunk": held.job.chunk_id.hex()[:16]})
        self._note_busy()

    async def _tell_if_due(self) -> None:
        due = (len(self._results) >= RESULTS_MAX or not self._held
               or time.monotonic() >= self._results_since_s + LINGER_S)
        if not self._results or not due:
            return
        batch = self._results[:RESULTS_MAX]
        moved_bytes, busy_ms = self._moved_bytes, round(self._busy_s * 1000)
        accepted = await self._propose(FinishJobs(self._header(), self._own_no, tuple(batch), moved_bytes,
                                                  busy_ms if moved_bytes else 0))
        del self._results[:len(batch)]
        self._moved_bytes -= moved_bytes
        self._busy_s -= busy_ms / 1000
        self.counts["late"] += len(accepted["late"])
        for end in ("done", "failed"):
            self.counts[end] += accepted[end]

    def _note_busy(self) -> None:
        """Wall time with at least one copying job under way, however many at once: the node's speed follows from it."""
        now_s = time.monotonic()
        if self._busy_since_s is not None:
            self._busy_s += now_s - self._busy_since_s
        copying = any(held.job.kind in COPYING_KINDS and not held.task.done() for held in self._held.values())
        self._busy_since_s = now_s if copying else None

    # --- what to do next

    def _room(self) -> int:
        """How many more jobs to hold: the slots, and what this node's speed lets it do in a moment."""
        now_s = time.monotonic()
        times = self._done_s
        per_s = (len(times) - 1) / max(LINGER_S, now_s - times[0]) if times else 0.0
        return min(LEASED_JOBS_MAX, self._slots() + round(per_s * HOLD_S)) - len(self._held)

    def _due(self, now_ms: int) -> list[Job]:
        queued = self._reader.read(lambda db: queries.jobs_of_node(db, self._own_no, "queued", LEASED_JOBS_MAX))
        return [job for job in queued if job.not_before_ms <= now_ms]

    def _are_for_others(self, due: list[Job]) -> bool:
        """Whether the other nodes end all that is left sooner than this one a single job of it.

        Only while they come for it: when nobody has for as long as such a job takes, this node does it.
        """
        now_s = time.monotonic()
        job_s = sum(self._took_s) / max(1, len(self._took_s))
        if not due or not self._steals or not all(is_worth_waiting(job) for job in due) or not self._end_sooner(job_s):
            self._left_since_s = None
            return False
        if self._left_since_s is None:
            self._left_since_s = now_s
        waits = now_s < self._left_since_s + job_s
        if waits and len(due) < self._left_jobs:
            self._left_since_s = now_s
        self._left_jobs = len(due)
        return waits

    def _end_sooner(self, job_s: float) -> bool:
        queues = self._reader.read(queries.queues)
        placement = self._reader.read(queries.placement_map)
        return others_end_within(self._own_no, queues, placement, round(job_s * 1000))

    async def _lease(self, jobs_max: int) -> None:
        asked_s = time.monotonic()
        accepted = await self._propose(LeaseJobs(self._header(), self._own_no, jobs_max))
        self._asked_s.update(dict.fromkeys(accepted["leased"], asked_s))

    async def _steal(self, now_ms: int) -> bool:
        """Ask for half of the longest queue's tail, when that ends the work sooner. The state picks the victim."""
        if not self._steals or now_ms < self._search_again_ms:
            return False
        own_no = self._own_no
        if not self._reader.read(lambda db: should_steal(
                own_no, queries.queues(db), queries.placement_map(db), now_ms,
                lambda victim: queries.cost_of_suiting(db, victim, own_no))):
            return False
        accepted = await self._propose(StealJobs(self._header(), self._own_no))
        self._search_again_ms = accepted["again_ms"]
        if accepted["moved"]:
            self.counts["stolen"] += accepted["moved"]
            log.info("jobs.stolen", extra={"jobs": accepted["moved"], "victim": accepted["victim"]})
        return bool(accepted["moved"])

    def _start_leased(self, group: asyncio.TaskGroup, now_ms: int) -> None:
        """Begin all that is leased to this node and not under way: after a lease, and what a keeper before left."""
        leased = self._reader.read(lambda db: queries.jobs_of_node(db, self._own_no, "leased", LEASED_JOBS_MAX))
        told = {(result.job_no, result.attempt) for result in self._results}
        for job in leased:
            if job.no in self._held or (job.no, job.attempt) in told:
                continue
            asked_s = self._asked_s.pop(job.no, None)
            if asked_s is None:  # of an answer that was lost, or of a keeper that ended
                stop = Deadline.after(max(0, job.lease_until_ms - now_ms) / 2000)
            else:
                stop = Deadline(asked_s + LEASE_S / 2)
            if not stop.passed:
                if not self._held:
                    self._done_s.clear()
                    self._done_s.append(time.monotonic())
                self._held[job.no] = _Held(job, group.create_task(self._work.do(job, stop)), time.monotonic())
        self._asked_s.clear()

    def _header(self) -> Header:
        return Header(RequestId(b""), self._clock.now_ms(), self._own_no, UserNo(0))

    async def _propose(self, command: FinishJobs | LeaseJobs | StealJobs) -> Mapping[str, Any]:
        return (await self._log.propose(command, Deadline.after(PROPOSE_TIMEOUT_S))).facts
