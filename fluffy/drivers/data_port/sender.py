"""Sending frames on a connection without copying what they carry.

asyncio's transports copy or keep what they cannot send at once, so that one never knows when a buffer may be used
again. This sender writes to the socket itself (a second descriptor of it): what it has not handed to the kernel it
still owns. So a buffer is free the moment its frame is sent, a file goes by sendfile, and a frame whose sender gave up
in the middle is filled with zeros to its announced length: the receiver drops it for its wrong hash, and all else on
the connection goes on.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from fluffy.base.errors import PeerUnreachable
from fluffy.base.units import MIB
from fluffy.ports import VerifiedFile

_FILLER = memoryview(bytes(MIB))
# What one turn of the loop may spend here before others get theirs: about 2 ms at memory speed.
_BYTES_PER_TURN = 8 * MIB


@dataclass(slots=True)
class _Outgoing:
    head: memoryview
    payload: memoryview | VerifiedFile | None
    payload_bytes: int
    sent_event: asyncio.Future[None]
    head_sent: int = 0
    payload_sent: int = 0
    withdrawn: bool = field(default=False)

    @property
    def begun(self) -> bool:
        return self.head_sent > 0


class FrameSender:
    """Sends whole frames in the order of the calls. `on_broken` is called once, when the socket fails."""

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int, on_broken: Callable[[], None]) -> None:
        self._loop = loop
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._socket.setblocking(False)
        self._on_broken = on_broken
        self._queue: deque[_Outgoing] = deque()
        self._waiting = False
        self._closed = False
        self.progress_at_s = time.monotonic()

    @property
    def queued(self) -> int:
        return len(self._queue)

    async def send(self, head: bytes, payload: memoryview | VerifiedFile | None = None) -> None:
        """Return when the kernel has taken the frame; the payload is not read after this returned or raised."""
        if self._closed:
            raise PeerUnreachable("the connection to another node is closed")
        size = 0 if payload is None else payload.length if isinstance(payload, VerifiedFile) else len(payload)
        outgoing = _Outgoing(memoryview(head), payload, size, self._loop.create_future())
        if not self._queue:
            self.progress_at_s = time.monotonic()
        self._queue.append(outgoing)
        if not self._waiting:
            self._pump()
        try:
            await outgoing.sent_event
        except asyncio.CancelledError:
            self._withdraw(outgoing)
            raise

    def send_soon(self, data: bytes) -> None:
        """Queue a few bytes that nobody waits for (handshake)."""
        if self._closed:
            return
        if not self._queue:
            self.progress_at_s = time.monotonic()
        self._queue.append(_Outgoing(memoryview(data), None, 0, self._loop.create_future()))
        if not self._waiting:
            self._pump()

    def close(self) -> None:
        """Fail what is queued and forget the descriptor. The transport of the connection is closed by its owner."""
        if self._closed:
            return
        self._closed = True
        if self._waiting:
            self._loop.remove_writer(self._socket.fileno())
            self._waiting = False
        self._socket.close()
        while self._queue:
            outgoing = self._queue.popleft()
            outgoing.payload = None
            if not outgoing.sent_event.done():
                outgoing.sent_event.set_exception(PeerUnreachable("the connection to another node broke"))
                outgoing.sent_event.exception()  # taken: a frame of send_soon has no other reader

    def _withdraw(self, outgoing: _Outgoing) -> None:
        outgoing.payload = None
        outgoing.withdrawn = True
        if not outgoing.begun and outgoing in self._queue:
            self._queue.remove(outgoing)

    def _pump(self) -> None:
        """Send as much as the kernel takes; come back when it takes more."""
        budget = _BYTES_PER_TURN
        try:
            while self._queue and budget > 0:
                outgoing = self._queue[0]
                count = self._send_some(outgoing)
                budget -= count
                self.progress_at_s = time.monotonic()
                if outgoing.head_sent == len(outgoing.head) and outgoing.payload_sent == outgoing.payload_bytes:
                    self._queue.popleft()
                    outgoing.payload = None
                    if not outgoing.sent_event.done():
                        outgoing.sent_event.set_result(None)
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            self._on_broken()
            return
        self._watch(bool(self._queue))

    def _watch(self, wanted: bool) -> None:
        if wanted and not self._waiting:
            self._loop.add_writer(self._socket.fileno(), self._pump)
        elif not wanted and self._waiting:
            self._loop.remove_writer(self._socket.fileno())
        self._waiting = wanted

    def _send_some(self, outgoing: _Outgoing) -> int:
        if outgoing.head_sent < len(outgoing.head):
            return self._send_head(outgoing)
        left = outgoing.payload_bytes - outgoing.payload_sent
        payload = outgoing.payload
        if isinstance(payload, VerifiedFile):
            count = os.sendfile(self._socket.fileno(), payload.fd, payload.offset + outgoing.payload_sent, left)
            if count == 0:
                raise OSError("a chunk file became shorter while it was sent")
        elif payload is not None:
            count = self._socket.send(payload[outgoing.payload_sent:])
        else:
            count = self._socket.send(_FILLER[:left])
        outgoing.payload_sent += count
        return count

    def _send_head(self, outgoing: _Outgoing) -> int:
        parts = [outgoing.head[outgoing.head_sent:]]
        if isinstance(outgoing.payload, memoryview):
            parts.append(outgoing.payload)
        more = socket.MSG_MORE if isinstance(outgoing.payload, VerifiedFile) else 0
        count = self._socket.sendmsg(parts, (), more)
        of_head = min(count, len(parts[0]))
        outgoing.head_sent += of_head
        outgoing.payload_sent += count - of_head
        return count
