"""The files of the search index, `search.N.db` in the node's folder, and how both sides open them.

`search.db` is a symbolic link to the one in use, as with `meta.db`. A rebuilt index gets a new number, so a reader that
still has the old file open never meets a write-ahead log that is not its own. The index can be lost at any time.
"""

from __future__ import annotations

import os
import re
import sqlite3
import unicodedata
from pathlib import Path

from fluffy.base.sqlite_values import bind_as_they_are
from fluffy.base.units import MIB

LINK_NAME = "search.db"
# 2: without an index of `names` by place.
FORMAT_VERSION = 2
# "Flfs"
APPLICATION_ID = 0x466C6673
CACHE_KIB = 8 * 1024
WAL_BYTES_KEPT = 32 * MIB
# A reader waits only while the writer recovers or removes the WAL.
READER_BUSY_S = 1.0
# Names in memory until they are written as one piece of the index; bigger pieces mean fewer merges.
GRAMS_BYTES = 8 * MIB
_NAME = re.compile(r"search\.(\d{1,9})\.db\Z")

TABLES = (
    """
CREATE TABLE state (                     -- exactly one row
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    unicode         TEXT NOT NULL,       -- version of the tables by which names were folded; another one: build anew
    cluster_uuid    TEXT NOT NULL,       -- '': nothing is known yet
    seq             INTEGER NOT NULL,    -- the change feed has been followed to here
    parent          INTEGER,             -- the build has read entries to here; NULL: it is complete
    key             TEXT,
    rows            INTEGER NOT NULL     -- of `names`
)""",
    """
CREATE TABLE names (
    no              INTEGER PRIMARY KEY, -- of the file or folder, as in meta.db
    parent          INTEGER NOT NULL,    -- number of its folder: a folder that moves changes one row
    key             TEXT NOT NULL,       -- its name; of a folder with a slash
    size            INTEGER NOT NULL,    -- -1: a folder
    content_type    TEXT NOT NULL,       -- lower case
    owner_no        INTEGER NOT NULL,
    modified_ms     INTEGER NOT NULL,
    tags            TEXT                 -- as in `tags`, joined by newlines; NULL: none
)""",
    # Only which names have which three characters; whether they stand side by side is looked at in the name.
    "CREATE VIRTUAL TABLE grams USING fts5(name, content='', detail=none, columnsize=0,"
    " tokenize='trigram case_sensitive 1')",
    f"INSERT INTO grams (grams, rank) VALUES ('hashsize', {GRAMS_BYTES})",
    """
CREATE TABLE tags (
    tag             TEXT NOT NULL,       -- key, unit separator, value
    no              INTEGER NOT NULL,
    PRIMARY KEY (tag, no)
) WITHOUT ROWID""",
    """
CREATE TABLE walks (                     -- folders to be listed anew: they came back from the trash
    folder_no       INTEGER PRIMARY KEY,
    after           TEXT NOT NULL        -- the last key seen; '': none
)""",
)


def target_of(node_dir: Path) -> str | None:
    """The name of the file in use; None: there is none."""
    try:
        name = os.readlink(node_dir / LINK_NAME)
    except OSError:
        return None
    return name if _NAME.match(name) and (node_dir / name).exists() else None


def open_for_reading(path: Path) -> sqlite3.Connection:
    """May be handed from thread to thread, one at a time."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None,
                         check_same_thread=False, timeout=READER_BUSY_S)
    db.execute("PRAGMA query_only = ON")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return db


def open_for_writing(path: Path) -> sqlite3.Connection:
    bind_as_they_are()
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    # A power loss may take the last commits, rows and cursor together.
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
    return db


def is_usable(db: sqlite3.Connection) -> bool:
    """Whether this program made it, in the present format and with the present Unicode tables."""
    if (db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID
            or db.execute("PRAGMA user_version").fetchone()[0] != FORMAT_VERSION):
        return False
    return bool(db.execute("SELECT unicode FROM state").fetchone()[0] == unicodedata.unidata_version)


def create_new(node_dir: Path) -> Path:
    """An empty index under a new number, and the link on it; older files are removed."""
    old = [path for path in node_dir.glob("search.*") if path.name != LINK_NAME]
    numbers = [int(match[1]) for path in old if (match := _NAME.match(path.name))]
    path = node_dir / f"search.{max(numbers, default=0) + 1}.db"
    db = open_for_writing(path)
    try:
        db.execute("BEGIN IMMEDIATE")
        for statement in TABLES:
            db.execute(statement)
        db.execute("INSERT INTO state VALUES (1, ?, '', 0, 0, '', 0)", (unicodedata.unidata_version,))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        db.execute("COMMIT")
    finally:
        db.close()
    temporary = node_dir / f"{LINK_NAME}.new"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(path.name)
    os.replace(temporary, node_dir / LINK_NAME)
    for other in old:
        other.unlink(missing_ok=True)
    return path
