from __future__ import annotations

from pathlib import Path

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import NoLeader, TermStale
from fluffy.base.ids import NodeNo
from fluffy.core.health.failure_detector import Patience
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import DeleteFile, PublishPlacement
from fluffy.services.keeper.leadership import Leadership
from fluffy.services.keeper.tidy import Tidier
from fluffy.services.keeper.watch import NodeWatch
from tests.support.keeper_world import KeeperWorld, keeper_world
from tests.support.local_log import header

ONE, TWO, THREE = NodeNo(1), NodeNo(2), NodeNo(3)


def watch_of(world: KeeperWorld, leadership: Leadership | None = None) -> NodeWatch:
    return NodeWatch(ONE, leadership or Leadership(world.cluster.log, "one"), world.cluster.log, world.cluster.reader,
                     world.stores, world.clock, Patience())


def published(world: KeeperWorld) -> tuple[int, list[str]]:
    placement = world.cluster.reader.read(queries.placement_map)
    return placement.epoch, [node.state for node in placement.nodes]


async def rounds(world: KeeperWorld, watch: NodeWatch, count: int) -> None:
    for _ in range(count):
        world.clock.advance(1)
        await watch.one_round()


async def test_the_leader_publishes_weights_once_and_then_rests(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        watch = watch_of(world)
        await rounds(world, watch, 10)
        placement = world.cluster.reader.read(queries.placement_map)
        assert (placement.epoch, {node.weight for node in placement.nodes}) == (1, {50})


async def test_a_disk_that_fills_and_empties_quickly_makes_one_map_a_minute(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        watch = watch_of(world)
        for second in range(130):
            world.stores.free_bytes = dict.fromkeys((ONE, TWO, THREE), (50 + 50 * (second % 2)) << 30)
            await rounds(world, watch, 1)
        assert published(world)[0] == 3


async def test_a_node_that_answers_later_than_the_others_gets_its_weight_at_once(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        world.stores.away = {TWO, THREE}
        watch = watch_of(world)
        await rounds(world, watch, 1)
        world.stores.away = {THREE}
        await rounds(world, watch, 1)
        world.stores.away.clear()
        await rounds(world, watch, 1)
        placement = world.cluster.reader.read(queries.placement_map)
        assert {node.weight for node in placement.nodes} == {50} and placement.epoch == 3


async def test_a_silent_node_is_published_suspect_then_down_then_up_again(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        watch = watch_of(world)
        await rounds(world, watch, 2)
        world.stores.away = {TWO}
        await rounds(world, watch, 3)
        assert published(world)[1] == ["up", "suspect", "up"]
        await rounds(world, watch, 7)
        assert published(world)[1] == ["up", "down", "up"]
        world.stores.away.clear()
        await rounds(world, watch, 2)
        assert published(world) == (4, ["up", "up", "up"])


async def test_our_own_pause_condemns_nobody(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        watch = watch_of(world)
        await rounds(world, watch, 2)
        world.clock.advance(300)
        world.stores.away = {TWO, THREE}
        await rounds(world, watch, 1)
        assert published(world)[1] == ["up", "up", "up"]


async def test_a_follower_neither_pings_nor_publishes(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        watch = watch_of(world, Leadership(world.cluster.log, "two"))
        await rounds(world, watch, 3)
        assert world.stores.asked == []
        assert published(world)[0] == 0


async def test_a_leader_without_a_majority_does_not_judge(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        watch = watch_of(world)
        world.cluster.log.refuse_with = NoLeader()
        await rounds(world, watch, 3)
        assert world.stores.asked == []


async def test_a_map_that_another_leader_published_is_read_again(tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    async with keeper_world(tmp_path) as world:
        leadership = Leadership(world.cluster.log, "one")
        watch = watch_of(world, leadership)
        propose = world.cluster.log.propose

        async def overtaken(command: object, deadline: Deadline) -> object:
            raise TermStale

        monkeypatch.setattr(world.cluster.log, "propose", overtaken)
        await rounds(world, watch, 1)
        assert leadership.term is None
        monkeypatch.setattr(world.cluster.log, "propose", propose)
        await rounds(world, watch, 1)
        assert published(world)[0] == 1


async def test_a_new_term_is_ours_only_after_a_barrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with keeper_world(tmp_path) as world:
        leadership = Leadership(world.cluster.log, "one")

        async def no_barrier(deadline: Deadline) -> int:
            raise NoLeader

        monkeypatch.setattr(world.cluster.log, "barrier", no_barrier)
        with pytest.raises(NoLeader):
            await leadership.refresh()
        assert leadership.term is None


async def test_every_term_starts_with_fresh_patience(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        watch = watch_of(world)
        world.stores.away = {TWO}
        await rounds(world, watch, 1)
        world.cluster.log.term += 1
        await rounds(world, watch, 2)
        assert published(world)[1] == ["up", "up", "up"]
        await rounds(world, watch, 1)
        assert published(world)[1] == ["up", "suspect", "up"]


async def test_deleted_versions_expire_and_their_chunks_are_forgotten(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        log, reader = world.cluster.log, world.cluster.reader
        chunk_id = world.commit("f", b"x" * 50_000, (1, 2))
        log.apply(DeleteFile(header(), "admin/f"))
        leadership = Leadership(log, "one")
        await leadership.refresh()
        tidier = Tidier(ONE, leadership, log, reader, world.clock, forget_grace_ms=3_600_000)
        state = reader.read(queries.cluster_state)
        assert state is not None
        world.clock.wall_ms = state.clock_ms
        await tidier.one_round()
        assert reader.read(lambda db: queries.known_chunks(db, [chunk_id])), "kept in the trash"
        world.clock.advance(8 * 86_400)
        await tidier.one_round()
        assert reader.read(lambda db: queries.known_chunks(db, [chunk_id])), "expired, but perhaps put again soon"
        world.clock.advance(3_700)
        await tidier.one_round()
        await tidier.one_round()
        assert not reader.read(lambda db: queries.known_chunks(db, [chunk_id]))


async def test_only_the_leader_tidies(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        before = world.cluster.log.machine.applied_index
        leadership = Leadership(world.cluster.log, "two")
        await leadership.refresh()
        assert not await Tidier(ONE, leadership, world.cluster.log, world.cluster.reader, world.clock).one_round()
        assert world.cluster.log.machine.applied_index == before


async def test_the_machine_refuses_a_map_of_an_older_term(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        nodes = world.cluster.reader.read(queries.placement_map).nodes
        world.cluster.log.term = 5
        await world.cluster.log.propose(PublishPlacement(header(), 5, 1, nodes), Deadline.after(1))
        with pytest.raises(TermStale):
            await world.cluster.log.propose(PublishPlacement(header(), 4, 2, nodes), Deadline.after(1))
        assert published(world)[0] == 1
