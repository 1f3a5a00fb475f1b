"""Links between members: proven, in order, or not at all."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fluffy.drivers.raft import links as links_module
from fluffy.drivers.raft.host_names import HostNames, Place, numeric
from fluffy.drivers.raft.links import FRAME_HEAD, LinkSettings, TcpLinks
from fluffy.drivers.raft.messages import MESSAGE_BYTES_MAX, Message
from fluffy.drivers.raft.poller import EpollPoller
from fluffy.wire.handshake import Handshake, PeerIdentity, derive_key

KEY = derive_key(b"s" * 32, "raft")


class Recorder:
    def __init__(self) -> None:
        self.events: list[object] = []

    def link_up(self, name: str) -> None:
        self.events.append(("up", name))

    def link_down(self, name: str) -> None:
        self.events.append(("down", name))

    def link_message(self, name: str, message: Message) -> None:
        self.events.append((name, message))


class Pair:
    """`two` dials `one`; both run on one poller in this thread."""

    def __init__(self) -> None:
        self.poller = EpollPoller()
        self.ports: dict[str, int] = {}
        self.offset_s = 0.0
        self.links: dict[str, TcpLinks] = {}
        self.seen = {name: Recorder() for name in ("one", "two")}
        self.host = "127.0.0.1"
        self.names: HostNames | None = None

    def clock(self) -> float:
        return time.monotonic() + self.offset_s

    def add(self, name: str, key: bytes = KEY,
            admit: Callable[[PeerIdentity], str | None] = lambda _peer: None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.ports[name] = probe.getsockname()[1]
        settings = LinkSettings(
            me=lambda: PeerIdentity(name, f"disk-{name}", "cluster"), key=key, bind=("127.0.0.1", self.ports[name]),
            address_of=lambda peer: (self.host, self.ports.get(peer, 1)), admit=admit, clock=self.clock,
            names=self.names)
        self.links[name] = TcpLinks(settings, self.poller)
        self.links[name].start(self.seen[name])
        for other in {"one", "two"} - {name}:
            self.links[name].add_peer(other)

    def run(self, until: Callable[[], bool], seconds: float = 5.0) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for each in self.links.values():
                each.tick()
            self.poller.poll(0.005)
            if until():
                return True
        return False

    def up(self) -> bool:
        return ("up", "one") in self.seen["two"].events and ("up", "two") in self.seen["one"].events

    def close(self) -> None:
        for each in self.links.values():
            each.close()
        self.poller.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_messages_arrive_whole_and_in_order_both_ways(pair: Pair) -> None:
    pair.add("one")
    pair.add("two")
    assert pair.run(pair.up)
    sizes = (1, 70_000, 1_500_000)
    sent = [{"type": "apply_command", "command": os.urandom(size), "request_id": size} for size in sizes]
    for message in sent:
        assert pair.links["one"].send("two", message)
        assert pair.links["two"].send("one", message)
    assert pair.run(lambda: all(len(seen.events) == 4 for seen in pair.seen.values()))
    for peer, seen in (("one", pair.seen["two"]), ("two", pair.seen["one"])):
        assert [event for event in seen.events if isinstance(event, tuple) and event[0] == peer] == [
            (peer, message) for message in sent]


def test_a_name_server_that_keeps_silent_stops_no_tick(pair: Pair) -> None:
    answers = threading.Event()

    def resolve(_host: str, port: int) -> list[Place]:
        assert answers.wait(10)
        found = numeric("127.0.0.1", port)
        assert found is not None
        return [found]

    pair.host, pair.names = "one.example", HostNames(pair.clock, resolve)
    pair.add("one")
    pair.add("two")
    longest_s, end_s = 0.0, time.monotonic() + 0.5
    while (began_s := time.monotonic()) < end_s:
        pair.run(lambda: True)
        longest_s = max(longest_s, time.monotonic() - began_s)
    assert longest_s < 0.4 and not pair.up()
    answers.set()
    assert pair.run(pair.up)


def test_another_secret_gets_no_link(pair: Pair) -> None:
    pair.add("one")
    pair.add("two", key=derive_key(b"x" * 32, "raft"))
    assert not pair.run(lambda: any(seen.events for seen in pair.seen.values()), seconds=0.7)


def test_a_refused_peer_is_told_why(pair: Pair) -> None:
    pair.add("one", admit=lambda peer: f"the disk {peer.disk_uuid} is not known")
    pair.add("two")
    assert pair.run(lambda: "one" in pair.links["two"].refusals)
    assert "disk-two is not known" in pair.links["two"].refusals["one"]
    assert pair.seen["one"].events == []


def test_a_silent_link_is_cut_and_dialed_anew(pair: Pair) -> None:
    pair.add("one")
    pair.add("two")
    assert pair.run(pair.up)
    pair.offset_s += links_module.SILENCE_MAX_S + 1
    assert pair.run(lambda: ("down", "one") in pair.seen["two"].events)
    pair.seen["one"].events.clear()
    pair.seen["two"].events.clear()
    assert pair.run(pair.up)


def test_keepalives_hold_an_idle_link(pair: Pair) -> None:
    pair.add("one")
    pair.add("two")
    assert pair.run(pair.up)
    for _ in range(10):
        pair.offset_s += links_module.KEEPALIVE_S + 0.1
        pair.run(lambda: False, seconds=0.05)
    assert ("down", "two") not in pair.seen["one"].events and ("down", "one") not in pair.seen["two"].events


def stranger(pair: Pair) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", pair.ports["one"]))
    sock.setblocking(False)
    return sock


def closed(sock: socket.socket) -> bool:
    try:
        while data := sock.recv(4096):
            del data
        return True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x80\x04\x95" * 100, os.urandom(5000),
                                  b"FLUFFY\x00\x01" + b"x" * 900])
def test_garbage_before_the_handshake_closes_the_connection(pair: Pair, data: bytes) -> None:
    pair.add("one")
    with stranger(pair) as sock:
        sock.send(data)
        assert pair.run(lambda: closed(sock))
    assert pair.seen["one"].events == []


def test_a_connection_that_says_nothing_is_closed_at_the_deadline(pair: Pair) -> None:
    pair.add("one")
    with stranger(pair) as sock:
        pair.run(lambda: False, seconds=0.05)
        assert not closed(sock)
        pair.offset_s += links_module.HANDSHAKE_DEADLINE_S + 1
        assert pair.run(lambda: closed(sock))


def test_strangers_cannot_hold_more_than_their_share_of_connections(pair: Pair) -> None:
    pair.add("one")
    socks = []
    for _ in range(links_module.UNPROVEN_CONNECTIONS_MAX + 8):
        socks.append(stranger(pair))
        pair.run(lambda: False, seconds=0.01)
    pair.run(lambda: False, seconds=0.2)
    assert sum(closed(sock) for sock in socks) >= 8
    pair.offset_s += links_module.HANDSHAKE_DEADLINE_S + 1
    pair.add("two")
    assert pair.run(pair.up), "members get in once the strangers' deadline has passed"
    for sock in socks:
        sock.close()


def proven_stranger(pair: Pair) -> tuple[socket.socket, Handshake]:
    """A connection which knows the secret and says it is `two`, for sending bad frames."""
    sock = stranger(pair)
    handshake = Handshake("dial", KEY, PeerIdentity("two", "disk-two", "cluster"))

    def step() -> bool:
        try:
            sock.send(handshake.receive(sock.recv(4096)))
        except BlockingIOError:
            pass
        return handshake.done

    assert pair.run(step)
    assert pair.run(lambda: ("up", "two") in pair.seen["one"].events)
    return sock, handshake


@pytest.mark.parametrize("frame", [
    FRAME_HEAD.pack(10, b"m" * 16) + b"x" * 10,
    FRAME_HEAD.pack(0, b"m" * 16),
    FRAME_HEAD.pack(MESSAGE_BYTES_MAX + 1, b"m" * 16),
    FRAME_HEAD.pack(0xFFFFFFFF, b"m" * 16),
], ids=["wrong mac", "wrong mac of a keepalive", "too long", "enormous"])
def test_a_frame_that_is_not_ours_cuts_the_link_before_anything_is_decoded(pair: Pair, frame: bytes) -> None:
    pair.add("one")
    sock, _ = proven_stranger(pair)
    with sock:
        sock.send(frame)
        assert pair.run(lambda: closed(sock))
    assert pair.seen["one"].events == [("up", "two"), ("down", "two")]


@pytest.mark.parametrize("piece", [1, 19, 21, 700])
def test_frames_arrive_whole_in_whatever_pieces_they_come(pair: Pair, piece: int) -> None:
    pair.add("one")
    sock, handshake = proven_stranger(pair)
    messages = [{"type": "apply_command", "command": bytes([size % 251]) * size} for size in (1, 300, 2, 3)]
    bodies = [links_module.encode_message(message) for message in messages]
    stream = b"".join(FRAME_HEAD.pack(len(body), links_module._mac(handshake.send_key, number, body)) + body
                      for number, body in enumerate(bodies))
    with sock:
        for at in range(0, len(stream), piece):
            sock.send(stream[at:at + piece])
            pair.poller.poll(0.001)
        assert pair.run(lambda: len(pair.seen["one"].events) == 1 + len(messages))
    assert pair.seen["one"].events[1:] == [("two", message) for message in messages]
