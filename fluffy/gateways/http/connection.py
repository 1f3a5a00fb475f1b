"""One connection of a client: bytes in, requests out, answers back, in order.

                 data_received -> parser -> queue -> next_request -> the server's task -> outlet
    large body:  DirectReceiver -> the reader's memory (the parser is bypassed, and renewed afterwards)

The connection's task is cancelled when the client goes away. What the client owes (a head, a body, the taking of an
answer) has a deadline; the server's sweep looks after it (patience.py), so the hot path reads no clock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol, cast

from fluffy.base.errors import BodyIncomplete, ClientTooSlow, FluffyError
from fluffy.gateways.http.body import Body
from fluffy.gateways.http.heads import CONTINUE
from fluffy.gateways.http.limits import LINGER_TOTAL_S, PIPELINE_MAX
from fluffy.gateways.http.parsing import Head, RequestParser
from fluffy.gateways.http.patience import Owed, Patience
from fluffy.gateways.http.sending import Outlet


@dataclass(slots=True)
class Received:
    """A request whose head is here. `body` may still be coming."""

    head: Head
    body: Body


class ConnectionOwner(Protocol):
    """The server, as its connections see it."""

    def opened(self, connection: Connection) -> None: ...
    def closed(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """Receives; the server's task takes requests from it and answers through `outlet`."""

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser(self)
        self._queue: deque[Received | FluffyError] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._unparsed = b""
        self._coming: Body | None = None  # the body whose bytes the client sends now
        self._direct: DirectReceiver | None = None
        self._is_reading = True
        self._has_ended = False  # nothing that the client sends counts any more
        self._has_eof = False  # the client has closed its side
        self._discarded: int | None = None  # bytes thrown away since the last answer; None: not yet
        self._linger_until_s = 0.0
        self._patience = Patience()
        self.task: asyncio.Task[None] | None = None
        self.requests = 0
        self.is_busy = False
        self.is_draining = False
        self.is_endless = False  # the answer ends when the client closes its side
        self.is_plain = True
        self.remote = ""

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by name
        self.outlet = Outlet(self.transport)
        peer = transport.get_extra_info("peername")
        self.remote = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self.is_plain = transport.get_extra_info("sslcontext") is None
        self._owner.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._has_ended = True
        self._fail_body(BodyIncomplete())
        self.outlet.lost()
        self._owner.closed(self)
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._discarded is not None:
            self._discarded += len(data)
        elif not self._has_ended:
            self._parse(self._unparsed + data if self._unparsed else data)
            self._steer_reading()

    def eof_received(self) -> bool:
        """True keeps the connection open for the answers that are due; one without an end is due to nobody now."""
        self._has_ended = self._has_eof = True
        self._fail_body(BodyIncomplete())
        self._wake()
        return self._discarded is None and not self.is_endless and (self.is_busy or bool(self._queue))

    def pause_writing(self) -> None:
        self.outlet.pause()

    def resume_writing(self) -> None:
        self.outlet.resume()

    # What the parser calls

    @property
    def has_enough(self) -> bool:
        return len(self._queue) >= PIPELINE_MAX

    def on_head(self, head: Head) -> None:
        self._coming = Body(self, head.length, head.expects_continue)
        self._queue.append(Received(head, self._coming))
        self._wake()

    def on_body(self, data: bytes) -> None:
        if self._coming is not None:
            self._coming.feed(data)

    def on_end(self) -> None:
        if self._coming is not None:
            self._coming.finish()
            self._coming = None

    # What a body calls

    def body_wanted(self, body: Body) -> None:
        self._say_continue(body)
        self._steer_reading()

    def body_satisfied(self, body: Body) -> None:
        self._steer_reading()

    async def receive_into(self, body: Body, out: memoryview) -> None:
        self._say_continue(body)
        if self._has_ended:
            raise BodyIncomplete
        if self._direct is None:
            self._direct = DirectReceiver(self, body)
            self.transport.set_protocol(self._direct)
        done = self._direct.begin(out)
        self._steer_reading()
        try:
            await done
        finally:
            self._direct.end()
            self._steer_reading()
        if body.fed == body.length:
            self._leave_direct()
            self._parser.renew()
            self._coming = None
            body.finish()
            self._steer_reading()

    # What the server calls

    async def next_request(self) -> Received | FluffyError | None:
        """The next request, or what is wrong with the bytes that came, or None when there will be no more."""
        self.is_busy = False
        while not self._queue:
            if self._has_ended or self.is_draining:
                return None
            self._waiter = self._loop.create_future()
            await self._waiter
        item = self._queue.popleft()
        self.is_busy = True
        self.requests += 1
        if self._unparsed:
            self._parse(self._unparsed)
        if not self._is_reading:
            self._steer_reading()
        return item

    def client_left(self) -> bool:
        """Whether the client has closed its side. It may still read (`nc`), but has hardly a use for an answer."""
        return self._has_eof or self.transport.is_closing()

    def drain(self) -> None:
        """Take no further request; the one that is being answered is the last."""
        self.is_draining = True
        self._wake()

    def close_after_answer(self, *, is_owed_body: bool) -> None:
        """Close politely. A client that still sends gets time to see the answer: a reset would destroy it."""
        if not is_owed_body or self._has_eof or self.transport.is_closing():
            self.transport.close()
            return
        self._discarded = 0
        self._linger_until_s = self._loop.time() + LINGER_TOTAL_S
        self._leave_direct()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._steer_reading()

    def sweep(self, now_s: float) -> None:
        """Do what is due when the client does not do its part."""
        owed = self._owed()
        amount = {Owed.BODY: self._body_bytes(), Owed.TAKING: self.outlet.taken_bytes,
                  Owed.LEAVING: self._discarded or 0}.get(owed, 0)
        if owed is Owed.LEAVING and now_s >= self._linger_until_s:
            self.transport.abort()
        elif not self._patience.is_over(owed, self.requests, amount, now_s):
            return
        elif owed is Owed.HEAD and self._parser.has_begun:
            self._refuse(ClientTooSlow("the head of the request did not come in time"))
        elif owed is Owed.BODY:
            self._fail_body(ClientTooSlow())
        elif owed in (Owed.HEAD, Owed.NEXT):
            self.transport.close()
        else:
            self.transport.abort()

    # Inside

    def _owed(self) -> Owed:
        """What the client should be doing now."""
        if self._discarded is not None:
            return Owed.LEAVING
        if self.transport.is_closing():
            return Owed.TAKING
        if not self.is_busy and not self._queue:
            return Owed.HEAD if self._parser.has_begun or self.requests == 0 else Owed.NEXT
        if self.outlet.is_awaited:
            return Owed.TAKING
        is_awaited = self._direct.is_awaited if self._direct is not None else (
            self._coming is not None and self._coming.is_awaited)
        return Owed.BODY if is_awaited else Owed.NOTHING

    def _body_bytes(self) -> int:
        return self._coming.fed if self._coming is not None else 0

    def _parse(self, data: bytes) -> None:
        try:
            self._unparsed = self._parser.feed(data)
        except FluffyError as error:
            self._unparsed = b""
            self._refuse(error)

    def _refuse(self, error: FluffyError) -> None:
        """The bytes make no sense (any more): say so after the answers that are due, then close."""
        self._fail_body(error)
        self._queue.append(error)
        self._has_ended = True
        self._wake()

    def _fail_body(self, error: FluffyError) -> None:
        if self._coming is not None:
            self._coming.fail(error)
        if self._direct is not None:
            self._direct.fail(error)

    def _say_continue(self, body: Body) -> None:
        if body.expects_continue:
            body.expects_continue = False
            if body.fed == 0:
                self.outlet.write(CONTINUE)

    def _leave_direct(self) -> None:
        if self._direct is not None:
            self._direct = None
            self.transport.set_protocol(self)

    def _steer_reading(self) -> None:
        """Read from the socket exactly while there is room for what comes."""
        if self._direct is not None:
            wants = self._direct.is_awaited
        elif self._discarded is not None:
            wants = True
        else:
            wants = not (self._unparsed or self.has_enough or (self._coming is not None and self._coming.is_full))
        if wants is not self._is_reading and not self.transport.is_closing():
            self._is_reading = wants
            if wants:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class DirectReceiver(asyncio.BufferedProtocol):
    """Reads a body from the socket into somebody's memory, in place of the connection's own protocol."""

    def __init__(self, connection: Connection, body: Body) -> None:
        self._connection = connection
        self._body = body
        self._out = memoryview(b"")
        self._position = 0
        self._done: asyncio.Future[None] | None = None

    @property
    def is_awaited(self) -> bool:
        return self._done is not None and not self._done.done()

    def begin(self, out: memoryview) -> asyncio.Future[None]:
        """Fill `out`; the future is done when it is full."""
        self._out, self._position = out, 0
        self._done = asyncio.get_running_loop().create_future()
        return self._done

    def end(self) -> None:
        self._out = memoryview(b"")
        self._done = None

    def fail(self, error: FluffyError) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._out[self._position:]

    def buffer_updated(self, count: int) -> None:
        self._position += count
        self._body.fed += count
        if self._position == len(self._out):
            # Also when its reader was cancelled a moment ago: with no room left, nothing may be read.
            if self._done is not None and not self._done.done():
                self._done.set_result(None)
            self._connection.body_satisfied(self._body)

    def eof_received(self) -> bool:
        return self._connection.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._connection.connection_lost(error)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
