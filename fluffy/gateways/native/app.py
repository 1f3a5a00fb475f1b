"""The HTTP machine in front of the desk: aiohttp's low-level server.

aiohttp parses heads and frames bodies; everything else (routing, rights, errors, logging) is the desk's, so its
application, router and middlewares are not used. A connection is cut, never ended politely, when an answer cannot be finished.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import BodyIncomplete, ClientTooSlow, FluffyError
from fluffy.base.units import KIB
from fluffy.drivers.socket_files import send_file
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Answer, BodyStream, Call
from fluffy.gateways.native.limits import (
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    IDLE_TIMEOUT_S,
    SEND_STALL_TIMEOUT_S,
    STALL_TIMEOUT_S,
    TARGET_BYTES_MAX,
)

READ_BUFFER_BYTES = 1024 * KIB
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class NativeApp:
    """Makes protocol instances for `loop.create_server`. `fatal` is called with a bug that must end the process."""

    def __init__(self, desk: Desk, senders: Executor, fatal: Any) -> None:
        self._desk = desk
        self._senders = senders
        self._fatal = fatal
        self.server = web.Server(
            self._handle, handler_cancellation=True, access_log=None, auto_decompress=False,
            keepalive_timeout=IDLE_TIMEOUT_S, max_line_size=TARGET_BYTES_MAX, max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX, read_bufsize=READ_BUFFER_BYTES)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        began_s = time.monotonic()
        body = RequestBody(request)
        call = Call(request.method, request.raw_path, request.headers, body, request.remote or "",
                    sends_files=request.transport is not None and not request.transport.get_extra_info("sslcontext"))
        sent = Sent()
        status = 499
        try:
            answer = await self._desk.answer(call)
            status = answer.status
            return await self._send(request, answer, sent)
        except InvariantBroken as error:
            self._fatal(error)
            raise
        finally:
            self._desk.finished(call, status, seconds=time.monotonic() - began_s, sent_bytes=sent.count,
                                received_bytes=body.received)

    async def _send(self, request: web.BaseRequest, answer: Answer, sent: Sent) -> web.StreamResponse:
        headers = CIMultiDict(answer.headers)
        if isinstance(answer.body, bytes):
            response = web.Response(status=answer.status, headers=headers, body=answer.body)
            if answer.must_close:
                response.force_close()
            sent.count = len(answer.body)
            return response
        try:
            return await self._stream(request, answer, answer.body, headers, sent)
        finally:
            answer.body.close()

    async def _stream(self, request: web.BaseRequest, answer: Answer, body: BodyStream, headers: CIMultiDict[str],
                      sent: Sent) -> web.StreamResponse:
        stream = web.StreamResponse(status=answer.status, headers=headers)
        stream.content_length = answer.length
        await stream.prepare(request)
        try:
            await body.send(BodyWriter(request, stream, self._senders, sent))
        except (FluffyError, ConnectionError) as error:
            # The head is out: only a cut tells the client that this is not the whole body.
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the answer was cut") from error
        await stream.write_eof()
        return stream


class Sent:
    """Bytes of the body that went out."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class RequestBody:
    """A request's body (services.uploads.BodySource)."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._rest = memoryview(b"")
        self._continue = request.headers.get("Expect", "").lower() == "100-continue"
        self.length = None if request.headers.get("Transfer-Encoding") else (request.content_length or 0)
        self.received = 0

    async def fill(self, out: memoryview) -> int:
        if self._continue:
            self._continue = False
            if self._request.transport is not None:
                self._request.transport.write(CONTINUE)
        filled = 0
        while filled < len(out):
            if not self._rest:
                data = await self._read()
                if not data:
                    break
                self._rest = memoryview(data)
            count = min(len(out) - filled, len(self._rest))
            out[filled:filled + count] = self._rest[:count]
            self._rest = self._rest[count:]
            filled += count
        self.received += filled
        if filled < len(out) and self.length is not None and self.received < self.length:
            raise BodyIncomplete
        return filled

    async def _read(self) -> bytes:
        content = self._request.content
        if content.at_eof():
            return b""
        try:
            async with asyncio.timeout(STALL_TIMEOUT_S):
                return await content.readany()
        except TimeoutError as error:
            raise ClientTooSlow from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise BodyIncomplete from error


class BodyWriter:
    """Where an answer's body goes (services.downloads.BodyOut)."""

    def __init__(self, request: web.BaseRequest, stream: web.StreamResponse, senders: Executor, sent: Sent) -> None:
        self._request = request
        self._stream = stream
        self._senders = senders
        self._sent = sent
        transport = self._transport()
        transport.set_write_buffer_limits(high=0)

    async def write(self, data: bytes | memoryview) -> None:
        await self._stream.write(data)
        self._sent.count += len(data)
        await self._flushed()

    async def write_file(self, file_descriptor: int, offset: int, count: int) -> None:
        self._request.writer.send_headers()
        await self._flushed()
        await send_file(self._transport(), self._senders, file_descriptor, offset, count, stall_s=SEND_STALL_TIMEOUT_S)
        self._sent.count += count

    async def _flushed(self) -> None:
        transport = self._transport()
        left = transport.get_write_buffer_size()
        while left:
            try:
                async with asyncio.timeout(SEND_STALL_TIMEOUT_S):
                    await self._request.writer.drain()
                    if transport.get_write_buffer_size():
                        await asyncio.sleep(0)
            except TimeoutError as error:
                if transport.get_write_buffer_size() >= left:
                    raise ConnectionAbortedError("the client takes nothing any more") from error
            left = self._transport().get_write_buffer_size()

    def _transport(self) -> asyncio.Transport:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        return transport
