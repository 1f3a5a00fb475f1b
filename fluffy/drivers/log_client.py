"""The log, as gateways and the keeper of the same node see it: `ports.MetadataLog` over the unix socket.

One connection, many requests at once. What was sent and not answered when the connection breaks (the log process
restarts) is asked
again with the same bytes, and so with the same request id, until the caller's deadline; the state machine knows
repeats.
"""

from __future__ import annotations

import asyncio
import functools
import math
import random
from pathlib import Path
from typing import Any, cast

from fluffy.base.deadline import Deadline
from fluffy.base.errors import (
    DeadlineExceeded,
    FluffyError,
    FrameCorrupt,
    NoLeader,
    NotReady,
    ProposalLost,
    QuorumLost,
    error_for,
)
from fluffy.base.tracing import Asking, to_wire
from fluffy.core.metadata.commands import Command
from fluffy.core.metadata.outcomes import Accepted
from fluffy.drivers.unix_sockets import short_address
from fluffy.ports import LogStatus, PeerLag
from fluffy.wire.frames import LOG_PAYLOAD_BYTES_MAX, Frame, FrameReader, encode_frame
from fluffy.wire.log_entries import decode_outcome, encode_command
from fluffy.wire.metric_samples import Samples, unpack_samples

# Between two attempts of one request: short, because an election takes about a second.
RETRY_MIN_S = 0.02
RETRY_MAX_S = 0.2
# While links to a majority are down there is no point in waiting for the whole deadline; but a restart takes a moment.
QUORUM_PATIENCE_S = 1.5
# How long a strong read waits for an election to end before it is told that there is no leader.
BARRIER_PATIENCE_S = 2.0
# The log process itself ends the wait for a sequence; its answer gets a little longer.
WAIT_SEQ_MAX_S = 30.0
WAIT_SEQ_GRACE_S = 1.0
# Deadlines of requests are looked at together: a timer for each would cost a twentieth of a small put.
SWEEP_EVERY_S = 0.05


