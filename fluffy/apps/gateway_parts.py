"""What a gateway process is made of: the one place where doors, services and drivers are put together.

Two steps, because HTTP answers from the first moment (`/healthz`, and 503 with a reason) while the data path needs to
know the node's number and the cluster's settings, which exist only after the cluster's birth.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fluffy.apps.gateway_metrics import LivingCopies, NodeMetrics, tell_slots
from fluffy.apps.gateway_words import GatewayWords, traffic_of
from fluffy.apps.identity import load_or_create_identity
from fluffy.apps.known_nodes import NodeAddresses, wait_for_birth
from fluffy.apps.settings import NodeSettings, Settings
from fluffy.apps.supervisor import tell_supervisor
from fluffy.base.errors import ConfigIllegal
from fluffy.base.ids import NodeNo
from fluffy.core.health.pacing import PACES
from fluffy.core.metadata import queries
from fluffy.core.metadata.model import PlacementMap
from fluffy.drivers.backup_files import BackupFiles
from fluffy.drivers.buffers import BufferPool
from fluffy.drivers.chunk_files import ChunkFiles
from fluffy.drivers.chunk_quarantine import Quarantine
from fluffy.drivers.clock import SystemClock
from fluffy.drivers.data_port.client import DataPortClient
from fluffy.drivers.data_port.server import DataPortServer
from fluffy.drivers.log_client import LogClient
from fluffy.drivers.manifest_files import ManifestShelf
from fluffy.drivers.meta_reader import MetaReader
from fluffy.drivers.process_facts import ProcessFacts
from fluffy.drivers.search_reader import SearchReader
from fluffy.drivers.supernode_http import Supernodes
from fluffy.gateways.native.access_log import AccessLog
from fluffy.gateways.native.auth import Tokens
from fluffy.gateways.native.desk import DataPath, Desk, Keepsakes, NodesDoor, People, new_slots
from fluffy.gateways.native.limits import DOWNLOADS_MAX
from fluffy.gateways.native.metrics import Metrics
from fluffy.gateways.native.pulse import Pulse
from fluffy.gateways.native.reads import ReadGate
from fluffy.gateways.native.routes import ROUTES
from fluffy.gateways.native.table import Table
from fluffy.gateways.native.version_cache import VersionCache
from fluffy.gateways.s3.addressing import LOCAL_DOMAINS
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.operation import Operations
from fluffy.gateways.s3.operations import MORE_HEADERS, OPERATIONS
from fluffy.services.about import AboutNode, AskingNodes
from fluffy.services.chunk_cache import ChunkCache
from fluffy.services.chunk_reader import ChunkReader
from fluffy.services.chunk_writer import ChunkWriter
from fluffy.services.doctor import Doctor
from fluffy.services.downloads import Downloads
from fluffy.services.locks import Locks
from fluffy.services.meeting import meet_others
from fluffy.services.passwords import Passwords
from fluffy.services.patches import Patches
from fluffy.services.refusals import RefusalReporter
from fluffy.services.replica_reports import ReplicaReporter
from fluffy.services.s3_keys import S3Keys
from fluffy.services.signed_urls import UrlSigner
from fluffy.services.throttle import Throttle
from fluffy.services.tokens import TokenMaker
from fluffy.services.uploads import Uploads
from fluffy.wire.handshake import PeerIdentity, derive_key
from fluffy.wire.joining import PURPOSE as JOIN_PURPOSE
from fluffy.wire.metric_samples import Samples

log = logging.getLogger("fluffy.gateway")

# Three uploads at full speed, or a dozen slow ones; 96 MiB. A process must stay below 300 MiB with all pools full.
UPLOAD_BUFFERS_MAX = 12
# Chunks that other nodes send here at once; 64 MiB.
DATA_PORT_BUFFERS_MAX = 8
# The cache holds idle chunks; of the configured size per node each worker has its part.
CACHE_BUFFERS_MIN = 4
# Hashing and storing for users, storing for other nodes, reading for both, sendfile: pools of their own, so that none
# of them waits for another (a reader behind four fsyncs). A sender thread is mostly asleep in poll.
CHUNK_THREADS = 4
READ_THREADS = 4
DATA_PORT_THREADS = 4
SENDER_THREADS = DOWNLOADS_MAX
# Chunks that are read for other nodes' repair at once: enough for a disk to be busy, few enough for it to stay quick.
BACKGROUND_READS_MAX = 4
# Decoding the bodies of S3: moving bytes, and hashing them where chunks are signed.
S3_THREADS = 2
# What services/passwords.py counts with: 32 MiB and a quarter of a CPU second for each login at once.
PASSWORD_THREADS = 2
# Backups, and looking at what disks hold after a disaster; asleep otherwise.
KEEPSAKE_THREADS = 2
# A placement map is one or two pages of SQLite: read again at most this often.
PLACEMENT_KEPT_S = 0.5


@dataclass(slots=True)
class Front:
    """What answers before the cluster is born."""

    desk: Desk
    s3: S3Door
    log: LogClient
    reader: MetaReader
    clock: SystemClock
    senders: ThreadPoolExecutor
    words: GatewayWords
    living: LivingCopies


def make_front(settings: Settings, node: NodeSettings, worker: int, connections: Callable[[], int]) -> Front:
    """The desk without a data path."""
    clock = SystemClock()
    log = LogClient(node.dir / "run" / "log.sock")
    reader = MetaReader(node.dir)
    names = SearchReader(node.dir)
    pulse = Pulse(log, clock)
    gate = ReadGate(log, reader, clock, pulse.majority_seen)
    requests, uploading, downloading, waiting = new_slots()

    store = ChunkFiles(node.dir, settings.cluster.fsync)
    access_log = AccessLog()

    def tell(samples: Samples) -> None:
        tell_slots(samples, {"requests": requests, "uploads": uploading, "downloads": downloading,
                             "lock_waiters": waiting, "streams": desk.streaming})
        samples.add("fluffy_http_connections", connections())
        samples.add("fluffy_barriers_total", gate.barriers)
        samples.add("fluffy_access_log_left_out_total", access_log.left_out_ever)

    living = LivingCopies(lambda: None if desk.data is None else desk.data.doctor.progress, clock)
    others = [*(f"gateway-{other}" for other in range(settings.cluster.workers) if other != worker), "keeper"]
    gathering = NodeMetrics(node.dir / "run", others, log, reader, names, store, clock, living)
    metrics = Metrics(node.name, f"gateway-{worker}", [tell, ProcessFacts().tell], gathering.gather)
    desk = Desk(
        node=node.name, table=Table(ROUTES), log=log, reader=reader, names=names, clock=clock, gate=gate,
        pulse=pulse, tokens=Tokens(reader, clock), metrics=metrics, access_log=access_log,
        consistency=settings.cluster.consistency, versions=VersionCache(), data=None, requests=requests,
        uploading=uploading, downloading=downloading, waiting=waiting,
        scheme="http" if settings.tls.cert is None else "https",
        keepsakes=Keepsakes(
            BackupFiles(node.dir, node.name), ManifestShelf(node.dir), store,
            ThreadPoolExecutor(KEEPSAKE_THREADS, thread_name_prefix="keepsakes")),
        supernodes=Supernodes(settings.cluster.supernodes, authority_of(settings)),
        started_ms=clock.now_ms())
    desk.is_meeting = True
    words = GatewayWords(node.dir / "run", worker, desk.user_times)
    desk.keeper_word = lambda: words.last
    domains = tuple(dict.fromkeys((*LOCAL_DOMAINS, settings.cluster.s3_domain)))
    s3 = S3Door(desk, Operations(OPERATIONS), ThreadPoolExecutor(S3_THREADS, thread_name_prefix="s3-bodies"), domains,
                more_headers=MORE_HEADERS)
    return Front(desk, s3, log, reader, clock, ThreadPoolExecutor(SENDER_THREADS, thread_name_prefix="sendfile"), words,
                 living)


@asynccontextmanager
async def data_path(settings: Settings, node: NodeSettings, front: Front, *, owns_data_port: bool,
                    ) -> AsyncIterator[DataPath]:
    """Everything that moves bytes, open inside the context. Waits for the cluster's birth."""
    state, own_no = await wait_for_birth(front.reader, node)
    # Read now: after the birth the log process writes the cluster's UUID into it.
    identity = load_or_create_identity(settings, node)
    me = PeerIdentity(node.name, identity.disk_uuid, state.cluster_uuid)
    front.desk.nodes = NodesDoor(derive_key(settings.secret(), JOIN_PURPOSE), lambda: tell_supervisor(node.dir))
    store = ChunkFiles(node.dir, settings.cluster.fsync)
    addresses = NodeAddresses(settings, front.reader)
    peers = DataPortClient(addresses.address_of, settings.secret(), me, names=addresses.name_of)
    reporter = ReplicaReporter(front.log, front.clock, own_no)
    placement = PlacementView(front.reader, front.clock)
    about = AboutNode(front.log, front.reader, front.desk.names, store, front.clock, store.total_bytes,
                      lambda: len(store.quarantined()), front.desk.keeper_word,
                      lambda: traffic_of(node.dir / "run"))
    doctor = Doctor(node.name, front.reader, AskingNodes(own_no, about.facts, peers, front.clock))
    cluster = state.settings
    background = Throttle(front.clock, PACES[settings.cluster.repair_mode].bytes_per_s, BACKGROUND_READS_MAX)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(peers.close)
        threads = stack.enter_context(ThreadPoolExecutor(CHUNK_THREADS, thread_name_prefix="chunks"))
        reads = stack.enter_context(ThreadPoolExecutor(READ_THREADS, thread_name_prefix="chunk-reads"))
        if owns_data_port:
            disk = stack.enter_context(ThreadPoolExecutor(DATA_PORT_THREADS, thread_name_prefix="data-port"))
            data_port = await stack.enter_async_context(DataPortServer(
                store, node.host, node.data, settings.secret(), me, threads=disk, read_threads=reads,
                buffers=BufferPool(state.settings.chunk_size, DATA_PORT_BUFFERS_MAX), about=about.facts,
                background=background))
            front.desk.metrics.sources.append(data_port.tell)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        people = _people(settings, front, own_no, stack.enter_context(
            ThreadPoolExecutor(PASSWORD_THREADS, thread_name_prefix="passwords")))
        for task in (group.create_task(reporter.run()), group.create_task(people.refusals.run()),
                     group.create_task(front.words.run(background)), group.create_task(front.living.run()),
                     group.create_task(_meet(front.desk, own_no, peers, placement, cluster.write_quorum))):
            stack.callback(task.cancel)
        writer = ChunkWriter(own_no, store, peers, placement.current, cluster.replication, cluster.write_quorum,
                             threads, since=lambda: front.reader.read(queries.drops_since),
                             may_wait=front.desk.pulse.majority_seen)
        cache = _cache(settings, cluster.chunk_size)
        reader = ChunkReader(own_no, store, peers, placement.current, cache, reporter.lost, reads)
        upload_buffers = BufferPool(cluster.chunk_size, UPLOAD_BUFFERS_MAX)
        uploads = Uploads(front.log, writer, upload_buffers, threads,
                          chunk_size=cluster.chunk_size, inline_max=cluster.inline_max)
        patches = Patches(front.log, front.reader, uploads, reader, inline_max=cluster.inline_max)

        def tell(samples: Samples) -> None:
            peers.tell(samples)
            cache.tell(samples)
            samples.add("fluffy_upload_buffers_free", upload_buffers.free_buffers)
            samples.add("fluffy_data_port_refused_total", background.refused)

        front.desk.metrics.sources.append(tell)
        yield DataPath(own_no, cluster, uploads, Downloads(reader), patches, people, doctor,
                       Quarantine(node.dir / "quarantine"))


