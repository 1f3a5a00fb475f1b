"""Chunks in memory, for tests of the rooms above the data path: `ports.ChunkSink` and `ports.ChunkSource` in one."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from fluffy.base.deadline import Deadline
from fluffy.base.errors import AllCopiesBad, FluffyError
from fluffy.base.hashing import chunk_id_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.ports import ChunkLease, WrittenChunk


@dataclass(slots=True)
class Lease:
    data: memoryview
    file: tuple[int, int] | None = None


@dataclass(slots=True)
class MemoryChunks:
    """`as_files`: leases come as files, as from the own disk. `fail_write`, `fail_open`: raised instead of working."""

    as_files: bool = False
    replicas: tuple[NodeNo, ...] = (NodeNo(1), NodeNo(2))
    fail_write: FluffyError | None = None
    fail_open: FluffyError | None = None
    bad: set[ChunkId] = field(default_factory=set)
    stored: dict[ChunkId, bytes] = field(default_factory=dict)
    held: int = 0  # leases given out and not returned
    opened: int = 0
    writing: int = 0
    writing_most: int = 0

    async def write(self, data: memoryview, deadline: Deadline) -> WrittenChunk:
        self.writing += 1
        self.writing_most = max(self.writing_most, self.writing)
        try:
            await asyncio.sleep(0.002)
            if self.fail_write is not None:
                raise self.fail_write
            chunk_id = chunk_id_of(data)
            self.stored[chunk_id] = bytes(data)
            return WrittenChunk(chunk_id, len(data), self.replicas)
        finally:
            self.writing -= 1

    async def open(self, chunk_id: ChunkId, length: int, replicas: tuple[NodeNo, ...], deadline: Deadline, *,
                   offset: int = 0, want: int | None = None, in_memory: bool = False,
                   ) -> AbstractContextManager[ChunkLease]:
        await asyncio.sleep(0)
        if self.fail_open is not None:
            raise self.fail_open
        if chunk_id in self.bad:
            raise AllCopiesBad
        data = self.stored[chunk_id]
        assert len(data) == length
        part = data[offset:length if want is None else offset + want]
        self.held += 1
        self.opened += 1
        return self._lease(part, self.as_files and not in_memory)

    @contextmanager
    def _lease(self, part: bytes, as_file: bool) -> Iterator[ChunkLease]:
        try:
            if not as_file:
                yield Lease(memoryview(part))
                return
            with tempfile.TemporaryFile() as file:
                file.write(b"padding" + part)
                file.flush()
                yield Lease(memoryview(part), (file.fileno(), len(b"padding")))
        finally:
            self.held -= 1
