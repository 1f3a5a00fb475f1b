"""The leader's planner: each second it looks at the next part of the state and proposes what follows from it.

It decides nothing itself (`core/repair/round.py` does) and remembers nothing that matters: a new leader begins with an
empty memory, after a barrier in its term (leadership.py), and the state machine refuses what an older term decided.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Conflict
from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Header
from fluffy.core.metadata.commands_jobs import AssignJobs, CancelJobs, RetryJobs
from fluffy.core.repair.round import Candidates, Memory, Round, Rules, plan_round
from fluffy.ports import Clock, MetadataLog, MetadataReader
from fluffy.services.keeper.leadership import Leadership

log = logging.getLogger("fluffy.keeper")

# The feature level that knows jobs.
JOBS_LEVEL = 3
SCAN_TIMEOUT_S = 30.0
PROPOSE_TIMEOUT_S = 5.0
# 15 ms of apply, which users wait for.
ASSIGN_AT_ONCE = 250


class JobPlanner:
    """Call `one_round` each second; True means that there is more to do at once."""

    def __init__(self, own_no: NodeNo, leadership: Leadership, log_: MetadataLog, reader: MetadataReader,
                 clock: Clock, rank: Candidates, rules: Rules) -> None:
        self._own_no = own_no
        self._leadership = leadership
        self._log = log_
        self._reader = reader
        self._clock = clock
        self._rank = rank
        self._rules = rules
        self._memory = Memory()
        self._planned_in: int | None = None

    async def one_round(self) -> bool:
        term = self._leadership.term
        state = self._reader.read(queries.cluster_state)
        if term is None or state is None or state.feature_level < JOBS_LEVEL:
            self._planned_in = None
            return False
        if term != self._planned_in:
            self._memory = Memory()
            self._planned_in = term
        now_ms = max(state.clock_ms, self._clock.now_ms())
        planned = await self._reader.read_in_thread(
            lambda db: plan_round(db, self._memory, state, self._rules, self._rank, now_ms),
            Deadline.after(SCAN_TIMEOUT_S))
        for command in self._commands(planned, term):
            try:
                await self._log.propose(command, Deadline.after(PROPOSE_TIMEOUT_S))
            except Conflict as error:
                self._leadership.resign(error)
                return False
        if planned.orders:
            log.info("jobs.planned", extra={"term": term, "orders": len(planned.orders),
                                            "cancels": len(planned.cancels), "retries": len(planned.retries)})
        return planned.has_more

    def _commands(self, planned: Round, term: int) -> Iterator[AssignJobs | CancelJobs | RetryJobs]:
        header = Header(RequestId(b""), self._clock.now_ms(), self._own_no, UserNo(0))
        if planned.cancels or planned.leases_ended:
            yield CancelJobs(header, term, tuple(planned.cancels))
        if planned.retries:
            yield RetryJobs(header, tuple(planned.retries))
        for start in range(0, len(planned.orders), ASSIGN_AT_ONCE):
            yield AssignJobs(header, term, tuple(planned.orders[start:start + ASSIGN_AT_ONCE]))
