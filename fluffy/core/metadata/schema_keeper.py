"""Format 3, the part about what admins want of the keepers: how fast repair may be, and what to do now."""

from __future__ import annotations

import sqlite3

TABLES: tuple[str, ...] = (
    """
CREATE TABLE keeper_asks (               -- the newest wish of each kind for each node; a keeper remembers what it did
    what            TEXT NOT NULL,       -- 'recover'
    node_no         INTEGER NOT NULL,    -- 0: every node
    ask_seq         INTEGER NOT NULL,    -- position of the wish; a later one is larger
    at_ms           INTEGER NOT NULL,    -- log time
    PRIMARY KEY (what, node_no)
) WITHOUT ROWID""",
    """
CREATE TABLE repair_mode (               -- one row, or none: then each node's config.yaml says it
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    mode            TEXT NOT NULL        -- quiet, balanced, fast
)""",
)

DIGEST_QUERIES: tuple[tuple[str, str], ...] = (
    ("keeper_asks", "SELECT * FROM keeper_asks ORDER BY what, node_no"),
    ("repair_mode", "SELECT * FROM repair_mode"),
)


def lift(db: sqlite3.Connection) -> None:
    """The part of the keepers in the step from format 2 to 3."""
    for statement in TABLES:
        db.execute(statement)
