"""Making a backup on this node's disk: a copy of the state at one moment, labelled and hashed, that loses its name.

The copy is taken from `meta.db` while the log process goes on writing it. The finished file has no name any more, so
whatever happens to who sends it, nothing stays behind; what a crash leaves is swept by the next one.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
import uuid
from pathlib import Path

from blake3 import blake3

from fluffy import __version__
from fluffy.base.errors import DiskFailed, DiskFull, NotReady
from fluffy.base.units import MIB
from fluffy.core.metadata import backup
from fluffy.drivers.meta_reader import LINK_NAME
from fluffy.ports import MadeBackup

FOLDER_NAME = "backups"
# 4 MiB a step, then a pause: users' requests come first.
COPY_PAGES_PER_STEP = 1024
COPY_PAUSE_S = 0.002
# No backup takes so long: what is older was left by a crash.
STRAY_S = 24 * 3600.0


class BackupFiles:
    """Implements `ports.Backups` on the node's folder. Blocking."""

    def __init__(self, node_dir: Path, node: str) -> None:
        self._node_dir = node_dir
        self._node = node

    def make(self) -> MadeBackup:
        """Raises NotReady, DiskFull, DiskFailed."""
        folder = self._node_dir / FOLDER_NAME
        folder.mkdir(mode=0o700, exist_ok=True)
        _sweep(folder)
        path = folder / f"{uuid.uuid4().hex}.tmp"
        try:
            label = self._copy(path)
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & 0xFF
            if code == sqlite3.SQLITE_FULL:
                raise DiskFull("the disk of this node has no room for a backup; ask another node") from error
            if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY):
                raise NotReady from error
            raise DiskFailed(f"the backup cannot be written: {error}") from error
        except OSError as error:
            raise (DiskFull if error.errno == errno.ENOSPC else DiskFailed)(str(error)) from error
        finally:
            path.unlink(missing_ok=True)
        return MadeBackup(fd, os.fstat(fd).st_size, _hash(fd), label)

    def _copy(self, path: Path) -> backup.BackupLabel:
        source = (self._node_dir / LINK_NAME).resolve()
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        reader = sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, isolation_level=None)
        writer = sqlite3.connect(path, isolation_level=None)
        try:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the read snapshot begins here
            writer.execute("PRAGMA synchronous=OFF")
            reader.backup(writer, pages=COPY_PAGES_PER_STEP, progress=lambda *_: time.sleep(COPY_PAUSE_S))
            writer.execute("PRAGMA journal_mode=DELETE")
            return backup.label_backup(writer, program=__version__, made_ms=time.time_ns() // 1_000_000,
                                       node=self._node)
        finally:
            writer.close()
            reader.close()


def _hash(fd: int) -> bytes:
    hasher = blake3()
    at = 0
    while block := os.pread(fd, 4 * MIB, at):
        hasher.update(block)
        at += len(block)
    return hasher.digest()


def _sweep(folder: Path) -> None:
    """Remove what a crash left."""
    for file in folder.glob("*.tmp*"):
        try:
            if time.time() - file.stat().st_mtime > STRAY_S:
                file.unlink()
        except FileNotFoundError:
            pass
