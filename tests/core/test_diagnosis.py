"""Every planted trouble is found, named with what to do, and nothing else is; and what stopping a node would cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fluffy.base.ids import NodeNo
from fluffy.base.units import GIB
from fluffy.core.health.diagnosis import About, ClusterFacts, JobFacts, NodeFacts, is_healthy
from fluffy.core.health.doctor import diagnose, verdict_of_stop
from fluffy.core.metadata.model import ClusterSettings
from fluffy.core.metadata.queries_redundancy import AffectedFiles
from fluffy.core.repair.redundancy import Coverage, StopCost

ABOUT = About("1", 3, 60 * GIB, 100 * GIB, True, 1000, "a", 0, "ready", 0, 0, 0, 5)
SETTINGS = ClusterSettings(3, 2, 8 << 20, 16 << 10, 7, 100)
NOTHING = AffectedFiles(0, 0, ())


def node(no: int, name: str, **more: Any) -> NodeFacts:
    return replace(NodeFacts(NodeNo(no), name, name, "up", True, ABOUT), **more)


def cluster(*nodes: NodeFacts, **more: Any) -> ClusterFacts:
    nodes = nodes or (node(1, "a"), node(2, "b"), node(3, "c"))
    alive = sum(each.votes and each.about is not None for each in nodes)
    facts = ClusterFacts("a", "a", True, alive, SETTINGS, 3, 3, 1000, nodes, Coverage(whole=5), NOTHING, JobFacts())
    return replace(facts, **more)


def settings(**more: Any) -> ClusterSettings:
    return replace(SETTINGS, **more)


def second(about: About | None = ABOUT, /, **more: Any) -> tuple[NodeFacts, NodeFacts, NodeFacts]:
    return node(1, "a"), node(2, "b", about=about, **more), node(3, "c")


def test_a_cluster_in_good_order_has_no_findings() -> None:
    assert diagnose(cluster()) == ()
    assert is_healthy(diagnose(cluster()))


TROUBLES: list[tuple[str, str, ClusterFacts]] = [
    ("log-silent", "critical", cluster(majority=None)),
    ("no-majority", "critical", cluster(majority=False, leader=None, voters_alive=1)),
    ("no-leader", "critical", cluster(leader=None)),
    ("no-reserve", "warning", cluster(*second(None), voters_alive=2)),
    ("node-down", "warning", cluster(*second(None, state="down"))),
    ("node-suspect", "warning", cluster(*second(None, state="suspect"))),
    ("node-unreachable", "warning", cluster(*second(None))),
    ("node-draining", "note", cluster(*second(state="draining"))),
    ("node-joining", "note", cluster(*second(state="joining"))),
    ("node-flaps", "warning", cluster(node(1, "a", about=replace(ABOUT, flaps=((2, 4),))), node(2, "b"), node(3, "c"))),
    ("keeper-silent", "warning", cluster(*second(replace(ABOUT, keeper_works=False)))),
    ("chunks-lost", "critical", cluster(coverage=Coverage(lost=1))),
    ("chunks-away", "critical", cluster(coverage=Coverage(away=1))),
    ("chunks-endangered", "critical", cluster(coverage=Coverage(endangered=1))),
    ("chunks-short", "warning", cluster(coverage=Coverage(short=1))),
    ("copies-unknown", "warning", cluster(coverage=None)),
    ("repair-idle", "note", cluster(coverage=Coverage(short=1, missing_copies=1))),
    ("nodes-too-few", "warning", cluster(node(1, "a"))),
    ("living-too-few", "warning", cluster(*second(None, state="down"))),
    ("zones-too-few", "warning", cluster(node(1, "a"), node(2, "b", zone="a"), node(3, "c"))),
    ("disk-fills", "warning", cluster(*second(replace(ABOUT, free_bytes=9 * GIB)))),
    ("disk-full", "critical", cluster(*second(replace(ABOUT, free_bytes=4 * GIB)))),
    ("disk-full", "critical", cluster(*second(replace(ABOUT, free_bytes=GIB // 2, total_bytes=GIB)))),
    ("disks-uneven", "warning", cluster(*second(replace(ABOUT, free_bytes=20 * GIB)))),
    ("fsync-off", "warning", cluster(*second(replace(ABOUT, fsync=False)))),
    ("quarantine", "note", cluster(*second(replace(ABOUT, quarantined=2)))),
    ("clock-skew", "warning", cluster(*second(replace(ABOUT, skew_ms=-2500)))),
    ("clock-skew", "critical", cluster(*second(replace(ABOUT, skew_ms=90_000)))),
    ("log-lag", "warning", cluster(*second(replace(ABOUT, seq=1)), seq=5000)),
    ("search-not-ready", "note", cluster(*second(replace(ABOUT, search_state="rebuilding")))),
    ("search-lag", "warning", cluster(*second(replace(ABOUT, search_lag_ms=61_000, search_behind=3)))),
    ("jobs-stuck", "warning", cluster(jobs=JobFacts(stuck=(("every copy is damaged", 2),)))),
    ("versions-differ", "note", cluster(*second(replace(ABOUT, version="2")))),
    ("level-held-back", "warning", cluster(*second(replace(ABOUT, level=2)), feature_level=2)),
    ("one-copy", "warning", cluster(settings=settings(replication=1, write_quorum=1))),
    ("quorum-of-one", "warning", cluster(settings=settings(write_quorum=1))),
    ("voters-even", "note", cluster(node(1, "a"), node(2, "b"), node(3, "c"), node(4, "d"))),
    ("no-trash", "note", cluster(settings=settings(trash_days=0))),
]


@pytest.mark.parametrize(("code", "severity", "facts"), TROUBLES, ids=[code for code, _, _ in TROUBLES])
def test_a_planted_trouble_is_found(code: str, severity: str, facts: ClusterFacts) -> None:
    findings = {finding.code: finding for finding in diagnose(facts)}
    assert findings[code].severity == severity
    assert findings[code].message and findings[code].advice
    assert is_healthy(diagnose(facts)) == all(finding.severity == "note" for finding in findings.values())


# What one trouble brings with it.
TOGETHER = {
    "no-reserve": {"node-unreachable"}, "node-down": {"no-reserve", "living-too-few"},
    "node-suspect": {"no-reserve", "living-too-few"}, "node-unreachable": {"no-reserve"},
    "living-too-few": {"node-down", "no-reserve"}, "disk-full": {"disks-uneven"}, "disk-fills": {"disks-uneven"},
    "repair-idle": {"chunks-short"}, "no-majority": set()}


@pytest.mark.parametrize(("code", "severity", "facts"), TROUBLES, ids=[code for code, _, _ in TROUBLES])
def test_and_no_other(code: str, severity: str, facts: ClusterFacts) -> None:
    assert {finding.code for finding in diagnose(facts)} - {code} <= TOGETHER.get(code, set())


def test_the_worst_comes_first() -> None:
    findings = diagnose(cluster(*second(replace(ABOUT, quarantined=2, fsync=False)), coverage=Coverage(lost=1)))
    assert [finding.severity for finding in findings] == ["critical", "warning", "note"]


def test_lost_chunks_name_files() -> None:
    files = AffectedFiles(3, 1, (("x", "x/a"), ("x", "x/b")))
    [finding] = diagnose(cluster(coverage=Coverage(lost=4), unreadable=files))
    assert finding.message.endswith("(3 files: /x/a, /x/b and 1 more; 1 old or deleted one)")


def test_a_clock_that_is_off_by_less_than_is_certain_is_not_told() -> None:
    assert diagnose(cluster(*second(replace(ABOUT, skew_ms=4000, skew_error_ms=3000)))) == ()


def test_only_the_leader_knows_who_flaps() -> None:
    assert diagnose(cluster(*second(replace(ABOUT, flaps=((1, 4),))))) == ()


FREE = StopCost((), 0, 0, 10, 10 * GIB)


def lines(facts: ClusterFacts, cost: StopCost = FREE, files: AffectedFiles = NOTHING, stop: int = 1) -> str:
    verdict = verdict_of_stop(facts, facts.nodes[stop], cost, files)
    return ("safe: " if verdict.safe else "harm: ") + " | ".join(verdict.lines)


def test_stopping_one_of_three_is_safe() -> None:
    assert lines(cluster()).startswith(
        "safe: 2 of 3 voting nodes would be left: writes go on, and stop if one more goes | every file would still")
    assert "leads" in lines(cluster(), stop=0)


def test_stopping_a_second_one_stops_writes() -> None:
    said = lines(cluster(*second(None, state="down")), stop=2)
    assert said.startswith("harm: 1 of 3 voting nodes would be left and a write needs 2: writes would be refused")


def test_a_storage_node_has_no_vote_to_lose() -> None:
    facts = cluster(node(1, "a"), node(2, "b", votes=False), node(3, "c"), node(4, "d"))
    assert lines(facts).startswith("safe: 3 of 3 voting nodes would be left: writes go on |")


def test_files_that_would_be_gone_are_named() -> None:
    said = lines(cluster(), StopCost(((2,),), 4, 12, 16, GIB), AffectedFiles(3, 0, (("x", "x/a"), ("x", "x/b"))))
    assert said.startswith("harm: ")
    assert "3 files would have no copy: /x/a, /x/b and 1 more | of 12 chunks one copy would be left" in said


def test_room_that_is_not_there_is_told() -> None:
    assert "room for 120.0 GiB only" in lines(cluster(), StopCost((), 0, 0, 10, 200 * GIB))
    assert "room" not in lines(cluster())


def test_stopping_the_only_node_ends_the_cluster() -> None:
    assert lines(cluster(node(1, "a")), stop=0).startswith("harm: 0 of 1 voting node would be left: the cluster")
