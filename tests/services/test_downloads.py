"""Downloads: the right bytes in order, with a bounded look ahead, and nothing held afterwards."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.errors import AllCopiesBad
from fluffy.base.hashing import chunk_id_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.model import ChunkRef, FileVersion
from fluffy.services.downloads import CHUNKS_AHEAD, Downloads, plan_pieces
from fluffy.wire.ranges import Span
from tests.support.memory_chunks import MemoryChunks


class Out:
    """Collects what is sent; `leave_after` bytes the client goes away."""

    def __init__(self, chunks: MemoryChunks, leave_after: int = 10**9) -> None:
        self.data = b""
        self.files = 0
        self.held_most = 0
        self.settled = 0
        self._chunks = chunks
        self._leave_after = leave_after

    async def write(self, data: bytes | memoryview) -> None:
        self.held_most = max(self.held_most, self._chunks.held)
        await asyncio.sleep(0.001)
        if len(self.data) >= self._leave_after:
            raise ConnectionResetError
        self.data += bytes(data)

    async def send_file(self, file_descriptor: int, offset: int, count: int) -> asyncio.Future[None]:
        self.files += 1
        self.held_most = max(self.held_most, self._chunks.held)
        self.data += os.pread(file_descriptor, count, offset)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.001, done.set_result, None)
        return done

    async def settle(self) -> None:
        self.settled += 1


def version_of(chunks: MemoryChunks, parts: list[bytes]) -> FileVersion:
    refs = []
    for part in parts:
        chunk_id = chunk_id_of(part)
        chunks.stored[chunk_id] = part
        refs.append(ChunkRef(chunk_id, len(part), (NodeNo(1),)))
    size = sum(map(len, parts))
    return FileVersion("admin/f", 1, size, bytes(32), "e", "a/b", "admin", 1, {}, {}, None, tuple(refs))


async def test_chunks_come_in_order_with_few_ahead() -> None:
    chunks = MemoryChunks()
    parts = [os.urandom(1000) for _ in range(20)]
    out = Out(chunks)
    download = await Downloads(chunks).open(version_of(chunks, parts), (Span(0, 20_000),), sends_files=False)
    await download.send(out)
    assert out.data == b"".join(parts)
    assert out.held_most <= CHUNKS_AHEAD + 1
    assert chunks.held == 0


async def test_large_pieces_of_the_own_disk_go_by_sendfile_and_small_ones_do_not() -> None:
    chunks = MemoryChunks(as_files=True)
    parts = [os.urandom(200_000), os.urandom(1000)]
    for sends_files, files in ((True, 1), (False, 0)):
        out = Out(chunks)
        download = await Downloads(chunks).open(
            version_of(chunks, parts), (Span(0, 201_000),), sends_files=sends_files)
        await download.send(out)
        assert out.data == b"".join(parts) and out.files == files


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.data())
def test_the_pieces_of_any_span_are_its_bytes(lengths: list[int], data: st.DataObject) -> None:
    body = os.urandom(sum(lengths))
    refs, parts, at = [], {}, 0
    for number, length in enumerate(lengths):
        chunk_id = ChunkId(number.to_bytes(32, "big"))
        parts[chunk_id] = body[at:at + length]
        refs.append(ChunkRef(chunk_id, length, ()))
        at += length
    start = data.draw(st.integers(0, len(body) - 1))
    count = data.draw(st.integers(1, len(body) - start))
    pieces = plan_pieces(tuple(refs), Span(start, count))
    assert b"".join(parts[piece.chunk.chunk_id][piece.offset:piece.offset + piece.count]
                    for piece in pieces) == body[start:start + count]
    assert all(piece.count > 0 for piece in pieces)


async def test_the_first_chunk_fails_before_anything_is_sent() -> None:
    chunks = MemoryChunks()
    version = version_of(chunks, [os.urandom(10) for _ in range(3)])
    chunks.bad.add(version.chunks[0].chunk_id)
    with pytest.raises(AllCopiesBad):
        await Downloads(chunks).open(version, (Span(0, 30),), sends_files=False)
    assert chunks.held == 0


async def test_a_later_failure_and_a_leaving_client_hold_nothing() -> None:
    chunks = MemoryChunks()
    version = version_of(chunks, [os.urandom(10) for _ in range(9)])
    download = await Downloads(chunks).open(version, (Span(0, 90),), sends_files=False)
    with pytest.raises(ConnectionResetError):
        await download.send(Out(chunks, leave_after=40))
    assert chunks.held == 0
    chunks.bad.add(version.chunks[5].chunk_id)
    download = await Downloads(chunks).open(version, (Span(0, 90),), sends_files=False)
    out = Out(chunks)
    with pytest.raises(AllCopiesBad):
        await download.send(out)
    assert chunks.held == 0 and len(out.data) <= 50


async def test_what_is_opened_and_not_sent_is_given_back() -> None:
    chunks = MemoryChunks()
    download = await Downloads(chunks).open(version_of(chunks, [b"1234"]), (Span(0, 4),), sends_files=False)
    assert chunks.held == 1
    download.close()
    download.close()
    assert chunks.held == 0


async def test_a_download_that_is_cancelled_holds_nothing() -> None:
    chunks = MemoryChunks()

    class Stuck(Out):
        async def write(self, data: bytes | memoryview) -> None:
            await asyncio.Event().wait()

    download = await Downloads(chunks).open(
        version_of(chunks, [os.urandom(10) for _ in range(9)]), (Span(0, 90),), sends_files=False)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(download.send(Stuck(chunks)))
        await asyncio.sleep(0.02)
        task.cancel()
    assert chunks.held == 0


class QuickOut(Out):
    """Takes everything in one turn of the loop; settles in two, and raises what comes meanwhile."""

    async def write(self, data: bytes | memoryview) -> None:
        await asyncio.sleep(0)
        self.data += bytes(data)

    async def settle(self) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.mark.parametrize("again_after", [None, 0, 1, 2, 3])
async def test_a_download_that_is_cancelled_in_any_turn_of_the_loop_holds_nothing(again_after: int | None) -> None:
    """Also when it is cancelled once more while it gives back: a client leaves while the server ends."""
    chunks = MemoryChunks()
    version = version_of(chunks, [os.urandom(100) for _ in range(5)])

    async def download() -> None:
        await (await Downloads(chunks).open(version, (Span(0, 500),), sends_files=False)).send(QuickOut(chunks))
    for turns in range(100):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(download())
            for _ in range(turns):
                await asyncio.sleep(0)
            is_done = task.done()
            task.cancel()
            for _ in range(again_after or 0):
                await asyncio.sleep(0)
            if again_after is not None:
                task.cancel()
        assert chunks.held == 0, f"cancelled after {turns} turns"
    assert is_done, "the last ones were not cancelled any more"
