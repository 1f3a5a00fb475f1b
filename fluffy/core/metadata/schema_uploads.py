"""Format 2, the part about uploads in parts: sessions, their parts, and what became of finished ones."""

from __future__ import annotations

import sqlite3

TABLES: tuple[str, ...] = (
    """
CREATE TABLE uploads (                   -- sessions; one whose lease is over stays until somebody ends it
    upload_no       INTEGER PRIMARY KEY,
    upload_id       BLOB NOT NULL UNIQUE, -- 16 bytes, how everybody names it
    path            TEXT NOT NULL,       -- of the file to be; nothing need be there, not even the bucket
    user_no         INTEGER NOT NULL,    -- who began it
    bucket_no       INTEGER NOT NULL,    -- folder_no of the bucket at the last part; 0: there was none
    payer_no        INTEGER NOT NULL,    -- user_no of who pays for what it holds: that bucket's owner
    lease_ms        INTEGER NOT NULL,    -- how long it lives after its last part
    expires_ms      INTEGER NOT NULL,    -- log time
    begun_ms        INTEGER NOT NULL,    -- log time
    part_size       INTEGER NOT NULL,    -- for whoever goes on with it; parts may have any size
    size            INTEGER,             -- of the whole file as it was announced; NULL: it was not
    content_type    TEXT NOT NULL,
    meta            BLOB,                -- as in versions
    tags            BLOB,
    if_match        TEXT,                -- NULL: no condition
    if_none_match   INTEGER NOT NULL,    -- 1: only where there is no file
    wanted          INTEGER NOT NULL,    -- copies that all chunks of its parts want, at least
    parts           INTEGER NOT NULL,    -- rows of `upload_parts`
    chunks          INTEGER NOT NULL,    -- in all of them
    bytes           INTEGER NOT NULL     -- sum of their sizes
)""",
    "CREATE INDEX uploads_by_end ON uploads (expires_ms, upload_no)",
    "CREATE INDEX uploads_by_path ON uploads (path)",
    "CREATE INDEX uploads_by_user ON uploads (user_no)",
    "CREATE INDEX uploads_by_payer ON uploads (payer_no, bucket_no)",
    """
CREATE TABLE upload_parts (              -- of sessions, and of ended ones until they are freed
    upload_no       INTEGER NOT NULL,
    number          INTEGER NOT NULL,    -- 1 .. PARTS_MAX
    size            INTEGER NOT NULL,
    blake3          BLOB NOT NULL,       -- of the part, 32 bytes
    etag            BLOB NOT NULL,       -- as in entries
    stored_ms       INTEGER NOT NULL,    -- log time
    manifest        BLOB NOT NULL,       -- as in versions; empty: a part without bytes
    PRIMARY KEY (upload_no, number)
) WITHOUT ROWID""",
    """
CREATE TABLE ended_uploads (             -- not in `uploads` any more; their rows of `upload_parts` are to be freed
    upload_no       INTEGER PRIMARY KEY
)""",
    """
CREATE TABLE finished_uploads (          -- what was completed, for whoever asks again; bounded (upload_table.py)
    no              INTEGER PRIMARY KEY,
    upload_id       BLOB NOT NULL UNIQUE,
    path            TEXT NOT NULL,
    user_no         INTEGER NOT NULL,
    finished_ms     INTEGER NOT NULL,    -- log time
    fingerprint     BLOB NOT NULL,       -- of the parts that the completer named
    facts           BLOB NOT NULL        -- msgpack: the facts of the answer
)""",
)

DIGEST_QUERIES: tuple[tuple[str, str], ...] = (
    ("uploads", "SELECT * FROM uploads ORDER BY upload_no"),
    ("upload_parts", "SELECT * FROM upload_parts ORDER BY upload_no, number"),
    ("ended_uploads", "SELECT * FROM ended_uploads ORDER BY upload_no"),
    ("finished_uploads", "SELECT * FROM finished_uploads ORDER BY no"),
)


def lift(db: sqlite3.Connection) -> None:
    """The part of uploads in the step from format 1 to 2."""
    for statement in TABLES:
        db.execute(statement)
