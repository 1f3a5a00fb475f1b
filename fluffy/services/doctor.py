"""Gathering what the doctor judges: the catalog's sums, the log's view, and what each node says of itself.

All numbers about copies come from one read transaction, so that they agree with each other; counting is a scan of the
chunks and, when something is wrong, of the files, in a thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded, NodeNotFound, NotReady
from fluffy.base.ids import NodeNo
from fluffy.core.health.diagnosis import About, ClusterFacts, Finding, JobFacts, NodeFacts
from fluffy.core.health.doctor import Verdict, diagnose, verdict_of_stop
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import FEATURE_LEVEL
from fluffy.core.metadata.model import ClusterState, Member
from fluffy.core.metadata.queries_redundancy import AffectedFiles, copy_sets, files_on
from fluffy.core.repair.redundancy import (
    LIVING_STATES,
    Coverage,
    StopCost,
    cost_of_stop,
    coverage,
    unreadable_sets,
)
from fluffy.ports import LogStatus, MetadataReader
from fluffy.services.about import AskingNodes
from fluffy.services.repair_progress import RepairProgress

NAMES_MAX = 20
# A million chunks take half a second, a million files with chunks two.
SCAN_TIMEOUT_S = 20.0

# (bucket) -> whether the asker may know what is in it.
Sees = Callable[[str], bool]
NO_FILES = AffectedFiles(0, 0, ())


@dataclass(frozen=True, slots=True)
class Copies:
    """The catalog's sums. `cost`, `gone`: of stopping the node that was asked about; None and nothing without one."""

    coverage: Coverage
    unreadable: AffectedFiles
    cost: StopCost | None
    gone: AffectedFiles


@dataclass(frozen=True, slots=True)
class Stop:
    """What stopping a node would cost."""

    verdict: Verdict
    cost: StopCost
    files: AffectedFiles


@dataclass(frozen=True, slots=True)
class Examined:
    """`stop` is None when no node was named."""

    facts: ClusterFacts
    findings: tuple[Finding, ...]
    stop: Stop | None


class Doctor:
    """One per gateway; keeps nothing between two questions. `progress`: how far repair is, for those who only watch."""

    def __init__(self, node: str, reader: MetadataReader, asking: AskingNodes) -> None:
        self._node = node
        self._reader = reader
        self._asking = asking
        self.progress = RepairProgress(reader, asking.clock)

    async def examine(self, status: LogStatus | None, sees: Sees, stop: str | None = None) -> Examined:
        """Look at everything, and at what stopping node `stop` now would cost. `sees`: whose files may be named.

        Raises NodeNotFound; DeadlineExceeded when the cost cannot be counted in time.
        """
        state, members, voters, work = self._reader.read(lambda db: (
            queries.cluster_state(db), queries.members(db), frozenset(queries.voters(db)), _jobs(db)))
        if state is None:
            raise NotReady
        stopped = None if stop is None else _member(members, stop)
        abouts = await self._asking.ask_all([member.record.node_no for member in members])
        nodes = tuple(_node_facts(member, voters, abouts[member.record.node_no]) for member in members)
        copies = await self._copies(nodes, None if stopped is None else stopped.record.node_no, sees)
        facts = self._put_together(status, state, nodes, copies, work)
        return Examined(facts, diagnose(facts), _stop(facts, copies, stop))

    async def ask_all(self, nodes: Sequence[NodeNo]) -> dict[NodeNo, About | None]:
        """What each node says of itself; None: it does not answer."""
        return await self._asking.ask_all(nodes)

    def _put_together(self, status: LogStatus | None, state: ClusterState, nodes: tuple[NodeFacts, ...],
                      copies: Copies | None, work: JobFacts) -> ClusterFacts:
        alive = 0
        if status is not None:
            connected = {peer.name for peer in status.peers if peer.connected} | {status.node}
            alive = sum(node.votes and node.name in connected for node in nodes)
        return ClusterFacts(
            asked=self._node, leader=None if status is None else status.leader,
            majority=None if status is None else status.majority_connected, voters_alive=alive,
            settings=state.settings, feature_level=state.feature_level, known_level=FEATURE_LEVEL, seq=state.seq,
            nodes=nodes, coverage=None if copies is None else copies.coverage,
            unreadable=NO_FILES if copies is None else copies.unreadable, jobs=work)

    async def _copies(self, nodes: tuple[NodeFacts, ...], stopped: NodeNo | None, sees: Sees) -> Copies | None:
        """None: there was no time to count."""
        living = frozenset(node.no for node in nodes if node.state in LIVING_STATES)
        members = frozenset(node.no for node in nodes)

        def scan(db: sqlite3.Connection) -> Copies:
            sets = copy_sets(db)
            cost = None if stopped is None else cost_of_stop(sets, living, stopped)
            return Copies(coverage(sets, living, members),
                          files_on(db, unreadable_sets(sets, living), names_max=NAMES_MAX), cost,
                          NO_FILES if cost is None else files_on(db, cost.gone, names_max=NAMES_MAX))
        try:
            found = await self._reader.read_in_thread(scan, Deadline.after(SCAN_TIMEOUT_S))
        except DeadlineExceeded:
            if stopped is not None:
                raise
            return None
        return replace(found, unreadable=_seen(found.unreadable, sees), gone=_seen(found.gone, sees))


def _member(members: Sequence[Member], name: str) -> Member:
    for member in members:
        if member.record.name == name:
            return member
    names = ", ".join(member.record.name for member in members)
    raise NodeNotFound(f"there is no node {name!r} in this cluster; its nodes are {names}", node=name)


def _node_facts(member: Member, voters: Set[str], about: About | None) -> NodeFacts:
    record = member.record
    return NodeFacts(record.node_no, record.name, record.zone, member.state, record.name in voters, about)


def _jobs(db: sqlite3.Connection) -> JobFacts:
    queues = queries.queues(db)
    return JobFacts(sum(queue.load.queued for queue in queues), sum(queue.load.leased for queue in queues),
                    queries.stuck_reasons(db))


def _seen(files: AffectedFiles, sees: Sees) -> AffectedFiles:
    """With the names that the asker may know; the counts are everybody's."""
    return replace(files, names=tuple(name for name in files.names if sees(name[0])))


def _stop(facts: ClusterFacts, copies: Copies | None, name: str | None) -> Stop | None:
    if name is None or copies is None or copies.cost is None:
        return None
    [node] = [node for node in facts.nodes if node.name == name]
    return Stop(verdict_of_stop(facts, node, copies.cost, copies.gone), copies.cost, copies.gone)
