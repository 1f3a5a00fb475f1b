"""Moving the WAL into the database: whole, so that the writer begins it anew."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluffy.drivers.raft import jobs
from fluffy.drivers.raft.jobs import WalKeeper, unmoved_bytes
from fluffy.drivers.raft.state_store import connect_writer

PAGE = 4096
FRAME = 24 + PAGE


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    db = connect_writer(tmp_path / "meta.1.db")
    db.execute("CREATE TABLE bodies (no INTEGER PRIMARY KEY, body BLOB)")
    yield db
    db.close()


def write(db: sqlite3.Connection, count: int) -> None:
    for _ in range(count):
        db.execute("INSERT INTO bodies (body) VALUES (?)", (os.urandom(PAGE),))


def wal_size(tmp_path: Path) -> int:
    return (tmp_path / "meta.1.db-wal").stat().st_size


def move(tmp_path: Path) -> None:
    jobs._move_wal(tmp_path / "meta.1.db")


def test_what_is_not_moved_is_counted(writer: sqlite3.Connection, tmp_path: Path) -> None:
    write(writer, 20)
    before = unmoved_bytes(tmp_path / "meta.1.db")
    assert before % FRAME == 0 and 20 * FRAME <= before <= wal_size(tmp_path)
    move(tmp_path)
    assert unmoved_bytes(tmp_path / "meta.1.db") == 0
    write(writer, 1)
    assert 0 < unmoved_bytes(tmp_path / "meta.1.db") <= 5 * FRAME


def test_a_wal_that_was_moved_is_begun_anew(writer: sqlite3.Connection, tmp_path: Path) -> None:
    write(writer, 50)
    size = wal_size(tmp_path)
    for _ in range(5):
        move(tmp_path)
        write(writer, 20)
    assert wal_size(tmp_path) == size
    assert writer.execute("SELECT count(*) FROM bodies").fetchone() == (150,)


def test_a_commit_during_a_pass_costs_another_pass(writer: sqlite3.Connection, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    write(writer, 20)
    looks = []

    def look(path: Path) -> int:
        looks.append(unmoved_bytes(path))
        if len(looks) < 3:
            write(writer, 1)  # after this look, before the next pass
            return unmoved_bytes(path)
        return looks[-1]

    monkeypatch.setattr(jobs, "unmoved_bytes", look)
    move(tmp_path)
    assert looks == [0, 0, 0]


def test_a_reader_in_the_way_ends_the_passes(writer: sqlite3.Connection, tmp_path: Path) -> None:
    reader = sqlite3.connect(tmp_path / "meta.1.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM bodies").fetchone()
    write(writer, 20)
    move(tmp_path)
    assert unmoved_bytes(tmp_path / "meta.1.db") > 0
    reader.execute("COMMIT")
    move(tmp_path)
    assert unmoved_bytes(tmp_path / "meta.1.db") == 0
    reader.close()


def test_a_database_that_is_gone_is_no_reason_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "WAL_LOOK_EVERY_S", 0.01)
    asked: list[int] = []

    def current() -> Path:
        asked.append(1)
        return tmp_path / "meta.9.db"

    keeper = WalKeeper(current)
    keeper.start()
    while len(asked) < 3 and keeper.is_alive():
        keeper.join(0.01)
    assert keeper.is_alive()
    keeper.stop()
