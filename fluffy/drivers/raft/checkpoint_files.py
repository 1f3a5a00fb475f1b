"""Checkpoints on disk: `checkpoints/INDEX.db`, a whole copy of the state, and `INDEX.head`, written last.

The head (msgpack) says what the copy is: log index, size, xxh3-128 of the file, the cluster, and the last two log
entries it
contains, from which a log can begin. A copy without a head is rubbish from a crash. The newest few are kept.
"""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import msgpack
import xxhash

from fluffy.base.errors import Corruption, FrameCorrupt
from fluffy.base.units import MIB
from fluffy.drivers.raft.state_store import fsync_file

FORMAT = 1
KEPT = 2
# Two groups of at most 1 MiB each, and a few words.
HEAD_BYTES_MAX = 3 * MIB
# 4 MiB a step, then a pause: users' requests come first, also on a machine with one disk.
COPY_PAGES_PER_STEP = 1024
COPY_PAUSE_S = 0.002

Entry = tuple[bytes, int, int]


@dataclass(frozen=True, slots=True)
class CheckpointHead:
    """What a copy of the state is. `entries`: (command, index, term) of the last two applied entries."""

    index: int
    size: int
    xxh3: bytes
    entries: tuple[Entry, Entry]

    def encode(self) -> bytes:
        packed: bytes = msgpack.packb([FORMAT, self.index, self.size, self.xxh3, self.entries])
        return packed


def decode_head(data: bytes) -> CheckpointHead:
    """Raises FrameCorrupt."""
    try:
        values = msgpack.unpackb(data, use_list=False, raw=False, max_ext_len=0)
        version, index, size, xxh3, (entry0, entry1) = values
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise FrameCorrupt("the head of a checkpoint is not readable") from error
    entries_fit = all(isinstance(entry, tuple) and len(entry) == 3 and type(entry[0]) is bytes
                      and type(entry[1]) is int and type(entry[2]) is int for entry in (entry0, entry1))
    if (version != FORMAT or not entries_fit or type(size) is not int or type(xxh3) is not bytes
            or entry1[1] != index or entry0[1] != index - 1):
        raise FrameCorrupt("the head of a checkpoint is not of a format this version knows")
    return CheckpointHead(index, size, xxh3, (entry0, entry1))


@dataclass(frozen=True, slots=True)
class Copied:
    """A finished copy that still lacks its head."""

    path: Path
    index: int
    size: int
    xxh3: bytes


def copy_state(source: Path, folder: Path) -> Copied:
    """Copy the database as it is at one moment; blocking, for a thread. The copy is fsynced before this returns."""
    temporary = folder / "copy.tmp"
    temporary.unlink(missing_ok=True)
    reader = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    writer = sqlite3.connect(temporary, isolation_level=None)
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the read snapshot begins here
        writer.execute("PRAGMA synchronous=OFF")
        reader.backup(writer, pages=COPY_PAGES_PER_STEP, progress=lambda *_: time.sleep(COPY_PAUSE_S))
        # A copy of a WAL database is marked as one; a reader of a lone file must not need a WAL beside it.
        writer.execute("PRAGMA journal_mode=DELETE")
        (index,) = writer.execute(APPLIED_INDEX_SQL).fetchone()
    finally:
        writer.close()
        reader.close()
    fsync_file(temporary)
    return Copied(temporary, int(index), temporary.stat().st_size, hash_file(temporary))


APPLIED_INDEX_SQL = "SELECT applied_index FROM state"


def hash_file(path: Path) -> bytes:
    hasher = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(4 * MIB):
            hasher.update(block)
    return hasher.digest()


class CheckpointFiles:
    """The folder `checkpoints/` of a node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        for file in folder.iterdir():
            complete = file.suffix in (".db", ".head") and file.with_suffix(".head").exists() and (
                file.with_suffix(".db").exists())
            if not complete:
                file.unlink()

    def newest(self) -> CheckpointHead | None:
        """The head of the newest complete checkpoint."""
        indexes = self.indexes()
        return self.head(indexes[-1]) if indexes else None

    def indexes(self) -> list[int]:
        return sorted(int(file.stem) for file in self.folder.glob("*.head"))

    def head(self, index: int) -> CheckpointHead:
        return decode_head(self.head_path(index).read_bytes())

    def db_path(self, index: int) -> Path:
        return self.folder / f"{index:016d}.db"

    def head_path(self, index: int) -> Path:
        return self.folder / f"{index:016d}.head"

    def publish(self, copy: Path, head: CheckpointHead) -> None:
        """Give a fsynced copy its name and its head, durably; then remove all but the newest."""
        copy.rename(self.db_path(head.index))
        temporary = self.folder / "head.tmp"
        temporary.write_bytes(head.encode())
        fsync_file(temporary)
        temporary.rename(self.head_path(head.index))
        fsync_file(self.folder)
        for index in self.indexes()[:-KEPT]:
            self.remove(index)

    def remove(self, index: int) -> None:
        self.head_path(index).unlink(missing_ok=True)
        self.db_path(index).unlink(missing_ok=True)

    def verify(self, head: CheckpointHead) -> None:
        """Re-read a checkpoint. Raises Corruption."""
        path = self.db_path(head.index)
        if os.stat(path).st_size != head.size or hash_file(path) != head.xxh3:
            raise Corruption(f"the checkpoint {path} does not match its hash")
