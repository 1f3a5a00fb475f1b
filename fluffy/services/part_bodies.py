"""The body of a change of a part of a file.

A small one is kept in memory, so that it can be joined with what is around it in the file; a large one goes into chunks
of its own that nothing names yet.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from blake3 import blake3

from fluffy.base.errors import BodyIncomplete, DigestMismatch, Overloaded
from fluffy.base.units import KIB
from fluffy.core.data.splice import Source
from fluffy.core.metadata.model import ChunkRef
from fluffy.services.uploads import BodySource, Promise, Uploads

# Bodies up to this are kept in memory, so that they can be joined with what is around them.
MEMORY_BODY_BYTES_MAX = 512 * KIB
# Of those that do not fit into a command: 16 MiB together. Others wait, at most so long.
MEMORY_BODIES_MAX = 32
MEMORY_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class PartBody:
    """A body that has come: in memory (`data`), or in chunks."""

    size: int
    blake3: bytes
    sources: tuple[Source, ...]

    @property
    def data(self) -> bytes | None:
        first = self.sources[0] if self.sources else b""
        return first if isinstance(first, bytes) else None


class PartBodies:
    """Receives them, for one process."""

    def __init__(self, uploads: Uploads, *, inline_max: int) -> None:
        self._uploads = uploads
        self._inline_max = inline_max
        self._memory = asyncio.Semaphore(MEMORY_BODIES_MAX)

    @asynccontextmanager
    async def received(self, body: BodySource, promise: Promise) -> AsyncIterator[PartBody]:
        """The whole body: in memory while it is small, else in chunks that nothing names yet."""
        if body.length is not None and body.length <= self._inline_max:
            yield _in_memory(await _read(body, body.length), promise)
            return
        if body.length is not None and body.length > MEMORY_BODY_BYTES_MAX:
            yield await self._in_chunks(body, promise)
            return
        try:
            async with asyncio.timeout(MEMORY_TIMEOUT_S):
                await self._memory.acquire()
        except TimeoutError as error:
            raise Overloaded from error
        try:
            beginning = await _read(body, MEMORY_BODY_BYTES_MAX if body.length is None else body.length)
            if len(beginning) < MEMORY_BODY_BYTES_MAX or body.length is not None:
                yield _in_memory(beginning, promise)
            else:
                yield await self._in_chunks(_GoingOn(beginning, body), promise)
        finally:
            self._memory.release()

    async def _in_chunks(self, body: BodySource, promise: Promise) -> PartBody:
        stored = await self._uploads.store(promise, body)
        return PartBody(stored.size, stored.blake3, tuple(
            ChunkRef(chunk.chunk_id, chunk.length, chunk.replicas) for chunk in stored.chunks))


async def _read(body: BodySource, size: int) -> bytes:
    data = bytearray(size)
    count = await body.fill(memoryview(data))
    if body.length is not None and count < size:
        raise BodyIncomplete
    return bytes(memoryview(data)[:count])


def _in_memory(data: bytes, promise: Promise) -> PartBody:
    digest = blake3(data).digest()
    if promise.blake3 not in (None, digest):
        raise DigestMismatch("the body's BLAKE3 is not the one in Fluffy-Blake3; nothing was stored")
    if promise.md5 not in (None, hashlib.md5(data).digest()):
        raise DigestMismatch("the body's MD5 is not the one in Content-MD5; nothing was stored")
    return PartBody(len(data), digest, (data,) if data else ())


class _GoingOn:
    """A body of unknown length whose beginning was read already. Implements `BodySource`."""

    length: int | None = None

    def __init__(self, beginning: bytes, rest: BodySource) -> None:
        self._beginning = beginning
        self._rest = rest

    async def fill(self, out: memoryview) -> int:
        count = min(len(out), len(self._beginning))
        out[:count] = self._beginning[:count]
        self._beginning = self._beginning[count:]
        return count + (await self._rest.fill(out[count:]) if count < len(out) else 0)
