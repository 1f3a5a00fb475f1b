"""The serving end of one data port connection: requests in, answers out, each bounded in memory, number and time.

Reading stops (and with it, after a window, the peer's sending) while a put waits for memory, or while this connection
has as many requests in work as it may have. So no peer can make this node hold more than its share.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, Protocol

from fluffy.base.checks import invariant
from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError, FrameCorrupt, PeerUnreachable, TooLarge
from fluffy.base.threads import in_thread
from fluffy.base.tracing import NO_TRACE, Trace, from_wire, set_trace, start_span
from fluffy.core.metadata.commands import FEATURE_LEVEL
from fluffy.drivers.data_port import limits
from fluffy.drivers.data_port.frame_protocol import FrameProtocol
from fluffy.ports import BackgroundGate, Buffer, Buffers, ChunkStore, VerifiedFile
from fluffy.wire.chunk_messages import (
    About,
    AboutFacts,
    Answer,
    GetChunk,
    HasChunk,
    Ping,
    PutChunk,
    Request,
    Urgency,
    decode_request,
    encode_answer,
)
from fluffy.wire.frames import CHUNK_PAYLOAD_BYTES_MAX
from fluffy.wire.handshake import Handshake

_OPERATIONS = {GetChunk: "get", HasChunk: "has", Ping: "ping", About: "about", PutChunk: "put"}


class ServedBy(Protocol):
    """What a connection needs from its server."""

    store: ChunkStore
    buffers: Buffers
    threads: Executor
    read_threads: Executor
    about: Callable[[], Awaitable[AboutFacts]]
    background: BackgroundGate | None

    def welcome(self, connection: ServerConnection) -> bool:
        """May this now known peer stay? False when there are too many, or it is of another cluster."""

    def forget(self, connection: ServerConnection) -> None: ...
    def note(self, operation: str, seconds: float) -> None: ...
    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...


class ServerConnection(FrameProtocol):
    """Runs on the event loop; its tasks belong to the server's task group."""

    def __init__(self, server: ServedBy, handshake: Handshake) -> None:
        super().__init__(handshake, CHUNK_PAYLOAD_BYTES_MAX)
        self._server = server
        self._request: Request | None = None
        self._trace = NO_TRACE
        self._buffer: Buffer | None = None
        self._payload_bytes_now = 0
        self._payloads = 0
        self._reading = asyncio.Semaphore(limits.READS_PER_CONNECTION_MAX)
        self._waiting: asyncio.Task[None] | None = None
        self._held = False
        self.tasks: set[asyncio.Task[None]] = set()

    # --- receiving

    def on_ready(self) -> None:
        if not self._server.welcome(self):
            self.abort()

    def on_head(self, header: dict[str, Any], payload_bytes: int) -> memoryview | None:
        self._request = decode_request(header, payload_bytes)
        self._trace = from_wire(header.get("q"), header.get("p"))
        self._payload_bytes_now = payload_bytes
        if not isinstance(self._request, PutChunk):
            return None
        if payload_bytes > self._server.buffers.buffer_bytes:
            raise FrameCorrupt("a put announced more bytes than a chunk of this cluster has")
        self._buffer = self._server.buffers.try_acquire()
        if self._buffer is None:
            self._hold()
            self._waiting = self._start(self._wait_for_buffer(self._request.number))
            return None
        return self._buffer.view[:payload_bytes]

    def on_frame(self) -> None:
        request = self._request
        if isinstance(request, PutChunk):
            buffer, self._buffer = self._buffer, None
            if buffer is None:
                raise FrameCorrupt("a put without memory for it")
            self._payloads += 1
            self._start(self._traced(
                "put", self._trace, partial(self._put, request, buffer, self._payload_bytes_now)))
        elif request is not None:
            self._start(self._traced(
                _OPERATIONS[type(request)], self._trace, partial(self._answer_other, request)))
        if not self._has_room():
            self._hold()

    def on_lost(self) -> None:
        for task in self.tasks:
            task.cancel()
        if self._buffer is not None:
            self._buffer.release()
            self._buffer = None
        self._server.forget(self)

    async def _wait_for_buffer(self, number: int) -> None:
        try:
            self._buffer = await self._server.buffers.acquire(Deadline.after(limits.BUFFER_WAIT_S))
            self.set_target(self._buffer.view[:self._payload_bytes_now])
        except FluffyError as error:
            self.set_target(None)
            await self._say(Answer(number, error=error))
        finally:
            self._waiting = None
            self._go_on_if_room()

    # --- work

    async def _traced(self, operation: str, trace: Trace, work: Callable[[], Awaitable[None]]) -> None:
        """Work, as a part of the request that it is for. It has a task of its own."""
        span = start_span(operation, trace, "server")
        set_trace(span.trace)
        try:
            await work()
        finally:
            span.end()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._server.start(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._go_on_if_room()

    def _has_room(self) -> bool:
        return (len(self.tasks) < limits.REQUESTS_PER_CONNECTION_MAX
                and self._payloads < limits.PAYLOADS_PER_CONNECTION_MAX)

    def _hold(self) -> None:
        if not self._held:
            self._held = True
            self.hold()

    def _go_on_if_room(self) -> None:
        if self._held and self._waiting is None and self._has_room():
            self._held = False
            self.go_on()

    async def _put(self, request: PutChunk, buffer: Buffer, length: int) -> None:
        began_s = time.monotonic()
        try:
            with buffer:
                await in_thread(self._server.threads, self._server.store.put,
                                request.chunk_id, request.xxh3, buffer.view[:length])
            answer = Answer(request.number)
        except FluffyError as error:
            answer = Answer(request.number, error=error)
        finally:
            self._payloads -= 1
        self._server.note("put", time.monotonic() - began_s)
        await self._say(answer)

    async def _answer_other(self, request: Request) -> None:
        began_s = time.monotonic()
        await self._answer_in_kind(request)
        self._server.note(_OPERATIONS[type(request)], time.monotonic() - began_s)

    async def _answer_in_kind(self, request: Request) -> None:
        try:
            match request:
                case GetChunk():
                    async with self._gate(request), self._reading:
                        await self._get(request)
                case HasChunk(number, chunk_id):
                    await self._say(Answer(number, has=await self._has(chunk_id)))
                case Ping(number):
                    free = await in_thread(self._server.read_threads, self._server.store.free_bytes)
                    await self._say(Answer(number, free_bytes=free, level=FEATURE_LEVEL))
                case About(number):
                    await self._say(Answer(number, about=await self._server.about()))
                case PutChunk():
                    invariant(False, "puts have their own way")
        except PeerUnreachable:
            return  # the asker is gone, and nobody else waits for this
        except FluffyError as error:
            await self._say(Answer(request.number, error=error))

    async def _has(self, chunk_id: Any) -> bool:
        try:
            return await in_thread(self._server.read_threads, self._server.store.length, chunk_id) > 0
        except FluffyError:
            return False

    def _gate(self, request: GetChunk) -> AbstractAsyncContextManager[None]:
        """Users' gets pass; background work waits its turn, so that many who repair cannot drown who has the copies."""
        gate = self._server.background
        if gate is None or request.urgency is Urgency.USER:
            return nullcontext()
        return gate.reserve(request.length, Deadline.after(limits.BACKGROUND_WAIT_S),
                            endangered=request.urgency is Urgency.ENDANGERED)

    async def _get(self, request: GetChunk) -> None:
        """Warm parts go by sendfile; cold ones through a pooled buffer past the page cache; small ones as they come."""
        store, threads, length = self._server.store, self._server.read_threads, request.length
        if length <= limits.SMALL_READ_BYTES_MAX:
            small = memoryview(bytearray(length))
            xxh3 = await in_thread(threads, store.read, request.chunk_id, request.offset, small)
            await self._send(request, xxh3, small)
            return
        file = await in_thread(threads, store.open_if_cached, request.chunk_id, request.offset, length)
        if file is not None:
            try:
                await self._send(request, file.xxh3, file)
            finally:
                file.close()
            return
        if length > self._server.buffers.buffer_bytes:
            raise TooLarge("a get asks for more bytes than a chunk of this cluster has")
        with await self._server.buffers.acquire(Deadline.after(limits.BUFFER_WAIT_S)) as buffer:
            out = buffer.view[:length]
            xxh3 = await in_thread(threads, store.read, request.chunk_id, request.offset, out)
            await self._send(request, xxh3, out)

    async def _send(self, request: GetChunk, xxh3: bytes, payload: memoryview | VerifiedFile) -> None:
        await self.sender.send(encode_answer(Answer(request.number, xxh3=xxh3), request.length), payload)

    async def _say(self, answer: Answer) -> None:
        try:
            await self.sender.send(encode_answer(answer))
        except PeerUnreachable:
            return  # the asker is gone, and nobody else waits for this
