"""The HTTP/1.1 server: takes connections, asks the service, sends answers, closes in order.

    async with asyncio.TaskGroup() as group:
        server = HttpServer(service, executor, fatal)
        group.create_task(server.run())
        listener = await loop.create_server(server.new_connection, sock=…)
        …
        listener.close(); await server.drain(seconds)
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic

from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import FluffyError, Overloaded
from fluffy.gateways.http.connection import Connection, Received
from fluffy.gateways.http.exchange import Answer, BodyStream, R, Service
from fluffy.gateways.http.heads import BODILESS, DateLine, render_head
from fluffy.gateways.http.limits import CONNECTIONS_MAX, SWEEP_EVERY_S
from fluffy.gateways.http.sending import BodyWriter

log = logging.getLogger("fluffy.http")

# The status that is counted when the client left before its answer (nginx' number for it).
CLIENT_LEFT = 499
DRAIN_STEP_S = 0.05


class HttpServer(Generic[R]):
    """Serves one service on any number of listeners of one loop. `fatal` gets a bug that must end the process."""

    def __init__(self, service: Service[R], executor: Executor, fatal: Callable[[BaseException], None], *,
                 connections_max: int = CONNECTIONS_MAX) -> None:
        self._service = service
        self._executor = executor
        self._fatal = fatal
        self._connections_max = connections_max
        self._connections: set[Connection] = set()
        self._group: asyncio.TaskGroup | None = None
        self._date = DateLine()
        self._is_draining = False
        self.refused_connections = 0

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def run(self) -> None:
        """The parent of all connections' tasks; sweeps once a second, for ever."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while True:
                    await asyncio.sleep(SWEEP_EVERY_S)
                    now_s = loop.time()
                    for connection in list(self._connections):
                        connection.sweep(now_s)
            finally:
                self._group = None
                for connection in list(self._connections):
                    connection.transport.abort()

    def new_connection(self) -> Connection:
        """A protocol for `loop.create_server`."""
        return Connection(self)

    def opened(self, connection: Connection) -> None:
        if self._group is None or self._is_draining or len(self._connections) >= self._connections_max:
            self.refused_connections += 1
            answer = self._service.refuse(Overloaded(
                "this node has as many connections as it can hold; try again shortly or ask another peer"))
            assert isinstance(answer.body, bytes)
            head = render_head(answer, "close", self._date.text())
            connection.transport.write(head + answer.body)
            connection.transport.close()
            return
        self._connections.add(connection)
        connection.task = self._group.create_task(self._serve(connection))

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)

    async def drain(self, seconds: float) -> None:
        """Finish the requests that have begun, at most for `seconds`; then cut what is left."""
        self._is_draining = True
        self._service.drain()
        for connection in list(self._connections):
            connection.drain()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + seconds
        while self._connections and loop.time() < until_s:  # noqa: ASYNC110 (once in a process's life)
            await asyncio.sleep(DRAIN_STEP_S)
        for connection in list(self._connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, connection: Connection) -> None:
        """Answer a connection's requests, one after the other."""
        try:
            while (item := await connection.next_request()) is not None:
                if isinstance(item, FluffyError):
                    answer = self._service.refuse(item)
                    self._write_small(connection, answer, is_head=False, connection_line="close")
                    connection.close_after_answer(is_owed_body=True)
                    return
                if not await self._exchange(connection, item):
                    return
            connection.transport.close()
        except ConnectionError:
            connection.transport.abort()
        except InvariantBroken as error:
            connection.transport.abort()
            self._fatal(error)
        except Exception:
            log.exception("http.bug")
            connection.transport.abort()

    async def _exchange(self, connection: Connection, item: Received) -> bool:
        """One request and its answer. False when it was the connection's last."""
        head, body = item.head, item.body
        began_s = time.monotonic()
        request = self._service.receive(head.method, head.target, head.headers, body, connection.remote,
                                        connection.is_plain)
        request.client_left = connection.client_left
        status, sent = CLIENT_LEFT, 0
        answer: Answer | None = None
        try:
            answer = await self._service.answer(request)
            keeps_alive = (head.keeps_alive and body.is_complete and not answer.must_close and not answer.is_endless
                           and not connection.is_draining)
            body.discard()
            line = ("keep-alive" if head.is_http_1_0 else None) if keeps_alive else "close"
            if isinstance(answer.body, bytes):
                sent = self._write_small(connection, answer, is_head=head.method == "HEAD", connection_line=line)
                if connection.outlet.is_paused:
                    await connection.outlet.room()
            else:
                sent = await self._write_stream(connection, answer, answer.body, head.method == "HEAD", line)
            status = answer.status
        finally:
            if answer is not None and not isinstance(answer.body, bytes):
                answer.body.close()
            self._service.finished(request, status, seconds=time.monotonic() - began_s, sent_bytes=sent,
                                   received_bytes=body.received)
        if not keeps_alive:
            connection.close_after_answer(is_owed_body=not body.is_complete)
        return keeps_alive

    def _write_small(self, connection: Connection, answer: Answer, *, is_head: bool,
                     connection_line: str | None) -> int:
        assert isinstance(answer.body, bytes)
        head = render_head(answer, connection_line, self._date.text())
        if is_head or answer.status in BODILESS:
            connection.outlet.write(head)
            return 0
        connection.outlet.write(head + answer.body)
        return len(answer.body)

    async def _write_stream(self, connection: Connection, answer: Answer, body: BodyStream, is_head: bool,
                            connection_line: str | None) -> int:
        """Send a long body. A body that cannot be finished ends in a cut: only that tells the client."""
        head = render_head(answer, connection_line, self._date.text())
        if is_head:
            connection.outlet.write(head)
            return 0
        connection.is_endless = answer.is_endless
        writer = BodyWriter(connection.outlet, self._executor, head, None if answer.is_endless else answer.length)
        try:
            await body.send(writer)
            writer.finish()
        except FluffyError as error:
            log.warning("download.cut", extra={"error": error.code(), "sent_bytes": writer.sent})
            raise ConnectionAbortedError("the answer could not be finished") from error
        if not writer.is_whole:
            raise ConnectionAbortedError("the answer is shorter than it said")
        return writer.sent
