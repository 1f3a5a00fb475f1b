"""Findings about what is stored: copies that are missing, where they may lie, what repair is stuck on, the settings."""

from __future__ import annotations

from collections.abc import Iterator

from fluffy.base.units import format_size
from fluffy.core.health.diagnosis import ClusterFacts, Finding, counted, named
from fluffy.core.metadata.queries_redundancy import AffectedFiles
from fluffy.core.repair.redundancy import LIVING_STATES


def copies(facts: ClusterFacts) -> Iterator[Finding]:
    """Chunks with fewer copies on living nodes than they want, the worst first."""
    cover = facts.coverage
    if cover is None:
        yield Finding("copies-unknown", "warning", "the copies could not be counted in time",
                      "ask again when the node is less busy")
        return
    stands_on = files_text(facts.unreadable)
    if cover.lost:
        yield Finding("chunks-lost", "critical",
                      f"of {counted(cover.lost, 'chunk')} no node of this cluster has a copy{stands_on}",
                      "bring back a removed node's disk if there is one; else restore the files from elsewhere",
                      facts={"chunks": cover.lost})
    if cover.away:
        yield Finding("chunks-away", "critical",
                      f"of {counted(cover.away, 'chunk')} all copies are on nodes that are away{stands_on}",
                      "start those nodes", facts={"chunks": cover.away})
    if cover.endangered:
        yield Finding("chunks-endangered", "critical",
                      f"of {counted(cover.endangered, 'chunk')} one copy is left where more are wanted",
                      "do not stop another node now; 'jobs' shows the repair", facts={"chunks": cover.endangered})
    if cover.short:
        yield Finding("chunks-short", "warning",
                      f"of {counted(cover.short, 'chunk')} there are fewer copies than wanted",
                      "nothing while 'jobs' shows the repair getting on", facts={"chunks": cover.short})
    if cover.missing_copies and not (facts.jobs.waiting or facts.jobs.running):
        yield Finding("repair-idle", "note",
                      f"{counted(cover.missing_copies, 'copy', 'copies')} ({format_size(cover.missing_bytes)}) are "
                      "missing and no job makes them yet",
                      "wait: copies of a node that is away are made anew after repair.grace, endangered ones at once")


def files_text(affected: AffectedFiles) -> str:
    """` (3 files: /a, /b and 1 more; 2 old or deleted ones)`; empty when no file is known to be affected."""
    if not affected.files and not affected.kept:
        return ""
    text = ("" if affected.is_whole else "at least ") + counted(affected.files, "file")
    if affected.names:
        text += f": {file_names(affected)}"
    if affected.kept:
        text += f"; {counted(affected.kept, 'old or deleted one')}"
    return f" ({text})"


def file_names(affected: AffectedFiles) -> str:
    """`/a, /b and 1 more`"""
    return named([f"/{path}" for _, path in affected.names], affected.files)


def places(facts: ClusterFacts) -> Iterator[Finding]:
    """Are there enough nodes and zones for the copies that are wanted?"""
    wanted = facts.settings.replication
    living = [node for node in facts.nodes if node.state in LIVING_STATES]
    if len(facts.nodes) < wanted:
        yield Finding("nodes-too-few", "warning",
                      f"the cluster wants {wanted} copies and has {counted(len(facts.nodes), 'node')}",
                      "add nodes (server.py NAME --join HOST:PORT)")
    elif len(living) < wanted:
        yield Finding("living-too-few", "warning",
                      f"the cluster wants {wanted} copies and {counted(len(living), 'node')} can take one",
                      "bring back the missing nodes: until then new files have fewer copies")
    zones = {node.zone or f"(node {node.name})" for node in facts.nodes}
    if wanted > 1 and len(zones) < min(wanted, len(facts.nodes)):
        yield Finding("zones-too-few", "warning",
                      f"the nodes stand in {counted(len(zones), 'zone')} and there are {wanted} copies: when a zone "
                      "fails, more than one copy goes with it",
                      "give machines that fail together (rack, power, building) one zone, and others another")


def jobs(facts: ClusterFacts) -> Iterator[Finding]:
    """Work that does not get on, with its reason."""
    for reason, count in facts.jobs.stuck:
        yield Finding("jobs-stuck", "warning",
                      f"{counted(count, 'job')} cannot get on: {reason or 'no error is known'}",
                      "'jobs --stuck' lists them, 'explain job ID' tells of one, 'jobs --retry' tries again",
                      facts={"jobs": count, "error": reason})


def settings(facts: ClusterFacts) -> Iterator[Finding]:
    """Settings that promise less than people may think."""
    ours = facts.settings
    if ours.replication == 1:
        yield Finding("one-copy", "warning", "the cluster keeps one copy of each chunk: a lost disk loses files",
                      "set a replication of 2 or more for buckets that matter")
    elif ours.write_quorum == 1:
        yield Finding("quorum-of-one", "warning",
                      "write_quorum is 1: an upload is acknowledged when its bytes are on one disk only",
                      "a cluster made anew with write_quorum: 2 does not have that gap")
    if facts.voters > 1 and facts.voters % 2 == 0:
        yield Finding("voters-even", "note",
                      f"{facts.voters} nodes vote: that survives no more failures than {facts.voters - 1} would",
                      "make the number of voting nodes odd")
    if ours.trash_days == 0:
        yield Finding("no-trash", "note", "trash_days is 0: what is deleted cannot be had back",
                      "give buckets that matter a trash_days of their own")
