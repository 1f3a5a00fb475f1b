"""The native API on a free port of this machine, over a one-process log: what the gateway tests talk to.

Everything is the product's (desk, routes, HTTP machine, uploads, downloads, state machine, reader); only Raft and the
data path are replaced, by LocalLog and MemoryChunks.
"""

from __future__ import annotations

import asyncio
import io
import ssl
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import aiohttp

from fluffy.base.ids import NodeNo
from fluffy.core.metadata import queries
from fluffy.drivers.backup_files import BackupFiles
from fluffy.drivers.buffers import BufferPool
from fluffy.drivers.chunk_files import ChunkFiles
from fluffy.drivers.chunk_quarantine import Quarantine
from fluffy.drivers.manifest_files import ManifestShelf
from fluffy.drivers.search_reader import SearchReader
from fluffy.gateways.http.server import HttpServer
from fluffy.gateways.native.access_log import AccessLog
from fluffy.gateways.native.auth import Tokens
from fluffy.gateways.native.desk import DataPath, Desk, Keepsakes, NodesDoor, People, new_slots
from fluffy.gateways.native.exchange import Call
from fluffy.gateways.native.metrics import Metrics
from fluffy.gateways.native.pulse import Pulse
from fluffy.gateways.native.reads import ReadGate
from fluffy.gateways.native.routes import ROUTES
from fluffy.gateways.native.table import Table
from fluffy.gateways.native.version_cache import VersionCache
from fluffy.services.about import AskingNodes
from fluffy.services.doctor import Doctor
from fluffy.services.downloads import Downloads
from fluffy.services.locks import Locks
from fluffy.services.passwords import Passwords
from fluffy.services.patches import Patches
from fluffy.services.refusals import RefusalReporter
from fluffy.services.s3_keys import S3Keys
from fluffy.services.signed_urls import UrlSigner
from fluffy.services.tokens import TokenMaker
from fluffy.services.uploads import Uploads
from fluffy.wire.handshake import derive_key
from fluffy.wire.joining import PURPOSE
from tests.support.local_log import ADMIN_TOKEN, BornCluster, born_cluster, genesis_command
from tests.support.memory_chunks import MemoryChunks
from tests.support.planted_nodes import PlantedNodes

CHUNK_SIZE = 64 * 1024
INLINE_MAX = 1024
CLUSTER_SECRET = b"a secret that all nodes share"


class TestClock:
    """The real clocks."""

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    def monotonic_s(self) -> float:
        return time.monotonic()


@dataclass(slots=True)
class Door:
    """A running door and a client for it."""

    host: str
    port: int
    desk: Desk
    server: HttpServer[Call]
    cluster: BornCluster
    chunks: MemoryChunks
    nodes: PlantedNodes
    client: aiohttp.ClientSession
    bugs: list[BaseException]

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def file_url(self, path: str) -> str:
        return f"{self.url}/v1/files/{quote(path)}"

    async def put(self, path: str, body: object = b"", **headers: str) -> aiohttp.ClientResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = io.BytesIO(body) if isinstance(body, bytes) else body
        async with self.client.put(self.file_url(path), data=data, headers=sent) as answer:
            await answer.read()
            return answer

    async def get(self, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.get(self.file_url(path), headers=sent) as answer:
            return answer, await answer.read()

    def files(self) -> int:
        """How many files the namespace has."""
        return self.cluster.reader.read(queries.usage).files


@asynccontextmanager
async def running_door(folder: Path, *, chunks: MemoryChunks | None = None, buffers: int = 8,
                       tls: ssl.SSLContext | None = None, name: str = "test") -> AsyncIterator[Door]:
    """Start everything, and end it in order. `name`: of the cluster."""
    genesis = replace(genesis_command(chunk_size=CHUNK_SIZE, inline_max=INLINE_MAX), cluster_name=name)
    chunks = chunks or MemoryChunks()
    bugs: list[BaseException] = []
    with born_cluster(folder, genesis) as cluster, ThreadPoolExecutor(4) as threads:
        nodes = PlantedNodes()
        desk = make_desk(cluster, chunks, BufferPool(CHUNK_SIZE, buffers), threads, nodes)
        server = HttpServer(desk, threads, bugs.append)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(desk.gate.run()), group.create_task(desk.pulse.run()),
                     group.create_task(desk.access_log.run()), group.create_task(server.run())]
            await asyncio.sleep(0)
            listener = await asyncio.get_running_loop().create_server(server.new_connection, "127.0.0.1", 0, ssl=tls)
            port = listener.sockets[0].getsockname()[1]
            headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
            try:
                async with aiohttp.ClientSession(headers=headers) as client:
                    yield Door("127.0.0.1", port, desk, server, cluster, chunks, nodes, client, bugs)
            finally:
                listener.close()
                await server.drain(1.0)
                for task in tasks:
                    task.cancel()
    assert not bugs
    assert chunks.held == 0, "every chunk lease was given back"


def make_desk(cluster: BornCluster, chunks: MemoryChunks, buffers: BufferPool, threads: ThreadPoolExecutor,
              nodes: PlantedNodes) -> Desk:
    clock = TestClock()
    pulse = Pulse(cluster.log, clock)
    requests, uploading, downloading, waiting = new_slots()
    state = cluster.reader.read(queries.cluster_state)
    assert state is not None
    uploads = Uploads(cluster.log, chunks, buffers, threads, chunk_size=CHUNK_SIZE, inline_max=INLINE_MAX)
    patches = Patches(cluster.log, cluster.reader, uploads, chunks, inline_max=INLINE_MAX)
    people = People(
        Passwords(cluster.reader, clock, threads), Locks(cluster.log, cluster.reader, clock, NodeNo(1)),
        TokenMaker(CLUSTER_SECRET), UrlSigner(CLUSTER_SECRET), RefusalReporter(cluster.log, clock, NodeNo(1)),
        S3Keys(CLUSTER_SECRET))

    async def own() -> dict[str, int | str]:
        return nodes.said(NodeNo(1))

    doctor = Doctor("one", cluster.reader, AskingNodes(NodeNo(1), own, nodes, clock))
    return Desk(
        node="one", table=Table(ROUTES), log=cluster.log, reader=cluster.reader,
        names=SearchReader(cluster.node_dir), clock=clock,
        gate=ReadGate(cluster.log, cluster.reader, clock, pulse.majority_seen), pulse=pulse,
        tokens=Tokens(cluster.reader, clock), metrics=Metrics("one", "gateway-0"), access_log=AccessLog(),
        consistency="strong", versions=VersionCache(),
        data=DataPath(NodeNo(1), state.settings, uploads, Downloads(chunks), patches, people, doctor,
                      Quarantine(cluster.node_dir / "quarantine")),
        requests=requests, uploading=uploading, downloading=downloading, waiting=waiting,
        keepsakes=Keepsakes(BackupFiles(cluster.node_dir, "one"), ManifestShelf(cluster.node_dir),
                            ChunkFiles(cluster.node_dir, fsync=False), threads),
        nodes=NodesDoor(derive_key(CLUSTER_SECRET, PURPOSE), lambda: True))
