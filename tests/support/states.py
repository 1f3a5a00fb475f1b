"""Looking into a node's replicated state from outside: a copy of its running `meta.db`, opened with the real code."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from fluffy.core.metadata import queries
from fluffy.core.metadata.machine import open_state
from fluffy.core.metadata.model import Change

PAGE_CHANGES = 10_000


def copy_state(node_dir: Path) -> sqlite3.Connection:
    """A consistent copy in memory; the node may be running."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with closing(sqlite3.connect(f"file:{node_dir / 'meta.db'}?mode=ro", uri=True)) as source:
        source.backup(copy)
    return copy


def digest_of(node_dir: Path) -> tuple[int, str]:
    """(applied index, digest of the whole replicated state)."""
    with closing(copy_state(node_dir)) as db:
        machine = open_state(db)
        return machine.applied_index, machine.digest()


def all_changes(db: sqlite3.Connection) -> Iterator[Change]:
    """The whole change feed, in order."""
    since = 0
    while page := queries.changes(db, since, PAGE_CHANGES):
        yield from page
        since = page[-1].seq
