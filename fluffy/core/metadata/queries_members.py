"""Questions about members: who votes, what operators want, who was here, what a node still holds that nobody else has.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from fluffy.base.ids import NodeNo
from fluffy.core.metadata.packing import pack_nodes, unpack_nodes


@dataclass(frozen=True, slots=True)
class Intent:
    """What an operator wants of a node. Times are log time; None: not that."""

    node_no: NodeNo
    draining_ms: int | None
    leaving_ms: int | None
    forced: bool


@dataclass(frozen=True, slots=True)
class Retired:
    """A former member. `is_stripped`: no chunk lists it any more."""

    node_no: NodeNo
    name: str
    disk_uuid: str
    retired_ms: int
    is_stripped: bool


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What a node holds. `needed`: referenced chunks that would have too few copies on `others` without it.

    `only_here`: those of them that would have none.
    """

    chunks: int
    bytes: int
    needed: int
    needed_bytes: int
    only_here: int

    @property
    def is_safe(self) -> bool:
        return self.needed == 0


def voters(db: sqlite3.Connection) -> dict[str, str]:
    """Name -> disk UUID of each voter, as the state has it; empty before genesis."""
    return dict(db.execute("SELECT name, disk_uuid FROM voters ORDER BY name").fetchall())


def node_intents(db: sqlite3.Connection) -> dict[NodeNo, Intent]:
    rows = db.execute("SELECT node_no, draining_ms, leaving_ms, forced FROM node_intents"
                      " WHERE draining_ms IS NOT NULL OR leaving_ms IS NOT NULL ORDER BY node_no")
    return {NodeNo(no): Intent(NodeNo(no), draining_ms, leaving_ms, bool(forced))
            for no, draining_ms, leaving_ms, forced in rows}


def retired_nodes(db: sqlite3.Connection) -> tuple[Retired, ...]:
    """By number, so the newest last."""
    return tuple(Retired(NodeNo(no), name, disk_uuid, retired_ms, strip_after is None)
                 for no, name, disk_uuid, retired_ms, strip_after in
                 db.execute("SELECT * FROM retired_nodes ORDER BY node_no"))


def is_disk_expected(db: sqlite3.Connection, name: str) -> bool:
    """Whether an operator said that the next new disk of this name is welcome; its old one may be gone already."""
    return db.execute("SELECT 1 FROM expected_disks WHERE name = ?", (name,)).fetchone() is not None


def is_retired_disk(db: sqlite3.Connection, disk_uuid: str) -> bool:
    return db.execute("SELECT 1 FROM retired_nodes WHERE disk_uuid = ?", (disk_uuid,)).fetchone() is not None


def drain_report(db: sqlite3.Connection, node_no: NodeNo, others: Collection[NodeNo]) -> DrainReport:
    """Whether `others` (nodes that stay and are well) have enough copies without this one. A scan: in a thread."""
    counted = frozenset(others) - {node_no}
    chunks = size = needed = needed_bytes = only_here = 0
    for length, wanted, replicas in db.execute(
            "SELECT length, wanted, replicas FROM chunks WHERE instr(replicas, ?)", (pack_nodes((node_no,)),)):
        chunks += 1
        size += length
        elsewhere = sum(node in counted for node in unpack_nodes(replicas))
        if elsewhere < wanted:
            needed += 1
            needed_bytes += length
            only_here += elsewhere == 0
    return DrainReport(chunks, size, needed, needed_bytes, only_here)
