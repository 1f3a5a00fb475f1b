"""After the storm: everything is mended, the cluster gets time, and then every promise is checked.

Copies are looked at where they are: each copy that the catalog counts must be a whole file on that node's disk, with
the bytes that its name says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluffy.base.errors import FluffyError
from fluffy.base.hashing import chunk_id_of
from fluffy.core.metadata.packing import unpack_nodes
from fluffy.core.metadata.queries import node_records
from fluffy.drivers.chunk_files import ChunkFiles
from tests.faults.big_files import BigFiles
from tests.faults.checks import check_feed, check_files, settle
from tests.faults.recorder import Record
from tests.faults.troubles import Field
from tests.support.cluster import Cluster, ClusterFailed
from tests.support.states import copy_state

READY_S = 90.0
WHOLE_S = 240.0
SCRUB_S = 120.0


@dataclass(slots=True)
class Calm:
    """What was found. `whole_s`: until every chunk had all its copies and no job was left; None: it did not happen."""

    ready_s: float = 0.0
    whole_s: float | None = None
    jobs_left: int = 0
    jobs_stuck: int = 0
    jobs_done: int = 0
    stolen: int = 0
    scrub_s: float | None = None
    copies_seen: int = 0
    copies_bad: list[str] = field(default_factory=list)
    files_unknown: int = 0
    files_uncounted: int = 0
    files_read: int = 0
    big_files_read: int = 0
    digest: str = ""
    problems: list[str] = field(default_factory=list)


def mend(trouble: Field) -> None:
    """Cables, disks, clocks; then whoever is down is started."""
    ground, cluster = trouble.ground, trouble.cluster
    if ground.lan is not None:
        ground.lan.mend()
    for name in cluster.names:
        if ground.disks is not None:
            ground.disks.hasten(name)
            ground.disks.empty(name)
        ground.clocks.jump(name, 0.0)
    cluster.resume(*cluster.running)
    down = [name for name in cluster.names if name not in cluster.running]
    if down:
        cluster.start(*down)


async def calm_down(cluster: Cluster, calm: Calm, whole_s: float = WHOLE_S) -> None:
    """All ready, all copies there; then every disk is compared and scrubbed, and again all copies there."""
    began_s = time.monotonic()
    await asyncio.to_thread(cluster.wait_ready, timeout_s=READY_S)
    calm.ready_s = time.monotonic() - began_s
    await until_whole(cluster, calm, whole_s)
    await compare_disks(cluster, calm)
    await scrub_all(cluster, calm)
    await until_whole(cluster, calm, whole_s)


async def until_whole(cluster: Cluster, calm: Calm, whole_s: float = WHOLE_S) -> None:
    """Until all copies are there and no job is left, by what a node says."""
    began_s = time.monotonic()
    said: object = None
    while time.monotonic() < began_s + whole_s:
        await asyncio.sleep(1.0)
        try:
            repair: dict[str, Any] = (await asyncio.to_thread(
                cluster.json, cluster.names[0], "/v1/jobs?limit=5"))["repair"]
        except (OSError, ClusterFailed) as error:
            said = str(error)[:300]
            continue
        said = repair
        calm.jobs_left, calm.jobs_stuck = repair["queued"] + repair["running"], repair["stuck"]
        calm.jobs_done, calm.stolen = repair["done"], repair["stolen"]
        copies = repair["copies"]
        if copies is not None and not copies["missing_copies"] and not calm.jobs_left and not calm.jobs_stuck:
            calm.whole_s = time.monotonic() - began_s
            return
    calm.whole_s = None
    calm.problems.append(f"not whole within {whole_s:.0f} s: {said}")


def _compared(cluster: Cluster, name: str) -> int:
    """The last wish for which the node has compared its disk with the catalog."""
    word = cluster.json(name, "/v1/status").get("keeper") or {}
    return int((word.get("inventory") or {}).get("recovered", 0))


async def compare_disks(cluster: Cluster, calm: Calm, wait_s: float = SCRUB_S) -> None:
    """Files that are gone are found by comparing the disk with the catalog: every 10 minutes, or now (`recover`)."""
    before = {name: await asyncio.to_thread(_compared, cluster, name) for name in cluster.names}
    for name in cluster.names:
        await asyncio.to_thread(cluster.request, cluster.names[0], "POST", f"/v1/admin/recover/{name}", b"")
    until_s = time.monotonic() + wait_s
    for name, wish in before.items():
        while await asyncio.to_thread(_compared, cluster, name) <= wish:
            if time.monotonic() > until_s:
                calm.problems.append(f"{name} has not compared its disk with the catalog within {wait_s:.0f} s")
                break
            await asyncio.sleep(0.5)


async def scrub_all(cluster: Cluster, calm: Calm, scrub_s: float = SCRUB_S) -> None:
    """Damage that no reader has met is found by a scrub, and by nothing else."""
    began_s = time.monotonic()
    name = cluster.names[0]
    status, _, body = await asyncio.to_thread(cluster.request, name, "POST", "/v1/admin/scrub", b"")
    if status != 200:
        raise ClusterFailed(f"a scrub was refused: {status} {body[:200]!r}")
    while time.monotonic() < began_s + scrub_s:
        await asyncio.sleep(1.0)
        scrubs = (await asyncio.to_thread(cluster.json, name, "/v1/jobs?limit=1"))["scrubs"]
        if all(scrub["done"] for scrub in scrubs):
            calm.scrub_s = time.monotonic() - began_s
            return
    calm.problems.append(f"not scrubbed within {scrub_s:.0f} s: {scrubs}")


async def check_everything(cluster: Cluster, calm: Calm, record: Record, big: Sequence[BigFiles]) -> None:
    calm.digest = await asyncio.to_thread(settle, cluster)
    for node in cluster.names:
        await asyncio.to_thread(check_feed, record, cluster, node)
    calm.files_read = await asyncio.to_thread(check_files, record, cluster, cluster.names)
    for client in big:
        for path in sorted(path for path in client.record.files if path not in client.record.open):
            for url in cluster.urls():
                problem = await client.read_once(path, url)
                calm.big_files_read += 1
                if problem != "":
                    calm.problems.append(f"{path} at {url}: {problem or 'no answer in the calm'}")
        for path in sorted(client.record.gone):
            status = (await asyncio.to_thread(cluster.request, cluster.names[0], "GET", f"/v1/files/{path}"))[0]
            if status != 404:
                calm.problems.append(f"{path} was deleted and is served: {status}")
    await asyncio.to_thread(check_copies, cluster, calm)


def check_copies(cluster: Cluster, calm: Calm) -> None:
    """Every counted copy is on its disk, whole; what else lies there is counted."""
    with closing(copy_state(cluster.node_dir(cluster.names[0]))) as db:
        names = {record.node_no: record.name for record in node_records(db)}
        rows = db.execute("SELECT chunk_id, length, replicas FROM chunks WHERE refs > 0").fetchall()
        known = {row[0] for row in db.execute("SELECT chunk_id FROM chunks")}
    counted: dict[str, set[bytes]] = {name: set() for name in names.values()}
    stores = {name: ChunkFiles(cluster.node_dir(name), fsync=False) for name in names.values()}
    for chunk_id, length, replicas in rows:
        for no in unpack_nodes(replicas):
            name = names.get(no)
            if name is None:
                continue
            counted[name].add(chunk_id)
            calm.copies_seen += 1
            out = memoryview(bytearray(length))
            try:
                stores[name].read(chunk_id, 0, out)
            except FluffyError as error:
                calm.copies_bad.append(f"{chunk_id.hex()[:16]} on {name}: {error.code()}")
                continue
            if chunk_id_of(out) != chunk_id:
                calm.copies_bad.append(f"{chunk_id.hex()[:16]} on {name}: bytes differ")
    for name, store in stores.items():
        on_disk = {bytes.fromhex(Path(file).name) for file in _names(cluster, name)}
        calm.files_unknown += len(on_disk - known)
        calm.files_uncounted += len((on_disk & known) - counted[name])
        store.close()


def _names(cluster: Cluster, name: str) -> list[str]:
    return [path.name for path in (cluster.node_dir(name) / "chunks").glob("*/*/*") if path.is_file()]
