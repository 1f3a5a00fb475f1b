"""The users of a simulated cluster: real commands, repeated under one request id until there is an answer, and reads.

A client does one thing at a time. It asks any node; when that one says no, says nothing for long, or dies, it asks
another. What it may conclude from each answer is what `services` and the SDK conclude.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fluffy.base.hashing import chunk_id_of, etag_of
from fluffy.base.ids import ClusterUuid, NodeNo, RequestId, UserNo
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import (
    FEATURE_LEVEL,
    Command,
    DeleteFile,
    Genesis,
    Header,
    MakeFolder,
    NodeRecord,
    PutFile,
)
from fluffy.drivers.raft.group_commit import Answered
from fluffy.sim import places
from fluffy.sim.checkers import Checks, Read, content_of, request_id_of, writer_of
from fluffy.sim.clock import World
from fluffy.sim.member import Member
from fluffy.sim.writes import Write
from fluffy.wire.log_entries import decode_outcome, encode_command

ANSWER_TIMEOUT_S = 1.0
RETRY_S = 0.05
SHARED_PATHS = 5
ADMIN = UserNo(1)


@dataclass(slots=True)
class Workload:
    """How much the clients do. `think_s`: between two things."""

    clients: int
    think_s: float
    until_s: float
    content_bytes_max: int


class Clients:
    """All clients of a run. Call `start`; they stop by themselves at `until_s`, when their last thing is done."""

    def __init__(self, world: World, members: list[Member], checks: Checks, load: Workload) -> None:
        self._world = world
        self._members = members
        self._checks = checks
        self._load = load
        self.busy = 0
        self.born = False

    def start(self) -> None:
        """Give birth to the cluster, then begin."""
        self._propose(_genesis(self._members), 0, None)

    @property
    def finished(self) -> bool:
        return self.born and self.busy == 0 and self._world.now_s >= self._load.until_s

    def last_words(self) -> None:
        """One more write through each node, after everything: the cluster works."""
        for _ in self._members:
            self.busy += 1
            self._write("put-new")

    # -- what a client does

    def _next(self) -> None:
        if self._world.now_s >= self._load.until_s:
            self.busy -= 1
            return
        draw = self._world.rng.random()
        if draw < 0.24:
            self._read_file()
        elif draw < 0.32:
            self._read(self._look_at_places)
        elif draw < 0.5:
            self._write("put")
        elif draw < 0.62:
            self._write("put-new")
        elif draw < 0.74:
            self._write("delete")
        elif draw < 0.8:
            self._write("mkdir")
        else:
            self._begin(self._checks.places.draw(self._world.rng, len(self._checks.writes), self._world.now_s))

    def _done(self) -> None:
        self._world.after(self._load.think_s * 2 * self._world.rng.random(), self._next)

    # -- writing

    def _write(self, kind: str) -> None:
        number = len(self._checks.writes)
        rng = self._world.rng
        path = {"put-new": f"admin/new/{number}", "mkdir": f"admin/made-{number}"}.get(
            kind, f"admin/shared/{rng.randrange(SHARED_PATHS)}")
        self._begin(Write(number, kind, path, self._world.now_s))

    def _begin(self, write: Write) -> None:
        self._checks.writes.append(write)
        self._propose(self._command(write), 0, write)

    def _command(self, write: Write) -> Command:
        rng, path = self._world.rng, write.path
        request_id = request_id_of(write.number, rng.randbytes(8))
        header = Header(request_id, 1 + int(self._world.now_s * 1000), NodeNo(1), ADMIN)
        if write.kind in places.KINDS:
            return self._checks.places.command(write, header)
        match write.kind:
            case "delete":
                return DeleteFile(header, path)
            case "mkdir":
                return MakeFolder(header, path)
        content = content_of(write.number, rng.randrange(self._load.content_bytes_max))
        blake3 = bytes(chunk_id_of(content))
        return PutFile(header, path, len(content), blake3, etag_of(blake3), "text/plain", {}, {}, content, (), (),
                       if_none_match=write.kind == "put-new")

    def _propose(self, command: Command, tries: int, write: Write | None) -> None:
        """One try, at one node. `write` None: the birth of the cluster."""
        member = self._members[self._world.rng.randrange(len(self._members))]
        settled = [False]
        if write is not None:
            write.tries = tries + 1

        def again(delay_s: float) -> None:
            if not settled[0]:
                settled[0] = True
                self._world.after(delay_s, lambda: self._propose(command, tries + 1, write))

        def answered(answer: Answered) -> None:
            if answer.outcome is None:
                again(RETRY_S * (0.5 + self._world.rng.random()))
                return
            self._note_outcome(answer.outcome, write)
            if not settled[0]:
                settled[0] = True
                self._answered(write)

        node = member.enter()
        if node is None:
            again(RETRY_S)
            return
        node.proposals.offer(encode_command(command), answered)
        member.wake()
        self._world.after(ANSWER_TIMEOUT_S, lambda: again(0.0))

    def _note_outcome(self, encoded: bytes, write: Write | None) -> None:
        """Also answers to tries that were given up count: they must say the same."""
        if write is not None:
            outcome = decode_outcome(encoded)
            self._world.note(f"answer {write.number} {outcome}")
            self._checks.answered(write, outcome)

    def _answered(self, write: Write | None) -> None:
        if write is None:
            self.born = True
            for _ in range(self._load.clients):
                self.busy += 1
                self._done()
            return
        self._done()

    # -- reading

    def _read_file(self) -> None:
        path = f"admin/shared/{self._world.rng.randrange(SHARED_PATHS)}"
        self._read(lambda member, floor_seq: self._look(member, path, floor_seq))

    def _read(self, look: Callable[[Member, int], None]) -> None:
        """A barrier on some node, then a look into its state, which must not be older than what is acknowledged now."""
        world = self._world
        member = self._members[world.rng.randrange(len(self._members))]
        floor_seq = self._checks.acked_seq
        settled = [False]

        def done(ready: bool) -> None:
            if not settled[0]:
                settled[0] = True
                if ready:
                    look(member, floor_seq)
                else:
                    self._checks.counters["barriers_refused"] += 1
                self._done()

        node = member.enter()
        if node is None:
            done(False)
            return
        node.reads.barrier(done)
        member.wake()
        world.after(ANSWER_TIMEOUT_S, lambda: done(False))

    def _look(self, member: Member, path: str, floor_seq: int) -> None:
        store = member.store
        if store is None:
            return
        version = queries.file_version(store.db, parse_path(path))
        seq = store.machine.seq
        generation, writer = (version.generation, writer_of(version)) if version is not None else (0, None)
        self._world.note(f"read {member.name} {path} at {seq}: {generation}")
        self._checks.counters["barrier_reads"] += 1
        self._checks.read(Read(path, floor_seq, seq, generation, writer))

    def _look_at_places(self, member: Member, floor_seq: int) -> None:
        store = member.store
        if store is None:
            return
        seq = store.machine.seq
        self._world.note(f"look {member.name} at {seq}")
        self._checks.counters["barrier_looks"] += 1
        self._checks.require(seq >= floor_seq, lambda: f"a look at the places saw {seq}, older than {floor_seq}, which "
                                                       "was acknowledged before it")
        self._checks.places.look(store.db, seq)


def _genesis(members: list[Member]) -> Genesis:
    nodes = tuple(
        NodeRecord(NodeNo(no), member.name, f"disk-{no}", f"zone-{no}", "127.0.0.1", 8000 + no, 9000 + no, 10000 + no,
                   11000 + no)
        for no, member in enumerate(members, start=1))
    header = Header(RequestId(b"genesis".ljust(16, b"-")), 1, NodeNo(0), UserNo(0))
    return Genesis(header, ClusterUuid("cluster"), "sim", nodes, "admin", bytes(32), min(3, len(nodes)), 1, 1 << 23,
                   1 << 14, 30, 10, FEATURE_LEVEL)
