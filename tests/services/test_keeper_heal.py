from __future__ import annotations

import os
from pathlib import Path

from fluffy.base.ids import NodeNo
from tests.support.keeper_world import keeper_world
from tests.support.node_stores import put_bytes

ONE, TWO, THREE = NodeNo(1), NodeNo(2), NodeNo(3)
DATA = bytes(range(256)) * 400


async def test_a_missing_copy_is_fetched_stored_and_reported(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2))
        await world.healer(3).one_round()
        assert world.replicas(chunk_id) == (1, 2, 3)
        out = bytearray(len(DATA))
        world.stores.stores[THREE].read(chunk_id, 0, memoryview(out))
        assert out == DATA


async def test_only_the_placed_node_acts(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2))
        await world.healer(1).one_round()
        await world.healer(2).one_round()
        assert world.replicas(chunk_id) == (1, 2)
        assert world.stores.asked == []


async def test_a_copy_that_is_already_here_is_only_reported(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2), stored=(1, 2, 3))
        await world.healer(3).one_round()
        assert world.replicas(chunk_id) == (1, 2, 3)
        assert world.stores.asked == []


async def test_a_damaged_copy_that_is_already_here_is_set_aside_and_fetched_anew(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2), stored=(1, 2, 3))
        path = world.stores.stores[THREE].path_of(chunk_id)
        damaged = bytearray(path.read_bytes())
        damaged[5] ^= 1
        path.write_bytes(damaged)
        await world.healer(3).one_round()
        assert world.replicas(chunk_id) == (1, 2, 3)
        assert len(world.stores.stores[THREE].quarantined()) == 1
        assert path.read_bytes() != damaged


async def test_nothing_is_done_while_the_holders_are_away_and_all_when_they_return(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunks = [world.commit(f"f{number}", DATA + bytes([number]), (1, 2)) for number in range(20)]
        healer = world.healer(3)
        world.stores.away = {ONE, TWO}
        await healer.one_round()
        assert len(world.stores.asked) <= 4, "a holder that is away is asked once per slot, not once per chunk"
        assert all(world.replicas(chunk_id) == (1, 2) for chunk_id in chunks)
        world.stores.away.clear()
        await healer.one_round()
        assert all(3 in world.replicas(chunk_id) for chunk_id in chunks)


async def test_a_holder_without_a_good_copy_is_reported_and_another_is_asked(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2), stored=(2,))
        await world.healer(3).one_round()
        await world.healer(1).one_round()
        await world.healer(3).one_round()
        assert world.replicas(chunk_id) == (1, 2, 3)
        assert all(world.holds(node, chunk_id) for node in (1, 2, 3))


async def test_bytes_that_do_not_match_their_name_are_never_stored(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2))
        world.stores.lying = {ONE, TWO}
        await world.healer(3).one_round()
        assert not world.holds(3, chunk_id)
        assert 3 not in world.replicas(chunk_id)


async def test_a_chunk_that_nobody_holds_is_found_on_the_own_disk(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2), stored=(3,))
        for node in (ONE, TWO):
            world.reports.lost(chunk_id, node)
        await world.healer(1).one_round()
        assert world.replicas(chunk_id) == ()
        await world.healer(3).one_round()
        assert world.replicas(chunk_id) == (3,)


async def test_a_long_list_is_worked_off_over_several_rounds(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunks = []
        for number in range(300):
            data = number.to_bytes(4, "little") + os.urandom(100)
            put_bytes(world.stores.stores[ONE], data)
            chunks.append(world.commit(f"f{number}", data, (1, 2), stored=(1, 2)))
        healer = world.healer(3)
        for _ in range(5):
            if not await healer.one_round():
                break
        assert all(world.replicas(chunk_id) == (1, 2, 3) for chunk_id in chunks)
