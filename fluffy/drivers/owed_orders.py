"""The orders of `services.federation.owed` in a small SQLite file. Implements `OwedStore`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Any

from fluffy.services.federation.owed import Order

FILE_NAME = "owed.db"
GIVEN_UP_MAX = 1_000

_TABLES = (
    """
CREATE TABLE IF NOT EXISTS owed (
    no              INTEGER PRIMARY KEY AUTOINCREMENT,
    target          TEXT NOT NULL,       -- cluster
    path            TEXT NOT NULL,
    source          TEXT NOT NULL,       -- cluster
    source_asker    TEXT NOT NULL,       -- hash of the token of whom it is done for, there
    target_asker    TEXT NOT NULL,
    made_ms         INTEGER NOT NULL,    -- wall time
    attempts        INTEGER NOT NULL,
    due_ms          INTEGER NOT NULL,
    error           TEXT NOT NULL,       -- of the last attempt; '': none
    UNIQUE (target, path)
)""",
    "DROP INDEX IF EXISTS owed_due",
    "CREATE INDEX IF NOT EXISTS owed_due_to ON owed (target, due_ms)",
    "DROP TABLE IF EXISTS given_up",  # it did not say whose they were
    """
CREATE TABLE IF NOT EXISTS ended (
    no              INTEGER PRIMARY KEY,
    target          TEXT NOT NULL,
    path            TEXT NOT NULL,
    source          TEXT NOT NULL,
    source_asker    TEXT NOT NULL,
    target_asker    TEXT NOT NULL,
    at_ms           INTEGER NOT NULL,
    error           TEXT NOT NULL
)""")
_COLUMNS = "no, target, path, source, source_asker, target_asker, made_ms, attempts, error"


class OwedOrders:
    """In `folder`. A promise to users: every change is fsynced before it returns. Used on one loop."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        for statement in _TABLES:
            self._db.execute(statement)

    def close(self) -> None:
        self._db.close()

    def owe(self, target: str, path: str, source: str, source_asker: str, target_asker: str, now_ms: int) -> Order:
        row = self._db.execute(
            "INSERT OR REPLACE INTO owed (target, path, source, source_asker, target_asker, made_ms, attempts, due_ms,"
            f" error) VALUES (?, ?, ?, ?, ?, ?, 0, ?, '') RETURNING {_COLUMNS}",
            (target, path, source, source_asker, target_asker, now_ms, now_ms)).fetchone()
        return Order(*row)

    def due(self, now_ms: int, limit: int, among: Collection[str]) -> list[Order]:
        names = json.dumps(list(among))
        return [order for target in sorted(among) for order in self._orders(
            "WHERE target = ? AND due_ms <= ? AND source IN (SELECT value FROM json_each(?)) ORDER BY due_ms LIMIT ?",
            target, now_ms, names, limit)]

    def listed(self, limit: int, askers: Collection[str] | None) -> list[Order]:
        """The oldest, of these askers; None: of all."""
        where, values = _of(askers)
        return self._orders(f"{where} ORDER BY no LIMIT ?", *values, limit)

    def count(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM owed").fetchone()[0])

    def aside(self, joined: Collection[str]) -> dict[str, int]:
        names = json.dumps(list(joined))
        rows = self._db.execute(
            "SELECT CASE WHEN target IN (SELECT value FROM json_each(?1)) THEN source ELSE target END AS gone, count(*)"
            " FROM owed WHERE NOT (target IN (SELECT value FROM json_each(?1)) AND source IN"
            " (SELECT value FROM json_each(?1))) GROUP BY gone ORDER BY gone", (names,))
        return {str(name): int(count) for name, count in rows}

    def is_owed(self, target: str, path: str) -> bool:
        return self._db.execute("SELECT 1 FROM owed WHERE target = ? AND path = ?",
                                (target, path)).fetchone() is not None

    def is_owed_between(self, one: str, other: str, path: str) -> bool:
        """Whether one of the two is owed the file of the other."""
        return self._db.execute("SELECT 1 FROM owed WHERE path = ? AND ((target = ? AND source = ?) OR"
                                " (target = ? AND source = ?))", (path, one, other, other, one)).fetchone() is not None

    def is_current(self, order: Order) -> bool:
        return self._db.execute("SELECT 1 FROM owed WHERE no = ?", (order.no,)).fetchone() is not None

    def forget(self, target: str, path: str) -> None:
        self._db.execute("DELETE FROM owed WHERE target = ? AND path = ?", (target, path))

    def done(self, order: Order) -> None:
        self._db.execute("DELETE FROM owed WHERE no = ?", (order.no,))

    def later(self, order: Order, until_ms: int, error: str) -> None:
        self._db.execute("UPDATE owed SET due_ms = ?, attempts = attempts + 1, error = ? WHERE no = ?",
                         (until_ms, error, order.no))

    def give_up(self, order: Order, now_ms: int, error: str) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        if self._db.execute("DELETE FROM owed WHERE no = ?", (order.no,)).rowcount:
            self._db.execute("INSERT INTO ended (target, path, source, source_asker, target_asker, at_ms, error)"
                             " VALUES (?, ?, ?, ?, ?, ?, ?)", (order.target, order.path, order.source,
                                                               order.source_asker, order.target_asker, now_ms, error))
            self._db.execute("DELETE FROM ended WHERE no <= (SELECT max(no) FROM ended) - ?", (GIVEN_UP_MAX,))
        self._db.execute("COMMIT")

    def given_up(self, limit: int, askers: Collection[str] | None) -> list[dict[str, Any]]:
        """The newest, of these askers; None: of all."""
        where, values = _of(askers)
        rows = self._db.execute(f"SELECT target, path, source, at_ms, error FROM ended {where}"
                                " ORDER BY no DESC LIMIT ?", (*values, limit))
        return [dict(zip(("target", "path", "source", "at_ms", "error"), row, strict=True)) for row in rows]

    def _orders(self, rest: str, *values: object) -> list[Order]:
        return [Order(*row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM owed {rest}", values)]


def _of(askers: Collection[str] | None) -> tuple[str, tuple[str, ...]]:
    if askers is None:
        return "", ()
    hashes = json.dumps(sorted(askers))
    return ("WHERE (source_asker IN (SELECT value FROM json_each(?)) OR target_asker IN (SELECT value FROM"
            " json_each(?)))", (hashes, hashes))
