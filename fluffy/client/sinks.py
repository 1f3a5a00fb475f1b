"""Where the bytes of a download go: memory, a part file that becomes the file, or a stream.

A local file under its own name is always whole and verified: bytes are collected in `NAME.fluffy-part`, and only
after their BLAKE3 was found right are they synced and renamed. A part that was left by a broken download is the
beginning of the next one. Two downloads of one name do not share a part: the second one is refused (flock).
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from blake3 import blake3

from fluffy.base.errors import Conflict, FluffyError, LocalFileExists, LocalFileFailed
from fluffy.base.units import MIB
from fluffy.client.sources import local_failure

T = TypeVar("T")

PART_SUFFIX = ".fluffy-part"
# One write and one hash call of this size in a thread while the next bytes arrive.
FLUSH_BYTES = 4 * MIB


class Sink(Protocol):
    """Takes a file's bytes in order. `offset`: how many it has."""

    @property
    def offset(self) -> int: ...
    async def add(self, block: bytes) -> None: ...
    async def restart(self) -> None:
        """Forget everything: the bytes come again from the first one. Raises Conflict where that cannot be."""
    async def digest(self) -> bytes:
        """BLAKE3 of everything since the first byte."""


class MemorySink:
    """For `get`: the caller wants the bytes themselves."""

    def __init__(self) -> None:
        self.data = bytearray()

    @property
    def offset(self) -> int:
        return len(self.data)

    async def add(self, block: bytes) -> None:
        self.data += block

    async def restart(self) -> None:
        self.data.clear()

    async def digest(self) -> bytes:
        return await asyncio.to_thread(lambda: blake3(self.data).digest())


class StreamSink:
    """For standard output and the like: what was written cannot be taken back."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._hash = blake3()
        self.offset = 0

    async def add(self, block: bytes) -> None:
        def both() -> None:
            self._write(block)
            self._hash.update(block)
        try:
            await asyncio.to_thread(both)
        except OSError as error:
            raise local_failure("the output", error) from error
        self.offset += len(block)

    async def restart(self) -> None:
        if self.offset:
            raise Conflict("the file changed while it was being read; read it again")

    async def digest(self) -> bytes:
        return self._hash.digest()


class PartFile:
    """`NAME.fluffy-part` on the way to NAME. All disk work happens in one thread of its own, in order.

    Use: `await open()`, `add`…, `await finish(…)` or `await discard()`, and `await close()` always. After `close()`
    without `finish` the part is there for a later download.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + PART_SUFFIX)
        self.offset = 0
        self.mtime_s = 0.0
        self._thread = ThreadPoolExecutor(1, "fluffy-download")
        self._descriptor = -1
        self._hash = blake3()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._writing: asyncio.Future[None] | None = None

    async def open(self, *, resume: bool) -> None:
        """Take the part for ourselves; with `resume`, `offset` says what is there already: hashed, not yet verified."""
        await self._in_thread(lambda: self._open(resume))

    def _open(self, resume: bool) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise LocalFileFailed(f"another download is writing {self.path}", local=str(self.path)) from error
        self._descriptor = descriptor
        if not resume:
            os.ftruncate(descriptor, 0)
        self.mtime_s = os.fstat(descriptor).st_mtime
        while block := os.read(descriptor, FLUSH_BYTES):
            self._hash.update(block)
            self.offset += len(block)

    async def add(self, block: bytes) -> None:
        self._pending.append(block)
        self._pending_bytes += len(block)
        self.offset += len(block)
        if self._pending_bytes >= FLUSH_BYTES:
            await self._settle_one()
            self._writing = self._submit_pending()

    def _submit_pending(self) -> asyncio.Future[None]:
        blocks, self._pending, self._pending_bytes = self._pending, [], 0
        return asyncio.get_running_loop().run_in_executor(self._thread, self._write, blocks)

    def _write(self, blocks: list[bytes]) -> None:
        for block in blocks:
            view = memoryview(block)
            while view:
                view = view[os.write(self._descriptor, view):]
            self._hash.update(block)

    async def _settle_one(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await self._guarded(writing)

    async def settle(self) -> None:
        """Everything that was added is in the part file."""
        await self._settle_one()
        await self._guarded(self._submit_pending())

    async def restart(self) -> None:
        self._pending, self._pending_bytes = [], 0
        await self._settle_one()
        await self._in_thread(self._truncate)

    def _truncate(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._hash = blake3()
        self.offset = 0

    async def digest(self) -> bytes:
        await self.settle()
        return self._hash.digest()

    async def finish(self, *, overwrite: bool) -> None:
        """Verified by the caller: make it the file. Raises LocalFileExists when one came there meanwhile."""
        await self._in_thread(lambda: self._rename(overwrite))

    def _rename(self, overwrite: bool) -> None:
        os.fdatasync(self._descriptor)
        if overwrite:
            os.replace(self.path, self.target)
            return
        try:
            os.link(self.path, self.target)
        except FileExistsError as error:
            raise exists_already(self.target) from error
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            if self.target.exists():  # this file system has no hard links: the look before the rename must do
                raise exists_already(self.target) from error
            os.replace(self.path, self.target)
            return
        os.unlink(self.path)

    async def discard(self) -> None:
        """The part is worthless: remove it."""
        await self._in_thread(lambda: self.path.unlink(missing_ok=True))

    async def close(self) -> None:
        """Keep what arrived and let go of the part. Safe to cancel: the thread ends its work by itself."""
        try:
            if self._descriptor >= 0:
                await self.settle()
                if self.offset == 0:
                    await self.discard()
        finally:
            closing = asyncio.get_running_loop().run_in_executor(self._thread, self._close)
            self._thread.shutdown(wait=False)
            await asyncio.wait([closing])

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await self._guarded(asyncio.get_running_loop().run_in_executor(self._thread, work))

    async def _guarded(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except FluffyError:
            raise
        except OSError as error:
            raise local_failure(self.path, error) from error


def exists_already(path: Path) -> LocalFileExists:
    return LocalFileExists(f"{path} exists already on this machine; say --force to replace it", local=str(path))
