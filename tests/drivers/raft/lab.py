"""Three real log nodes in one thread: real journals, databases and TCP on loopback, turned by hand."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from fluffy.base.errors import StartRefused
from fluffy.base.ids import ClusterUuid, NodeNo, RequestId, UserNo, new_request_id
from fluffy.core.metadata.commands import Command, Genesis, Header, MakeFolder, NodeRecord
from fluffy.core.metadata.outcomes import Outcome
from fluffy.drivers.raft import library
from fluffy.drivers.raft.checkpoint_files import CheckpointFiles, Copied
from fluffy.drivers.raft.checkpoints import CheckpointPolicy, Checkpoints, recover_state
from fluffy.drivers.raft.disk import RealDisk
from fluffy.drivers.raft.group_commit import Answered
from fluffy.drivers.raft.journal import SegmentedJournal
from fluffy.drivers.raft.links import LinkSettings, TcpLinks
from fluffy.drivers.raft.membership import FirstMembers
from fluffy.drivers.raft.node import NodeParts, RaftNode
from fluffy.drivers.raft.parts import RaftTimes
from fluffy.drivers.raft.poller import EpollPoller
from fluffy.drivers.raft.state_store import StateStore
from fluffy.wire.handshake import PeerIdentity, derive_key
from fluffy.wire.log_entries import decode_outcome, encode_command

NAMES = ("one", "two", "three")
TIMES = RaftTimes(heartbeat=0.03, election_min=0.2, election_max=0.4, fallback=0.4)


class InlineJob:
    """A copy made at once: deterministic, and as good as a thread for what is tested here."""

    def __init__(self, work: Callable[[], Copied]) -> None:
        self._result = work()

    def poll(self) -> Copied:
        return self._result


class Lab:
    def __init__(self, folder: Path, retain_entries: int = 0, policy: CheckpointPolicy | None = None,
                 times: RaftTimes = TIMES, wall_of: Callable[[str], Callable[[], int]] | None = None,
                 names: tuple[str, ...] = NAMES) -> None:
        self.folder = folder
        self.names = names
        self.wall_of = wall_of
        self.times = times
        self.retain_entries = retain_entries
        self.policy = policy
        self.ports = {name: _free_port() for name in names}
        self.nodes: dict[str, RaftNode] = {}
        self.open: dict[str, list[RealDisk | EpollPoller]] = {}
        library.install(time.monotonic, random.Random(1))
        for name in names:
            self.start(name)

    def new_port(self, name: str) -> int:
        return self.ports.setdefault(name, _free_port())

    def start(self, name: str, seeds: tuple[str, ...] = ()) -> RaftNode:
        """`seeds`: of a machine that joins."""
        folder = self.folder / name
        (folder / "log").mkdir(parents=True, exist_ok=True)
        poller = EpollPoller()
        links = TcpLinks(LinkSettings(
            me=lambda: PeerIdentity(name, f"disk-{name}", ""), key=derive_key(b"s" * 32, "raft"),
            bind=("127.0.0.1", self.ports[name]), address_of=self._address_of,
            admit=lambda _peer: None, clock=time.monotonic), poller)
        disk = RealDisk(folder / "log")
        journal = SegmentedJournal(disk, retain_entries=self.retain_entries)
        store = StateStore(folder)
        self.open[name] = [disk, poller]
        files = CheckpointFiles(folder / "checkpoints")
        recover_state(store, files, journal)

        def checkpoints(counters: Counter[str]) -> Checkpoints:
            return Checkpoints(files, store, journal, start_job=InlineJob, clock=time.monotonic, counters=counters,
                               policy=self.policy)

        parts = NodeParts(me=name, members=self._first(seeds), disk=f"disk-{name}", links=links, poller=poller,
                          journal=journal, store=store,
                          checkpoints=checkpoints, clock=time.monotonic, rng=random.Random(name), times=self.times,
                          wall_ms=None if self.wall_of is None else self.wall_of(name))
        try:
            self.nodes[name] = RaftNode(parts)
        except StartRefused:
            links.close()
            store.close()
            self.release(name)
            raise
        return self.nodes[name]

    def _address_of(self, name: str) -> tuple[str, int] | None:
        return ("127.0.0.1", self.ports[name]) if name in self.ports else None

    def _first(self, seeds: tuple[str, ...]) -> FirstMembers:
        return FirstMembers({name: f"disk-{name}" for name in seeds} or dict.fromkeys(self.names, ""), seeds)

    def stop(self, name: str) -> None:
        self.nodes.pop(name).close()
        self.release(name)

    def release(self, name: str) -> None:
        for each in self.open.pop(name):
            each.close()

    def turn(self, until: Callable[[], bool], seconds: float = 10.0) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for node in list(self.nodes.values()):
                node.turn(0.001)
            if until():
                return True
        return False

    def leader(self) -> RaftNode:
        assert self.turn(lambda: any(node.raft.leads_with_authority for node in self.nodes.values())), "no leader"
        leaders = [node for node in self.nodes.values() if node.raft.leads_with_authority]
        return max(leaders, key=lambda node: node.raft.term)

    def propose(self, node: RaftNode, *commands: Command) -> list[Outcome]:
        """Outcomes of commands offered together; fails the test when one is not answered."""
        answers: list[Answered] = []
        for command in commands:
            node.proposals.offer(encode_command(command), answers.append)
        assert self.turn(lambda: len(answers) == len(commands)), "no answer"
        assert all(answer.outcome is not None for answer in answers), answers
        return [decode_outcome(answer.outcome or b"") for answer in answers]

    def settle(self) -> None:
        """Until all running nodes have applied the same entries."""
        def same() -> bool:
            return len({node.raft.last_applied for node in self.nodes.values()}
                       | {node.journal.last_index for node in self.nodes.values()}) == 1
        assert self.turn(same), {name: node.raft.last_applied for name, node in self.nodes.items()}

    def digests(self) -> set[str]:
        self.settle()
        return {node.store.machine.digest() for node in self.nodes.values()}

    def close(self) -> None:
        for name in list(self.nodes):
            self.stop(name)


def header(request_id: RequestId | None = None) -> Header:
    return Header(new_request_id() if request_id is None else request_id, 1_700_000_000_000, NodeNo(1), UserNo(1))


def genesis(names: tuple[str, ...] = NAMES) -> Genesis:
    records = tuple(NodeRecord(NodeNo(number), name, f"disk-{name}", "z", "127.0.0.1", 1, 2, 3, 4)
                    for number, name in enumerate(names, start=1))
    return Genesis(header(RequestId(b"")), ClusterUuid("uuid"), "lab", records, "admin", bytes(32),
                   replication=min(3, len(names)), write_quorum=min(2, len(names)), chunk_size=8 << 20,
                   inline_max=16384, trash_days=7, versions_max=100)


def folder(name: str) -> MakeFolder:
    return MakeFolder(header(), f"admin/{name}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
