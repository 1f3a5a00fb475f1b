"""The few things the log asks of a disk, and what happens when the disk fails: the process ends.

After a failed write or fsync the page cache may claim that bytes are safe which are not (Rebello et al., "Can
Applications Recover from fsync Failures?", ATC 2020), so nothing here is ever retried. A full disk counts as a failed
one: the log cannot promise anything without room. The supervisor starts the process again, and the replay of the
journal finds out what is really there.

`RealDisk` is one folder of a file system; `fluffy.sim.disk.SimDisk` is the same with crashes.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, Protocol

from fluffy.base.checks import EXIT_DISK_FAILED
from fluffy.base.errors import StartRefused
from fluffy.base.histogram import SHORT_SECONDS, Histogram

log = logging.getLogger(__name__)

Fatal = Callable[[str, OSError], NoReturn]


class DiskFile(Protocol):
    """One open file, appended at its end and read at any offset."""

    @property
    def name(self) -> str: ...

    def size(self) -> int: ...

    def append(self, data: bytes | bytearray) -> None:
        """Write all of `data` at the end. It survives a crash only after `fdatasync`."""

    def fdatasync(self) -> None: ...

    def pread(self, length: int, offset: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the file ends."""

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes; lasting only after `fdatasync`."""

    def close(self) -> None: ...


class Disk(Protocol):
    """One flat folder. Changes of names last only after `sync_folder`; a rename is atomic."""

    def names(self) -> list[str]:
        """All file names, sorted."""

    def create(self, name: str) -> DiskFile:
        """A new, empty file; the name must be free."""

    def open(self, name: str) -> DiskFile: ...

    def rename(self, old: str, new: str) -> None: ...

    def unlink(self, name: str) -> None: ...

    def sync_folder(self) -> None: ...

    def close(self) -> None: ...


def exit_disk_failed(what: str, error: OSError) -> NoReturn:
    """End this process at once, without running any clean-up that could touch the disk again."""
    log.critical("disk.failed", extra={"operation": what, "error": str(error)})
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(EXIT_DISK_FAILED)


class _RealFile:
    """A file descriptor in append mode; every OSError is fatal."""

    def __init__(self, name: str, fd: int, *, fsync: bool, fatal: Fatal, times: Histogram) -> None:
        self.name = name
        self._fd = fd
        self._fsync = fsync
        self._fatal = fatal
        self._times = times

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def append(self, data: bytes | bytearray) -> None:
        with memoryview(data) as view:
            written = 0
            while written < len(view):
                try:
                    written += os.write(self._fd, view[written:])
                except OSError as error:
                    self._fatal(f"write {self.name}", error)

    def fdatasync(self) -> None:
        if not self._fsync:
            return
        began_s = time.monotonic()
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self._fatal(f"fdatasync {self.name}", error)
        self._times.observe(time.monotonic() - began_s)

    def pread(self, length: int, offset: int) -> bytes:
        parts = []
        while length > 0:
            try:
                part = os.pread(self._fd, length, offset)
            except OSError as error:
                self._fatal(f"read {self.name}", error)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            self._fatal(f"truncate {self.name}", error)

    def close(self) -> None:
        os.close(self._fd)


class RealDisk:
    """A folder of the file system, made if missing, and held by this process alone until `close`.

    `fsync=False` keeps no promise across a power cut; it exists for people who say so in their configuration.
    Raises StartRefused when another process holds the folder.
    """

    def __init__(self, folder: Path, *, fsync: bool = True, fatal: Fatal = exit_disk_failed) -> None:
        self._folder = folder
        self._fsync = fsync
        self._fatal = fatal
        self.fsync_times = Histogram(SHORT_SECONDS)
        try:
            self._folder_fd = self._open_folder()
        except OSError as error:
            fatal(f"open {folder}", error)
        try:
            fcntl.flock(self._folder_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._folder_fd)
            raise StartRefused(f"another process uses {folder}; stop it first") from error

    def _open_folder(self) -> int:
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True)
            parent_fd = os.open(self._folder.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(parent_fd)
            finally:
                os.close(parent_fd)
        return os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)

    def names(self) -> list[str]:
        try:
            return sorted(os.listdir(self._folder_fd))
        except OSError as error:
            self._fatal("list", error)

    def create(self, name: str) -> DiskFile:
        return self._opened(name, os.O_CREAT | os.O_EXCL)

    def open(self, name: str) -> DiskFile:
        return self._opened(name, 0)

    def _opened(self, name: str, flags: int) -> DiskFile:
        try:
            fd = os.open(name, os.O_RDWR | os.O_APPEND | flags, 0o600, dir_fd=self._folder_fd)
        except OSError as error:
            self._fatal(f"open {name}", error)
        return _RealFile(name, fd, fsync=self._fsync, fatal=self._fatal, times=self.fsync_times)

    def rename(self, old: str, new: str) -> None:
        try:
            os.rename(old, new, src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd)
        except OSError as error:
            self._fatal(f"rename {old} to {new}", error)

    def unlink(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self._folder_fd)
        except OSError as error:
            self._fatal(f"unlink {name}", error)

    def sync_folder(self) -> None:
        if not self._fsync:
            return
        try:
            os.fsync(self._folder_fd)
        except OSError as error:
            self._fatal("fsync of the folder", error)

    def close(self) -> None:
        os.close(self._folder_fd)
