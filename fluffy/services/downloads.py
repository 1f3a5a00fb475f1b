"""Getting a file: verified bytes of one version, in order, with the next chunks already on their way.

A version never changes, so a download needs no lock: it holds the version it looked up, however long it takes (the
bytes of an overwritten version stay for the retention time). The first chunk is had before the first byte of the answer
is sent, so that "no good copy" is still an honest 503; when a later chunk fails the only honest end is to cut the
connection, which the caller does when `send` raises.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from fluffy.base.checks import invariant
from fluffy.base.deadline import Deadline
from fluffy.base.units import KIB
from fluffy.core.metadata.model import ChunkRef, FileVersion
from fluffy.ports import ChunkLease, ChunkSource
from fluffy.services.groups import first_failure
from fluffy.wire.ranges import Span

# One chunk on the way out and two behind it hide the latency of a peer; each costs up to a chunk of memory.
CHUNKS_AHEAD = 2
# Files handed to the connection at once: the next one is there when the first is out.
FILES_FLYING_MAX = 2
CHUNK_TIMEOUT_S = 20.0
# Below this a copy through the process is cheaper than the switches to a thread and back.
SENDFILE_BYTES_MIN = 128 * KIB


class BodyOut(Protocol):
    """Where a door sends the body of an answer. ConnectionError: the client is gone or takes nothing."""

    async def write(self, data: bytes | memoryview) -> None:
        """Send; when this returns, the memory behind `data` may be used again. Not while files are on their way."""

    async def send_file(self, file_descriptor: int, offset: int, count: int) -> asyncio.Future[None]:
        """Begin to send from a file without copying, after what went before; the future is done when it is out.

        Only where the door said that it can (`sends_files`).
        """

    async def settle(self) -> None:
        """Wait until no file is in use any more; what is not out by now will not be sent."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`count` bytes of one chunk, from `offset` in it."""

    chunk: ChunkRef
    offset: int
    count: int


def plan_pieces(chunks: tuple[ChunkRef, ...], span: Span) -> tuple[Piece, ...]:
    """Which parts of which chunks make up `span` of the file."""
    pieces: list[Piece] = []
    position, end = 0, span.start + span.count
    for chunk in chunks:
        if position >= end:
            break
        first, last = max(span.start, position), min(end, position + chunk.length)
        if first < last:
            pieces.append(Piece(chunk, first - position, last - first))
        position += chunk.length
    invariant(sum(piece.count for piece in pieces) == span.count, "a manifest covers its file")
    return tuple(pieces)


class Downloads:
    """Opens bodies. One per gateway."""

    def __init__(self, source: ChunkSource) -> None:
        self._source = source

    async def open(self, version: FileVersion, parts: tuple[Span | bytes, ...], *, sends_files: bool) -> Download:
        """Get ready to send `parts` of a version in order: spans of the file, and bytes of our own between them.

        `sends_files`: the connection can send from files. Raises AllCopiesBad when the first chunk cannot be had. The
        caller must `close` what it got.
        """
        steps: list[Piece | bytes] = []
        for part in parts:
            if isinstance(part, bytes):
                steps.append(part)
            elif version.inline is not None:
                steps.append(version.inline[part.start:part.start + part.count])
            else:
                steps.extend(plan_pieces(version.chunks, part))
        download = Download(self._source, deque(steps), sends_files)
        await download.prepare()
        return download


class Download:
    """One body, ready to be sent once."""

    def __init__(self, source: ChunkSource, steps: deque[Piece | bytes], sends_files: bool) -> None:
        self._source = source
        self._sends_files = sends_files
        self._steps = steps
        self._first: AbstractContextManager[ChunkLease] | None = None

    async def prepare(self) -> None:
        """Have the first chunk."""
        for step in self._steps:
            if isinstance(step, Piece):
                self._first = await self._open(step)
                return

    async def send(self, out: BodyOut) -> None:
        """Send everything. Raises ConnectionError when the client left, AllCopiesBad when a later chunk failed."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._send_steps(group, out)
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from failures
        finally:
            self.close()

    def close(self) -> None:
        """Give back what was prepared and not sent. Harmless afterwards."""
        if self._first is not None:
            with self._first:
                self._first = None

    async def _send_steps(self, group: asyncio.TaskGroup, out: BodyOut) -> None:
        ahead: deque[asyncio.Task[AbstractContextManager[ChunkLease]]] = deque()
        flying: deque[_Flight] = deque()
        upcoming = deque(step for step in self._steps if isinstance(step, Piece))
        try:
            while self._steps:
                step = self._steps.popleft()
                if isinstance(step, bytes):
                    await _land(flying, 0)
                    await out.write(step)
                    continue
                upcoming.popleft()
                flying.append(_Flight(await self._next_holder(ahead)))
                while len(ahead) < min(CHUNKS_AHEAD, len(upcoming)):
                    ahead.append(group.create_task(self._open(upcoming[len(ahead)])))
                await _launch(flying, step, out)
            await _land(flying, 0)
        finally:
            # A second cancellation (the server ends while its client leaves) ends the waiting, never the giving back.
            try:
                await out.settle()
            finally:
                for flight in flying:
                    flight.close()
                _drop(ahead)

    async def _next_holder(self, ahead: deque[asyncio.Task[AbstractContextManager[ChunkLease]]],
                           ) -> AbstractContextManager[ChunkLease]:
        if self._first is not None:
            holder, self._first = self._first, None
            return holder
        holder = await ahead[0]  # stays in `ahead`, whose end gives it back, until it is ours for sure
        ahead.popleft()
        return holder

    async def _open(self, piece: Piece) -> AbstractContextManager[ChunkLease]:
        chunk = piece.chunk
        return await self._source.open(
            chunk.chunk_id, chunk.length, chunk.replicas, Deadline.after(CHUNK_TIMEOUT_S), offset=piece.offset,
            want=piece.count, in_memory=not self._sends_files or piece.count < SENDFILE_BYTES_MIN)


class _Flight:
    """A chunk that is being sent: its lease is kept until `out` is done with it."""

    __slots__ = ("_holder", "done", "lease")

    def __init__(self, holder: AbstractContextManager[ChunkLease]) -> None:
        self._holder = holder
        self.lease = holder.__enter__()
        self.done: asyncio.Future[None] | None = None

    def close(self) -> None:
        self._holder.__exit__(None, None, None)


async def _launch(flying: deque[_Flight], piece: Piece, out: BodyOut) -> None:
    """Send the last of `flying`: from memory to its end, from a file in the background."""
    flight = flying[-1]
    file = flight.lease.file
    if file is None:
        await _land(flying, 1)
        await out.write(flight.lease.data)
        flying.pop().close()
        return
    await _land(flying, FILES_FLYING_MAX)
    flight.done = await out.send_file(file[0], file[1], piece.count)


async def _land(flying: deque[_Flight], still_flying: int) -> None:
    """Wait for the oldest files to be out, until only so many are left."""
    while len(flying) > still_flying:
        done = flying[0].done
        if done is not None:
            await done
        flying.popleft().close()


def _drop(ahead: deque[asyncio.Task[AbstractContextManager[ChunkLease]]]) -> None:
    """Give back chunks that were fetched ahead and will not be sent; their group waits for that."""
    for task in ahead:
        if task.done():
            _give_back(task)
        else:
            task.add_done_callback(_give_back)
            task.cancel()


def _give_back(task: asyncio.Task[AbstractContextManager[ChunkLease]]) -> None:
    if not task.cancelled() and task.exception() is None:
        with task.result():
            pass
