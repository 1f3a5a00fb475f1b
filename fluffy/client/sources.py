"""Where the bytes of an upload come from: memory, a local file, an open stream, somebody's iterator.

A source can be opened once per attempt; whether a second time is possible (`repeatable`) decides whether a broken
upload may be repeated. Reading and hashing happen in a thread, one block ahead of the network, so an upload uses two
blocks of memory whatever its size. The BLAKE3 of what was really sent is what the cluster's answer is compared with.
"""

from __future__ import annotations

import asyncio
import io
import os
import stat
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from blake3 import blake3

from fluffy.base.errors import LocalFileFailed, RequestError
from fluffy.base.units import MIB
from fluffy.client.thread_names import UPLOAD_THREADS

# Large enough that a thread hop (100 us) costs nothing beside reading and hashing it (700 us).
BLOCK_BYTES = 1 * MIB
# Up to here the whole body is read and hashed first, and the hash is promised in the request's head.
SMALL_BYTES = 1 * MIB

Uploadable = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO | AsyncIterable[bytes] | Iterable[bytes]


class Readable(Protocol):
    def read(self, wanted: int, /) -> bytes: ...


class Body(Protocol):
    """The bytes of one attempt, as an async iterator of blocks. `close()` always, exactly once."""

    @property
    def sent_bytes(self) -> int: ...
    @property
    def failure(self) -> Exception | None:
        """What went wrong on our side of the network, if anything."""
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def digest(self) -> bytes:
        """BLAKE3 of all bytes that were handed out."""
    async def close(self) -> None: ...


class Source(Protocol):
    """`size` is None when only the end will tell. `promised`: the BLAKE3, when known before sending."""

    @property
    def size(self) -> int | None: ...
    @property
    def promised(self) -> bytes | None: ...
    @property
    def repeatable(self) -> bool: ...
    async def open(self) -> Body: ...


async def source_of(thing: Uploadable) -> Source:
    """Bytes are themselves; a `str` or path names a local file; anything else is read to its end.

    Raises LocalFileFailed when the local file cannot be read.
    """
    if isinstance(thing, bytes | bytearray | memoryview):
        return await MemorySource.of(bytes(thing))
    if isinstance(thing, str | os.PathLike):
        return await _path_source(Path(thing))
    if isinstance(thing, io.IOBase) or hasattr(thing, "read"):
        return StreamSource.of(thing)  # type: ignore[arg-type]  # a BinaryIO by its behaviour
    if isinstance(thing, AsyncIterable):
        return IteratorSource(thing)
    if isinstance(thing, Iterable):
        return StreamSource(_IteratorFile(thing), size=None)
    raise RequestError(f"cannot upload a {type(thing).__name__}: give bytes, a path, a binary file or an iterator")


class MemorySource:
    """Bytes that the caller holds."""

    repeatable = True

    def __init__(self, data: bytes | memoryview, promised: bytes) -> None:
        self.data = data
        self.size: int | None = len(data)
        self.promised: bytes | None = promised

    @classmethod
    async def of(cls, data: bytes) -> MemorySource:
        hashed = blake3(data) if len(data) <= SMALL_BYTES else await asyncio.to_thread(blake3, data)
        return cls(data, hashed.digest())

    async def open(self) -> Body:
        return _MemoryBody(self.data, self.promised or b"")


class _MemoryBody:
    failure: Exception | None = None

    def __init__(self, data: bytes | memoryview, digest: bytes) -> None:
        self._data = data
        self._digest = digest
        self.sent_bytes = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        view = memoryview(self._data)
        while self.sent_bytes < len(view):
            block = view[self.sent_bytes:self.sent_bytes + BLOCK_BYTES]
            self.sent_bytes += len(block)
            yield bytes(block)

    async def digest(self) -> bytes:
        return self._digest

    async def close(self) -> None:
        return


async def _path_source(path: Path) -> Source:
    """Small files are read at once, large ones are streamed; pipes and devices are streams without a size."""
    try:
        status = await asyncio.to_thread(path.stat)
        if stat.S_ISDIR(status.st_mode):
            raise LocalFileFailed(f"{path} is a folder on this machine; only files can be uploaded")
        if not stat.S_ISREG(status.st_mode):
            return PathSource(path, None, status.st_mtime_ns)
        if status.st_size <= SMALL_BYTES:
            return await MemorySource.of(await asyncio.to_thread(path.read_bytes))
    except OSError as error:
        raise local_failure(path, error) from error
    return PathSource(path, status.st_size, status.st_mtime_ns)


class PathSource:
    """A local file, opened anew for each attempt. It must not change between attempts: one request, one content."""

    promised: bytes | None = None

    def __init__(self, path: Path, size: int | None, mtime_ns: int) -> None:
        self.path = path
        self.mtime_ns = mtime_ns
        self.size = size
        self.repeatable = size is not None

    async def open(self) -> Body:
        return BlockingBody(self._open, self.size, str(self.path), owned=True)

    def _open(self) -> BinaryIO:
        file = open(self.path, "rb", buffering=0)  # noqa: SIM115 - closed by the body that owns it
        status = os.fstat(file.fileno())
        if self.size is not None and (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns):
            file.close()
            raise LocalFileFailed(f"{self.path} changed while it was being uploaded; upload it again")
        return cast(BinaryIO, file)


