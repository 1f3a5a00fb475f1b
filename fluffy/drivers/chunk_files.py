"""This node's chunks as files: `chunks/ab/cd/<64 hex digits>`, immutable, each carrying its own hashes.

A chunk is stored when its data and its name are on the disk, not before: write to a name of our own in `incoming/`,
fdatasync, rename, fsync the folder. Several processes of a node (gateways, keeper) use one folder at once without
talking to each other; what they must agree on, they agree on through the file system (rename, flock).

What cannot be verified is never given out: it goes to quarantine, and the caller takes another copy.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from fluffy.base.checks import invariant
from fluffy.base.errors import ChunkCorrupt, ChunkNotFound, DiskFailed, DiskFull
from fluffy.base.ids import CHUNK_ID_BYTES, ChunkId
from fluffy.base.units import MIB
from fluffy.drivers import chunk_reads, direct_io
from fluffy.drivers.chunk_quarantine import Quarantine
from fluffy.drivers.folder_sync import FolderSync
from fluffy.drivers.incoming_folder import IncomingFolder
from fluffy.ports import QuarantinedChunk, StoredChunk, VerifiedFile
from fluffy.wire.chunk_record import ChunkRecord, encode_record, record_of

# The log, the database and their checkpoints live on the same disk and must go on when chunks cannot: a full journal
# stops the node. One percent on small disks, so that tests and toys still store something.
DISK_RESERVE_BYTES_MAX = 256 * MIB
_FULL = (errno.ENOSPC, errno.EDQUOT)
# How Linux says that what was written cannot be read again.
_BAD_SECTOR = (errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.ENODATA)


class ChunkFiles:
    """The `ChunkStore` of a node folder. Thread-safe; every call blocks.

    `fsync=False` is for people who said so in their config. `reserve_bytes`: refuse to store below this much free
    space; None means one percent of the disk, at most 256 MiB.
    """

    def __init__(self, node_dir: Path, fsync: bool = True, reserve_bytes: int | None = None) -> None:
        self._chunks = node_dir / "chunks"
        self._chunks.mkdir(parents=True, exist_ok=True)
        self._fsync = fsync
        self._reserve_bytes = reserve_bytes
        self._folders = FolderSync(fsync)
        self._known_folders: set[bytes] = set()  # at most 65,536 pairs of bytes
        self._incoming = IncomingFolder(node_dir / "incoming")
        self._quarantine = Quarantine(node_dir / "quarantine")
        self._direct = direct_io.direct_allowed(self._incoming.path)
        self._numbers = itertools.count()

    def close(self) -> None:
        """Remove this process's folder for unfinished files. Not needed for safety: the next start would do it."""
        self._incoming.close()

    def path_of(self, chunk_id: ChunkId) -> Path:
        name = chunk_id.hex()
        return self._chunks / name[:2] / name[2:4] / name

    # --- storing

    def put(self, chunk_id: ChunkId, xxh3: bytes, data: memoryview) -> None:
        """See `ChunkStore.put`. After an error nothing is left behind."""
        if len(data) == 0 or len(chunk_id) != CHUNK_ID_BYTES:
            raise ValueError("a chunk has bytes and a 32-byte name")
        record = record_of(chunk_id, data)
        if record.xxh3 != xxh3:
            raise ChunkCorrupt("the bytes changed on their way to the disk", chunk=chunk_id.hex())
        with _disk_errors(chunk_id):
            if not self._confirm_existing(chunk_id, record):
                self._write_new(record, data)

    def _confirm_existing(self, chunk_id: ChunkId, record: ChunkRecord) -> bool:
        """Whether a good copy is here already; then it is durable and its time is fresh when this returns.

        The shared lock makes this one step against `delete`: a copy confirmed here is not swept a moment later.
        """
        path = self.path_of(chunk_id)
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            if os.fstat(fd).st_nlink == 0:
                return False
            if chunk_reads.check_all(fd, chunk_id, self._direct) != record:
                raise ChunkCorrupt("the copy here has other bytes than its name")
            os.utime(fd)
            if self._fsync:
                os.fdatasync(fd)
            self._folders.sync(path.parent)
            return True
        except (ChunkCorrupt, OSError) as error:
            self._set_aside(chunk_id, error)
            return False
        finally:
            os.close(fd)

    def _write_new(self, record: ChunkRecord, data: memoryview) -> None:
        self._check_room(len(data))
        self._make_folder(record.chunk_id)
        unfinished = self._incoming.path / str(next(self._numbers))
        path = self.path_of(record.chunk_id)
        try:
            self._write_file(unfinished, record, data)
            if not path.parent.exists():  # somebody cleaned up by hand
                self._known_folders.discard(record.chunk_id[:2])
                self._make_folder(record.chunk_id)
            os.rename(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        self._folders.sync(path.parent)

    def _write_file(self, path: Path, record: ChunkRecord, data: memoryview) -> None:
        direct = self._direct and len(data) >= direct_io.DIRECT_BYTES_MIN
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | (os.O_DIRECT if direct else 0)
        fd = os.open(path, flags, 0o640)
        try:
            write = direct_io.write_direct if direct else direct_io.write_buffered
            write(fd, data, encode_record(record))
            if self._fsync:
                os.fdatasync(fd)
        finally:
            os.close(fd)

    def _make_folder(self, chunk_id: ChunkId) -> None:
        """Make the chunk's folder durable, once per process: another process may have made it and not synced yet."""
        prefix = chunk_id[:2]
        if prefix in self._known_folders:
            return
        folder = self.path_of(chunk_id).parent
        folder.mkdir(parents=True, exist_ok=True)
        self._folders.sync(folder.parent)
        self._folders.sync(self._chunks)
        self._known_folders.add(prefix)

    def _check_room(self, size: int) -> None:
        if self.free_bytes() < size:
            raise DiskFull("this node's disk is full up to its reserve", free_bytes=self.free_bytes())

    # --- reading

    def read(self, chunk_id: ChunkId, offset: int, out: memoryview) -> bytes:
        """See `ChunkStore.read`. Takes what the page cache has, and leaves it as it is."""
        fd = self._open(chunk_id)
        try:
            return chunk_reads.read_part(fd, chunk_id, offset, out, self._direct)
        except (ChunkCorrupt, OSError) as error:
            raise self._set_aside(chunk_id, error) from error
        finally:
            os.close(fd)

    def reread(self, chunk_id: ChunkId, out: memoryview) -> int:
        """See `ChunkStore.reread`. The cached pages are given up first: not every file is read with O_DIRECT."""
        fd = self._open(chunk_id)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            length = chunk_reads.read_record(fd, chunk_id).length
            if length > len(out):
                raise ChunkCorrupt("the chunk is longer than any of this cluster")
            chunk_reads.read_part(fd, chunk_id, 0, out[:length], self._direct)
            return length
        except (ChunkCorrupt, OSError) as error:
            raise self._set_aside(chunk_id, error) from error
        finally:
            os.close(fd)

    def open_verified(self, chunk_id: ChunkId, offset: int, length: int) -> VerifiedFile:
        """See `ChunkStore.open_verified`."""
        file = self._open_checked(chunk_id, offset, length, cached_only=False)
        invariant(file is not None, "a file that may be read from the disk is always given")
        return cast(VerifiedFile, file)

    def open_if_cached(self, chunk_id: ChunkId, offset: int, length: int) -> VerifiedFile | None:
        """See `ChunkStore.open_if_cached`."""
        return self._open_checked(chunk_id, offset, length, cached_only=True)

    def _open_checked(self, chunk_id: ChunkId, offset: int, length: int, cached_only: bool) -> VerifiedFile | None:
        fd = self._open(chunk_id)
        given = False
        try:
            xxh3 = chunk_reads.check_part(fd, chunk_id, offset, length, cached_only)
            given = xxh3 is not None
            return None if xxh3 is None else VerifiedFile(fd, offset, length, xxh3)
        except (ChunkCorrupt, OSError) as error:
            raise self._set_aside(chunk_id, error) from error
        finally:
            if not given:
                os.close(fd)

    def length(self, chunk_id: ChunkId) -> int:
        return self._record(chunk_id).length

    def xxh3(self, chunk_id: ChunkId) -> bytes:
        return self._record(chunk_id).xxh3

    def _record(self, chunk_id: ChunkId) -> ChunkRecord:
        fd = self._open(chunk_id)
        try:
            return chunk_reads.read_record(fd, chunk_id)
        except (ChunkCorrupt, OSError) as error:
            raise self._set_aside(chunk_id, error) from error
        finally:
            os.close(fd)

    def _open(self, chunk_id: ChunkId) -> int:
        with _disk_errors(chunk_id):
            try:
                return os.open(self.path_of(chunk_id), os.O_RDONLY)
            except FileNotFoundError:
                raise ChunkNotFound(chunk=chunk_id.hex()) from None

    def _set_aside(self, chunk_id: ChunkId, error: ChunkCorrupt | OSError) -> ChunkCorrupt:
        """Quarantine what could not be read or verified; returns what to tell the caller.

        Raises DiskFailed for errors that say nothing about this copy (no descriptors, no memory).
        """
        if isinstance(error, ChunkCorrupt):
            reason = error.message
        elif error.errno in _BAD_SECTOR:
            reason = f"the disk failed to read it: {error}"
        else:
            raise DiskFailed(errno=error.errno, chunk=chunk_id.hex()) from error
        self.quarantine(chunk_id, reason)
        return ChunkCorrupt(reason, chunk=chunk_id.hex())

    # --- the rest

    def delete(self, chunk_id: ChunkId, unless_touched_since_ms: int | None = None,
               unless_touched_until_ms: int | None = None) -> bool:
        """See `ChunkStore.delete`."""
        try:
            fd = self._open(chunk_id)
        except ChunkNotFound:
            return False
        try:
            with _disk_errors(chunk_id):
                fcntl.flock(fd, fcntl.LOCK_EX)
                status = os.fstat(fd)
                touched_ms = status.st_mtime_ns // 1_000_000
                touched = (unless_touched_since_ms is not None and touched_ms >= unless_touched_since_ms
                           and (unless_touched_until_ms is None or touched_ms <= unless_touched_until_ms))
                if touched or status.st_nlink == 0:
                    return False
                self.path_of(chunk_id).unlink(missing_ok=True)
                return True
        finally:
            os.close(fd)

    def quarantine(self, chunk_id: ChunkId, reason: str) -> None:
        """See `ChunkStore.quarantine`."""
        with _disk_errors(chunk_id):
            self._quarantine.take(self.path_of(chunk_id), chunk_id, reason, time.time_ns() // 1_000_000)

    def quarantined(self) -> list[QuarantinedChunk]:
        """What was set aside, oldest first."""
        return self._quarantine.list()

    def scan(self) -> Iterator[StoredChunk]:
        """See `ChunkStore.scan`."""
        for chunk_id in self.names():
            yield from self._stored(chunk_id)

    def names(self, start: bytes = b"") -> Iterator[ChunkId]:
        """See `ChunkStore.names`."""
        start_text = start[:2].hex()
        for first in sorted(_names(self._chunks)):
            if first < start_text[:2]:
                continue
            for second in sorted(_names(self._chunks / first)):
                if first + second < start_text:
                    continue
                for name in sorted(_names(self._chunks / first / second)):
                    chunk_id = _chunk_id_of_name(name)
                    if chunk_id is not None and chunk_id > start:
                        yield chunk_id

    def _stored(self, chunk_id: ChunkId) -> Iterator[StoredChunk]:
        try:
            length = self._record(chunk_id).length
            modified_ms = self.path_of(chunk_id).stat().st_mtime_ns // 1_000_000
        except (ChunkNotFound, ChunkCorrupt, FileNotFoundError):
            return  # gone meanwhile, or just set aside
        yield StoredChunk(chunk_id, length, modified_ms)

    def free_bytes(self) -> int:
        """See `ChunkStore.free_bytes`."""
        with _disk_errors():
            disk = os.statvfs(self._chunks)
        reserve = self._reserve_bytes
        if reserve is None:
            reserve = min(DISK_RESERVE_BYTES_MAX, disk.f_blocks * disk.f_frsize // 100)
        return max(0, disk.f_bavail * disk.f_frsize - reserve)

    def total_bytes(self) -> int:
        """Size of the file system that the chunks are on."""
        with _disk_errors():
            disk = os.statvfs(self._chunks)
        return disk.f_blocks * disk.f_frsize


@contextmanager
def _disk_errors(chunk_id: ChunkId | None = None) -> Iterator[None]:
    """The system's errors as ours."""
    try:
        yield
    except OSError as error:
        facts: dict[str, Any] = {"errno": error.errno} | ({} if chunk_id is None else {"chunk": chunk_id.hex()})
        if error.errno in _FULL:
            raise DiskFull("this node's disk is full", **facts) from error
        raise DiskFailed(**facts) from error


def _names(folder: Path) -> list[str]:
    with _disk_errors():
        try:
            return os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []


def _chunk_id_of_name(name: str) -> ChunkId | None:
    if len(name) != 2 * CHUNK_ID_BYTES:
        return None
    try:
        return ChunkId(bytes.fromhex(name))
    except ValueError:
        return None
