"""A cluster of one node with its search index: the real state, follower, index and reader; no processes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fluffy.base.deadline import Deadline
from fluffy.core.metadata import queries_search
from fluffy.core.metadata.queries_search import FoundEntries
from fluffy.core.search.plan import SearchPage, SearchStatus
from fluffy.core.search.query import SearchQuery
from fluffy.drivers.manifest_files import ManifestFiles
from fluffy.drivers.search_index import SearchIndexFile
from fluffy.drivers.search_reader import SearchReader
from fluffy.services.keeper.manifests import ManifestKeeper
from fluffy.services.search import BUSY_EVERY_S, SearchFollower
from tests.support.keeper_world import ManualClock
from tests.support.local_log import BornCluster, born_cluster

ROUNDS_MAX = 10_000


@dataclass(slots=True)
class SearchWorld:
    cluster: BornCluster
    index: SearchIndexFile
    names: SearchReader
    follower: SearchFollower
    clock: ManualClock
    disk: ThreadPoolExecutor
    manifests: ManifestFiles

    async def manifest_round(self) -> bool:
        """The other follower of the feed reads a part of it, for the index too."""
        keeper = ManifestKeeper(self.cluster.reader, self.manifests, self.clock, self.disk, also=self.follower.take)
        return await keeper.one_round()

    async def level(self) -> None:
        """Run rounds until the index is as new as the state and has nothing left to do."""
        for _ in range(ROUNDS_MAX):
            if await self.follower.one_round():
                continue
            state, point = self.index.state(), self.cluster.reader.read(queries_search.feed_point)
            if state.seq == point.seq and state.building is None and state.walk is None:
                return
            self.clock.advance(BUSY_EVERY_S)  # after many changes it waits for more of them
        raise AssertionError("the index never became level with the state")

    async def sweep(self, rounds: int = 3) -> None:
        for _ in range(rounds):
            self.clock.advance(2.0)
            await self.follower.one_round()

    def search(self, query: SearchQuery, *, buckets: frozenset[str] | None = None, after: str | None = None,
               limit: int = 1000) -> SearchPage:
        return self.cluster.reader.read(
            lambda db: self.names.search(db, query, buckets, after, limit, Deadline.after(30)))

    def paths(self, query: SearchQuery, *, buckets: frozenset[str] | None = None, limit: int = 1000) -> list[str]:
        """All pages; folders end in a slash."""
        found: list[str] = []
        after = None
        while True:
            page = self.search(query, buckets=buckets, after=after, limit=limit).page
            found += [entry.path + ("/" if entry.kind == "folder" else "") for entry in page.entries]
            after = page.after
            if after is None:
                return found

    def brute(self, query: SearchQuery, *, buckets: frozenset[str] | None = None) -> list[str]:
        """What fits, by looking at every entry of the state."""
        def scan(db: sqlite3.Connection) -> list[str]:
            rows = FoundEntries(db, buckets).scan((0, ""), None, 0, 1 << 62)
            return [hit.entry.path + ("/" if hit.entry.kind == "folder" else "")
                    for _, hit in rows if query.fits(hit)]
        return self.cluster.reader.read(scan)

    def status(self, later_ms: int = 0) -> SearchStatus:
        return self.cluster.reader.read(lambda db: self.names.status(db, int(time.time() * 1000) + later_ms))

    def restart(self) -> None:
        """What a new process finds: only the files. What was not committed is gone."""
        self.index.close()
        self.index = SearchIndexFile(self.cluster.node_dir)
        self.follower = SearchFollower(self.cluster.reader, self.index, self.clock, self.disk)


@asynccontextmanager
async def search_world(folder: Path) -> AsyncIterator[SearchWorld]:
    clock = ManualClock()
    with born_cluster(folder) as cluster, ThreadPoolExecutor(1) as disk:
        index = SearchIndexFile(cluster.node_dir)
        names = SearchReader(cluster.node_dir)
        world = SearchWorld(cluster, index, names, SearchFollower(cluster.reader, index, clock, disk), clock, disk,
                            ManifestFiles(cluster.node_dir, fsync=False))
        try:
            yield world
        finally:
            world.index.close()
            world.manifests.close()
            names.close()
