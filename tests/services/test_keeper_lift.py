"""An old cluster whose nodes are upgraded one by one: what is new is used once all of them know it, not before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fluffy.base.ids import NodeNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import FEATURE_LEVEL
from fluffy.services.keeper.leadership import Leadership
from fluffy.services.keeper.lift import Lifter
from tests.support.keeper_world import KeeperWorld, keeper_world

TWO, THREE = NodeNo(2), NodeNo(3)


@asynccontextmanager
async def old_cluster(folder: Path, *, leads: bool = True) -> AsyncIterator[tuple[KeeperWorld, Lifter]]:
    """Born at level 1, as clusters of the first version were."""
    async with keeper_world(folder) as world:
        assert level_of(world) == 1
        leadership = Leadership(world.cluster.log, "one" if leads else "two")
        await leadership.refresh()
        yield world, Lifter(NodeNo(1), leadership, world.cluster.log, world.cluster.reader, world.stores, world.clock)


def level_of(world: KeeperWorld) -> int:
    state = world.cluster.reader.read(queries.cluster_state)
    assert state is not None
    return state.feature_level


async def test_the_level_is_lifted_when_every_node_knows_it(tmp_path: Path) -> None:
    async with old_cluster(tmp_path) as (world, lifter):
        await lifter.one_round()
        assert level_of(world) == FEATURE_LEVEL and len(world.stores.asked) == 3
        await lifter.one_round()
        assert len(world.stores.asked) == 3, "afterwards nobody is asked any more"


async def test_one_old_program_keeps_the_level_down(tmp_path: Path) -> None:
    async with old_cluster(tmp_path) as (world, lifter):
        world.stores.levels[THREE] = 1
        for _ in range(3):
            await lifter.one_round()
        assert level_of(world) == 1
        world.stores.levels.clear()
        await lifter.one_round()
        assert level_of(world) == FEATURE_LEVEL


async def test_a_node_that_is_away_may_be_an_old_one(tmp_path: Path) -> None:
    async with old_cluster(tmp_path) as (world, lifter):
        world.stores.away = {TWO}
        await lifter.one_round()
        assert level_of(world) == 1
        world.stores.away.clear()
        await lifter.one_round()
        assert level_of(world) == FEATURE_LEVEL


async def test_only_the_leader_lifts(tmp_path: Path) -> None:
    async with old_cluster(tmp_path, leads=False) as (world, lifter):
        await lifter.one_round()
        assert level_of(world) == 1 and world.stores.asked == []
