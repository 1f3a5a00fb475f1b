"""The seams between decisions and the world. Services see only these; drivers and sim implement them.

Blocking calls are marked so; they run in a thread. Everything else is asyncio and takes the request's `Deadline`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

from fluffy.base.deadline import Deadline
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.backup import BackupLabel
from fluffy.core.metadata.commands import Command
from fluffy.core.metadata.manifest import Manifest, MarkManifest
from fluffy.core.metadata.outcomes import Accepted
from fluffy.core.metadata.queries_search import IndexChanges, Indexed
from fluffy.core.search.plan import SearchPage, SearchStatus
from fluffy.core.search.query import SearchQuery
from fluffy.wire.chunk_messages import Urgency

T = TypeVar("T")


class Clock(Protocol):
    """Two clocks: wall time for stamps that people see, monotonic time for waiting."""

    def now_ms(self) -> int: ...
    def monotonic_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class PeerLag:
    name: str
    connected: bool
    behind: int  # log entries this peer has not acknowledged; -1 when this node is not the leader


@dataclass(frozen=True, slots=True)
class LogStatus:
    """The log process's own view, at once. `leader` is a node name, or None while this node knows of none."""

    node: str
    leader: str | None
    term: int
    commit_index: int
    applied_index: int
    seq: int
    caught_up: bool
    majority_connected: bool
    members: tuple[str, ...]
    peers: tuple[PeerLag, ...]
    log_bytes: int
    checkpoint_index: int
    cluster_uuid: str | None
    waiting_for: str | None  # a sentence while the node is not ready, e.g. "waiting for node three to be born"
    fsync: bool


class MetadataLog(Protocol):
    """The replicated log, as the other processes of this node see it (over the unix socket)."""

    async def propose(self, command: Command, deadline: Deadline) -> Accepted:
        """Commit one command and give its outcome; a `Rejected` outcome is raised as its error.

        When this returns, `meta.db` of this node already shows the change. Raises NoLeader or QuorumLost when it
        certainly did not happen, ProposalLost when that is not known (after retrying with the same request id until the
        deadline), Overloaded when the log's queue is full.
        """

    async def barrier(self, deadline: Deadline) -> int:
        """Linearizable-read point: returns `seq` once this node has applied all that was committed before the call.

        Raises NoLeader or QuorumLost without a majority. Callers of one moment share one round.
        """

    async def wait_seq(self, seq: int, deadline: Deadline) -> int:
        """Wait until this node has applied `seq`; returns the present one."""

    async def status(self, deadline: Deadline) -> LogStatus: ...

    async def checkpoint(self, deadline: Deadline) -> int:
        """Make a checkpoint now; returns its log index once it is durable."""


class VotersLog(Protocol):
    """What the leader's keeper may ask of its own log process about voters."""

    async def change_voters(self, deadline: Deadline, *, term: int, add: str | None = None,
                            remove: str | None = None) -> None:
        """Give a member its vote, or take it away: one at a time, committed and applied when this returns.

        Raises PreconditionFailed with why not: not the leader of that term, another change under way, too few
        connected.
        """

    async def hand_over(self, deadline: Deadline) -> None:
        """Let another node lead. Raises NotReady when none could take over."""


