"""An edited configuration does not change what a cluster was born with."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import pytest

from fluffy.apps.birth_facts import check_birth_facts
from fluffy.apps.settings import load
from fluffy.base.ids import ClusterUuid, DiskUuid, NodeName, NodeNo, RequestId, UserNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Genesis, Header, NodeRecord
from fluffy.core.metadata.machine import open_state


@pytest.fixture
def born(tmp_path: Path) -> sqlite3.Connection:
    """The state of a cluster that was just born with the nodes one, two and three."""
    db = sqlite3.connect(tmp_path / "meta.db", isolation_level=None)
    machine = open_state(db)
    records = tuple(NodeRecord(NodeNo(no), NodeName(name), DiskUuid(name), name, "127.0.0.1", http=no, raft=no + 10,
                               data=no + 20, s3=0) for no, name in enumerate(("one", "two", "three"), start=1))
    machine.begin()
    machine.apply(1, 1, [Genesis(
        header=Header(RequestId(b"1" * 16), 1, NodeNo(1), UserNo(0)), cluster_uuid=ClusterUuid("u"),
        cluster_name="alpha", nodes=records, admin_name="admin", admin_token_hash=b"h" * 32, replication=3,
        write_quorum=2, chunk_size=8 * 1024 * 1024, inline_max=16 * 1024, trash_days=7, versions_max=100)])
    machine.commit()
    return db


def check(folder: Path, db: sqlite3.Connection, *names: str, cluster: str = "") -> None:
    path = folder / "config.yaml"
    path.write_text(f"cluster: {{name: alpha, replication: {min(3, len(names))}{cluster}}}\nnodes:\n" + "".join(
        f"  {name}: {{host: 127.0.0.1, http: {i}, raft: {i + 100}, data: {i + 200}}}\n"
        for i, name in enumerate(names, start=9000)))
    check_birth_facts(load(path), db)


def test_the_same_nodes_in_any_order_are_fine(tmp_path: Path, born: sqlite3.Connection) -> None:
    check(tmp_path, born, "three", "one", "two")


@pytest.mark.parametrize("names", [("one",), ("one", "two", "three", "four"), ("one", "two", "third")])
def test_another_list_of_nodes_changes_nothing_for_the_log_says_who_votes(
        tmp_path: Path, born: sqlite3.Connection, names: tuple[str, ...]) -> None:
    check(tmp_path, born, *names)
    assert sorted(queries.voters(born)) == ["one", "three", "two"]


def test_other_changes_are_told_and_have_no_effect(
        tmp_path: Path, born: sqlite3.Connection, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check(tmp_path, born, "one", "two", "three", cluster=", trash_days: 30")
    [record] = caplog.records
    assert record.getMessage() == "settings.kept_from_birth"
    assert (vars(record)["key"], vars(record)["in_force"]) == ("cluster.trash_days", 7)


def test_before_the_birth_there_is_nothing_to_check(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "meta.db", isolation_level=None)
    open_state(db)
    check(tmp_path, db, "one")
