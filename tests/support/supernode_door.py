"""A supernode's door over real cluster doors, in one process: what the tests of `gateways/supernode` talk to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from fluffy.base.errors import Conflict
from fluffy.base.units import MIB
from fluffy.drivers.clock import SystemClock
from fluffy.drivers.owed_orders import OwedOrders
from fluffy.gateways.http.server import HttpServer
from fluffy.gateways.native.access_log import AccessLog
from fluffy.gateways.native.exchange import Call
from fluffy.gateways.native.limits import Slots
from fluffy.gateways.native.metrics import Metrics
from fluffy.gateways.native.table import Table
from fluffy.gateways.supernode.desk import SupernodeDesk
from fluffy.gateways.supernode.gauges import tell_supernode
from fluffy.gateways.supernode.joined import JoinedCluster, JoinedClusters
from fluffy.gateways.supernode.routes import ROUTES
from fluffy.ports_federation import Catalog
from fluffy.services.federation.askers import Askers
from fluffy.services.federation.file_cache import FileCache
from fluffy.services.federation.owed import Copier
from tests.support.asking import Told
from tests.support.catalog_world import sqlite_catalog
from tests.support.federation import Joined, joined_cluster

OPERATOR = "the-operator"


class NoJoining:
    """Joining is tested with the real process (tests/cluster)."""

    operator_token = OPERATOR

    async def join(self, name: str, peers: Sequence[str], token: str) -> None:
        raise Conflict

    async def leave(self, name: str) -> None:
        raise Conflict


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@dataclass(slots=True)
class SupernodeDoor:
    url: str
    desk: SupernodeDesk
    catalog: Catalog
    clusters: dict[str, Joined]

    async def ask(self, method: str, target: str, token: str | None = None, body: bytes | None = None, *,
                  redirects: bool = False, range: str | None = None, sent: Mapping[str, str] | None = None,
                  **more: str) -> Told:
        """`more`: tokens by cluster (`beta="…"`), and headers whose names have an underscore."""
        headers = {name.replace("_", "-"): value for name, value in more.items() if "_" in name} | dict(sent or {})
        named = ", ".join(f"{name}={value}" for name, value in more.items() if "_" not in name)
        if named:
            headers["Fluffy-Tokens"] = named
        if range is not None:
            headers["Range"] = range
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with aiohttp.ClientSession() as session, session.request(
                method, self.url + target, data=body, headers=headers, allow_redirects=redirects) as answer:
            return Told(answer.status, {name.lower(): value for name, value in answer.headers.items()},
                        await answer.read())

    async def must(self, method: str, target: str, token: str | None = None, body: bytes | None = None,
                   sent: Mapping[str, str] | None = None, **more: str) -> Any:
        told = await self.ask(method, target, token, body, sent=sent, **more)
        assert told.status < 300, (method, target, told.status, told.body)
        return json.loads(told.body)

    async def level(self) -> None:
        """Until every cluster that answers is followed to where it is now."""
        for name, joined in self.clusters.items():
            follower = self.desk.clusters.followers[name]
            await until(lambda follower=follower, joined=joined: not follower.is_reachable or (
                follower.contact.seq >= joined.door.cluster.log.machine.seq))

    async def all_made_good(self) -> None:
        """Until nothing is owed."""
        await until(lambda: self.desk.orders.count() == 0)

    async def switch_off(self, name: str) -> None:
        """The cluster cannot be reached any more, and the supernode knows."""
        self.clusters[name].client._peers[:] = ["http://127.0.0.1:9"]
        await self._until(name, reachable=False)

    async def switch_on(self, name: str) -> None:
        self.clusters[name].client._peers[:] = [self.clusters[name].door.url]
        await self._until(name, reachable=True)

    async def _until(self, name: str, *, reachable: bool) -> None:
        await until(lambda: self.desk.clusters.is_reachable(name) is reachable)


@asynccontextmanager
async def supernode_door(folder: Path, *names: str) -> AsyncIterator[SupernodeDoor]:
    """A supernode that has joined clusters of these names."""
    clock = SystemClock()
    bugs: list[BaseException] = []
    async with AsyncExitStack() as stack:
        clusters = {name: await stack.enter_async_context(joined_cluster(folder, name)) for name in names}
        catalog = await stack.enter_async_context(sqlite_catalog(folder))
        orders = OwedOrders(folder / "keep")
        stack.callback(orders.close)
        senders = stack.enter_context(ThreadPoolExecutor(1))
        joined = JoinedClusters(clock)
        desk: SupernodeDesk
        desk = SupernodeDesk(
            table=Table(ROUTES), clock=clock, catalog=catalog, clusters=joined, askers=Askers(joined.followers, clock),
            orders=orders, copier=Copier(orders, joined, clock), cache=FileCache(8 * MIB), joining=NoJoining(),
            metrics=Metrics("supernode", "supernode", [lambda samples: tell_supernode(desk, samples)]),
            access_log=AccessLog(), requests=Slots(64, "requests"), transfers=Slots(8, "transfers"))
        server: HttpServer[Call] = HttpServer(desk, senders, bugs.append)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(job) for job in (
            desk.askers.run(), desk.copier.run(), desk.access_log.run(), server.run())]
        for name, one in clusters.items():
            follower = one.follower(catalog)
            joined.add(JoinedCluster(name, "config", one.client, follower))
            tasks.append(group.create_task(follower.run()))
        await asyncio.sleep(0)
        listener = await asyncio.get_running_loop().create_server(server.new_connection, "127.0.0.1", 0)
        door = SupernodeDoor(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", desk, catalog, clusters)
        try:
            await until(lambda: all(one.is_reachable and one.contact.built for one in joined.followers.values()))
            yield door
        finally:
            listener.close()
            await server.drain(1.0)
            for task in tasks:
                task.cancel()
    assert not bugs
