"""What an index of names asks of the state: what changed, everything bit by bit, and what a hit means now.

Objects of S3 with the empty name, the markers of folders, are in no index. It knows entries by (number, folder number,
key), so a folder that moves changes one row of it, whatever it holds. It is a hint and the state is the truth: every
hit is looked up here before anybody sees it, so an index that lags can miss something for a moment but never shows what
is gone, moved, changed or in the trash.

The feed tells paths as they were at the time. They are looked up in the state of now, so later moves of folders are
applied to them first; what stands there then is what the index gets, whichever of several changes made it so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fluffy.core.metadata.changes import (
    BUCKET_MADE,
    FILE_KINDS,
    FOLDER_MADE,
    FOLDER_MOVED,
    FOLDER_UNDELETED,
    changes_cut,
)
from fluffy.core.metadata.model import Entry
from fluffy.core.metadata.packing import unpack_etag, unpack_texts
from fluffy.core.metadata.queries_files import owner_name
from fluffy.core.metadata.schema import ROOT_NO

# The fields of `Indexed` in their order.
INDEXED_OF_ENTRY = "e.no, e.parent, e.key, iif(e.version_no = 0, -1, e.size), e.content_type, e.owner_no, e.modified_ms"
_COLUMNS = (f"{INDEXED_OF_ENTRY}, (SELECT tags FROM versions v WHERE v.version_no = e.version_no)")
_FOUND = ("e.parent, e.key, e.version_no, e.size, e.generation, e.etag, e.content_type, e.owner_no, e.modified_ms,"
          " (SELECT tags FROM versions v WHERE v.version_no = e.version_no)")
# Paths are at most 1,024 bytes: a folder lies less deep than this.
DEPTH_MAX = 1024
# One lookup of so many names of a folder costs half of as many lookups of one name.
KEYS_PER_LOOKUP = 128
KEY_MARKS = ", ".join("?" * KEYS_PER_LOOKUP)
_Place = tuple[int, str]


class Indexed(NamedTuple):
    """An entry as an index keeps it. `key` of a folder ends in `/`; `size` of a folder is -1.

    A named tuple, for it is made of each row for each small file on every node: a tenth of the cost of a dataclass.
    """

    no: int
    parent: int
    key: str
    size: int
    content_type: str
    owner_no: int
    modified_ms: int
    tags: bytes | None  # packed (packing.unpack_texts)


@dataclass(frozen=True, slots=True)
class IndexChanges:
    """What a part of the feed means for an index whose cursor was before it.

    Forget the numbers `gone`, then know `entries`; list the folders of `walks` anew. `seq` is the new cursor; `more`:
    the feed goes on. `cut`: the feed does not reach back to the cursor; nothing else is said then.

    `gone` is what lies in the trash. What was purged or lay in a purged folder is not in it: the index finds by itself
    what the state does not have any more (`not_there`), and until then it is a hint that leads nowhere.
    """

    seq: int
    gone: tuple[int, ...] = ()
    entries: tuple[Indexed, ...] = ()
    walks: tuple[int, ...] = ()
    more: bool = False
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """An entry as it is now, with its tags."""

    entry: Entry
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FeedPoint:
    """Which cluster's state this is, and how far; `behind_at_ms`: when the first change after a cursor happened."""

    cluster_uuid: str | None
    seq: int
    behind_at_ms: int | None = None


def feed_point(db: sqlite3.Connection, after_seq: int | None = None) -> FeedPoint:
    """Where the state is; with `after_seq` also the log time of the first change after it."""
    (seq,) = db.execute("SELECT seq FROM state").fetchone()
    row = db.execute("SELECT cluster_uuid FROM cluster").fetchone()
    first = None
    if after_seq is not None and after_seq < seq:
        first = db.execute("SELECT at_ms FROM changes WHERE seq > ? ORDER BY seq LIMIT 1", (after_seq,)).fetchone()
    return FeedPoint(None if row is None else row[0], seq, None if first is None else first[0])


def index_changes(db: sqlite3.Connection, since_seq: int, limit: int) -> IndexChanges:
    """The next part of the feed, looked up in the state of now."""
    feed = feed_places(db, since_seq, limit)
    if feed.cut:
        return IndexChanges(feed.seq, cut=True)
    entries: list[Indexed] = []
    for folder_and_keys in lookups(feed.places):
        entries += map(Indexed._make, db.execute(
            f"SELECT {_COLUMNS} FROM entries e WHERE e.parent = ? AND e.key IN ({KEY_MARKS}) AND e.key != ''",
            folder_and_keys).fetchall())
    empty = dict.fromkeys(feed.places)
    for entry in entries:
        del empty[entry.parent, entry.key]
    return IndexChanges(feed.seq, trashed(db, empty), tuple(entries), feed.walks, feed.more)


