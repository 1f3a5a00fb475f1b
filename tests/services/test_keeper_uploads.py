"""The keeper and unfinished uploads: ended when their time in the log is over, and what they held is freed."""

from __future__ import annotations

from pathlib import Path

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import DAY_MS
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import SetFeatureLevel
from fluffy.core.metadata.commands_uploads import BeginUpload, PutPart
from fluffy.services.keeper.leadership import Leadership
from fluffy.services.keeper.tidy import Tidier
from tests.support.keeper_world import KeeperWorld, keeper_world
from tests.support.local_log import header
from tests.support.node_stores import put_bytes

ONE, TWO = NodeNo(1), NodeNo(2)
UPLOAD = b"u" * 16
BYTES = b"a part that is in chunks"


def begin_with_a_part(world: KeeperWorld) -> ChunkId:
    log = world.cluster.log
    [chunk_id, _] = [put_bytes(world.stores.stores[no], BYTES) for no in (ONE, TWO)]
    log.apply(BeginUpload(header(at_ms=world.clock.wall_ms), UPLOAD, "admin/big", DAY_MS, 1 << 20, None, "", {}, {}))
    log.apply(PutPart(header(at_ms=world.clock.wall_ms), UPLOAD, 1, len(BYTES), bytes(32), "ee",
                      ((chunk_id, len(BYTES)),), ((ONE, TWO),)))
    return chunk_id


async def tidier_of(world: KeeperWorld) -> Tidier:
    leadership = Leadership(world.cluster.log, "one")
    await leadership.refresh()
    return Tidier(ONE, leadership, world.cluster.log, world.cluster.reader, world.clock, forget_grace_ms=3_600_000)


def is_known(world: KeeperWorld, chunk_id: ChunkId) -> bool:
    return bool(world.cluster.reader.read(lambda db: queries.known_chunks(db, [chunk_id])))


async def test_a_session_lives_as_long_as_its_lease_and_its_chunks_with_it(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        world.cluster.log.apply(SetFeatureLevel(header(), 2))
        state = world.cluster.reader.read(queries.cluster_state)
        assert state is not None
        world.clock.wall_ms = state.clock_ms
        chunk_id = begin_with_a_part(world)
        tidier = await tidier_of(world)
        for _ in range(23):
            world.clock.advance(3_600)
            await tidier.one_round()
            assert is_known(world, chunk_id)
        assert world.cluster.reader.read(lambda db: queries.upload(db, UPLOAD, 0)) is not None
        world.clock.advance(3_700)
        await tidier.one_round()
        await tidier.one_round()
        assert world.cluster.reader.read(lambda db: queries.upload(db, UPLOAD, 0)) is None
        assert is_known(world, chunk_id), "perhaps sent again soon"
        world.clock.advance(3_700)
        await tidier.one_round()
        await tidier.one_round()
        assert not is_known(world, chunk_id)


async def test_missing_copies_of_a_part_are_made_like_those_of_files(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        chunk_id = begin_with_a_part(world)
        healer = world.healer(3)
        await healer.one_round()
        assert world.replicas(chunk_id) == (1, 2, 3) and world.holds(3, chunk_id)


async def test_a_round_proposes_nothing_while_all_uploads_live(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        world.cluster.log.apply(SetFeatureLevel(header(), 2))
        begin_with_a_part(world)
        tidier = await tidier_of(world)
        before = world.cluster.log.machine.applied_index
        await tidier.one_round()
        assert world.cluster.log.machine.applied_index == before + 1, "only what moves log time"


async def test_a_cluster_of_the_older_level_is_not_asked_to_end_uploads(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        begin_with_a_part(world)
        tidier = await tidier_of(world)
        world.clock.advance(10 * 86_400)
        await tidier.one_round()
        await tidier.one_round()
        rows = world.cluster.reader.read(lambda db: db.execute("SELECT count(*) FROM uploads").fetchone())
        assert rows == (1,), "a node that does not know the command would stop"
