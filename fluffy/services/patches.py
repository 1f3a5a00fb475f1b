"""Changing a part of a file: append and overwrite, by several writers at once, each change whole and exactly once.

A few bytes for a file that lives in the metadata travel in the command, and the log orders them. Otherwise the bytes
are stored as chunks first (core/data/splice.py says which), and a PatchFile names the generation that it builds on. If
somebody else was quicker the log refuses it, and the door builds on the newer one:

    attempt 0 -> refused, generation 8 is there -> attempt 1 on 8 -> refused, 9 -> attempt 2 on 9 -> accepted

Each attempt is a request of its own, whose id follows from the caller's. A repeated request therefore walks through the
same refusals to the same end, at any node; nothing is appended twice. Writers in one process wait for each other, so
that only as many conflict as there are gateways; while they wait, their bytes are stored already.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from blake3 import blake3
from cachetools import TTLCache

from fluffy.base.deadline import Deadline
from fluffy.base.errors import (
    BucketNotFound,
    Conflict,
    FileNotFound,
    FluffyError,
    Overloaded,
    PreconditionFailed,
    RangeIllegal,
    RequestError,
    RequestIdReused,
)
from fluffy.base.hashing import etag_of, etag_of_chunks
from fluffy.base.ids import part_of_request
from fluffy.base.paths import RemotePath, parse_file_path
from fluffy.base.units import GIB
from fluffy.core.data.splice import Piece, Splice, splice, splice_bytes
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import Header, PutFile
from fluffy.core.metadata.commands_tree import AppendFile, PatchFile
from fluffy.core.metadata.model import ChunkRef, FileVersion
from fluffy.core.metadata.outcomes import Accepted
from fluffy.ports import ChunkSource, MetadataLog, MetadataReader, WrittenChunk, since_of
from fluffy.services.groups import first_failure
from fluffy.services.part_bodies import MEMORY_BODY_BYTES_MAX, PartBodies, PartBody
from fluffy.services.uploads import BodySource, Promise, PutOrder, Uploads
from fluffy.wire.ranges import unsatisfied_range

# With three gateways at it each attempt wins at least one time in three or so; this many lost ones are no accident.
ATTEMPTS_MAX = 200
CHANGE_TIMEOUT_S = 30.0
PROPOSE_TIMEOUT_S = 2.5
CHUNK_TIMEOUT_S = 20.0
BUFFER_TIMEOUT_S = 15.0
# A manifest of so many chunks takes milliseconds to read: longer ones are read in a thread.
LOOP_FILE_BYTES_MAX = GIB
# Where writers crowd, small chunks are joined only when there are so many: joining takes a turn's time twice.
CROWDED_JOINS_LEAST = 32
# A file is crowded for so long after one writer met another there.
CROWDED_S = 2.0
CROWDED_FILES_MAX = 1_000
# Chunks read at once to be joined.
READS_AT_ONCE = 8
INTENT_BYTES = 16

Command = AppendFile | PutFile | PatchFile


@dataclass(frozen=True, slots=True)
class Changed:
    """`offset`: where the bytes begin in the file. `size`: of the whole file after it."""

    outcome: Accepted
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one request asks for. `offset` None: at the end, and the file is made when there is none.

    `fits`: an append whose body fits into a command.
    """

    header: Header
    order: PutOrder
    path: RemotePath
    body: PartBody
    offset: int | None
    fits: bool

    @property
    def intent(self) -> bytes:
        said = f"{self.offset} {self.body.size} {self.order.if_match}".encode(errors="surrogatepass")
        return blake3(self.body.blake3 + said).digest(INTENT_BYTES)

    def header_of(self, attempt: int) -> Header:
        if attempt == 0:
            return self.header
        return replace(self.header, request_id=part_of_request(self.header.request_id, f"change {attempt}"))


