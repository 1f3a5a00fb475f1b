"""Bytes of a large source at any place: what an upload in parts reads, and reads again when it goes on.

Only sources whose bytes stay where they are have ranges: memory, regular files, seekable streams. All calls block and
come from one thread at a time.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from fluffy.base.errors import LocalFileFailed
from fluffy.client.sources import MemorySource, PathSource, Source, StreamSource, local_failure


class Ranges(Protocol):
    """`identity`: tells this content from others of its size without reading it, as far as that goes."""

    @property
    def size(self) -> int: ...
    @property
    def identity(self) -> str: ...
    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Exactly these bytes. Raises LocalFileFailed."""
    def check(self) -> None:
        """Raise LocalFileFailed when the source has changed since it was opened."""
    def close(self) -> None: ...


class MemoryRanges:
    """Bytes that the caller holds."""

    def __init__(self, data: bytes | memoryview, digest: bytes) -> None:
        self._data = memoryview(data)
        self.size = len(data)
        self.identity = digest.hex()

    def read(self, offset: int, length: int) -> bytes | memoryview:
        return self._data[offset:offset + length]

    def check(self) -> None:
        return

    def close(self) -> None:
        self._data.release()


class FileRanges:
    """A regular file on this machine."""

    def __init__(self, path: Path, size: int, mtime_ns: int) -> None:
        self._path = path
        self._mtime_ns = mtime_ns
        self.size = size
        self.identity = f"{path.absolute()} {mtime_ns}"
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise local_failure(path, error) from error

    def read(self, offset: int, length: int) -> bytes:
        blocks: list[bytes] = []
        try:
            while length:
                block = os.pread(self._fd, length, offset)
                if not block:
                    raise LocalFileFailed(f"{self._path} became shorter while it was being uploaded; upload it again")
                blocks.append(block)
                offset, length = offset + len(block), length - len(block)
        except OSError as error:
            raise local_failure(self._path, error) from error
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def check(self) -> None:
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode) or (status.st_size, status.st_mtime_ns) != (self.size, self._mtime_ns):
            raise LocalFileFailed(f"{self._path} changed while it was being uploaded; upload it again")

    def close(self) -> None:
        os.close(self._fd)


class StreamRanges:
    """An open seekable file, from where it stood; it stays open and is the caller's to close."""

    def __init__(self, file: BinaryIO, size: int, start: int) -> None:
        self._file = file
        self._start = start
        self.size = size
        self.identity = f"{getattr(file, 'name', '')} {start} {_changed_ns(file)}"

    def read(self, offset: int, length: int) -> bytes:
        blocks: list[bytes] = []
        try:
            self._file.seek(self._start + offset)
            while length:
                block = self._file.read(length)
                if not isinstance(block, bytes | bytearray):
                    raise LocalFileFailed("the stream gives no bytes; open it in binary mode")
                if not block:
                    raise LocalFileFailed("the stream became shorter while it was being uploaded; upload it again")
                blocks.append(bytes(block))
                length -= len(block)
        except (OSError, ValueError) as error:
            raise local_failure("the stream", error) from error
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def check(self) -> None:
        return

    def close(self) -> None:
        return


def _changed_ns(file: BinaryIO) -> int:
    """When the file behind a stream was changed last; 0 when there is none."""
    try:
        return os.fstat(file.fileno()).st_mtime_ns
    except (OSError, AttributeError):
        return 0


def open_ranges(source: Source) -> Ranges | None:
    """The ranges of a source; None for one that can only be read once, or whose end is not known. Blocks.

    Raises LocalFileFailed.
    """
    match source:
        case MemorySource(data=data, promised=bytes(digest)):
            return MemoryRanges(data, digest)
        case PathSource(path=path, size=int(size), mtime_ns=mtime_ns):
            return FileRanges(path, size, mtime_ns)
        case StreamSource(file=file, size=int(size), start=int(start)):
            return StreamRanges(cast(BinaryIO, file), size, start)
    return None