class _Connection(asyncio.Protocol):
    """One socket to the log process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, tuple[asyncio.Future[Frame], float]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._reader = FrameReader(LOG_PAYLOAD_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._last_id = 0
        self._readers: list[asyncio.Future[Frame]] = []
        self._round_flying = False
        self.lost = False
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are not of that class

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._reader.feed(data)
        except FrameCorrupt:
            self.close()
            return
        for frame in frames:
            asked = self._waiting.pop(int(frame.header.get("i", -1)), None)
            if asked is not None and not asked[0].done():
                asked[0].set_result(frame)

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost = True
        self.gone.set()
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(ProposalLost("the node's log process went away"))

    def ask(self, header: dict[str, Any], payload: bytes, until_s: float) -> tuple[int, asyncio.Future[Frame]]:
        """Send a request with the next number; requests of one loop turn leave in one write.

        The future raises TimeoutError at `until_s` of the loop's clock, or a moment later.
        """
        self._last_id += 1
        future: asyncio.Future[Frame] = self._loop.create_future()
        self._waiting[self._last_id] = future, until_s
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_EVERY_S, self._sweep)
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(encode_frame({"i": self._last_id, **header}, payload))
        return self._last_id, future

    def forget(self, request_id: int) -> None:
        """Nobody waits for that answer any more."""
        self._waiting.pop(request_id, None)

    def _sweep(self) -> None:
        now_s = self._loop.time()
        for future, until_s in self._waiting.values():
            if until_s <= now_s and not future.done():
                future.set_exception(TimeoutError())
        self._sweeper = self._loop.call_later(SWEEP_EVERY_S, self._sweep) if self._waiting else None

    def barrier(self) -> asyncio.Future[Frame]:
        """Take part in the next barrier round: one serves all who asked before it was sent."""
        reader: asyncio.Future[Frame] = self._loop.create_future()
        self._readers.append(reader)
        if not self._round_flying:
            self._round_flying = True
            self._loop.call_soon(self._send_round)
        return reader

    def _send_round(self) -> None:
        readers, self._readers = self._readers, []
        _, asked = self.ask({"op": "barrier"}, b"", math.inf)
        if self.lost:
            asked.set_exception(ProposalLost("the node's log process went away"))
        asked.add_done_callback(functools.partial(self._round_done, readers))

    def _round_done(self, readers: list[asyncio.Future[Frame]], asked: asyncio.Future[Frame]) -> None:
        self._round_flying = False
        error = asked.exception()
        for reader in readers:
            if reader.done():
                continue
            if error is not None:
                reader.set_exception(error)
            else:
                reader.set_result(asked.result())
        if self._readers:
            self._round_flying = True
            self._send_round()

    def _send(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        if self._transport is not None and not self.lost:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class LogClient:
    """`await close()` when done. Safe for many tasks of one loop."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            await self._connection.gone.wait()

    async def propose(self, command: Command, deadline: Deadline) -> Accepted:
        payload = encode_command(command)
        with Asking("log propose") as trace:
            frame = await self._persist({"op": "propose", **to_wire(trace)}, payload, deadline)
        outcome = decode_outcome(frame.payload)
        if isinstance(outcome, Accepted):
            return outcome
        raise error_for(outcome.code, outcome.message, **outcome.facts)

    async def barrier(self, deadline: Deadline) -> int:
        """See `ports.MetadataLog.barrier`. One round is in flight; who comes meanwhile shares the next."""
        patience = deadline.at_most(BARRIER_PATIENCE_S)
        pause_s = RETRY_MIN_S
        while True:
            try:
                async with asyncio.timeout(patience.left_s):
                    connection = await self._connect()
                    return int(_checked(await connection.barrier()).header["seq"])
            except (NoLeader, NotReady, ProposalLost) as error:
                if patience.left_s <= pause_s:
                    raise NoLeader() from error
            except TimeoutError as error:
                raise NoLeader() from error
            await asyncio.sleep(pause_s)
            pause_s = min(RETRY_MAX_S, pause_s * random.uniform(1.2, 2.0))

    async def wait_seq(self, seq: int, deadline: Deadline) -> int:
        wait_s = min(deadline.left_s, WAIT_SEQ_MAX_S)
        frame = await self._once({"op": "wait_seq", "seq": seq, "wait_ms": int(wait_s * 1000)}, b"",
                                 Deadline.after(wait_s + WAIT_SEQ_GRACE_S))
        reached = int(_checked(frame).header["seq"])
        if reached < seq:
            raise NotReady(f"this node has applied {reached} of the awaited {seq}; ask another peer")
        return reached

    async def status(self, deadline: Deadline) -> LogStatus:
        fields = dict(_checked(await self._once({"op": "status"}, b"", deadline)).header)
        peers = tuple(PeerLag(*peer) for peer in fields["peers"])
        names = LogStatus.__dataclass_fields__
        known = {name: fields[name] for name in names if name != "peers"}
        return LogStatus(**known | {"members": tuple(fields["members"]), "peers": peers})

    async def checkpoint(self, deadline: Deadline) -> int:
        return int(_checked(await self._once({"op": "checkpoint"}, b"", deadline)).header["index"])

    async def change_voters(self, deadline: Deadline, *, term: int, add: str | None = None,
                            remove: str | None = None) -> None:
        """See `ports.VotersLog`."""
        _checked(await self._once({"op": "change_voters", "term": term, "add": add, "remove": remove}, b"", deadline))

    async def hand_over(self, deadline: Deadline) -> None:
        """See `ports.VotersLog`."""
        _checked(await self._once({"op": "hand_over"}, b"", deadline))

    async def digest(self, deadline: Deadline) -> tuple[int, str]:
        """(log index, digest of the whole state at it): for comparing nodes."""
        header = _checked(await self._once({"op": "digest"}, b"", deadline)).header
        return int(header["index"]), str(header["digest"])

    async def metrics(self, deadline: Deadline) -> Samples:
        """What the log process has counted."""
        return unpack_samples(_checked(await self._once({"op": "metrics"}, b"", deadline)).payload)

    # -- inside

    async def _persist(self, header: dict[str, Any], payload: bytes, deadline: Deadline) -> Frame:
        """Ask until there is an answer other than "no leader now", or until the deadline."""
        pause_s = RETRY_MIN_S
        quorum_lost_s = 0.0
        maybe_done = False
        while True:
            try:
                return _checked(await self._once(header, payload, deadline))
            except ProposalLost:
                maybe_done = True
                failure: FluffyError = ProposalLost()
            except (NoLeader, QuorumLost, NotReady) as error:
                failure = error
            if isinstance(failure, QuorumLost):
                quorum_lost_s += pause_s
            if deadline.left_s <= pause_s or quorum_lost_s > QUORUM_PATIENCE_S:
                raise ProposalLost() if maybe_done and payload else failure
            await asyncio.sleep(pause_s)
            pause_s = min(RETRY_MAX_S, pause_s * random.uniform(1.2, 2.0))

    async def _once(self, header: dict[str, Any], payload: bytes, deadline: Deadline) -> Frame:
        try:
            connection = self._connection
            if connection is None or connection.lost:
                async with asyncio.timeout(deadline.left_s):
                    connection = await self._connect()
            request_id, future = connection.ask(header, payload, deadline.at_s)
            try:
                return await future
            finally:
                connection.forget(request_id)
        except TimeoutError as error:
            raise (ProposalLost() if payload else DeadlineExceeded()) from error
        except ProposalLost as error:
            if payload:
                raise
            raise NotReady("the node's log process went away") from error

    async def _connect(self) -> _Connection:
        if self._connection is not None and not self._connection.lost:
            return self._connection
        async with self._connecting:
            if self._connection is None or self._connection.lost:
                self._connection = await self._dial()
            return self._connection

    async def _dial(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            with short_address(self._path) as address:
                _, connection = await loop.create_unix_connection(_Connection, address)
        except OSError as error:
            raise NotReady("the node's log process is not running yet") from error
        return connection


def _checked(frame: Frame) -> Frame:
    if frame.header.get("ok") is not True:
        raise error_for(str(frame.header.get("code")), frame.header.get("message"))
    return frame
