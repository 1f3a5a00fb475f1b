"""The connections between the log processes of a cluster: one authenticated TCP stream per pair of nodes.

The node with the greater name dials; the other one too when it waits in vain. After the handshake
(`wire/handshake.py`) every frame is

    u32le body length | mac (16) | body

where the mac is keyed BLAKE3 over a counter and the body, with one key per direction: a frame cannot be forged,
replayed,
reordered or dropped unseen, and nothing is decoded before its mac held. An empty body is a keepalive. `Links` is the
seam
the simulation replaces; the raft transport above it sees names and messages only.
"""

from __future__ import annotations

import errno
import hmac
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from blake3 import blake3

from fluffy.base.checks import invariant
from fluffy.base.errors import FrameCorrupt, StartRefused
from fluffy.drivers.raft.host_names import HostNames
from fluffy.drivers.raft.messages import MESSAGE_BYTES_MAX, Message, decode_message, encode_message
from fluffy.drivers.raft.poller import ERROR, READ, WRITE, EpollPoller
from fluffy.wire.handshake import Handshake, PeerIdentity

log = logging.getLogger(__name__)

MAC_BYTES = 16
FRAME_HEAD = struct.Struct("<I16s")
DIAL_RETRY_S = 0.2
# How long the lesser name waits to be dialed before it dials itself.
STRANGER_DIAL_S = 2.0
HANDSHAKE_DEADLINE_S = 5.0
KEEPALIVE_S = 1.0
LOOK_EVERY_S = 0.02
# Five keepalives lost: after a healed partition a dead stream must not wait for TCP's own retransmission timer.
SILENCE_MAX_S = 6.0
# A peer that takes nothing for long is cut rather than buffered without end; snapshots and backlogs stay below 8 MiB.
BACKLOG_BYTES_MAX = 32 * 1024 * 1024
# Strangers hold at most this many connections, each for at most the handshake deadline.
UNPROVEN_CONNECTIONS_MAX = 64
RECEIVE_BYTES = 1024 * 1024
READS_PER_EVENT_MAX = 8
BUFFERS_PER_SEND_MAX = 64
# The same complaint about the same peer is logged once a minute, not at every attempt.
COMPLAINT_EVERY_S = 60.0

invariant(SILENCE_MAX_S > 3 * KEEPALIVE_S, "a few lost keepalives do not cut a stream")


class LinkEvents(Protocol):
    """Who is told: the raft transport."""

    def link_up(self, name: str) -> None: ...
    def link_down(self, name: str) -> None: ...
    def link_message(self, name: str, message: Message) -> None: ...


