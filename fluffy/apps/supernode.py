"""`python supernode.py`: many clusters behind one address. One process: followers, catalog, door.

It needs none of its own state to be right: the catalog is built anew when it is gone, and several supernodes may run,
each by itself. What must not be lost stands beside its folder (apps/supernode_clusters.py).
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import uvloop

from fluffy.apps.gateway_parts import authority_of, tls_context
from fluffy.apps.node_lock import node_lock
from fluffy.apps.settings import Settings, SupernodeSettings, load
from fluffy.apps.supernode_clusters import Clusters
from fluffy.apps.supernode_folder import keep_folder
from fluffy.apps.supernode_mirrors import mirrors_of
from fluffy.apps.traces import setup_tracing
from fluffy.base.checks import EXIT_BUG, EXIT_REFUSED_TO_START, InvariantBroken
from fluffy.base.errors import CatalogFailed, ConfigIllegal, StartRefused
from fluffy.drivers.catalog_sqlite import SqliteCatalog
from fluffy.drivers.clock import SystemClock
from fluffy.drivers.logs import setup_logging
from fluffy.drivers.mirror_work import MirrorWork
from fluffy.drivers.owed_orders import OwedOrders
from fluffy.drivers.process_facts import ProcessFacts
from fluffy.gateways.http.server import HttpServer
from fluffy.gateways.native.access_log import AccessLog
from fluffy.gateways.native.exchange import Call
from fluffy.gateways.native.limits import DOWNLOADS_MAX, REQUESTS_MAX, Slots
from fluffy.gateways.native.metrics import Metrics
from fluffy.gateways.native.table import Table
from fluffy.gateways.supernode.desk import SupernodeDesk
from fluffy.gateways.supernode.gauges import tell_supernode
from fluffy.gateways.supernode.routes import ROUTES
from fluffy.ports_federation import Catalog
from fluffy.services.federation.askers import Askers
from fluffy.services.federation.file_cache import FileCache
from fluffy.services.federation.mirror import Mirror
from fluffy.services.federation.owed import Copier
from fluffy.services.federation.sweeper import sweep
from fluffy.services.groups import first_failure

log = logging.getLogger("fluffy.supernode")

DRAIN_S = 10.0
BACKLOG = 512
# A thread that reads a tree in gives up the interpreter this often: a search takes it back at every row that it finds.
SWITCH_S = 0.0005


class Supernode:
    """All parts of the process, and its loop."""

    def __init__(self, settings: Settings, supernode: SupernodeSettings) -> None:
        self._settings = settings
        self._supernode = supernode
        self._bug: BaseException | None = None

    async def run(self) -> None:
        """Until SIGTERM. Raises StartRefused, and the bug that ended it."""
        self._stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        catalog = make_catalog(self._supernode)
        try:
            await catalog.open()
        except CatalogFailed as error:
            raise StartRefused(error.message) from error
        orders = OwedOrders(keep_folder(self._supernode))
        clusters = Clusters(self._settings, self._supernode, catalog, authority_of(self._settings))
        mirror_work = MirrorWork(keep_folder(self._supernode))
        mirrors = mirrors_of(self._supernode.mirrors, clusters.joined, mirror_work)
        desk = self._desk(catalog, orders, clusters, mirrors)
        with ThreadPoolExecutor(1, thread_name_prefix="sendfile") as senders:
            server: HttpServer[Call] = HttpServer(desk, senders, self._on_bug)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(job) for job in (
                    clusters.run(), desk.askers.run(), desk.copier.run(), desk.access_log.run(), server.run(),
                    sweep(catalog), *(mirror.run() for mirror in mirrors))]
                listener = await self._listen(server)
                log.info("supernode.started", extra={"port": self._supernode.http})
                await self._stop.wait()
                listener.close()
                await server.drain(0.0 if self._bug else DRAIN_S)
                for task in tasks:
                    task.cancel()
        await clusters.close()
        await catalog.close()
        orders.close()
        mirror_work.close()
        log.info("supernode.stopped")
        if self._bug is not None:
            raise self._bug

    def _desk(self, catalog: Catalog, orders: OwedOrders, clusters: Clusters, mirrors: tuple[Mirror, ...],
              ) -> SupernodeDesk:
        clock = SystemClock()
        desk: SupernodeDesk
        desk = SupernodeDesk(
            table=Table(ROUTES), clock=clock, catalog=catalog, clusters=clusters.joined,
            askers=Askers(clusters.joined.followers, clock), orders=orders,
            copier=Copier(orders, clusters.joined, clock), cache=FileCache(self._supernode.cache_size),
            joining=clusters, metrics=Metrics("supernode", "supernode", [
                lambda samples: tell_supernode(desk, samples), ProcessFacts().tell]),
            access_log=AccessLog(), requests=Slots(REQUESTS_MAX, "requests at once"),
            transfers=Slots(DOWNLOADS_MAX, "transfers at once"), mirrors=mirrors)
        return desk

    async def _listen(self, server: HttpServer[Call]) -> asyncio.AbstractServer:
        await asyncio.sleep(0)
        host, port = self._supernode.host, self._supernode.http
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise StartRefused(f"the port {host}:{port} of the supernode cannot be opened: {error.strerror}; change "
                               "supernode.http, or end the program that has it") from error
        return await asyncio.get_running_loop().create_server(
            server.new_connection, sock=listening, backlog=BACKLOG, ssl=tls_context(self._settings))

    def _on_signal(self) -> None:
        if self._stop.is_set():
            os._exit(0)
        self._stop.set()

    def _on_bug(self, error: BaseException) -> None:
        self._bug = error if isinstance(error, InvariantBroken) else InvariantBroken(str(error))
        self._stop.set()


def make_catalog(supernode: SupernodeSettings) -> Catalog:
    """The catalog that the configuration chooses. Raises ConfigIllegal."""
    if supernode.catalog == "sqlite":
        return SqliteCatalog(supernode.dir)
    try:
        driver = importlib.import_module("fluffy.drivers.catalog_postgres")
    except ModuleNotFoundError as error:
        raise ConfigIllegal("supernode.catalog: PostgreSQL takes the package asyncpg; install it with: "
                            "pip install 'fluffy[postgres]'") from error
    catalog: Catalog = driver.PostgresCatalog(supernode.catalog)
    return catalog


def run_supernode(config: Path | None) -> None:
    """Raises StartRefused, and whatever ended it."""
    settings = load(config)
    supernode = settings.supernode
    if supernode is None:
        raise ConfigIllegal(f"{settings.path} has no section supernode; docs/OPERATIONS.md shows one")
    setup_logging("supernode", "supernode")
    keep = keep_folder(supernode)
    try:
        for folder in (supernode.dir, keep, keep / "run"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StartRefused(f"the folder {supernode.dir} cannot be made or used: {error.strerror}") from error
    end_tracing = setup_tracing("supernode", "supernode")
    sys.setswitchinterval(SWITCH_S)
    with node_lock(keep, "supernode"):
        try:
            uvloop.run(Supernode(settings, supernode).run())
        except BaseExceptionGroup as group:
            raise first_failure(group) from group
        finally:
            end_tracing()


@click.command(help="Run the supernode of the configuration in the foreground. SIGTERM drains and ends it.")
@click.option("--config", type=click.Path(path_type=Path), help="default: FLUFFY_CONFIG, then config.yaml")
def main(config: Path | None) -> None:
    try:
        run_supernode(config)
    except StartRefused as error:
        click.echo(f"supernode.py: {error.message}", err=True)
        sys.exit(EXIT_REFUSED_TO_START)
    except InvariantBroken:
        log.critical("process.bug", exc_info=True)
        sys.exit(EXIT_BUG)


if __name__ == "__main__":
    main()
