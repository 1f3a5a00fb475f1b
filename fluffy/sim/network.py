"""A network of streams that can be slow, cut one way or both, silent, broken, and made anew.

Within one stream bytes keep their order and none is missing, as in TCP; what is lost is lost with the stream:
everything after some point, on each side a different one. One side may learn of it at once, the other seconds later.
Streams of different peers interleave at will. Messages pass the real codec (drivers/raft/messages.py) both ways.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fluffy.drivers.raft.links import LinkEvents
from fluffy.drivers.raft.messages import Message, decode_message, encode_message
from fluffy.sim.clock import World

DIAL_RETRY_S = 0.2
# The real links cut a stream after 6 s of silence; shorter here, so that more of it fits into a run.
SILENCE_MAX_S = 1.5
HOUSEKEEPING_S = 0.1


@dataclass(frozen=True, slots=True)
class NetworkTimes:
    """Seconds. One message takes `delay` plus up to `jitter`, and once in a while up to `spike`."""

    delay: float
    jitter: float
    spike: float
    spike_chance: float


@dataclass(slots=True)
class _Way:
    """One direction of a stream: bytes under way, in order. None marks the end of the stream."""

    queue: deque[tuple[float, bytes | None]] = field(default_factory=deque)
    bytes: int = 0
    last_s: float = 0.0
    heard_s: float = 0.0


class Stream:
    """A connection between two nodes. `open[name]`: that side still has it."""

    def __init__(self, number: int, one: str, other: str, now_s: float) -> None:
        self.number = number
        self.ends = (one, other)
        self.open = {one: True, other: True}
        self.ways = {one: _Way(heard_s=now_s), other: _Way(heard_s=now_s)}  # by sender

    def peer(self, name: str) -> str:
        return self.ends[1] if name == self.ends[0] else self.ends[0]


Inbound = tuple[str, str, Stream, bytes]  # (up | down | message, from whom, stream, body)


class SimLinks:
    """`Links` of one process. Its inbox is emptied by the poller, as with real sockets."""

    def __init__(self, network: SimNetwork, me: str) -> None:
        self._network = network
        self._me = me
        self._events: LinkEvents | None = None
        self.peers: set[str] = set()
        self.current: dict[str, Stream] = {}
        self.inbox: deque[Inbound] = deque()
        self.closed = False
        self.paused = False  # the process is stopped: no handshake can complete
        self.watch: Callable[[str, Message], None] = lambda _name, _message: None  # sees all that is sent

    def start(self, events: LinkEvents) -> None:
        self._events = events

    def add_peer(self, name: str) -> None:
        self.peers.add(name)

    def drop_peer(self, name: str) -> None:
        self.peers.discard(name)
        stream = self.current.get(name)
        if stream is not None:
            self._down(name, stream)

    def send(self, name: str, message: Message) -> bool:
        stream = self.current.get(name)
        if stream is None:
            return False
        if self._network.fails_at_send(stream, self._me):
            self._down(name, stream)
            return False
        self.watch(name, message)
        self._network.send(stream, self._me, self._network.encode(message))
        return True

    def disk_of(self, name: str) -> str:
        return self._network.disks.get(name, "") if name in self.current else ""

    def backlog_bytes(self, name: str) -> int:
        stream = self.current.get(name)
        return stream.ways[self._me].bytes if stream is not None else 0

    def tick(self) -> None:
        """The network does the dialing."""

    def close(self) -> None:
        """The process ends: its kernel closes its streams."""
        if not self.closed:
            self._network.detach(self._me, silently=False)

    def deliver(self) -> None:
        """Hand over what has arrived. What comes on a stream that is not the present one of its peer is void."""
        events = self._events
        while self.inbox and events is not None and not self.closed:
            kind, name, stream, body = self.inbox.popleft()
            old = self.current.get(name)
            if kind == "up":
                if old is not None:
                    self._down(name, old)
                self.current[name] = stream
                events.link_up(name)
            elif old is stream and kind == "down":
                self._down(name, stream)
            elif old is stream:
                self._network.counters["messages"] += 1
                events.link_message(name, self._network.decode(body))
            elif kind == "message":
                self._network.counters["late_messages"] += 1

    def _down(self, name: str, stream: Stream) -> None:
        del self.current[name]
        self._network.close_side(stream, self._me)
        if self._events is not None:
            self._events.link_down(name)


class SimPoller:
    """The library's poller: receiving is all it does."""

    def __init__(self, links: SimLinks) -> None:
        self._links = links

    def poll(self, _timeout_s: float) -> None:
        self._links.deliver()

    def subscribe(self, *_arguments: Any) -> None:
        """There are no descriptors."""

    def unsubscribe(self, _descriptor: int) -> None:
        """There are no descriptors."""


