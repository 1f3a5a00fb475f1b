"""The journal against a model, with the power cut at every point, and its format byte by byte."""

from __future__ import annotations

import errno
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import JournalCorrupt, StartRefused
from fluffy.drivers.raft import journal_format as fmt
from fluffy.drivers.raft.journal import Entry, SegmentedJournal
from fluffy.sim.disk import SimDisk, SimDiskFailed

SALT = b"saltsalt"
Effect = tuple[object, ...]


@dataclass
class Model:
    """What a journal must hold after some effects."""

    entries: list[Entry] = field(default_factory=list)
    term: int = 0
    vote: str | None = None

    def after(self, effects: list[Effect]) -> Model:
        model = Model(list(self.entries), self.term, self.vote)
        for effect in effects:
            match effect:
                case ("add", entry):
                    model.entries.append(entry)
                case ("cut", index):
                    model.entries = [entry for entry in model.entries if entry[1] < index]
                case ("base", index):
                    model.entries = [entry for entry in model.entries if entry[1] >= index]
                case ("vote", term, vote):
                    model.term, model.vote = term, vote
                case ("reset", entry0, entry1):
                    model.entries = [entry0, entry1]
        return model


def open_journal(disk: SimDisk, segment_bytes: int = 1500, memory_bytes: int = 2500,
                 retain: int = 0) -> SegmentedJournal:
    return SegmentedJournal(disk, segment_bytes=segment_bytes, memory_bytes=memory_bytes, retain_entries=retain,
                            salt=lambda: SALT)


def held(journal: SegmentedJournal) -> Model:
    return Model(journal[:], journal.getCurrentTerm(), journal.getVotedForNodeId())


