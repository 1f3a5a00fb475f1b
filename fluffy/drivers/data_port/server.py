"""The data port's listening side: this node's chunks for the other nodes, and theirs for its disk.

    async with DataPortServer(store, host, port, secret, identity, buffers=…, threads=…) as server:
        ... server.port ...

Strangers get a handshake's time and a handshake's memory; known peers get bounded shares of everything.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from types import TracebackType
from typing import Any

from fluffy.base.errors import StartRefused
from fluffy.base.histogram import SHORT_SECONDS, Histogram
from fluffy.base.units import MIB
from fluffy.drivers.data_port import limits
from fluffy.drivers.data_port.server_connection import ServerConnection
from fluffy.ports import BackgroundGate, Buffers, ChunkStore
from fluffy.wire.chunk_messages import AboutFacts
from fluffy.wire.handshake import Handshake, PeerIdentity, derive_key
from fluffy.wire.metric_samples import Samples

log = logging.getLogger(__name__)


async def _nothing_to_say() -> AboutFacts:
    return {}


class DataPortServer:
    """An async context manager: listening inside it, drained and closed after it. One event loop, one use.

    `buffers` must be the server's own: work that waits for other nodes must not hold the memory that other nodes wait
    for (see drivers/buffers.py). `threads` run what waits for the disk to be durable, `read_threads` (the same when not
    given) the rest, so that readers do not queue behind fsyncs. `background`: the gate of gets that are not for users;
    None: there is none. `port` 0 takes a free one. `about`: what this node says of itself.
    """

    def __init__(self, store: ChunkStore, host: str, port: int, secret: bytes, identity: PeerIdentity, *,
                 buffers: Buffers, threads: Executor, read_threads: Executor | None = None,
                 connections_max: int = limits.CONNECTIONS_MAX,
                 about: Callable[[], Awaitable[AboutFacts]] = _nothing_to_say,
                 background: BackgroundGate | None = None) -> None:
        self.store = store
        self.buffers = buffers
        self.threads = threads
        self.read_threads = threads if read_threads is None else read_threads
        self.background = background
        self.port = port
        self.about = about
        self._host = host
        self._key = derive_key(secret, "data")
        self._identity = identity
        self._connections_max = connections_max
        self._strangers: set[ServerConnection] = set()
        self._known: set[ServerConnection] = set()
        self._group = asyncio.TaskGroup()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing = False
        self._times: dict[str, Histogram] = {}

    async def __aenter__(self) -> DataPortServer:
        self._loop = asyncio.get_running_loop()
        await self._group.__aenter__()
        try:
            self._listener = await self._loop.create_server(self._new_connection, self._host, self.port, backlog=128)
        except OSError as error:
            await self._group.__aexit__(None, None, None)
            raise StartRefused(f"the data port {self._host}:{self.port} cannot be opened: {error.strerror}") from error
        self.port = self._listener.sockets[0].getsockname()[1]
        self._sweeper = self._loop.call_later(limits.SWEEP_EVERY_S, self._sweep)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        self._closing = True
        self._listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        try:
            if kind is None:
                await self._drain()
        finally:
            for connection in [*self._strangers, *self._known]:
                connection.abort()
            await self._group.__aexit__(kind, error, trace)

    @property
    def connections(self) -> int:
        return len(self._strangers) + len(self._known)

    # --- what connections ask for

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._group.create_task(work)

    def welcome(self, connection: ServerConnection) -> bool:
        self._strangers.discard(connection)
        mine, theirs = self._identity.cluster_uuid, connection.peer.cluster_uuid if connection.peer else ""
        if mine and theirs and mine != theirs:
            log.warning("data_port.other_cluster", extra={"peer": connection.peer.name if connection.peer else ""})
            return False
        if len(self._known) >= self._connections_max or self._closing:
            return False
        self._known.add(connection)
        return True

    def note(self, operation: str, seconds: float) -> None:
        times = self._times.get(operation)
        if times is None:
            times = self._times[operation] = Histogram(SHORT_SECONDS)
        times.observe(seconds)

    def tell(self, samples: Samples) -> None:
        """What other nodes asked for, and how long it took."""
        samples.add("fluffy_data_port_connections", self.connections)
        for operation, times in self._times.items():
            samples.add("fluffy_data_port_request_duration_seconds", times, operation)

    def forget(self, connection: ServerConnection) -> None:
        self._strangers.discard(connection)
        self._known.discard(connection)

    # --- connections

    def _new_connection(self) -> ServerConnection:
        connection = ServerConnection(self, Handshake("accept", self._key, self._identity))
        if len(self._strangers) >= limits.UNAUTHENTICATED_MAX:
            # The oldest goes: a flood of strangers may slow nodes down, but not keep them out for good.
            oldest = min(self._strangers, key=lambda stranger: stranger.opened_at_s)
            self._strangers.discard(oldest)
            oldest.abort()
        self._strangers.add(connection)
        return connection

    def _sweep(self) -> None:
        """Close what takes too long. Once a second over at most a few hundred connections."""
        now_s = time.monotonic()
        for stranger in list(self._strangers):
            if now_s - stranger.opened_at_s > limits.HANDSHAKE_S:
                stranger.abort()
        for connection in list(self._known):
            if _is_stuck(connection, now_s):
                connection.abort()
        self._sweeper = self._loop.call_later(limits.SWEEP_EVERY_S, self._sweep)

    async def _drain(self) -> None:
        working = [task for connection in self._known for task in connection.tasks]
        if working:
            await asyncio.wait(working, timeout=limits.DRAIN_S)


def _is_stuck(connection: ServerConnection, now_s: float) -> bool:
    since_s = connection.frame_since_s
    if since_s is not None:
        allowed_s = limits.FRAME_S + limits.FRAME_S_PER_MIB * connection.frame_bytes / MIB
        return now_s - since_s > allowed_s
    if connection.sender.queued:
        return now_s - connection.sender.progress_at_s > limits.SEND_STALL_S
    return not connection.tasks and now_s - connection.received_at_s > limits.IDLE_S
