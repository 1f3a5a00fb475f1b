"""The log's door for the other processes of the node: a unix socket, framed msgpack (wire/frames.py), on the log's
own loop.

Requests are `{"i": id, "op": name, …}`; answers `{"i": id, "ok": true, …}` or `{"i": id, "ok": false, "code": error
class}`.

    propose   payload: one encoded command            -> payload: its encoded outcome
    barrier                                            -> seq
    wait_seq  seq, wait_ms                             -> seq
    status                                             -> the fields of ports.LogStatus
    checkpoint                                         -> index
    change_voters  term, add or remove (a name)        -> {}; only a leader of that term, one change at a time
    hand_over                                          -> {}; another node leads
    digest                                             -> index, digest (of the whole state, made beside the loop)
    metrics                                            -> payload: packed samples (wire/metric_samples.py)

File permissions guard it: the folder is 0700. What arrives is still checked; garbage closes the connection.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fluffy.base.errors import (
    FeatureTooNew,
    FluffyError,
    FrameCorrupt,
    NoLeader,
    NotReady,
    Overloaded,
    PreconditionFailed,
    QuerySyntax,
    QuorumLost,
    TooLarge,
    Unavailable,
)
from fluffy.base.tracing import Trace, are_spans_made, from_wire, start_span
from fluffy.base.units import MIB
from fluffy.core.metadata.commands import FEATURE_LEVEL
from fluffy.core.metadata.commands_members import SetVoters
from fluffy.drivers.raft.group_commit import Answered
from fluffy.drivers.raft.late_proposals import LATE_S, LateProposals
from fluffy.drivers.raft.node import RaftNode
from fluffy.drivers.raft.poller import ERROR, READ, WRITE, EpollPoller
from fluffy.drivers.unix_sockets import listen_unix
from fluffy.wire.frames import LOG_PAYLOAD_BYTES_MAX, Frame, FrameReader, encode_frame
from fluffy.wire.log_entries import COMMAND_BYTES_MAX, level_of

log = logging.getLogger(__name__)

# A node's own processes: gateways, keeper, tools.
CONNECTIONS_MAX = 64
REQUESTS_PER_CONNECTION_MAX = 8192
UNSENT_BYTES_MAX = 32 * MIB
RECEIVE_BYTES = 256 * 1024
WAIT_MS_MAX = 60_000
WAITERS_MAX = 4096
MEMBERS_LEVEL = 3  # the feature level that knows membership entries


class _Client:
    """One connected process."""

    def __init__(self, server: LogServer, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.fd = sock.fileno()
        self.closed = False
        self.open_requests = 0
        self._reader = FrameReader(LOG_PAYLOAD_BYTES_MAX)
        self._out = bytearray()

    def answer(self, header: dict[str, Any], payload: bytes = b"") -> None:
        self.open_requests -= 1
        if self.closed:
            return
        self._out += encode_frame(header, payload)
        if len(self._out) > UNSENT_BYTES_MAX:
            self.server.drop(self, "it does not read its answers")
            return
        self.server.to_flush.add(self)

    def flush(self) -> None:
        if self.closed:
            return
        try:
            sent = self.sock.send(self._out) if self._out else 0
            del self._out[:sent]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.server.drop(self, str(error.strerror))
            return
        self.server.poller.subscribe(self.fd, self.on_ready, READ | (WRITE if self._out else 0))

    def on_ready(self, _fd: int, events: int) -> None:
        if events & WRITE:
            self.flush()
        if self.closed or not events & (READ | ERROR):
            return
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.server.drop(self, str(error.strerror))
            return
        if not data:
            self.server.drop(self, "")
            return
        try:
            for frame in self._reader.feed(data):
                self.server.handle(self, frame)
        except FrameCorrupt as error:
            self.server.drop(self, error.message)


class LogServer:
    """Serves one `RaftNode`; answers leave in each turn before the loop waits for the disk and for messages."""

    def __init__(self, node: RaftNode, poller: EpollPoller, path: Path, *, status: Callable[[], dict[str, Any]],
                 digest: Callable[[Callable[[int, str], None]], None], metrics: Callable[[], bytes]) -> None:
        self.node = node
        self.poller = poller
        self.to_flush: set[_Client] = set()
        self.draining = False
        self.late = LateProposals(node.clock)
        self._status = status
        self._digest = digest
        self._clients: set[_Client] = set()
        self._waiting_seq: list[tuple[int, float, Callable[[dict[str, Any]], None]]] = []
        self._path = path
        self._listener = listen_unix(path)
        poller.subscribe(self._listener.fileno(), self._on_accept, READ)
        node.raft.before_sync = self._send_answers
        self._operations: dict[str, Callable[[Frame, _Reply], None]] = {
            "propose": self._propose, "barrier": self._barrier, "wait_seq": self._wait_seq,
            "change_voters": self._change_voters, "hand_over": self._hand_over,
            "status": lambda _frame, reply: reply(self._status()), "checkpoint": self._checkpoint,
            "digest": lambda _frame, reply: self._digest(
                lambda index, text: reply({"index": index, "digest": text})),
            "metrics": lambda _frame, reply: reply({}, metrics()),
        }

    def _send_answers(self) -> None:
        """Answer who waited for a sequence; write answers out, many per system call."""
        if self._waiting_seq:
            self._look_at_waiters()
        flushing, self.to_flush = self.to_flush, set()
        for client in flushing:
            client.flush()

    def handle(self, client: _Client, frame: Frame) -> None:
        request_id = frame.header.get("i")
        if type(request_id) is not int or not 0 <= request_id < 1 << 53:
            raise FrameCorrupt("a request without a number")
        client.open_requests += 1
        reply = _Reply(client, request_id)
        operation = self._operations.get(str(frame.header.get("op")))
        try:
            if client.open_requests > REQUESTS_PER_CONNECTION_MAX:
                raise Overloaded()
            if operation is None:
                raise QuerySyntax("the log does not know that operation")
            operation(frame, reply)
        except FrameCorrupt:
            raise
        except FluffyError as error:
            reply.refuse(error)

    def drop(self, client: _Client, reason: str) -> None:
        if client.closed:
            return
        client.closed = True
        self.poller.unsubscribe(client.fd)
        client.sock.close()
        self._clients.discard(client)
        if reason:
            log.warning("log.client_dropped", extra={"reason": reason})

    def close(self) -> None:
        for client in list(self._clients):
            client.flush()
            self.drop(client, "")
        self.poller.unsubscribe(self._listener.fileno())
        self._listener.close()
        self._path.unlink(missing_ok=True)

    # -- operations

    def _propose(self, frame: Frame, reply: _Reply) -> None:
        if self.draining:
            raise NotReady("this node is shutting down; ask another peer")
        if len(frame.payload) > COMMAND_BYTES_MAX:
            raise TooLarge(f"one change of the catalog may have at most {COMMAND_BYTES_MAX} bytes")
        try:
            command = self.node.store.check(frame.payload)  # nothing enters the log that apply could not read
        except FeatureTooNew as error:
            raise QuerySyntax("a command of a newer version") from error
        # Nor what another member's program could not: it would have to stop (see services/keeper/lift.py).
        level = self.node.store.machine.feature_level
        if 0 < level < FEATURE_LEVEL and level < level_of(command):
            raise Unavailable("the cluster is being upgraded: this works once every node runs this version of Fluffy",
                              level=level)
        if isinstance(command, SetVoters):
            raise QuerySyntax("who votes is changed by change_voters")
        if not self.node.majority_connected():
            raise QuorumLost()
        began_s = self.node.clock()
        asked = frame.header
        span = start_span("propose", _trace_of(asked), "server") if are_spans_made() else None

        def done(answered: Answered) -> None:
            if span is not None:
                span.end(answered.error or "")
            took_s = self.node.clock() - began_s
            if answered.error is not None or took_s >= LATE_S:
                self.late.note(_trace_of(asked), answered.error, took_s)
            _answer_proposal(reply, answered)

        self.node.proposals.offer(self.node.clocks.stamped(command, frame.payload), done)

    def _barrier(self, _frame: Frame, reply: _Reply) -> None:
        if not self.node.majority_connected():
            raise QuorumLost()

        def done(confirmed: bool) -> None:
            if confirmed:
                reply({"seq": self.node.store.machine.seq})
            else:
                reply.refuse(NoLeader())

        self.node.reads.barrier(done)

    def _wait_seq(self, frame: Frame, reply: _Reply) -> None:
        seq, wait_ms = frame.header.get("seq"), frame.header.get("wait_ms")
        if type(seq) is not int or type(wait_ms) is not int:
            raise QuerySyntax("wait_seq needs seq and wait_ms")
        if len(self._waiting_seq) >= WAITERS_MAX:
            raise Overloaded()
        self._waiting_seq.append((seq, self.node.clock() + min(wait_ms, WAIT_MS_MAX) / 1000, reply))
        self._look_at_waiters()

    def _look_at_waiters(self) -> None:
        seq, now = self.node.store.machine.seq, self.node.clock()
        waiting = self._waiting_seq
        self._waiting_seq = [waiter for waiter in waiting if waiter[0] > seq and waiter[1] > now]
        for waiter in waiting:
            if waiter[0] <= seq or waiter[1] <= now:
                waiter[2]({"seq": seq})

    def _checkpoint(self, _frame: Frame, reply: _Reply) -> None:
        def done(index: int | None) -> None:
            if index is None:
                reply.refuse(NotReady("the checkpoint could not be written; the node's log tells why"))
            else:
                reply({"index": index})

        self.node.checkpoints.request(done)

    def _change_voters(self, frame: Frame, reply: _Reply) -> None:
        term, add, remove = (frame.header.get(name) for name in ("term", "add", "remove"))
        if type(term) is not int or not isinstance(add, str | None) or not isinstance(remove, str | None):
            raise QuerySyntax("change_voters needs term, and add or remove")
        if self.node.store.machine.feature_level < MEMBERS_LEVEL:
            raise Unavailable("the cluster is being upgraded: this works once every node runs this version of Fluffy")

        def done(refusal: str | None) -> None:
            if refusal is None:
                reply({})
            else:
                reply.refuse(PreconditionFailed(refusal))

        self.node.change_voters(term, add=add, remove=remove, done=done)

    def _hand_over(self, _frame: Frame, reply: _Reply) -> None:
        def done(handed: bool) -> None:
            if handed:
                reply({})
            else:
                reply.refuse(NotReady("no other node could take over the lead"))

        self.node.hand_over(done)

    def _on_accept(self, _fd: int, _events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                log.warning("log.accept_failed", extra={"error": error.strerror})
            return
        sock.setblocking(False)
        if len(self._clients) >= CONNECTIONS_MAX:
            sock.close()
            return
        client = _Client(self, sock)
        self._clients.add(client)
        self.poller.subscribe(client.fd, client.on_ready, READ)


class _Reply:
    """Answers one request, once."""

    __slots__ = ("_client", "_request_id")

    def __init__(self, client: _Client, request_id: int) -> None:
        self._client = client
        self._request_id = request_id

    def __call__(self, facts: dict[str, Any], payload: bytes = b"") -> None:
        self._client.answer({"i": self._request_id, "ok": True, **facts}, payload)

    def refuse(self, error: FluffyError) -> None:
        self._client.answer({"i": self._request_id, "ok": False, "code": error.code(), "message": error.message})

    def refuse_code(self, code: str) -> None:
        self._client.answer({"i": self._request_id, "ok": False, "code": code})


def _trace_of(header: dict[str, Any]) -> Trace:
    return from_wire(header.get("q"), header.get("p"))


def _answer_proposal(reply: _Reply, answered: Answered) -> None:
    if answered.outcome is not None:
        reply({}, answered.outcome)
    else:
        reply.refuse_code(str(answered.error))
