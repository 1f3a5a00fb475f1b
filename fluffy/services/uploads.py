"""Putting a file: a stream of bytes becomes one version, whole or not at all (promise P2).

Small bodies (`inline_max`) go into the proposal itself and touch neither disk nor data port. Larger ones are cut into
chunks in pooled buffers, a bounded number at once: each is hashed and written to its replicas while the next one
arrives. Only when every chunk is safe and every promise of the client (length, MD5, BLAKE3) holds is the version
proposed. A failure anywhere before that leaves the namespace as it was; chunks already written are unreferenced, and
the keepers sweep them once they are older than any upload.

The file's BLAKE3 must be the one that `b3sum` prints, so the bytes of a file of several chunks are hashed twice: a
chunk's id is a tree of its own, whose leaves are numbered from zero, and cannot be a branch of the file's tree. The
two hashes run in two threads. A file of one chunk is hashed once: its hash is the chunk's id.
"""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import Executor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from blake3 import blake3

from fluffy.base.boottime import boottime_s
from fluffy.base.deadline import Deadline
from fluffy.base.errors import BodyIncomplete, DigestMismatch, QuotaExceeded, TooLarge, UploadExpired
from fluffy.base.frozen import quickly_made
from fluffy.base.hashing import etag_of
from fluffy.base.units import KIB
from fluffy.core.metadata.commands import Header, PutFile
from fluffy.core.metadata.commands_s3 import PutObject
from fluffy.core.metadata.outcomes import Accepted
from fluffy.core.repair.retention import UPLOAD_LIFETIME_MAX_MS
from fluffy.ports import Buffer, Buffers, ChunkSink, MetadataLog, WrittenChunk, since_of
from fluffy.services.groups import first_failure

# 10 Gbit/s x 10 ms = 12.5 MB: two chunks fill the wire, two more hide hash and fsync.
CHUNKS_IN_FLIGHT = 4
# One command must fit a log group of 1 MiB; a chunk takes about 50 bytes of it. At 8 MiB each that is 125 GiB a file.
FILE_CHUNKS_MAX = 16_000
# The disk of a busy node may be seconds behind; longer means that something is wrong with it.
CHUNK_TIMEOUT_S = 30.0
# An upload that has not begun is refused soon; one that has sent gigabytes waits longer for its turn, because starting
# again would cost everybody more: 64 uploads at 1 MiB/s, 12 buffers of 8 MiB each, are 43 s.
BUFFER_TIMEOUT_S = 15.0
NEXT_BUFFER_TIMEOUT_S = 120.0
# Bodies of known size up to this get memory of their own, written through the page cache like all small chunks;
# together at most 16 MiB. Beyond that number they take pooled buffers like the others.
SMALL_BODY_BYTES_MAX = 512 * KIB
SMALL_BODIES_MAX = 32
# Below this a thread costs more than the hash (2.5 GiB/s).
HASH_IN_THREAD_BYTES = 256 * KIB
# A refusal must come within 3 s, so a small write gives up sooner than its client; after a long upload it is
# worth waiting for a slow election, because the client would have to send everything again.
COMMIT_TIMEOUT_S = 2.5
COMMIT_AFTER_CHUNKS_TIMEOUT_S = 10.0


class BodySource(Protocol):
    """The bytes of a request, as a door receives them."""

    @property
    def length(self) -> int | None:
        """What the client announced; None when it did not say."""

    async def fill(self, out: memoryview) -> int:
        """Receive until `out` is full or the body has ended; returns how many bytes came.

        Fewer than `len(out)` means the end, and every later call returns 0. Raises BodyIncomplete when the connection
        or the client's patience ends before the announced length.
        """


class BodyWatch(Protocol):
    """Sees a body besides us: for the hashes of S3."""

    def update(self, data: memoryview) -> None:
        """The next bytes; in a thread where there are many. One call at a time, in order."""

    def seal(self) -> Sealed:
        """The body has ended. Raises for a promise about it that does not hold."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a watch knows at the end: the entity tag, and metadata to add to what the order says."""

    etag: str
    meta: dict[str, str]


