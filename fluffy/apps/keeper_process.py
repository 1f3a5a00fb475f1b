"""The keeper process of a node: the ports are made here, `services/keeper` does the work.

It starts before the cluster is born, so it first waits until the catalog knows its node.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import uvloop

from fluffy.apps.gateway_words import teller, users_of
from fluffy.apps.identity import load_or_create_identity
from fluffy.apps.known_nodes import NodeAddresses, wait_for_birth
from fluffy.apps.process import run_process
from fluffy.apps.settings import NodeSettings, Settings
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import parse_duration_ms
from fluffy.core.health.failure_detector import patience_for
from fluffy.core.health.pacing import COPIES_AT_ONCE_MAX
from fluffy.core.metadata.model import PlacementMap
from fluffy.core.placement import place
from fluffy.core.repair.retention import ORPHAN_GRACE_MS, OrphanRules
from fluffy.drivers.buffers import BufferPool
from fluffy.drivers.chunk_files import ChunkFiles
from fluffy.drivers.clock import SystemClock
from fluffy.drivers.data_port.client import DataPortClient
from fluffy.drivers.json_file import JsonFile
from fluffy.drivers.log_client import LogClient
from fluffy.drivers.manifest_files import ManifestFiles
from fluffy.drivers.meta_reader import MetaReader
from fluffy.drivers.metric_sockets import telling_metrics
from fluffy.drivers.process_facts import ProcessFacts
from fluffy.drivers.search_index import SearchIndexFile
from fluffy.services.groups import first_failure
from fluffy.services.keeper.keeper import KeeperRules, KeeperWorld, run_keeper
from fluffy.services.keeper.tidy import FORGET_GRACE_MS
from fluffy.wire.frames import CHUNK_PAYLOAD_BYTES_MAX
from fluffy.wire.handshake import PeerIdentity
from fluffy.wire.metric_samples import Samples

log = logging.getLogger("fluffy.keeper")

# Reading records, hashing and storing: two keep one disk busy without starving the gateways' threads.
DISK_THREADS = 2
# Users come first: the log and the gateways get the core whenever they want it, and the search index, repair and scrub
# what is left, but never nothing (about a tenth of a fully busy core), so that heartbeats keep their time.
NICE = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--orphan-grace", type=parse_duration_ms, default=ORPHAN_GRACE_MS,
                        help="age at which a file unknown to the catalog may be removed, like 24h")
    parser.add_argument("--forget-grace", type=parse_duration_ms, default=FORGET_GRACE_MS,
                        help="how long unreferenced chunks stay in the catalog, like 1h")
    parser.add_argument("--inventory-rest", type=parse_duration_ms, default=600_000,
                        help="rest between two comparisons of disk and catalog, like 10m")
    parser.add_argument("--tidy-every", type=parse_duration_ms, default=60_000,
                        help="rest between two rounds of expiry and forgetting, like 60s")
    parser.add_argument("--job-delay", type=parse_duration_ms, default=0,
                        help="for tests: how much longer each copy takes on this node, like 2s")
    parser.add_argument("--no-steal", action="store_true", help="for tests: never take jobs from other nodes' queues")
    parser.add_argument("--spare", type=int, default=0, metavar="NUMBER",
                        help="for tests: as leader, plan no copies for the node with this number")


def serve(settings: Settings, node: NodeSettings, arguments: argparse.Namespace) -> None:
    """Run until SIGTERM."""
    os.nice(NICE)
    try:
        uvloop.run(_until_stopped(settings, node, arguments))
    except BaseExceptionGroup as group:
        raise first_failure(group) from group


async def _until_stopped(settings: Settings, node: NodeSettings, arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(_keep(settings, node, arguments))
        await stop.wait()
        work.cancel()
    log.info("keeper.stopped")


async def _keep(settings: Settings, node: NodeSettings, arguments: argparse.Namespace) -> None:
    facts = ProcessFacts()
    reader = MetaReader(node.dir)
    state, own_no = await wait_for_birth(reader, node)
    identity = load_or_create_identity(settings, node)
    addresses = NodeAddresses(settings, reader)
    peers = DataPortClient(
        addresses.address_of, settings.secret(), PeerIdentity(node.name, identity.disk_uuid, state.cluster_uuid),
        names=addresses.name_of)
    log_client = LogClient(node.dir / "run" / "log.sock")
    search = SearchIndexFile(node.dir)
    manifests = ManifestFiles(node.dir, settings.cluster.fsync)
    with ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="keeper-disk") as disk:
        world = KeeperWorld(
            own_no=own_no, own_name=node.name, log=log_client, voters=log_client, reader=reader,
            store=ChunkFiles(node.dir, settings.cluster.fsync), peers=peers, clock=SystemClock(),
            candidates=partial(_candidates, arguments.spare), disk=disk, search=search, manifests=manifests,
            buffers=BufferPool(CHUNK_PAYLOAD_BYTES_MAX, COPIES_AT_ONCE_MAX),
            scrub_memory=JsonFile(node.dir / "scrub.json"),
            inventory_memory=JsonFile(node.dir / "inventory.json"), users=lambda: users_of(node.dir / "run"),
            tell=teller(node.dir / "run"))
        rules = KeeperRules(
            patience=patience_for(settings.cluster.down_after_ms),
            repair_mode=settings.cluster.repair_mode, scrub_days=settings.cluster.scrub_days,
            orphans=OrphanRules(arguments.orphan_grace),
            grace_ms=settings.cluster.grace_ms, forget_grace_ms=arguments.forget_grace,
            tidy_every_s=arguments.tidy_every / 1000,
            inventory_rest_s=arguments.inventory_rest / 1000,
            job_delay_s=arguments.job_delay / 1000, steals=not arguments.no_steal)
        def samples() -> Samples:
            told = Samples()
            told.add("fluffy_process_up", 1)
            for tell in (facts.tell, peers.tell, world.tallies.tell):
                tell(told)
            return told

        log.info("keeper.started", extra={"node_no": own_no})
        try:
            async with telling_metrics(node.dir / "run", "keeper", samples):
                await run_keeper(world, rules)
        finally:
            search.close()
            manifests.close()
            await log_client.close()
            await peers.close()


def _candidates(spared: int, chunk_id: ChunkId, placement: PlacementMap) -> list[NodeNo]:
    return [no for no in place(chunk_id, placement, 1, None) if no != spared]


def main() -> None:
    run_process("keeper", serve, add_arguments)


if __name__ == "__main__":
    main()
