"""Raft's messages, repaired on their way in and out of the library (docs/RAFT.md tells what each repair is for).

Out: acknowledgements wait until the journal is synced and carry term and sequence; snapshot parts carry a number.
In: entries that are already held are stripped, so that the library never truncates what matches; stale
acknowledgements and stale
rewinds are dropped; snapshot parts say nothing about the commit index; votes are sticky. On top: pre-vote (Ongaro's
thesis,
9.6), a notice to leaders of an older term, and the sequence numbers that linearizable reads count (reads.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Protocol

from pysyncobj.transport import Transport

from fluffy.base.checks import invariant
from fluffy.base.units import MIB
from fluffy.drivers.raft.links import Links
from fluffy.drivers.raft.messages import Message
from fluffy.drivers.raft.peers import RaftPeer, peer_of

# Entries and snapshot parts on their way to one follower; more waits for its acknowledgements.
WINDOW_BYTES = 8 * MIB


class RaftView(Protocol):
    """What the transport must know of the node's Raft state. Implemented in library.py."""

    @property
    def term(self) -> int: ...
    @property
    def is_leader(self) -> bool: ...
    @property
    def leader_name(self) -> str | None: ...
    @property
    def last_applied(self) -> int: ...
    def last_entry(self) -> tuple[int, int]: ...
    def first_index(self) -> int: ...
    def term_at(self, index: int) -> int | None: ...
    def next_index(self, name: str) -> int: ...
    def set_next_index(self, name: str, index: int) -> None: ...
    def match_index(self, name: str) -> int: ...
    def heard_nothing_new(self, leader: RaftPeer, commit_index: int) -> bool: ...
    def follower_answered(self, follower: RaftPeer) -> None: ...
    def step_down(self, term: int) -> None: ...
    @property
    def is_voter(self) -> bool: ...
    def votes(self, name: str) -> bool: ...
    def follows(self, name: str) -> bool: ...


