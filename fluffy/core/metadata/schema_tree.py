"""Format 2, the part about the tree: trash of whole folders, where things were before, rules of buckets."""

from __future__ import annotations

import sqlite3

# The sums below every folder, from the entries: each file counts for all folders above it.
FOLDER_SUMS = """
WITH RECURSIVE above (folder_no, files, bytes, top) AS (
        SELECT parent, count(*), sum(size), max(generation) FROM entries WHERE version_no != 0 GROUP BY parent
        UNION ALL
        SELECT f.parent, a.files, a.bytes, a.top FROM above a JOIN folders f USING (folder_no) WHERE f.folder_no != 0),
     sums (folder_no, files, bytes, top) AS (
        SELECT folder_no, sum(files), sum(bytes), max(top) FROM above GROUP BY folder_no)
UPDATE folders SET (files, bytes, top) = (SELECT files, bytes, top FROM sums WHERE sums.folder_no = folders.folder_no)
    WHERE folder_no != 0 AND folder_no IN (SELECT folder_no FROM sums)"""
# The longest path below every folder.
FOLDER_REACH = """
WITH RECURSIVE above (folder_no, reach) AS (
        SELECT parent, max(length(CAST(key AS BLOB))) FROM entries GROUP BY parent
        UNION
        SELECT f.parent, a.reach + length(CAST(f.key AS BLOB)) FROM above a JOIN folders f USING (folder_no)
            WHERE f.folder_no != 0),
     longest (folder_no, reach) AS (SELECT folder_no, max(reach) FROM above GROUP BY folder_no)
UPDATE folders SET reach = (SELECT reach FROM longest WHERE longest.folder_no = folders.folder_no)
    WHERE folder_no != 0 AND folder_no IN (SELECT folder_no FROM longest)"""

