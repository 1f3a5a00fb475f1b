"""One node alone on a table: as the library made it, or hardened. Its peers are played by the test."""

from __future__ import annotations

import importlib.util
import random
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pysyncobj.journal
import pysyncobj.pickle as library_pickle
import pysyncobj.serializer
import pysyncobj.syncobj as library_module
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.transport import Transport

from fluffy.core.metadata.outcomes import Accepted, Outcome
from fluffy.drivers.raft import library
from fluffy.drivers.raft.checkpoint_files import CheckpointFiles
from fluffy.drivers.raft.checkpoints import Checkpoints, recover_state
from fluffy.drivers.raft.group_commit import Answered
from fluffy.drivers.raft.journal import SegmentedJournal
from fluffy.drivers.raft.membership import FirstMembers
from fluffy.drivers.raft.messages import Message, decode_message, encode_message
from fluffy.drivers.raft.node import NodeParts, RaftNode
from fluffy.drivers.raft.parts import RaftTimes
from fluffy.drivers.raft.peers import RaftPeer
from fluffy.drivers.raft.state_store import StateStore
from fluffy.sim.disk import SimDisk
from fluffy.sim.scale import replaced
from fluffy.wire.log_entries import decode_outcome, encode_command
from tests.drivers.raft.lab import InlineJob, genesis

NO_OP = b"\x01"
PEERS = ("two", "three")


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class NoPoller:
    """Nothing arrives by itself."""

    def poll(self, _timeout_s: float) -> None: ...
    def subscribe(self, *_arguments: Any) -> None: ...
    def unsubscribe(self, _descriptor: int) -> None: ...


def entries(first: int, last: int, term: int = 1) -> tuple[tuple[bytes, int, int], ...]:
    return tuple((NO_OP, index, term) for index in range(first, last + 1))


# -- the library as released

class _RecordingTransport(Transport):  # type: ignore[misc]
    """Keeps what is sent; delivers what the test hands in."""

    def __init__(self) -> None:
        super().__init__(None, None, [])
        self.sent: list[tuple[str, Message]] = []

    @property
    def ready(self) -> bool:
        return True

    def send(self, node: RaftPeer, message: Message) -> bool:
        self.sent.append((node.id, dict(message)))
        return True

    def addNode(self, node: RaftPeer) -> None: ...
    def dropNode(self, node: RaftPeer) -> None: ...
    def destroy(self) -> None: ...


class _StockNode(SyncObj):  # type: ignore[misc]
    """A state machine such as the library's users write: a list."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.applied: list[str] = []

    @replicated
    def write(self, text: str) -> str:
        if text == "poison":
            raise ValueError(text)
        self.applied.append(text)
        return text


class Stock:
    """The library's own node, named `one`. `folder`: with its own journal and dump files in it."""

    def __init__(self, clock: Clock, folder: Path | None = None, peers: tuple[str, ...] = PEERS) -> None:
        self.clock = clock
        self.transport = _RecordingTransport()
        self.answers: list[tuple[Any, int]] = []
        conf = SyncObjConf(
            autoTick=False, appendEntriesUseBatch=False, dynamicMembershipChange=True, commandsWaitLeader=False,
            journalFile=None if folder is None else str(folder / "journal"),
            fullDumpFile=None if folder is None else str(folder / "dump"), useFork=False)
        self.node = _StockNode(RaftPeer("one"), [RaftPeer(name) for name in peers], conf, transport=self.transport,
                               nodeClass=RaftPeer)
        for name in peers:
            self.transport._onNodeConnected(RaftPeer(name))

    def deliver(self, sender: str, message: Message) -> None:
        self.transport._onMessageReceived(RaftPeer(sender), message)

    def turn(self) -> None:
        self.node.doTick(0.0)

    def write(self, text: str) -> None:
        self.node.write(text, callback=lambda result, error: self.answers.append((result, error)))

    def sent(self, kind: str) -> list[tuple[str, Message]]:
        return [(peer, message) for peer, message in self.transport.sent if message["type"] == kind]

    @property
    def log(self) -> list[tuple[int, int]]:
        return [(entry[1], entry[2]) for entry in self.node._SyncObj__raftLog[:]]

    @property
    def raft(self) -> SyncObj:
        return self.node


