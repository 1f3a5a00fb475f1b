"""One short text that is equal on two nodes exactly when their replicated state is."""

from __future__ import annotations

import sqlite3

import msgpack
from blake3 import blake3

from fluffy.core.metadata.schema import DIGEST_QUERIES

# Rows are hashed in batches to spend the time in C; the batches follow from the row count, the same everywhere.
_ROWS_PER_BATCH = 512


def digest_of(db: sqlite3.Connection) -> str:
    """BLAKE3 over all replicated tables in canonical order, in hex.

    Independent of row order, page layout and what this node alone knows (its applied index).
    """
    hasher = blake3()
    for table, query in DIGEST_QUERIES:
        hasher.update(b"\x00" + table.encode())
        cursor = db.execute(query)
        while rows := cursor.fetchmany(_ROWS_PER_BATCH):
            hasher.update(msgpack.packb(rows))
    return hasher.hexdigest()
