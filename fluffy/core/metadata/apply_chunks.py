"""Copies of chunks: gained, lost, and forgotten when nothing refers to them."""

from __future__ import annotations

from collections.abc import Iterable

from fluffy.base.errors import NodeNotFound, RequestError
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata import chunk_table, drop_table
from fluffy.core.metadata.commands import ForgetChunks, ReplicasChanged
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.refusals import refuse_operator, refuse_term, refused
from fluffy.core.metadata.working import CLOCK_MS_MAX, Working


def replicas_changed(work: Working, command: ReplicasChanged) -> Outcome:
    """Record copies gained, then copies lost. facts: added, removed (pairs that changed anything), unknown chunks.

    A copy that is being dropped, or was lately, is not gained by such a report: it may be older than the drop.
    """
    refusal = refuse_operator(work, command.header.user_no) or _refuse_nodes(work, command)
    if refusal is not None:
        return refusal
    added, unknown = _gain(work, command.added)
    removed, unknown_too = _lose(work, command.removed)
    if added or removed:
        work.seq += 1
    return Accepted(work.seq, {"added": added, "removed": removed, "unknown": unknown + unknown_too})


def _refuse_nodes(work: Working, command: ReplicasChanged) -> Rejected | None:
    for _, node_no in (*command.added, *command.removed):
        if node_no not in work.nodes:
            return refused(NodeNotFound, node_no=node_no)
    return None


def _gain(work: Working, pairs: tuple[tuple[ChunkId, NodeNo], ...]) -> tuple[int, int]:
    by_chunk = _grouped(pairs)
    rows = chunk_table.load(work, list(by_chunk))
    changed = 0
    for chunk_id, row in rows.items():
        gained = drop_table.believed(work, chunk_id, by_chunk[chunk_id])
        nodes = tuple(sorted({*row.nodes, *gained}))
        if nodes != row.nodes:
            changed += len(nodes) - len(row.nodes)
            chunk_table.save(work, row, refs=row.refs, nodes=nodes)
    return changed, len(by_chunk) - len(rows)


def _lose(work: Working, pairs: tuple[tuple[ChunkId, NodeNo], ...]) -> tuple[int, int]:
    by_chunk = _grouped(pairs)
    rows = chunk_table.load(work, list(by_chunk))
    changed = 0
    for chunk_id, row in rows.items():
        nodes = tuple(node_no for node_no in row.nodes if node_no not in by_chunk[chunk_id])
        if nodes != row.nodes:
            changed += len(row.nodes) - len(nodes)
            chunk_table.save(work, row, refs=row.refs, nodes=nodes)
    return changed, len(by_chunk) - len(rows)


def _grouped(pairs: Iterable[tuple[ChunkId, NodeNo]]) -> dict[ChunkId, list[NodeNo]]:
    grouped: dict[ChunkId, list[NodeNo]] = {}
    for chunk_id, node_no in pairs:
        grouped.setdefault(chunk_id, []).append(node_no)
    return grouped


def forget_chunks(work: Working, command: ForgetChunks) -> Outcome:
    """Drop chunks that nothing has referred to for the grace period. facts: forgotten, skipped."""
    refusal = refuse_operator(work, command.header.user_no) or refuse_term(work, command.term)
    if refusal is not None:
        return refusal
    if not 0 <= command.grace_ms <= CLOCK_MS_MAX:
        return refused(RequestError, "the grace period is out of range")
    rows = chunk_table.load(work, command.chunk_ids)
    forgotten = 0
    for row in rows.values():
        if row.free_since_ms is not None and row.free_since_ms + command.grace_ms <= work.clock_ms:
            chunk_table.delete(work, row)
            forgotten += 1
    if forgotten:
        work.seq += 1
    return Accepted(work.seq, {"forgotten": forgotten, "skipped": len(command.chunk_ids) - forgotten})
