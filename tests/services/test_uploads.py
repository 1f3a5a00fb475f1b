"""Uploads: whole or not at all, bounded, and nothing held afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from blake3 import blake3

from fluffy.base.deadline import Deadline
from fluffy.base.errors import BodyIncomplete, DigestMismatch, DiskFull, Overloaded, QuotaExceeded, TooLarge
from fluffy.base.ids import NodeNo, UserNo, new_request_id
from fluffy.core.metadata.commands import Command, Header, PutFile
from fluffy.core.metadata.outcomes import Accepted
from fluffy.drivers.buffers import BufferPool
from fluffy.services import uploads as uploads_module
from fluffy.services.uploads import CHUNKS_IN_FLIGHT, PutOrder, Uploads
from tests.support.memory_chunks import MemoryChunks

CHUNK = 64 * 1024
INLINE = 1000
HEADER = Header(new_request_id(), 1, NodeNo(1), UserNo(1))


@dataclass
class Log:
    """Notes what is proposed."""

    proposed: list[Command] = field(default_factory=list)

    async def propose(self, command: Command, deadline: Deadline) -> Accepted:
        self.proposed.append(command)
        return Accepted(len(self.proposed), {"generation": 1, "created": True, "modified_ms": 1})


class BytesBody:
    """A body out of memory, in uneven pieces; `cut_at`: the client leaves there; `stall_at`: it goes silent there."""

    def __init__(self, data: bytes, announced: bool = True, cut_at: int | None = None,
                 stall_at: int | None = None) -> None:
        self.length = len(data) if announced else None
        self._data = data
        self._position = 0
        self._cut_at = cut_at
        self._stall_at = stall_at

    @property
    def read(self) -> int:
        """Bytes that somebody has taken."""
        return self._position

    async def fill(self, out: memoryview) -> int:
        filled = 0
        while filled < len(out) and self._position < len(self._data):
            await asyncio.sleep(0)
            if self._cut_at is not None and self._position >= self._cut_at:
                raise BodyIncomplete
            if self._stall_at is not None and self._position >= self._stall_at:
                await asyncio.Event().wait()
            part = self._data[self._position:self._position + min(len(out) - filled, 20_011)]
            out[filled:filled + len(part)] = part
            filled += len(part)
            self._position += len(part)
        return filled


@dataclass
class World:
    log: Log
    chunks: MemoryChunks
    pool: BufferPool
    uploads: Uploads


@pytest.fixture
def world() -> Iterator[World]:
    log, chunks, pool = Log(), MemoryChunks(), BufferPool(CHUNK, 6)
    with ThreadPoolExecutor(2) as threads:
        yield World(log, chunks, pool, Uploads(log, chunks, pool, threads,  # type: ignore[arg-type]
                                               chunk_size=CHUNK, inline_max=INLINE))
    assert pool.free_buffers == 6, "every buffer was given back"


def order(**more: object) -> PutOrder:
    return PutOrder("admin/f", "a/b", {}, {}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [0, 1, INLINE, INLINE + 1, CHUNK, CHUNK + 1, 7 * CHUNK, 7 * CHUNK + 3])
async def test_the_proposal_describes_exactly_the_bytes(world: World, size: int, announced: bool) -> None:
    data = os.urandom(size)
    stored = await world.uploads.put(HEADER, order(), BytesBody(data, announced))
    [command] = world.log.proposed
    assert isinstance(command, PutFile)
    assert command.size == stored.size == size
    assert command.blake3 == stored.blake3 == blake3(data).digest()
    if size <= INLINE:
        assert command.inline == data and not command.chunks and not world.chunks.stored
    else:
        assert command.inline is None
        assert b"".join(world.chunks.stored[chunk_id] for chunk_id, _ in command.chunks) == data
        tail = [size % CHUNK] if size % CHUNK else []
        assert [length for _, length in command.chunks] == [CHUNK] * (size // CHUNK) + tail
        assert len(command.replicas) == len(command.chunks)


async def test_only_so_many_chunks_are_on_their_way(world: World) -> None:
    await world.uploads.put(HEADER, order(), BytesBody(os.urandom(30 * CHUNK)))
    assert 2 <= world.chunks.writing_most <= CHUNKS_IN_FLIGHT


@pytest.mark.parametrize("size", [500, 5 * CHUNK])
async def test_a_broken_promise_proposes_nothing(world: World, size: int) -> None:
    data = os.urandom(size)
    for promise in ({"md5": bytes(16)}, {"blake3": bytes(32)}):
        with pytest.raises(DigestMismatch):
            await world.uploads.put(HEADER, order(**promise), BytesBody(data))
    assert not world.log.proposed
    await world.uploads.put(HEADER, order(md5=hashlib.md5(data).digest(), blake3=blake3(data).digest()),
                            BytesBody(data))
    assert len(world.log.proposed) == 1


@pytest.mark.parametrize("cut_at", [0, 100, 3 * CHUNK])
async def test_a_cut_body_proposes_nothing(world: World, cut_at: int) -> None:
    with pytest.raises(BodyIncomplete):
        await world.uploads.put(HEADER, order(), BytesBody(bytes(5 * CHUNK), cut_at=cut_at))
    assert not world.log.proposed


async def test_a_failing_disk_ends_the_upload_although_the_client_is_silent(world: World) -> None:
    world.chunks.fail_write = DiskFull()
    with pytest.raises(DiskFull):
        await world.uploads.put(HEADER, order(), BytesBody(bytes(5 * CHUNK), stall_at=2 * CHUNK))
    assert not world.log.proposed


async def test_an_upload_that_is_cancelled_holds_nothing(world: World) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.uploads.put(HEADER, order(), BytesBody(bytes(5 * CHUNK), stall_at=2 * CHUNK)))
        await asyncio.sleep(0.05)
        task.cancel()
    assert not world.log.proposed


async def test_more_uploads_than_buffers_wait_for_each_other_and_all_end(world: World) -> None:
    bodies = [os.urandom(6 * CHUNK + number) for number in range(12)]
    async with asyncio.TaskGroup() as group:
        for body in bodies:
            group.create_task(world.uploads.put(HEADER, order(), BytesBody(body)))
    assert sorted(command.blake3 for command in world.log.proposed) == sorted(  # type: ignore[union-attr]
        blake3(body).digest() for body in bodies)


async def test_without_memory_the_client_is_told_to_come_again(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_module, "BUFFER_TIMEOUT_S", 0.05)
    held = [world.pool.try_acquire() for _ in range(6)]
    with pytest.raises(Overloaded):
        await world.uploads.put(HEADER, order(), BytesBody(bytes(5 * CHUNK)))
    for buffer in held:
        assert buffer is not None
        buffer.release()


async def test_small_uploads_do_not_wait_for_the_pool_of_large_ones(world: World) -> None:
    held = [world.pool.try_acquire() for _ in range(6)]
    data = os.urandom(CHUNK - 1)
    stored = await world.uploads.put(HEADER, order(md5=hashlib.md5(data).digest()), BytesBody(data))
    assert stored.blake3 == blake3(data).digest()
    for buffer in held:
        assert buffer is not None
        buffer.release()


@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_of_too_many_chunks_is_refused(
        world: World, announced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_module, "FILE_CHUNKS_MAX", 3)
    monkeypatch.setattr(world.uploads, "_file_size_max", 3 * CHUNK)
    with pytest.raises(TooLarge):
        await world.uploads.put(HEADER, order(), BytesBody(bytes(3 * CHUNK + 1), announced))
    assert not world.log.proposed
    await world.uploads.put(HEADER, order(), BytesBody(bytes(3 * CHUNK), announced))


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_larger_than_its_room_is_refused_before_it_has_all_come(world: World, announced: bool) -> None:
    body = BytesBody(bytes(20 * CHUNK), announced=announced)
    with pytest.raises(QuotaExceeded) as caught:
        await world.uploads.put(HEADER, order(bytes_max=3 * CHUNK + 5), body)
    assert caught.value.facts["bytes_left"] == 3 * CHUNK + 5
    assert body.read == (0 if announced else 4 * CHUNK)
    assert not world.log.proposed
    assert world.pool.free_buffers == 6


async def test_a_body_that_just_fits_its_room_is_stored(world: World) -> None:
    stored = await world.uploads.put(HEADER, order(bytes_max=3 * CHUNK), BytesBody(bytes(3 * CHUNK), announced=False))
    assert stored.size == 3 * CHUNK