@quickly_made
@dataclass(frozen=True, slots=True)
class PutOrder:
    """What the client wants, apart from the bytes. `md5`, `blake3`: what it promises about them; None: nothing.

    `lock`: BLAKE3 of the lock token that it brings, or empty. `bytes_max`: what the quotas have room for, as far as the
    door knows (the log decides); a larger body is refused as soon as that is seen. None: any size. `watch`: makes it an
    object of S3, with what the watch says at the end.
    """

    path: str
    content_type: str
    meta: dict[str, str]
    tags: dict[str, str]
    if_match: str | None = None
    if_none_match: bool = False
    md5: bytes | None = None
    blake3: bytes | None = None
    lock: bytes = b""
    bytes_max: int | None = None
    watch: BodyWatch | None = None


@quickly_made
@dataclass(frozen=True, slots=True)
class StoredFile:
    """The answer to a put. `outcome` has the log's facts; a repeated request gets those of its first time."""

    outcome: Accepted
    size: int
    blake3: bytes
    etag: str
    chunks: int


@dataclass(frozen=True, slots=True)
class Promise:
    """What a client promises about a body beside its length; None: nothing. `bytes_max`: as in PutOrder.

    `watch`: sees the body; whoever gave it here seals it.
    """

    md5: bytes | None = None
    blake3: bytes | None = None
    bytes_max: int | None = None
    watch: BodyWatch | None = None


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """A body that is in chunks, on at least `write_quorum` nodes each, and that nothing names yet.

    `blake3`: empty for an object of several chunks.
    """

    size: int
    blake3: bytes
    chunks: tuple[WrittenChunk, ...]


class Uploads:
    """Makes versions out of bodies. One per gateway; any number of `put`s at once, held back by the buffers."""

    def __init__(self, log: MetadataLog, sink: ChunkSink, buffers: Buffers, hashers: Executor, *,
                 chunk_size: int, inline_max: int) -> None:
        self._log = log
        self.sink = sink
        self._buffers = buffers
        self.hashers = hashers
        self.chunk_size = chunk_size
        self._inline_max = inline_max
        self._file_size_max = FILE_CHUNKS_MAX * chunk_size
        self._small = asyncio.Semaphore(SMALL_BODIES_MAX)

    async def put(self, header: Header, order: PutOrder, body: BodySource) -> StoredFile:
        """Store the body and propose the version.

        Raises BodyIncomplete, DigestMismatch, TooLarge, QuotaExceeded, NotEnoughCopies, DiskFull, Overloaded, and
        what the log answers.
        """
        self._check_length(body.length, order.bytes_max)
        if body.length is not None and body.length <= self._inline_max:
            data = bytearray(body.length)
            if await body.fill(memoryview(data)) < body.length:
                raise BodyIncomplete
            return await self._put_inline(header, order, bytes(data))
        first = await self._small_buffer(body.length) or await self.acquire_buffer(BUFFER_TIMEOUT_S)
        try:
            count = await body.fill(first.view[:self.chunk_size])
            if count <= self._inline_max and count < self.chunk_size:
                return await self._put_inline(header, order, bytes(first.view[:count]))
            return await self._put_chunks(header, order, await self._send(order, body, first, count))
        finally:
            first.release()

    async def store(self, promise: Promise, body: BodySource) -> StoredBytes:
        """Put a body into chunks, however small, for a command that names them soon after.

        Raises what `put` raises before it proposes.
        """
        self._check_length(body.length, promise.bytes_max)
        first = await self._small_buffer(body.length) or await self.acquire_buffer(BUFFER_TIMEOUT_S)
        try:
            count = await body.fill(first.view[:self.chunk_size])
            if count:
                return await self._send(promise, body, first, count)
            if body.length:
                raise BodyIncomplete
            empty = blake3().digest()
            _check_promises(promise, empty, hashlib.md5().digest())
            return StoredBytes(0, empty, ())
        finally:
            first.release()

    def _check_length(self, length: int | None, bytes_max: int | None) -> None:
        """Refuse a body that says itself that it is too large."""
        if length is None:
            return
        if length > self._file_size_max:
            raise self.too_large()
        if length > self._inline_max:
            check_room(length, bytes_max)

    async def _send(self, promise: PutOrder | Promise, body: BodySource, first: Buffer, count: int) -> StoredBytes:
        began_s = boottime_s()  # others do not sleep while this machine does
        sent = await _Transfer(self, promise, body).run(first, count)
        if boottime_s() - began_s >= UPLOAD_LIFETIME_MAX_MS / 1000:
            # Its first chunks may be taken for orphans by now (core/repair/retention.py).
            raise UploadExpired
        return sent

    async def _put_inline(self, header: Header, order: PutOrder, data: bytes) -> StoredFile:
        digest = blake3(data).digest()
        _check_promises(order, digest, hashlib.md5(data).digest() if order.md5 is not None else None)
        if order.watch is not None:
            order.watch.update(memoryview(data))
        command = _command(header, order, len(data), digest, inline=data)
        outcome = await self._log.propose(command, Deadline.after(COMMIT_TIMEOUT_S))
        return StoredFile(outcome, len(data), digest, command.etag, 0)

    async def _put_chunks(self, header: Header, order: PutOrder, sent: StoredBytes) -> StoredFile:
        command = _command(header, order, sent.size, sent.blake3, chunks=sent.chunks)
        outcome = await self._log.propose(command, Deadline.after(COMMIT_AFTER_CHUNKS_TIMEOUT_S))
        return StoredFile(outcome, sent.size, sent.blake3, command.etag, len(sent.chunks))

    async def _small_buffer(self, length: int | None) -> Buffer | None:
        """Memory of just the body's size, so that small uploads do not queue up behind large or slow ones."""
        if length is None or length > min(SMALL_BODY_BYTES_MAX, self.chunk_size) or self._small.locked():
            return None
        await self._small.acquire()
        return _SmallBuffer(length, self._small)

    async def acquire_buffer(self, timeout_s: float) -> Buffer:
        return await self._buffers.acquire(Deadline.after(timeout_s))

    def too_large(self) -> TooLarge:
        return TooLarge(f"a file may have at most {self._file_size_max} bytes here", size_max=self._file_size_max)


