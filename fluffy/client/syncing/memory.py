"""What a machine remembers between two synchronizations: hashes of local files, remote places, and what was the same.

One SQLite file in the user's state folder, for its owner only. Everything in it can be lost without harm: hashes are
computed again, places asked again, and files that differ count as changed on both sides.

A remembered hash is believed only while size, both times, inode and device are what they were, and only when the file
had been at rest for `REST_NS` when it was hashed: a change within one tick of a file system's clock would not show.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from fluffy.base.errors import LocalFileFailed
from fluffy.client.syncing.items import Base, LocalFile

FILE_NAME = "sync.db"
FORMAT = 1
# FAT tells times in steps of 2 s, and a file server's clock may be that much behind ours.
REST_NS = 2_000_000_000
# Hashes of files that nobody asked about for so long are forgotten.
UNUSED_DAYS_MAX = 180
LOCK_WAIT_S = 10.0
_DAY_S = 86_400

_TABLES = """
CREATE TABLE IF NOT EXISTS hashes (     -- of local files
    path        TEXT PRIMARY KEY,       -- absolute
    size        INTEGER NOT NULL,       -- what the file was like when it was hashed
    mtime_ns    INTEGER NOT NULL,
    ctime_ns    INTEGER NOT NULL,
    inode       TEXT NOT NULL,          -- inode and device: larger than SQLite's integers on some file systems
    blake3      TEXT NOT NULL,          -- hex
    used_day    INTEGER NOT NULL        -- days since 1970
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS places (     -- where a local file or folder goes
    cluster     TEXT NOT NULL,          -- uuid
    local       TEXT NOT NULL,          -- absolute
    remote      TEXT NOT NULL,          -- absolute, with a leading slash
    PRIMARY KEY (cluster, local)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bases (      -- what both sides were when they were last the same
    cluster     TEXT NOT NULL,
    local       TEXT NOT NULL,          -- absolute
    remote      TEXT NOT NULL,
    blake3      TEXT NOT NULL,          -- hex, of the bytes here
    etag        TEXT NOT NULL,          -- there
    PRIMARY KEY (cluster, local, remote)
) WITHOUT ROWID;
"""


class SyncMemory:
    """Opened once a command; any thread may use it. Raises LocalFileFailed when the file cannot be read or written."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` None: in memory, for machines whose home cannot be written."""
        self._lock = threading.Lock()
        self._today = int(time.time()) // _DAY_S
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        if folder is not None:
            self._db = self._open(folder)
        with self._lock:
            self._db.executescript(_TABLES)
            self._db.execute(f"PRAGMA user_version = {FORMAT}")

    def _open(self, folder: Path) -> sqlite3.Connection:
        file = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            return self._checked(file)
        except OSError:
            return self._db  # a home that cannot be written: nothing is remembered, and nothing is lost
        except sqlite3.DatabaseError:
            # Not ours or damaged. What was in it is no loss; the file may be somebody's, so it is set aside.
            os.replace(file, file.with_suffix(".damaged"))
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            return self._checked(file)

    @staticmethod
    def _checked(file: Path) -> sqlite3.Connection:
        db = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=LOCK_WAIT_S)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        if db.execute("PRAGMA user_version").fetchone()[0] > FORMAT:
            db.close()
            raise LocalFileFailed(f"{file} was written by a newer version of this program; move it away to go on",
                                  local=str(file))
        return db

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # Hashes

    def hashes_below(self, root: str, files: Mapping[str, LocalFile]) -> dict[str, str]:
        """The remembered hashes of those of `files` (by their path below `root`) that have not changed since."""
        found: dict[str, str] = {}
        with self._lock:
            for path, size, mtime_ns, ctime_ns, inode, blake3 in self._db.execute(
                    "SELECT path, size, mtime_ns, ctime_ns, inode, blake3 FROM hashes WHERE path = ? OR"
                    " (path >= ? AND path < ?)", (root, *_below(root))):
                file = files.get(_relative(root, path))
                if file is not None and (size, mtime_ns, ctime_ns, inode) == (
                        file.size, file.mtime_ns, file.ctime_ns, _identity(file)):
                    found[_relative(root, path)] = blake3
        return found

    def note_hashes(self, root: str, hashed: Iterable[tuple[str, LocalFile, str, int]]) -> None:
        """Remember (path, file, hash, when in ns the hashing began) of files that were at rest then."""
        rows = [(_join(root, path), file.size, file.mtime_ns, file.ctime_ns, _identity(file), blake3, self._today)
                for path, file, blake3, began_ns in hashed
                if max(file.mtime_ns, file.ctime_ns) + REST_NS < began_ns]
        if rows:
            with self._lock, self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def tidy(self, root: str, used: Iterable[str]) -> None:
        """Mark the hashes of `used` paths as needed today, and forget what nobody needed for long."""
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("UPDATE hashes SET used_day = ?1 WHERE path = ?2 AND used_day != ?1",
                                 ((self._today, _join(root, path)) for path in used))
            self._db.execute("DELETE FROM hashes WHERE used_day < ?", (self._today - UNUSED_DAYS_MAX,))

    # Places

    def place_of(self, cluster: str, local: str) -> tuple[str, str] | None:
        """(local, remote) of the nearest path, this one or one above it, that has a place."""
        with self._lock:
            while True:
                row = self._db.execute("SELECT remote FROM places WHERE cluster = ? AND local = ?",
                                       (cluster, local)).fetchone()
                if row is not None:
                    return local, row[0]
                above = os.path.dirname(local)
                if above == local:
                    return None
                local = above

    def note_place(self, cluster: str, local: str, remote: str) -> None:
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO places VALUES (?, ?, ?)", (cluster, local, remote))

    # Bases

    def bases_below(self, cluster: str, local: str, remote: str) -> dict[str, Base]:
        """By the path below both roots: what both sides were when they were last the same."""
        with self._lock:
            rows = self._db.execute(
                "SELECT local, remote, blake3, etag FROM bases WHERE cluster = ? AND (local = ? OR"
                " (local >= ? AND local < ?))", (cluster, local, *_below(local))).fetchall()
        return {_relative(local, here): Base(blake3, etag) for here, there, blake3, etag in rows
                if there == _join(remote, _relative(local, here))}

    def note_bases(self, cluster: str, local: str, remote: str, known: Mapping[str, Base],
                   gone: Iterable[str] = ()) -> None:
        """Remember that these paths are the same now, and that those are on neither side any more."""
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT OR REPLACE INTO bases VALUES (?, ?, ?, ?, ?)",
                ((cluster, _join(local, path), _join(remote, path), base.blake3, base.etag)
                 for path, base in known.items()))
            self._db.executemany(
                "DELETE FROM bases WHERE cluster = ? AND local = ? AND remote = ?",
                ((cluster, _join(local, path), _join(remote, path)) for path in gone))


def _below(root: str) -> tuple[str, str]:
    """The bounds of everything below `root`: `/` is followed by `0`."""
    base = root.rstrip("/")
    return base + "/", base + "0"


def _join(root: str, path: str) -> str:
    return f"{root.rstrip('/')}/{path}" if path else root


def _relative(root: str, path: str) -> str:
    return path[len(root.rstrip("/")) + 1:]


def _identity(file: LocalFile) -> str:
    return f"{file.device}:{file.inode}"
