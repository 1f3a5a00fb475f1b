"""The leader's care for members: votes for machines that have caught up, the way out for those that are to go.

What to do is decided in core/health/membership_plan.py from the committed state and the leader's own view of its
links; this does one step and looks again. Every step is safe to repeat and fenced by the term.
"""

from __future__ import annotations

import logging

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Conflict, NotFound
from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.health.membership_plan import GiveVote, HandOver, Retire, Standing, Step, Strip, TakeVote, next_step
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Header
from fluffy.core.metadata.commands_members import RetireNode, StripCopies
from fluffy.ports import Clock, LogStatus, MetadataLog, MetadataReader, VotersLog
from fluffy.services.condition import Condition
from fluffy.services.keeper.leadership import Leadership

log = logging.getLogger("fluffy.keeper")

STEP_TIMEOUT_S = 5.0
# Rows of chunks read and written by one entry: some ten milliseconds of apply.
STRIP_CHUNKS = 500
# The feature level that knows members which come and go.
MEMBERS_LEVEL = 3


class MemberKeeper:
    """Call `one_round` now and then; True means that there is more to do at once."""

    def __init__(self, own_no: NodeNo, leadership: Leadership, log_: MetadataLog, voters: VotersLog,
                 reader: MetadataReader, clock: Clock) -> None:
        self._own_no = own_no
        self._leadership = leadership
        self._log = log_
        self._voters = voters
        self._reader = reader
        self._clock = clock
        self._condition = Condition("changing the members")

    async def one_round(self) -> bool:
        term = self._leadership.term
        state = self._reader.read(queries.cluster_state)
        if term is None or state is None or state.feature_level < MEMBERS_LEVEL:
            return False
        status = await self._log.status(Deadline.after(STEP_TIMEOUT_S))
        if status.term != term or status.leader != status.node:
            return False
        step = self._next_step(status)
        if step is None:
            return False
        try:
            await self._do(step, term)
        except (Conflict, NotFound) as error:
            # Another leader, another change under way, or too few connected: the next round looks again.
            self._condition.blocked(error)
            return False
        self._condition.fine()
        log.info("members.step", extra={"step": type(step).__name__, "about": step_about(step)})
        return not isinstance(step, HandOver)

    def _next_step(self, status: LogStatus) -> Step | None:
        voters = self._reader.read(queries.voters)
        intents = self._reader.read(queries.node_intents)
        peers = {peer.name: peer for peer in status.peers}
        standings = []
        for member in self._reader.read(queries.members):
            record, peer = member.record, peers.get(member.record.name)
            intent = intents.get(record.node_no)
            standings.append(Standing(
                node_no=record.node_no, name=record.name, state=member.state,
                is_voter=voters.get(record.name) == record.disk_uuid,
                is_draining=intent is not None and intent.draining_ms is not None,
                is_leaving=intent is not None and intent.leaving_ms is not None,
                is_connected=peer is not None and peer.connected,
                behind=peer.behind if peer is not None and peer.behind >= 0 else None))
        unstripped = [node.node_no for node in self._reader.read(queries.retired_nodes) if not node.is_stripped]
        return next_step(self._own_no, standings, unstripped)

    async def _do(self, step: Step, term: int) -> None:
        deadline = Deadline.after(STEP_TIMEOUT_S)
        header = Header(RequestId(b""), self._clock.now_ms(), self._own_no, UserNo(0))
        match step:
            case GiveVote(name):
                await self._voters.change_voters(deadline, term=term, add=name)
            case TakeVote(name):
                await self._voters.change_voters(deadline, term=term, remove=name)
            case HandOver():
                await self._voters.hand_over(deadline)
            case Retire(node_no):
                await self._log.propose(RetireNode(header, term, node_no), deadline)
            case Strip(node_no):
                await self._log.propose(StripCopies(header, term, node_no, STRIP_CHUNKS), deadline)


def step_about(step: Step) -> str:
    match step:
        case GiveVote(name) | TakeVote(name):
            return name
        case Retire(node_no) | Strip(node_no):
            return str(node_no)
    return ""
