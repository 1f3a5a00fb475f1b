"""Refusals on their way to the audit log: folded, bounded, and not lost while the cluster cannot answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fluffy.base.errors import QuorumLost
from fluffy.base.ids import NodeNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.model_people import AuditRow
from fluffy.services.refusals import PENDING_MAX, PENDING_OF_USER_MAX, RefusalReporter
from tests.services.test_locks import RealClock
from tests.support.local_log import BornCluster, born_cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[BornCluster]:
    with born_cluster(tmp_path) as born:
        yield born


@pytest.fixture
def reporter(cluster: BornCluster) -> RefusalReporter:
    return RefusalReporter(cluster.log, RealClock(), NodeNo(1))


def rows(cluster: BornCluster) -> list[AuditRow]:
    return list(cluster.reader.read(lambda db: queries.audit(db, before=None, limit=1_000)))


async def test_the_same_refusal_again_becomes_a_count(cluster: BornCluster, reporter: RefusalReporter) -> None:
    for _ in range(3):
        reporter.note(user="bob", act="write", target="/eve/a", reason="no")
    reporter.note(user="", act="log in", target="bob", reason="wrong password")
    await reporter.report()
    assert [(row.who, row.act, row.target, row.refused, row.detail) for row in rows(cluster)] == [
        ("", "log in", "bob", True, "wrong password"), ("bob", "write", "/eve/a", True, "no (3 times)")]
    assert reporter.pending == 0


async def test_a_flood_costs_one_batch_and_says_how_much_was_left_out(cluster: BornCluster,
                                                                     reporter: RefusalReporter) -> None:
    for number in range(PENDING_MAX + 500):
        reporter.note(user=f"bob {number}", act="read", target="/eve", reason="no")
    await reporter.report()
    found = rows(cluster)
    assert len(found) == PENDING_MAX + 1 and found[0].detail == "500 more were left out"
    reporter.note(user="bob", act="read", target="/eve/x", reason="no")
    await reporter.report()
    assert rows(cluster)[0].target == "/eve/x"


async def test_one_user_cannot_push_the_others_out(cluster: BornCluster, reporter: RefusalReporter) -> None:
    for number in range(PENDING_MAX + 500):
        reporter.note(user="bob", act="read", target=f"/eve/{number}", reason="no")
    reporter.note(user="mallory", act="read", target="/eve", reason="no")
    await reporter.report()
    found = rows(cluster)
    assert len(found) == PENDING_OF_USER_MAX + 2
    assert found[0].detail == f"{PENDING_MAX + 500 - PENDING_OF_USER_MAX} more were left out"
    assert found[1].who == "mallory"


async def test_texts_of_any_kind_fit(cluster: BornCluster, reporter: RefusalReporter) -> None:
    reporter.note(user="\ud800" * 400, act="ü" * 999, target="日" * 5_000, reason="x" * 5_000)
    await reporter.report()
    assert len(rows(cluster)) == 1


async def test_without_a_majority_they_wait(cluster: BornCluster, reporter: RefusalReporter) -> None:
    reporter.note(user="bob", act="read", target="/a", reason="no")
    cluster.log.refuse_with = QuorumLost()
    await reporter.report()
    reporter.note(user="bob", act="read", target="/a", reason="no")
    assert reporter.pending == 1
    cluster.log.refuse_with = None
    await reporter.report()
    assert [row.detail for row in rows(cluster)] == ["no (2 times)"]
