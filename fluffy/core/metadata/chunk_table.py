"""Chunks by the catalog: who refers to them, who holds them, and the counters that follow from it.

Every change of a row goes through `insert` or `save`, which keep the sums (usage, per node, missing) in step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.packing import pack_nodes, unpack_manifest, unpack_nodes
from fluffy.core.metadata.working import Working

# Rows are fetched so many at a time; one SQL text, so the statement is compiled once.
_BATCH = 50
_COLUMNS = "chunk_no, chunk_id, length, refs, wanted, replicas, free_since_ms"
_ONE_BY_ID = f"SELECT {_COLUMNS} FROM chunks WHERE chunk_id = ?"
_ONE_BY_NO = f"SELECT {_COLUMNS} FROM chunks WHERE chunk_no = ?"
_MANY_BY_ID = f"SELECT {_COLUMNS} FROM chunks WHERE chunk_id IN ({', '.join('?' * _BATCH)})"


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """One row of `chunks`. `free_since_ms` is None while something refers to the chunk."""

    no: int
    chunk_id: ChunkId
    length: int
    refs: int
    wanted: int
    nodes: tuple[NodeNo, ...]
    free_since_ms: int | None

    @property
    def is_missing(self) -> bool:
        """Fewer copies than wanted: repair has something to do."""
        return len(self.nodes) < self.wanted


def load(work: Working, ids: Sequence[ChunkId]) -> dict[ChunkId, ChunkRow]:
    """The rows of those chunks that the catalog knows."""
    found: dict[ChunkId, ChunkRow] = {}
    if len(ids) <= 4:
        for chunk_id in ids:
            row = work.db.execute(_ONE_BY_ID, (chunk_id,)).fetchone()
            if row is not None:
                found[chunk_id] = _row(row)
        return found
    for start in range(0, len(ids), _BATCH):
        batch = list(ids[start:start + _BATCH])
        batch += batch[:1] * (_BATCH - len(batch))
        for row in work.db.execute(_MANY_BY_ID, batch):
            found[row[1]] = _row(row)
    return found


def listing(work: Working, node_no: NodeNo, *, after_no: int, limit: int) -> list[ChunkRow]:
    """The first rows after a number that list the node. A scan up to there."""
    return [_row(row) for row in work.db.execute(
        f"SELECT {_COLUMNS} FROM chunks WHERE chunk_no > ? AND instr(replicas, ?) ORDER BY chunk_no LIMIT ?",
        (after_no, pack_nodes((node_no,)), limit))]


def _row(row: tuple[int, ChunkId, int, int, int, bytes, int | None]) -> ChunkRow:
    no, chunk_id, length, refs, wanted, replicas, free_since_ms = row
    return ChunkRow(no, chunk_id, length, refs, wanted, unpack_nodes(replicas), free_since_ms)


def insert(work: Working, chunk_id: ChunkId, *, length: int, refs: int, nodes: tuple[NodeNo, ...],
           wanted: int) -> int:
    """Add a chunk that something refers to; returns its number."""
    no = work.next_no()
    work.db.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                    (no, chunk_id, length, refs, wanted, len(nodes), pack_nodes(nodes)))
    work.chunks += 1
    work.chunk_bytes += length
    if len(nodes) < wanted:
        work.missing_chunks += 1
    _count_nodes(work, nodes, 1, length)
    return no


def save(work: Working, old: ChunkRow, *, refs: int, nodes: tuple[NodeNo, ...], wanted: int = 0) -> None:
    """Give a chunk a new reference count and set of copies.

    `wanted`: copies that a new reference wants; of several the most, until nothing refers to the chunk any more.
    """
    wanted = max(old.wanted, wanted) if refs else 0
    if refs:
        free_since_ms = None
    else:
        free_since_ms = work.clock_ms if old.free_since_ms is None else old.free_since_ms
    work.db.execute(
        "UPDATE chunks SET refs = ?, wanted = ?, copies = ?, replicas = ?, free_since_ms = ? WHERE chunk_no = ?",
        (refs, wanted, len(nodes), pack_nodes(nodes), free_since_ms, old.no))
    work.missing_chunks += (len(nodes) < wanted) - old.is_missing
    if nodes != old.nodes:
        _count_nodes(work, [node for node in nodes if node not in old.nodes], 1, old.length)
        _count_nodes(work, [node for node in old.nodes if node not in nodes], -1, old.length)


def delete(work: Working, row: ChunkRow) -> None:
    """Forget a chunk that nothing refers to."""
    work.db.execute("DELETE FROM chunks WHERE chunk_no = ?", (row.no,))
    work.chunks -= 1
    work.chunk_bytes -= row.length
    _count_nodes(work, row.nodes, -1, row.length)


def release(work: Working, manifest: bytes) -> None:
    """Take away the references of a version that is freed."""
    counts: dict[int, int] = {}
    for no in unpack_manifest(manifest):
        counts[no] = counts.get(no, 0) + 1
    for no, count in counts.items():
        row = _row(work.db.execute(_ONE_BY_NO, (no,)).fetchone())
        save(work, row, refs=row.refs - count, nodes=row.nodes)


def retain(work: Working, manifest: bytes, *, wanted: int) -> None:
    """Count the references of one more version with this manifest."""
    counts: dict[int, int] = {}
    for no in unpack_manifest(manifest):
        counts[no] = counts.get(no, 0) + 1
    for no, count in counts.items():
        row = _row(work.db.execute(_ONE_BY_NO, (no,)).fetchone())
        save(work, row, refs=row.refs + count, nodes=row.nodes, wanted=wanted)


def want(work: Working, manifest: bytes, *, wanted: int) -> None:
    """Let chunks that are referred to already have at least `wanted` copies."""
    for no in sorted(set(unpack_manifest(manifest))):
        row = _row(work.db.execute(_ONE_BY_NO, (no,)).fetchone())
        if row.wanted < wanted:
            save(work, row, refs=row.refs, nodes=row.nodes, wanted=wanted)


def _count_nodes(work: Working, nodes: Iterable[NodeNo], sign: int, length: int) -> None:
    for node_no in nodes:
        counters = work.nodes.get(node_no)
        if counters is None:  # retired: its copies are not counted any more, and soon not listed
            continue
        counters.chunks += sign
        counters.bytes += sign * length
        counters.changed = True
