"""A backup: the whole state as one SQLite file, with a table `backup` that says what it is and proves that it is whole.

Anybody can look into it with `sqlite3`. The table `chunks` is the list of chunks: id, length, and the nodes that held
them. The digest is over every row of every table in the order in which they lie there, so it needs to know nothing of
the format that wrote them.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import msgpack
from blake3 import blake3

from fluffy.base.errors import BackupDamaged, FeatureTooNew
from fluffy.core.metadata.schema import APPLICATION_ID

BACKUP_FORMAT = 1
TABLE = "backup"
_CREATE = f"""
CREATE TABLE {TABLE} (                  -- exactly one row
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    format          INTEGER NOT NULL,   -- of backups
    program         TEXT NOT NULL,      -- version of the program that made it
    made_ms         INTEGER NOT NULL,   -- wall clock of the node that made it
    node            TEXT NOT NULL,      -- which node
    digest          TEXT NOT NULL       -- BLAKE3 of all rows of all other tables, in hex
)"""
_ROWS_PER_BATCH = 512


@dataclass(frozen=True, slots=True)
class BackupLabel:
    """What a backup says about itself. `cluster` and `cluster_uuid`: whose it is; `seq`: how far."""

    program: str
    made_ms: int
    node: str
    digest: str
    cluster: str
    cluster_uuid: str
    seq: int
    files: int
    bytes: int
    chunks: int


def label_backup(db: sqlite3.Connection, *, program: str, made_ms: int, node: str) -> BackupLabel:
    """Make a copy of the state a backup. The caller opened it with `isolation_level=None`."""
    digest = content_digest(db)
    db.execute(_CREATE)
    db.execute(f"INSERT INTO {TABLE} VALUES (1, ?, ?, ?, ?, ?)", (BACKUP_FORMAT, program, made_ms, node, digest))
    return read_label(db)


def read_label(db: sqlite3.Connection) -> BackupLabel:
    """Raises BackupDamaged for what is no backup, FeatureTooNew for a newer format."""
    try:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        row = db.execute(f"SELECT format, program, made_ms, node, digest FROM {TABLE}").fetchone()
        if application != APPLICATION_ID or row is None:
            raise BackupDamaged("this file is not a backup of a Fluffy cluster")
        if row[0] > BACKUP_FORMAT:
            raise FeatureTooNew(f"the backup has format {row[0]}, this program reads up to {BACKUP_FORMAT}; use the "
                                f"version that made it: {row[1]}")
        name, uuid = db.execute("SELECT name, cluster_uuid FROM cluster").fetchone() or ("", "")
        counts = db.execute("SELECT seq, files, file_bytes, chunks FROM state").fetchone()
    except sqlite3.DatabaseError as error:
        raise BackupDamaged(f"this file is not a backup of a Fluffy cluster, or it is damaged ({error})") from error
    _, program, made_ms, node, digest = row
    seq, files, size, chunks = counts
    return BackupLabel(program, made_ms, node, digest, name, uuid, seq, files, size, chunks)


def check_backup(db: sqlite3.Connection) -> BackupLabel:
    """Read all of it. Raises BackupDamaged when a row is not what it was when the backup was made."""
    label = read_label(db)
    try:
        digest = content_digest(db)
    except sqlite3.DatabaseError as error:
        raise BackupDamaged(f"the backup is damaged ({error}); use another one") from error
    if digest != label.digest:
        raise BackupDamaged("the backup does not match its own digest: it was damaged or changed; use another one")
    return label


def content_digest(db: sqlite3.Connection) -> str:
    """BLAKE3 over all rows but the label's, table by table, in hex."""
    hasher = blake3()
    tables = [name for (name,) in db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        " AND name != ? ORDER BY name", (TABLE,)).fetchall()]
    for table in tables:
        hasher.update(b"\x00" + table.encode())
        cursor = db.execute(f"SELECT * FROM {table} NOT INDEXED")
        while rows := cursor.fetchmany(_ROWS_PER_BATCH):
            hasher.update(msgpack.packb(rows))
    return hasher.hexdigest()
