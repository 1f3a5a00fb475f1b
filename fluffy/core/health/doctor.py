"""All checks in one order, and the answer to "may I stop this node?"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fluffy.base.units import format_size
from fluffy.core.health import checks_data, checks_nodes
from fluffy.core.health.checks_data import file_names
from fluffy.core.health.diagnosis import ClusterFacts, Finding, NodeFacts, counted, worst_first
from fluffy.core.metadata.queries_redundancy import AffectedFiles
from fluffy.core.repair.redundancy import LIVING_STATES, StopCost

CHECKS = (
    checks_nodes.quorum, checks_nodes.states, checks_data.copies, checks_data.places, checks_nodes.disks,
    checks_nodes.clocks, checks_nodes.following, checks_nodes.keepers, checks_data.jobs, checks_nodes.programs,
    checks_data.settings)


def diagnose(facts: ClusterFacts) -> tuple[Finding, ...]:
    """Everything that is wrong, the worst first."""
    return worst_first([finding for check in CHECKS for finding in check(facts)])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What stopping a node would cost. `safe`: nothing that users notice beyond a short pause."""

    node: str
    safe: bool
    lines: tuple[str, ...]
    voters_left: int
    voters: int
    writes_go_on: bool


def verdict_of_stop(facts: ClusterFacts, node: NodeFacts, cost: StopCost, files: AffectedFiles) -> Verdict:
    """`files`: those with a chunk whose only living copy is there."""
    voters_left = facts.voters_alive - (node.votes and node.about is not None)
    needed = facts.voters // 2 + 1
    writes_go_on = voters_left >= needed
    lines = [_quorum_line(voters_left, facts.voters, needed, facts.majority)]
    if facts.leader == node.name and writes_go_on:
        lines.append(f"node {node.name} leads: writes pause for about a second until another one does")
    if cost.gone_chunks:
        lines.append(f"{counted(files.files, 'file')} would have no copy: {file_names(files)}" if files.files
                     else f"{counted(cost.gone_chunks, 'chunk')} of old or deleted files would have no copy")
    else:
        lines.append("every file would still have a copy")
    if cost.last_chunks:
        lines.append(f"of {counted(cost.last_chunks, 'chunk')} one copy would be left")
    if cost.held_chunks:
        lines.append(f"it holds {counted(cost.held_chunks, 'copy', 'copies')} ({format_size(cost.held_bytes)}); if it "
                     "stays away they are made anew on other nodes")
    lines += _room_lines(facts, node, cost)
    return Verdict(node.name, writes_go_on and not cost.gone_chunks, tuple(lines), voters_left, facts.voters,
                   writes_go_on)


def _quorum_line(left: int, voters: int, needed: int, majority: bool | None) -> str:
    would = f"{left} of {counted(voters, 'voting node')} would be left"
    if not majority:
        return f"{would}; there is no majority now either: writes are refused"
    if not left:
        return f"{would}: the cluster would be away"
    if left >= needed:
        reserve = "" if left > needed or voters == 1 else ", and stop if one more goes"
        return f"{would}: writes go on{reserve}"
    return f"{would} and a write needs {needed}: writes would be refused, reads would go on and be marked stale"


def _room_lines(facts: ClusterFacts, node: NodeFacts, cost: StopCost) -> Sequence[str]:
    others = [about.free_bytes for each, about in facts.told if each.no != node.no and each.state in LIVING_STATES]
    if cost.held_bytes and sum(others) < cost.held_bytes:
        return [f"the other nodes have room for {format_size(sum(others))} only: not all of that could be made anew"]
    return []