def trashed(db: sqlite3.Connection, places: Iterable[_Place]) -> tuple[int, ...]:
    """The numbers of what was deleted at places where nothing stands now."""
    return tuple(no for folder_and_keys in lookups(places) for (no,) in db.execute(
        f"SELECT no FROM tombs WHERE parent = ? AND key IN ({KEY_MARKS})", folder_and_keys))


@dataclass(frozen=True, slots=True)
class FeedPlaces:
    """Which places a part of the feed speaks of, by the folders of now. `seq`, `more`, `cut`: as in IndexChanges.

    `made`, `undeleted`: folders that came (again), each with the position of that change.
    """

    seq: int
    places: tuple[_Place, ...] = ()
    made: tuple[tuple[int, int], ...] = ()
    undeleted: tuple[tuple[int, int], ...] = ()
    more: bool = False
    cut: bool = False

    @property
    def walks(self) -> tuple[int, ...]:
        """Folders to be listed anew."""
        return tuple(dict.fromkeys(folder_no for folder_no, _ in self.undeleted))


def feed_places(db: sqlite3.Connection, since_seq: int, limit: int) -> FeedPlaces:
    """The places of the next part of the feed; a place in a folder that is not there now is left out."""
    (seq,) = db.execute("SELECT seq FROM state").fetchone()
    if since_seq < changes_cut(db):
        return FeedPlaces(seq, cut=True)
    rows = db.execute("SELECT seq, kind, path, source FROM changes WHERE seq > ? ORDER BY seq LIMIT ?",
                      (since_seq, limit)).fetchall()
    more = len(rows) == limit
    moves = db.execute("SELECT seq, source, path FROM changes WHERE seq > ? AND kind = ? ORDER BY seq",
                       (since_seq, FOLDER_MOVED)).fetchall()
    folders = _Folders(db)
    places: dict[_Place, None] = {}  # an ordered set
    came: dict[int, list[tuple[int, int]]] = {FOLDER_MADE: [], FOLDER_UNDELETED: []}
    for at, kind, path, source in rows:
        later = [move for move in moves if move[0] > at] if moves else []
        is_file = kind in FILE_KINDS
        for text in (path, source) if source else (path,):
            parent, _, name = (_now_at(text, later, is_file=is_file) if later else text).rpartition("/")
            folder_no = folders.number(parent)
            if folder_no is not None:
                places[folder_no, name if is_file else name + "/"] = None
        if kind in (FOLDER_MADE, BUCKET_MADE, FOLDER_UNDELETED):
            came_no = folders.number(_now_at(path, later, is_file=False))
            if came_no is not None:
                came[FOLDER_UNDELETED if kind == FOLDER_UNDELETED else FOLDER_MADE].append((came_no, at))
    return FeedPlaces(rows[-1][0] if more else seq, tuple(places), tuple(came[FOLDER_MADE]),
                      tuple(came[FOLDER_UNDELETED]), more)


def lookups(places: Iterable[_Place]) -> Iterator[tuple[int | str, ...]]:
    """Places as parameters of few statements `parent = ? AND key IN ({KEY_MARKS})`."""
    keys_of: dict[int, list[str]] = {}
    for parent, key in places:
        keys_of.setdefault(parent, []).append(key)
    for parent, keys in keys_of.items():
        for at in range(0, len(keys), KEYS_PER_LOOKUP):
            some = keys[at:at + KEYS_PER_LOOKUP]
            yield parent, *some, *some[-1:] * (KEYS_PER_LOOKUP - len(some))


def all_entries(db: sqlite3.Connection, after: _Place, limit: int) -> tuple[Indexed, ...]:
    """Everything, trash folders' content too (they may come back), in the order of (folder number, key)."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM entries e WHERE (e.parent, e.key) > (?, ?) AND e.key != ''"
                      " ORDER BY e.parent, e.key LIMIT ?", (*after, limit))
    return tuple(map(Indexed._make, rows))


def entries_of_folder(db: sqlite3.Connection, folder_no: int, after: str, limit: int) -> tuple[Indexed, ...]:
    """The children of one folder; a folder's number is the `no` of its row."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM entries e WHERE e.parent = ? AND e.key > ? ORDER BY e.key LIMIT ?",
                      (folder_no, after, limit))
    return tuple(map(Indexed._make, rows))


