"""Catalogs of every kind under one roof, and real cluster states to fill them with: no processes, no network."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from fluffy.base.deadline import Deadline
from fluffy.core.federation.tree import Scope, Sight
from fluffy.core.metadata import queries_federation
from fluffy.core.metadata.commands import Command, MakeFolder
from fluffy.core.metadata.commands_tree import DeleteFolder, Move, Undelete
from fluffy.core.metadata.queries_federation import feed_piece
from fluffy.core.metadata.queries_search import FoundEntries
from fluffy.core.search.query import SearchQuery
from fluffy.drivers.catalog_postgres import PostgresCatalog
from fluffy.drivers.catalog_postgres_schema import SCHEMA
from fluffy.drivers.catalog_sqlite import SqliteCatalog
from fluffy.ports_federation import Catalog, CatalogCluster
from tests.support.local_log import header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import delete, put

EVERYTHING = Sight(None)
# A wall time as real ones are: more than 32 bits.
LEVEL_MS = 1_700_000_000_077


@asynccontextmanager
async def sqlite_catalog(folder: Path) -> AsyncIterator[Catalog]:
    catalog = SqliteCatalog(folder / "catalog")
    await catalog.open()
    try:
        yield catalog
    finally:
        await catalog.close()


@asynccontextmanager
async def postgres_catalog(url: str) -> AsyncIterator[Catalog]:
    """In a database that may have been used before; what was in it is thrown away."""
    before = await asyncpg.connect(url)
    await before.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    await before.close()
    catalog = PostgresCatalog(url)
    await catalog.open()
    try:
        yield catalog
    finally:
        await catalog.close()


@dataclass(slots=True)
class Town:
    """One cluster's state, and how a follower brings it into a catalog."""

    name: str
    state: MemoryState = field(default_factory=MemoryState)
    at_ms: int = 1_000

    @property
    def db(self) -> sqlite3.Connection:
        return self.state.db

    def close(self) -> None:
        self.state.db.close()

    def do(self, *commands: Command) -> None:
        self.state.run(*commands)

    def put(self, path: str, size: int = 1, content_type: str = "text/plain", **tags: str) -> None:
        self.at_ms += 10
        self.state.accept(put(path, b"x" * size, at_ms=self.at_ms, content_type=content_type, tags=tags))

    def make(self, path: str) -> None:
        self.state.accept(MakeFolder(header(at_ms=self.at_ms), path))

    @property
    def seq(self) -> int:
        return self.state.machine.seq

    async def build(self, catalog: Catalog, piece: int = 1000) -> CatalogCluster:
        """From nothing: the whole tree, then the feed."""
        cluster = await catalog.begin(self.name, "first", self.seq)
        after = (0, "")
        while True:
            rows = queries_federation.rows_after(self.db, after, piece)
            last = (rows[-1].parent, rows[-1].key) if len(rows) == piece else None
            await catalog.load(cluster.number, rows, last)
            if last is None:
                break
            after = last
        return await self.follow(catalog, piece)

    async def follow(self, catalog: Catalog, piece: int = 1000) -> CatalogCluster:
        """Until the catalog is level with the state."""
        while True:
            cluster = await self.known(catalog)
            if cluster.walk is not None:
                rows = queries_federation.rows_of_folder(self.db, *cluster.walk, piece)
                last = rows[-1].key if len(rows) == piece else None
                await catalog.load_folder(cluster.number, cluster.walk[0], rows, last)
            elif cluster.seq < self.seq:
                await catalog.apply(cluster.number, feed_piece(self.db, cluster.seq, piece), LEVEL_MS)
            else:
                return cluster

    async def known(self, catalog: Catalog) -> CatalogCluster:
        return next(one for one in await catalog.clusters() if one.name == self.name)

    def brute(self, query: SearchQuery, buckets: frozenset[str] | None = None) -> list[str]:
        """What fits, by looking at every entry of the state."""
        rows = FoundEntries(self.db, buckets).scan((0, ""), None, 0, 1 << 62)
        return sorted(f"{self.name}:{hit.entry.path}" + ("/" if hit.entry.kind == "folder" else "")
                      for _, hit in rows if query.fits(hit))

    def stir(self, rng: random.Random, count: int) -> None:
        """Random puts, moves, removals and returns; what is refused changes nothing."""
        names = ["a", "ab", "report", "Report.PDF", "x1", "ÄÖ", "deep"]
        places = ["admin", "admin/a", "admin/ab", "admin/a/deep", "other", "other/a"]
        for _ in range(count):
            self.at_ms += 10
            head = header(at_ms=self.at_ms)
            path = f"{rng.choice(places)}/{rng.choice(names)}"
            match rng.randrange(8):
                case 0 | 1 | 2:
                    self.do(put(path, bytes(rng.randrange(9)), at_ms=self.at_ms, content_type=rng.choice(
                        ["text/plain", "image/png"]), tags=rng.choice([{}, {"k": "v"}, {"k": "w", "z": "v"}])))
                case 3:
                    self.do(MakeFolder(head, path))
                case 4:
                    self.do(delete(path, at_ms=self.at_ms))
                case 5:
                    self.do(DeleteFolder(head, rng.choice(places)))
                case 6:
                    self.do(Undelete(head, rng.choice([path, rng.choice(places)])))
                case _:
                    target = f"{rng.choice(places)}/moved-{path[-1]}"
                    self.do(Move(head, rng.choice([path, rng.choice(places)]), target))


async def paths(catalog: Catalog, query: SearchQuery, scope: Scope, towns: dict[int, str], *, limit: int = 1000,
                ) -> list[str]:
    """All pages, in the order in which they come; folders end in a slash."""
    found: list[str] = []
    after = None
    while True:
        page = await catalog.search(query, scope, after, limit, Deadline.after(30))
        assert len(page.hits) <= limit
        found += [f"{towns[hit.cluster_no]}:{hit.found.entry.path}" + ("/" if hit.found.entry.kind == "folder" else "")
                  for hit in page.hits]
        after = page.after
        if after is None:
            return found

