"""Questions about chunks: who holds them, which want copies, which nobody needs."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.model import ChunkRef, MissingChunk
from fluffy.core.metadata.packing import pack_nodes, unpack_nodes

# Two lengths of IN lists only, padded with the last key, so that each query is compiled at most twice.
_FEW = 4
_MANY = 200


def chunk_refs(db: sqlite3.Connection, chunk_nos: Sequence[int]) -> tuple[ChunkRef, ...]:
    """The chunks of a manifest, in its order."""
    distinct = list(dict.fromkeys(chunk_nos))
    found = {no: ChunkRef(chunk_id, length, unpack_nodes(replicas)) for no, chunk_id, length, replicas in
             select_in(db, "SELECT chunk_no, chunk_id, length, replicas FROM chunks WHERE chunk_no IN", distinct)}
    return tuple(found[no] for no in chunk_nos)


def chunk_replicas(db: sqlite3.Connection, ids: Collection[ChunkId]) -> dict[ChunkId, tuple[NodeNo, ...]]:
    """The nodes that hold each chunk, ascending; chunks the catalog does not know are absent."""
    return {chunk_id: unpack_nodes(replicas) for chunk_id, replicas in
            select_in(db, "SELECT chunk_id, replicas FROM chunks WHERE chunk_id IN", list(ids))}


def known_chunks(db: sqlite3.Connection, ids: Collection[ChunkId]) -> set[ChunkId]:
    """Those of `ids` that the catalog knows, referenced or not yet forgotten."""
    return {row[0] for row in select_in(db, "SELECT chunk_id FROM chunks WHERE chunk_id IN", list(ids))}


def missing_chunks(db: sqlite3.Connection, after: ChunkId | None, limit: int) -> tuple[MissingChunk, ...]:
    """Referenced chunks with fewer copies than wanted, by id; `after`: the last id of the page before."""
    rows = db.execute("SELECT chunk_id, length, replicas, wanted FROM chunks INDEXED BY chunks_missing"
                      " WHERE copies < wanted AND chunk_id > ? ORDER BY chunk_id LIMIT ?", (after or b"", limit))
    return tuple(MissingChunk(chunk_id, length, unpack_nodes(replicas), wanted)
                 for chunk_id, length, replicas, wanted in rows)


def chunks_of_node(db: sqlite3.Connection, node_no: NodeNo, after: ChunkId | None,
                   limit: int) -> tuple[ChunkId, ...]:
    """Chunks that list the node as a replica, by id. A scan: run it in a thread."""
    rows = db.execute("SELECT chunk_id FROM chunks WHERE chunk_id > ? AND instr(replicas, ?) ORDER BY chunk_id LIMIT ?",
                      (after or b"", pack_nodes((node_no,)), limit))
    return tuple(row[0] for row in rows)


def unreferenced_chunks(db: sqlite3.Connection, before_ms: int, limit: int, *,
                        dropped_only: bool = False) -> tuple[ChunkId, ...]:
    """Chunks that nothing has referred to since before `before_ms` of log time, longest first.

    `dropped_only`: only those without a copy that counts.
    """
    only = " AND copies = 0" if dropped_only else ""
    rows = db.execute(f"SELECT chunk_id FROM chunks WHERE free_since_ms IS NOT NULL AND free_since_ms < ?{only}"
                      " ORDER BY free_since_ms, chunk_id LIMIT ?", (before_ms, limit))
    return tuple(row[0] for row in rows)


def select_in(db: sqlite3.Connection, select: str, keys: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Rows of a query that ends in `IN`, for any number of keys."""
    width = _FEW if len(keys) <= _FEW else _MANY
    query = f"{select} ({', '.join('?' * width)})"
    for start in range(0, len(keys), width):
        batch = list(keys[start:start + width])
        yield from db.execute(query, batch + batch[-1:] * (width - len(batch)))