class SimNetwork:
    """All streams of a cluster, and the faults. `wake(name)` is called when something arrives for a node."""

    def __init__(self, world: World, times: NetworkTimes, wake: Callable[[str], None]) -> None:
        self._world = world
        self.times = times
        self._wake = wake
        self.counters: Counter[str] = Counter()
        self.cut: set[tuple[str, str]] = set()  # (from, to): nothing passes
        self.disks: dict[str, str] = {}  # of each machine that was started
        self.admits: Callable[[str, str], bool] = lambda _one, _other: True  # the first lets the second in
        self._links: dict[str, SimLinks] = {}
        self._streams: list[Stream] = []
        self._made = 0
        self._dialing: dict[tuple[str, str], float] = {}
        self.encode: Callable[[Message], bytes] = encode_message
        self.decode: Callable[[bytes], Message] = decode_message
        world.after(HOUSEKEEPING_S, self._housekeeping)

    # -- processes come and go

    def attach(self, name: str) -> SimLinks:
        """The links of a process that has just started."""
        links = self._links[name] = SimLinks(self, name)
        return links

    def detach(self, name: str, *, silently: bool) -> None:
        """The process died. Its kernel closes its streams, unless the whole machine is gone (`silently`)."""
        links = self._links.pop(name)
        links.closed = True
        for stream in [stream for stream in self._streams if name in stream.ends and stream.open[name]]:
            if silently:
                stream.open[name] = False
            else:
                self.close_side(stream, name)

    # -- faults

    def block(self, sender: str, receiver: str) -> None:
        self.cut.add((sender, receiver))

    def heal(self, ways: Iterable[tuple[str, str]] | None = None) -> None:
        """These ways, or all, are open again; what waited on streams that still live comes late."""
        self.cut.difference_update(set(self.cut) if ways is None else ways)
        for stream in list(self._streams):
            for sender in stream.ends:
                self._pump(stream, sender)

    def break_streams(self, one: str, other: str) -> None:
        """The connection between two nodes breaks; each side learns of it for itself."""
        for stream in [stream for stream in self._streams if set(stream.ends) == {one, other}]:
            for name in stream.ends:
                if stream.open[name]:
                    self._tell_down(stream, name)

    # -- streams

    def fails_at_send(self, stream: Stream, sender: str) -> bool:
        """Whether this send is the moment when the sender learns that the other side is gone (a reset)."""
        peer = stream.peer(sender)
        return (not stream.open[peer] and peer in self._links and (peer, sender) not in self.cut
                and self._world.rng.random() < 0.3)

    def send(self, stream: Stream, sender: str, body: bytes | None) -> None:
        """Put bytes on their way; they vanish when the other side has already gone."""
        receiver = stream.peer(sender)
        if not stream.open[receiver]:
            return
        world, times, way = self._world, self.times, stream.ways[sender]
        delay = times.delay + times.jitter * world.rng.random()
        if world.rng.random() < times.spike_chance:
            delay += times.spike * world.rng.random()
        way.last_s = arrive_s = max(world.now_s + world.spent_s + delay, way.last_s)
        way.queue.append((arrive_s, body))
        way.bytes += len(body or b"")
        world.at(arrive_s, lambda: self._pump(stream, sender))

    def close_side(self, stream: Stream, name: str) -> None:
        """`name` gives the stream up. The other side gets what was under way, or a part of it, and then the end."""
        if not stream.open[name]:
            return
        stream.open[name] = False
        peer = stream.peer(name)
        if stream.open[peer]:
            way = stream.ways[name]
            if way.queue and self._world.rng.random() < 0.5:  # a reset overtakes data
                for _ in range(self._world.rng.randrange(len(way.queue) + 1)):
                    way.bytes -= len(way.queue.pop()[1] or b"")
            self.send(stream, name, None)
        self._forget_if_done(stream)

    def _pump(self, stream: Stream, sender: str) -> None:
        """Deliver what has arrived and is not held up."""
        way, receiver = stream.ways[sender], stream.peer(sender)
        if (sender, receiver) in self.cut:
            return
        links = self._links.get(receiver)
        while way.queue and way.queue[0][0] <= self._world.now_s:
            _, body = way.queue.popleft()
            way.bytes -= len(body or b"")
            way.heard_s = self._world.now_s
            if links is None or not stream.open[receiver]:
                continue
            if body is None:
                self._tell_down(stream, receiver)
            else:
                links.inbox.append(("message", sender, stream, body))
                self._wake(receiver)

    def _tell_down(self, stream: Stream, name: str) -> None:
        links = self._links.get(name)
        if links is not None:
            links.inbox.append(("down", stream.peer(name), stream, b""))
            self._wake(name)

    def _forget_if_done(self, stream: Stream) -> None:
        if not any(stream.open.values()) and stream in self._streams:
            self._streams.remove(stream)

    # -- housekeeping: dial who is missing, cut what is silent

    def _housekeeping(self) -> None:
        names = sorted(self._links)
        for at, one in enumerate(names):
            for other in names[at + 1:]:
                self._dial(one, other)
        for stream in list(self._streams):
            for sender in stream.ends:
                self._notice_silence(stream, sender)
        self._world.after(HOUSEKEEPING_S, self._housekeeping)

    def _dial(self, one: str, other: str) -> None:
        """The greater name dials, when it has no stream; the other side takes a new stream in place of an old."""
        pair = (one, other)
        passable = (one, other) not in self.cut and (other, one) not in self.cut
        known = other in self._links[one].peers or one in self._links[other].peers
        known = known and self.admits(one, other) and self.admits(other, one)
        needless = one in self._links[other].current or self._links[one].paused or self._links[other].paused
        if not passable or not known or needless or self._world.now_s < self._dialing.get(pair, 0.0):
            return
        self._dialing[pair] = self._world.now_s + DIAL_RETRY_S
        self._world.after(3 * self.times.delay, lambda: self._connect(one, other))

    def _connect(self, one: str, other: str) -> None:
        if one not in self._links or other not in self._links or (one, other) in self.cut or (other, one) in self.cut:
            return
        self._made += 1
        stream = Stream(self._made, one, other, self._world.now_s)
        self._streams.append(stream)
        self.counters["streams"] += 1
        self._world.note(f"connect {one} {other} {self._made}")
        for name in stream.ends:
            self._links[name].inbox.append(("up", stream.peer(name), stream, b""))
            self._wake(name)

    def _notice_silence(self, stream: Stream, sender: str) -> None:
        """Real links hear a keepalive a second, and cut a stream on which nothing came for long."""
        receiver = stream.peer(sender)
        way = stream.ways[sender]
        if (sender, receiver) not in self.cut and stream.open[sender]:
            way.heard_s = self._world.now_s
        elif stream.open[receiver] and self._world.now_s - way.heard_s > SILENCE_MAX_S:
            self.counters["streams_silent"] += 1
            way.heard_s = self._world.now_s
            self._tell_down(stream, receiver)
