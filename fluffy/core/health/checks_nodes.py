"""Findings about the machines: who is there, whether enough of them are, their disks, clocks and programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fluffy.base.units import GIB, MINUTE_MS, SECOND_MS, format_size
from fluffy.core.health.diagnosis import ClusterFacts, Finding, counted, named
from fluffy.core.repair.redundancy import LIVING_STATES

# Log time runs at the fastest clock: leases and locks of a node that is behind by this much end visibly early.
SKEW_WARNS_MS = 2 * SECOND_MS
SKEW_CRITICAL_MS = 1 * MINUTE_MS
# A quarter of a minute of full load; a node in step is behind by what is on its way.
BEHIND_WARNS = 1_000
# Below: uploads are placed elsewhere soon; then: everything that must be written is in danger.
FREE_WARNS_PERCENT = 15
FREE_CRITICAL_PERCENT = 5
FREE_CRITICAL_BYTES = 1 * GIB
# Disks that differ by so much are not filled by the same placement.
UNEVEN_PERCENT = 30
SEARCH_LAG_WARNS_MS = 1 * MINUTE_MS


def quorum(facts: ClusterFacts) -> Iterator[Finding]:
    """Can anything be written, and after the next failure?"""
    needed = facts.voters // 2 + 1
    missing = tuple(node.name for node in facts.nodes if node.votes and node.about is None)
    if facts.majority is None:
        yield Finding(
            "log-silent", "critical", f"the log process of node {facts.asked} does not answer",
            f"look into the log of node {facts.asked}; its supervisor starts the process again", (facts.asked,))
    elif not facts.majority:
        yield Finding(
            "no-majority", "critical",
            f"node {facts.asked} sees only {facts.voters_alive} of {facts.voters} voting nodes and a write needs "
            f"{needed}: nothing can be written, reads are stale",
            f"start {named(missing) or 'the others'}; if they are gone for good: fluffy admin force-new-cluster",
            missing)
    elif facts.leader is None:
        yield Finding("no-leader", "critical", "no node leads at this moment, so nothing can be written",
                      "wait some seconds and look again; an election takes about one")
    elif facts.voters > 1 and facts.voters_alive == needed < facts.voters:
        yield Finding(
            "no-reserve", "warning",
            f"{facts.voters_alive} of {facts.voters} voting nodes are there, just a majority: if one more goes, "
            "nothing can be written", f"bring back {named(missing) or 'the missing nodes'}", missing)


def states(facts: ClusterFacts) -> Iterator[Finding]:
    """What the leader says of each node, and where this node sees it otherwise."""
    for node in facts.nodes:
        if node.state == "down":
            yield Finding("node-down", "warning",
                          f"node {node.name} is down; after repair.grace its copies are made anew elsewhere",
                          f"start it again, or remove it for good: remove {node.name}", (node.name,))
        elif node.state == "suspect":
            yield Finding("node-suspect", "warning", f"node {node.name} does not answer the leader's heartbeats",
                          "look whether it runs and whether the others reach it", (node.name,))
        elif node.about is None and node.state in LIVING_STATES:
            yield Finding("node-unreachable", "warning",
                          f"node {node.name} is {node.state} for the leader, but does not answer node {facts.asked}",
                          f"look at the network between {facts.asked} and {node.name}, both ways", (node.name,))
        elif node.state in ("draining", "joining"):
            yield Finding(f"node-{node.state}", "note", f"node {node.name} is {node.state}",
                          "nothing; 'nodes' and 'jobs' show how far it is", (node.name,))
    flaps = {no: number for node, about in facts.told if node.name == facts.leader for no, number in about.flaps}
    for node in facts.nodes:
        if node.no in flaps:
            yield Finding("node-flaps", "warning",
                          f"node {node.name} came and went {counted(flaps[node.no], 'time')} lately; the leader trusts "
                          "it only after more answers in a row",
                          "look for a bad cable, an overloaded machine, or a process that is killed again and again",
                          (node.name,))


def disks(facts: ClusterFacts) -> Iterator[Finding]:
    """Room, and whether it is fsynced what is written."""
    filled = {}
    for node, about in facts.told:
        if about.total_bytes > 0:
            percent = 100 * about.free_bytes // about.total_bytes
            filled[node.name] = 100 - percent
            is_critical = percent < FREE_CRITICAL_PERCENT or about.free_bytes < FREE_CRITICAL_BYTES
            if is_critical or percent < FREE_WARNS_PERCENT:
                yield Finding(
                    "disk-full" if is_critical else "disk-fills", "critical" if is_critical else "warning",
                    f"the disk of node {node.name} has {format_size(about.free_bytes)} left, {percent} %",
                    "add a node or a larger disk, or free room: trash --empty", (node.name,),
                    {"free_bytes": about.free_bytes, "total_bytes": about.total_bytes})
        if not about.fsync:
            yield Finding("fsync-off", "warning",
                          f"node {node.name} runs with fsync: false: a power cut may lose what was acknowledged",
                          "set fsync: true in its config and start it again", (node.name,))
        if about.quarantined:
            yield Finding("quarantine", "note",
                          f"node {node.name} keeps {counted(about.quarantined, 'bad chunk file')} for inspection",
                          "look whether its disk fails; purge them when you have seen them", (node.name,),
                          {"files": about.quarantined})
    if len(filled) > 1 and max(filled.values()) - min(filled.values()) > UNEVEN_PERCENT:
        fullest, emptiest = max(filled, key=filled.__getitem__), min(filled, key=filled.__getitem__)
        yield Finding("disks-uneven", "warning",
                      f"the disk of node {fullest} is filled to {filled[fullest]} %, that of {emptiest} to "
                      f"{filled[emptiest]} %",
                      "if nothing else than Fluffy fills them: look at 'jobs' for what rebalancing waits for",
                      (fullest, emptiest))


def clocks(facts: ClusterFacts) -> Iterator[Finding]:
    """Wall clocks that run apart."""
    for node, about in facts.told:
        off_ms = abs(about.skew_ms) - about.skew_error_ms
        if off_ms >= SKEW_WARNS_MS:
            way = "ahead of" if about.skew_ms > 0 else "behind"
            yield Finding(
                "clock-skew", "critical" if off_ms >= SKEW_CRITICAL_MS else "warning",
                f"the clock of node {node.name} is {off_ms / 1000:.1f} s {way} that of node {facts.asked}",
                "let all nodes follow one time server (chrony, systemd-timesyncd): leases, locks and times of files "
                "follow the fastest clock", (node.name,), {"skew_ms": about.skew_ms})


def following(facts: ClusterFacts) -> Iterator[Finding]:
    """Nodes that lag behind the log, and search indexes that lag behind their node."""
    for node, about in facts.told:
        behind = facts.seq - about.seq
        if behind >= BEHIND_WARNS:
            yield Finding("log-lag", "warning", f"node {node.name} is {counted(behind, 'change')} behind",
                          "wait while it catches up; if the number does not fall, look into its log", (node.name,),
                          {"behind": behind})
        if about.search_state != "ready":
            yield Finding("search-not-ready", "note",
                          f"the search index of node {node.name} is {about.search_state}: searches there are slow",
                          "nothing; it is built in the background", (node.name,))
        elif about.search_lag_ms >= SEARCH_LAG_WARNS_MS:
            yield Finding("search-lag", "warning",
                          f"the search index of node {node.name} is {counted(about.search_behind, 'change')} and "
                          f"{about.search_lag_ms // 1000} s behind", "look whether its keeper runs and has room",
                          (node.name,), {"behind": about.search_behind})


def keepers(facts: ClusterFacts) -> Iterator[Finding]:
    """Background work that nobody does."""
    for node, about in facts.told:
        if not about.keeper_works:
            yield Finding("keeper-silent", "warning",
                          f"the keeper of node {node.name} is silent: nothing is repaired, checked or indexed there",
                          f"look into the log of node {node.name}; its supervisor starts the process again",
                          (node.name,))


def programs(facts: ClusterFacts) -> Iterator[Finding]:
    """An upgrade that is under way, or that stopped half way."""
    versions = Counter(about.version for _, about in facts.told)
    if len(versions) > 1:
        each = ", ".join(f"{version} on {named([node.name for node, about in facts.told if about.version == version])}"
                         for version in sorted(versions))
        yield Finding("versions-differ", "note", f"the nodes run different versions: {each}",
                      "finish the upgrade: fluffy admin rolling-restart restarts them one by one")
    if facts.feature_level < facts.known_level:
        behind = tuple(node.name for node in facts.nodes if node.about is None or node.about.level < facts.known_level)
        yield Finding(
            "level-held-back", "warning",
            f"the cluster works at feature level {facts.feature_level} of {facts.known_level}"
            + (f", held back by {named(behind)}" if behind else ""),
            "start those nodes, with the new version; what is new works only after that", behind)