@contextmanager
def stock_library(clock: Clock) -> Iterator[None]:
    """Within this context the library is as it was installed, but for the clock."""
    spec = importlib.util.spec_from_file_location("pristine_pickle", library_pickle.__file__)
    assert spec is not None and spec.loader is not None
    pristine = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pristine)
    with warnings.catch_warnings(), replaced([
        (library_pickle, "dumps", pristine.dumps), (library_pickle, "loads", pristine.loads),
        (library_module, "createJournal", pysyncobj.journal.createJournal),
        (library_module, "createPoller", lambda _kind: NoPoller()),
        (library_module, "Serializer", pysyncobj.serializer.Serializer),
        (library_module, "monotonicTime", clock), (library_module, "random", random.Random(0)),
        (library_module, "PIPE_NOTIFIER_ENABLED", False),
    ]):
        warnings.simplefilter("ignore", ResourceWarning)  # the library does not close its files
        yield


# -- ours

class _PlayedLinks:
    """`Links` whose other ends are the test."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.events: Any = None

    def start(self, events: Any) -> None:
        self.events = events

    def send(self, name: str, message: Message) -> bool:
        self.sent.append((name, decode_message(encode_message(message))))
        return True

    def add_peer(self, name: str) -> None: ...
    def drop_peer(self, name: str) -> None: ...
    def tick(self) -> None: ...
    def close(self) -> None: ...

    def backlog_bytes(self, _name: str) -> int:
        return 0

    def disk_of(self, _name: str) -> str:
        return ""


class Ours:
    """The hardened node, named `one`, on a simulated disk."""

    def __init__(self, clock: Clock, folder: Path, disk: SimDisk | None = None, peers: tuple[str, ...] = PEERS) -> None:
        self.clock = clock
        self.folder = folder
        self.disk = disk or SimDisk(random.Random(0))
        self.links = _PlayedLinks()
        library.install(clock, random.Random(0))
        self.store = StateStore(folder)
        journal = SegmentedJournal(self.disk)
        files = CheckpointFiles(folder / "checkpoints")
        recover_state(self.store, files, journal)

        def checkpoints(counters: Counter[str]) -> Checkpoints:
            return Checkpoints(files, self.store, journal, start_job=InlineJob, clock=clock, counters=counters)

        self.node = RaftNode(NodeParts(
            me="one", members=FirstMembers(dict.fromkeys(("one", *peers), "")), links=self.links,
            poller=NoPoller(), journal=journal, store=self.store,
            checkpoints=checkpoints, clock=clock, rng=random.Random(0), times=RaftTimes()))
        self.raft = self.node.raft
        for name in peers:
            self.links.events.link_up(name)

    def deliver(self, sender: str, message: Message) -> None:
        """The message as it would come off the wire; fields that the library does not send get a plain value."""
        full = {"seq": 1, **message} if message["type"] == "append_entries" else dict(message)
        self.links.events.link_message(sender, decode_message(encode_message(full)))

    def turn(self) -> None:
        self.node.turn(0.0)

    def sent(self, kind: str) -> list[tuple[str, Message]]:
        return [(peer, message) for peer, message in self.links.sent if message["type"] == kind]

    @property
    def log(self) -> list[tuple[int, int]]:
        return [(entry[1], entry[2]) for entry in self.node.journal[:]]

    def power_off(self) -> None:
        self.disk.crash()
        self.store.close()


def win_election(node: Stock | Ours) -> None:
    """Have `one` become leader by the votes of its peers, whatever they are made of."""
    for _ in range(50):
        node.clock.now_s += 0.1
        node.turn()
        for peer, message in node.sent("pre_vote")[-2:]:
            if node.raft._getTerm() < message["term"]:
                node.deliver(peer, {"type": "pre_vote_granted", "term": message["term"]})
        for peer, message in node.sent("request_vote")[-1:]:
            node.deliver(peer, {"type": "response_vote", "term": message["term"]})
        if node.raft._isLeader():
            return
    raise AssertionError("nobody was elected")


def append(first: int, last: int, *, term: int = 1, commit: int = 1,
           previous_term: int | None = None) -> dict[str, object]:
    previous = first - 1
    if previous_term is None:
        previous_term = 0 if previous == 1 else term
    return {"type": "append_entries", "term": term, "commit_index": commit, "entries": entries(first, last, term),
            "prevLogIdx": previous, "prevLogTerm": previous_term}


def lead_alone(clock: Clock, folder: Path) -> Ours:
    node = Ours(clock, folder, peers=())
    win_election(node)
    assert isinstance(propose(node, encode_command(genesis(("one",)))), Accepted)
    return node


def propose(node: Ours, command: bytes) -> Outcome:
    answers: list[Answered] = []
    node.node.proposals.offer(command, answers.append)
    for _ in range(3):
        node.turn()
    assert len(answers) == 1 and answers[0].outcome is not None
    return decode_outcome(answers[0].outcome)