class MetadataReader(Protocol):
    """Read-only access to this node's `meta.db`."""

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` in one read transaction. Blocking, for point reads under a millisecond: call it from the loop."""

    async def read_in_thread(self, query: Callable[[sqlite3.Connection], T], deadline: Deadline) -> T:
        """The same in a thread with a connection of its own, for scans; interrupted at the deadline."""


@dataclass(frozen=True, slots=True)
class StoredChunk:
    chunk_id: ChunkId
    length: int
    modified_ms: int


class Buffer(Protocol):
    """Page-aligned memory for one chunk, held until `release` or the end of its `with`."""

    view: memoryview

    def release(self) -> None: ...
    def __enter__(self) -> Buffer: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None: ...


class Buffers(Protocol):
    """A bounded pool of such memory; waiting for it is the backpressure of the data path."""

    buffer_bytes: int

    async def acquire(self, deadline: Deadline) -> Buffer:
        """Raises Overloaded when none is free before the deadline."""

    def try_acquire(self) -> Buffer | None: ...


@dataclass(slots=True)
class VerifiedFile:
    """A checked part of a chunk file, ready for sendfile: `length` bytes at `offset` of `fd`. Close it once.

    `xxh3` is the hash of exactly these bytes.
    """

    fd: int
    offset: int
    length: int
    xxh3: bytes

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class QuarantinedChunk:
    """A bad copy, set aside at that wall time."""

    chunk_id: ChunkId
    reason: str
    at_ms: int
    bytes: int
    path: Path


class QuarantineStore(Protocol):
    """What this node has set aside. Blocking."""

    def list(self) -> list[QuarantinedChunk]: ...
    def purge(self, chunk_id: ChunkId | None) -> int: ...


class ChunkStore(Protocol):
    """This node's chunk files. All calls block; run them in the disk pool."""

    def put(self, chunk_id: ChunkId, xxh3: bytes, data: memoryview) -> None:
        """Durably store a chunk (data checked against `xxh3` first). Already there and good: touches its time.

        Returns only after data and name are fsynced. Raises ChunkCorrupt (hash), DiskFull.
        """

    def read(self, chunk_id: ChunkId, offset: int, out: memoryview) -> bytes:
        """Fill `out` from `offset` with verified bytes; returns their xxh3.

        Raises ChunkNotFound, ChunkCorrupt (after moving it to quarantine), RangeIllegal, DiskFailed.
        """

    def open_verified(self, chunk_id: ChunkId, offset: int, length: int) -> VerifiedFile:
        """Check the part and leave it in the page cache, for a door that sends files. Raises like `read`."""

    def open_if_cached(self, chunk_id: ChunkId, offset: int, length: int) -> VerifiedFile | None:
        """The same when the page cache has all of it; None when the disk would have to be read."""

    def length(self, chunk_id: ChunkId) -> int:
        """The chunk's bytes by its own record (its data is not read); raises ChunkNotFound, ChunkCorrupt."""

    def xxh3(self, chunk_id: ChunkId) -> bytes:
        """The hash of the whole chunk as its record has it; raises like `length`."""

    def delete(self, chunk_id: ChunkId, unless_touched_since_ms: int | None = None,
               unless_touched_until_ms: int | None = None) -> bool:
        """Remove the file, unless a `put` touched it at or after that wall time; True when it was removed.

        `unless_touched_until_ms`: times after this one are no put's, but a wrong clock's of long ago; None: all count.

        One step against a `put` of the same chunk in any process: none that found the file here loses its copy.
        """

    def quarantine(self, chunk_id: ChunkId, reason: str) -> None:
        """Set the file aside with a record of why; quietly nothing when it is not there."""

    def scan(self) -> Iterator[StoredChunk]:
        """Every chunk here, in no order, one folder at a time; files without a good record go to quarantine."""

    def names(self, start: bytes = b"") -> Iterator[ChunkId]:
        """Ids of the chunk files here that come after `start`, ascending; nothing is read or checked."""

    def reread(self, chunk_id: ChunkId, out: memoryview) -> int:
        """Fill the beginning of `out` with the whole chunk as the disk has it now, not the page cache; its length.

        Raises like `read`: what fails its checks is in quarantine then.
        """

    def free_bytes(self) -> int:
        """Room for chunks: what the file system would give, minus the reserve."""


class ChunkLease(Protocol):
    """Verified bytes of one chunk, held until the context ends (a pooled buffer, a cache entry, or a mapped file)."""

    @property
    def data(self) -> memoryview: ...

    @property
    def file(self) -> tuple[int, int] | None:
        """(file descriptor, offset of the bytes in it) when they may be sent by sendfile; else None."""


class ChunkSource(Protocol):
    """Where downloads get chunks: own disk, then cache, then peers; verified whatever the source."""

    async def open(self, chunk_id: ChunkId, length: int, replicas: tuple[NodeNo, ...], deadline: Deadline, *,
                   offset: int = 0, want: int | None = None, in_memory: bool = False,
                   ) -> AbstractContextManager[ChunkLease]:
        """`want` bytes (None: to the end) of the chunk from `offset`; `length` is the whole chunk's.

        The lease's `data` and `file` cover exactly the wanted bytes; a small part reads and fetches only the blocks
        around it. A chunk on the own disk comes as a file for sendfile, and its `data` would be read when asked for
        (blocking): pass `in_memory` where sendfile cannot be used. Raises AllCopiesBad when no good copy can be had
        before the deadline, Overloaded when no memory is.
        """


@dataclass(frozen=True, slots=True)
class WrittenChunk:
    """Where a chunk really is: nodes that have fsynced it. At least `write_quorum` of them.

    `since_seq`: as in PutFile; of a command about several chunks the least of theirs (`since_of`).
    """

    chunk_id: ChunkId
    length: int
    replicas: tuple[NodeNo, ...]
    since_seq: int = 0


def since_of(chunks: Iterable[WrittenChunk]) -> int:
    """What a command that names all these chunks may say of its beginning."""
    return min((chunk.since_seq for chunk in chunks), default=0)


class ChunkSink(Protocol):
    """Where uploads put chunks."""

    async def write(self, data: memoryview, deadline: Deadline) -> WrittenChunk:
        """Hash, place, send to all replicas at once, hand off to the next candidate on failure.

        Returns when all wanted replicas have fsynced, or at least the write quorum have and the rest are late or
        gone. The caller may reuse `data` after it returns. Raises NotEnoughCopies, DiskFull.
        """


class BackgroundGate(Protocol):
    """What a node's background bytes pass before they are read or fetched (services/throttle.py)."""

    def reserve(self, amount: int, deadline: Deadline, *,
                endangered: bool = False) -> AbstractAsyncContextManager[None]:
        """A slot and bytes, held inside the context. Raises Overloaded when they are not free before the deadline."""


class NodeClient(Protocol):
    """The data port of the other nodes."""

    async def put_chunk(self, node: NodeNo, chunk_id: ChunkId, xxh3: bytes, data: memoryview,
                        deadline: Deadline) -> None: ...
    async def get_chunk(self, node: NodeNo, chunk_id: ChunkId, out: memoryview, deadline: Deadline, *,
                        offset: int = 0, urgency: Urgency = Urgency.USER) -> bytes:
        """Fill `out` with the chunk's bytes from `offset`; returns their xxh3, already checked.

        Background work waits at the other node's gate; Overloaded: not there, or not now.

        `out` is not written any more once this returned, raised or was cancelled.
        """

    async def has_chunk(self, node: NodeNo, chunk_id: ChunkId, deadline: Deadline) -> bool: ...
    async def ping(self, node: NodeNo, deadline: Deadline) -> dict[str, int]:
        """{'free_bytes': …, 'level': …}: alive, how much room, and the feature level that its program knows."""

    async def about(self, node: NodeNo, deadline: Deadline) -> dict[str, int | str]:
        """What the node says of itself (services/about.py). Only of nodes whose level is at least ABOUT_LEVEL."""


@dataclass(frozen=True, slots=True)
class IndexState:
    """`seq`: the feed has been followed to here. `building`: entries were read to this (folder number, key); None: all.

    `walk`: a folder to be listed anew and the last key seen in it. `cluster_uuid` is empty in a new index.
    """

    cluster_uuid: str
    seq: int
    building: tuple[int, str] | None
    rows: int
    walk: tuple[int, str] | None


class SearchIndex(Protocol):
    """The writing side of this node's search index. All calls block and are durable together with their cursor.

    Raise IndexCorrupt when the file is damaged: `begin_anew`.
    """

    def open(self) -> IndexState: ...
    def begin_anew(self) -> IndexState: ...
    def start_build(self, cluster_uuid: str, seq: int) -> None: ...
    def rewind(self, seq: int) -> None: ...
    def apply(self, changes: IndexChanges) -> None: ...
    def load(self, entries: Sequence[Indexed], after: tuple[int, str] | None) -> None: ...
    def load_folder(self, folder_no: int, entries: Sequence[Indexed], after: str | None) -> None: ...
    def known(self, after_no: int, limit: int) -> tuple[tuple[int, int, str], ...]: ...
    def remove(self, numbers: Sequence[int]) -> None: ...


@dataclass(slots=True)
class MadeBackup:
    """A backup on this node's disk, without a name: it is gone when `fd` is closed. `blake3`: of the whole file."""

    fd: int
    size: int
    blake3: bytes
    label: BackupLabel

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Backups(Protocol):
    """Where backups of this node's state are made."""

    def make(self) -> MadeBackup:
        """Blocking, seconds. Raises NotReady, DiskFull, DiskFailed."""


@dataclass(frozen=True, slots=True)
class ManifestState:
    """The present series of manifests: its number (0: none), how far it is (None: begin one), its bytes.

    `built_bytes`: about how much of it the first walk over everything wrote.
    """

    series: int
    mark: MarkManifest | None
    bytes: int
    built_bytes: int = 0


class ManifestLog(Protocol):
    """Where this node writes manifests. All calls block. Raise DiskFull, DiskFailed."""

    def open(self, cluster_uuid: str) -> ManifestState: ...
    def begin_series(self, mark: MarkManifest) -> None: ...
    def append(self, records: Iterable[Manifest], mark: MarkManifest) -> None: ...
    def drop_older_series(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ManifestStock:
    """What lies on a node of one cluster. `written_ms`: when something was added last, by the disk's clock."""

    cluster_uuid: str
    segments: tuple[str, ...]
    bytes: int
    written_ms: int


class Manifests(Protocol):
    """The manifests on this node's disk, for whoever restores. All calls block."""

    def stocks(self) -> Sequence[ManifestStock]: ...
    def segment(self, cluster_uuid: str, name: str) -> bytes:
        """Raises FileNotFound."""


class NameSearch(Protocol):
    """The reading side. Blocking; `db` is the state in a read transaction (`MetadataReader.read_in_thread`)."""

    def search(self, db: sqlite3.Connection, query: SearchQuery, buckets: frozenset[str] | None, after: str | None,
               limit: int, deadline: Deadline) -> SearchPage:
        """A page of entries that fit, of those in `buckets` (None: all). It may be short while `after` is not None."""

    def status(self, db: sqlite3.Connection, now_ms: int) -> SearchStatus:
        """How far the index is behind `db`."""
