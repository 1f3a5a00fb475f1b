"""The asking end of one data port connection: many requests at once, answers in any order, each in its own memory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import xxhash

from fluffy.base.errors import FrameCorrupt, PeerUnreachable
from fluffy.base.tracing import current_trace
from fluffy.drivers.data_port import limits
from fluffy.drivers.data_port.frame_protocol import FrameProtocol
from fluffy.wire.chunk_messages import (
    About,
    Answer,
    GetChunk,
    HasChunk,
    Ping,
    PutChunk,
    decode_answer,
    encode_request,
)
from fluffy.wire.frames import CHUNK_PAYLOAD_BYTES_MAX
from fluffy.wire.handshake import Handshake

Asked = PutChunk | GetChunk | HasChunk | Ping | About


class ConnectionBroken(PeerUnreachable):
    """The connection ended before the answer. Everything on this port may be asked again on another one."""

    sentence = "the connection to another node broke before it answered"


@dataclass(slots=True)
class _Pending:
    answered: asyncio.Future[Answer]
    out: memoryview | None
    hash: Any = field(default_factory=xxhash.xxh3_128)


class ClientConnection(FrameProtocol):
    """`ready` ends when the peer is known, or with ConnectionBroken. Then `ask`, from any number of tasks."""

    def __init__(self, handshake: Handshake) -> None:
        super().__init__(handshake, CHUNK_PAYLOAD_BYTES_MAX)
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.lost = False
        self.answers = 0
        self._pending: dict[int, _Pending] = {}
        self._owed: dict[int, float] = {}  # asked and not answered, also what nobody waits for any more: when it was
        self._number = 0
        self._current: tuple[Answer, _Pending | None] | None = None
        self._requests = asyncio.Semaphore(limits.REQUESTS_PER_CONNECTION_MAX)
        self._puts = asyncio.Semaphore(limits.PAYLOADS_PER_CONNECTION_MAX)

    @property
    def load(self) -> int:
        return len(self._pending)

    @property
    def silent_s(self) -> float:
        """For how long the peer has owed an answer without saying anything at all."""
        if not self._owed:
            return 0.0
        oldest_s = next(iter(self._owed.values()))
        return time.monotonic() - max(self.received_at_s, oldest_s)

    def next_number(self) -> int:
        self._number += 1
        return self._number

    async def ask(self, request: Asked, *, payload: memoryview | None = None, out: memoryview | None = None) -> Answer:
        """Send the request and wait for its answer; a get's `out` is filled, and its hash compared.

        Raises ConnectionBroken, or the answer's error. Cancelled or not, `payload` and `out` are the caller's again.
        """
        async with self._requests:
            if payload is None:
                return await self._ask(request, None, out)
            async with self._puts:
                return await self._ask(request, payload, out)

    async def _ask(self, request: Asked, payload: memoryview | None, out: memoryview | None) -> Answer:
        if self.lost:
            raise ConnectionBroken
        pending = _Pending(asyncio.get_running_loop().create_future(), out)
        self._pending[request.number] = pending
        self._owed[request.number] = time.monotonic()
        try:
            try:
                await self.sender.send(
                    encode_request(request, 0 if payload is None else len(payload), current_trace()), payload)
            except PeerUnreachable as error:
                raise ConnectionBroken from error
            answer = await pending.answered
        finally:
            self._withdraw(request.number, pending)
        if answer.error is not None:
            raise answer.error
        if out is not None and answer.xxh3 != pending.hash.digest():
            raise FrameCorrupt("the bytes of a chunk changed on their way here")
        return answer

    def _withdraw(self, number: int, pending: _Pending) -> None:
        self._pending.pop(number, None)
        pending.out = None
        if pending.answered.done() and not pending.answered.cancelled():
            pending.answered.exception()  # looked at: the caller may have left before it came
        if self._current is not None and self._current[1] is pending:
            self.set_target(None)

    # --- receiving

    def on_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def on_head(self, header: dict[str, Any], payload_bytes: int) -> memoryview | None:
        answer = decode_answer(header, payload_bytes)
        if self._owed.pop(answer.number, None) is None:
            raise FrameCorrupt("an answer that nobody asked for")
        pending = self._pending.get(answer.number)
        self._current = (answer, pending)
        if pending is None or not payload_bytes:
            return None
        if pending.out is None or len(pending.out) != payload_bytes:
            raise FrameCorrupt("an answer of another size than was asked for")
        return pending.out

    def on_payload_part(self, part: memoryview) -> None:
        if self._current is not None and self._current[1] is not None:
            self._current[1].hash.update(part)

    def on_frame(self) -> None:
        self.answers += 1
        current, self._current = self._current, None
        if current is not None and current[1] is not None and not current[1].answered.done():
            current[1].answered.set_result(current[0])

    def on_lost(self) -> None:
        self.lost = True
        self._current = None
        if not self.ready.done():
            self.ready.set_exception(ConnectionBroken())
            self.ready.exception()  # looked at: the dialer may have left
        for pending in self._pending.values():
            if not pending.answered.done():
                pending.answered.set_exception(ConnectionBroken())
