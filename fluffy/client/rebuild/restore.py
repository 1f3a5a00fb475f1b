"""The two ways of restoring, from the first question to the report."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from fluffy.base.errors import FluffyError, NotFound, RebuildRefused
from fluffy.base.ids import ChunkId
from fluffy.client.rebuild.pile import NODES_MAX, NodeStock, Pile
from fluffy.client.rebuild.salvage import Salvage, Salvaged
from fluffy.client.rebuild.sending import OnProgress, find_chunks, send
from fluffy.client.rebuild.workfile import (
    SUFFIX,
    begin_placing,
    chunks_of,
    end_placing,
    files_without_bytes,
    from_backup,
    note_held,
    open_work,
)
from fluffy.client.verbs.disaster_steps import NodeDoor, Rebuilder
from fluffy.core.metadata.backup import content_digest
from fluffy.core.metadata.tree_digest import TreeDigest, tree_digest


@dataclass(slots=True)
class Restored:
    """What became of a restore. `lost`: (path, generation, why) of all that is not as it was."""

    digest: str
    files: int
    bytes: int
    folders: int
    chunks: int
    chunks_nowhere: int
    lost: list[tuple[str, int, str]] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)
    salvaged: Salvaged | None = None
    cluster_uuid: str = ""
    nodes: list[NodeStock] = field(default_factory=list)


async def restore_backup(cluster: Rebuilder, backup: Path, on_progress: OnProgress) -> Restored:
    """Bring a backup into the empty cluster. An interrupted one goes on when it is called again."""
    work = backup.with_name(backup.name + SUFFIX)
    state = await cluster.rebuild_state()
    goes_on = state is not None and work.exists()
    with closing(open_work(work) if goes_on else from_backup(backup, work)) as db:
        result = _result_of(db, tree_digest(db))
        if not goes_on:
            result.silent = await _place(cluster, db, result, on_progress)
        result.lost = [(one.path, one.generation, "no node holds all of its bytes") for one in files_without_bytes(db)]
        await _send(cluster, db, on_progress)
    work.unlink()
    return result


async def restore_from_storage(cluster: Rebuilder, folder: Path, on_progress: OnProgress, *,
                               cluster_uuid: str | None = None, quick: bool = False,
                               dry_run: bool = False) -> Restored:
    """Make the tree again from what the nodes' disks hold. Its work files are kept in `folder` until it is done."""
    work, heap = folder / f"from-storage{SUFFIX}", folder / "from-storage.pile"
    state = await cluster.rebuild_state()
    if state is not None and work.exists() and heap.exists():
        with closing(open_work(work)) as db, closing(Pile(heap)) as pile:
            result = _result_of(db, tree_digest(db))
            result.lost = list(Salvage(pile, ()).lost())
            await _send(cluster, db, on_progress)
    else:
        result = await _salvage(cluster, work, heap, on_progress, cluster_uuid=cluster_uuid, quick=quick,
                                dry_run=dry_run)
    work.unlink()
    heap.unlink()
    return result


async def _salvage(cluster: Rebuilder, work: Path, heap: Path, on_progress: OnProgress, *, cluster_uuid: str | None,
                   quick: bool, dry_run: bool) -> Restored:
    for path in (work, heap):
        path.unlink(missing_ok=True)
    doors = await cluster.node_doors()
    replication = int((await cluster.status())["settings"]["replication"])
    with closing(Pile(heap)) as pile:
        uuid, stocks, silent = await _collect(cluster, doors, pile, cluster_uuid, on_progress)
        salvage = Salvage(pile, stocks)
        needed = salvage.note_needed()

        def note(door: NodeDoor, chunk_ids: Sequence[ChunkId]) -> None:
            pile.db.executemany("INSERT OR IGNORE INTO held VALUES (?, ?)", [(one, door.no) for one in chunk_ids])

        def all_needed() -> Iterator[tuple[ChunkId, int]]:
            for chunk_id, length in pile.db.execute("SELECT chunk_id, length FROM needed ORDER BY chunk_id"):
                yield ChunkId(chunk_id), length

        silent |= await find_chunks(cluster, doors, all_needed, needed, reads=not quick, note=note,
                                    on_progress=on_progress)
        with closing(open_work(work)) as db:
            sums = salvage.build(db, replication=replication)
            result = _result_of(db, tree_digest(db))
            result.salvaged, result.cluster_uuid, result.nodes = sums, uuid, list(stocks)
            result.lost = list(salvage.lost())
            result.silent = {name: error.message for name, error in silent.items()}
            if not dry_run:
                await _send(cluster, db, on_progress)
    return result


