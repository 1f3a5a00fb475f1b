"""A remote file written piece by piece, which appears whole when it is closed, or not at all.

A short file is kept in memory and put at the end, in one request. A longer one goes into an upload in parts as it is
written: each part survives the loss of a peer by itself, a writer that pauses for an hour holds no connection, and one
that dies leaves a session that ends by its lease. What is appended is kept apart (in memory, a lot of it in a temporary
file) and goes in one request at the end, so that it stays together.
"""

from __future__ import annotations

import asyncio
import tempfile
from typing import IO, Protocol

from blake3 import blake3

from fluffy.base.errors import AlreadyExists, FluffyError, PreconditionFailed, TooLarge
from fluffy.base.units import MIB
from fluffy.client.results import Stored, stored_of
from fluffy.client.sessions import UploadSession
from fluffy.client.sources import MemorySource, StreamSource, local_failure
from fluffy.client.transport import Transport
from fluffy.client.upload import APPEND, UploadOptions, upload

# One chunk of the default size, so that equal files share their chunks however they were written.
PART_BYTES = 8 * MIB
# After so many parts the next ones are twice as large: 10,000 of them make half a TiB.
PARTS_PER_SIZE = 1000
PART_BYTES_MAX = 64 * MIB
PARTS_MAX = 10_000
# One part on its way while the next is being written, and one more for the jitter: 32 MiB of memory in all.
PARTS_IN_FLIGHT_MAX = 2
# Whoever gives up does not wait for a cluster that does not answer.
ABORT_S = 2.0
# More than that of an append waits on the local disk.
APPEND_MEMORY_BYTES = 8 * MIB


class Writer(Protocol):
    """Takes bytes in order; then `commit` makes them the file, or `abort` forgets them. One call at a time."""

    async def write(self, data: bytes) -> None: ...
    async def finish(self) -> None:
        """There is no more to come. What can be sent without anybody seeing it is sent."""
    async def commit(self) -> Stored:
        """After `finish`. Raises the cluster's refusal; then nothing has changed."""
    async def abort(self) -> None: ...


def part_size(number: int) -> int:
    """How large part `number` (from 1 on) is, unless it is the last one."""
    return min(PART_BYTES << ((number - 1) // PARTS_PER_SIZE), PART_BYTES_MAX)


class PartWriter:
    """Creates or replaces a file. Memory is bounded, whatever the file's size."""

    def __init__(self, transport: Transport, path: str, options: UploadOptions) -> None:
        self._transport = transport
        self._path = path
        self._options = options
        self._pending = bytearray()
        self._hash = blake3()
        self._size = 0
        self._parts = 0
        self._session: UploadSession | None = None
        self._group: asyncio.TaskGroup | None = None
        self._slots = asyncio.Semaphore(PARTS_IN_FLIGHT_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: FluffyError | None = None

    async def write(self, data: bytes) -> None:
        """Take more bytes; waits while enough parts are on their way. Raises what went wrong with an earlier one."""
        self._raise_failure()
        view = memoryview(data)
        while view:
            room = part_size(self._parts + 1) - len(self._pending)
            self._pending += view[:room]
            view = view[room:]
            if len(self._pending) == part_size(self._parts + 1):
                await self._send_part()

    async def finish(self) -> None:
        """Send the last part, if there are parts, and wait until all are stored."""
        self._raise_failure()
        if self._session is not None and self._pending:
            await self._send_part()
        await self._end_group()
        self._raise_failure()

    async def commit(self) -> Stored:
        """Make what was written the file."""
        try:
            if self._session is None:
                source = await MemorySource.of(bytes(self._pending))
                return stored_of(await upload(self._transport, self._path, source, self._options))
            return await self._session.complete(
                range(1, self._parts + 1), size=self._size, blake3=self._hash.digest())
        except PreconditionFailed as error:
            if self._options.create_only:
                raise AlreadyExists(f"there is a file at {self._path} by now", **error.facts) from error
            raise

    async def abort(self) -> None:
        """Forget what was written."""
        self._pending.clear()
        await self._end_group(cancel=True)
        session, self._session = self._session, None
        if session is None:
            return
        try:
            async with asyncio.timeout(ABORT_S):
                await session.abort()
        except (FluffyError, TimeoutError):
            return  # the session ends by its lease; what the caller has to say matters more

    async def _send_part(self) -> None:
        if self._parts == PARTS_MAX:
            raise TooLarge(f"a file that is written piece by piece has at most {self._size} bytes")
        data = bytes(self._pending)
        self._pending.clear()
        await asyncio.to_thread(self._hash.update, data)
        if self._session is None:
            self._session = await UploadSession.begin(self._transport, self._path, self._options, part_size=PART_BYTES)
            self._group = asyncio.TaskGroup()
            await self._group.__aenter__()
        await self._slots.acquire()
        self._parts += 1
        self._size += len(data)
        assert self._group is not None
        task = self._group.create_task(self._put_part(self._session, self._parts, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _put_part(self, session: UploadSession, number: int, data: bytes) -> None:
        """Never raises: a failure belongs to whoever writes on, not to the task that opened the file."""
        try:
            if self._failure is None:
                await session.put_part(number, data)
        except FluffyError as error:
            self._failure = self._failure or error
        finally:
            self._slots.release()

    async def _end_group(self, *, cancel: bool = False) -> None:
        group, self._group = self._group, None
        if group is not None:
            for task in tuple(self._tasks) if cancel else ():
                task.cancel()
            await group.__aexit__(None, None, None)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


class AppendWriter:
    """Puts what was written behind the end of a file, in one piece."""

    def __init__(self, transport: Transport, path: str, options: UploadOptions) -> None:
        self._transport = transport
        self._path = path
        self._options = options
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(APPEND_MEMORY_BYTES)  # noqa: SIM115 - ours to close
        self._size = 0

    async def write(self, data: bytes) -> None:
        """Take more bytes."""
        self._size += len(data)
        try:
            if self._size > APPEND_MEMORY_BYTES:
                await asyncio.to_thread(self._file.write, data)
            else:
                self._file.write(data)
        except OSError as error:
            raise local_failure("the temporary file", error) from error

    async def finish(self) -> None:
        """All goes at once, when it is committed."""

    async def commit(self) -> Stored:
        """Append it."""
        try:
            source = StreamSource(self._file, self._size, 0)
            return stored_of(await upload(self._transport, self._path, source, self._options, None, APPEND))
        finally:
            self._file.close()

    async def abort(self) -> None:
        """Forget what was written."""
        self._file.close()