def not_there(db: sqlite3.Connection, known: Iterable[tuple[int, int, str]]) -> tuple[int, ...]:
    """Of (no, folder number, key) the numbers of those that do not stand there any more."""
    return tuple(no for no, parent, key in known if db.execute(
        "SELECT 1 FROM entries WHERE parent = ? AND key = ? AND no = ?", (parent, key, no)).fetchone() is None)


def users_by_name(db: sqlite3.Connection) -> dict[str, int]:
    return {name: no for no, name in db.execute("SELECT user_no, name FROM users")}


class FoundEntries:
    """Looks up hits; remembers the folders on the way. For one read transaction.

    `buckets`: what the asker may read; None: everything.
    """

    def __init__(self, db: sqlite3.Connection, buckets: frozenset[str] | None) -> None:
        self._db = db
        self._buckets = buckets
        self._prefixes: dict[int, str | None] = {ROOT_NO: ""}
        self._owners: dict[int, str] = {}

    def at(self, no: int, parent: int, key: str) -> Found | None:
        """The entry with that number at that place; None: not there, in the trash, or not for the asker."""
        prefix = self._prefix(parent)
        if prefix is None:
            return None
        row = self._db.execute(f"SELECT {_FOUND} FROM entries e WHERE e.parent = ? AND e.key = ? AND e.no = ?",
                               (parent, key, no)).fetchone()
        return None if row is None else self._found(row, prefix)

    def scan(self, after: _Place, like: str | None, min_size: int, max_size: int) -> Iterable[tuple[_Place, Found]]:
        """Everything the asker may see after a place, in the order of (folder number, key), with the place.

        `like`: a LIKE pattern (escaped by a backslash) that ASCII keys must fit; others come all.
        """
        condition = "" if like is None else r" AND (e.key LIKE ? ESCAPE '\' OR e.key GLOB '*[^ -~]*')"
        rows = self._db.execute(
            f"SELECT {_FOUND} FROM entries e WHERE (e.parent, e.key) > (?, ?) AND e.size BETWEEN ? AND ?{condition}"
            " ORDER BY e.parent, e.key", (*after, min_size, max_size, *(() if like is None else (like,))))
        for row in rows:
            prefix = self._prefix(row[0])
            found = None if prefix is None else self._found(row, prefix)
            if found is not None:
                yield (row[0], row[1]), found

    def _found(self, row: tuple[Any, ...], prefix: str) -> Found | None:
        _, key, version_no, size, generation, etag, content_type, owner_no, modified_ms, tags = row
        name = key if version_no else key[:-1]
        path = prefix + name
        if self._buckets is not None and path.partition("/")[0] not in self._buckets:
            return None
        owner = self._owners.get(owner_no)
        if owner is None:
            owner = self._owners[owner_no] = owner_name(self._db, owner_no)
        entry = Entry(name, path, "file" if version_no else "folder", size, generation, unpack_etag(etag),
                      content_type, owner, modified_ms)
        return Found(entry, unpack_texts(tags))

    def _prefix(self, folder_no: int) -> str | None:
        """The path of a folder with a trailing slash; None when it or one above is not in the tree."""
        chain: list[_Place] = []
        no = folder_no
        while no not in self._prefixes and len(chain) < DEPTH_MAX:
            row = self._db.execute("SELECT parent, key, removed FROM folders WHERE folder_no = ?", (no,)).fetchone()
            if row is None or row[2]:
                self._prefixes[no] = None
                break
            chain.append((no, row[1]))
            no = row[0]
        prefix = self._prefixes.get(no)
        for no, key in reversed(chain):
            prefix = None if prefix is None else prefix + key
            self._prefixes[no] = prefix
        return prefix


class _Folders:
    """Numbers of folders by path, remembered for one batch."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[str, int | None] = {"": ROOT_NO}

    def number(self, path: str) -> int | None:
        """None: there is no such folder now."""
        if path in self._known:
            return self._known[path]
        missing: list[str] = []
        while path not in self._known:
            missing.append(path)
            path = path.rpartition("/")[0]
        number = self._known[path]
        for path in reversed(missing):
            if number is not None:
                row = self._db.execute("SELECT no FROM entries WHERE parent = ? AND key = ?",
                                       (number, path.rpartition("/")[2] + "/")).fetchone()
                number = None if row is None else int(row[0])
            self._known[path] = number
        return number


def _now_at(path: str, moves: Sequence[tuple[int, str, str]], *, is_file: bool) -> str:
    """Where a path leads after folders were moved. A file stays where only a folder of its name has left (S3)."""
    for _, source, target in moves:
        if (path == source and not is_file) or path.startswith(source + "/"):
            path = target + path[len(source):]
    return path
