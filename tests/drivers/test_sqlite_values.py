"""What is bound as it is comes back as it was, and every writer of the hot paths asks for it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fluffy.base.sqlite_values import bind_as_they_are
from fluffy.drivers.raft.state_store import connect_writer


class Named(bytes):
    """Not bytes themselves: left to whoever adapts it."""


def test_values_come_back_as_they_were_bound() -> None:
    bind_as_they_are()
    with closing(sqlite3.connect(":memory:")) as db:
        row = (b"", b"\x00\xff" * 3_000, None, 5, "text", 1.5, bytearray(b"more"), Named(b"named"))
        found = db.execute(f"SELECT {', '.join('?' * len(row))}", row).fetchone()
        assert found == row and [type(value) for value in found[:6]] == [bytes, bytes, type(None), int, str, float]
        with pytest.raises((sqlite3.ProgrammingError, sqlite3.InterfaceError)):
            db.execute("SELECT ?", (object(),))


def test_the_log_binds_as_they_are(tmp_path: Path) -> None:
    for kind in (bytes, type(None)):
        sqlite3.adapters.pop((kind, sqlite3.PrepareProtocol), None)
    with closing(connect_writer(tmp_path / "meta.db")):
        assert {(bytes, sqlite3.PrepareProtocol), (type(None), sqlite3.PrepareProtocol)} <= set(sqlite3.adapters)