async def _collect(cluster: Rebuilder, doors: Sequence[NodeDoor], pile: Pile, cluster_uuid: str | None,
                   on_progress: OnProgress) -> tuple[str, list[NodeStock], dict[str, FluffyError]]:
    """All manifests of one lost cluster on the pile: (its UUID, what was found where, who did not answer)."""
    own = str((await cluster.status())["cluster"]["uuid"])
    there = {}
    silent: dict[str, FluffyError] = {}
    for door in doors[:NODES_MAX]:
        try:
            there[door.name] = [one for one in await cluster.manifests_on(door) if one.cluster_uuid != own]
        except FluffyError as error:
            silent[door.name] = error
    newest: dict[str, int] = {}
    for found in there.values():
        for one in found:
            newest[one.cluster_uuid] = max(newest.get(one.cluster_uuid, 0), one.written_ms)
    if cluster_uuid is None:
        if not newest:
            raise NotFound("no node has manifests of another cluster; there is nothing to restore from")
        cluster_uuid = max(newest, key=lambda uuid: newest[uuid])
    elif cluster_uuid not in newest:
        known = ", ".join(sorted(newest)) or "none"
        raise NotFound(f"no node has manifests of the cluster {cluster_uuid}; there are: {known}")
    stocks = [NodeStock(door.name) for door in doors[:NODES_MAX]]
    total = sum(one.bytes for found in there.values() for one in found if one.cluster_uuid == cluster_uuid)
    done = 0
    for bit, door in enumerate(doors[:NODES_MAX]):
        for one in there.get(door.name, ()):
            for segment in one.segments if one.cluster_uuid == cluster_uuid else ():
                data = await cluster.manifest_segment(door, cluster_uuid, segment)
                pile.add(bit, stocks[bit], data)
                done += len(data)
                on_progress("reading manifests", done, total)
        pile.finish(bit, stocks[bit])
    return cluster_uuid, stocks, silent


async def _place(cluster: Rebuilder, db: sqlite3.Connection, result: Restored,
                 on_progress: OnProgress) -> dict[str, str]:
    doors = await cluster.node_doors()
    begin_placing(db)
    silent = await find_chunks(cluster, doors, lambda: chunks_of(db), result.chunks, reads=False,
                               note=lambda door, chunk_ids: note_held(db, door.no, chunk_ids),
                               on_progress=on_progress)
    result.chunks_nowhere = end_placing(db)
    return {name: error.message for name, error in silent.items()}


async def _send(cluster: Rebuilder, db: sqlite3.Connection, on_progress: OnProgress) -> None:
    await send(cluster, db, content_digest(db), on_progress)


def _result_of(db: sqlite3.Connection, digest: TreeDigest) -> Restored:
    (chunks,) = db.execute("SELECT count(*) FROM chunks WHERE refs > 0").fetchone()
    return Restored(digest.digest, digest.files, digest.bytes, digest.folders, chunks, 0)


async def abandon(cluster: Rebuilder) -> None:
    """Give up what is under way. Raises RebuildRefused when nothing is."""
    state = await cluster.rebuild_state()
    if state is None:
        raise RebuildRefused("nothing is being restored into this cluster")
    await cluster.abandon_rebuild(str(state["id"]))
