"""Which tables a backup brings back, which stay those of the cluster that it is brought into, and what fits into each.

What belongs to the tree and to people comes back. What belongs to this cluster stays: its UUID and settings, its
members and their placement, its own window of requests. The change feed begins anew, so that every follower of it
looks at everything again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

# In the order in which they are filled: what everything else stands on first, and people last, so that whoever does
# the rebuild stays who they are until its end.
REBUILT: tuple[str, ...] = (
    "chunks", "folders", "entries", "tombs", "versions", "reaping", "past_places", "bucket_rules", "grants", "accounts",
    "implicit_folders", "bucket_documents", "uploads", "upload_parts", "ended_uploads", "finished_uploads", "audit",
    "s3_keys", "users", "tokens")
# Why the others are not in a rebuild.
LEFT: Mapping[str, str] = {
    "state": "counters: the last command of a rebuild brings those that count",
    "cluster": "the cluster's own UUID, name and settings",
    "nodes": "the cluster's own members",
    "placement": "the cluster's own members",
    "requests": "answers of this cluster to its own clients",
    "changes": "the feed begins anew: followers list everything again",
    "locks": "leases in the log time of a cluster that is gone; their holders are, too",
    "voters": "the cluster's own members",
    "node_intents": "the cluster's own members",
    "retired_nodes": "the cluster's own members",
    "expected_disks": "the cluster's own members",
    "keeper_asks": "wishes about this cluster's nodes",
    "repair_mode": "a wish about this cluster's nodes",
    "jobs": "work of this cluster's nodes",
    "job_queues": "work of this cluster's nodes",
    "drops": "work of this cluster's nodes",
    "node_health": "the cluster's own members",
    "scrub_wishes": "wishes about this cluster's nodes",
    "rebuilding": "this rebuild"}
# Those that a new cluster has rows in, which stay until the backup's take their place.
KEPT_ROWS: Mapping[str, str] = {"users": "user_no = 1", "tokens": "user_no = 1", "folders": "folder_no = 0"}

_INTEGER_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Column:
    """`kind`: INTEGER, TEXT or BLOB; a BLOB column may hold text as well (entity tags)."""

    name: str
    kind: str
    may_be_null: bool


def columns_of(db: sqlite3.Connection, table: str) -> tuple[Column, ...]:
    """The columns of a table in order; empty when there is no such table."""
    return tuple(Column(name, kind, not required and not (key and kind == "INTEGER"))
                 for name, kind, required, key in db.execute(
                     'SELECT name, type, "notnull", pk FROM pragma_table_info(?) ORDER BY cid', (table,)))


def read_rows(packed: bytes, columns: Sequence[Column]) -> list[tuple[Any, ...]] | None:
    """The rows of a RebuildRows; None when they are not rows of that table. Never raises."""
    try:
        rows = msgpack.unpackb(packed, use_list=False, max_ext_len=0)
    except (ValueError, msgpack.UnpackException, RecursionError):
        return None
    if not isinstance(rows, tuple):
        return None
    for row in rows:
        if not isinstance(row, tuple) or len(row) != len(columns):
            return None
        if not all(_fits(value, column) for value, column in zip(row, columns, strict=True)):
            return None
    return list(rows)


def _fits(value: Any, column: Column) -> bool:
    if value is None:
        return column.may_be_null
    if column.kind == "INTEGER":
        return type(value) is int and -_INTEGER_MAX <= value <= _INTEGER_MAX
    if column.kind == "TEXT":
        return type(value) is str
    return type(value) in (bytes, str)
