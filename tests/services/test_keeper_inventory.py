from __future__ import annotations

import os
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import QuorumLost
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import DAY_MS, HOUR_MS
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import PublishPlacement
from fluffy.core.metadata.commands_keeper import AskKeepers
from fluffy.drivers.buffers import BufferPool
from fluffy.drivers.json_file import JsonFile
from fluffy.services.keeper import inventory as inventories
from fluffy.services.keeper.inventory import Inventory
from tests.support.keeper_world import BUFFER_BYTES, KeeperWorld, keeper_world
from tests.support.local_log import header
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


async def test_a_put_saves_the_orphan_though_the_clock_jumps_ahead_of_it(tmp_path: Path) -> None:
    """The pass has judged the file; before it is removed somebody puts the same bytes, and the clock is set."""
    async with keeper_world(tmp_path) as world:
        chunk_id, inventory = orphan(world), world.inventory(1)
        await passes(inventory, 1)
        world.clock.advance(7 * HOUR_S)

        def put_and_jump(deadline: Deadline) -> Awaitable[int]:
            put_bytes(world.stores.stores[ONE], DATA)
            touch(world, chunk_id, 0)
            world.clock.wall_ms += 30 * DAY_MS
            return barrier(deadline)

        barrier = world.cluster.log.barrier
        world.cluster.log.barrier = put_and_jump  # type: ignore[method-assign, assignment]
        await passes(inventory, 1)
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


async def test_what_is_older_than_the_cluster_is_never_removed(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id, inventory = orphan(world, age_ms=200 * DAY_MS), world.inventory(1)
        for _ in range(4):
            await passes(inventory, 1)
            world.clock.advance(7 * HOUR_S)
        assert world.holds(1, chunk_id), "perhaps a restore from storage wants it"


async def test_an_uncounted_copy_of_a_chunk_with_too_few_counts_again_if_it_is_good(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        good = world.commit("good", DATA, (2, 3), stored=(1, 2, 3))
        bad = world.commit("bad", DATA + b"b", (2, 3), stored=(1, 2, 3))
        path = world.stores.stores[ONE].path_of(bad)
        data = bytearray(path.read_bytes())
        data[5] ^= 1
        path.write_bytes(data)
        inventory = world.inventory(1)
        await passes(inventory, 1)
        assert await world.reports.flush(Deadline.after(5))
        assert (world.replicas(good), world.replicas(bad)) == ((1, 2, 3), (2, 3))
        assert inventory.word()["found"] == 1


async def test_an_uncounted_copy_too_many_goes_the_way_of_orphans(tmp_path: Path) -> None:
    async with keeper_world(tmp_path, nodes=4) as world:
        chunk_id = world.commit("f", DATA, (2, 3, 4), stored=(1, 2, 3, 4))
        touch(world, chunk_id, 3 * DAY_MS)
        inventory = world.inventory(1)
        await passes(inventory, 1)
        assert world.holds(1, chunk_id)
        world.clock.advance(7 * HOUR_S)
        await passes(inventory, 1)
        assert not world.holds(1, chunk_id) and world.replicas(chunk_id) == (2, 3, 4)


def published(world: KeeperWorld, state: str) -> None:
    nodes = world.cluster.reader.read(queries.placement_map)
    changed = tuple(replace(node, state=state) if node.node_no == 1 else node for node in nodes.nodes)
    world.cluster.log.apply(PublishPlacement(header(), world.cluster.log.term, nodes.epoch + 1, changed))


async def test_both_walks_hurry_at_the_start_after_a_return_and_when_asked(tmp_path: Path,
                                                                           caplog: pytest.LogCaptureFixture) -> None:
    async with keeper_world(tmp_path) as world:
        lost = world.commit("lost", DATA, (1, 2, 3))
        kept = JsonFile(tmp_path / "kept.json")
        inventory = Inventory(
            ONE, world.cluster.log, world.cluster.reader, world.stores.stores[ONE], world.reports, world.clock,
            world.disk, BufferPool(BUFFER_BYTES, 2), kept, pass_rest_s=600.0)

        async def walks() -> int:
            """Passes until it rests again."""
            before = inventory.passes
            for _ in range(20):
                if not await inventory.one_round():
                    return inventory.passes - before
            raise AssertionError("hurries for ever")

        assert await walks() == 1, "after its start"
        assert await walks() == 0
        world.stores.stores[ONE].path_of(lost).unlink()
        published(world, "down")
        assert await walks() == 0
        published(world, "up")
        assert await walks() == 1, "after others took it for down"
        assert await world.reports.flush(Deadline.after(5))
        assert world.replicas(lost) == (2, 3) and "copies.missing" in caplog.messages
        asked = world.cluster.log.apply(AskKeepers(header(), "recover", 1)).facts["ask"]
        assert await walks() == 1, "when an admin asks"
        assert kept.load() == {"asked_seq": asked} and inventory.word()["recovered"] == asked
        assert await walks() == 0, "once"


async def test_the_walk_waits_while_the_log_has_more_reports_than_it_can_take(tmp_path: Path,
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    async with keeper_world(tmp_path) as world:
        monkeypatch.setattr(inventories, "REPORTS_WAITING_MAX", 0)
        inventory = world.inventory(1)
        world.reports.lost(ChunkId(b"x" * 32), ONE)
        assert await inventory.one_round() is False and inventory.passes == 0
