"""What the leader publishes: the placement map, from the members of the log, the verdicts and the reported free space.

A new map costs a log entry and makes every peer place new chunks differently, so it is published only for a change
that matters: a member that came or went, a node's state, or a weight that moved by a fifth or more; and for weights
alone not more often than once a minute: disks fill and empty quickly when large files come and go.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from fluffy.base.ids import NodeNo
from fluffy.base.units import GIB, MINUTE_MS
from fluffy.core.health.failure_detector import Verdict
from fluffy.core.metadata.commands import NodeRecord, NodeState
from fluffy.core.metadata.model import PlacementMap

WEIGHT_MIN = 1
WEIGHTS_EVERY_MS = 1 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Report:
    """What pinging told of a node. `free_bytes` is None while it has not answered this leader."""

    verdict: Verdict
    free_bytes: int | None


def weight_of(free_bytes: int) -> int:
    """Whole GiB of free space, at least 1."""
    return max(WEIGHT_MIN, free_bytes // GIB)


def next_nodes(current: PlacementMap, members: Sequence[NodeRecord], reports: Mapping[NodeNo, Report], *,
               draining: Container[NodeNo] = (), weights_due: bool = True) -> tuple[NodeState, ...] | None:
    """The nodes of the next map, ascending by number, or None when the current map is good enough.

    `weights_due`: whether moved weights alone are reason enough. A map made for another reason carries new weights too.
    A member without a report keeps its published line; one that is in no map yet begins as *suspect* until it answers.
    `draining`: nodes that an operator wants emptied; the map says so as long as they are alive.
    """
    published = {node.node_no: node for node in current.nodes}
    lines = tuple(_line(member, published.get(member.node_no), reports.get(member.node_no),
                        member.node_no in draining) for member in sorted(members, key=lambda member: member.node_no))
    same_nodes = [line.node_no for line in lines] == sorted(published)
    if same_nodes and not any(_matters(published[line.node_no], line, weights_due) for line in lines):
        return None
    return lines


def _line(member: NodeRecord, old: NodeState | None, report: Report | None, is_draining: bool) -> NodeState:
    state = "suspect" if old is None else old.state
    weight = WEIGHT_MIN if old is None else old.weight
    if report is not None:
        state = "draining" if is_draining and report.verdict != "down" else report.verdict
        if report.free_bytes is not None:
            weight = weight_of(report.free_bytes)
    return NodeState(member.node_no, state, member.zone, weight)


def _matters(old: NodeState, new: NodeState, weights_due: bool) -> bool:
    if (old.state, old.zone) != (new.state, new.zone):
        return True
    if not weights_due:
        return False
    # Whole numbers only: a change by a fifth up or down of the published weight.
    return abs(new.weight - old.weight) * 5 >= old.weight and new.weight != old.weight
