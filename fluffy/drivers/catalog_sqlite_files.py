"""The file of the SQLite catalog: its tables, and how both sides open it."""

from __future__ import annotations

import secrets
import sqlite3
import unicodedata
from pathlib import Path

from fluffy.base.units import MIB

FILE_NAME = "catalog.db"
FORMAT_VERSION = 3
# "Flfc"
APPLICATION_ID = 0x466C6663
WRITER_CACHE_KIB = 64 * 1024
READER_CACHE_KIB = 16 * 1024
MAPPED_BYTES = 1024 * MIB
WAL_BYTES_KEPT = 64 * MIB
READER_BUSY_S = 1.0
# Names in memory until they are written as one piece of the index; bigger pieces mean fewer merges.
GRAMS_BYTES = 8 * MIB
# Half of the numbers that a row number has room for.
NUMBER_BITS = 21

TABLES = (
    """
CREATE TABLE state (                     -- exactly one row
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    unicode         TEXT NOT NULL,       -- version of the tables by which names were folded; another one: build anew
    last_number     INTEGER NOT NULL     -- last one given in `clusters`
)""",
    """
CREATE TABLE clusters (
    number          INTEGER PRIMARY KEY, -- of this building: a rebuilt cluster gets another, rows of the old are swept
    name            TEXT NOT NULL UNIQUE,
    epoch           TEXT NOT NULL,       -- the history that `seq` is a position of
    seq             INTEGER NOT NULL,    -- the feed has been followed to here
    parent          INTEGER,             -- the tree was read to here; NULL: all of it
    key             TEXT,
    rows            INTEGER NOT NULL,    -- of `entries`
    level_ms        INTEGER NOT NULL     -- wall time when this was all there was; 0: never
)""",
    """
CREATE TABLE entries (
    row_no          INTEGER PRIMARY KEY, -- cluster's number * 2^40 + number of the file or folder there
    cluster_no      INTEGER NOT NULL,
    parent          INTEGER NOT NULL,    -- number of its folder
    key             TEXT NOT NULL,       -- its name; of a folder with a slash
    folded          TEXT NOT NULL,       -- its name as it is compared
    size            INTEGER NOT NULL,    -- -1: a folder
    generation      INTEGER NOT NULL,
    etag            TEXT NOT NULL,
    content_type    TEXT NOT NULL,
    owner           TEXT NOT NULL,
    modified_ms     INTEGER NOT NULL,
    tags            TEXT,                -- JSON; NULL: none
    bits            INTEGER NOT NULL     -- of its marks (core/federation/marks.py)
)""",
    "CREATE INDEX entries_at ON entries (cluster_no, parent, key)",
    # In the order in which names that begin with a word are shown; filters are tried without a look at the row.
    "CREATE INDEX entries_folded ON entries (folded, row_no, bits, size, modified_ms)",
    # For sizes and times that few have, however common the word beside them is.
    "CREATE INDEX entries_size ON entries (size)",
    "CREATE INDEX entries_modified_ms ON entries (modified_ms)",
    # Only which names have which three characters; whether they stand side by side is looked at in the name. A mark is
    # three characters in a column of its own (only those of tags share one), so it makes one such three and no others.
    "CREATE VIRTUAL TABLE grams USING fts5(name, owner, major, type, tags, content='', detail=none, columnsize=0,"
    " tokenize='trigram case_sensitive 1')",
    f"INSERT INTO grams (grams, rank) VALUES ('hashsize', {GRAMS_BYTES})",
    """
CREATE TABLE walks (                     -- folders to be listed anew: they came back from the trash
    cluster_no      INTEGER NOT NULL,
    folder_no       INTEGER NOT NULL,
    after           TEXT NOT NULL,       -- the last key seen; '': none
    PRIMARY KEY (cluster_no, folder_no)
) WITHOUT ROWID""",
    """
CREATE TABLE dead_letters (              -- rows that were none
    no              INTEGER PRIMARY KEY,
    cluster         TEXT NOT NULL,
    seq             INTEGER NOT NULL,
    at_ms           INTEGER NOT NULL,
    reason          TEXT NOT NULL,
    text            TEXT NOT NULL
)""",
)


def open_for_writing(path: Path, *, anew: bool = False) -> sqlite3.Connection:
    """Open what is there; what is not usable (or is not wanted: `anew`) is made anew. Raises sqlite3.Error."""
    if anew:
        _remove(path)
    db = _connect(path)
    usable = False
    try:
        usable = _is_usable(db)
    except sqlite3.DatabaseError:
        usable = False
    if usable:
        return db
    db.close()
    _remove(path)
    db = _connect(path)
    _create(db)
    return db


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def open_for_reading(path: Path) -> sqlite3.Connection:
    """May be handed from thread to thread, one at a time."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None,
                         check_same_thread=False, timeout=READER_BUSY_S, cached_statements=256)
    db.execute("PRAGMA query_only = ON")
    db.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
    db.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
    return db


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)


def _is_usable(db: sqlite3.Connection) -> bool:
    _tune(db)
    if (db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID
            or db.execute("PRAGMA user_version").fetchone()[0] != FORMAT_VERSION):
        return False
    return bool(db.execute("SELECT unicode FROM state").fetchone()[0] == unicodedata.unidata_version)


def _tune(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    # A power loss may take the last commits, rows and cursor together.
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
    db.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
    db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")


def _create(db: sqlite3.Connection) -> None:
    _tune(db)
    db.execute("BEGIN IMMEDIATE")
    for statement in TABLES:
        db.execute(statement)
    # Somebody may still use a number of the file that was here before: it must mean nothing in this one.
    db.execute("INSERT INTO state VALUES (1, ?, ?)", (unicodedata.unidata_version, secrets.randbits(NUMBER_BITS)))
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    db.execute("COMMIT")
