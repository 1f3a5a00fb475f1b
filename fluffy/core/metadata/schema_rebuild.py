"""Format 3, the part about rebuilding: whether the tables of an empty cluster are being filled from a backup."""

from __future__ import annotations

import sqlite3

TABLES: tuple[str, ...] = (
    """
CREATE TABLE rebuilding (                -- no row: nothing is being rebuilt; else exactly one
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    rebuild_id      BLOB NOT NULL,       -- 16 bytes, by which the commands of this rebuild know each other
    source          TEXT NOT NULL,       -- which backup: its digest
    next_step       INTEGER NOT NULL,    -- steps below have been taken
    begun_ms        INTEGER NOT NULL     -- log time
)""",
)

DIGEST_QUERIES: tuple[tuple[str, str], ...] = (("rebuilding", "SELECT * FROM rebuilding"),)


def lift(db: sqlite3.Connection) -> None:
    """The part of rebuilding in the step from format 2 to 3."""
    for statement in TABLES:
        db.execute(statement)
