"""Sending files' bytes to a socket without copying them through this process (sendfile).

The event loop owns the socket and needs it non-blocking, and that flag belongs to the connection, not to the
descriptor: a thread that wants to wait must poll. So a thread alternates sendfile and poll on a duplicate of the
descriptor, while the loop stays free; nothing else may write to the connection meanwhile. The loop hands over the next
file before the last one is out, so that a fast reader never waits for two threads to wake each other.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass

from fluffy.base.units import MIB

# One call holds no lock of ours; it bounds how late a thread notices that it should stop.
SENDFILE_BYTES_MAX = 4 * MIB
POLL_MS = 200


@dataclass(frozen=True, slots=True)
class _Part:
    file_descriptor: int
    offset: int
    count: int
    sent: asyncio.Future[None]


class FileSender:
    """Sends parts of files to one connection, in order. `close` it; one event loop.

    A part's future fails with ConnectionError when the peer is gone or took nothing for `stall_s`; then the parts
    behind it fail too. The transport's own buffer must be empty before the first part.
    """

    def __init__(self, transport: asyncio.Transport, executor: Executor, stall_s: float) -> None:
        self._socket = os.dup(transport.get_extra_info("socket").fileno())
        self._executor = executor
        self._stall_s = stall_s
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._parts: deque[_Part] = deque()  # as many as the caller dares: downloads keep two
        self._is_running = False
        self._stop = threading.Event()
        self._job: asyncio.Future[None] | None = None

    def push(self, file_descriptor: int, offset: int, count: int) -> asyncio.Future[None]:
        """Send `count` bytes from `offset`. The descriptor stays open until the future is done, or `close` returned."""
        part = _Part(file_descriptor, offset, count, self._loop.create_future())
        with self._lock:
            self._parts.append(part)
            starts, self._is_running = not self._is_running, True
        if starts:
            self._job = self._loop.run_in_executor(self._executor, self._run)
        return part.sent

    async def close(self) -> None:
        """Send nothing more. When this returns, or raises, no thread uses a descriptor.

        A cancellation waits for that too (at most POLL_MS): a descriptor closed under the thread could be another
        connection's, or another file's, a moment later.
        """
        self._stop.set()
        cancelled: asyncio.CancelledError | None = None
        while self._job is not None and not self._job.done():
            try:
                await asyncio.wait((self._job,))
            except asyncio.CancelledError as error:
                cancelled = error
        os.close(self._socket)
        if cancelled is not None:
            raise cancelled

    def _run(self) -> None:
        """In a thread: everything that is there, and what comes meanwhile."""
        while True:
            with self._lock:
                if not self._parts:
                    self._is_running = False
                    return
                part = self._parts.popleft()
            error: OSError | None = None
            try:
                self._send(part)
            except OSError as failure:
                self._stop.set()
                error = failure if isinstance(failure, ConnectionError) else ConnectionAbortedError(str(failure))
            self._loop.call_soon_threadsafe(_settle, part.sent, error)

    def _send(self, part: _Part) -> None:
        offset, end = part.offset, part.offset + part.count
        while offset < end:
            if self._stop.is_set():
                raise ConnectionAbortedError("the answer was given up")
            try:
                sent = os.sendfile(self._socket, part.file_descriptor, offset, min(end - offset, SENDFILE_BYTES_MAX))
            except BlockingIOError:
                self._wait_writable()
                continue
            if sent == 0:
                raise ConnectionAbortedError("the file ended before its length")
            offset += sent

    def _wait_writable(self) -> None:
        poller = select.poll()
        poller.register(self._socket, select.POLLOUT)
        until_s = time.monotonic() + self._stall_s
        while not self._stop.is_set():
            if poller.poll(POLL_MS):
                return
            if time.monotonic() >= until_s:
                raise ConnectionAbortedError("the client takes nothing any more")


def _settle(sent: asyncio.Future[None], error: OSError | None) -> None:
    if sent.done():
        return
    if error is None:
        sent.set_result(None)
    else:
        sent.set_exception(error)
        sent.exception()  # whoever gave up the answer does not ask any more
