"""Remote files as objects: read in pieces of one generation, written so that they appear whole or not at all."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fluffy import AsyncFluffy, Fluffy
from fluffy.base.errors import AlreadyExists, FileNotFound, FluffyError, PreconditionFailed, TransferCorrupt
from fluffy.client import reading, writing
from fluffy.client.writing import PART_BYTES_MAX, PARTS_MAX, part_size
from tests.client.faulty_peer import FaultyPeer
from tests.client.shell_door import door_in_thread
from tests.support.local_log import ADMIN_TOKEN
from tests.support.native_door import Door, running_door

BIG = random.Random(3).randbytes(1_500_000)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same paths with a hundredth of the bytes."""
    monkeypatch.setattr(reading, "STEP_FIRST_BYTES", 8 * 1024)
    monkeypatch.setattr(reading, "STEP_MAX_BYTES", 64 * 1024)
    monkeypatch.setattr(writing, "PART_BYTES", 100_000)
    monkeypatch.setattr(writing, "APPEND_MEMORY_BYTES", 100_000)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with door_in_thread(tmp_path / "node") as door:
        yield door


@pytest.fixture
def fluffy(door: Door) -> Iterator[Fluffy]:
    with Fluffy(door.url, ADMIN_TOKEN, patience_s=5.0) as fluffy:
        yield fluffy


@pytest.fixture
async def afluffy(tmp_path: Path) -> AsyncIterator[AsyncFluffy]:
    async with running_door(tmp_path / "anode") as door, AsyncFluffy(door.url, ADMIN_TOKEN, patience_s=5.0) as fluffy:
        yield fluffy


def test_reading_anywhere_in_any_order_gives_what_a_local_file_gives(fluffy: Fluffy) -> None:
    fluffy.put("/admin/big", BIG)
    rng, local = random.Random(7), io.BytesIO(BIG)
    with fluffy.open("/admin/big") as file:
        assert (file.size, file.name, file.readable(), file.seekable(), file.writable()) == (
            len(BIG), "/admin/big", True, True, False)
        for _ in range(300):
            offset, length = rng.randrange(len(BIG) + 10), rng.choice((0, 1, 100, 5_000, 70_000, 300_000))
            whence, start = rng.choice(((0, offset), (1, rng.randrange(-5000, 5000)), (2, -offset)))
            if (whence == 1 and local.tell() + start < 0) or (whence == 2 and offset > len(BIG)):
                continue
            assert file.seek(start, whence) == local.seek(start, whence)
            assert file.read(length) == local.read(length)
            assert file.tell() == local.tell()
        file.seek(0)
        assert file.read() == BIG
        assert file.read() == file.read(5) == b""
        with pytest.raises(ValueError, match="seek"):
            file.raw.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_lines_text_and_encodings_read_as_from_a_local_file(fluffy: Fluffy, tmp_path: Path) -> None:
    text = "".join(f"Zeile {number} ü\r\n" if number % 3 else f"{number}\n" for number in range(5000)) + "no end"
    (tmp_path / "local").write_bytes(text.encode())
    fluffy.put("/admin/text", text.encode())
    with fluffy.open("/admin/text") as binary, open(tmp_path / "local", "rb") as local:
        assert list(binary) == list(local)
    for newline in (None, "", "\n"):
        with fluffy.open("/admin/text", "r", newline=newline) as remote, \
                open(tmp_path / "local", encoding="utf-8", newline=newline) as local_text:
            assert remote.readlines() == local_text.readlines()
    fluffy.put("/admin/latin", "ü".encode("latin-1"))
    with fluffy.open("/admin/latin", "r", encoding="latin-1") as remote:
        assert remote.read() == "ü"
    with pytest.raises(UnicodeDecodeError), fluffy.open("/admin/latin", "r") as remote:
        remote.read()


