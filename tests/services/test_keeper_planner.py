"""The leader's planner and the workers together: what the state asks for is done, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fluffy.base.deadline import Deadline
from fluffy.base.ids import ChunkId, NodeNo, RequestId, UserNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import (
    FEATURE_LEVEL,
    DeleteFile,
    Header,
    NodeState,
    PublishPlacement,
    SetFeatureLevel,
)
from fluffy.core.placement import place
from fluffy.core.repair.round import Rules
from fluffy.drivers.clock import SystemClock
from fluffy.services.keeper.leadership import Leadership
from fluffy.services.keeper.planner import JobPlanner
from tests.support.keeper_world import KeeperWorld, keeper_world
from tests.support.local_log import header

ONE = NodeNo(1)
DATA = bytes(range(256)) * 400
NO_GRACE = Rules(0, 0)


def by_cluster() -> Header:
    return Header(RequestId(b""), SystemClock().now_ms(), ONE, UserNo(0))


def planner_of(world: KeeperWorld, leadership: Leadership, rules: Rules = NO_GRACE) -> JobPlanner:
    return JobPlanner(ONE, leadership, world.cluster.log, world.cluster.reader, SystemClock(),
                      lambda chunk_id, placement: place(chunk_id, placement, 1, None), rules)


async def leading(world: KeeperWorld) -> Leadership:
    leadership = Leadership(world.cluster.log, "one")
    await leadership.refresh()
    return leadership


def publish(world: KeeperWorld, *states: str) -> None:
    epoch = world.cluster.reader.read(queries.placement_map).epoch
    world.cluster.log.apply(PublishPlacement(by_cluster(), world.cluster.log.term, epoch + 1, tuple(
        NodeState(NodeNo(at + 1), state, f"z{at}", 10) for at, state in enumerate(states))))


@asynccontextmanager
async def world_of_jobs(folder: Path, nodes: int) -> AsyncIterator[KeeperWorld]:
    async with keeper_world(folder, nodes) as world:
        world.cluster.log.apply(SetFeatureLevel(by_cluster(), FEATURE_LEVEL))
        publish(world, *["up"] * nodes)
        yield world


async def until(holds: Callable[[], bool], planner: JobPlanner) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await planner.one_round()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def working(world: KeeperWorld, *nodes: int) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(world.worker(no).run()) for no in nodes]
        yield
        for task in tasks:
            task.cancel()


def spread(world: KeeperWorld, chunks: list[ChunkId]) -> set[tuple[int, ...]]:
    return {world.replicas(chunk_id) for chunk_id in chunks}


async def test_copies_of_a_node_that_goes_are_made_anew_and_those_too_many_dropped_when_it_stays(
        tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path, 4) as world:
        chunks = [world.commit(f"f{number}", DATA + bytes([number]), (1, 2, 4)) for number in range(8)]
        publish(world, "up", "up", "up", "draining")
        planner = planner_of(world, await leading(world))
        async with working(world, 1, 2, 3, 4):
            await until(lambda: spread(world, chunks) == {(1, 2, 3, 4)}, planner)
            publish(world, "up", "up", "up", "up")
            await until(lambda: all(len(world.replicas(chunk_id)) == 3 for chunk_id in chunks), planner)
            await until(lambda: not world.cluster.reader.read(lambda db: queries.open_drops(db, 1)), planner)
        for chunk_id in chunks:
            assert world.replicas(chunk_id) == tuple(no for no in (1, 2, 3, 4) if world.holds(no, chunk_id))


async def test_files_of_chunks_that_nobody_needs_are_deleted(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path, 3) as world:
        gone = world.commit("gone", DATA, (1, 2, 3))
        kept = world.commit("kept", DATA + b"!", (1, 2, 3))
        world.cluster.log.apply(DeleteFile(header(), "admin/gone", purge=True))
        planner = planner_of(world, await leading(world))
        async with working(world, 1, 2, 3):
            await until(lambda: not any(world.holds(no, gone) for no in (1, 2, 3)), planner)
        assert world.replicas(kept) == (1, 2, 3) == tuple(no for no in (1, 2, 3) if world.holds(no, kept))


async def test_only_the_leader_plans_and_an_old_one_resigns(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path, 4) as world:
        world.commit("f", DATA, (1, 2, 3))
        publish(world, "up", "up", "draining", "up")
        assert await planner_of(world, Leadership(world.cluster.log, "one")).one_round() is False
        leadership = await leading(world)
        planner = planner_of(world, leadership)
        world.cluster.log.term += 1
        world.cluster.log.apply(SetFeatureLevel(by_cluster(), FEATURE_LEVEL))
        assert await planner.one_round() is False
        assert leadership.term is None
        assert world.cluster.reader.read(lambda db: queries.jobs(db)) == ()
        await leadership.refresh()
        assert await planner.one_round() is True
        assert len(world.cluster.reader.read(lambda db: queries.jobs(db))) == 1


async def test_below_the_feature_level_of_jobs_nothing_is_planned(tmp_path: Path) -> None:
    async with keeper_world(tmp_path, 4) as world:
        world.commit("f", DATA, (1, 2, 3))
        leadership = await leading(world)
        publish(world, "up", "up", "draining", "up")
        assert await planner_of(world, leadership).one_round() is False
        await world.cluster.log.barrier(Deadline.after(1))
        assert world.cluster.reader.read(lambda db: queries.jobs(db)) == ()
