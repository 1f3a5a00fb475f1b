from __future__ import annotations

import os
from pathlib import Path

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import QuorumLost
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import DAY_MS, HOUR_MS
from tests.support.keeper_world import KeeperWorld, keeper_world
from tests.support.node_stores import put_bytes

ONE = NodeNo(1)
DATA = b"some bytes of a chunk" * 100
HOUR_S = HOUR_MS / 1000


def orphan(world: KeeperWorld, data: bytes = DATA, age_ms: int = 3 * DAY_MS) -> ChunkId:
    """A file that the catalog does not know."""
    chunk_id = put_bytes(world.stores.stores[ONE], data)
    touch(world, chunk_id, age_ms)
    return chunk_id


def touch(world: KeeperWorld, chunk_id: ChunkId, age_ms: int) -> None:
    at_ns = (world.clock.wall_ms - age_ms) * 1_000_000
    os.utime(world.stores.stores[ONE].path_of(chunk_id), ns=(at_ns, at_ns))


async def passes(inventory: object, count: int) -> None:
    """Rounds until `count` further passes over the files are done."""
    goal = inventory.passes + count  # type: ignore[attr-defined]
    while inventory.passes < goal:  # type: ignore[attr-defined]
        await inventory.one_round()  # type: ignore[attr-defined]


async def test_an_old_orphan_is_removed_once_it_was_watched_long_enough(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id, inventory = orphan(world), world.inventory(1)
        await passes(inventory, 1)
        assert world.holds(1, chunk_id), "seen for the first time"
        world.clock.advance(5 * HOUR_S)
        await passes(inventory, 1)
        assert world.holds(1, chunk_id), "not watched for as long as the longest upload"
        world.clock.advance(2 * HOUR_S)
        await passes(inventory, 1)
        assert not world.holds(1, chunk_id)
        assert inventory.removed == 1


async def test_a_clock_that_jumps_forward_removes_nothing(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id, inventory = orphan(world, age_ms=0), world.inventory(1)
        world.clock.wall_ms += 30 * DAY_MS
        await passes(inventory, 3)
        assert world.holds(1, chunk_id)


async def test_young_files_and_known_chunks_are_never_touched(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        known = world.commit("f", DATA, (1, 2))
        touch(world, known, 10 * DAY_MS)
        young, inventory = orphan(world, b"young", age_ms=HOUR_MS), world.inventory(1)
        for _ in range(3):
            await passes(inventory, 1)
            world.clock.advance(7 * HOUR_S)
            touch(world, young, HOUR_MS)
        assert world.holds(1, known) and world.holds(1, young)


async def test_an_upload_that_finds_the_orphan_there_saves_it(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id, inventory = orphan(world), world.inventory(1)
        await passes(inventory, 1)
        world.clock.advance(7 * HOUR_S)
        put_bytes(world.stores.stores[ONE], DATA)
        touch(world, chunk_id, 0)
        await passes(inventory, 2)
        assert world.holds(1, chunk_id)


async def test_without_a_majority_nothing_is_removed(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id, inventory = orphan(world), world.inventory(1)
        await passes(inventory, 1)
        world.clock.advance(7 * HOUR_S)
        world.cluster.log.refuse_with = QuorumLost()
        with pytest.raises(QuorumLost):
            await passes(inventory, 1)
        assert world.holds(1, chunk_id)


async def test_a_commit_that_this_node_has_not_applied_yet_saves_the_file(tmp_path: Path,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """The node lags: only the barrier before the removal brings the commit that names the chunk."""
    async with keeper_world(tmp_path) as world:
        chunk_id, inventory = orphan(world), world.inventory(1)
        await passes(inventory, 1)
        world.clock.advance(7 * HOUR_S)

        async def catch_up(_: Deadline) -> int:
            world.commit("late", DATA, (1, 2))
            touch(world, chunk_id, 3 * DAY_MS)
            return 0

        monkeypatch.setattr(world.cluster.log, "barrier", catch_up)
        await passes(inventory, 1)
        assert world.holds(1, chunk_id)


async def test_a_counted_copy_whose_file_is_gone_is_reported_lost(tmp_path: Path,
                                                                 caplog: pytest.LogCaptureFixture) -> None:
    async with keeper_world(tmp_path) as world:
        kept, lost = world.commit("kept", DATA, (1, 2)), world.commit("lost", DATA + b"x", (1, 2))
        world.stores.stores[ONE].path_of(lost).unlink()
        await world.inventory(1).one_round()
        assert await world.reports.flush(Deadline.after(5))
        assert (world.replicas(kept), world.replicas(lost)) == ((1, 2), (2,))
        assert "copies.missing" in caplog.messages


async def test_a_short_file_is_set_aside_and_reported_lost(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2))
        path = world.stores.stores[ONE].path_of(chunk_id)
        path.write_bytes(path.read_bytes()[:100])
        await world.inventory(1).one_round()
        assert await world.reports.flush(Deadline.after(5))
        assert world.replicas(chunk_id) == (2,)
        assert len(world.stores.stores[ONE].quarantined()) == 1
