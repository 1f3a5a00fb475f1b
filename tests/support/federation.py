"""Clusters for a supernode to join: real doors over one-process logs, each with a user of the supernode's role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from fluffy.core.metadata.commands import FEATURE_LEVEL, SetFeatureLevel
from fluffy.drivers.clock import SystemClock
from fluffy.drivers.cluster_http import ClusterHttp
from fluffy.ports_federation import Catalog
from fluffy.services.federation.follower import ClusterFollower
from tests.support.asking import Asker, admin_of, user_of
from tests.support.local_log import header
from tests.support.native_door import Door, running_door

JOINER = "joins"


@dataclass(slots=True)
class Joined:
    """One cluster that can be followed."""

    name: str
    door: Door
    client: ClusterHttp

    @property
    def admin(self) -> Asker:
        return admin_of(self.door)

    def follower(self, catalog: Catalog) -> ClusterFollower:
        return ClusterFollower(self.name, self.client, catalog, SystemClock())


@asynccontextmanager
async def joined_cluster(folder: Path, name: str) -> AsyncIterator[Joined]:
    async with running_door(folder / name, name=name) as door:
        door.cluster.log.apply(SetFeatureLevel(header(), FEATURE_LEVEL))
        user_of(door, JOINER, "supernode")
        client = ClusterHttp(name, [door.url], lambda: JOINER)
        client.learn = lambda peers: None  # type: ignore[method-assign]  # what the state names are no real nodes
        try:
            yield Joined(name, door, client)
        finally:
            await client.close()


def asker_of(token: str) -> str:
    return blake3(token.encode()).hexdigest()


async def level(follower: ClusterFollower, rounds: int = 200) -> None:
    """Run rounds until there is nothing more to do."""
    for _ in range(rounds):
        if not await follower.one_round() and follower.contact.built:
            return
    raise AssertionError("the follower never became level")
