"""Questions of a keeper about what admins want of it."""

from __future__ import annotations

import sqlite3

from fluffy.base.ids import NodeNo


def newest_ask(db: sqlite3.Connection, what: str, node_no: NodeNo) -> int:
    """Position of the newest wish of that kind that concerns the node; 0: there was none."""
    (seq,) = db.execute("SELECT max(ask_seq) FROM keeper_asks WHERE what = ? AND node_no IN (0, ?)",
                        (what, node_no)).fetchone()
    return int(seq or 0)


def born_ms(db: sqlite3.Connection) -> int:
    """When the cluster was born, by the clock of who bore it; 0 before its birth."""
    row = db.execute("SELECT born_ms FROM cluster").fetchone()
    return 0 if row is None else int(row[0])


def repair_mode(db: sqlite3.Connection) -> str | None:
    """What an admin chose for all nodes; None: what the config says."""
    row = db.execute("SELECT mode FROM repair_mode").fetchone()
    return None if row is None else str(row[0])