def test_a_file_that_is_changed_while_it_is_read_is_still_read_as_it_was(fluffy: Fluffy) -> None:
    fluffy.put("/admin/big", BIG)
    with fluffy.open("/admin/big") as file:
        begin = file.read(10_000)
        for _ in range(3):
            fluffy.put("/admin/big", os.urandom(len(BIG)))
        fluffy.delete("/admin/big")
        assert begin + file.read() == BIG
    with pytest.raises(FileNotFound):
        fluffy.open("/admin/big")


def test_a_generation_that_is_gone_ends_the_reading_and_is_never_mixed_with_another(fluffy: Fluffy) -> None:
    fluffy.put("/admin/big", BIG)
    with fluffy.open("/admin/big") as file:
        begin = file.read(10_000)
        fluffy.delete("/admin/big", purge=True)
        fluffy.put("/admin/big", bytes(len(BIG)))
        with pytest.raises(FluffyError) as caught:
            while block := file.read(50_000):
                begin += block
        assert caught.value.code() in ("VersionNotFound", "PreconditionFailed", "FileNotFound")
    assert BIG.startswith(begin)


def test_older_generations_and_times_can_be_opened(fluffy: Fluffy) -> None:
    fluffy.put("/admin/f", b"one")
    fluffy.put("/admin/f", b"two")
    with fluffy.open("/admin/f", generation=1) as file:
        assert (file.read(), file.head.generation) == (b"one", 1)
    assert fluffy.open("/admin/f").read() == b"two"


def test_who_reads_on_asks_for_few_and_large_pieces_who_jumps_for_small_ones(
        fluffy: Fluffy, monkeypatch: pytest.MonkeyPatch) -> None:
    fluffy.put("/admin/big", BIG)
    pieces: list[tuple[int, int]] = []
    ask_for = reading.RemoteReader._ask_for

    async def counted(self: reading.RemoteReader, start: int, end: int) -> None:
        pieces.append((start, end))
        await ask_for(self, start, end)
    monkeypatch.setattr(reading.RemoteReader, "_ask_for", counted)
    file = fluffy.open("/admin/big")
    reader = file.raw
    whole = b""
    while block := reader.read(4096):
        whole += block
    assert whole == BIG
    assert len(pieces) < 40
    assert [start for start, _ in pieces[1:]] == [end for _, end in pieces[:-1]]
    assert max(end - start for start, end in pieces) == 64 * 1024
    pieces.clear()
    for offset in (700_000, 100_000, 900_000):
        reader.seek(offset)
        assert reader.read(10) == BIG[offset:offset + 10]
    assert [end - start for start, end in pieces] == [8 * 1024] * 3
    file.close()


async def test_damaged_bytes_are_noticed_by_who_reads_to_the_end(peer: FaultyPeer, client: AsyncFluffy) -> None:
    peer.files["/admin/f"] = b"x" * 20_000
    async with client.open("/admin/f") as file:
        assert await file.read(9_000) == b"x" * 9_000
        peer.faults.damage_downloads = 1
        with pytest.raises(TransferCorrupt):
            await file.read()


async def test_reading_goes_on_with_another_answer_when_a_connection_breaks(
        peer: FaultyPeer, client: AsyncFluffy) -> None:
    peer.files["/admin/f"] = os.urandom(300_000)
    peer.faults.cut_downloads_after = [4000, 10, 0, 60_000]
    async with client.open("/admin/f") as file:
        assert await file.read() == peer.files["/admin/f"]


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_000, 100_001, 730_000])
def test_what_is_written_appears_whole_when_it_is_closed(fluffy: Fluffy, size: int) -> None:
    data, position = BIG[:size], 0
    rng = random.Random(size)
    with fluffy.open("/admin/new", "wb", content_type="text/x-one", meta={"a": "b"}, tags={"k": "v"}) as file:
        while position < size:
            position += file.write(data[position:position + rng.choice((1, 1000, 150_000))])
            assert file.tell() == position
        with pytest.raises(FileNotFound):
            fluffy.info("/admin/new")
        assert file.stored is None
    assert file.stored is not None and (file.stored.size, file.stored.generation) == (size, 1)
    info = fluffy.info("/admin/new")
    assert (info.content_type, info.meta, info.tags) == ("text/x-one", {"a": "b"}, {"k": "v"})
    assert fluffy.get("/admin/new") == data
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"more")


