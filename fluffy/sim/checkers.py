"""What must hold whatever happens; each broken promise becomes one line that names it.

Always: at most one leader per term; one vote per term and node; no acknowledgement, and no step of the state,
before its fsync; all nodes apply the same entry at the same index, once and in order; equal states (digest) at equal
positions; a read after a barrier is at least as new as every write acknowledged before it was asked for.

At the calm end: everything finished, all nodes equal, and the history of the clients fits the change feed: each
acknowledged change is there, at its place, once, with its answer; each read saw the file as it was at the position it
read at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fluffy.base.ids import RequestId
from fluffy.core.metadata.commands import Command
from fluffy.core.metadata.model import Change, FileVersion
from fluffy.core.metadata.outcomes import Accepted, Outcome
from fluffy.drivers.raft.messages import Message
from fluffy.sim import places
from fluffy.sim.places import Contents, Places
from fluffy.sim.writes import Write
from fluffy.wire.log_entries import decode_command, decode_group

# States are compared at every so-many-th entry; each comparison reads the whole (small) database.
DIGEST_EVERY_ENTRIES = 64
# What each kind of write looks like in the change feed.
FEED_KINDS = {"put": "file-put", "put-new": "file-put", "delete": "file-deleted", "mkdir": "folder-made",
              **places.FEED_KINDS}


@dataclass(slots=True)
class Read:
    """One read after a barrier: the state stood at `seq`, and showed `generation` (0: no file) written by `writer`."""

    path: str
    floor_seq: int  # what was acknowledged when it was asked for
    seq: int
    generation: int
    writer: int | None


@dataclass(slots=True)
class Checks:
    """Collects what the cluster does, and says what is wrong with it."""

    violations: list[str] = field(default_factory=list)
    acked_seq: int = 0
    reads: list[Read] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    places: Places = field(default_factory=Places)
    counters: Counter[str] = field(default_factory=Counter)
    lost: list[int] = field(default_factory=list)
    _requests: set[bytes] = field(default_factory=set)
    _leaders: dict[int, str] = field(default_factory=dict)
    _votes: dict[tuple[str, int], str] = field(default_factory=dict)
    _entries: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    _digests: dict[int, tuple[str, str]] = field(default_factory=dict)

    def violated(self, text: str) -> None:
        self.violations.append(text)

    def require(self, holds: bool, text: Callable[[], str]) -> None:
        if not holds:
            self.violated(text())

    # -- always

    def leads(self, name: str, term: int, voters: tuple[str, ...]) -> None:
        """`voters`: who counts, as the leader sees it."""
        if term not in self._leaders and voters:
            votes = 1 + sum(self._votes.get((voter, term)) == name for voter in voters if voter != name)
            self.require(2 * votes > len(voters),
                         lambda: f"{name} leads in term {term} with {votes} votes of {len(voters)}")
        first = self._leaders.setdefault(term, name)
        self.require(first == name, lambda: f"two leaders in term {term}: {first} and {name}")

    def stands(self, name: str, applied: int, synced_index: int) -> None:
        """A state ahead of its own log could not start again after a power cut."""
        self.require(applied <= synced_index,
                     lambda: f"{name} has applied {applied}, but only {synced_index} is on its disk")

    @property
    def terms_led(self) -> int:
        return len(self._leaders)

    def sends(self, name: str, receiver: str, message: Message, synced_index: int) -> None:
        """Called with every message before it leaves `name`."""
        kind = message["type"]
        if kind == "next_node_idx" and message["success"]:
            acked = message["next_node_idx"] - 1
            self.require(acked <= synced_index,
                         lambda: f"{name} acknowledges {acked}, but only {synced_index} is on its disk")
        elif kind == "response_vote":
            self._voted(name, message["term"], receiver)
        elif kind == "request_vote":
            self._voted(name, message["term"], name)

    def _voted(self, name: str, term: int, candidate: str) -> None:
        first = self._votes.setdefault((name, term), candidate)
        self.require(first == candidate, lambda: f"{name} votes twice in term {term}: for {first} and {candidate}")

    def applies(self, name: str, after: int, entries: list[tuple[int, int, bytes]]) -> None:
        """Called before `name`, whose state stands at `after`, applies entries (index, term, group)."""
        for index, term, group in entries:
            if index != after + 1 and after > 0:
                self.violated(f"{name} applies entry {index} after {after}")
            after = index
            if index not in self._entries:
                self._count_repeated(group)
            first_term, first_group = self._entries.setdefault(index, (term, group))
            if (first_term, first_group) != (term, group):
                self.violated(f"{name} applies another entry {index} (term {term}) than a node before it (term "
                              f"{first_term}): {self._lost(first_group, group)}")

    def _count_repeated(self, group: bytes) -> None:
        """Requests that the log has a second time: the state must answer them from its window."""
        for blob in decode_group(group) if group else []:
            request_id = decode_command(blob).header.request_id
            self.counters["dedup_hits"] += request_id in self._requests
            self._requests.add(request_id)

    def _lost(self, first_group: bytes, group: bytes) -> str:
        """Which acknowledged writes were in the entry that is gone."""
        blobs = set(decode_group(first_group) if first_group else []) - set(decode_group(group) if group else [])
        numbers = sorted(write_number(decode_command(blob)) for blob in blobs)
        acked = [number for number in numbers if 0 <= number < len(self.writes)
                 and isinstance(self.writes[number].outcome, Accepted)]
        self.lost += acked
        return f"acknowledged writes {acked} are lost" if acked else "it held nothing that was acknowledged"

    def state_at(self, name: str, index: int, digest: str) -> None:
        first = self._digests.setdefault(index, (digest, name))
        self.require(first[0] == digest, lambda: f"{name} and {first[1]} have different states at entry {index}")

    @property
    def applied_max(self) -> int:
        return max(self._entries, default=0)

    # -- clients

    def answered(self, write: Write, outcome: Outcome) -> None:
        """An answer to one of the tries of a write."""
        if write.outcome is not None:
            if write.outcome != outcome:
                self.violated(f"write {write.number} got two different answers: {write.outcome} and {outcome}")
            return
        write.outcome = outcome
        if isinstance(outcome, Accepted):
            self.acked_seq = max(self.acked_seq, outcome.seq)
            self.places.accepted(write)
        elif write.kind in ("put-new", "mkdir"):
            self.violated(f"write {write.number} ({write.kind} {write.path}, tried {write.tries} times) was refused "
                          f"with {outcome.code}: it happened twice")

    def read(self, read: Read) -> None:
        self.reads.append(read)
        self.require(read.seq >= read.floor_seq,
                     lambda: f"a read of {read.path} saw {read.seq}, older than {read.floor_seq}, which was "
                             "acknowledged before it")

    # -- at the end

    def finish(self, feed: list[Change], current: Callable[[str], FileVersion | None], final: Contents) -> None:
        """Compare the clients' history with the change feed, and with the files and `places` as they are now."""
        rows: dict[str, list[Change]] = {}
        by_seq = {}
        for row in feed:
            rows.setdefault(row.path, []).append(row)
            by_seq[row.seq] = row
        for write in self.writes:
            self._check_write(write, rows.get(write.path, []), by_seq)
        writers = {(write.path, write.outcome.facts["generation"]): write.number for write in self.writes
                   if isinstance(write.outcome, Accepted) and write.kind in ("put", "put-new")}
        for read in self.reads:
            self._check_read(read, rows.get(read.path, []), writers)
        for path, history in rows.items():
            if not path.startswith(places.HOME):
                self._check_current(path, history, current, writers)
        self.places.judge(self.writes, by_seq, final, self.violated)

    def _check_write(self, write: Write, history: list[Change], by_seq: dict[int, Change]) -> None:
        outcome = write.outcome
        if outcome is None:
            self.violated(f"write {write.number} ({write.kind} {write.path}) was never answered")
            return
        wanted = FEED_KINDS.get(write.kind)
        if not isinstance(outcome, Accepted) or wanted is None:
            return
        row = by_seq.get(outcome.seq)
        if row is None or (row.kind, row.path) != (wanted, write.path):
            self.lost.append(write.number)
            self.violated(f"write {write.number} ({write.kind} {write.path}) was acknowledged at {outcome.seq}, where "
                          f"the change feed has {row}")
        elif write.kind in ("put", "put-new") and row.generation != outcome.facts["generation"]:
            self.violated(f"write {write.number} was acknowledged as generation {outcome.facts['generation']}, "
                          f"and is {row.generation}")
        if write.kind in ("put-new", "mkdir") and len(history) != 1:
            self.violated(f"write {write.number} ({write.kind} {write.path}) happened {len(history)} times")

    def _check_read(self, read: Read, history: list[Change], writers: dict[tuple[str, int], int]) -> None:
        before = [row for row in history if row.seq <= read.seq]
        expected = before[-1].generation if before and before[-1].kind == "file-put" else 0
        if read.generation != expected:
            self.violated(f"a read of {read.path} at {read.seq} saw generation {read.generation} instead of {expected}")
        elif expected and writers.get((read.path, expected), read.writer) != read.writer:
            self.violated(f"a read of {read.path} at {read.seq} saw the bytes of write {read.writer}")

    def _check_current(self, path: str, history: list[Change], current: Callable[[str], FileVersion | None],
                       writers: dict[tuple[str, int], int]) -> None:
        if not history[-1].kind.startswith("file-"):
            return
        version = current(path)
        if history[-1].kind != "file-put":
            self.require(version is None, lambda: f"{path} was deleted and is there")
        elif version is None or version.generation != history[-1].generation:
            self.violated(f"{path} is not at its newest generation {history[-1].generation}")
        elif writers.get((path, version.generation), writer_of(version)) != writer_of(version):
            self.violated(f"{path} holds the bytes of another write")


def content_of(number: int, size: int) -> bytes:
    """The bytes that a write puts: they say which write it was."""
    return (b"%d:" % number).ljust(size, b".")


def request_id_of(number: int, salt: bytes) -> RequestId:
    """A request id that says which write it belongs to."""
    return RequestId(number.to_bytes(8, "big") + salt)


def write_number(command: Command) -> int:
    """The number in the request id of a command; for that of the birth, one that no write has."""
    return int.from_bytes(command.header.request_id[:8], "big")


def writer_of(version: FileVersion) -> int | None:
    """Which write the bytes of a file come from; None when they are nobody's."""
    digits, _, _ = (version.inline or b"").partition(b":")
    return int(digits) if digits.isdigit() else None
