"""When checkpoints are made, how they travel, and how a received one becomes the state.

Copying runs beside the tick (a `Job`); the tick only starts it, and publishes the result with the last two log
entries. After that
the log lets go of what the checkpoint covers. A follower that needs older entries gets the newest checkpoint in
parts: first the
head, then the file, then an empty last part.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import xxhash

from fluffy.base.checks import invariant
from fluffy.base.errors import Corruption, FrameCorrupt
from fluffy.base.units import MIB
from fluffy.drivers.raft.checkpoint_files import CheckpointFiles, CheckpointHead, Copied, Entry, copy_state, decode_head
from fluffy.drivers.raft.journal import SegmentedJournal
from fluffy.drivers.raft.peers import RaftPeer
from fluffy.drivers.raft.state_store import StateStore

log = logging.getLogger(__name__)

PART_BYTES = 1 * MIB
# A received file is pushed to disk as it arrives, so that the last fsync does not hold up the tick.
FLUSH_EVERY_BYTES = 16 * MIB

PartTuple = tuple[bytes, bool, bool]


class Job(Protocol):
    """Work beside the tick. `poll` is None while it runs; then its result; raises what it raised."""

    def poll(self) -> Copied | None: ...


@dataclass(frozen=True, slots=True)
class CheckpointPolicy:
    """Automatic checkpoints: when the log outgrows the state, or holds many entries, or after a while with any
    change.
    """

    log_bytes_min: int = 128 * MIB
    entries_max: int = 200_000
    every_s: float = 3600.0


@dataclass(slots=True)
class _Outgoing:
    """A checkpoint on its way to one peer. The open file survives the removal of its name."""

    head: CheckpointHead
    file: BinaryIO
    head_sent: bool = False


@dataclass(slots=True)
class _Incoming:
    head: CheckpointHead
    path: Path
    file: BinaryIO
    hasher: xxhash.xxh3_128
    size: int = 0
    flushed: int = 0


class Checkpoints:
    """`Snapshots` of the log (library.py)."""

    def __init__(self, files: CheckpointFiles, store: StateStore, journal: SegmentedJournal, *,
                 start_job: Callable[[Callable[[], Copied]], Job], clock: Callable[[], float],
                 counters: Counter[str], policy: CheckpointPolicy | None = None) -> None:
        self._files = files
        self._store = store
        self._journal = journal
        self._start_job = start_job
        self._clock = clock
        self._counters = counters
        self._policy = policy or CheckpointPolicy()
        newest = files.newest()
        self.newest_index = newest.index if newest is not None else 0
        self._made_s = clock()
        self._job: Job | None = None
        self._asked: list[Callable[[int | None], None]] = []
        self._wanted = False
        self._outgoing: dict[str, _Outgoing] = {}
        self._incoming: _Incoming | None = None
        self._complete: CheckpointHead | None = None

    # -- making

    def request(self, done: Callable[[int | None], None]) -> None:
        """Make a checkpoint as soon as possible; `done(index)` when it is durable, `done(None)` if it failed."""
        self._asked.append(done)
        self._wanted = True

    @property
    def busy(self) -> bool:
        return self._job is not None

    def step(self) -> None:
        if self._job is not None:
            self._look_at_job(self._job)
        elif (self._wanted or self._due()) and self._store.applied_index >= 2:
            self._wanted = False
            source, folder = self._store.path, self._files.folder
            self._job = self._start_job(lambda: copy_state(source, folder))
            self._counters["checkpoint_started"] += 1

    def _due(self) -> bool:
        applied = self._store.applied_index
        new_entries = applied - self.newest_index
        if new_entries <= 0:
            return False
        if self._clock() - self._made_s > self._policy.every_s or new_entries > self._policy.entries_max:
            return True
        if self._journal.bytes_since_base <= self._policy.log_bytes_min:
            return False
        return self._journal.bytes_since_base > os.stat(self._store.path).st_size // 2 and new_entries > 1

    def _look_at_job(self, job: Job) -> None:
        try:
            copied = job.poll()
        except (OSError, sqlite3.Error) as error:  # no room, or a received checkpoint replaced the database meanwhile
            self._end_job(None)
            log.error("checkpoint.failed", extra={"error": str(error)})
            return
        if copied is None:
            return
        entries = self._journal.entries(copied.index - 1, copied.index + 1)
        if len(entries) < 2 or entries[0][1] != copied.index - 1:
            # The log was replaced by a received checkpoint while this one was being copied.
            copied.path.unlink()
            self._end_job(self.newest_index or None)
            return
        head = CheckpointHead(copied.index, copied.size, copied.xxh3, (entries[0], entries[1]))
        self._files.publish(copied.path, head)
        self.newest_index = copied.index
        self._journal.compact_to(copied.index - 1)
        self._counters["checkpoint_made"] += 1
        log.info("checkpoint.made", extra={"index": copied.index, "bytes": copied.size})
        self._end_job(copied.index)

    def _end_job(self, index: int | None) -> None:
        self._job = None
        self._made_s = self._clock()
        asked, self._asked = self._asked, []
        for done in asked:
            done(index)

    # -- sending

    def getTransmissionData(self, peer: RaftPeer) -> PartTuple | None:
        """The next part for `peer`; None when there is no checkpoint yet (one is then being made)."""
        outgoing = self._outgoing.get(peer.id)
        if outgoing is None:
            head = self._files.newest()
            if head is None or head.index <= self._journal.first_index:
                self._wanted = True
                return None
            outgoing = self._outgoing[peer.id] = _Outgoing(head, self._files.db_path(head.index).open("rb"))
            log.info("checkpoint.sending", extra={"peer": peer.id, "index": head.index, "bytes": head.size})
        if not outgoing.head_sent:
            outgoing.head_sent = True
            return outgoing.head.encode(), True, False
        data = outgoing.file.read(PART_BYTES)
        return data, False, not data

    def sending_index(self, peer: RaftPeer) -> int:
        """The log index of the checkpoint whose last part has just been taken; ends the transfer."""
        index = self._outgoing[peer.id].head.index
        self.cancelTransmisstion(peer)
        return index

    def cancelTransmisstion(self, peer: RaftPeer) -> None:
        outgoing = self._outgoing.pop(peer.id, None)
        if outgoing is not None:
            outgoing.file.close()

    # -- receiving

    def setTransmissionData(self, part: PartTuple | None) -> bool:
        """Take one part, in order (the transport sees to it). True when a whole, verified checkpoint lies on disk."""
        if part is None:
            return False
        data, first, last = part
        if first:
            self._begin_receiving(data)
            return False
        incoming = self._incoming
        if incoming is None:
            return False
        incoming.file.write(data)
        incoming.hasher.update(data)
        incoming.size += len(data)
        if incoming.size - incoming.flushed >= FLUSH_EVERY_BYTES:
            incoming.file.flush()
            os.fdatasync(incoming.file.fileno())
            incoming.flushed = incoming.size
        return last and self._finish_receiving(incoming)

    def _begin_receiving(self, head_bytes: bytes) -> None:
        self._drop_incoming()
        try:
            head = decode_head(head_bytes)
        except FrameCorrupt as error:
            log.error("checkpoint.refused", extra={"reason": error.message})
            return
        path = self._files.folder / "receive.tmp"
        self._incoming = _Incoming(head, path, path.open("wb"), xxhash.xxh3_128())
        log.info("checkpoint.receiving", extra={"index": head.index, "bytes": head.size})

    def _finish_receiving(self, incoming: _Incoming) -> bool:
        incoming.file.flush()
        os.fsync(incoming.file.fileno())
        incoming.file.close()
        self._incoming = None
        if incoming.size != incoming.head.size or incoming.hasher.digest() != incoming.head.xxh3:
            log.error("checkpoint.refused", extra={"reason": "the received file does not match its hash"})
            incoming.path.unlink()
            return False
        self._complete = incoming.head
        return True

    def close(self) -> None:
        """Let go of open files; a transfer under way begins anew after the next start."""
        for outgoing in self._outgoing.values():
            outgoing.file.close()
        self._outgoing.clear()
        self._drop_incoming()

    def _drop_incoming(self) -> None:
        if self._incoming is not None:
            self._incoming.file.close()
            self._incoming = None

    def install(self) -> tuple[Entry, Entry]:
        """Give the received checkpoint its durable name; from here on the log may begin with it."""
        invariant(self._complete is not None, "a checkpoint is installed after it was received")
        assert self._complete is not None
        self._files.publish(self._files.folder / "receive.tmp", self._complete)
        self.newest_index = self._complete.index
        return self._complete.entries

    def adopt(self) -> None:
        """Make the installed checkpoint the state: its file moves, so the next step makes a new checkpoint when one
        is needed.
        """
        invariant(self._complete is not None, "a checkpoint is adopted after it was installed")
        assert self._complete is not None
        index, self._complete = self._complete.index, None
        self._store.adopt(self._files.db_path(index))
        self._files.remove(index)
        newest = self._files.newest()
        self.newest_index = newest.index if newest is not None else 0


def recover_state(store: StateStore, files: CheckpointFiles, journal: SegmentedJournal) -> None:
    """At start: when the database is older than the log's beginning (power cut), go on from the newest checkpoint.

    A checkpoint beyond the log's end was received just before a crash: then its install is finished here. Without a
    usable checkpoint nothing is done, and library.py refuses to start with a sentence.
    """
    if max(1, store.applied_index) >= journal.first_index:
        return
    for index in reversed(files.indexes()):
        head = files.head(index)
        if head.index < journal.first_index:
            return
        try:
            files.verify(head)
            _refuse_unsound(files.db_path(head.index))
        except Corruption as error:
            log.error("checkpoint.damaged", extra={"index": head.index, "reason": error.message})
            continue
        log.warning("state.restored_from_checkpoint", extra={"index": head.index, "was_at": store.applied_index})
        if head.index > journal.last_index:
            journal.reset(*head.entries)
        store.restore(files.db_path(head.index))
        return


def _refuse_unsound(path: Path) -> None:
    """A copy of a damaged database has the right hash and is damaged all the same. Raises Corruption."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        found = str(error)
    finally:
        db.close()
    if found != "ok":
        raise Corruption(f"the checkpoint {path} is a damaged database: {found}")