@pytest.mark.parametrize("size", [10, 500_000])
def test_a_block_that_raises_leaves_everything_as_it_was(fluffy: Fluffy, size: int) -> None:
    fluffy.put("/admin/f", b"before")
    for mode in ("wb", "ab"):
        with pytest.raises(ZeroDivisionError), fluffy.open("/admin/f", mode) as file:  # type: ignore[call-overload]
            file.write(BIG[:size])
            raise ZeroDivisionError
        assert file.closed
    with pytest.raises(ZeroDivisionError), fluffy.open("/admin/f", "w") as text:
        text.write("x" * size)
        raise ZeroDivisionError
    assert text.closed
    assert fluffy.get("/admin/f") == b"before"
    assert fluffy.info("/admin/f").generation == 1
    assert [entry.name for entry in fluffy.ls("/admin")] == ["f"]


@pytest.mark.parametrize("mode", ["wb", "w"])
def test_a_file_that_is_forgotten_is_told_about_and_not_stored(fluffy: Fluffy, mode: str) -> None:
    file = fluffy.open("/admin/f", mode)  # type: ignore[call-overload]
    file.write("half" if mode == "w" else b"half")
    with pytest.warns(ResourceWarning, match="never closed"):
        del file
        gc.collect()
    with pytest.raises(FileNotFound):
        fluffy.info("/admin/f")


def test_create_only_and_conditions_hold_when_the_file_is_closed(fluffy: Fluffy) -> None:
    with fluffy.open("/admin/f", "xb") as file:
        file.write(b"first")
    with pytest.raises(AlreadyExists):
        fluffy.open("/admin/f", "xb")
    fluffy.delete("/admin/f")
    with pytest.raises(AlreadyExists), fluffy.open("/admin/f", "xb") as file:
        fluffy.put("/admin/f", b"first")
        file.write(b"second")
    etag = fluffy.info("/admin/f").etag
    with fluffy.open("/admin/f", "wb", if_match=etag) as file:
        file.write(BIG[:300_000])
    with pytest.raises(PreconditionFailed), fluffy.open("/admin/f", "wb", if_match=etag) as file:
        file.write(b"third")
    late = fluffy.open("/admin/f", "wb", if_match=fluffy.info("/admin/f").etag)
    late.write(BIG[:300_000])
    fluffy.put("/admin/f", b"somebody else")
    with pytest.raises(PreconditionFailed):
        late.close()
    assert fluffy.get("/admin/f") == b"somebody else"


@pytest.mark.parametrize("size", [5, 250_000])
def test_appending_puts_all_of_it_behind_the_end(fluffy: Fluffy, size: int) -> None:
    for _ in range(2):
        with fluffy.open("/admin/log", "ab") as file:
            file.write(BIG[:size])
    assert fluffy.get("/admin/log") == BIG[:size] * 2
    with fluffy.open("/admin/log", "a") as text:
        text.write("ü\n")
    assert fluffy.get("/admin/log") == BIG[:size] * 2 + "ü\n".encode()


def test_modes_that_make_no_sense_are_refused_as_python_does(fluffy: Fluffy) -> None:
    for mode in ("", "b", "rw", "r+b", "rbt", "wx", "q", "rbb"):
        with pytest.raises(ValueError, match="mode"):
            fluffy.open("/admin/f", mode)  # type: ignore[call-overload]


def test_closing_the_client_ends_what_is_still_read_ahead(door: Door) -> None:
    fluffy = Fluffy(door.url, ADMIN_TOKEN)
    fluffy.put("/admin/big", BIG)
    file = fluffy.open("/admin/big")
    file.read(30_000)
    file.read(300_000)
    fluffy.close()
    file.close()


