"""The file `meta.db`: how the log process opens it for writing and everybody else for reading.

In the node's folder `meta.db` is a symbolic link to `meta.N.db`; when a checkpoint from a peer is installed, a new
number appears and the link is renamed over. Readers notice (meta_reader.py).
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from fluffy.base.units import MIB

LINK_NAME = "meta.db"
# Every statement of the state machine stays compiled.
CACHED_STATEMENTS = 256
WRITER_CACHE_KIB = 32 * 1024
READER_CACHE_KIB = 8 * 1024
# Pages in the WAL before a commit copies them back by itself: 32 MiB. The log process does that beside the tick.
WAL_AUTOCHECKPOINT_PAGES = 8_192
WAL_BYTES_KEPT = 64 * MIB
# Readers wait only while the writer recovers or removes the WAL, which takes milliseconds.
READER_BUSY_S = 1.0


def create_meta_link(node_dir: Path, number: int) -> Path:
    """Let `meta.db` mean `meta.NUMBER.db`, atomically; returns the path of the latter, which may not exist yet."""
    name = f"meta.{number}.db"
    temporary = node_dir / f"{LINK_NAME}.new"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(name)
    os.replace(temporary, node_dir / LINK_NAME)
    return node_dir / name


def open_for_writing(path: Path, *, check_same_thread: bool = True) -> sqlite3.Connection:
    """The one writing connection, in WAL mode, transactions in the caller's hands.

    `synchronous=NORMAL`: after a power loss the database may lack its last commits, never be damaged; the log has them.
    """
    db = sqlite3.connect(path, isolation_level=None, cached_statements=CACHED_STATEMENTS,
                         check_same_thread=check_same_thread)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
    db.execute(f"PRAGMA wal_autocheckpoint = {WAL_AUTOCHECKPOINT_PAGES}")
    db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
    return db


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot change anything; may be handed from thread to thread, one at a time."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None,
                         cached_statements=CACHED_STATEMENTS, check_same_thread=False, timeout=READER_BUSY_S)
    db.execute("PRAGMA query_only = ON")
    db.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
    return db
