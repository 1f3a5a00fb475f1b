"""Asking the other nodes for their chunks, and giving them copies: the `NodeClient` over the data port.

Few connections per peer, many requests on each. A peer that does not answer is remembered: for a moment nobody asks it
again, so that a dead node costs each request nothing and not a timeout.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded, FluffyError, PeerUnreachable
from fluffy.base.histogram import SHORT_SECONDS, Histogram
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.tracing import Asking
from fluffy.drivers.data_port import limits
from fluffy.drivers.data_port.client_connection import Asked, ClientConnection, ConnectionBroken
from fluffy.wire.chunk_messages import About, AboutFacts, Answer, GetChunk, HasChunk, Ping, PutChunk, Urgency
from fluffy.wire.handshake import Handshake, PeerIdentity, derive_key
from fluffy.wire.metric_samples import Samples


@dataclass(slots=True)
class _Peer:
    """What is known of one node. `down_until_s`: it is not asked before then."""

    connections: list[ClientConnection] = field(default_factory=list)
    dialing: asyncio.Lock = field(default_factory=asyncio.Lock)
    failures: int = 0
    down_until_s: float = 0.0

    def failed(self) -> None:
        back_off_s = min(limits.BACK_OFF_S_MAX, limits.BACK_OFF_S_FIRST * 2.0**self.failures)
        self.failures += 1
        self.down_until_s = time.monotonic() + back_off_s

    def answered(self) -> None:
        self.failures = 0
        self.down_until_s = 0.0


class DataPortClient:
    """Implements `ports.NodeClient`. For one event loop; `close` it there.

    `addresses` gives a node's host and data port, asked at each dial, so that it may change. `names`, when given, says
    which name must answer there: a node behind a wrong port would else be believed to hold copies.
    """

    def __init__(self, addresses: Callable[[NodeNo], tuple[str, int]], secret: bytes, identity: PeerIdentity, *,
                 names: Callable[[NodeNo], str] | None = None) -> None:
        self._addresses = addresses
        self._names = names
        self._key = derive_key(secret, "data")
        self._identity = identity
        self._peers: dict[NodeNo, _Peer] = {}
        self._times: dict[tuple[NodeNo, str], Histogram] = {}
        self._errors: Counter[tuple[NodeNo, str]] = Counter()

    async def put_chunk(self, node: NodeNo, chunk_id: ChunkId, xxh3: bytes, data: memoryview,
                        deadline: Deadline) -> None:
        await self._call(node, "put", lambda number: PutChunk(number, chunk_id, xxh3), deadline, payload=data)

    async def get_chunk(self, node: NodeNo, chunk_id: ChunkId, out: memoryview, deadline: Deadline, *,
                        offset: int = 0, urgency: Urgency = Urgency.USER) -> bytes:
        answer = await self._call(
            node, "get", lambda number: GetChunk(number, chunk_id, offset, len(out), urgency), deadline, out=out)
        return answer.xxh3 or b""

    async def has_chunk(self, node: NodeNo, chunk_id: ChunkId, deadline: Deadline) -> bool:
        answer = await self._call(node, "has", lambda number: HasChunk(number, chunk_id), deadline)
        return bool(answer.has)

    async def ping(self, node: NodeNo, deadline: Deadline) -> dict[str, int]:
        answer = await self._call(node, "ping", Ping, deadline)
        return {"free_bytes": answer.free_bytes or 0, "level": answer.level or 1}

    async def about(self, node: NodeNo, deadline: Deadline) -> AboutFacts:
        return (await self._call(node, "about", About, deadline)).about or {}

    async def close(self) -> None:
        for peer in self._peers.values():
            for connection in peer.connections:
                connection.abort()
            peer.connections.clear()
        await asyncio.sleep(0)  # lets the transports say goodbye before the loop ends

    def tell(self, samples: Samples) -> None:
        """How quick the other nodes are, and how they fail."""
        for (node, operation), seconds in self._times.items():
            samples.add("fluffy_peer_request_duration_seconds", seconds, self._label(node), operation)
        for (node, code), count in self._errors.items():
            samples.add("fluffy_peer_errors_total", count, self._label(node), code)

    def _label(self, node: NodeNo) -> str:
        try:
            return str(node) if self._names is None else self._names(node)
        except FluffyError:
            return str(node)  # it was forgotten

    # --- one request

    async def _call(self, node: NodeNo, operation: str, make: Callable[[int], Asked], deadline: Deadline, *,
                    payload: memoryview | None = None, out: memoryview | None = None) -> Answer:
        """Ask and count. Who is cancelled (the slower one of two reads) counts for nothing."""
        began_s = time.monotonic()
        try:
            with Asking(f"data {operation}"):
                answer = await self._ask(node, make, deadline, payload=payload, out=out)
        except FluffyError as error:
            self._errors[node, error.code()] += 1
            self._note(node, operation, time.monotonic() - began_s)
            raise
        self._note(node, operation, time.monotonic() - began_s)
        return answer

    def _note(self, node: NodeNo, operation: str, seconds: float) -> None:
        times = self._times.get((node, operation))
        if times is None:
            times = self._times[node, operation] = Histogram(SHORT_SECONDS)
        times.observe(seconds)

    async def _ask(self, node: NodeNo, make: Callable[[int], Asked], deadline: Deadline, *,
                   payload: memoryview | None = None, out: memoryview | None = None) -> Answer:
        """Ask on a connection; once more on a new one when an old one turns out to be broken (the peer restarted)."""
        peer = self._peers.setdefault(node, _Peer())
        try:
            async with asyncio.timeout(deadline.left_s):
                for _ in range(limits.CONNECTIONS_PER_PEER + 1):
                    connection = await self._connection(node, peer)
                    was_used = connection.answers > 0
                    try:
                        request = make(connection.next_number())
                        answer = await connection.ask(request, payload=payload, out=out)
                    except ConnectionBroken:
                        if not was_used:
                            break
                    else:
                        peer.answered()
                        return answer
        except TimeoutError:
            raise DeadlineExceeded("another node did not answer in time", node=node) from None
        raise PeerUnreachable(ConnectionBroken.sentence, node=node)

    async def _connection(self, node: NodeNo, peer: _Peer) -> ClientConnection:
        """A usable connection: the least loaded, or a new one while there are few and all are busy."""
        connection = _best(peer)
        if connection is not None:
            return connection
        _refuse_while_down(node, peer)
        if peer.dialing.locked() and peer.failures:
            raise PeerUnreachable("another node does not answer; it is being tried again", node=node)
        async with peer.dialing:
            connection = _best(peer)
            if connection is not None:
                return connection
            _refuse_while_down(node, peer)
            return await self._dial(node, peer)

    async def _dial(self, node: NodeNo, peer: _Peer) -> ClientConnection:
        host, port = self._addresses(node)
        handshake = Handshake("dial", self._key, self._identity)
        connection: ClientConnection | None = None
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(limits.CONNECT_S):
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(lambda: ClientConnection(handshake), host, port)
                await connection.ready
                self._check_name(node, connection)
        except BaseException as error:
            if connection is not None:
                connection.abort()
            if isinstance(error, (OSError, TimeoutError, PeerUnreachable)):
                peer.failed()
                raise PeerUnreachable(f"node {node} does not answer on its data port", node=node) from error
            if time.monotonic() - began_s > limits.DIAL_SLOW_S:
                peer.failed()  # the caller lost patience, and with reason
            raise
        peer.connections.append(connection)
        return connection

    def _check_name(self, node: NodeNo, connection: ClientConnection) -> None:
        name = connection.peer.name if connection.peer is not None else ""
        if self._names is not None and self._names(node) != name:
            raise PeerUnreachable(f"node {name!r} answers where {self._names(node)!r} should", node=node)


def _best(peer: _Peer) -> ClientConnection | None:
    """The least loaded connection; None when there is none, or when all are busy and one more may be made."""
    for silent in [one for one in peer.connections if one.silent_s > limits.SILENCE_S]:
        silent.abort()
        silent.lost = True
        peer.failed()
    peer.connections = [one for one in peer.connections if not one.lost]
    if not peer.connections:
        return None
    best = min(peer.connections, key=lambda one: one.load)
    few = len(peer.connections) < limits.CONNECTIONS_PER_PEER and time.monotonic() >= peer.down_until_s
    return None if best.load > 0 and few and not peer.dialing.locked() else best


def _refuse_while_down(node: NodeNo, peer: _Peer) -> None:
    if time.monotonic() < peer.down_until_s:
        raise PeerUnreachable("another node did not answer a moment ago", node=node)