class _SmallBuffer:
    """Plain memory that counts as one of a few."""

    __slots__ = ("_places", "view")

    def __init__(self, size: int, places: asyncio.Semaphore) -> None:
        self.view = memoryview(bytearray(size))
        self._places: asyncio.Semaphore | None = places

    def release(self) -> None:
        places, self._places = self._places, None
        if places is not None:
            places.release()

    def __enter__(self) -> Buffer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.release()


class _Transfer:
    """One body on its way into chunks."""

    def __init__(self, uploads: Uploads, promise: PutOrder | Promise, body: BodySource) -> None:
        self._uploads = uploads
        self._promise = promise
        self._body = body
        self._written: dict[int, WrittenChunk] = {}
        self._slots = asyncio.Semaphore(CHUNKS_IN_FLIGHT)
        self._hash = blake3()
        self._md5 = hashlib.md5() if promise.md5 is not None else None
        self._watch = promise.watch
        # Of an object MD5 is known at the end, which costs as much as all other hashes together; that is enough.
        self._hashes_whole = promise.watch is None or isinstance(promise, Promise) or promise.blake3 is not None
        self._size = 0

    async def run(self, first: Buffer, count: int) -> StoredBytes:
        """Send all chunks, beginning with the `count` bytes in `first`, which is released here."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._feed(group, first, count)
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from failures
        if self._body.length not in (None, self._size):
            raise BodyIncomplete
        chunks = tuple(self._written[number] for number in range(len(self._written)))
        digest = bytes(chunks[0].chunk_id) if len(chunks) == 1 else self._hash.digest() if self._hashes_whole else b""
        _check_promises(self._promise, digest, self._md5.digest() if self._md5 is not None else None)
        return StoredBytes(self._size, digest, chunks)

    async def _feed(self, group: asyncio.TaskGroup, buffer: Buffer, count: int) -> None:
        """Fill buffers in order and start a task for each; a slot is taken before its buffer."""
        chunk_size, bytes_max = self._uploads.chunk_size, self._promise.bytes_max
        await self._slots.acquire()
        hashed: asyncio.Future[None] | None = None
        for number in range(FILE_CHUNKS_MAX):
            if bytes_max is not None and self._size + count > bytes_max:
                buffer.release()
                check_room(self._size + count, bytes_max)
            data = buffer.view[:count]
            is_last = count < chunk_size or self._size + count == self._body.length
            if hashed is not None:
                await hashed
            hashed = self._start_hashing(data, is_only=is_last and number == 0)
            self._size += count
            group.create_task(self._store(number, buffer, data, hashed))
            if is_last:
                return
            await self._slots.acquire()
            buffer = await self._uploads.acquire_buffer(NEXT_BUFFER_TIMEOUT_S)
            count = await self._fill(buffer)
            if count == 0:
                return
        buffer.release()
        raise self._uploads.too_large()

    async def _fill(self, buffer: Buffer) -> int:
        """Receive the next chunk; the buffer is given back when there is none."""
        count = 0
        try:
            count = await self._body.fill(buffer.view[:self._uploads.chunk_size])
        finally:
            if count == 0:
                buffer.release()
        return count

    def _start_hashing(self, data: memoryview, *, is_only: bool) -> asyncio.Future[None]:
        """Feed the file's hashes, in a thread when that takes long.

        The only chunk of a file needs no BLAKE3 here: its id is the file's.
        """
        loop = asyncio.get_running_loop()
        if len(data) >= HASH_IN_THREAD_BYTES and (self._md5 is not None or self._watch is not None or not is_only):
            return loop.run_in_executor(self._uploads.hashers, self._hash_all, data, is_only)
        self._hash_all(data, is_only)
        done: asyncio.Future[None] = loop.create_future()
        done.set_result(None)
        return done

    def _hash_all(self, data: memoryview, is_only: bool) -> None:
        if not is_only and self._hashes_whole:
            self._hash.update(data)
        if self._md5 is not None:
            self._md5.update(data)
        if self._watch is not None:
            self._watch.update(data)

    async def _store(self, number: int, buffer: Buffer, data: memoryview, hashed: asyncio.Future[None]) -> None:
        try:
            self._written[number] = await self._uploads.sink.write(data, Deadline.after(CHUNK_TIMEOUT_S))
            # Not to be filled again while the file's hash reads it. (After a failure it may: that hash is void.)
            await hashed
        finally:
            buffer.release()
            self._slots.release()


def check_room(size: int, bytes_max: int | None) -> None:
    """Raise QuotaExceeded when a body of at least `size` bytes is more than there is room for."""
    if bytes_max is not None and size > bytes_max:
        raise QuotaExceeded(f"the quotas leave room for {bytes_max:,} bytes here, and the file is larger; nothing was"
                            " stored", bytes_left=bytes_max)


def _command(header: Header, order: PutOrder, size: int, digest: bytes, *, inline: bytes | None = None,
             chunks: tuple[WrittenChunk, ...] = ()) -> PutFile:
    kind, etag, meta = PutFile, etag_of(digest), order.meta
    if order.watch is not None:
        sealed = order.watch.seal()
        kind, etag, meta = PutObject, sealed.etag, {**meta, **sealed.meta}
    return kind(
        header, order.path, size, digest, etag, order.content_type, meta, order.tags, inline,
        tuple((chunk.chunk_id, chunk.length) for chunk in chunks), tuple(chunk.replicas for chunk in chunks),
        if_match=order.if_match, if_none_match=order.if_none_match, parents=True,
        lock=order.lock, since_seq=since_of(chunks))


def _check_promises(promise: PutOrder | Promise, digest: bytes, md5: bytes | None) -> None:
    if promise.blake3 is not None and promise.blake3 != digest:
        raise DigestMismatch("the body's BLAKE3 is not the one in Fluffy-Blake3; nothing was stored",
                             promised=promise.blake3.hex(), received=digest.hex())
    if promise.md5 is not None and promise.md5 != md5:
        raise DigestMismatch("the body's MD5 is not the one in Content-MD5; nothing was stored",
                             promised=promise.md5.hex(), received=md5.hex() if md5 is not None else None)
