"""Databases of an older format are lifted step by step; newer and foreign ones are refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fluffy.base.errors import FeatureTooNew, IdentityMismatch
from fluffy.base.paths import parse_path
from fluffy.base.units import DAY_MS
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_tree import Move, Undelete
from fluffy.core.metadata.machine import open_state
from fluffy.core.metadata.migrations import STEPS, format_of, migrate
from fluffy.core.metadata.schema import FORMAT_VERSION
from tests.support.local_log import header
from tests.support.metadata_recount import check_state


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


def widen(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE users ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'")


def paint(db: sqlite3.Connection) -> None:
    db.execute("UPDATE users SET colour = 'blue'")


LATER = {**STEPS, FORMAT_VERSION: widen, FORMAT_VERSION + 1: paint}


def test_an_empty_file_gets_the_newest_format_and_opening_again_changes_nothing(db: sqlite3.Connection) -> None:
    assert format_of(db) == 0
    digest = open_state(db).digest()
    assert format_of(db) == FORMAT_VERSION
    assert open_state(db).digest() == digest


def test_steps_are_taken_in_order_from_where_the_database_is(db: sqlite3.Connection) -> None:
    migrate(db)
    db.execute("INSERT INTO users (user_no, name, role, created_ms) VALUES (1, 'a', 'admin', 0)")
    assert migrate(db, LATER) == FORMAT_VERSION + 2 == format_of(db)
    assert db.execute("SELECT name, colour FROM users").fetchall() == [("a", "blue")]
    assert migrate(db, LATER) == FORMAT_VERSION + 2


def test_a_step_that_fails_leaves_the_format_before_it(db: sqlite3.Connection) -> None:
    def fail(db: sqlite3.Connection) -> None:
        paint(db)
        raise sqlite3.OperationalError("disk I/O error")
    migrate(db)
    db.execute("INSERT INTO users (user_no, name, role, created_ms) VALUES (1, 'a', 'admin', 0)")
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, {**LATER, FORMAT_VERSION + 1: fail})
    assert format_of(db) == FORMAT_VERSION + 1
    assert db.execute("SELECT colour FROM users").fetchall() == [("red",)]
    assert migrate(db, LATER) == FORMAT_VERSION + 2


def test_a_newer_format_is_refused(db: sqlite3.Connection) -> None:
    migrate(db, LATER)
    with pytest.raises(FeatureTooNew, match="upgrade this node"):
        open_state(db)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE theirs (a)")
        with pytest.raises(IdentityMismatch):
            open_state(db)
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


def test_format_1_gets_accounts_for_what_it_holds(db: sqlite3.Connection) -> None:
    """A database as format 1 left it: buckets of two owners, files at several depths."""
    migrate(db, {0: STEPS[0]})
    assert format_of(db) == 1
    for no, parent, key, owner_no in ((1, 0, "a/", 1), (2, 0, "b/", 2), (3, 1, "d/", 1), (4, 3, "e/", 1)):
        db.execute("INSERT INTO folders VALUES (?, ?, ?, ?, 0, 0, 0, 0, 0)", (no, parent, key, owner_no))
        db.execute("INSERT INTO entries VALUES (?, ?, ?, 0, 0, 0, '', '', ?, 0)", (parent, key, no, owner_no))
    for no, parent, size in ((10, 1, 5), (11, 3, 7), (12, 4, 11), (13, 2, 13)):
        db.execute("INSERT INTO entries VALUES (?, 'f', ?, ?, 1, ?, '', '', 9, 0)", (parent, no, no + 100, size))
    db.execute("INSERT INTO users VALUES (1, 'one', 'admin', 0), (2, 'two', 'user', 0)")
    db.execute("INSERT INTO tokens VALUES (x'00', 1, '', 0)")
    assert migrate(db) == FORMAT_VERSION
    accounts = db.execute("SELECT * FROM accounts ORDER BY subject, no").fetchall()
    assert accounts == [(0, 1, 3, 23, None, None), (0, 2, 1, 13, None, None), (1, 1, 3, 23, None, None),
                        (1, 2, 1, 13, None, None)]
    assert db.execute("SELECT password, disabled, expires_ms FROM users JOIN tokens USING (user_no)").fetchall() == [
        (None, 0, 0)]


def test_format_1_gets_the_sums_below_its_folders_and_its_trash_goes_on(db: sqlite3.Connection) -> None:
    """A file with an old version, one in the trash, one that was to be freed, two folders deep."""
    migrate(db, {0: STEPS[0]})
    db.executescript("""
        UPDATE folders SET entries = 1;
        UPDATE state SET last_no = 20, feature_level = 1, files = 2, file_bytes = 7, clock_ms = 9000, seq = 1;
        INSERT INTO cluster VALUES (1, 'u', 'alpha', 0, 3, 2, 8388608, 100, 2, 100);
        INSERT INTO users VALUES (1, 'admin', 'admin', 0);
        INSERT INTO folders VALUES (2, 0, 'admin/', 1, 0, 1, 0, 0, 0), (3, 2, 'd/', 1, 0, 2, 1, 0, 0);
        INSERT INTO entries VALUES (0, 'admin/', 2, 0, 0, 0, '', '', 1, 0), (2, 'd/', 3, 0, 0, 0, '', '', 1, 0),
            (3, 'a', 4, 6, 5, 4, 'e', '', 1, 2000), (3, 'long', 7, 8, 1, 3, 'e', '', 1, 1000);
        INSERT INTO tombs VALUES (3, 'gone', 9, 7, 3000);
        INSERT INTO versions VALUES (5, 4, 4, 1, x'00', 'e', '', 1, 1000, 2000, NULL, NULL, NULL, x'61'),
            (6, 4, 5, 4, x'00', 'e', '', 1, 2000, NULL, NULL, NULL, NULL, x'61616161'),
            (8, 7, 1, 3, x'00', 'e', '', 1, 1000, NULL, NULL, NULL, NULL, x'616161'),
            (10, 9, 7, 0, x'00', 'e', '', 1, 1000, 3000, NULL, NULL, NULL, x''),
            (11, 9, 6, 0, x'00', 'e', '', 1, 900, 0, NULL, NULL, NULL, x'');
        INSERT INTO changes VALUES (1, 0, 5, 'admin', 0, 0, 1);""")
    state = open_state(db)
    assert format_of(db) == FORMAT_VERSION
    assert db.execute("SELECT folder_no, files, bytes, top, reach FROM folders ORDER BY folder_no").fetchall() == [
        (0, 0, 0, 0, 0), (2, 2, 7, 5, 6), (3, 2, 7, 5, 4)]
    assert db.execute("SELECT version_no, expires_ms FROM versions WHERE retired_ms NOTNULL"
                      " ORDER BY version_no").fetchall() == [
        (5, 2_000 + 2 * DAY_MS), (10, 3_000 + 2 * DAY_MS), (11, 0)]
    check_state(db)
    assert [item.path for item in queries.trash(db, parse_path(""), None, 10).items] == ["admin/d/gone"]
    state.begin()
    state.apply(1, 1, [Undelete(header(at_ms=9_500), "admin/d/gone"),
                       Move(header(at_ms=9_600), "admin/d", "admin/e")])
    state.commit()
    check_state(db)
    assert queries.folder_sums(db, parse_path("admin/e")) == (3, 7)
