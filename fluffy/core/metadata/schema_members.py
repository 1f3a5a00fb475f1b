"""Format 3, the part about members: who votes, what operators want of nodes, who was here before."""

from __future__ import annotations

import sqlite3

TABLES: tuple[str, ...] = (
    """
CREATE TABLE voters (                    -- as the newest membership entry in the state says; empty before genesis
    name            TEXT PRIMARY KEY,
    disk_uuid       TEXT NOT NULL
) WITHOUT ROWID""",
    """
CREATE TABLE node_intents (              -- what an operator wants of a member; no row: nothing
    node_no         INTEGER PRIMARY KEY,
    draining_ms     INTEGER,             -- log time since when it is to be emptied; NULL: it is not
    leaving_ms      INTEGER,             -- log time since when it is to be removed; NULL: it is not
    forced          INTEGER NOT NULL     -- 1: removed although chunks may be only there
)""",
    """
CREATE TABLE retired_nodes (             -- members that were removed or replaced
    node_no         INTEGER PRIMARY KEY, -- never given again
    name            TEXT NOT NULL,       -- may be a member's again
    disk_uuid       TEXT NOT NULL UNIQUE, -- never admitted again
    retired_ms      INTEGER NOT NULL,    -- log time
    strip_after     INTEGER              -- chunks up to this chunk_no do not list it any more; NULL: none does
)""",
    """
CREATE TABLE expected_disks (            -- names under which a new disk is welcome
    name            TEXT PRIMARY KEY,
    until_ms        INTEGER NOT NULL     -- log time
) WITHOUT ROWID""",
)

DIGEST_QUERIES: tuple[tuple[str, str], ...] = (
    ("voters", "SELECT * FROM voters ORDER BY name"),
    ("node_intents", "SELECT * FROM node_intents ORDER BY node_no"),
    ("retired_nodes", "SELECT * FROM retired_nodes ORDER BY node_no"),
    ("expected_disks", "SELECT * FROM expected_disks ORDER BY name"),
)


def lift(db: sqlite3.Connection) -> None:
    """The part of members in the step from format 2 to 3: until now every node had a vote."""
    for statement in TABLES:
        db.execute(statement)
    db.execute("INSERT INTO voters SELECT name, disk_uuid FROM nodes")
