"""The body of an answer on its way out, and the waiting for a client that takes it slowly."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from fluffy.drivers.socket_files import FileSender
from fluffy.gateways.http.limits import JOINED_WRITE_BYTES_MAX, STALL_TIMEOUT_S, WRITE_PIECE_BYTES


class Outlet:
    """The writing side of one connection. `pause` and `resume` are the transport's."""

    __slots__ = ("_transport", "_waiter", "_written_bytes", "is_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written_bytes = 0
        self.is_paused = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_awaited(self) -> bool:
        return self._waiter is not None

    @property
    def taken_bytes(self) -> int:
        """How much of what was written has left this process."""
        return self._written_bytes - self._waiting_bytes()

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def lost(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionResetError("the client is gone"))

    def write(self, data: bytes | memoryview) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._written_bytes += len(data)
        self._transport.write(data)

    async def room(self) -> None:
        """Wait until the client has taken most of what was written. To be asked for when `is_paused`."""
        if self.is_paused:
            await self._resumed()

    async def emptied(self) -> None:
        """Wait until everything written has gone, so that its memory may be used again."""
        if self._waiting_bytes() == 0:
            return
        self._set_limits(high=0)
        try:
            while self._waiting_bytes() > 0:
                if self.is_paused:
                    await self._resumed()
                else:
                    await asyncio.sleep(0)
                if self._transport.is_closing():
                    raise ConnectionResetError("the client is gone")
        finally:
            self._set_limits()

    async def file_sender(self, executor: Executor) -> FileSender:
        """A sender of files, once everything written before has gone."""
        await self.emptied()
        if self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        return FileSender(self._transport, executor, STALL_TIMEOUT_S)

    def _waiting_bytes(self) -> int:
        try:
            return self._transport.get_write_buffer_size()
        except RuntimeError:  # uvloop's word for a closed transport: nothing waits in it any more
            return 0

    def _set_limits(self, high: int | None = None) -> None:
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits(high=high)

    async def _resumed(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class BodyWriter:
    """Implements `services.downloads.BodyOut` for one answer: the head goes out with the first bytes.

    `length` None: nobody knows.
    """

    __slots__ = ("_executor", "_files", "_head", "_left", "_outlet", "sent")

    def __init__(self, outlet: Outlet, executor: Executor, head: bytes, length: int | None) -> None:
        self._outlet = outlet
        self._executor = executor
        self._head = head
        self._left = length
        self._files: FileSender | None = None
        self.sent = 0

    @property
    def is_whole(self) -> bool:
        """Exactly the announced bytes went out, or whatever came when nothing was announced."""
        return self._left in (0, None) and not self._head

    async def write(self, data: bytes | memoryview) -> None:
        self._count(len(data))
        if self._head and len(data) <= JOINED_WRITE_BYTES_MAX:
            data = b"".join((self._head, data))
            self._head = b""
        self._send_head()
        view = memoryview(data)
        for at in range(0, len(view), WRITE_PIECE_BYTES):
            self._outlet.write(view[at:at + WRITE_PIECE_BYTES])
            await self._outlet.emptied()

    async def send_file(self, file_descriptor: int, offset: int, count: int) -> asyncio.Future[None]:
        self._count(count)
        self._send_head()
        if self._files is None:
            self._files = await self._outlet.file_sender(self._executor)
        return self._files.push(file_descriptor, offset, count)

    async def settle(self) -> None:
        files, self._files = self._files, None
        if files is not None:
            await files.close()

    def finish(self) -> None:
        """Send the head when there was no body to send it with."""
        self._send_head()

    def _send_head(self) -> None:
        if self._head:
            self._outlet.write(self._head)
            self._head = b""

    def _count(self, count: int) -> None:
        if self._left is not None:
            if count > self._left:
                raise ConnectionAbortedError("the answer is longer than it said")
            self._left -= count
        self.sent += count