TABLES: tuple[str, ...] = (
    # Sums over everything below the folder that is not in the trash (of a folder in the trash: what was below it when
    # it was deleted): current files, their bytes; and the highest generation a file there ever had. The root has 0:
    # its sums are in `state`.
    "ALTER TABLE folders ADD COLUMN files INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE folders ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE folders ADD COLUMN top INTEGER NOT NULL DEFAULT 0",
    # The longest path below the folder in bytes, seen from inside it; never shrinks
    "ALTER TABLE folders ADD COLUMN reach INTEGER NOT NULL DEFAULT 0",
    # The position in the feed of the last change to what a listing of the folder shows; 0: none since format 2
    "ALTER TABLE folders ADD COLUMN listed INTEGER NOT NULL DEFAULT 0",
    # The path that a moved file or folder had before; '' in other rows
    "ALTER TABLE changes ADD COLUMN source TEXT NOT NULL DEFAULT ''",
    # Several things of one path may be in the trash, and beside them something may stand there.
    "ALTER TABLE tombs RENAME TO tombs_1",
    "DROP INDEX tombs_by_no",
    """
CREATE TABLE tombs (                     -- the trash, and proof that a path was deleted at a generation
    parent          INTEGER NOT NULL,
    key             TEXT NOT NULL,
    no              INTEGER NOT NULL,    -- file number or folder_no; taken up again when the path is made again
    generation      INTEGER NOT NULL,    -- last one of the file; 0: a folder
    deleted_ms      INTEGER NOT NULL,    -- log time
    expires_ms      INTEGER,             -- of a folder deleted with all it holds: log time when it is freed. NULL: a
                                         -- file, or an empty folder that only shelters the trash of its files
    PRIMARY KEY (parent, key, no)
) WITHOUT ROWID""",
    "INSERT INTO tombs SELECT parent, key, no, generation, deleted_ms, NULL FROM tombs_1",
    "DROP TABLE tombs_1",
    "CREATE UNIQUE INDEX tombs_by_no ON tombs (no)",
    "CREATE INDEX tombs_of_trees ON tombs (expires_ms, no) WHERE expires_ms IS NOT NULL",
    """
CREATE TABLE reaping (                   -- folders purged with all they hold, until the leader has freed that
    folder_no       INTEGER PRIMARY KEY  -- in `folders` with removed = 1 and parent 0, in neither `entries` nor `tombs`
)""",
    """
CREATE TABLE past_places (               -- where something stood before it was moved or deleted and undeleted
    place_no        INTEGER PRIMARY KEY,
    no              INTEGER NOT NULL,    -- file number or folder_no
    parent          INTEGER NOT NULL,
    key             TEXT NOT NULL,
    version_no      INTEGER NOT NULL,    -- of the file when it left; 0: a folder
    came_ms         INTEGER NOT NULL,    -- log time when it came to this place; of a file never moved before: 0
    left_ms         INTEGER NOT NULL,    -- log time when it left this place
    next_ms         INTEGER NOT NULL     -- log time when it came to the next one; >= left_ms
)""",
    "CREATE INDEX past_places_by_no ON past_places (no, next_ms)",
    "CREATE INDEX past_places_in ON past_places (parent, key)",
    """
CREATE TABLE bucket_rules (              -- NULL: as the cluster does
    bucket_no       INTEGER PRIMARY KEY, -- folder_no
    trash_days      INTEGER,
    versions_max    INTEGER,
    replication     INTEGER
)""",
    "ALTER TABLE versions RENAME TO versions_1",
    "DROP INDEX versions_old",
    "DROP INDEX versions_retired",
    """
CREATE TABLE versions (
    version_no      INTEGER PRIMARY KEY,
    file_no         INTEGER NOT NULL,
    generation      INTEGER NOT NULL,    -- 1 ..; grows with each put to the path
    size            INTEGER NOT NULL,
    blake3          BLOB NOT NULL,       -- of the whole file, 32 bytes; empty: not known, the chunks have their own
    etag            BLOB NOT NULL,       -- as in entries
    content_type    TEXT NOT NULL,
    owner_no        INTEGER NOT NULL,
    modified_ms     INTEGER NOT NULL,    -- log time of the put
    retired_ms      INTEGER,             -- NULL: current. Else log time when replaced or deleted, at least 1
    expires_ms      INTEGER,             -- NULL: current. 0: to be freed now. Else log time until when it is kept
    meta_version    INTEGER NOT NULL,    -- how often meta, tags or content type were changed in place
    meta            BLOB,                -- msgpack map of text; NULL: empty
    tags            BLOB,                -- likewise
    manifest        BLOB,                -- chunk numbers in order, u64le each; NULL: the bytes are in `inline`
    inline          BLOB                 -- the bytes; NULL: they are in chunks. Last: readers of the rest skip it
)""",
    """
INSERT INTO versions
    SELECT version_no, file_no, generation, size, blake3, etag, content_type, owner_no, modified_ms,
           CASE retired_ms WHEN 0 THEN 1 ELSE retired_ms END,
           CASE retired_ms WHEN 0 THEN 0 ELSE retired_ms + (SELECT trash_days FROM cluster) * 86400000 END,
           0, meta, tags, manifest, inline FROM versions_1""",
    "DROP TABLE versions_1",
    "CREATE UNIQUE INDEX versions_old ON versions (file_no, generation) WHERE retired_ms IS NOT NULL",
    "CREATE INDEX versions_expiring ON versions (expires_ms) WHERE expires_ms IS NOT NULL",
    FOLDER_SUMS,
    FOLDER_REACH,
)

DIGEST_QUERIES: tuple[tuple[str, str], ...] = (
    ("reaping", "SELECT * FROM reaping ORDER BY folder_no"),
    ("past_places", "SELECT * FROM past_places ORDER BY place_no"),
    ("bucket_rules", "SELECT * FROM bucket_rules ORDER BY bucket_no"),
)


def lift(db: sqlite3.Connection) -> None:
    """The part of the tree in the step from format 1 to 2."""
    for statement in TABLES:
        db.execute(statement)
