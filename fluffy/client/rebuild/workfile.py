"""The work file: the state as the cluster is to have it, on this machine, until it has been sent.

It stays until the restore is done, so that one that was interrupted goes on with the very same steps.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from fluffy.base.errors import BackupDamaged, LocalFileFailed
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.backup import TABLE, check_backup
from fluffy.core.metadata.machine import open_state
from fluffy.core.metadata.packing import pack_nodes
from fluffy.core.metadata.soundness import unsound

SUFFIX = ".restoring"
_HELD = ("CREATE TABLE IF NOT EXISTS held (chunk_id BLOB, node_no INTEGER, PRIMARY KEY (chunk_id, node_no))"
         " WITHOUT ROWID")


@dataclass(frozen=True, slots=True)
class Missing:
    """A file whose bytes nobody has (all of), by path and generation."""

    path: str
    generation: int


def open_work(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous=OFF")
    return db


def from_backup(backup: Path, work: Path) -> sqlite3.Connection:
    """A work file made of a backup, checked: whole, of a format that we know, and sound. Raises BackupDamaged."""
    try:
        if not backup.is_file():
            raise LocalFileFailed(f"{backup} is not there, or is no file", local=str(backup))
        shutil.copyfile(backup, work)
    except OSError as error:
        raise LocalFileFailed(f"{backup} cannot be copied to {work}: {error.strerror}", local=str(backup)) from error
    db = sqlite3.connect(work, isolation_level=None, check_same_thread=False)
    try:
        check_backup(db)
        db.execute("PRAGMA synchronous=OFF")
        db.execute(f"DROP TABLE {TABLE}")
        open_state(db)  # lifts an older format
        problems = unsound(db)
        if problems:
            raise BackupDamaged("the backup contradicts itself: " + "; ".join(problems))
    except BaseException:
        db.close()
        work.unlink(missing_ok=True)
        raise
    return db


def chunks_of(db: sqlite3.Connection) -> Iterable[tuple[ChunkId, int]]:
    """All chunks that something refers to, with their lengths."""
    for chunk_id, length in db.execute("SELECT chunk_id, length FROM chunks WHERE refs > 0 ORDER BY chunk_id"):
        yield ChunkId(chunk_id), length


def begin_placing(db: sqlite3.Connection) -> None:
    """From now on nothing counts as a copy but what `note_held` says."""
    db.execute(_HELD)
    db.execute("DELETE FROM held")


def note_held(db: sqlite3.Connection, node_no: NodeNo, chunk_ids: Iterable[ChunkId]) -> None:
    db.executemany("INSERT OR IGNORE INTO held VALUES (?, ?)", ((chunk_id, node_no) for chunk_id in chunk_ids))


def end_placing(db: sqlite3.Connection) -> int:
    """Write down which nodes hold which chunk; returns how many chunks nobody holds."""
    db.execute("BEGIN")
    db.execute("UPDATE chunks SET copies = 0, replicas = X''")
    rows = db.execute("SELECT chunk_id, node_no FROM held ORDER BY chunk_id, node_no")
    for chunk_id, group in groupby(rows, key=itemgetter(0)):
        nodes = tuple(NodeNo(node_no) for _, node_no in group)
        db.execute("UPDATE chunks SET copies = ?, replicas = ? WHERE chunk_id = ?",
                   (len(nodes), pack_nodes(nodes), chunk_id))
    db.execute("DROP TABLE held")
    db.execute("COMMIT")
    return int(db.execute("SELECT count(*) FROM chunks WHERE refs > 0 AND copies = 0").fetchone()[0])


def files_without_bytes(db: sqlite3.Connection) -> Iterable[Missing]:
    """Current files some of whose chunks no node holds."""
    bad = {no for (no,) in db.execute("SELECT chunk_no FROM chunks WHERE refs > 0 AND copies = 0")}
    if not bad:
        return
    for parent, key, generation, manifest in db.execute(
            "SELECT e.parent, e.key, e.generation, v.manifest FROM entries e JOIN versions v USING (version_no)"
            " WHERE v.manifest IS NOT NULL"):
        numbers = (int.from_bytes(manifest[at:at + 8], "little") for at in range(0, len(manifest), 8))
        if any(no in bad for no in numbers):
            path = _path_of(db, parent)
            if path is not None:
                yield Missing("/" + path + key, generation)


def _path_of(db: sqlite3.Connection, folder_no: int) -> str | None:
    """The path of a folder with a slash at its end; None when it is in the trash."""
    path = ""
    while folder_no:
        folder_no, key, removed = db.execute("SELECT parent, key, removed FROM folders WHERE folder_no = ?",
                                             (folder_no,)).fetchone()
        if removed:
            return None
        path = key + path
    return path