class Patches:
    """For the doors of one process."""

    def __init__(self, log: MetadataLog, reader: MetadataReader, uploads: Uploads, source: ChunkSource, *,
                 inline_max: int) -> None:
        self._log = log
        self._reader = reader
        self._uploads = uploads
        self._source = source
        self._inline_max = inline_max
        self._bodies = PartBodies(uploads, inline_max=inline_max)
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        self._crowded: TTLCache[str, bool] = TTLCache(CROWDED_FILES_MAX, CROWDED_S)

    async def append(self, header: Header, order: PutOrder, body: BodySource) -> Changed:
        """Add a body to the end of a file, or make the file; `order.meta` and `tags` must be empty.

        Concurrent appends all succeed, each in one piece. Raises what `Uploads.put` raises, and Overloaded when others
        were quicker for too long.
        """
        return await self._change(header, order, body, None)

    async def overwrite(self, header: Header, order: PutOrder, offset: int, body: BodySource) -> Changed:
        """Put a body over the bytes from `offset` on, which may be the file's end, and go beyond it.

        Raises FileNotFound, RangeIllegal when the file is shorter than `offset`, and what `append` raises.
        """
        return await self._change(header, order, body, offset)

    async def _change(self, header: Header, order: PutOrder, body: BodySource, offset: int | None) -> Changed:
        path = parse_file_path(order.path)
        async with self._bodies.received(body, Promise(order.md5, order.blake3)) as received:
            fits = offset is None and received.data is not None and received.size <= self._inline_max
            wish = _Wish(header, order, path, received, offset, fits)
            first = 0
            if fits and await self._is_small(path, received.size):
                # In the log nothing conflicts, so there is no turn to wait for.
                outcome = await self._try(wish, 0, _append_file(wish, 0))
                if outcome is not None:
                    return _changed(wish, outcome)
                first = 1
            making = _Making(self, wish)
            if path.text in self._crowded or path.text in self._turns:
                self._crowded[path.text] = True
                await making.prepare()
            async with self._turn(path.text):
                return await self._insist(wish, making, first)

    async def _is_small(self, path: RemotePath, more: int) -> bool:
        """Whether the file seems to live in the metadata, and to stay there with so many bytes more."""
        base = await self._base(path, Deadline.after(CHANGE_TIMEOUT_S))
        return base is None or (not base.chunks and base.size + more <= self._inline_max)

    async def _insist(self, wish: _Wish, making: _Making, first: int) -> Changed:
        """Attempt after attempt, each on the newest generation that this node knows."""
        text = wish.path.text
        joins_least: int | None = CROWDED_JOINS_LEAST if text in self._crowded else 1
        deadline = Deadline.after(CHANGE_TIMEOUT_S)
        for attempt in range(first, first + ATTEMPTS_MAX):
            base = await self._base(wish.path, deadline)
            command = await making.command(base, attempt, joins_least)
            try:
                outcome = await self._try(wish, attempt, command)
            except FluffyError as error:
                raise making.judged(error) from error
            if outcome is not None:
                return _changed(wish, outcome)
            joins_least = None
            self._crowded[text] = True
            if deadline.passed:
                break
        raise Overloaded("too many others change this file at the same time; try again with the same request id",
                         path=str(wish.path))

    async def _try(self, wish: _Wish, attempt: int, command: Command) -> Accepted | None:
        """One attempt; None: somebody was quicker, and the next one may do it."""
        try:
            try:
                return await self._propose(command)
            except RequestIdReused:
                # Another node tried this attempt while the file was of another kind: its answer is the attempt's.
                return await self._propose(_twin(wish, attempt, command))
        except PreconditionFailed as error:
            # The refusal may be an old one, of an earlier time of this request: the generation that it names says
            # nothing about what this attempt was built on.
            present, etag = error.facts.get("generation"), error.facts.get("etag")
            may_retry = wish.order.if_match in (None, "*", etag)
            if not may_retry or not (error.facts.get("use") == "patch" or present):
                raise
            return None
        except (FileNotFound, BucketNotFound):
            if wish.offset is not None:
                raise
            # Deleted or moved away since this node looked: an append makes the file then.
            return None

    async def _propose(self, command: Command) -> Accepted:
        return await self._log.propose(command, Deadline.after(PROPOSE_TIMEOUT_S))

    async def _base(self, path: RemotePath, deadline: Deadline) -> FileVersion | None:
        version = self._reader.read(lambda db: queries.file_version(db, path, size_max=LOOP_FILE_BYTES_MAX))
        if version is None or version.size <= LOOP_FILE_BYTES_MAX:
            return version
        return await self._reader.read_in_thread(partial(queries.file_version, path=path), deadline)

    @asynccontextmanager
    async def _turn(self, path: str) -> AsyncIterator[None]:
        """Wait for the others in this process that change the same file."""
        lock, waiting = self._turns.get(path, (asyncio.Lock(), 0))
        self._turns[path] = (lock, waiting + 1)
        try:
            try:
                async with asyncio.timeout(CHANGE_TIMEOUT_S):
                    await lock.acquire()
            except TimeoutError as error:
                raise Overloaded("too many others change this file at the same time; try again") from error
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, waiting = self._turns[path]
            if waiting == 1:
                del self._turns[path]
            else:
                self._turns[path] = (lock, waiting - 1)

    # --- the chunks

    async def write(self, pieces: Sequence[Piece]) -> WrittenChunk:
        """Make one chunk of pieces, or take the one that they are."""
        if len(pieces) == 1 and pieces[0].chunk is not None:
            there = pieces[0].chunk
            return WrittenChunk(there.chunk_id, there.length, there.replicas)
        size = sum(piece.count for piece in pieces)
        if size <= MEMORY_BODY_BYTES_MAX:
            return await self._write(memoryview(bytearray(size)), pieces)
        with await self._uploads.acquire_buffer(BUFFER_TIMEOUT_S) as buffer:
            return await self._write(buffer.view[:size], pieces)

    async def _write(self, out: memoryview, pieces: Sequence[Piece]) -> WrittenChunk:
        position = 0
        slots = asyncio.Semaphore(READS_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                for piece in pieces:
                    part = out[position:position + piece.count]
                    position += piece.count
                    if isinstance(piece.source, bytes):
                        part[:] = memoryview(piece.source)[piece.offset:piece.offset + piece.count]
                        continue
                    await slots.acquire()
                    group.create_task(self._read(piece.source, piece.offset, part, slots))
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from failures
        return await self._uploads.sink.write(out, Deadline.after(CHUNK_TIMEOUT_S))

    async def _read(self, chunk: ChunkRef, offset: int, out: memoryview, slots: asyncio.Semaphore) -> None:
        try:
            with await self._source.open(
                    chunk.chunk_id, chunk.length, chunk.replicas, Deadline.after(CHUNK_TIMEOUT_S), offset=offset,
                    want=len(out), in_memory=True) as lease:
                out[:] = lease.data
        finally:
            slots.release()

    @property
    def chunk_size(self) -> int:
        return self._uploads.chunk_size

    @property
    def inline_max(self) -> int:
        return self._inline_max


class _Making:
    """Makes the commands of one wish's attempts; chunks that were made for one serve the next."""

    def __init__(self, patches: Patches, wish: _Wish) -> None:
        self._patches = patches
        self._wish = wish
        self._made: dict[tuple[Piece, ...], WrittenChunk] = {}
        self._complaint: FluffyError | None = None

    def judged(self, error: FluffyError) -> FluffyError:
        """What to tell the client when the log refused the last command."""
        if self._complaint is not None and isinstance(error, RequestError | Conflict):
            return self._complaint
        if error.code() == RequestError.code():
            return RangeIllegal("the range began beyond the end of the file as it was then")
        return error

    async def prepare(self) -> None:
        """Store a body that is to be appended while others have their turn."""
        wish = self._wish
        if wish.offset is None and wish.body.data:
            await self._write(splice((), 0, wish.body.sources, chunk_size=self._patches.chunk_size))

    async def command(self, base: FileVersion | None, attempt: int, joins_least: int | None) -> Command:
        """Where the base does not allow the change, one that only asks whether an earlier time of this request did it.

        The log refuses it otherwise, and `judged` says why.
        """
        wish = self._wish
        self._complaint = None
        if base is None:
            return await self._first(attempt) if wish.offset is None else _question(wish, attempt)
        offset = base.size if wish.offset is None else wish.offset
        if offset > base.size:
            self._complaint = RangeIllegal(
                f"the range begins at {offset}, beyond the end of the file, which has {base.size} bytes",
                size=base.size, content_range=unsatisfied_range(base.size))
            return replace(_question(wish, attempt), base_generation=base.generation, at=len(base.chunks) + 1)
        if not base.chunks:
            return await self._of_bytes(base, base.inline or b"", offset, attempt)
        change = splice(base.chunks, offset, wish.body.sources, chunk_size=self._patches.chunk_size,
                        joins_least=joins_least)
        return self._patch(base, attempt, change, await self._write(change))

    async def _first(self, attempt: int) -> Command:
        """There is no file: the body is all of it."""
        wish, order = self._wish, self._wish.order
        if wish.fits:
            return _append_file(wish, attempt)
        chunks = await self._write(splice_bytes(b"", 0, wish.body.sources, chunk_size=self._patches.chunk_size))
        return PutFile(
            wish.header_of(attempt), order.path, wish.body.size, wish.body.blake3, etag_of(wish.body.blake3),
            order.content_type, {}, {}, None, tuple((chunk.chunk_id, chunk.length) for chunk in chunks),
            tuple(chunk.replicas for chunk in chunks), if_match=order.if_match, if_none_match=True, lock=order.lock,
            since_seq=since_of(chunks))

    async def _of_bytes(self, base: FileVersion, content: bytes, offset: int, attempt: int) -> Command:
        """The file lives in the metadata: it stays there while it is small."""
        wish = self._wish
        data = wish.body.data
        size = max(base.size, offset + wish.body.size)
        if data is None or size > self._patches.inline_max:
            change = splice_bytes(content, offset, wish.body.sources, chunk_size=self._patches.chunk_size)
            return self._patch(base, attempt, change, await self._write(change))
        if wish.fits:
            return _append_file(wish, attempt)
        content = content[:offset] + data + content[offset + len(data):]
        root = blake3(content).digest()
        return replace(_question(wish, attempt), base_generation=base.generation, size=size, blake3=root,
                       etag=etag_of(root), inline=content)

    async def _write(self, change: Splice) -> list[WrittenChunk]:
        for pieces in change.made:
            if pieces not in self._made:
                self._made[pieces] = await self._patches.write(pieces)
        return [self._made[pieces] for pieces in change.made]

    def _patch(self, base: FileVersion, attempt: int, change: Splice, made: list[WrittenChunk]) -> PatchFile:
        chunks: list[ChunkRef | WrittenChunk] = [
            *base.chunks[:change.at], *made, *base.chunks[change.at + change.drop:]]
        if len(chunks) == 1:
            root = bytes(chunks[0].chunk_id)
            etag = etag_of(root)
        else:
            root, etag = b"", etag_of_chunks([(chunk.chunk_id, chunk.length) for chunk in chunks])
        return replace(
            _question(self._wish, attempt), base_generation=base.generation, at=change.at, drop=change.drop,
            size=change.size, blake3=root, etag=etag, chunks=tuple((chunk.chunk_id, chunk.length) for chunk in made),
            replicas=tuple(chunk.replicas for chunk in made), since_seq=since_of(made))


def _append_file(wish: _Wish, attempt: int) -> AppendFile:
    order = wish.order
    return AppendFile(wish.header_of(attempt), order.path, wish.body.data or b"", order.content_type,
                      if_match=order.if_match, lock=order.lock)


def _question(wish: _Wish, attempt: int) -> PatchFile:
    """Changes nothing, for no generation is 0; but gets the answer that this attempt had, if it had one."""
    order = wish.order
    return PatchFile(wish.header_of(attempt), order.path, wish.intent, 0, 0, 0, 0, b"", "", None, (), (),
                     if_match=order.if_match, lock=order.lock)


def _twin(wish: _Wish, attempt: int, command: Command) -> Command:
    """The other command that the same attempt may have been. Its id is known, so it is only a question."""
    if not isinstance(command, PatchFile):
        return _question(wish, attempt)
    if wish.fits:
        return _append_file(wish, attempt)
    order = wish.order
    return PutFile(command.header, order.path, wish.body.size, wish.body.blake3, "", "", {}, {}, None, (), (),
                   if_none_match=True)


def _changed(wish: _Wish, outcome: Accepted) -> Changed:
    size = int(outcome.facts.get("size", wish.body.size))
    return Changed(outcome, size - wish.body.size if wish.offset is None else wish.offset, size)
