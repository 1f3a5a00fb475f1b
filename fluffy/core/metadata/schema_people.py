"""Format 2, the part about people: what is added to the tables of format 1, and filled from what they hold."""

from __future__ import annotations

import sqlite3

SUBJECT_BUCKET = 0
SUBJECT_USER = 1

# Every bucket's current files, from the entries; then the sums of each owner.
BUCKET_ACCOUNTS = """
INSERT INTO accounts
    WITH RECURSIVE inside (folder_no, bucket_no) AS (
        SELECT no, no FROM entries WHERE parent = 0 AND version_no = 0
        UNION ALL
        SELECT e.no, i.bucket_no FROM entries e JOIN inside i ON e.parent = i.folder_no WHERE e.version_no = 0)
    SELECT 0, bucket_no, count(*), sum(size), NULL, NULL
    FROM inside JOIN entries ON parent = folder_no AND version_no != 0 GROUP BY bucket_no"""
OWNER_ACCOUNTS = """
INSERT INTO accounts
    SELECT 1, owner_no, sum(accounts.files), sum(accounts.bytes), NULL, NULL
    FROM accounts JOIN folders ON folder_no = no WHERE subject = 0 GROUP BY owner_no"""

TABLES: tuple[str, ...] = (
    # What services/passwords.py made of the password; NULL: the user logs in by token only.
    "ALTER TABLE users ADD COLUMN password BLOB",
    # 1: no credential of the user works
    "ALTER TABLE users ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0",
    # Wall clock; 0: never
    "ALTER TABLE tokens ADD COLUMN expires_ms INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX tokens_by_user ON tokens (user_no, token_hash)",
    """
CREATE TABLE grants (
    bucket_no       INTEGER NOT NULL,    -- folder_no of the bucket; survives its renaming, ends with its removal
    grantee_no      INTEGER NOT NULL,    -- user_no; 0: everyone with a credential
    granted         INTEGER NOT NULL,    -- rights.Right: 1 read, 2 write, 3 admin
    PRIMARY KEY (bucket_no, grantee_no)
) WITHOUT ROWID""",
    "CREATE INDEX grants_by_grantee ON grants (grantee_no, bucket_no)",
    """
CREATE TABLE accounts (                  -- what is used, and how much may be; no row: nothing used, no limit
    subject         INTEGER NOT NULL,    -- 0: a bucket. 1: a user, the sum over the buckets it owns
    no              INTEGER NOT NULL,    -- folder_no or user_no
    files           INTEGER NOT NULL,    -- current files (not trash, not old versions)
    bytes           INTEGER NOT NULL,    -- sum of their sizes
    files_max       INTEGER,             -- NULL: no limit
    bytes_max       INTEGER,
    PRIMARY KEY (subject, no)
) WITHOUT ROWID""",
    """
CREATE TABLE locks (
    lock_no         INTEGER PRIMARY KEY, -- grows: a later lock has a larger one (a fencing number)
    lock_hash       BLOB NOT NULL UNIQUE, -- BLAKE3 of the token's text
    path            TEXT NOT NULL,       -- locked with all below it; need not exist
    mode            TEXT NOT NULL,       -- exclusive | shared
    user_no         INTEGER NOT NULL,
    note            TEXT NOT NULL,       -- the holder's words
    acquired_ms     INTEGER NOT NULL,    -- log time
    expires_ms      INTEGER NOT NULL     -- log time; the row may outlive it, the lock does not
)""",
    "CREATE INDEX locks_by_end ON locks (expires_ms, lock_no)",
    "CREATE INDEX locks_by_path ON locks (path)",
    """
CREATE TABLE audit (                     -- bounded (audit.py)
    no              INTEGER PRIMARY KEY,
    at_ms           INTEGER NOT NULL,    -- log time; of refusals the door's clock
    who             TEXT NOT NULL,       -- name at that time; empty: the cluster, or nobody known
    act             TEXT NOT NULL,
    target          TEXT NOT NULL,       -- user, bucket or path
    refused         INTEGER NOT NULL,    -- 1: a door or the log said no
    detail          TEXT NOT NULL        -- what was set, or why not
)""",
    BUCKET_ACCOUNTS,
    OWNER_ACCOUNTS,
)

DIGEST_QUERIES: tuple[tuple[str, str], ...] = (
    ("grants", "SELECT * FROM grants ORDER BY bucket_no, grantee_no"),
    ("accounts", "SELECT * FROM accounts ORDER BY subject, no"),
    ("locks", "SELECT * FROM locks ORDER BY lock_no"),
    ("audit", "SELECT * FROM audit ORDER BY no"),
)


def lift(db: sqlite3.Connection) -> None:
    """The part of people in the step from format 1 to 2."""
    for statement in TABLES:
        db.execute(statement)
