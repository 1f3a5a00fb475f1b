"""The tables of the replicated state, with the meaning of every column and sentinel beside it.

Words used below. *No*: an integer identity taken from the one counter `state.last_no`; never used twice. *Log time*:
milliseconds of the state's own clock, `max` of what proposers stamped. *Key*: the name of an entry inside its folder; a
folder's key ends in `/`, so a folder and a file of one name are two keys and S3's order falls out of the primary key.
Children refer to their folder by number: renaming a folder moves one row of `entries` and mends one row of `folders`.

Hot tables grow at their right edge only (numbers grow), so a batch of creations dirties few pages. Old versions and
deletions pay for their own indexes (partial ones), fresh files do not.
"""

from __future__ import annotations

from fluffy.core.metadata import (
    schema_jobs,
    schema_keeper,
    schema_members,
    schema_people,
    schema_rebuild,
    schema_s3,
    schema_tree,
    schema_uploads,
)

# Stored in PRAGMA user_version; migrations.py lifts older databases. 0 means: nothing here yet.
FORMAT_VERSION = 3
# Stored in PRAGMA application_id, so that `file meta.db` and we ourselves recognise it: "Flfy".
APPLICATION_ID = 0x466C6679

ROOT_NO = 0  # the folder that holds the buckets
CLUSTER_USER_NO = 0  # the cluster itself, as `user_no` of a command; it owns only the root

