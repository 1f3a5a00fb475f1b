"""Lifting the feature level: once every member runs a program that knows the newest commands, the cluster may use them.

An entry that a member's program cannot read stops that member, so nothing new may enter the log while an older program
is among them, not even one that is away at the moment. Each data port tells in its answer to a ping which level its
program knows; the leader asks all of them, and proposes the level when nobody is missing. A cluster that is born by
this program has the newest level from its birth, and this does nothing.
"""

from __future__ import annotations

import asyncio
import logging

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Unavailable
from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import FEATURE_LEVEL, Header, SetFeatureLevel
from fluffy.ports import Clock, MetadataLog, MetadataReader, NodeClient
from fluffy.services.condition import Condition
from fluffy.services.keeper.leadership import Leadership

log = logging.getLogger("fluffy.keeper")

PING_TIMEOUT_S = 2.0
PROPOSE_TIMEOUT_S = 5.0
# What a node that does not answer may be running.
UNKNOWN = 0


class Lifter:
    """Call `one_round` now and then. `known`: the level of this program."""

    def __init__(self, own_no: NodeNo, leadership: Leadership, log_: MetadataLog, reader: MetadataReader,
                 peers: NodeClient, clock: Clock, known: int = FEATURE_LEVEL) -> None:
        self._own_no = own_no
        self._leadership = leadership
        self._log = log_
        self._reader = reader
        self._peers = peers
        self._clock = clock
        self._known = known
        self._condition = Condition("lifting the feature level")

    async def one_round(self) -> None:
        state = self._reader.read(queries.cluster_state)
        if self._leadership.term is None or state is None or state.feature_level >= self._known:
            return
        members = self._reader.read(queries.node_records)
        async with asyncio.TaskGroup() as group:
            tasks = {member.name: group.create_task(self._level_of(member.node_no)) for member in members}
        levels = {name: task.result() for name, task in tasks.items()}
        level = min(self._known, *levels.values())
        if level <= state.feature_level:
            behind = sorted(name for name, known in levels.items() if known < self._known)
            self._condition.blocked(Unavailable(f"not all nodes run this version yet: {', '.join(behind)}"))
            return
        header = Header(RequestId(b""), self._clock.now_ms(), self._own_no, UserNo(0))
        await self._log.propose(SetFeatureLevel(header, level), Deadline.after(PROPOSE_TIMEOUT_S))
        self._condition.fine()
        log.info("feature_level.lifted", extra={"level": level, "was": state.feature_level})

    async def _level_of(self, node: NodeNo) -> int:
        try:
            return (await self._peers.ping(node, Deadline.after(PING_TIMEOUT_S))).get("level", 1)
        except (Unavailable, OSError, TimeoutError):
            return UNKNOWN