class Links(Protocol):
    """Streams to the other members, in order and without gaps while a link is up; silence when it is down."""

    def start(self, events: LinkEvents) -> None: ...
    def add_peer(self, name: str) -> None: ...
    def drop_peer(self, name: str) -> None: ...
    def send(self, name: str, message: Message) -> bool: ...
    def backlog_bytes(self, name: str) -> int: ...
    def disk_of(self, name: str) -> str:
        """The disk at the other end of a link, as proven; '' while it is down, or where nobody tells disks apart."""
    def tick(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """`admit` looks at a proven identity and gives a sentence why it may not talk to us, or None. `is_gone`: whether
    it is refused for ever, and should end itself.
    """

    me: Callable[[], PeerIdentity]
    key: bytes
    bind: tuple[str, int]
    address_of: Callable[[str], tuple[str, int] | None]  # None: nobody has said where it is yet
    admit: Callable[[PeerIdentity], str | None]
    clock: Callable[[], float]
    is_gone: Callable[[PeerIdentity], bool] = lambda _peer: False
    names: HostNames | None = None  # None: as the system finds them


class _Stream:
    """One socket: handshake, then frames both ways."""

    def __init__(self, owner: TcpLinks, sock: socket.socket, handshake: Handshake, dialed: str | None) -> None:
        self.owner = owner
        self.sock = sock
        self.fd = sock.fileno()
        self.handshake = handshake
        self.dialed = dialed
        self.name: str | None = None
        self.now = owner.settings.clock
        self.opened_s = self.heard_s = self.spoke_s = self.now()
        self.closed = False
        self.connecting = dialed is not None
        self.out: deque[bytes] = deque()
        self.out_bytes = 0
        self._in = bytearray()  # the beginning of a frame whose end has not come
        self._needed = 0  # bytes of it before there is more to see
        self._sent = self._received = 0
        self._send_key = self._receive_key = b""

    def send(self, body: bytes) -> None:
        mac = _mac(self._send_key, self._sent, body)
        self._sent += 1
        self.push(FRAME_HEAD.pack(len(body), mac))
        if body:
            self.push(body)
        self.spoke_s = self.now()
        self.flush()

    def push(self, data: bytes) -> None:
        self.out.append(data)
        self.out_bytes += len(data)

    def flush(self) -> None:
        if self.connecting or self.closed:
            return
        try:
            while self.out:
                self._consumed(self.sock.sendmsg(islice(self.out, BUFFERS_PER_SEND_MAX)))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.owner.lose(self, f"send failed: {error.strerror}")
            return
        self.owner.poller.subscribe(self.fd, self.on_ready, READ | (WRITE if self.out else 0))

    def _consumed(self, sent: int) -> None:
        self.out_bytes -= sent
        while sent:
            head = self.out[0]
            if sent < len(head):
                self.out[0] = head[sent:]
                return
            sent -= len(head)
            self.out.popleft()

    def on_ready(self, _fd: int, events: int) -> None:
        if self.connecting:
            failure = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failure or events & ERROR:
                self.owner.lose(self, "connect failed")
                return
            self.connecting = False
        if events & (READ | ERROR):
            self._receive()
        if not self.closed and events & WRITE:
            self.flush()

    def _receive(self) -> None:
        for _ in range(READS_PER_EVENT_MAX):
            try:
                count = self.sock.recv_into(self.owner.received)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.owner.lose(self, f"receive failed: {error.strerror}")
                return
            if not count:
                self.owner.lose(self, "closed by the other side")
                return
            self.heard_s = self.now()
            try:
                self._take(self.owner.received[:count])
            except FrameCorrupt as error:
                self.owner.lose(self, error.message, suspicious=True)
            if self.closed or count < RECEIVE_BYTES // 4:
                return

    def _take(self, data: memoryview) -> None:
        """`data` is overwritten by what comes next: what is needed longer is copied, or decoded."""
        if not self.handshake.done:
            answer = self.handshake.receive(data)
            if answer:
                self.push(answer)
                self.flush()
            if self.closed or not self.handshake.done:
                return
            self._send_key, self._receive_key = self.handshake.send_key, self.handshake.receive_key
            data = memoryview(self.handshake.leftover)
            self.owner.proven(self)
        if not self._in:
            self._in += data[self._cut_frames(data):]
            return
        self._in += data
        if len(self._in) >= self._needed:
            with memoryview(self._in) as view:
                end = self._cut_frames(view)
            del self._in[:end]

    def _cut_frames(self, data: memoryview) -> int:
        """Deliver the whole frames of `data`; where the last of them ends."""
        start, size = 0, len(data)
        self._needed = FRAME_HEAD.size
        while not self.closed and size - start >= FRAME_HEAD.size:
            length, mac = FRAME_HEAD.unpack_from(data, start)
            if length > MESSAGE_BYTES_MAX:
                raise FrameCorrupt("a raft frame is too long")
            end = start + FRAME_HEAD.size + length
            if size < end:
                self._needed = end - start
                break
            body = data[start + FRAME_HEAD.size:end]
            start = end
            number = self._received
            self._received += 1
            if not hmac.compare_digest(_mac(self._receive_key, number, body), mac):
                raise FrameCorrupt("a raft frame does not match its mac")
            if length:
                self.owner.deliver(self, decode_message(body))
        return start


def _mac(key: bytes, number: int, body: bytes | memoryview) -> bytes:
    return blake3(number.to_bytes(8, "little"), key=key).update(body).digest(MAC_BYTES)


def _listen(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        return socket.create_server(address, family=family, backlog=64)
    except OSError as error:
        raise StartRefused(f"the raft port {address[0]}:{address[1]} cannot be used ({error.strerror}): another "
                           "process has it, or the address is not this machine's") from error


class TcpLinks:
    """The real `Links`, on this process's poller. Single-threaded: all calls from the log process's loop."""

    def __init__(self, settings: LinkSettings, poller: EpollPoller) -> None:
        self.settings = settings
        self.poller = poller
        self.refusals: dict[str, str] = {}
        self.gone: str | None = None  # a member's word that this node was removed, and may never come back
        self._events: LinkEvents | None = None
        self._peers: set[str] = set()
        self._streams: set[_Stream] = set()
        self._up: dict[str, _Stream] = {}
        self._dialed_s: dict[str, float] = {}
        self._missed_s: dict[str, float] = {}
        self._complained_s: dict[str, float] = {}
        self._next_look_s = 0.0
        self._names = settings.names or HostNames(settings.clock)
        self.received = memoryview(bytearray(RECEIVE_BYTES))  # of the stream that is being read
        self._listener = _listen(settings.bind)
        self._listener.setblocking(False)
        poller.subscribe(self._listener.fileno(), self._on_accept, READ)

    def start(self, events: LinkEvents) -> None:
        self._events = events

    def add_peer(self, name: str) -> None:
        self._peers.add(name)

    def drop_peer(self, name: str) -> None:
        self._peers.discard(name)
        self._missed_s.pop(name, None)
        self.refusals.pop(name, None)
        stream = self._up.get(name)
        if stream is not None:
            self.lose(stream, "no longer a member")

    def send(self, name: str, message: Message) -> bool:
        stream = self._up.get(name)
        if stream is None:
            return False
        if stream.out_bytes > BACKLOG_BYTES_MAX:
            self.lose(stream, "the peer does not read")
            return False
        stream.send(encode_message(message))
        return not stream.closed

    def backlog_bytes(self, name: str) -> int:
        stream = self._up.get(name)
        return stream.out_bytes if stream is not None else 0

    def disk_of(self, name: str) -> str:
        peer = self.identity_of(name)
        return peer.disk_uuid if peer is not None else ""

    def identity_of(self, name: str) -> PeerIdentity | None:
        """Who is at the other end of the link, as proven; None while it is down."""
        stream = self._up.get(name)
        return stream.handshake.peer if stream is not None else None

    def tick(self) -> None:
        """Dial who is missing, speak on silent links, cut the dead. Call a few times a second or more."""
        now = self.settings.clock()
        if now < self._next_look_s:
            return
        self._next_look_s = now + LOOK_EVERY_S
        for name in sorted(self._peers):
            if self._should_dial(name, now) and not any(stream.dialed == name for stream in self._streams):
                self._dialed_s[name] = now
                self._dial(name)
        for stream in sorted(self._streams, key=lambda item: item.fd):
            if stream.name is None:
                if now - stream.opened_s > HANDSHAKE_DEADLINE_S:
                    self.lose(stream, "no handshake in time")
            elif now - stream.heard_s > SILENCE_MAX_S:
                self.lose(stream, "silent")
            elif now - stream.spoke_s > KEEPALIVE_S:
                stream.send(b"")

    def _should_dial(self, name: str, now: float) -> bool:
        """The greater name dials. The other one does when nothing has come for a while: it may not be known there yet.
        """
        if name in self._up:
            self._missed_s.pop(name, None)
            return False
        missed_s = self._missed_s.setdefault(name, now)
        if self.settings.me().name < name and now - missed_s < STRANGER_DIAL_S:
            return False
        return now - self._dialed_s.get(name, -1e9) > DIAL_RETRY_S

    def close(self) -> None:
        self._events = None
        for stream in list(self._streams):
            self.lose(stream, "shutting down")
        self.poller.unsubscribe(self._listener.fileno())
        self._listener.close()

    def proven(self, stream: _Stream) -> None:
        """The handshake of `stream` is complete: admit the peer, or tell it why not."""
        peer = stream.handshake.peer
        invariant(peer is not None, "a finished handshake has a peer")
        assert peer is not None
        reason = self.settings.admit(peer)
        if stream.dialed is not None and peer.name != stream.dialed:
            reason = f"dialed {stream.dialed}, but {peer.name} answered: check the addresses"
        if reason is not None:
            gone = {"gone": True} if self.settings.is_gone(peer) else {}
            stream.send(encode_message({"type": "refused", "reason": reason} | gone))
            self.lose(stream, reason, suspicious=True)
            return
        old = self._up.get(peer.name)
        if old is not None:
            self.lose(old, "replaced by a new connection")
        stream.name = peer.name
        self._up[peer.name] = stream
        self.refusals.pop(peer.name, None)
        log.info("raft.link_up", extra={"peer": peer.name})
        if self._events is not None:
            self._events.link_up(peer.name)

    def deliver(self, stream: _Stream, message: Message) -> None:
        if message["type"] == "refused":
            name = stream.name or stream.dialed or "?"
            self.refusals[name] = message["reason"]
            if message.get("gone"):
                self.gone = message["reason"]
            self.lose(stream, f"refused by {name}: {message['reason']}", suspicious=True)
        elif stream.name is not None and self._events is not None:
            self._events.link_message(stream.name, message)

    def lose(self, stream: _Stream, reason: str, *, suspicious: bool = False) -> None:
        """Close a stream, for good; tells the transport when it was an admitted link."""
        if stream.closed:
            return
        stream.closed = True
        self._streams.discard(stream)
        self.poller.unsubscribe(stream.fd)
        stream.sock.close()
        name = stream.name
        if suspicious:
            self._complain(name or stream.dialed or "unknown", reason)
        if name is not None and self._up.get(name) is stream:
            del self._up[name]
            log.info("raft.link_down", extra={"peer": name, "reason": reason})
            if self._events is not None:
                self._events.link_down(name)

    def _complain(self, peer: str, reason: str) -> None:
        now = self.settings.clock()
        if now - self._complained_s.get(reason, -1e9) > COMPLAINT_EVERY_S:
            if len(self._complained_s) > 100:
                self._complained_s.clear()
            self._complained_s[reason] = now
            log.warning("raft.link_refused", extra={"peer": peer, "reason": reason})

    def _dial(self, name: str) -> None:
        address = self.settings.address_of(name)
        place = None if address is None else self._names.place_of(*address)
        if place is None:
            return
        family, sockaddr = place
        sock = socket.socket(family)
        self._prepare(sock)
        try:
            sock.connect(sockaddr)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                sock.close()
                return
        stream = _Stream(self, sock, Handshake("dial", self.settings.key, self.settings.me()), dialed=name)
        self._streams.add(stream)
        self.poller.subscribe(stream.fd, stream.on_ready, READ | WRITE)

    def _on_accept(self, _fd: int, _events: int) -> None:
        """Take one waiting connection. A failed accept (EMFILE, ECONNABORTED) is tried again at the next event."""
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                log.warning("raft.accept_failed", extra={"error": error.strerror})
            return
        if sum(stream.name is None for stream in self._streams) >= UNPROVEN_CONNECTIONS_MAX:
            sock.close()
            return
        self._prepare(sock)
        stream = _Stream(self, sock, Handshake("accept", self.settings.key, self.settings.me()), dialed=None)
        self._streams.add(stream)
        stream.push(stream.handshake.start())
        stream.flush()

    @staticmethod
    def _prepare(sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
