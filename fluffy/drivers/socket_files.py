"""Sending a file's bytes to a socket without copying them through this process (sendfile).

The event loop owns the socket and needs it non-blocking, and that flag belongs to the connection, not to the
descriptor: a thread that wants to wait must poll. So a thread alternates sendfile and poll on a duplicate of the
descriptor, while the loop stays free; nothing else may write to the connection meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from concurrent.futures import Executor

from fluffy.base.units import MIB

# One call holds no lock of ours; it bounds how late a thread notices that it should stop.
SENDFILE_BYTES_MAX = 4 * MIB
POLL_MS = 200


async def send_file(transport: asyncio.Transport, executor: Executor, file_descriptor: int, offset: int, count: int, *,
                    stall_s: float) -> None:
    """Send `count` bytes from `offset`. The transport's own buffer must be empty.

    Raises ConnectionError when the peer is gone, or takes nothing for `stall_s`. When this is cancelled the thread has
    ended before CancelledError leaves, so that the file may be closed.
    """
    own = os.dup(transport.get_extra_info("socket").fileno())
    stop = threading.Event()
    job = asyncio.get_running_loop().run_in_executor(
        executor, _pump, own, file_descriptor, offset, count, stall_s, stop)
    try:
        await asyncio.shield(job)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait((job,))
        raise
    finally:
        os.close(own)


def _pump(socket_fd: int, file_fd: int, offset: int, count: int, stall_s: float, stop: threading.Event) -> None:
    end = offset + count
    while offset < end and not stop.is_set():
        try:
            sent = os.sendfile(socket_fd, file_fd, offset, min(end - offset, SENDFILE_BYTES_MAX))
        except BlockingIOError:
            _wait_writable(socket_fd, stall_s, stop)
            continue
        if sent == 0:
            raise ConnectionAbortedError("the file ended before its length")
        offset += sent


def _wait_writable(socket_fd: int, stall_s: float, stop: threading.Event) -> None:
    poller = select.poll()
    poller.register(socket_fd, select.POLLOUT)
    until_s = time.monotonic() + stall_s
    while not stop.is_set():
        if poller.poll(POLL_MS):
            return
        if time.monotonic() >= until_s:
            raise ConnectionAbortedError("the client takes nothing any more")
