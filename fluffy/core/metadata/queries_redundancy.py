"""How well the catalog's chunks are covered, and which files stand on given ones: for `doctor` and `explain`.

A cluster has few distinct sets of nodes that hold a chunk together; the sums per set answer every question of the form
"what if these nodes are away" without looking at a chunk again. All of these are scans: run them in a thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.paths import RemotePath
from fluffy.core.metadata.packing import pack_nodes, unpack_manifest, unpack_nodes
from fluffy.core.metadata.queries_chunks import select_in
from fluffy.core.metadata.queries_files import version_no_of
from fluffy.core.metadata.schema import ROOT_NO

# Chunk numbers are kept in memory while the files that refer to them are counted: 100 bytes each.
CHUNKS_LOOKED_FOR_MAX = 500_000


@dataclass(frozen=True, slots=True)
class CopySet:
    """All referenced chunks that exactly these nodes hold, and that want this many copies."""

    nodes: tuple[NodeNo, ...]
    wanted: int
    chunks: int
    bytes: int


@dataclass(frozen=True, slots=True)
class AffectedFiles:
    """Which of what people know stands on some chunks. `kept`: old generations and files in the trash.

    `names`: (bucket, path) of some of the files, in the order of the tree's tables. `is_whole` is False when there were
    too many chunks to look for: then the counts are a lower bound.
    """

    files: int
    kept: int
    names: tuple[tuple[str, str], ...]
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class PlacedChunk:
    """One place of a file's chunk list. `index` counts from 0."""

    index: int
    chunk_id: ChunkId
    length: int
    nodes: tuple[NodeNo, ...]
    wanted: int


@dataclass(frozen=True, slots=True)
class PlacedChunks:
    """A part of a version's chunks; `total` is how many it has. `inline`: it has none, its bytes are in the state."""

    size: int
    generation: int
    owner: str
    inline: bool
    total: int
    chunks: tuple[PlacedChunk, ...]


def copy_sets(db: sqlite3.Connection) -> tuple[CopySet, ...]:
    """The sums of all referenced chunks, by the nodes that hold them. A scan of the chunks."""
    rows = db.execute("SELECT replicas, wanted, count(*), sum(length) FROM chunks WHERE refs > 0"
                      " GROUP BY replicas, wanted ORDER BY replicas, wanted")
    return tuple(CopySet(unpack_nodes(replicas), wanted, chunks, size) for replicas, wanted, chunks, size in rows)


def files_on(db: sqlite3.Connection, node_sets: Collection[tuple[NodeNo, ...]], *, names_max: int) -> AffectedFiles:
    """The files with a chunk that exactly one of `node_sets` holds. A scan of chunks, files and old generations."""
    if not node_sets:
        return AffectedFiles(0, 0, ())
    packed = [pack_nodes(nodes) for nodes in node_sets]
    wanted: set[int] = set()
    for (chunk_no,) in select_in(db, "SELECT chunk_no FROM chunks WHERE refs > 0 AND replicas IN", packed):
        wanted.add(chunk_no)
        if len(wanted) >= CHUNKS_LOOKED_FOR_MAX:
            break
    return _files_of(db, wanted, names_max)


def files_with_chunk(db: sqlite3.Connection, chunk_id: ChunkId, *, names_max: int) -> AffectedFiles:
    """The files that refer to a chunk. A scan of files and old generations."""
    row = db.execute("SELECT chunk_no FROM chunks WHERE chunk_id = ? AND refs > 0", (chunk_id,)).fetchone()
    return AffectedFiles(0, 0, ()) if row is None else _files_of(db, {row[0]}, names_max)


def _files_of(db: sqlite3.Connection, wanted: set[int], names_max: int) -> AffectedFiles:
    files, kept, folders = 0, 0, _Folders(db)
    names: list[tuple[str, str]] = []
    for parent, key, manifest in db.execute(
            "SELECT e.parent, e.key, v.manifest FROM entries e JOIN versions v USING (version_no)"
            " WHERE v.manifest IS NOT NULL"):
        if wanted.isdisjoint(unpack_manifest(manifest)):
            continue
        folder = folders.path_of(parent)
        if folder is None:
            kept += 1
            continue
        files += 1
        if len(names) < names_max:
            names.append(((folder + key).partition("/")[0], folder + key))
    kept += sum(not wanted.isdisjoint(unpack_manifest(manifest)) for (manifest,) in db.execute(
        "SELECT manifest FROM versions WHERE expires_ms IS NOT NULL AND manifest IS NOT NULL"))
    return AffectedFiles(files, kept, tuple(names), len(wanted) < CHUNKS_LOOKED_FOR_MAX)


class _Folders:
    """Paths of folders by number, with a slash at the end, each looked up once; None: it lies in the trash."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._paths: dict[int, str | None] = {ROOT_NO: ""}

    def path_of(self, folder_no: int) -> str | None:
        above: list[tuple[int, str, bool]] = []
        no = folder_no
        while no not in self._paths:
            parent, key, removed = self._db.execute(
                "SELECT parent, key, removed FROM folders WHERE folder_no = ?", (no,)).fetchone()
            above.append((no, key, bool(removed)))
            no = parent
        path = self._paths[no]
        for each, key, removed in reversed(above):
            path = self._paths[each] = None if removed or path is None else path + key
        return path


def placed_chunks(db: sqlite3.Connection, path: RemotePath, generation: int | None, start: int,
                  count: int) -> PlacedChunks | None:
    """Up to `count` chunks of a version from number `start` on; None when there is no such version."""
    version_no = version_no_of(db, path, generation)
    if version_no is None:
        return None
    size, found_generation, owner, manifest, manifest_bytes = db.execute(
        "SELECT size, generation, ifnull((SELECT name FROM users WHERE user_no = owner_no), ''),"
        " substr(manifest, ?, ?), length(manifest) FROM versions WHERE version_no = ?",
        (8 * start + 1, 8 * count, version_no)).fetchone()
    if manifest_bytes is None:
        return PlacedChunks(size, found_generation, owner, True, 0, ())
    numbers = unpack_manifest(manifest)
    rows = {row[0]: row[1:] for row in select_in(
        db, "SELECT chunk_no, chunk_id, length, replicas, wanted FROM chunks WHERE chunk_no IN",
        list(dict.fromkeys(numbers)))}
    chunks = []
    for index, no in enumerate(numbers, start):
        chunk_id, length, replicas, wanted = rows[no]
        chunks.append(PlacedChunk(index, chunk_id, length, unpack_nodes(replicas), wanted))
    return PlacedChunks(size, found_generation, owner, False, manifest_bytes // 8, tuple(chunks))