async def test_the_same_with_an_event_loop(afluffy: AsyncFluffy) -> None:
    async with afluffy.open("/admin/f", "wb") as out:
        for position in range(0, 350_000, 50_000):
            assert await out.write(BIG[position:position + 50_000]) == 50_000
        assert out.tell() == 350_000
    async with afluffy.open("/admin/f") as file:
        assert file.seek(-10, 2) == 349_990
        assert await file.read() == BIG[349_990:350_000]
        file.seek(0)
        assert [line async for line in file] == io.BytesIO(BIG[:350_000]).readlines()
    with pytest.raises(ValueError, match="closed"):
        await file.read(1)
    with pytest.raises(ZeroDivisionError):
        async with afluffy.open("/admin/f", "wb") as out:
            await out.write(b"never")
            raise ZeroDivisionError
    file = await afluffy.open("/admin/f")
    async with file:
        assert len(await file.read()) == 350_000


async def test_text_with_an_event_loop(afluffy: AsyncFluffy) -> None:
    async with afluffy.open("/admin/t", "w", encoding="utf-16") as out:
        for number in range(3000):
            await out.write(f"Zeile {number}\nü\n")
    assert out.stored is not None
    async with afluffy.open("/admin/t", "r", encoding="utf-16") as text:
        assert await text.readline() == "Zeile 0\n"
        assert await text.read(3) == "ü\nZ"
        lines = [line async for line in text]
    assert (lines[0], lines[-1], len(lines)) == ("eile 1\n", "ü\n", 5998)
    await afluffy.put("/admin/crlf", b"a\r\nb\rc")
    async with afluffy.open("/admin/crlf", "r") as text:
        assert [line async for line in text] == ["a\n", "b\n", "c"]


def test_parts_grow_so_that_ten_thousand_of_them_make_a_large_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    sizes = [part_size(number) for number in range(1, PARTS_MAX + 1)]
    assert sizes[0] == 8 * 2**20 and sizes == sorted(sizes) and sizes[-1] == PART_BYTES_MAX
    assert sum(sizes) > 450 * 2**30


@pytest.mark.parametrize("size", [10, 500_000])
def test_without_autocommit_the_file_appears_when_it_is_committed(fluffy: Fluffy, size: int) -> None:
    with fluffy.open("/admin/f", "wb", autocommit=False) as file, \
            fluffy.open("/admin/g", "wb", autocommit=False) as other:
        file.write(BIG[:size])
        other.write(BIG[:size])
    assert [entry.name for entry in fluffy.ls("/admin")] == []
    file.commit()
    other.abort()
    other.commit()
    assert fluffy.get("/admin/f") == BIG[:size]
    file.commit()
    file.abort()
    assert [(entry.name, entry.generation) for entry in fluffy.ls("/admin")] == [("f", 1)]


async def test_giving_up_does_not_wait_for_a_cluster_that_is_gone(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "ABORT_S", 0.2)
    async with running_door(tmp_path / "node") as door, AsyncFluffy(door.url, ADMIN_TOKEN, patience_s=60) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.open("/admin/f", "wb") as out:
                await out.write(BIG[:500_000])
                await client.close()
                client.use_peer("127.0.0.1:1")
                client._peers._urls.remove(door.url)  # nobody else is known
                raise ZeroDivisionError
        client.use_peer(door.url)


async def test_reads_of_several_tasks_wait_for_each_other(afluffy: AsyncFluffy) -> None:
    await afluffy.put("/admin/big", BIG)
    rng = random.Random(9)
    async with afluffy.open("/admin/big") as file:
        async def read(offset: int, length: int) -> None:
            assert await file._reader.read_at(offset, length) == BIG[offset:offset + length]
        async with asyncio.TaskGroup() as group:
            for _ in range(60):
                group.create_task(read(rng.randrange(len(BIG)), rng.choice((10, 5_000, 200_000))))
