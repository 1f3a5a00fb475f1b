"""The state on this disk: `meta.db`, a link to `meta.N.db`, written by the log process alone.

The log is what is durable; the database runs with `synchronous=NORMAL` and may come back older after a power cut, then
it catches up from the log, or from a checkpoint when the log no longer reaches back that far. Installing a checkpoint
switches the link to a new file; readers notice by the link's target (drivers/meta_reader.py).
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from pathlib import Path

from fluffy.base.sqlite_values import bind_as_they_are
from fluffy.base.units import KIB
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Command
from fluffy.core.metadata.digest import digest_of
from fluffy.core.metadata.machine import StateMachine, open_state
from fluffy.core.metadata.outcomes import Outcome
from fluffy.drivers.meta_reader import DAMAGE_CODES, DAMAGED_MARK, LINK_NAME
from fluffy.wire.log_entries import decode_command, decode_group

log = logging.getLogger(__name__)

# Pages kept by the writer's own connection: the hot part of the tree of a million files.
PAGE_CACHE_KIB = 32 * 1024
# Proposals of this node on their way through the log; those that never come back are forgotten with the others.
CHECKED_COMMANDS_MAX = 512
# A small file with its bytes; what is larger is rare and may be decoded twice.
CHECKED_BYTES_MAX = 20 * KIB
# Enough to hold the request id, which tells commands apart.
KEY_BYTES = 32


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether it is the file that is bad, and not the disk or us."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE_CODES


def fsync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one writing connection. No automatic WAL checkpoints: they would fsync inside a turn (see jobs.py)."""
    bind_as_they_are()
    db = sqlite3.connect(path, isolation_level=None, cached_statements=512, check_same_thread=False)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute(f"PRAGMA cache_size=-{PAGE_CACHE_KIB}")
    db.execute("PRAGMA temp_store=MEMORY")
    return db


class StateStore:
    """`Applier` of the log (library.py). Single-threaded: the log process's loop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._remove_strays()
        if not self.link.is_symlink():
            self._point_link_at("meta.1.db")
        self._checked: dict[bytes, tuple[bytes, Command]] = {}
        if (folder / DAMAGED_MARK).exists():
            self._set_aside("somebody could not read it")
        try:
            self.db, self.machine = self._open()
        except sqlite3.DatabaseError as error:
            self._set_aside(str(error))
            self.db, self.machine = self._open()

    @property
    def link(self) -> Path:
        return self.folder / LINK_NAME

    @property
    def path(self) -> Path:
        """The database file that `meta.db` points at now."""
        return self.folder / os.readlink(self.link)

    @property
    def applied_index(self) -> int:
        return self.machine.applied_index

    @property
    def members_changed(self) -> int:
        return self.machine.members_changed

    def members(self) -> tuple[dict[str, str], dict[str, str]]:
        """(voters, all members), name -> disk; empty before genesis."""
        return queries.voters(self.db), {node.name: node.disk_uuid for node in queries.node_records(self.db)}

    def check(self, command: bytes) -> Command:
        """A command that is about to be proposed, as `apply` will read it. Raises FrameCorrupt, FeatureTooNew."""
        decoded = decode_command(command)
        if len(command) <= CHECKED_BYTES_MAX:
            if len(self._checked) >= CHECKED_COMMANDS_MAX:
                self._checked.clear()
            self._checked[command[:KEY_BYTES]] = command, decoded
        return decoded

    def _decoded(self, blob: bytes) -> Command:
        """A command of the log: decoded once if it was proposed here."""
        checked = self._checked.pop(blob[:KEY_BYTES], None) if self._checked else None
        return checked[1] if checked is not None and checked[0] == blob else decode_command(blob)

    def apply(self, entries: list[tuple[int, int, bytes]]) -> list[list[Outcome]]:
        """Apply `(index, term, group)` in order, in one transaction; the outcomes of each entry's commands."""
        outcomes: list[list[Outcome]] = []
        self.machine.begin()
        for index, term, group in entries:
            commands = [self._decoded(blob) for blob in decode_group(group)] if group else []
            outcomes.append(self.machine.apply(index, term, commands))
        self.machine.commit()
        return outcomes

    def adopt(self, file: Path) -> None:
        """Make `file` (a complete, fsynced database) the state. It disappears from its place: it will be written to."""
        number = int(self.path.name.split(".")[1]) + 1
        target = self.folder / f"meta.{number}.db"
        os.link(file, target)
        self.db.close()
        old = self.path
        self._point_link_at(target.name)
        file.unlink()
        _remove_database(old)
        self.db, self.machine = self._open()

    def restore(self, checkpoint: Path) -> None:
        """Go on from a copy of `checkpoint`, because the present database is older than the log's beginning or
        unreadable.
        """
        copy = self.folder / "restore.tmp"
        shutil.copyfile(checkpoint, copy)
        fsync_file(copy)
        self.adopt(copy)

    def close(self) -> None:
        self.db.close()

    def _open(self) -> tuple[sqlite3.Connection, StateMachine]:
        db = connect_writer(self.path)
        try:
            return db, open_state(db)
        except BaseException:
            db.close()
            raise

    def _set_aside(self, reason: str) -> None:
        """Begin with an empty database beside one that is damaged; `recover_state` and the log fill it."""
        damaged = self.path
        log.error("state.damaged", extra={"file": damaged.name, "reason": reason})
        for older in self.folder.glob("meta.*.db.damaged"):
            older.unlink()
        self._point_link_at(f"meta.{int(damaged.name.split('.')[1]) + 1}.db")
        if damaged.exists():
            damaged.rename(damaged.with_name(damaged.name + ".damaged"))
        _remove_database(damaged)
        (self.folder / DAMAGED_MARK).unlink(missing_ok=True)

    def _point_link_at(self, name: str) -> None:
        temporary = self.folder / "meta.db.new"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(name)
        temporary.rename(self.link)
        fsync_file(self.folder)

    def _remove_strays(self) -> None:
        """Databases that a crash left beside the one in use."""
        current = os.readlink(self.link) if self.link.is_symlink() else None
        for file in self.folder.glob("meta.*.db"):
            if file.name != current:
                _remove_database(file)
        (self.folder / "restore.tmp").unlink(missing_ok=True)


def state_digest(path: Path) -> tuple[int, str]:
    """(applied index, digest of the whole state at it); blocking, with a connection of its own."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        db.execute("BEGIN")
        (index,) = db.execute("SELECT applied_index FROM state").fetchone()
        return int(index), digest_of(db)
    finally:
        db.close()


def _remove_database(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