class JournalMachine(RuleBasedStateMachine):
    """Random calls, a crash before any disk operation, and what is found afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimDisk(Random(0))
        self.journal = open_journal(self.disk)
        self.durable = Model()
        self.pending: list[Effect] = []
        self.safe_index = 0

    @property
    def model(self) -> Model:
        return self.durable.after(self.pending)

    def run(self, effects: list[Effect], call: Callable[[], object], *, synced: bool,
            drops_pending: bool = False) -> None:
        """Do `call`; if the power fails inside it, start again and compare with every state that is allowed then."""
        before = self.pending
        self.pending = [*before, *effects]
        try:
            call()
        except SimDiskFailed:
            self.restart([] if drops_pending else before, effects)
            return
        self.safe_index = min([self.safe_index, *(effect[1] - 1 for effect in effects if effect[0] == "cut")])
        if synced:
            self.settled(self.model)

    def settled(self, durable: Model) -> None:
        self.durable, self.pending = durable, []
        self.safe_index = durable.entries[-1][1] if durable.entries else 0

    def restart(self, before: list[Effect], effects: list[Effect]) -> None:
        pending = [*before, *effects]
        self.disk.before_operation = None
        self.disk.crash()
        self.journal = open_journal(self.disk)
        found = held(self.journal)
        assert found in [self.durable.after(pending[:count]) for count in range(len(pending) + 1)]
        self.settled(found)

    @rule(count=st.integers(1, 12), size=st.integers(0, 200), newer=st.booleans())
    def add(self, count: int, size: int, newer: bool) -> None:
        for _ in range(count):
            entries = self.model.entries
            index = entries[-1][1] + 1 if entries else 1
            term = (entries[-1][2] if entries else 0) + newer
            entry = (b"%d:" % index + bytes(size), index, term)
            self.run([("add", entry)], lambda entry=entry: self.journal.add(*entry), synced=False)

    @rule()
    def sync(self) -> None:
        self.run([], self.journal.sync, synced=True)

    @rule(term=st.integers(1, 50), vote=st.sampled_from([None, "one", "zwölf"]))
    def vote(self, term: int, vote: str | None) -> None:
        self.run([("vote", term, vote)], lambda: self.journal.setCurrentTerm(term, vote), synced=True)

    @precondition(lambda self: len(self.model.entries) > 1)
    @rule(data=st.data())
    def cut_the_end(self, data: st.DataObject) -> None:
        entries = self.model.entries
        position = data.draw(st.integers(1, len(entries) - 1))
        self.run([("cut", entries[position][1])], lambda: self.journal.deleteEntriesFrom(position), synced=False)

    @precondition(lambda self: len(self.model.entries) > 1)
    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        entries = self.model.entries
        position = data.draw(st.integers(1, len(entries) - 1))
        self.run([("base", entries[position][1])], lambda: self.journal.deleteEntriesTo(position), synced=True)

    @precondition(lambda self: self.model.entries)
    @rule(jump=st.integers(-5, 30), by_library=st.booleans())
    def install_snapshot(self, jump: int, by_library: bool) -> None:
        index = max(2, self.model.entries[-1][1] + jump)
        entry0, entry1 = (b"before last", index - 1, 7), (b"last", index, 7)

        def through_the_library() -> None:
            self.journal.clear()
            self.journal.add(*entry0)
            self.journal.add(*entry1)

        call = through_the_library if by_library else lambda: self.journal.reset(entry0, entry1)
        before, self.pending = self.pending, []
        model_before = self.durable
        self.run([("reset", entry0, entry1)], call, synced=True, drops_pending=True)
        assert self.durable in (model_before, model_before.after([("reset", entry0, entry1)])), before

    @rule(seed=st.integers(0, 2**16), operations=st.integers(0, 12))
    def the_power_will_fail(self, seed: int, operations: int) -> None:
        """Crash before the next-but-n-th disk operation, or at once when there is none so soon."""
        self.disk._rng.seed(seed)
        left = [operations]

        def count(_kind: str, _name: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise SimDiskFailed("power")

        self.disk.before_operation = count

    @rule(seed=st.integers(0, 2**16))
    def the_power_fails_now(self, seed: int) -> None:
        self.disk._rng.seed(seed)
        self.restart(self.pending, [])

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        before, self.disk.before_operation = self.disk.before_operation, None
        entries = self.model.entries
        assert held(self.journal) == self.model
        assert len(self.journal) == len(entries)
        assert self.journal.bytes_since_base == sum(len(entry[0]) + fmt.RECORD.size for entry in entries)
        assert 1 <= self.journal.getRaftCommitIndex() <= max(1, self.journal.last_index)
        assert self.journal.synced_index == self.safe_index
        if entries:
            assert self.journal[0] == entries[0] and self.journal[-1] == entries[-1]
            assert (self.journal.first_index, self.journal.last_index) == (entries[0][1], entries[-1][1])
            middle = len(entries) // 2
            assert self.journal.entries(entries[middle][1], 10**9) == entries[middle:]
            assert self.journal.term_at(entries[middle][1]) == entries[middle][2]
            assert self.journal[middle:middle + 2] == entries[middle:middle + 2]
        self.disk.before_operation = before


JournalMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestJournalAgainstModel = JournalMachine.TestCase


def filled(disk: SimDisk, entries: int = 30, **options: int) -> SegmentedJournal:
    journal = open_journal(disk, **options)
    for index in range(1, entries + 1):
        journal.add(b"command %d" % index, index, 1 + index // 10)
        journal.sync()
    return journal


def test_every_flipped_bit_is_noticed_or_lies_in_the_write_that_came_last() -> None:
    disk = SimDisk(Random(1))
    journal = filled(disk, segment_bytes=400)
    journal.setCurrentTerm(9, "one")
    expected = held(journal)
    names = disk.names()
    assert len(names) > 2
    for name in names:
        file = disk._names[name]
        intact = bytes(file.data)
        for byte in range(len(intact)):
            disk.rot(name, byte, byte % 8)
            try:
                found = held(open_journal(disk))
            except StartRefused:
                found = None
            file.data[:] = intact
            if found is not None:  # taken for a torn tail
                assert name == names[-1]
                assert found.entries == expected.entries and found.term in (0, 9) and byte >= len(intact) - 80


def test_damage_in_the_newest_segment_before_a_later_write_is_refused_with_advice() -> None:
    disk = SimDisk(Random(1))
    filled(disk, segment_bytes=10**6)
    name = disk.names()[0]
    disk.rot(name, disk._names[name].size() // 2, 3)
    with pytest.raises(JournalCorrupt) as caught:
        open_journal(disk)
    assert "reset-node" in caught.value.message and name in caught.value.message


def test_a_lost_segment_in_the_middle_is_refused() -> None:
    disk = SimDisk(Random(1))
    filled(disk, segment_bytes=300)
    disk.unlink(disk.names()[-2])
    with pytest.raises(JournalCorrupt, match="where the log begins, is missing"):
        open_journal(disk)


def test_a_lost_segment_is_refused_after_compaction_too() -> None:
    disk = SimDisk(Random(1))
    journal = filled(disk, segment_bytes=300)
    journal.compact_to(15)
    disk.unlink(disk.names()[-2])
    with pytest.raises(JournalCorrupt, match="entry 15, where the log begins, is missing"):
        open_journal(disk)


def test_segments_that_a_crash_left_behind_after_compaction_are_removed() -> None:
    disk = SimDisk(Random(1))
    journal = filled(disk, segment_bytes=300)
    old = {name: disk._names[name] for name in disk.names()}
    journal.compact_to(28)
    kept = disk.names()
    returned = sorted(set(old) - set(kept))[:-1]
    assert returned, "some segments went, and not only the neighbour of the kept ones"
    for name in returned:
        disk._names[name] = old[name]
    assert open_journal(disk).first_index == 28
    assert disk.names() == kept


def test_a_log_of_a_newer_version_is_not_touched() -> None:
    disk = SimDisk(Random(1))
    filled(disk, entries=1)
    file = disk._names[disk.names()[0]]
    body = bytes(file.data[fmt.RECORD.size:fmt.RECORD.size + 12])
    head = fmt.encode_record(fmt.SEGMENT, 1, fmt.FORMAT_VERSION + 1, body)
    file.data[:len(head)] = head
    with pytest.raises(StartRefused, match="start the version that wrote it"):
        open_journal(disk)


def golden_journal(disk: SimDisk) -> SegmentedJournal:
    journal = open_journal(disk)
    journal.add(b"\x01", 1, 0)
    journal.setCurrentTerm(3, "zwölf")
    journal.add(b"hello", 2, 3)
    journal.add(b"again", 3, 3)
    journal.setRaftCommitIndex(2)
    journal.sync()
    journal.deleteEntriesFrom(2)
    journal.add(b"anew", 3, 4)
    journal.deleteEntriesTo(1)
    journal.setCurrentTerm(4, None)
    return journal


def test_the_bytes_on_disk_are_those_of_format_1(request: pytest.FixtureRequest) -> None:
    disk = SimDisk(Random(0))
    golden_journal(disk)
    golden = bytes.fromhex((request.path.parent / "golden_segment_1.hex").read_text())
    assert disk.names() == ["000000000001.seg"]
    assert disk._names["000000000001.seg"].data == golden


def test_a_segment_of_format_1_is_read(request: pytest.FixtureRequest) -> None:
    disk = SimDisk(Random(0))
    file = disk.create("000000000001.seg")
    file.append(bytes.fromhex((request.path.parent / "golden_segment_1.hex").read_text()))
    journal = open_journal(disk)
    assert held(journal) == Model([(b"hello", 2, 3), (b"anew", 3, 4)], 4, None)
    assert journal.getRaftCommitIndex() == 2


def test_the_commit_index_of_a_start_never_exceeds_the_log() -> None:
    disk = SimDisk(Random(0))
    journal = open_journal(disk)
    for index in range(1, 11):
        journal.add(b"x", index, 1)
    journal.sync()
    journal.setRaftCommitIndex(99)
    journal.setCurrentTerm(2, None)
    assert journal.getRaftCommitIndex() == 10
    assert open_journal(disk).getRaftCommitIndex() == 10


def test_the_commit_index_comes_back_after_a_later_write() -> None:
    disk = SimDisk(Random(0))
    journal = filled(disk, segment_bytes=10**6)
    journal.setRaftCommitIndex(17)
    journal.sync()  # nothing else to write: the hint alone is not worth a sync
    assert open_journal(disk).getRaftCommitIndex() == 1
    journal.add(b"y", 31, 9)
    journal.sync()
    assert open_journal(disk).getRaftCommitIndex() == 17


def test_an_idle_sync_touches_nothing() -> None:
    disk = SimDisk(Random(0))
    journal = filled(disk)
    operations: list[str] = []
    disk.before_operation = lambda kind, _name: operations.append(kind)
    journal.sync()
    assert operations == []
    journal.add(b"a", 31, 5)
    journal.add(b"b", 32, 5)
    journal.sync()
    assert operations == ["write", "fdatasync"]


def test_compaction_keeps_the_entries_that_lagging_followers_want() -> None:
    journal = filled(SimDisk(Random(0)), retain=12)
    journal.deleteEntriesTo(25)
    assert journal.first_index == 19
    journal.compact_to(19)
    assert journal.first_index == 19


def test_entries_are_cut_at_the_bytes_asked_for_but_one_always_comes() -> None:
    journal = filled(SimDisk(Random(0)))
    assert [entry[1] for entry in journal.entries(10, 31, 40)] == [10, 11, 12, 13]
    assert [entry[1] for entry in journal.entries(10, 31, 1)] == [10]
    assert journal.entries(31, 40) == [] and journal.entries(5, 5) == []
    with pytest.raises(IndexError):
        journal[30]


@pytest.mark.parametrize("kind", ["write", "fdatasync", "create", "rename", "sync_folder", "read", "unlink"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failing_disk_ends_the_process_and_is_never_tried_again(kind: str, code: int) -> None:
    disk = SimDisk(Random(0))
    journal = filled(disk, segment_bytes=400, memory_bytes=0)
    tries: list[str] = []

    def fail(operation: str, _name: str) -> None:
        if operation == kind:
            tries.append(operation)
            raise OSError(code, "injected")

    disk.before_operation = fail
    with pytest.raises(SimDiskFailed):
        for index in range(31, 61):
            journal.add(b"command", index, 5)
            journal.sync()
            journal.entries(2, 5)
            if index > 50:
                journal.compact_to(index - 5)
    assert len(tries) == 1


def test_old_bodies_leave_memory_and_come_back_from_disk() -> None:
    disk = SimDisk(Random(0))
    entries = 20_000
    journal = SegmentedJournal(disk, segment_bytes=1 << 20, memory_bytes=256 << 10)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for index in range(1, entries + 1):
        journal.add(b"%8d" % index + bytes(492), index, 1)
        if index % 100 == 0:
            journal.sync()
    in_files = sum(disk._names[name].size() for name in disk.names())
    grown = tracemalloc.get_traced_memory()[0] - before - in_files
    tracemalloc.stop()
    assert in_files > entries * 500
    assert grown < 2 << 20, f"{grown} bytes for {entries} entries of 500"
    assert [entry[0][:8] for entry in journal.entries(5, 8)] == [b"%8d" % index for index in (5, 6, 7)]
    assert journal.stats.bodies_read_back >= 3
    assert len(journal[:]) == entries


def test_a_turn_that_adds_very_much_syncs_before_its_end() -> None:
    journal = SegmentedJournal(SimDisk(Random(0)))
    for index in range(1, 10):
        journal.add(bytes(1 << 20), index, 1)
    assert journal.synced_index == 8


def test_a_body_that_rots_under_a_running_node_is_noticed() -> None:
    disk = SimDisk(Random(0))
    journal = filled(disk, memory_bytes=0, segment_bytes=10**6)
    name = disk.names()[0]
    disk.rot(name, disk._names[name].data.index(b"command 7"), 0)
    assert journal.entries(6, 7) == [(b"command 6", 6, 1)]
    with pytest.raises(JournalCorrupt):
        journal.entries(6, 9)


def test_gaps_and_older_terms_are_our_bug() -> None:
    journal = filled(SimDisk(Random(0)))
    with pytest.raises(InvariantBroken):
        journal.add(b"x", 32, 9)
    with pytest.raises(InvariantBroken):
        journal.add(b"x", 31, 1)
    with pytest.raises(InvariantBroken):
        journal.deleteEntriesFrom(0)


def test_users_bytes_do_not_pass_for_a_later_write() -> None:
    """An entry may contain anything, even a whole batch record of another salt."""
    disk = SimDisk(Random(0))
    journal = open_journal(disk, segment_bytes=10**6)
    journal.add(fmt.encode_batch(10**6, b"guessed!") * 3, 1, 1)
    journal.sync()
    file = disk._names[disk.names()[0]]
    del file.data[-1:]
    file.safe = len(file.data)
    assert held(open_journal(disk)).entries == []
