"""Format 3, the part about the S3 door: key pairs, what buckets say of themselves, folders that came with an object."""

from __future__ import annotations

import sqlite3

TABLES: tuple[str, ...] = (
    """
CREATE TABLE s3_keys (
    access_key      TEXT PRIMARY KEY,    -- what a client sends in clear
    user_no         INTEGER NOT NULL,
    sealed          BLOB NOT NULL,       -- the secret, encrypted under a key made of the cluster's secret
    label           TEXT NOT NULL,       -- what its owner calls it
    created_ms      INTEGER NOT NULL     -- log time
) WITHOUT ROWID""",
    "CREATE INDEX s3_keys_by_user ON s3_keys (user_no, access_key)",
    """
CREATE TABLE bucket_documents (          -- what was set of a bucket over S3; ends with the bucket
    bucket_no       INTEGER NOT NULL,    -- folder_no
    name            TEXT NOT NULL,       -- versioning | tagging | acl | cors | lifecycle | …
    body            BLOB NOT NULL,
    PRIMARY KEY (bucket_no, name)
) WITHOUT ROWID""",
    """
CREATE TABLE implicit_folders (          -- made only because an object needed them: they vanish when they are empty
    folder_no       INTEGER PRIMARY KEY
)""",
)

DIGEST_QUERIES: tuple[tuple[str, str], ...] = (
    ("s3_keys", "SELECT * FROM s3_keys ORDER BY access_key"),
    ("bucket_documents", "SELECT * FROM bucket_documents ORDER BY bucket_no, name"),
    ("implicit_folders", "SELECT * FROM implicit_folders ORDER BY folder_no"),
)


def lift(db: sqlite3.Connection) -> None:
    """The part of the S3 door in the step from format 2 to 3."""
    for statement in TABLES:
        db.execute(statement)
