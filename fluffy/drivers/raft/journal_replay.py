"""From segment files to the state of the log: what a start finds, what it repairs, and when it refuses.

Only one kind of damage is an ordinary consequence of a crash: the end of the newest segment, in the write that no fsync
had finished. It is cut off. Anything else means that bytes were lost which other nodes were told are safe; a node that
went on would vote and acknowledge without its memory, and so the start is refused (JournalCorrupt).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import NoReturn

from fluffy.base.errors import JournalCorrupt, StartRefused
from fluffy.drivers.raft import journal_format as fmt
from fluffy.drivers.raft.disk import Disk, DiskFile
from fluffy.drivers.raft.journal_index import BodyWindow, EntryIndex

log = logging.getLogger(__name__)

SEGMENT_SUFFIX = ".seg"
DRAFT_SUFFIX = ".draft"


def segment_name(number: int) -> str:
    return f"{number:012d}{SEGMENT_SUFFIX}"


@dataclass(slots=True)
class Segment:
    """One file of the log. `index_max`: the highest entry index ever written to it, 0 for none."""

    number: int
    file: DiskFile
    size: int
    salt: bytes
    index_max: int = 0


@dataclass(slots=True)
class LogState:
    """Everything the records of a log add up to. `base` 0: nothing was ever removed from its beginning."""

    index: EntryIndex
    bodies: BodyWindow
    segments: list[Segment] = field(default_factory=list)
    term: int = 0
    vote: str | None = None
    commit: int = 1
    base: int = 0
    batch: int = 0
    torn_bytes: int = 0


def damaged(name: str, offset: int, why: str) -> NoReturn:
    raise JournalCorrupt(
        f"the log file {name} is damaged at byte {offset} ({why}); a node that forgot what it promised must not vote. "
        "Let it come back as a new disk that keeps its chunks: 'fluffy admin reset-node NAME', then 'recover NAME' at "
        "another node, and start it with --join",
        file=name, offset=offset, why=why)


def replay(disk: Disk, memory_bytes: int) -> LogState:
    """Read the whole log of `disk`; an empty folder gives an empty state without segments.

    Cuts a torn tail and removes files that a crash left over. Raises JournalCorrupt, or StartRefused for a log of a
    newer version.
    """
    state = LogState(EntryIndex(), BodyWindow(memory_bytes))
    names = disk.names()
    for name in names:
        if name.endswith(DRAFT_SUFFIX):
            disk.unlink(name)
    numbers = [int(name.removesuffix(SEGMENT_SUFFIX)) for name in names if name.endswith(SEGMENT_SUFFIX)]
    live = _newest_run(numbers)
    for number in live:
        _replay_segment(disk, number, state, newest=number == live[-1])
    if live:
        _check_beginning(live[0], state)
    for number in numbers:
        if number not in live:
            disk.unlink(segment_name(number))
    return state


def _check_beginning(oldest: int, state: LogState) -> None:
    """The log reaches back to its base, or to its birth when nothing was ever removed (base 0)."""
    if state.base:
        whole = state.index.holds(state.base)
    else:
        whole = oldest == 1 and (not len(state.index) or state.index.first == 1)
    if not whole:
        damaged(segment_name(oldest), 0, f"entry {max(1, state.base)}, where the log begins, is missing")


def _newest_run(numbers: list[int]) -> list[int]:
    """The newest segments without a gap in their numbers: older ones were being removed when a crash came."""
    start = len(numbers) - 1
    while start > 0 and numbers[start - 1] == numbers[start] - 1:
        start -= 1
    return numbers[max(0, start):]


def _replay_segment(disk: Disk, number: int, state: LogState, *, newest: bool) -> None:
    name = segment_name(number)
    file = disk.open(name)
    data = file.pread(file.size(), 0)
    head = fmt.read_head(data)
    if head is None or head.number != number:
        damaged(name, 0, "its first record is not readable")
    if head.version != fmt.FORMAT_VERSION:
        raise StartRefused(f"the log file {name} has format {head.version}, and this version of Fluffy reads only "
                           f"{fmt.FORMAT_VERSION}; start the version that wrote it", file=name, format=head.version)
    segment = Segment(number, file, len(data), head.salt)
    state.segments.append(segment)
    at = 0
    while at < len(data):
        record = fmt.read_record(data, at)
        if record is None:
            _cut_torn_tail(segment, data, at, state, newest=newest and at >= head.head_bytes)
            break
        _take(record, data, at, segment, state)
        at = record.end


def _cut_torn_tail(segment: Segment, data: bytes, at: int, state: LogState, *, newest: bool) -> None:
    if not newest:
        damaged(segment_name(segment.number), at, "a record is not readable")
    later = fmt.later_batch(data, at, segment.salt, state.batch)
    if later is not None:
        why = f"a record is not readable, and what was written later is, at byte {later}"
        damaged(segment_name(segment.number), at, why)
    log.warning("journal.torn_tail_cut", extra={"file": segment.file.name, "offset": at, "bytes": len(data) - at})
    segment.file.truncate(at)
    segment.file.fdatasync()
    segment.size = at
    state.torn_bytes += len(data) - at


def _take(record: fmt.Record, data: bytes, at: int, segment: Segment, state: LogState) -> None:
    """Fold one record into the state."""
    match record.kind:
        case fmt.ENTRY:
            _take_entry(record, data, at, segment, state)
        case fmt.TRUNCATE:
            state.index.cut_from(record.a)
            state.bodies.cut_from(record.a)
        case fmt.VOTE:
            state.term = record.a
            state.vote = data[record.body_start:record.end].decode() if record.b else None
        case fmt.COMMIT:
            state.commit = record.a
        case fmt.BASE:
            state.base = record.a
            state.index.cut_before(record.a)
            state.bodies.cut_before(record.a)
        case fmt.RESET:
            state.base = record.a
            state.index.cut_from(0)
            state.bodies.cut_from(0)
        case fmt.BATCH:
            state.batch = record.a
        case fmt.SEGMENT if at == 0:
            pass
        case _:
            damaged(segment_name(segment.number), at, f"a record of kind {record.kind} does not belong there")


def _take_entry(record: fmt.Record, data: bytes, at: int, segment: Segment, state: LogState) -> None:
    index = state.index
    if len(index) and record.a != index.last + 1:
        damaged(segment_name(segment.number), at, f"entry {record.a} follows entry {index.last}")
    if len(index) and record.b < index.term(index.last):
        damaged(segment_name(segment.number), at, f"entry {record.a} is of an older term than the one before it")
    index.append(record.a, record.b, segment.number, at, record.end - record.body_start)
    state.bodies.append(record.a, data[record.body_start:record.end])
    state.bodies.shrink(record.a)
    segment.index_max = max(segment.index_max, record.a)