class RaftTransport(Transport):  # type: ignore[misc]
    """`pysyncobj.transport.Transport` over `Links`. `extra` handles message types that are not the library's."""

    def __init__(self, links: Links, clock: Callable[[], float], sticky_s: float) -> None:
        super().__init__(None, None, [])
        self.links = links
        self.counters: Counter[str] = Counter()
        self.extra: dict[str, Callable[[str, Message], None]] = {}
        self.is_handing_over = False  # commands of others are sent back: a log that grows cannot be handed over
        self.on_leader_lost: Callable[[], None] = lambda: None
        self.on_linked: Callable[[], None] = lambda: None
        self.greet: Callable[[str], None] = lambda _name: None  # says the first word on a new link
        self._clock = clock
        self._sticky_s = sticky_s
        self._view: RaftView | None = None
        self._peers: dict[str, RaftPeer] = {}
        self._up: set[str] = set()
        self.link_changes = 0  # how often a link came up or went down
        self._heard_leader_s = -1e9
        self._seq = 0
        self._answering_seq = 0
        self._ack_cap: int | None = None
        self._installing = False
        self._held: list[tuple[RaftPeer, Message]] = []
        self._transfer_term = -1
        self._reset_seq: dict[str, int] = {}
        self._voters: set[tuple[int, str]] = set()
        self._sent_seq: dict[str, int] = {}
        self._acked_seq: dict[str, int] = {}
        self._part_sent: dict[str, tuple[int, int]] = {}
        self._part_acked: dict[str, tuple[int, int]] = {}
        self._part_expected: dict[str, tuple[int, int]] = {}

    def bind(self, view: RaftView) -> None:
        """Attach the node; then start the links."""
        self._view = view
        self.links.start(self)

    # -- what the library calls

    @property
    def ready(self) -> bool:
        return True

    def tryGetReady(self) -> None:
        """Links are bound before the node is made."""

    def waitReady(self) -> None:
        """Nothing to wait for."""

    def addNode(self, node: RaftPeer) -> None:
        self._peers[node.id] = node
        self.links.add_peer(node.id)

    def dropNode(self, node: RaftPeer) -> None:
        self.links.drop_peer(node.id)
        self._peers.pop(node.id, None)

    def set_peers(self, names: Iterable[str]) -> None:
        """Keep links to these and no others."""
        wanted = set(names)
        for name in sorted(wanted - set(self._peers)):
            self.addNode(peer_of(name))
        for name in sorted(set(self._peers) - wanted):
            self.dropNode(self._peers[name])

    def destroy(self) -> None:
        self.links.close()

    def send(self, node: RaftPeer, message: Message) -> bool:
        kind = message["type"]
        if kind == "append_entries":
            self._number(node.id, message)
        elif kind == "next_node_idx":
            return self._hold(node, message)
        elif kind == "request_vote":
            message["transfer"] = message["term"] == self._transfer_term
        return self.links.send(node.id, message)

    # -- what the node calls

    @property
    def view(self) -> RaftView:
        invariant(self._view is not None, "the transport is bound before it is used")
        assert self._view is not None
        return self._view

    def send_to(self, name: str, message: Message) -> bool:
        """Send a message of our own types."""
        return self.links.send(name, message)

    def peer_names(self) -> list[str]:
        return sorted(self._peers)

    def is_up(self, name: str) -> bool:
        return name in self._up

    def release_acks(self) -> None:
        """Send the held acknowledgements: the journal has just been synced."""
        held, self._held = self._held, []
        term = self.view.term
        for peer, message in held:
            if message["term"] == term:
                self.links.send(peer.id, message)

    def sequence(self) -> int:
        """The number of the last append_entries sent; acknowledgements of later ones confirm leadership after now."""
        return self._seq

    def acked_sequence(self, name: str) -> int:
        """The newest append_entries of this leadership that `name` has answered."""
        return self._acked_seq.get(name, 0)

    def owes_an_answer(self, name: str) -> bool:
        """Whether `name` has not answered the newest append_entries that it was sent."""
        return self._sent_seq.get(name, 0) > self._acked_seq.get(name, 0)

    def forget_acks(self) -> None:
        """A new leadership begins: earlier answers do not count."""
        self._sent_seq.clear()
        self._acked_seq.clear()
        self._reset_seq.clear()
        self._part_sent = {name: (transfer, 0) for name, (transfer, _sent) in self._part_sent.items()}
        self._part_acked.clear()

    def parts_in_flight(self, name: str) -> int:
        """Snapshot bytes sent to `name` and not yet answered."""
        transfer, sent = self._part_sent.get(name, (0, 0))
        acked_transfer, acked = self._part_acked.get(name, (0, 0))
        return sent - (acked if acked_transfer == transfer else 0)

    def heard_leader_lately(self) -> bool:
        """Whether this node must not help to depose the leader it knows (sticky votes)."""
        if self.view.is_leader:
            return True
        leader = self.view.leader_name
        return (leader is not None and leader in self._up
                and self._clock() - self._heard_leader_s < self._sticky_s)

    # -- what the links call

    def link_up(self, name: str) -> None:
        for table in (self._part_sent, self._part_acked, self._part_expected):
            table.pop(name, None)
        self._up.add(name)
        self.link_changes += 1
        self.greet(name)
        if name not in self._up:
            return  # its first word could not be sent: the link is down again, and everybody was told
        self._onNodeConnected(peer_of(name))
        self.on_linked()

    def link_down(self, name: str) -> None:
        was_leader = self.view.leader_name == name
        self._up.discard(name)
        self.link_changes += 1
        self._held = [(peer, message) for peer, message in self._held if peer.id != name]
        self._onNodeDisconnected(peer_of(name))
        if was_leader and not self.view.is_leader:
            self.on_leader_lost()

    def link_message(self, name: str, message: Message) -> None:
        """A message of a peer, or of a guest: one that this node does not know yet, perhaps its leader."""
        peer = self._peers.get(name) or peer_of(name)
        kind = message["type"]
        handler = self._HANDLERS.get(kind)
        if handler is not None:
            handler(self, peer, message)
        elif kind in self.extra:
            self.extra[kind](name, message)
        else:
            self._onMessageReceived(peer, message)

    # -- out

    def _number(self, name: str, message: Message) -> None:
        self._seq += 1
        message["seq"] = self._sent_seq[name] = self._seq
        part = message.get("serialized")
        if part:
            transfer, offset = self._part_sent.get(name, (0, 0))
            if part[1]:
                transfer, offset = transfer + 1, 0
            message["snap"] = (transfer, offset)
            self._part_sent[name] = (transfer, offset + len(part[0]))

    def _hold(self, peer: RaftPeer, message: Message) -> bool:
        """Keep an acknowledgement until the journal is synced; a newer success to the same peer replaces an older."""
        message["term"] = self.view.term
        message["seq"] = self._answering_seq
        if message["success"]:
            if self._installing:
                message["next_node_idx"] = self.view.last_applied + 1
            elif self._ack_cap is not None:
                message["next_node_idx"] = self._ack_cap
            last = self._held[-1] if self._held else None
            if (last is not None and last[0] == peer and last[1]["success"] and last[1]["term"] == message["term"]
                    and last[1]["next_node_idx"] <= message["next_node_idx"]):
                self._held.pop()
        self._held.append((peer, message))
        return True

    # -- in

    def _on_append(self, peer: RaftPeer, message: Message) -> None:
        view = self.view
        if message["term"] < view.term:
            self.counters["append_of_older_term"] += 1
            self.links.send(peer.id, {"type": "higher_term", "term": view.term})
            return
        self._heard_leader_s = self._clock()
        self._answering_seq = message["seq"]
        if "prevLogIdx" not in message:
            self._on_part(peer, message)
        else:
            self._on_entries(peer, message)

    def _on_entries(self, peer: RaftPeer, message: Message) -> None:
        """Strip what is already held with the same term; a message with nothing new must not truncate anything."""
        view = self.view
        previous = message["prevLogIdx"]
        if (not message["entries"] and message["term"] == view.term
                and (previous, message["prevLogTerm"]) == view.last_entry()
                and view.heard_nothing_new(peer, message["commit_index"])):
            self._hold(peer, {"type": "next_node_idx", "next_node_idx": previous + 1, "reset": False, "success": True})
            return
        if previous < view.first_index():
            self._skip_compacted(message)
            previous = message["prevLogIdx"]
        if view.term_at(previous) != message["prevLogTerm"]:
            self._onMessageReceived(peer, message)
            return
        entries = message["entries"]
        held = 0
        while held < len(entries) and view.term_at(entries[held][1]) == entries[held][2]:
            held += 1
        if held:
            self.counters["entries_already_held"] += held
            previous = message["prevLogIdx"] = entries[held - 1][1]
            message["prevLogTerm"] = entries[held - 1][2]
            entries = message["entries"] = entries[held:]
        last_index, last_term = view.last_entry()
        if entries or previous >= last_index:
            self._onMessageReceived(peer, message)
            return
        # The leader vouches for our log up to `previous` only; what lies beyond stays, but is not acknowledged.
        message["commit_index"] = min(message["commit_index"], previous)
        message["prevLogIdx"], message["prevLogTerm"] = last_index, last_term
        self._ack_cap = previous + 1
        try:
            self._onMessageReceived(peer, message)
        finally:
            self._ack_cap = None

    def _skip_compacted(self, message: Message) -> None:
        """Entries up to our first one were applied and compacted here: they are committed, so they match."""
        first = self.view.first_index()
        entries = message["entries"]
        skip = first - message["prevLogIdx"]
        if skip <= len(entries) and entries[skip - 1][2] == self.view.term_at(first):
            message["prevLogIdx"], message["prevLogTerm"] = first, entries[skip - 1][2]
            message["entries"] = entries[skip:]

    def _on_part(self, peer: RaftPeer, message: Message) -> None:
        """A snapshot part: in order or not at all, answered one by one so that the leader sees progress."""
        message["commit_index"] = 0
        part = message["serialized"]
        if part is not None:
            transfer, offset = message["snap"]
            if part[1] or (transfer, offset) == self._part_expected.get(peer.id):
                self._part_expected[peer.id] = (transfer, offset + len(part[0]))
                if not part[2]:
                    self._answer_part(peer, (transfer, offset + len(part[0])))
            else:
                self.counters["snapshot_part_out_of_order"] += 1
                self._part_expected.pop(peer.id, None)
                message["serialized"] = None
        self._installing = True
        try:
            self._onMessageReceived(peer, message)
        finally:
            self._installing = False

    def _answer_part(self, peer: RaftPeer, progress: tuple[int, int]) -> None:
        self.links.send(peer.id, {
            "type": "next_node_idx", "reset": False, "success": False, "next_node_idx": 0, "term": self.view.term,
            "seq": self._answering_seq, "snap": progress})

    def _on_ack(self, peer: RaftPeer, message: Message) -> None:
        view = self.view
        if message["term"] != view.term or not view.is_leader or not view.follows(peer.id):
            self.counters["stale_ack_dropped"] += 1
            return
        self._acked_seq[peer.id] = max(self._acked_seq.get(peer.id, 0), message["seq"])
        if "snap" in message:
            self._part_acked[peer.id] = message["snap"]
        if message["reset"]:
            if message["seq"] <= self._reset_seq.get(peer.id, 0):
                self.counters["stale_rewind_dropped"] += 1
                return
            self._reset_seq[peer.id] = self._seq
            self._onMessageReceived(peer, message)
            return
        if message["success"] and message["next_node_idx"] <= view.match_index(peer.id) + 1:
            view.follower_answered(peer)
            return
        before = view.next_index(peer.id)
        self._onMessageReceived(peer, message)
        if view.next_index(peer.id) < before:
            self.counters["rewind_by_ack_prevented"] += 1
            view.set_next_index(peer.id, before)

    def _on_request_vote(self, peer: RaftPeer, message: Message) -> None:
        # Whoever is asked votes: a node that has its vote may not have heard of it yet, and who is in no list of the
        # candidate does not count there.
        if not self.view.is_voter:
            self.counters["asked_without_vote"] += 1
        if not message["transfer"] and self.heard_leader_lately():
            self.counters["vote_refused_sticky"] += 1
            if message["term"] > self.view.term and self.view.is_leader:
                # A majority gave this candidate its pre-votes, so it no longer hears us: let it win, in a newer term.
                self.view.step_down(message["term"])
            return
        self._onMessageReceived(peer, message)

    def _on_response_vote(self, peer: RaftPeer, message: Message) -> None:
        """The library counts answers, not voters."""
        vote = (message["term"], peer.id)
        if vote not in self._voters and self.view.votes(peer.id):
            self._voters = {known for known in self._voters if known[0] >= self.view.term} | {vote}
            self._onMessageReceived(peer, message)

    def _on_higher_term(self, _peer: RaftPeer, message: Message) -> None:
        if message["term"] > self.view.term:
            self.counters["higher_term_seen"] += 1
            self.view.step_down(message["term"])

    def _on_timeout_now(self, peer: RaftPeer, message: Message) -> None:
        """The leader hands over: the election that follows may depose it, whatever the voters heard from it."""
        if not self.view.is_voter:
            return
        self._transfer_term = self.view.term + 1
        self._onMessageReceived(peer, message)

    def _on_command(self, peer: RaftPeer, message: Message) -> None:
        if self.view.is_leader and message["command"][0] == COMMAND and not self.is_handing_over:
            self._onMessageReceived(peer, message)
        elif "request_id" in message:
            self.links.send(peer.id, {"type": "apply_command_response", "request_id": message["request_id"],
                                      "error": NOT_LEADER})

    _HANDLERS: ClassVar[dict[str, Any]] = {
        "append_entries": _on_append,
        "next_node_idx": _on_ack,
        "request_vote": _on_request_vote,
        "response_vote": _on_response_vote,
        "higher_term": _on_higher_term,
        "timeout_now": _on_timeout_now,
        "apply_command": _on_command,
    }


# pysyncobj.config.FAIL_REASON.NOT_LEADER: the command was certainly not appended.
NOT_LEADER = 4
# pysyncobj's type of ordinary commands. Others are a leader's own: nobody forwards them.
COMMAND = 0
