"""The tables of the catalog on PostgreSQL. Meanings as in catalog_sqlite_files.py.

Texts are compared byte by byte (COLLATE "C"), as everywhere in Fluffy.
"""

from __future__ import annotations

SCHEMA = "fluffy_catalog"
FORMAT_VERSION = 4
# "Flfc", for the advisory lock that one supernode holds.
LOCK_KEY = 0x466C6663

COLUMNS = "e.row_no, e.parent, e.key, e.size, e.generation, e.etag, e.content_type, e.owner, e.modified_ms, e.tags"

STATEMENTS = (
    f"CREATE SCHEMA {SCHEMA}",
    f"CREATE TABLE {SCHEMA}.state (format integer NOT NULL, unicode text NOT NULL)",
    f"""
CREATE TABLE {SCHEMA}.clusters (
    number      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name        text NOT NULL UNIQUE,
    epoch       text NOT NULL,
    seq         bigint NOT NULL,
    parent      bigint,
    key         text,
    rows        bigint NOT NULL,
    level_ms    bigint NOT NULL
)""",
    f"""
CREATE TABLE {SCHEMA}.entries (
    row_no      bigint PRIMARY KEY,
    cluster_no  bigint NOT NULL,
    parent      bigint NOT NULL,
    key         text COLLATE "C" NOT NULL,
    folded      text COLLATE "C" NOT NULL,
    size        bigint NOT NULL,
    generation  bigint NOT NULL,
    etag        text NOT NULL,
    content_type text NOT NULL,
    owner       text NOT NULL,
    modified_ms bigint NOT NULL,
    tags        text,
    marks       bigint[] NOT NULL
)""",
    # With fewer the planner takes a rare tag for one that some thousand rows have, and walks through all rows.
    f"ALTER TABLE {SCHEMA}.entries ALTER COLUMN marks SET STATISTICS 1000",
    f"CREATE INDEX entries_at ON {SCHEMA}.entries (cluster_no, parent, key)",
    # In the order in which names that begin with a word are shown; filters are tried without a look at the row.
    f"CREATE INDEX entries_folded ON {SCHEMA}.entries (folded, row_no) INCLUDE (marks, size, modified_ms)",
    f"CREATE INDEX entries_size ON {SCHEMA}.entries (size)",
    f"CREATE INDEX entries_modified_ms ON {SCHEMA}.entries (modified_ms)",
    # Words and marks meet in one index. New rows wait in a list until it has so many KiB; searches look through all of
    # it, so it is short.
    f"CREATE INDEX entries_grams ON {SCHEMA}.entries USING gin (folded public.gin_trgm_ops, marks)"
    " WITH (gin_pending_list_limit = 256)",
    f"""
CREATE TABLE {SCHEMA}.walks (
    cluster_no  bigint NOT NULL,
    folder_no   bigint NOT NULL,
    after       text NOT NULL,
    PRIMARY KEY (cluster_no, folder_no)
)""",
    f"""
CREATE TABLE {SCHEMA}.dead_letters (
    no          bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    cluster     text NOT NULL,
    seq         bigint NOT NULL,
    at_ms       bigint NOT NULL,
    reason      text NOT NULL,
    text        text NOT NULL
)""",
)

PUT = """
INSERT INTO entries SELECT row_no, cluster_no, parent, key, folded, size, generation, etag, content_type, owner,
    modified_ms, tags, marks::bigint[] FROM unnest(
    $1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::text[],
    $9::text[], $10::text[], $11::bigint[], $12::text[], $13::text[])
    AS r(row_no, cluster_no, parent, key, folded, size, generation, etag, content_type, owner, modified_ms, tags, marks)
ON CONFLICT (row_no) DO UPDATE SET
    parent = excluded.parent, key = excluded.key, folded = excluded.folded, size = excluded.size,
    generation = excluded.generation, etag = excluded.etag, content_type = excluded.content_type,
    owner = excluded.owner, modified_ms = excluded.modified_ms, tags = excluded.tags,
    marks = excluded.marks
"""
