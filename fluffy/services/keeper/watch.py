"""The leader's watch over the nodes: ping all data ports each second, judge, publish the placement map.

The verdicts are the leader's alone and live in memory; what the cluster acts on is only the committed map. A new leader
starts from the published verdicts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Conflict, Unavailable
from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.health.failure_detector import (
    PING_EVERY_MS,
    Patience,
    Watch,
    after_answer,
    after_silence,
    begin,
    forgive,
)
from fluffy.core.health.placement_plan import WEIGHTS_EVERY_MS, Report, next_nodes
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Header, NodeRecord, PublishPlacement
from fluffy.core.metadata.model import PlacementMap
from fluffy.ports import Clock, MetadataLog, MetadataReader, NodeClient
from fluffy.services.keeper.leadership import Leadership

log = logging.getLogger("fluffy.keeper")

# A ping must be answered before the next one is due.
PING_TIMEOUT_S = 0.9
PUBLISH_TIMEOUT_S = 3.0
# Between two rounds; a longer gap means that we ourselves stood still and heard nobody.
ROUND_GAP_MAX_MS = 3 * PING_EVERY_MS


class NodeWatch:
    """Call `one_round` each second. Does nothing while this node does not lead."""

    def __init__(self, own_no: NodeNo, leadership: Leadership, log_: MetadataLog, reader: MetadataReader,
                 peers: NodeClient, clock: Clock, patience: Patience) -> None:
        self._own_no = own_no
        self._leadership = leadership
        self._log = log_
        self._reader = reader
        self._peers = peers
        self._clock = clock
        self._patience = patience
        self._term: int | None = None
        self._watches: dict[NodeNo, Watch] = {}
        self._free_bytes: dict[NodeNo, int] = {}
        self._round_ms = 0
        self._published_ms: int | None = None  # by us, in this term
        self._weighed: set[NodeNo] = set()  # whose room was known when we published last

    def word(self) -> dict[str, Any]:
        """For the doctor: which nodes come and go, by number; nothing while this node does not lead."""
        return {"flaps": {} if self._term is None else {
            node: watch.flaps for node, watch in sorted(self._watches.items()) if watch.flaps}}

    async def one_round(self) -> None:
        term = await self._leadership.refresh()
        if term is None:
            self._term = None
            return
        members = self._reader.read(queries.node_records)
        current = self._reader.read(queries.placement_map)
        self._begin_round(term, members, current)
        answers = await self._ping_all([member.node_no for member in members])
        self._judge(answers)
        await self._publish(term, current, members)

    def _now_ms(self) -> int:
        return int(self._clock.monotonic_s() * 1000)

    def _begin_round(self, term: int, members: Sequence[NodeRecord], current: PlacementMap) -> None:
        now_ms = self._now_ms()
        if term != self._term:
            self._term = term
            self._watches.clear()
            self._free_bytes.clear()
            self._published_ms = None
            self._weighed.clear()
            self._round_ms = now_ms
        gap_ms = now_ms - self._round_ms
        if gap_ms > ROUND_GAP_MAX_MS:
            self._watches = {node: forgive(watch, gap_ms) for node, watch in self._watches.items()}
        self._round_ms = now_ms
        published = {node.node_no: node.state for node in current.nodes}
        for member in members:
            if member.node_no not in self._watches:
                self._watches[member.node_no] = begin(published.get(member.node_no, "suspect"), now_ms)

    async def _ping_all(self, nodes: Sequence[NodeNo]) -> dict[NodeNo, int | None]:
        """Free bytes per node that answered, None for one that did not."""
        deadline = Deadline.after(PING_TIMEOUT_S)

        async def ping(node: NodeNo) -> int | None:
            try:
                return (await self._peers.ping(node, deadline))["free_bytes"]
            except (Unavailable, OSError, TimeoutError):
                return None  # silence is what the detector counts

        async with asyncio.TaskGroup() as group:
            tasks = {node: group.create_task(ping(node)) for node in nodes}
        return {node: task.result() for node, task in tasks.items()}

    def _judge(self, answers: dict[NodeNo, int | None]) -> None:
        now_ms = self._now_ms()
        for node, free_bytes in answers.items():
            before = self._watches[node]
            if free_bytes is None:
                after = after_silence(before, now_ms, self._patience)
            else:
                self._free_bytes[node] = free_bytes
                after = after_answer(before, now_ms, self._patience)
            self._watches[node] = after
            if after.verdict != before.verdict:
                log.info("node.verdict", extra={
                    "node_no": node, "was": before.verdict, "verdict": after.verdict,
                    "silent_ms": now_ms - after.heard_ms})

    async def _publish(self, term: int, current: PlacementMap, members: Sequence[NodeRecord]) -> None:
        reports = {member.node_no: Report(self._watches[member.node_no].verdict, self._free_bytes.get(member.node_no))
                   for member in members}
        now_ms = self._now_ms()
        # A node whose room is heard of for the first time must not stand there with a guess: it would get no chunks.
        weights_due = (self._published_ms is None or now_ms - self._published_ms >= WEIGHTS_EVERY_MS
                       or not self._weighed.issuperset(self._free_bytes))
        intents = self._reader.read(queries.node_intents)
        draining = {node for node, intent in intents.items() if intent.draining_ms is not None or intent.leaving_ms}
        nodes = next_nodes(current, members, reports, draining=draining, weights_due=weights_due)
        if nodes is None:
            return
        header = Header(RequestId(b""), self._clock.now_ms(), self._own_no, UserNo(0))
        command = PublishPlacement(header, term, current.epoch + 1, nodes)
        try:
            await self._log.propose(command, Deadline.after(PUBLISH_TIMEOUT_S))
        except Conflict as error:
            # Another leader published first, or our own lost proposal did happen: read again next second.
            self._leadership.resign(error)
            return
        self._published_ms = now_ms
        self._weighed = set(self._free_bytes)
        log.info("placement.published", extra={
            "term": term, "epoch": command.epoch,
            "nodes": {str(node.node_no): f"{node.state}:{node.weight}" for node in nodes}})
