"""The body of a request on its way in.

Bytes that came with the head, and those of chunked bodies, pass through the parser and wait here in small pieces. The
rest of a large body of announced length is read from the socket straight into the memory of whoever wants it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from fluffy.base.errors import FluffyError
from fluffy.gateways.http.limits import BODY_BUFFER_BYTES, DIRECT_BYTES_MIN


class BodyPipe(Protocol):
    """What a body needs of its connection."""

    def body_wanted(self, body: Body) -> None:
        """Somebody waits for bytes of this body: read on."""

    def body_satisfied(self, body: Body) -> None:
        """Nobody waits any more."""

    async def receive_into(self, body: Body, out: memoryview) -> None:
        """Fill `out` from the socket, past the parser. Raises what `fail` would."""


class Body:
    """Implements `services.uploads.BodySource`. `fill` is for one reader."""

    __slots__ = ("_buffered", "_failure", "_is_direct", "_pieces", "_pipe", "_waiter", "expects_continue", "fed",
                 "is_complete", "length", "received")

    def __init__(self, pipe: BodyPipe, length: int | None, expects_continue: bool) -> None:
        self.length = length
        self.expects_continue = expects_continue
        self.received = 0  # bytes that the reader has got
        self.fed = 0  # bytes that have come from the client
        self.is_complete = length == 0
        self._pipe = pipe
        self._pieces: deque[memoryview] | None = None  # most requests have no body
        self._buffered = 0
        self._is_direct = False  # once true, the parser has lost track of this body and sees no more of it
        self._waiter: asyncio.Future[None] | None = None
        self._failure: FluffyError | None = None

    @property
    def is_full(self) -> bool:
        """So much is waiting here that the socket should be left alone."""
        return self._buffered >= BODY_BUFFER_BYTES

    @property
    def is_awaited(self) -> bool:
        return self._waiter is not None

    async def fill(self, out: memoryview) -> int:
        filled = 0
        while filled < len(out):
            if self._pieces:
                filled += self._take(self._pieces, out[filled:])
                continue
            if self._failure is not None:
                raise self._failure
            if self.is_complete:
                break
            if self.length is not None and (self._is_direct or self.length - self.fed >= DIRECT_BYTES_MIN):
                self._is_direct = True
                part = out[filled:filled + self.length - self.fed]
                await self._pipe.receive_into(self, part)
                filled += len(part)
                self.received += len(part)
            else:
                await self._wait()
        return filled

    def feed(self, data: bytes) -> None:
        """The parser found bytes of the body."""
        self.fed += len(data)
        if self._pieces is None:
            self._pieces = deque()
        self._pieces.append(memoryview(data))
        self._buffered += len(data)
        self._wake()

    def finish(self) -> None:
        """The body has ended as announced."""
        self.is_complete = True
        self._wake()

    def fail(self, error: FluffyError) -> None:
        """No more will come; whoever waits, or asks later, gets `error` once what came is used up."""
        if not self.is_complete and self._failure is None:
            self._failure = error
            self._wake()

    def discard(self) -> None:
        """Forget what nobody will read."""
        self._pieces = None
        self._buffered = 0

    def _take(self, pieces: deque[memoryview], out: memoryview) -> int:
        piece = pieces[0]
        count = min(len(out), len(piece))
        out[:count] = piece[:count]
        if count == len(piece):
            pieces.popleft()
        else:
            pieces[0] = piece[count:]
        self._buffered -= count
        self.received += count
        return count

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        self._pipe.body_wanted(self)
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._pipe.body_satisfied(self)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
