"""A disk that forgets what was not synced, and tears what it was writing.

`crash` decides, from the seed, what the platter really holds: of every file the synced bytes, then any part of what was
written since (nothing, all, or cut at any byte, with or without a hole of zeros); of the folder the synced names, then
any subset of the changes made since. A node that starts again sees only that. `rot` flips a bit of what was safe.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import NoReturn

from fluffy.base.checks import invariant
from fluffy.drivers.raft.disk import DiskFile

# A torn write loses whole sectors; a hole is one of them.
SECTOR_BYTES = 512


class SimDiskFailed(BaseException):
    """The disk failed under a simulated process, which ends with it. BaseException: nothing may handle it and go on."""


class SimFile:
    """The bytes of one file: as its process sees them, and what of them is safe."""

    def __init__(self, disk: SimDisk, name: str) -> None:
        self._disk = disk
        self.name = name
        self.data = bytearray()
        self.safe = 0
        self.cut_off = b""  # safe bytes that a truncation not yet synced has hidden

    def size(self) -> int:
        return len(self.data)

    def append(self, data: bytes | bytearray) -> None:
        self._disk.operation("write", self)
        self.data += data

    def fdatasync(self) -> None:
        self._disk.operation("fdatasync", self)
        if not self._disk.lying:
            self.safe = len(self.data)
            self.cut_off = b""

    def pread(self, length: int, offset: int) -> bytes:
        self._disk.operation("read", self)
        return bytes(self.data[offset:offset + length])

    def truncate(self, size: int) -> None:
        self._disk.operation("truncate", self)
        if size < self.safe:
            self.cut_off = bytes(self.data[size:self.safe]) + self.cut_off
            self.safe = size
        del self.data[size:]

    def close(self) -> None:
        """Closing makes nothing safe."""

    def crash(self, rng: Random) -> None:
        """Keep the safe bytes and some of the others."""
        if self.cut_off and rng.random() < 0.5:
            self.data[self.safe:] = self.cut_off
            self.safe = len(self.data)
        tail = len(self.data) - self.safe
        choice = rng.random()
        if tail and choice < 0.75:
            kept = 0 if choice < 0.25 else rng.randrange(tail)
            del self.data[self.safe + kept:]
            if kept > SECTOR_BYTES and choice > 0.65:
                hole = self.safe + rng.randrange(kept - SECTOR_BYTES)
                self.data[hole:hole + SECTOR_BYTES] = bytes(SECTOR_BYTES)
            self._disk.counters["tail_torn" if kept else "tail_lost"] += 1
        self.safe = len(self.data)
        self.cut_off = b""


class SimDisk:
    """One folder, for one node; implements `fluffy.drivers.raft.disk.Disk`.

    `lying`: syncs do nothing, as in a journal that never calls them. `before_operation(kind, file name)` runs before
    each operation, and may raise OSError to make it fail or SimDiskFailed to crash the process there.
    """

    def __init__(self, rng: Random, *, lying: bool = False) -> None:
        self.lying = lying
        self.counters: Counter[str] = Counter()
        self.before_operation: Callable[[str, str], None] | None = None
        self._rng = rng
        self._names: dict[str, SimFile] = {}
        self._safe_names: dict[str, SimFile] = {}
        self._name_changes: list[tuple[str | None, str | None, SimFile]] = []  # (name gone, name made, file)

    def operation(self, kind: str, file: SimFile | None = None) -> None:
        if self.before_operation is None:
            return
        try:
            self.before_operation(kind, file.name if file is not None else "")
        except OSError as error:
            self._fail(kind, error)

    def _fail(self, what: str, error: OSError) -> NoReturn:
        """What `exit_disk_failed` is to a real process."""
        self.counters["disk_failed"] += 1
        raise SimDiskFailed(f"{what}: {error}")

    def names(self) -> list[str]:
        return sorted(self._names)

    def create(self, name: str) -> DiskFile:
        self.operation("create")
        if name in self._names:
            self._fail(f"create {name}", FileExistsError(errno.EEXIST, "file exists"))
        file = self._names[name] = SimFile(self, name)
        self._name_changes.append((None, name, file))
        return file

    def open(self, name: str) -> DiskFile:
        self.operation("open")
        return self._names[name]

    def rename(self, old: str, new: str) -> None:
        self.operation("rename")
        file = self._names.pop(old)
        self._names[new] = file
        file.name = new
        self._name_changes.append((old, new, file))

    def unlink(self, name: str) -> None:
        self.operation("unlink")
        self._name_changes.append((name, None, self._names.pop(name)))

    def sync_folder(self) -> None:
        self.operation("sync_folder")
        if not self.lying:
            self._safe_names = dict(self._names)
            self._name_changes.clear()

    def close(self) -> None:
        """Nothing is held."""

    def crash(self) -> None:
        """The power goes. Afterwards the folder is what a new process will find."""
        rng = self._rng
        choice = rng.random()
        names = dict(self._safe_names)
        for gone, made, file in self._name_changes:
            if choice < 0.3 or (choice < 0.8 and rng.random() < 0.5):
                continue
            if gone is not None:
                names.pop(gone, None)
            if made is not None:
                names[made] = file
        self._names = names
        self._safe_names = dict(names)
        self._name_changes.clear()
        for name, file in sorted(names.items()):
            file.name = name
            file.crash(rng)

    def kill(self) -> None:
        """Only the process dies: the page cache keeps everything that was written."""
        self._safe_names = dict(self._names)
        self._name_changes.clear()
        for file in self._names.values():
            file.safe, file.cut_off = len(file.data), b""

    def rot(self, name: str, byte: int, bit: int) -> None:
        """Flip one bit of a file at rest."""
        file = self._names[name]
        invariant(0 <= byte < len(file.data) and 0 <= bit < 8, "a bit that exists")
        file.data[byte] ^= 1 << bit
