"""What a supernode asks of the state: the tree as rows, piece by piece, and what changed since a position of the feed.

As with the cluster's own index of names (queries_search.py) a row is known by its number and stands at (folder number,
key), so a folder that moves changes one row, whatever it holds; and what is told of a change is what stands there now.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fluffy.core.metadata.packing import unpack_etag, unpack_texts
from fluffy.core.metadata.queries_files import owner_name
from fluffy.core.metadata.queries_search import KEY_MARKS, feed_places, feed_point, lookups

_COLUMNS = ("e.no, e.parent, e.key, e.version_no, e.size, e.generation, e.etag, e.content_type, e.owner_no,"
            " e.modified_ms, (SELECT tags FROM versions v WHERE v.version_no = e.version_no)")
Place = tuple[int, str]


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """A file or folder as a catalog keeps it. `key` of a folder ends in `/`; `size` of a folder is -1."""

    no: int
    parent: int
    key: str
    size: int
    generation: int
    etag: str
    content_type: str
    owner: str
    modified_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.key.removesuffix("/")

    @property
    def is_folder(self) -> bool:
        return self.size < 0


@dataclass(frozen=True, slots=True)
class FeedPiece:
    """A part of the feed for a follower whose cursor was before it.

    Forget what stands at `places`, then know `rows`; list the folders of `walks` anew. `seq` is the new cursor, `head`
    the newest position; `more`: the feed goes on. `cut`: the feed does not reach back to the cursor.
    """

    seq: int
    head: int
    places: tuple[Place, ...] = ()
    rows: tuple[CatalogRow, ...] = ()
    walks: tuple[int, ...] = ()
    more: bool = False
    cut: bool = False


def feed_piece(db: sqlite3.Connection, since_seq: int, limit: int) -> FeedPiece:
    """The next part of the feed, looked up in the state of now."""
    head = feed_point(db).seq
    feed = feed_places(db, since_seq, limit)
    if feed.cut:
        return FeedPiece(head, head, cut=True)
    return FeedPiece(feed.seq, head, feed.places, tuple(_rows_at(db, feed.places)), feed.walks, feed.more)


def rows_after(db: sqlite3.Connection, after: Place, limit: int) -> tuple[CatalogRow, ...]:
    """Everything in the order of (folder number, key): the tree, and what lies in trashed folders (may come back)."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM entries e WHERE (e.parent, e.key) > (?, ?) AND e.key != ''"
                      " ORDER BY e.parent, e.key LIMIT ?", (*after, limit))
    return tuple(_made(db, rows))


def rows_of_folder(db: sqlite3.Connection, folder_no: int, after: str, limit: int) -> tuple[CatalogRow, ...]:
    """The children of one folder, by key."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM entries e WHERE e.parent = ? AND e.key > ? ORDER BY e.key LIMIT ?",
                      (folder_no, after, limit))
    return tuple(_made(db, rows))


def _rows_at(db: sqlite3.Connection, places: Iterable[Place]) -> Iterator[CatalogRow]:
    for folder_and_keys in lookups(places):
        yield from _made(db, db.execute(
            f"SELECT {_COLUMNS} FROM entries e WHERE e.parent = ? AND e.key IN ({KEY_MARKS}) AND e.key != ''",
            folder_and_keys))


def _made(db: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> Iterator[CatalogRow]:
    owners: dict[int, str] = {}
    for no, parent, key, version_no, size, generation, etag, content_type, owner_no, modified_ms, tags in rows:
        if owner_no not in owners:
            owners[owner_no] = owner_name(db, owner_no)
        yield CatalogRow(no, parent, key, size if version_no else -1, generation, unpack_etag(etag), content_type,
                         owners[owner_no], modified_ms, unpack_texts(tags))