class StreamSource:
    """An open binary file or pipe, read from where it stands; it stays open and is the caller's to close."""

    promised: bytes | None = None

    def __init__(self, file: Readable, size: int | None, start: int | None = None) -> None:
        self.file = file
        self.start = start
        self.size = size
        self.repeatable = start is not None

    @classmethod
    def of(cls, file: BinaryIO) -> StreamSource:
        try:
            if file.seekable():
                start = file.tell()
                size = file.seek(0, os.SEEK_END) - start
                return cls(file, size, start)
        except OSError as error:
            raise local_failure(getattr(file, "name", "the stream"), error) from error
        return cls(file, None)

    async def open(self) -> Body:
        return BlockingBody(self._rewound, self.size, "the stream", owned=False)

    def _rewound(self) -> Readable:
        if self.start is not None:
            cast(BinaryIO, self.file).seek(self.start)
        return self.file


class BlockingBody:
    """Blocks from a file whose reads block, one read ahead, hashed in the same thread. `owned`: closed at the end."""

    def __init__(self, opener: Callable[[], Readable], size: int | None, name: str, *, owned: bool) -> None:
        self._opener = opener
        self._file: Readable | None = None
        self._size = size
        self._name = name
        self._owned = owned
        self._hash = blake3()
        self._read_bytes = 0
        # A thread of its own keeps opening, reads and closing in order, also when nobody waits any more.
        self._thread = ThreadPoolExecutor(1, UPLOAD_THREADS)
        self._ahead: asyncio.Future[bytes] | None = None
        self.sent_bytes = 0
        self.failure: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        self._ahead = loop.run_in_executor(self._thread, self._next_block)
        while True:
            try:
                block = await self._ahead
            except (OSError, ValueError, LocalFileFailed) as error:
                self.failure = error if isinstance(error, LocalFileFailed) else local_failure(self._name, error)
                raise self.failure from error
            if not block:
                return
            self._ahead = loop.run_in_executor(self._thread, self._next_block)
            self.sent_bytes += len(block)
            yield block

    def _next_block(self) -> bytes:
        if self._file is None:
            self._file = self._opener()
        wanted = BLOCK_BYTES if self._size is None else min(BLOCK_BYTES, self._size - self._read_bytes)
        block = self._file.read(wanted) if wanted else b""
        if not isinstance(block, bytes | bytearray):
            raise LocalFileFailed(f"{self._name} gives no bytes; open it in binary mode")
        if not block and wanted and self._size is not None:
            raise LocalFileFailed(f"{self._name} became shorter while it was being uploaded; upload it again")
        self._hash.update(block)
        self._read_bytes += len(block)
        return block

    async def digest(self) -> bytes:
        return self._hash.digest()

    async def close(self) -> None:
        """Give up the file behind the last read. Does not wait: a read from a terminal may never return."""
        if self._ahead is not None:
            self._ahead.add_done_callback(_retrieve)
        if self._owned:
            self._thread.submit(self._close)
        self._thread.shutdown(wait=False)


    def _close(self) -> None:
        if self._file is not None:
            cast(BinaryIO, self._file).close()


class IteratorSource:
    """Somebody's async iterator: can be read once."""

    size: int | None = None
    promised: bytes | None = None
    repeatable = False

    def __init__(self, blocks: AsyncIterable[bytes]) -> None:
        self._blocks = blocks

    async def open(self) -> Body:
        return _IteratorBody(self._blocks)


class _IteratorBody:
    def __init__(self, blocks: AsyncIterable[bytes]) -> None:
        self._blocks = blocks
        self._hash = blake3()
        self.sent_bytes = 0
        self.failure: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        blocks = aiter(self._blocks)
        while True:
            try:
                block = await anext(blocks)
            except StopAsyncIteration:
                return
            except Exception as error:  # the caller's own iterator; raised again to the caller
                self.failure = error
                raise
            if len(block) > SMALL_BYTES:
                await asyncio.to_thread(self._hash.update, block)
            else:
                self._hash.update(block)
            self.sent_bytes += len(block)
            yield bytes(block)

    async def digest(self) -> bytes:
        return self._hash.digest()

    async def close(self) -> None:
        return


def local_failure(path: object, error: Exception) -> LocalFileFailed:
    """The sentence for an OSError of the local disk."""
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return LocalFileFailed(f"{path}: {reason}", local=str(path))


def _retrieve(ahead: asyncio.Future[bytes]) -> None:
    """A read that nobody waits for any more may fail in peace."""
    if not ahead.cancelled():
        ahead.exception()


class _IteratorFile:
    """An iterator of bytes, read as a file: each read gives its next block."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)

    def read(self, wanted: int, /) -> bytes:
        return next((bytes(block) for block in self._blocks if block), b"")
