"""A mirror between two clusters of one process, that can be stepped and looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluffy.drivers.clock import SystemClock
from fluffy.drivers.cluster_http import ClusterHttp
from fluffy.drivers.mirror_work import MirrorWork
from fluffy.services.federation.mirror import Mirror
from fluffy.services.federation.mirror_sides import Side
from tests.support.asking import Asker
from tests.support.federation import Joined, asker_of, joined_cluster
from tests.support.local_log import ADMIN_TOKEN


@dataclass(slots=True)
class World:
    """Implements `MirrorClusters`. `away`: clusters that the supernode thinks do not answer."""

    folder: Path
    clusters: dict[str, Joined]
    away: set[str] = field(default_factory=set)
    opened: list[MirrorWork] = field(default_factory=list)

    def mover(self, name: str) -> ClusterHttp | None:
        return self.clusters[name].client if name in self.clusters else None

    def is_reachable(self, name: str) -> bool:
        return name not in self.away

    def admin(self, name: str) -> Asker:
        return self.clusters[name].admin

    def side(self, cluster: str, bucket: str, token: str = ADMIN_TOKEN) -> Side:
        return Side(self, cluster, bucket, lambda: asker_of(token))

    def mirror(self, *, store: MirrorWork | None = None, source: Side | None = None, target: Side | None = None,
               ) -> Mirror:
        """From alpha:/docs to beta:/docs; without `store` as after a restart."""
        return Mirror("docs", source or self.side("alpha", "docs"), target or self.side("beta", "docs"),
                      store or self.store(), SystemClock())

    def store(self, name: str = "keep") -> MirrorWork:
        self.opened.append(MirrorWork(self.folder / name))
        return self.opened[-1]

    async def tree(self, name: str, folder: str = "docs") -> dict[str, Any]:
        """path -> bytes of a file, None of a folder."""
        found: dict[str, Any] = {}
        for entry in (await self.admin(name).must("GET", f"/v1/dirs/{folder}?limit=1000"))["entries"]:
            if entry["kind"] == "file":
                found[entry["path"]] = (await self.admin(name).ask("GET", f"/v1/files{entry['path']}")).body
            else:
                found[entry["path"]] = None
                found |= await self.tree(name, entry["path"].strip("/"))
        return found


@asynccontextmanager
async def mirror_world(folder: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        world = World(folder, {name: await stack.enter_async_context(joined_cluster(folder, name))
                               for name in ("alpha", "beta")})
        await world.admin("alpha").must("PUT", "/v1/dirs/docs")
        yield world
        for store in world.opened:
            store.close()


async def do_first(mirror: Mirror) -> None:
    """What a process does that is killed after its first piece of work."""
    await mirror.follow_once()
    await mirror.follow_once()
    work = mirror.claim()
    assert work is not None
    await mirror.do(work)


async def settle(mirror: Mirror, seconds: float = 20) -> None:
    """Step the mirror until it is level."""
    async with asyncio.timeout(seconds):
        while True:
            await mirror.follow_once()
            if mirror.lag() == (0, 0):
                return
            while (work := mirror.claim()) is not None:
                await mirror.do(work)
