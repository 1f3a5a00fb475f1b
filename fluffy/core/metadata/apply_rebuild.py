"""Filling an empty cluster from a backup: begin, rows, end; or giving it up.

The steps are counted, so each happens once however often it is asked for. What the rows say is checked by whoever reads
the backup (its digest, and that everything in it leads somewhere: soundness.py); here they only have to fit into their
tables, so that no row can stop the state machine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from fluffy.base.errors import NotFound, PreconditionFailed, RebuildRefused, RequestError
from fluffy.base.ids import NodeNo, UserNo
from fluffy.core.metadata import tree
from fluffy.core.metadata.commands import PublishPlacement, SetFeatureLevel
from fluffy.core.metadata.commands_rebuild import AbandonRebuild, BeginRebuild, EndRebuild, RebuildRows
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.packing import unpack_nodes
from fluffy.core.metadata.rebuilt_tables import KEPT_ROWS, REBUILT, columns_of, read_rows
from fluffy.core.metadata.refusals import refuse_operator, refused
from fluffy.core.metadata.working import Working

REBUILD_ID_BYTES = 16
SOURCE_CHARS_MAX = 128
ADMIN_NO = UserNo(1)
# Kinds from here to those of the rebuild are about members.
MEMBER_KIND_MIN = 85


def is_allowed_meanwhile(kind: int) -> bool:
    """What may change while the tables are being filled: the rebuild itself, and who the members are and how."""
    return kind in (PublishPlacement.KIND, SetFeatureLevel.KIND) or MEMBER_KIND_MIN <= kind <= AbandonRebuild.KIND


def begin(work: Working, command: BeginRebuild) -> Outcome:
    """Empty the tables and keep everybody out. facts: rebuild_id, next_step."""
    refusal = refuse_operator(work, command.header.user_no)
    if refusal is not None:
        return refusal
    if len(command.rebuild_id) != REBUILD_ID_BYTES or not 0 < len(command.source) <= SOURCE_CHARS_MAX:
        return refused(RequestError, f"a rebuild has an id of {REBUILD_ID_BYTES} bytes and a source")
    if work.rebuild is not None:
        if work.rebuild.source != command.source:
            return refused(RebuildRefused, "another backup is being restored into this cluster; go on with that one,"
                                           " or give it up first: fluffy admin restore --abandon",
                           source=work.rebuild.source)
        return Accepted(work.seq, {"rebuild_id": work.rebuild.rebuild_id, "next_step": work.rebuild.next_step})
    refusal = _refuse_inhabited(work)
    if refusal is not None:
        return refusal
    _empty(work)
    work.db.execute("INSERT INTO rebuilding VALUES (1, ?, ?, 0, ?)",
                    (command.rebuild_id, command.source, work.clock_ms))
    work.seq += 1
    work.reload_tables()
    return Accepted(work.seq, {"rebuild_id": command.rebuild_id, "next_step": 0})


def _refuse_inhabited(work: Working) -> Rejected | None:
    """None when nobody has put anything into this cluster yet; an empty home bucket of the admin is nothing."""
    db = work.db
    found = {
        "files": work.files, "chunks": work.chunks,
        "users": db.execute("SELECT count(*) FROM users WHERE user_no != ?", (ADMIN_NO,)).fetchone()[0],
        "folders": db.execute("SELECT count(*) FROM entries WHERE parent != 0 OR owner_no != ?",
                              (ADMIN_NO,)).fetchone()[0],
        "deleted": db.execute("SELECT count(*) FROM tombs").fetchone()[0],
        "uploads": db.execute("SELECT count(*) FROM uploads").fetchone()[0],
        "copies being dropped": db.execute("SELECT count(*) FROM drops WHERE done_ms = 0").fetchone()[0]}
    there = [f"{count} {what}" for what, count in found.items() if count]
    if not there:
        return None
    return refused(RebuildRefused, f"a backup is restored into an empty cluster only, and this one has "
                                   f"{', '.join(there)}; make a new cluster for it")


def _empty(work: Working) -> None:
    """No row in any table of the backup, but those that the cluster needs to stay alive."""
    db = work.db
    work.folders.flush()  # the root stays: what earlier commands of the same transaction changed in it, too
    for table in REBUILT:
        kept = KEPT_ROWS.get(table)
        db.execute(f"DELETE FROM {table}" + (f" WHERE NOT ({kept})" if kept else ""))
    db.execute("DELETE FROM locks")
    work.feed.clear()
    db.execute("DELETE FROM changes")
    db.execute("UPDATE folders SET entries = 0, tombs = 0, floor = 0, reach = 0, top = 0 WHERE folder_no = 0")
    work.changes_cut = work.seq
    work.files = work.file_bytes = work.chunks = work.chunk_bytes = work.missing_chunks = 0
    for counters in work.nodes.values():
        counters.chunks = counters.bytes = 0
        counters.changed = True


def add_rows(work: Working, command: RebuildRows) -> Outcome:
    """Take the next step. facts: next_step."""
    rebuild = work.rebuild
    if rebuild is None or rebuild.rebuild_id != command.rebuild_id:
        return refused(NotFound, "that rebuild has ended, or never began")
    if command.step != rebuild.next_step:
        if command.step < rebuild.next_step:
            return Accepted(work.seq, {"next_step": rebuild.next_step})
        return refused(PreconditionFailed, "a step of the rebuild is missing", next_step=rebuild.next_step)
    if command.table not in REBUILT:
        return refused(RequestError, f"a backup has no table {command.table[:40]!r}")
    columns = columns_of(work.db, command.table)
    rows = read_rows(command.rows, columns)
    if rows is None:
        return refused(RequestError, f"these are not rows of the table {command.table}")
    if command.table == "chunks" and not _known_nodes(work, rows):
        return refused(RequestError, "a chunk is said to be on a node that this cluster does not have")
    verb = "INSERT OR REPLACE" if command.table in KEPT_ROWS else "INSERT"
    work.db.execute("SAVEPOINT rebuild_rows")
    try:
        work.db.executemany(f"{verb} INTO {command.table} VALUES ({', '.join('?' * len(columns))})", rows)
    except sqlite3.IntegrityError as error:
        work.db.execute("ROLLBACK TO rebuild_rows")
        work.db.execute("RELEASE rebuild_rows")
        return refused(RequestError, f"a row of the table {command.table} does not fit: {error}")
    work.db.execute("RELEASE rebuild_rows")
    if command.table == "chunks":
        _count_chunks(work, rows)
    rebuild.next_step += 1
    work.db.execute("UPDATE rebuilding SET next_step = ?", (rebuild.next_step,))
    work.seq += 1
    return Accepted(work.seq, {"next_step": rebuild.next_step})


# Positions in a row of `chunks`.
_LENGTH, _REFS, _WANTED, _COPIES, _REPLICAS = 2, 3, 4, 5, 6


def _known_nodes(work: Working, rows: list[tuple[Any, ...]]) -> bool:
    for row in rows:
        packed = row[_REPLICAS]
        if type(packed) is not bytes or len(packed) % 2 or row[_COPIES] * 2 != len(packed) or row[_LENGTH] <= 0:
            return False
        nodes = unpack_nodes(packed)
        if list(nodes) != sorted(set(nodes)) or any(node not in work.nodes for node in nodes):
            return False
    return True


def _count_chunks(work: Working, rows: list[tuple[Any, ...]]) -> None:
    for row in rows:
        work.chunks += 1
        work.chunk_bytes += row[_LENGTH]
        work.missing_chunks += row[_COPIES] < row[_WANTED]
        for node_no in unpack_nodes(row[_REPLICAS]):
            counters = work.nodes[NodeNo(node_no)]
            counters.chunks += 1
            counters.bytes += row[_LENGTH]
            counters.changed = True


def end(work: Working, command: EndRebuild) -> Outcome:
    """Let everybody in again. facts: files, bytes."""
    rebuild = work.rebuild
    if rebuild is None or rebuild.rebuild_id != command.rebuild_id:
        return refused(NotFound, "that rebuild has ended, or never began")
    if command.step != rebuild.next_step:
        return refused(PreconditionFailed, "a step of the rebuild is missing", next_step=rebuild.next_step)
    work.db.execute("DELETE FROM rebuilding")
    work.db.execute("DELETE FROM tokens WHERE user_no NOT IN (SELECT user_no FROM users)")
    # Beyond every position that anybody knows of either cluster.
    work.seq = max(work.seq, command.seq) + 1
    work.changes_cut = work.seq
    work.last_no = max(work.last_no, command.last_no)
    work.advance_clock(command.clock_ms)
    work.files, work.file_bytes = command.files, command.file_bytes
    work.reload_tables()
    return Accepted(work.seq, {"files": work.files, "bytes": work.file_bytes})


def abandon(work: Working, command: AbandonRebuild) -> Outcome:
    """An empty cluster again. facts: none."""
    refusal = refuse_operator(work, command.header.user_no)
    if refusal is not None:
        return refusal
    if work.rebuild is None or work.rebuild.rebuild_id != command.rebuild_id:
        return refused(NotFound, "that rebuild has ended, or never began")
    _empty(work)
    work.db.execute("DELETE FROM rebuilding")
    work.seq += 1
    work.changes_cut = work.seq
    work.reload_tables()
    admin = work.user(ADMIN_NO)
    if admin is not None:
        tree.make_folder(work, work.folders.root(), admin.name, admin.name, ADMIN_NO)
    return Accepted(work.seq, {})


HANDLERS: Mapping[int, Callable[[Working, Any], Outcome]] = {
    BeginRebuild.KIND: begin,
    RebuildRows.KIND: add_rows,
    EndRebuild.KIND: end,
    AbandonRebuild.KIND: abandon,
}
