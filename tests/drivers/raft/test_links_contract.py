"""What the raft transport relies on in its links, asked of the real ones and of the simulated ones."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from fluffy.drivers.raft.links import Links, LinkSettings, TcpLinks
from fluffy.drivers.raft.messages import Message
from fluffy.drivers.raft.poller import EpollPoller
from fluffy.sim.clock import World
from fluffy.sim.network import NetworkTimes, SimLinks, SimNetwork
from fluffy.wire.handshake import PeerIdentity, derive_key

NAMES = ("one", "two")


class Heard:
    """What one side is told, in order."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def link_up(self, name: str) -> None:
        self.events.append("up")

    def link_down(self, name: str) -> None:
        self.events.append("down")

    def link_message(self, name: str, message: Message) -> None:
        self.events.append(message)


class Pair(Protocol):
    links: dict[str, Links]
    heard: dict[str, Heard]

    def add(self, name: str) -> None: ...
    def run(self, until: Callable[[], bool], seconds: float = 5.0) -> bool: ...
    def close(self) -> None: ...


class TcpPair:
    """Two real ends on loopback."""

    def __init__(self) -> None:
        self.poller = EpollPoller()
        self.links: dict[str, Links] = {}
        self.heard: dict[str, Heard] = {}
        self.ports = {name: _free_port() for name in NAMES}

    def add(self, name: str) -> None:
        settings = LinkSettings(
            me=lambda: PeerIdentity(name, f"disk-{name}", "cluster"), key=derive_key(b"s" * 32, "raft"),
            bind=("127.0.0.1", self.ports[name]), address_of=lambda peer: ("127.0.0.1", self.ports[peer]),
            admit=lambda _peer: None, clock=time.monotonic)
        self.links[name] = TcpLinks(settings, self.poller)
        self.heard[name] = Heard()

    def run(self, until: Callable[[], bool], seconds: float = 5.0) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for each in self.links.values():
                each.tick()
            self.poller.poll(0.005)
            if until():
                return True
        return False

    def close(self) -> None:
        for each in self.links.values():
            each.close()
        self.poller.close()


class SimPair:
    """Two ends on the simulated network."""

    def __init__(self) -> None:
        self.world = World(1)
        self.network = SimNetwork(self.world, NetworkTimes(0.001, 0.01, 0.0, 0.0), self._wake)
        self.links: dict[str, Links] = {}
        self.heard: dict[str, Heard] = {}

    def add(self, name: str) -> None:
        self.links[name] = self.network.attach(name)
        self.heard[name] = Heard()

    def _wake(self, name: str) -> None:
        links = self.links.get(name)
        if isinstance(links, SimLinks):
            self.world.after(0.0, links.deliver)

    def run(self, until: Callable[[], bool], seconds: float = 5.0) -> bool:
        self.world.run_until(self.world.now_s + seconds, until)
        return until()

    def close(self) -> None:
        for each in self.links.values():
            each.close()


@pytest.fixture(params=[TcpPair, SimPair])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    made: Pair = request.param()
    for name in NAMES:
        start(made, name)
    assert made.run(lambda: all("up" in heard.events for heard in made.heard.values()))
    yield made
    made.close()


def start(pair: Pair, name: str) -> None:
    pair.add(name)
    pair.links[name].start(pair.heard[name])
    for other in NAMES:
        if other != name:
            pair.links[name].add_peer(other)


def number(value: int) -> Message:
    return {"type": "higher_term", "term": value}


def test_both_sides_are_told_once_that_a_link_is_up(pair: Pair) -> None:
    assert not pair.run(lambda: any(heard.events != ["up"] for heard in pair.heard.values()), seconds=0.3)


def test_messages_come_in_order_and_as_they_were_when_sent(pair: Pair) -> None:
    message = {"type": "append_entries", "term": 1, "commit_index": 0, "seq": 1, "prevLogIdx": 1, "prevLogTerm": 0,
               "entries": [(b"a", 2, 1)]}
    assert pair.links["one"].send("two", message)
    message["entries"] = []
    for value in range(50):
        assert pair.links["one"].send("two", number(value))
        assert pair.links["two"].send("one", number(value))
    assert pair.run(lambda: len(pair.heard["two"].events) == 52 and len(pair.heard["one"].events) == 51)
    assert pair.heard["one"].events == ["up", *map(number, range(50))]
    assert pair.heard["two"].events[1]["entries"] == ((b"a", 2, 1),)
    assert pair.heard["two"].events[2:] == list(map(number, range(50)))
    assert pair.links["one"].backlog_bytes("two") == 0


def test_nobody_gets_what_is_sent_to_a_stranger(pair: Pair) -> None:
    assert not pair.links["one"].send("three", number(1))
    assert pair.links["one"].backlog_bytes("three") == 0


def test_the_end_of_one_side_is_told_to_the_other_once_and_a_new_start_is_a_new_link(pair: Pair) -> None:
    pair.links["two"].send("one", number(1))
    pair.links["two"].close()
    assert pair.run(lambda: "down" in pair.heard["one"].events)
    assert not pair.links["one"].send("two", number(2))
    start(pair, "two")
    assert pair.run(lambda: pair.heard["one"].events[-1] == "up" and pair.heard["two"].events == ["up"])
    assert pair.heard["one"].events.count("down") == 1
    assert pair.links["one"].send("two", number(3))
    assert pair.run(lambda: pair.heard["two"].events == ["up", number(3)])


def test_a_peer_that_is_dropped_hears_nothing_more(pair: Pair) -> None:
    pair.links["one"].drop_peer("two")
    assert pair.heard["one"].events == ["up", "down"]
    assert not pair.links["one"].send("two", number(1))
    assert pair.run(lambda: "down" in pair.heard["two"].events)
    assert not pair.run(lambda: number(1) in pair.heard["two"].events, seconds=0.3)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
