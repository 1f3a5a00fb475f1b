"""The log on this node's disk: what the node has promised to remember (its entries, its term and its vote).

It replaces the journal of PySyncObj, which never syncs, has no checksums and loses entries when it is compacted.
Records are only ever appended, to segment files; one `sync` makes everything added before it durable by one write and
one fdatasync, however much that was. Term and vote are durable before the call that changes them returns. Removing the
old part of the log appends one record and unlinks whole files: nothing is rewritten.

The interface is `pysyncobj.journal.Journal` (positions, camelCase) and, beside it, one by entry index, for our own
code. The commit index is a hint for the next start, written along with other records and never beyond the log.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import overload

from pysyncobj.journal import Journal

from fluffy.base.checks import invariant
from fluffy.base.units import MIB
from fluffy.drivers.raft import journal_format as fmt
from fluffy.drivers.raft.disk import Disk
from fluffy.drivers.raft.journal_replay import DRAFT_SUFFIX, Segment, damaged, replay, segment_name

Entry = tuple[bytes, int, int]  # (command, index, term): the library's order

SEGMENT_BYTES = 32 * MIB
MEMORY_BYTES = 32 * MIB
# Adding more than this in one turn syncs early: the buffer is memory, and memory is bounded.
BUFFER_BYTES_MAX = 8 * MIB
# Entries under load are groups of up to a megabyte: a count alone would retain a gigabyte, and make the log look due
# for the next checkpoint the moment one is made. Far below what makes one due (CheckpointPolicy.log_bytes_min).
RETAIN_BYTES_MAX = 16 * MIB
# Old entries are read back in pieces of this size, not one by one.
READ_RUN_BYTES_MAX = 4 * MIB
invariant(READ_RUN_BYTES_MAX >= fmt.ENTRY_BYTES_MAX, "one entry fits one read")


@dataclass(slots=True)
class JournalStats:
    """Counters since the start, for metrics and for tests that must know which paths ran."""

    syncs: int = 0
    bytes_written: int = 0
    truncations: int = 0
    resets: int = 0
    segments_made: int = 0
    segments_removed: int = 0
    bodies_read_back: int = 0
    torn_bytes_cut: int = 0


def _random_salt() -> bytes:
    return os.urandom(fmt.SALT_BYTES)


class SegmentedJournal(Journal):  # type: ignore[misc]  # the library is untyped
    """The durable log. One thread. Raises JournalCorrupt or StartRefused from the constructor, never a torn state.

    `memory_bytes` bounds the bodies kept in memory. `retain_entries`: how many of the newest entries compaction keeps
    for followers that lag a little, while they have at most RETAIN_BYTES_MAX bytes. `salt` gives the random bytes of a
    new segment.
    """

    def __init__(self, disk: Disk, *, segment_bytes: int = SEGMENT_BYTES, memory_bytes: int = MEMORY_BYTES,
                 retain_entries: int = 0, salt: Callable[[], bytes] = _random_salt) -> None:
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._retain_entries = retain_entries
        self._salt = salt
        state = replay(disk, memory_bytes)
        self._index = state.index
        self._bodies = state.bodies
        self._segments = state.segments
        self._term, self._vote = state.term, state.vote
        self._commit = self._commit_logged = state.commit
        self._base = state.base
        self._batch = state.batch
        self._synced = self._written = self._index.last
        self._buffer: list[bytes] = []
        self._buffer_bytes = 0
        self._last_entry: Entry | None = None
        self._first_entry: Entry | None = None
        self._arriving: list[Entry] | None = None
        self.stats = JournalStats(torn_bytes_cut=state.torn_bytes)
        if not self._segments:
            self._begin_segment(1, b"")

    # -- what our own code asks, by entry index

    @property
    def first_index(self) -> int:
        """Index of the first entry held; 1 above `last_index` in an empty log."""
        return self._index.first if len(self._index) else 1

    @property
    def last_index(self) -> int:
        return self._index.last

    @property
    def synced_index(self) -> int:
        """The last entry that survives a crash. Never counts entries that were cut and written anew since."""
        return self._synced

    @property
    def log_bytes(self) -> int:
        """Bytes of all segments, and of what waits to be written."""
        return sum(segment.size for segment in self._segments) + self._buffer_bytes

    @property
    def bytes_since_base(self) -> int:
        """Bytes of the entries that still count: what the next checkpoint could remove."""
        return self._index.record_bytes

    def term_at(self, index: int) -> int | None:
        """Term of an entry; None when the log does not hold it."""
        return self._index.term(index) if self._index.holds(index) else None

    def entries(self, first: int, last_exclusive: int, bytes_max: int | None = None) -> list[Entry]:
        """The entries of a range that the log holds: at most `bytes_max` bytes of commands, but at least one entry."""
        first = max(first, self.first_index)
        end, total = first, 0
        last_exclusive = min(last_exclusive, self._index.last + 1)
        while end < last_exclusive:
            total += self._index.length(end)
            if bytes_max is not None and total > bytes_max and end > first:
                break
            end += 1
        return self._collect(first, end)

    def sync(self) -> None:
        """Make durable all that was added: one write, one fdatasync; nothing at all when there is nothing new."""
        invariant(self._arriving is None, "a snapshot is installed in one step")
        if not self._buffer:
            return
        commit = min(self._commit, self._index.last)
        if commit != self._commit_logged:
            self._add(fmt.encode_record(fmt.COMMIT, commit))
            self._commit_logged = commit
        segment = self._segments[-1]
        segment.file.append(b"".join(self._buffer))
        segment.file.fdatasync()
        segment.size += self._buffer_bytes
        self.stats.syncs += 1
        self.stats.bytes_written += self._buffer_bytes
        self._drop_buffer()
        self._synced = self._written = self._index.last
        self._bodies.shrink(self._written)
        if segment.size >= self._segment_bytes:
            self._begin_segment(segment.number + 1, b"")

    def compact_to(self, index: int) -> None:
        """Let go of the entries before `index`, but for the newest that are retained; durable when it returns.

        The caller has a durable checkpoint that covers what goes.
        """
        index = min(index, self._index.last, self._first_retained())
        if index <= self.first_index:
            return
        self._index.cut_before(index)
        self._bodies.cut_before(index)
        self._first_entry = None
        self._base = index
        self._add_record(fmt.encode_record(fmt.BASE, index))
        self.sync()
        while len(self._segments) > 1 and self._segments[0].index_max < index:
            self._remove_oldest_segment()

    def _first_retained(self) -> int:
        first, retained_bytes = self._index.last + 1, 0
        for _ in range(min(self._retain_entries, len(self._index))):
            retained_bytes += self._index.length(first - 1)
            if retained_bytes > RETAIN_BYTES_MAX:
                break
            first -= 1
        return first

    def reset(self, entry0: Entry, entry1: Entry) -> None:
        """Replace the whole log by two entries, those a snapshot ends with; durable when it returns.

        A crash leaves the old log or the new one: both entries lie in the head of a new segment, which is named last.
        """
        invariant(entry1[1] == entry0[1] + 1, "a snapshot ends with two neighbours")
        self._drop_buffer()  # records of a log that is about to be void
        self._commit = entry1[1]  # a snapshot holds only what is committed
        self._base = entry0[1]
        self._first_entry = self._last_entry = None
        old = len(self._segments)
        self._index.cut_from(0)
        self._bodies.cut_from(0)
        self._begin_segment(self._segments[-1].number + 1, fmt.encode_record(fmt.RESET, entry0[1]), (entry0, entry1))
        self._synced = self._written = entry1[1]
        self.stats.resets += 1
        for _ in range(old):
            self._remove_oldest_segment()

    # -- the library's interface, by position

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Append an entry; durable at the next `sync`."""
        if self._arriving is not None:
            self._arrive((command, idx, term))
            return
        index = self._index
        invariant(idx == index.last + 1, "entries follow each other without a gap, from 1 on")
        if len(index):
            invariant(term >= index.term(index.last), "terms never go back along the log")
        invariant(len(command) <= fmt.ENTRY_BYTES_MAX, "groups of commands are cut before they reach the log")
        segment = self._segments[-1]
        self._begin_batch()
        index.append(idx, term, segment.number, segment.size + self._buffer_bytes, len(command))
        self._add(fmt.record_head(fmt.ENTRY, idx, term, command))
        self._add(command)
        self._bodies.append(idx, command)
        if idx > segment.index_max:
            segment.index_max = idx
        self._last_entry = command, idx, term
        if self._buffer_bytes >= BUFFER_BYTES_MAX:
            self.sync()
        else:
            self._bodies.shrink(self._written)

    def clear(self) -> None:
        """Begin a snapshot install: the library clears, then adds two entries. The three together are one `reset`."""
        self._arriving = []

    def deleteEntriesFrom(self, entryFrom: int) -> None:
        """Cut the log's end, from a position on. The first entry always stays: what came before it is not here."""
        invariant(entryFrom >= 1, "the first entry of the log is committed")
        if entryFrom >= len(self._index):
            return
        first_gone = self._index.first + entryFrom
        self._last_entry = None
        self._index.cut_from(first_gone)
        self._bodies.cut_from(first_gone)
        self._synced = min(self._synced, first_gone - 1)
        self._written = min(self._written, first_gone - 1)
        self._add_record(fmt.encode_record(fmt.TRUNCATE, first_gone))
        self.stats.truncations += 1

    def deleteEntriesTo(self, entryTo: int) -> None:
        """Let go of the first `entryTo` entries; see `compact_to`."""
        invariant(entryTo < len(self._index), "compaction leaves at least one entry")
        self.compact_to(self.first_index + entryTo)

    @overload
    def __getitem__(self, item: int) -> Entry: ...
    @overload
    def __getitem__(self, item: slice) -> list[Entry]: ...

    def __getitem__(self, item: int | slice) -> Entry | list[Entry]:
        if item == -1 and self._last_entry is not None:
            return self._last_entry  # the library asks for it all the time, to learn its index or its term
        index = self._index
        if isinstance(item, slice):
            start, stop, step = item.indices(len(index))
            invariant(step == 1, "the log is read forwards")
            return self._collect(index.first + start, index.first + stop)
        position = item if item >= 0 else item + len(index)
        if not 0 <= position < len(index):
            raise IndexError("no such entry in the log")
        if position == 0:
            return self._first()
        at = index.first + position
        body = self._bodies.get(at)
        return (body, at, index.term(at)) if body is not None else self._collect(at, at + 1)[0]

    def __len__(self) -> int:
        return len(self._index)

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:
        self._commit = raftCommitIndex

    def getRaftCommitIndex(self) -> int:
        """What was known to be committed, as far as the log on disk reaches: never beyond it."""
        return max(1, min(self._commit, self._index.last))

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:
        """Durable before it returns: a node must not vote twice in one term, whatever happens to it."""
        invariant(votedForNodeId is None or len(votedForNodeId.encode()) <= fmt.VOTE_BYTES_MAX, "node ids are short")
        self._term, self._vote = term, votedForNodeId
        self._add_record(fmt.encode_vote(term, votedForNodeId))
        self.sync()

    def getCurrentTerm(self) -> int:
        return self._term

    def getVotedForNodeId(self) -> str | None:
        return self._vote

    def _destroy(self) -> None:
        self.sync()
        for segment in self._segments:
            segment.file.close()

    # -- inside

    def _begin_batch(self) -> None:
        if not self._buffer:
            self._batch += 1
            self._add(fmt.encode_batch(self._batch, self._segments[-1].salt))

    def _add_record(self, record: bytes) -> None:
        self._begin_batch()
        self._add(record)

    def _add(self, piece: bytes) -> None:
        self._buffer.append(piece)
        self._buffer_bytes += len(piece)

    def _drop_buffer(self) -> None:
        self._buffer = []
        self._buffer_bytes = 0

    def _arrive(self, entry: Entry) -> None:
        invariant(self._arriving is not None, "entries of a snapshot come after clear")
        self._arriving = [*(self._arriving or []), entry]
        if len(self._arriving) == 2:
            entry0, entry1 = self._arriving
            self._arriving = None
            self.reset(entry0, entry1)

    def _begin_segment(self, number: int, reset: bytes, entries: tuple[Entry, ...] = ()) -> None:
        """Make the next segment, its head durable before its name; `reset` and `entries` become part of the head."""
        salt = self._salt()
        commit = max(1, min(self._commit, entries[-1][1] if entries else self._index.last))
        records = bytearray(fmt.encode_batch(self._batch, salt) + fmt.encode_vote(self._term, self._vote)
                            + fmt.encode_record(fmt.COMMIT, commit))
        records += reset or (fmt.encode_record(fmt.BASE, self._base) if self._base else b"")
        segment = Segment(number, self._disk.create(segment_name(number) + DRAFT_SUFFIX), 0, salt)
        offset = len(fmt.encode_head(number, salt, bytes(records)))
        for command, index, term in entries:
            self._index.append(index, term, number, offset, len(command))
            self._bodies.append(index, command)
            segment.index_max = index
            record = fmt.encode_record(fmt.ENTRY, index, term, command)
            records += record
            offset += len(record)
        head = fmt.encode_head(number, salt, bytes(records))
        segment.file.append(head)
        segment.file.fdatasync()
        self._disk.rename(segment_name(number) + DRAFT_SUFFIX, segment_name(number))
        self._disk.sync_folder()
        segment.size = len(head)
        self._segments.append(segment)
        self._commit_logged = commit
        self.stats.segments_made += 1

    def _remove_oldest_segment(self) -> None:
        segment = self._segments.pop(0)
        segment.file.close()
        self._disk.unlink(segment_name(segment.number))
        self.stats.segments_removed += 1

    def _first(self) -> Entry:
        """The first entry, kept at hand: the library asks for it all the time, just to learn its index."""
        if self._first_entry is None or self._first_entry[1] != self._index.first:
            self._first_entry = self._collect(self._index.first, self._index.first + 1)[0]
        return self._first_entry

    def _collect(self, first: int, end: int) -> list[Entry]:
        """Entries `first .. end - 1`, all held: from memory, and the older ones from disk in runs."""
        found: list[Entry] = []
        at = first
        while at < end:
            body = self._bodies.get(at)
            if body is None:
                run = self._read_run(at, end)
                found += run
                at += len(run)
            else:
                found.append((body, at, self._index.term(at)))
                at += 1
        return found

    def _read_run(self, first: int, end: int) -> list[Entry]:
        """Entries from `first` on that lie behind each other in one segment and are not in memory; one read."""
        number, start, length = self._index.place(first)
        stop, last = start + fmt.RECORD.size + length, first
        while last + 1 < end and self._bodies.get(last + 1) is None:
            next_number, offset, length = self._index.place(last + 1)
            next_stop = offset + fmt.RECORD.size + length
            if next_number != number or next_stop - start > READ_RUN_BYTES_MAX:
                break
            stop, last = next_stop, last + 1
        file = self._segments[number - self._segments[0].number].file
        data = file.pread(stop - start, start)
        self.stats.bodies_read_back += last + 1 - first
        return [self._entry_from(data, start, index) for index in range(first, last + 1)]

    def _entry_from(self, data: bytes, start: int, index: int) -> Entry:
        number, offset, _ = self._index.place(index)
        record = fmt.read_record(data, offset - start)
        term = self._index.term(index)
        if record is None or (record.kind, record.a, record.b) != (fmt.ENTRY, index, term):
            damaged(segment_name(number), offset, f"entry {index} reads differently than it was written")
        return data[record.body_start:record.end], index, term