# Format 1. What later formats add stands in files of its own, beside the step of migrations.py that adds it.
TABLES: tuple[str, ...] = (
    """
CREATE TABLE state (                    -- exactly one row
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    applied_index   INTEGER NOT NULL,   -- last log entry in this database; 0: none. Local: not in the digest
    applied_term    INTEGER NOT NULL,   -- term of that entry. Local: not in the digest
    seq             INTEGER NOT NULL,   -- accepted changes so far
    clock_ms        INTEGER NOT NULL,   -- log time; never goes back; 0: no command yet
    last_no         INTEGER NOT NULL,   -- last number given to a folder, file, version or chunk
    request_no      INTEGER NOT NULL,   -- last number given in `requests`
    feature_level   INTEGER NOT NULL,   -- command kinds up to this level may be proposed; 0: before genesis
    changes_cut     INTEGER NOT NULL,   -- changes with seq <= this have been dropped; 0: the feed is whole
    epoch           INTEGER NOT NULL,   -- of the placement map; 0: the one made at genesis
    files           INTEGER NOT NULL,   -- current files (not trash)
    file_bytes      INTEGER NOT NULL,   -- sum of their sizes
    chunks          INTEGER NOT NULL,   -- rows of `chunks`, unreferenced ones too: they still take room on disks
    chunk_bytes     INTEGER NOT NULL,   -- sum of their lengths, one copy each
    missing_chunks  INTEGER NOT NULL    -- referenced chunks with fewer copies than wanted
)""",
    """
CREATE TABLE cluster (                  -- no row before genesis, then exactly one
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    cluster_uuid    TEXT NOT NULL,
    name            TEXT NOT NULL,
    born_ms         INTEGER NOT NULL,   -- log time
    replication     INTEGER NOT NULL,   -- copies wanted of a chunk
    write_quorum    INTEGER NOT NULL,   -- copies that make a write safe; <= replication
    chunk_size      INTEGER NOT NULL,   -- bytes
    inline_max      INTEGER NOT NULL,   -- files up to this many bytes live in `versions.inline`
    trash_days      INTEGER NOT NULL,   -- how long what was replaced or deleted is kept
    versions_max    INTEGER NOT NULL    -- generations kept of one file, the current one included; >= 1
)""",
    """
CREATE TABLE users (
    user_no         INTEGER PRIMARY KEY, -- 1: the admin made at genesis
    name            TEXT NOT NULL UNIQUE,
    role            TEXT NOT NULL,       -- admin | user | readonly | supernode
    created_ms      INTEGER NOT NULL     -- log time
)""",
    """
CREATE TABLE tokens (
    token_hash      BLOB PRIMARY KEY,    -- BLAKE3 of the token's text
    user_no         INTEGER NOT NULL,
    label           TEXT NOT NULL,       -- what its owner calls it
    created_ms      INTEGER NOT NULL     -- log time
) WITHOUT ROWID""",
    """
CREATE TABLE nodes (
    node_no         INTEGER PRIMARY KEY, -- 1 ..; never used for another node
    name            TEXT NOT NULL UNIQUE,
    disk_uuid       TEXT NOT NULL UNIQUE, -- an emptied disk gets a new one and is a stranger
    zone            TEXT NOT NULL,
    host            TEXT NOT NULL,
    http            INTEGER NOT NULL,    -- ports
    raft            INTEGER NOT NULL,
    data            INTEGER NOT NULL,
    s3              INTEGER NOT NULL,
    chunks          INTEGER NOT NULL,    -- chunks that list this node as a replica
    bytes           INTEGER NOT NULL     -- sum of their lengths
)""",
    """
CREATE TABLE placement (                 -- the map of epoch state.epoch; a member without a row is joining
    node_no         INTEGER PRIMARY KEY,
    state           TEXT NOT NULL,       -- up | suspect | down | draining | joining
    zone            TEXT NOT NULL,
    weight          INTEGER NOT NULL     -- > 0; GiB of free space
)""",
    """
CREATE TABLE folders (                   -- folders and buckets, also removed ones that still shelter trash
    folder_no       INTEGER PRIMARY KEY, -- 0: the root
    parent          INTEGER NOT NULL,    -- folder_no; of the root: 0
    key             TEXT NOT NULL,       -- its key in the parent, with the slash; of the root: ''
    owner_no        INTEGER NOT NULL,    -- user_no of who made it
    created_ms      INTEGER NOT NULL,    -- log time
    entries         INTEGER NOT NULL,    -- rows of `entries` with this parent
    tombs           INTEGER NOT NULL,    -- rows of `tombs` with this parent
    floor           INTEGER NOT NULL,    -- generations used by names that left no tomb: new ones start above
    removed         INTEGER NOT NULL     -- 1: not in `entries` but in `tombs`, and gone when `tombs` becomes 0
)""",
    """
CREATE TABLE entries (                   -- what listings show: current files and folders
    parent          INTEGER NOT NULL,    -- folder_no
    key             TEXT NOT NULL,       -- 'name' of a file, 'name/' of a folder; binary order
    no              INTEGER NOT NULL,    -- file number (the same for all generations) or folder_no
    version_no      INTEGER NOT NULL,    -- current version; 0: a folder. The columns below are 0 or '' for folders
    generation      INTEGER NOT NULL,
    size            INTEGER NOT NULL,
    etag            BLOB NOT NULL,       -- text as it is, or a blob whose lower-case hex it is
    content_type    TEXT NOT NULL,
    owner_no        INTEGER NOT NULL,
    modified_ms     INTEGER NOT NULL,    -- log time; of folders: when it was made
    PRIMARY KEY (parent, key)
) WITHOUT ROWID""",
    """
CREATE TABLE tombs (                     -- proof that a path was deleted at a generation, while its trash is kept
    parent          INTEGER NOT NULL,
    key             TEXT NOT NULL,
    no              INTEGER NOT NULL,    -- file number or folder_no; taken up again when the path is made again
    generation      INTEGER NOT NULL,    -- last one of the file; 0: a folder
    deleted_ms      INTEGER NOT NULL,    -- log time
    PRIMARY KEY (parent, key)
) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX tombs_by_no ON tombs (no)",
    """
CREATE TABLE versions (
    version_no      INTEGER PRIMARY KEY,
    file_no         INTEGER NOT NULL,
    generation      INTEGER NOT NULL,    -- 1 ..; grows with each put to the path
    size            INTEGER NOT NULL,
    blake3          BLOB NOT NULL,       -- of the whole file, 32 bytes
    etag            BLOB NOT NULL,       -- as in entries
    content_type    TEXT NOT NULL,
    owner_no        INTEGER NOT NULL,
    modified_ms     INTEGER NOT NULL,    -- log time of the put
    retired_ms      INTEGER,             -- NULL: current. 0: to be freed now. Else log time when replaced or deleted
    meta            BLOB,                -- msgpack map of text; NULL: empty
    tags            BLOB,                -- likewise
    manifest        BLOB,                -- chunk numbers in order, u64le each; NULL: the bytes are in `inline`
    inline          BLOB                 -- the bytes; NULL: they are in chunks. Last: readers of the rest skip it
)""",
    "CREATE UNIQUE INDEX versions_old ON versions (file_no, generation) WHERE retired_ms IS NOT NULL",
    "CREATE INDEX versions_retired ON versions (retired_ms) WHERE retired_ms IS NOT NULL",
    """
CREATE TABLE chunks (
    chunk_no        INTEGER PRIMARY KEY,
    chunk_id        BLOB NOT NULL UNIQUE, -- BLAKE3 of the bytes
    length          INTEGER NOT NULL,     -- bytes, > 0
    refs            INTEGER NOT NULL,     -- occurrences in all manifests, old versions and trash included
    wanted          INTEGER NOT NULL,     -- copies it should have; 0 when nothing refers to it
    copies          INTEGER NOT NULL,     -- nodes in `replicas`
    replicas        BLOB NOT NULL,        -- nodes that hold it, ascending, two bytes each (packing.pack_nodes)
    free_since_ms   INTEGER               -- NULL: referenced. Else log time since when refs = 0
)""",
    # Named `missing` in the design: what repair has to do, found without a scan.
    "CREATE INDEX chunks_missing ON chunks (chunk_id) WHERE copies < wanted",
    "CREATE INDEX chunks_free ON chunks (free_since_ms, chunk_id) WHERE free_since_ms IS NOT NULL",
    """
CREATE TABLE changes (                   -- the change feed, bounded (changes.py)
    seq             INTEGER PRIMARY KEY, -- with gaps: changes that are no file's or folder's count too
    at_ms           INTEGER NOT NULL,    -- log time
    kind            INTEGER NOT NULL,    -- index into changes.KINDS
    path            TEXT NOT NULL,       -- as it was then, without leading slash
    generation      INTEGER NOT NULL,    -- 0: a folder or bucket
    size            INTEGER NOT NULL,
    owner_no        INTEGER NOT NULL
)""",
    """
CREATE TABLE requests (                  -- the window in which a repeated request gets its first answer (dedup.py)
    no              INTEGER PRIMARY KEY,
    request_id      BLOB NOT NULL,       -- 16 bytes
    at_ms           INTEGER NOT NULL,    -- log time; ascending with `no`
    fingerprint     BLOB NOT NULL,       -- of the command's kind and target
    outcome         BLOB NOT NULL        -- outcome_codec
)""",
    "INSERT INTO state VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
    "INSERT INTO folders VALUES (0, 0, '', 0, 0, 0, 0, 0, 0)",
)

# Every table with its canonical order; the digest reads them so. `state` without the two local columns.
DIGEST_QUERIES: tuple[tuple[str, str], ...] = (
    ("state", "SELECT seq, clock_ms, last_no, request_no, feature_level, changes_cut, epoch, files, file_bytes, chunks,"
              " chunk_bytes, missing_chunks FROM state"),
    ("cluster", "SELECT * FROM cluster"),
    ("users", "SELECT * FROM users ORDER BY user_no"),
    ("tokens", "SELECT * FROM tokens ORDER BY token_hash"),
    ("nodes", "SELECT * FROM nodes ORDER BY node_no"),
    ("placement", "SELECT * FROM placement ORDER BY node_no"),
    ("folders", "SELECT * FROM folders ORDER BY folder_no"),
    ("entries", "SELECT * FROM entries ORDER BY parent, key"),
    ("tombs", "SELECT * FROM tombs ORDER BY parent, key, no"),
    ("versions", "SELECT * FROM versions ORDER BY version_no"),
    ("chunks", "SELECT * FROM chunks ORDER BY chunk_no"),
    ("changes", "SELECT * FROM changes ORDER BY seq"),
    ("requests", "SELECT * FROM requests ORDER BY no"),
    *schema_people.DIGEST_QUERIES,
    *schema_tree.DIGEST_QUERIES,
    *schema_uploads.DIGEST_QUERIES,
    *schema_keeper.DIGEST_QUERIES,
    *schema_members.DIGEST_QUERIES,
    *schema_s3.DIGEST_QUERIES,
    *schema_jobs.DIGEST_QUERIES,
    *schema_rebuild.DIGEST_QUERIES,
)
