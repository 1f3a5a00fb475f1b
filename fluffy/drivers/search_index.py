"""The writing side of the search index: rows, trigrams, tags and the cursor, always in one transaction.

Killed anywhere, it is as after one of its commits, and goes on from there. Implements `ports.SearchIndex`; used by one
process (the keeper), one call at a time, from any thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

from fluffy.base.checks import invariant
from fluffy.base.errors import IndexCorrupt
from fluffy.core.metadata.packing import unpack_texts
from fluffy.core.metadata.queries_search import KEY_MARKS, KEYS_PER_LOOKUP, IndexChanges, Indexed
from fluffy.core.search.plan import tag_texts
from fluffy.core.search.query import fold
from fluffy.drivers.search_files import create_new, is_usable, open_for_writing, target_of
from fluffy.ports import IndexState

_BAD_FILE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_TAG_SEPARATOR = "\n"


class SearchIndexFile:
    """`open` first. All calls block."""

    def __init__(self, node_dir: Path) -> None:
        self._dir = node_dir
        self._target: str | None = None
        self._db: sqlite3.Connection | None = None

    def open(self) -> IndexState:
        """Open what is there, or begin anew when nothing usable is; cheap when it is open already."""
        target = target_of(self._dir)
        if self._db is not None and target == self._target:
            return self.state()
        self.close()
        if target is None:
            return self.begin_anew()
        self._target, self._db = target, open_for_writing_checked(self._dir / target)
        if self._db is None:
            return self.begin_anew()
        return self.state()

    def begin_anew(self) -> IndexState:
        """Throw everything away."""
        self.close()
        path = create_new(self._dir)
        self._target, self._db = path.name, open_for_writing(path)
        return self.state()

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def state(self) -> IndexState:
        with self._checked() as db:
            return read_state(db)

    def start_build(self, cluster_uuid: str, seq: int) -> None:
        """Of an empty index: everything is to be read, and the feed followed from `seq`."""
        with self._transaction() as db:
            db.execute("UPDATE state SET cluster_uuid = ?, seq = ?, parent = 0, key = ''", (cluster_uuid, seq))

    def rewind(self, seq: int) -> None:
        """The state lost its last commits in a power failure and will make them again: follow them again."""
        with self._transaction() as db:
            db.execute("UPDATE state SET seq = ?", (seq,))

    def apply(self, changes: IndexChanges) -> None:
        """Take over a part of the feed."""
        invariant(not changes.cut, "a feed that was cut is a reason to begin anew")
        with self._transaction() as db:
            _remove(db, changes.gone)
            _put(db, changes.entries)
            db.executemany("INSERT OR REPLACE INTO walks VALUES (?, '')", [(no,) for no in changes.walks])
            db.execute("UPDATE state SET seq = ?", (changes.seq,))

    def load(self, entries: Sequence[Indexed], after: tuple[int, str] | None) -> None:
        """A piece of the build; `after` is where the next one begins, None: that was all."""
        parent, key = (None, None) if after is None else after
        with self._transaction() as db:
            _put(db, entries)
            db.execute("UPDATE state SET parent = ?, key = ?", (parent, key))

    def load_folder(self, folder_no: int, entries: Sequence[Indexed], after: str | None) -> None:
        """A piece of a folder that came back; None: that was all of it. The folders in it are listed next."""
        with self._transaction() as db:
            _put(db, entries)
            db.executemany("INSERT OR REPLACE INTO walks VALUES (?, '')",
                           [(entry.no,) for entry in entries if entry.size < 0])
            if after is None:
                db.execute("DELETE FROM walks WHERE folder_no = ?", (folder_no,))
            else:
                db.execute("UPDATE walks SET after = ? WHERE folder_no = ?", (after, folder_no))

    def known(self, after_no: int, limit: int) -> tuple[tuple[int, int, str], ...]:
        """(no, folder number, key) of the next rows by number, to be compared with the state."""
        with self._checked() as db:
            return tuple(db.execute("SELECT no, parent, key FROM names WHERE no > ? ORDER BY no LIMIT ?",
                                    (after_no, limit)).fetchall())

    def remove(self, numbers: Sequence[int]) -> None:
        with self._transaction() as db:
            _remove(db, numbers)

    @contextmanager
    def _checked(self) -> Iterator[sqlite3.Connection]:
        invariant(self._db is not None, "the index is opened before it is used")
        assert self._db is not None
        try:
            yield self._db
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in _BAD_FILE:
                raise IndexCorrupt from error
            raise

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._checked() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


def open_for_writing_checked(path: Path) -> sqlite3.Connection | None:
    """None: the file is damaged, or another program's or format's."""
    db = None
    try:
        db = open_for_writing(path)
        if is_usable(db):
            return db
    except sqlite3.DatabaseError:
        if db is None:
            return None
    db.close()
    return None


def read_state(db: sqlite3.Connection) -> IndexState:
    cluster_uuid, seq, parent, key, rows = db.execute(
        "SELECT cluster_uuid, seq, parent, key, rows FROM state").fetchone()
    walk = db.execute("SELECT folder_no, after FROM walks ORDER BY folder_no LIMIT 1").fetchone()
    return IndexState(cluster_uuid, seq, None if parent is None else (parent, key), rows, walk)


def _put(db: sqlite3.Connection, entries: Sequence[Indexed]) -> None:
    """Insert or change rows. An entry keeps its number when it moves.

    By number: FTS5 closes a piece of its index, to be merged later, at each number that is below the one before it.
    """
    fresh: list[tuple[int, str]] = []
    rows = []
    tagged: list[tuple[str, int]] = []
    old = _old_rows(db, [entry.no for entry in entries])
    for no, parent, key, size, content_type, owner_no, modified_ms, packed in sorted(entries, key=itemgetter(0)):
        tags = () if packed is None else tag_texts(unpack_texts(packed))
        text = _TAG_SEPARATOR.join(tags) or None
        old_key, old_text = old.get(no, (None, None))
        if old_key != key:
            if old_key is not None:
                _forget_name(db, no, old_key)
            fresh.append((no, folded_name(key)))
        if old_text != text:
            _forget_tags(db, no, old_text)
            tagged += [(tag, no) for tag in tags]
        rows.append((no, parent, key, size, content_type.lower(), owner_no, modified_ms, text))
    db.executemany("INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    db.executemany("INSERT INTO grams (rowid, name) VALUES (?, ?)", fresh)
    db.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", tagged)
    if len(rows) > len(old):
        db.execute("UPDATE state SET rows = rows + ?", (len(rows) - len(old),))


def _old_rows(db: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, tuple[str, str | None]]:
    """What is known already: key and tags by number. Numbers only grow, so most of what is new is above all of it."""
    (highest,) = db.execute("SELECT max(no) FROM names").fetchone()
    some = [no for no in numbers if no <= highest] if highest is not None else []
    old = {}
    for at in range(0, len(some), KEYS_PER_LOOKUP):
        asked = some[at:at + KEYS_PER_LOOKUP]
        asked += asked[-1:] * (KEYS_PER_LOOKUP - len(asked))
        for no, key, tags in db.execute(f"SELECT no, key, tags FROM names WHERE no IN ({KEY_MARKS})", asked):
            old[no] = key, tags
    return old


def _remove(db: sqlite3.Connection, numbers: Sequence[int]) -> None:
    removed = 0
    for no in sorted(numbers):
        row = db.execute("SELECT key, tags FROM names WHERE no = ?", (no,)).fetchone()
        if row is None:
            continue
        _forget_name(db, no, row[0])
        _forget_tags(db, no, row[1])
        db.execute("DELETE FROM names WHERE no = ?", (no,))
        removed += 1
    if removed:
        db.execute("UPDATE state SET rows = rows - ?", (removed,))


def _forget_name(db: sqlite3.Connection, no: int, key: str) -> None:
    db.execute("INSERT INTO grams (grams, rowid, name) VALUES ('delete', ?, ?)", (no, folded_name(key)))


def _forget_tags(db: sqlite3.Connection, no: int, text: str | None) -> None:
    for tag in text.split(_TAG_SEPARATOR) if text else ():
        db.execute("DELETE FROM tags WHERE tag = ? AND no = ?", (tag, no))


def folded_name(key: str) -> str:
    return fold(key.removesuffix("/"))
