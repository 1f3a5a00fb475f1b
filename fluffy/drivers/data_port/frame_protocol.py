"""Receiving frames of the data port: the handshake, then heads into a small buffer, then payloads in place.

The bytes of a chunk are received by the kernel's copy straight into the memory where they are wanted; no part of them
is moved again in this process. Both ends of a connection derive from this protocol and say where payloads go.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, Literal, cast

from fluffy.base.errors import FrameCorrupt
from fluffy.base.units import KIB
from fluffy.drivers.data_port.sender import FrameSender
from fluffy.wire.chunk_messages import CHUNK_HEADER_BYTES_MAX
from fluffy.wire.frames import PREFIX, decode_header, decode_prefix
from fluffy.wire.handshake import Handshake, PeerIdentity

_SCRATCH_BYTES = 64 * KIB
_HEAD_BYTES = PREFIX.size + CHUNK_HEADER_BYTES_MAX

_State = Literal["handshake", "prefix", "header", "payload", "discard", "closed"]


class FrameProtocol(asyncio.BufferedProtocol):
    """One end of a connection. Subclasses implement the `on_…` methods; raising FrameCorrupt there closes it."""

    def __init__(self, handshake: Handshake, payload_bytes_max: int) -> None:
        self._handshake = handshake
        self._payload_bytes_max = payload_bytes_max
        self._scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self._state: _State = "handshake"
        self._made = False
        self._filled = 0
        self._needed = PREFIX.size
        self._target: memoryview | None = None
        self._payload_bytes = 0
        self._received = 0
        self.peer: PeerIdentity | None = None
        self.received_at_s = self.opened_at_s = time.monotonic()
        # When the frame now arriving began; None between frames and while we ourselves hold up the peer.
        self.frame_since_s: float | None = None
        self.frame_bytes = 0

    # --- for subclasses

    def on_ready(self) -> None:
        """The peer is known; frames may come and go."""

    def on_head(self, header: dict[str, Any], payload_bytes: int) -> memoryview | None:
        """A frame begins. Where do its `payload_bytes` go? None: nowhere, drop them. May call `hold`."""
        raise NotImplementedError

    def on_payload_part(self, part: memoryview) -> None:
        """The next bytes of the payload have arrived at their target."""

    def on_frame(self) -> None:
        """The frame is complete; not called for dropped payloads."""
        raise NotImplementedError

    def on_lost(self) -> None:
        """The connection is over."""

    # --- control

    def hold(self) -> None:
        """Stop reading: what the peer sends waits in the kernel, and then with the peer."""
        self.frame_since_s = None
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def go_on(self) -> None:
        if self._state in ("payload", "discard"):
            self.frame_since_s = time.monotonic()
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def set_target(self, target: memoryview | None) -> None:
        """Where the rest of the present payload goes; None drops it."""
        self._target = target
        if self._state == "payload" and target is None:
            self._state = "discard"
        elif self._state == "discard" and target is not None and self._received == 0:
            self._state = "payload"

    def abort(self) -> None:
        """Close at once; `on_lost` follows. Also before the connection is made: then it ends with its beginning."""
        self._state = "closed"
        if self._made:
            self.transport.abort()

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._made = True
        plain = transport.get_extra_info("socket")
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sender = FrameSender(asyncio.get_running_loop(), plain.fileno(), self.abort)
        greeting = self._handshake.start()
        if self._state == "closed":
            self.transport.abort()
        elif greeting:
            self.sender.send_soon(greeting)

    def connection_lost(self, error: Exception | None) -> None:
        self._state = "closed"
        self._target = None
        self.sender.close()
        self.on_lost()

    def eof_received(self) -> bool:
        return False  # close

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._state == "payload" and self._target is not None:
            return self._target[self._received:]
        if self._state in ("prefix", "header"):
            return self._scratch[self._filled:self._needed]
        if self._state == "discard":
            return self._scratch[:self._payload_bytes - self._received]
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        self.received_at_s = time.monotonic()
        try:
            self._take(nbytes)
        except FrameCorrupt:
            self.abort()

    def _take(self, nbytes: int) -> None:
        match self._state:
            case "payload":
                assert self._target is not None
                start = self._received
                self._received += nbytes
                self.on_payload_part(self._target[start:self._received])
                if self._received == self._payload_bytes:
                    self._end_frame(complete=True)
            case "discard":
                self._received += nbytes
                if self._received == self._payload_bytes:
                    self._end_frame(complete=False)
            case "prefix" | "header":
                self._filled += nbytes
                if self._filled == self._needed:
                    self._take_head()
            case "handshake":
                self._shake_hands(bytes(self._scratch[:nbytes]))

    def _take_head(self) -> None:
        if self._state == "prefix":
            header_bytes, self._payload_bytes = decode_prefix(self._scratch, self._payload_bytes_max)
            if header_bytes > CHUNK_HEADER_BYTES_MAX:
                raise FrameCorrupt("a frame header is longer than any of this port's")
            self.frame_since_s, self.frame_bytes = self.received_at_s, self._payload_bytes
            self._needed += header_bytes
            self._state = "header"
            return
        header = decode_header(self._scratch[PREFIX.size:self._needed])
        self._received = 0
        self._state = "payload" if self._payload_bytes else "prefix"
        target = self.on_head(header, self._payload_bytes)
        if self._payload_bytes:
            self.set_target(target)
        else:
            self._end_frame(complete=True)

    def _end_frame(self, complete: bool) -> None:
        self._filled, self._needed = 0, PREFIX.size
        self._state = "prefix"
        self._target = None
        self.frame_since_s = None
        if complete:
            self.on_frame()

    def _shake_hands(self, data: bytes) -> None:
        answer = self._handshake.receive(data)
        if answer:
            self.sender.send_soon(answer)
        if self._handshake.done:
            if self._handshake.leftover:
                raise FrameCorrupt("a peer spoke before the handshake was over")
            self.peer = self._handshake.peer
            self._state = "prefix"
            self.on_ready()
