"""The cluster as the plan sees it: which copies count, which nodes can take more.

A copy *counts* when its node is expected to keep it: not when the node is being emptied, and not when it has been down
for longer than the grace (a machine that is being restarted keeps its copies). It is *live* when its node answers now:
few live copies make a chunk endangered, whatever the grace. It is *certain* when its node is up and to stay: only
certain copies excuse the removal of another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fluffy.base.ids import NodeNo
from fluffy.core.metadata.model import Member
from fluffy.core.metadata.model_jobs import NodeHealth

UP = "up"
DOWN = "down"
DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Node:
    """One member. `free_bytes`: as the map says, in whole GiB."""

    no: NodeNo
    state: str
    zone: str
    bytes: int
    free_bytes: int
    is_leaving: bool
    is_lost: bool

    @property
    def counts(self) -> bool:
        return not (self.is_leaving or self.is_lost)

    @property
    def is_live(self) -> bool:
        return self.state != DOWN

    @property
    def is_certain(self) -> bool:
        """Also: may be given copies."""
        return self.state == UP and not self.is_leaving


class ClusterView:
    """All members at one moment. A node that is no member (any more) has no copies."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes: Mapping[NodeNo, Node] = {node.no: node for node in nodes}

    def counted(self, replicas: Iterable[NodeNo]) -> list[NodeNo]:
        return [no for no in replicas if no in self.nodes and self.nodes[no].counts]

    def live(self, replicas: Iterable[NodeNo]) -> list[NodeNo]:
        return [no for no in replicas if no in self.nodes and self.nodes[no].is_live]

    def certain(self, replicas: Iterable[NodeNo]) -> list[NodeNo]:
        return [no for no in replicas if no in self.nodes and self.nodes[no].is_certain]

    def zone(self, no: NodeNo) -> str:
        """Two nodes without a zone (empty) are in no common one."""
        node = self.nodes.get(no)
        return node.zone if node is not None and node.zone else f"\x00{no}"

    @property
    def away(self) -> list[NodeNo]:
        """Nodes whose copies do not count: every chunk that they hold may be short of copies."""
        return [no for no, node in self.nodes.items() if not node.counts]

    @property
    def silent(self) -> list[NodeNo]:
        """Nodes that are down, for however short a time: chunks that they hold may be endangered."""
        return [no for no, node in self.nodes.items() if not node.is_live]

    @property
    def is_calm(self) -> bool:
        """Nobody is missing or going: the moment to move copies for the sake of balance."""
        return all(node.is_certain for node in self.nodes.values())


def view_of(members: Iterable[Member], free_gib: Mapping[NodeNo, int], healths: Iterable[NodeHealth],
            leaving: Iterable[NodeNo], *, now_ms: int, grace_ms: int, gib: int = 1 << 30) -> ClusterView:
    """The view at log time `now_ms`. `leaving`: nodes that an operator wants emptied or gone."""
    down_since = {health.node_no: health.down_since_ms for health in healths}
    gone = frozenset(leaving)
    return ClusterView(
        Node(no := member.record.node_no, member.state, member.record.zone, member.bytes, free_gib.get(no, 1) * gib,
             no in gone or member.state == DRAINING,
             bool(down_since.get(no)) and down_since[no] + grace_ms <= now_ms)
        for member in members)
