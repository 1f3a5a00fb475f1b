"""The write-ahead log of the state stays bounded, also while writes never pause and readers come and go."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from fluffy.base.units import MIB
from fluffy.drivers.raft import jobs
from fluffy.drivers.raft.jobs import WalKeeper
from fluffy.drivers.raft.state_store import connect_writer

BODY = bytes(64 * 1024)
WRITTEN = 96 * MIB


def write_without_pause(path: Path, keeper: WalKeeper | None = None) -> int:
    """The largest that the WAL became while `WRITTEN` bytes passed through it, a reader looking all the time."""
    wal = path.with_name(path.name + "-wal")
    db = connect_writer(path)
    reader = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    db.execute("CREATE TABLE bodies (no INTEGER PRIMARY KEY, body BLOB)")
    largest = 0
    for number in range(WRITTEN // len(BODY)):
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT OR REPLACE INTO bodies VALUES (?, ?)", (number % 16, BODY))
        db.execute("COMMIT")
        if keeper is not None:
            keeper.shorten(db)
        assert reader.execute("SELECT count(*) FROM bodies").fetchone()[0] == min(number + 1, 16)
        largest = max(largest, wal.stat().st_size)
    reader.close()
    db.close()
    return largest


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "WAL_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(jobs, "WAL_BYTES_MIN", 2 * MIB)
    monkeypatch.setattr(jobs, "WAL_BYTES_MAX", 8 * MIB)


@pytest.mark.usefixtures("small")
def test_the_wal_begins_anew_while_writes_never_pause(tmp_path: Path) -> None:
    keeper = WalKeeper(lambda: tmp_path / "meta.1.db")
    keeper.start()
    try:
        assert write_without_pause(tmp_path / "meta.1.db", keeper) < WRITTEN // 2
    finally:
        keeper.stop()


def test_without_the_keeper_it_would_only_grow(tmp_path: Path) -> None:
    assert write_without_pause(tmp_path / "meta.1.db") > WRITTEN // 2