async def _meet(desk: Desk, own_no: NodeNo, peers: DataPortClient, placement: PlacementView, write_quorum: int) -> None:
    met = await meet_others(own_no, peers, placement.current, write_quorum)
    desk.is_meeting = False
    if met < write_quorum:
        log.warning("gateway.alone", extra={"nodes_met": met, "write_quorum": write_quorum})


def _people(settings: Settings, front: Front, own_no: NodeNo, threads: ThreadPoolExecutor) -> People:
    secret = settings.secret()
    return People(
        Passwords(front.reader, front.clock, threads), Locks(front.log, front.reader, front.clock, own_no),
        TokenMaker(secret), UrlSigner(secret), RefusalReporter(front.log, front.clock, own_no),
        S3Keys(secret))


def _cache(settings: Settings, chunk_size: int) -> ChunkCache:
    """Of the configured size; with none of it still the memory that chunks pass through on their way to readers."""
    bytes_max = settings.cluster.cache_size // settings.cluster.workers
    return ChunkCache(BufferPool(chunk_size, max(CACHE_BUFFERS_MIN, bytes_max // chunk_size)), bytes_max)


class PlacementView:
    """The committed placement map, read again every half second."""

    def __init__(self, reader: MetaReader, clock: SystemClock) -> None:
        self._reader = reader
        self._clock = clock
        self._map: PlacementMap | None = None
        self._read_at_s = 0.0

    def current(self) -> PlacementMap:
        now_s = self._clock.monotonic_s()
        if self._map is None or now_s - self._read_at_s > PLACEMENT_KEPT_S:
            self._map = self._reader.read(queries.placement_map)
            self._read_at_s = now_s
        return self._map


def authority_of(settings: Settings) -> ssl.SSLContext | None:
    """How our own programs check the certificates of doors; None: as the system does. Raises ConfigIllegal."""
    if settings.tls.ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(settings.tls.ca))
    except (OSError, ssl.SSLError) as error:
        raise ConfigIllegal(f"the authority {settings.tls.ca} cannot be used: {error}") from error


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The server's certificate, when one is configured. Raises ConfigIllegal."""
    tls = settings.tls
    if tls.cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigIllegal(f"the TLS certificate {tls.cert} or its key cannot be used: {error}") from error
    return context

