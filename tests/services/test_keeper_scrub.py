"""Scrub: every copy is read from the disk again; bad ones are set aside, reported, and made again by others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.hashing import xxh3_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import DAY_MS, MIB
from fluffy.drivers.buffers import BufferPool
from fluffy.drivers.json_file import JsonFile
from fluffy.services.keeper.scrub import ScheduledScrub, Scrubber
from fluffy.services.throttle import Throttle
from fluffy.wire.chunk_record import encode_record, record_of
from tests.support.keeper_world import BUFFER_BYTES, KeeperWorld, keeper_world

ONE = NodeNo(1)
DATA = bytes(range(256)) * 400


def scrubber(world: KeeperWorld) -> Scrubber:
    return Scrubber(ONE, world.stores.stores[ONE], world.reports, world.disk, BufferPool(BUFFER_BYTES, 2),
                    Throttle(world.clock, 600 * MIB, 2))


def scheduled(world: KeeperWorld, folder: Path, stored_bytes: int = 0) -> ScheduledScrub:
    return ScheduledScrub(scrubber(world), world.clock, 14, JsonFile(folder / "scrub.json"), world.disk,
                          lambda: stored_bytes)


def damage(world: KeeperWorld, chunk_id: ChunkId, how: str) -> None:
    path = world.stores.stores[ONE].path_of(chunk_id)
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 3] ^= 1
    elif how == "short":
        del data[-1:]
    else:  # a whole, consistent file of other bytes: only BLAKE3 tells
        other = memoryview(bytes(len(DATA)))
        data = bytearray(bytes(other) + encode_record(dataclasses.replace(record_of(chunk_id, other),
                                                                          xxh3=xxh3_of(other))))
    path.write_bytes(data)


async def rounds(scrub: ScheduledScrub, world: KeeperWorld, seconds: int) -> dict[str, Any]:
    for _ in range(seconds):
        await scrub.one_round()
        world.clock.advance(1)
    return scrub.word()


@pytest.mark.parametrize("how", ["flipped", "short", "forged"])
async def test_a_bad_copy_is_set_aside_reported_and_counted(tmp_path: Path, how: str,
                                                           caplog: pytest.LogCaptureFixture) -> None:
    async with keeper_world(tmp_path) as world:
        good = world.commit("good", DATA + b"x", (1, 2))
        bad = world.commit("bad", DATA, (1, 2))
        damage(world, bad, how)
        word = await rounds(scheduled(world, tmp_path), world, 20)
        assert await world.reports.flush(Deadline.after(5))
        assert (world.replicas(good), world.replicas(bad)) == ((1, 2), (2,))
        assert [chunk.chunk_id for chunk in world.stores.stores[ONE].quarantined()] == [bad]
        assert (word["bad"], word["chunks"], word["done"]) == (1, 2, 1.0)
        assert "scrub.bad_copy" in caplog.messages


async def test_a_pass_goes_on_after_a_restart_where_it_was(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        for number in range(60):
            world.commit(f"f{number}", DATA + bytes([number]), (1, 2))
        first = await rounds(scheduled(world, tmp_path), world, 5)
        assert 0 < first["chunks"] < 40, "at a low rate"
        again = scheduled(world, tmp_path)
        word = await rounds(again, world, 60)
        assert (word["chunks"], word["done"], word["bytes"]) == (60, 1.0, 60 * (len(DATA) + 1))
        assert word["chunks_since_start"] == 60 - first["chunks"], "nothing was read twice"


async def test_the_next_pass_begins_after_half_of_the_days(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        world.commit("f", DATA, (1, 2))
        scrub = scheduled(world, tmp_path)
        await rounds(scrub, world, 5)
        world.clock.advance(6 * DAY_MS / 1000)
        assert (await rounds(scrub, world, 5))["chunks_since_start"] == 1
        world.clock.advance(1.1 * DAY_MS / 1000)
        assert (await rounds(scrub, world, 5))["chunks_since_start"] == 2


async def test_much_on_the_disk_is_read_faster(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        for number in range(60):
            world.commit(f"f{number}", DATA + bytes([number]), (1, 2))
        whole = 7 * 86_400 * 3 * MIB
        word = await rounds(scheduled(world, tmp_path, stored_bytes=whole), world, 4)
        assert word["chunks"] == 60


async def test_a_damaged_memory_only_begins_a_pass(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        world.commit("f", DATA, (1, 2))
        for text in ("{", '{"after": "zz"}', '{"after": 3, "tally": {"chunks": -1}, "last": {}}'):
            (tmp_path / "scrub.json").write_text(text)
            assert (await rounds(scheduled(world, tmp_path), world, 5))["chunks"] == 1


async def test_the_disk_is_read_and_not_what_memory_still_knows(tmp_path: Path) -> None:
    """Names come in order from any position on, and a chunk that is longer than the buffer is no chunk of ours."""
    async with keeper_world(tmp_path) as world:
        ids = sorted(world.commit(f"f{number}", DATA + bytes([number]), (1, 2)) for number in range(20))
        store = world.stores.stores[ONE]
        assert list(store.names()) == ids
        assert list(store.names(ids[7])) == ids[8:]
        assert list(store.names(ids[-1])) == []
        out = memoryview(bytearray(BUFFER_BYTES))
        assert store.reread(ids[3], out) == len(DATA) + 1
