"""The keeper's manifests: level with the state, whole again after a kill, written anew when most of them is old."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from fluffy.core.metadata.commands_people import AddUser
from fluffy.core.metadata.tree_digest import TreeDigest, tree_digest
from fluffy.drivers.manifest_files import ManifestFiles, ManifestShelf
from fluffy.services.keeper.manifests import PEOPLE_EVERY_S, ManifestKeeper
from tests.support.local_log import BornCluster, born_cluster, header
from tests.support.manifest_world import salvage
from tests.support.metadata_commands import delete, put


class Clock:
    """Time stands still unless told."""

    def __init__(self) -> None:
        self.at_s = 1_000.0

    def now_ms(self) -> int:
        return int(self.at_s * 1000)

    def monotonic_s(self) -> float:
        return self.at_s


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[BornCluster]:
    with born_cluster(tmp_path) as cluster:
        yield cluster


class World:
    def __init__(self, cluster: BornCluster, segment_bytes: int = 1 << 20, anew_bytes_min: int = 1 << 20) -> None:
        self.cluster = cluster
        self.clock = Clock()
        self.files = ManifestFiles(cluster.node_dir, fsync=False, segment_bytes=segment_bytes)
        self.disk = ThreadPoolExecutor(1)
        self.keeper = ManifestKeeper(cluster.reader, self.files, self.clock, self.disk, anew_bytes_min)

    async def catch_up(self) -> None:
        self.clock.at_s += PEOPLE_EVERY_S + 1
        for _ in range(1_000):
            if not await self.keeper.one_round():
                return
        raise AssertionError("it never ends")

    def close(self) -> None:
        self.files.close()
        self.disk.shutdown()

    def restored(self, folder: Path) -> TreeDigest:
        folder.mkdir()
        shelf = ManifestShelf(self.cluster.node_dir)
        [stock] = shelf.stocks()
        segments = b"".join(shelf.segment(stock.cluster_uuid, name) for name in stock.segments)
        db, _, pile = salvage([segments], folder)
        with closing(db), closing(pile):
            return tree_digest(db)

    @property
    def series(self) -> set[str]:
        [stock] = ManifestShelf(self.cluster.node_dir).stocks()
        return {name[:8] for name in stock.segments}


async def test_it_follows_and_goes_on_after_a_kill(cluster: BornCluster, tmp_path: Path) -> None:
    for number in range(30):
        cluster.log.apply(put(f"admin/d/{number}", bytes([number])))
    with closing(World(cluster)) as first:
        await first.catch_up()
    for command in (delete("admin/d/3"), put("admin/d/4", b"new"), AddUser(header(), "bob", "user", b"scrypt")):
        cluster.log.apply(command)
    with closing(World(cluster)) as again:
        await again.catch_up()
        found, wanted = again.restored(tmp_path / "r"), cluster.reader.read(tree_digest)
        assert (found.tree, found.people) == (wanted.tree, wanted.people)
        assert again.series == {"00000001"}, "what was written stays"


async def test_it_is_written_anew_when_most_of_it_is_old(cluster: BornCluster, tmp_path: Path) -> None:
    with closing(World(cluster, segment_bytes=4_000, anew_bytes_min=10_000)) as world:
        for update in range(50):
            cluster.log.apply(put("admin/same", b"%d" % update * 200))
            await world.catch_up()
        assert world.series != {"00000001"} and len(world.series) == 1
        state = world.files.open(cluster.genesis.cluster_uuid)
        assert state.bytes < 40_000, "bounded by what is there"
        assert world.restored(tmp_path / "r").tree == cluster.reader.read(tree_digest).tree


async def test_it_is_not_written_anew_when_files_came_and_is_when_they_went(cluster: BornCluster,
                                                                            tmp_path: Path) -> None:
    with closing(World(cluster, segment_bytes=4_000, anew_bytes_min=10_000)) as world:
        for number in range(60):
            cluster.log.apply(put(f"admin/{number}", b"%d" % number * 500))
            if number % 10 == 9:
                await world.catch_up()
        assert world.files.open(cluster.genesis.cluster_uuid).bytes > 50_000
        assert world.series == {"00000001"}, "all of it stands still"
        for number in range(55):
            cluster.log.apply(delete(f"admin/{number}"))
        for update in range(100):
            cluster.log.apply(put("admin/same", b"%d" % (update % 10) * 1_000))
            await world.catch_up()
        assert world.series != {"00000001"} and len(world.series) == 1
        assert world.files.open(cluster.genesis.cluster_uuid).bytes < 40_000
        assert world.restored(tmp_path / "r").tree == cluster.reader.read(tree_digest).tree


async def test_its_size_is_known_without_a_look_at_the_disk(cluster: BornCluster) -> None:
    with closing(World(cluster, segment_bytes=2_000)) as world:
        for number in range(20):
            cluster.log.apply(put(f"admin/{number}", b"x" * 500))
            await world.catch_up()
        uuid = cluster.genesis.cluster_uuid
        [stock] = ManifestShelf(cluster.node_dir).stocks()
        assert len(stock.segments) > 3
        assert world.files.open(uuid).bytes == stock.bytes
        with closing(World(cluster)) as again:
            assert again.files.open(uuid).bytes == stock.bytes
