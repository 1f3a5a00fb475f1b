"""Changes of the SQLite catalog, each in the transaction of its caller: rows, trigrams, cursor."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from operator import attrgetter

from fluffy.core.federation.marks import bits_of, grams_of_marks, marks_of_row
from fluffy.core.federation.ranking import row_no_of
from fluffy.core.metadata.queries_federation import CatalogRow, FeedPiece, Place
from fluffy.core.metadata.queries_search import KEY_MARKS, lookups
from fluffy.core.search.query import fold
from fluffy.drivers.catalog_sqlite_candidates import COLUMNS
from fluffy.drivers.catalog_sqlite_reading import check_numbers, cluster, row_of, rows_between
from fluffy.ports_federation import CatalogCluster, DeadLetter

# The newest are kept.
DEAD_LETTERS_MAX = 10_000


def begin(db: sqlite3.Connection, name: str, epoch: str, seq: int) -> CatalogCluster:
    forget(db, name)
    (number,) = db.execute("UPDATE state SET last_number = last_number + 1 RETURNING last_number").fetchone()
    db.execute("INSERT INTO clusters VALUES (?, ?, ?, ?, 0, '', 0, 0)", (number, name, epoch, seq))
    made = cluster(db, name)
    assert made is not None
    return made


def forget(db: sqlite3.Connection, name: str) -> None:
    db.execute("DELETE FROM walks WHERE cluster_no IN (SELECT number FROM clusters WHERE name = ?)", (name,))
    db.execute("DELETE FROM clusters WHERE name = ?", (name,))


def apply(db: sqlite3.Connection, number: int, piece: FeedPiece, level_ms: int) -> None:
    check_numbers(db, (number,))
    gone = [no for folder, *keys in lookups(piece.places) for (no,) in db.execute(
        f"SELECT row_no FROM entries WHERE cluster_no = ? AND parent = ? AND key IN ({KEY_MARKS})",
        (number, folder, *keys)).fetchall()]
    kept = {row_no_of(number, row.no) for row in piece.rows}
    _remove(db, number, [no for no in gone if no not in kept])
    _put(db, number, piece.rows)
    db.executemany("INSERT OR REPLACE INTO walks VALUES (?, ?, '')", [(number, no) for no in piece.walks])
    db.execute("UPDATE clusters SET seq = ?, level_ms = iif(?, ?, level_ms) WHERE number = ?",
               (piece.seq, level_ms, level_ms, number))


def load(db: sqlite3.Connection, number: int, rows: Sequence[CatalogRow], after: Place | None) -> None:
    check_numbers(db, (number,))
    _put(db, number, rows)
    parent, key = (None, None) if after is None else after
    db.execute("UPDATE clusters SET parent = ?, key = ? WHERE number = ?", (parent, key, number))


def load_folder(db: sqlite3.Connection, number: int, folder_no: int, rows: Sequence[CatalogRow],
                after: str | None) -> None:
    check_numbers(db, (number,))
    _put(db, number, rows)
    db.executemany("INSERT OR REPLACE INTO walks VALUES (?, ?, '')",
                   [(number, row.no) for row in rows if row.is_folder])
    if after is None:
        db.execute("DELETE FROM walks WHERE cluster_no = ? AND folder_no = ?", (number, folder_no))
    else:
        db.execute("UPDATE walks SET after = ? WHERE cluster_no = ? AND folder_no = ?", (after, number, folder_no))


def replace(db: sqlite3.Connection, number: int, after: Place, through: Place | None,
            rows: Sequence[CatalogRow]) -> int:
    check_numbers(db, (number,))
    known = {row.no: row for row in rows_between(db, number, after, through)}
    right = {row.no: row for row in rows}
    wrong = [row for row in rows if known.get(row.no) != row]
    gone = [no for no in known if no not in right]
    _remove(db, number, [row_no_of(number, no) for no in gone])
    _put(db, number, wrong)
    return len(wrong) + len(gone)


def sweep(db: sqlite3.Connection, limit: int) -> int:
    numbers = {number for (number,) in db.execute("SELECT number FROM clusters")}
    at = db.execute("SELECT cluster_no FROM entries ORDER BY row_no LIMIT 1").fetchone()
    while at is not None and at[0] in numbers:
        at = db.execute("SELECT cluster_no FROM entries WHERE row_no >= ? ORDER BY row_no LIMIT 1",
                        (row_no_of(at[0] + 1, 0),)).fetchone()
    if at is None:
        return 0
    rows = db.execute("SELECT row_no FROM entries WHERE row_no >= ? AND row_no < ? LIMIT ?",
                      (row_no_of(at[0], 0), row_no_of(at[0] + 1, 0), limit)).fetchall()
    _remove(db, at[0], [no for (no,) in rows])
    return len(rows)


def set_aside(db: sqlite3.Connection, letters: Sequence[DeadLetter]) -> None:
    db.executemany("INSERT INTO dead_letters (cluster, seq, at_ms, reason, text) VALUES (?, ?, ?, ?, ?)",
                   [(one.cluster, one.seq, one.at_ms, one.reason, one.text) for one in letters])
    db.execute("DELETE FROM dead_letters WHERE no <= (SELECT max(no) FROM dead_letters) - ?", (DEAD_LETTERS_MAX,))


def _put(db: sqlite3.Connection, number: int, rows: Sequence[CatalogRow]) -> None:
    """Insert or change rows. An entry keeps its number when it moves.

    By number: FTS5 closes a piece of its index, to be merged later, at each number that is below the one before it.
    """
    fresh: list[tuple[int | str, ...]] = []
    lines = []
    added = 0
    for row in sorted({row.no: row for row in rows}.values(), key=attrgetter("no")):
        row_no = row_no_of(number, row.no)
        folded, marks = fold(row.name), marks_of_row(row)
        grams = _grams(folded, marks)
        old = _grams_of(db, row_no)
        if old is None:
            added += 1
        elif old != grams:
            _forget_grams(db, row_no, old)
        if old != grams:
            fresh.append((row_no, *grams))
        lines.append((row_no, number, row.parent, row.key, folded, row.size, row.generation, row.etag,
                      row.content_type, row.owner, row.modified_ms,
                      json.dumps(dict(row.tags), ensure_ascii=False) if row.tags else None,
                      bits_of(marks, is_file=not row.is_folder)))
    db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", lines)
    db.executemany("INSERT INTO grams (rowid, name, owner, major, type, tags) VALUES (?, ?, ?, ?, ?, ?)", fresh)
    if added:
        db.execute("UPDATE clusters SET rows = rows + ? WHERE number = ?", (added, number))


def _remove(db: sqlite3.Connection, number: int, row_nos: Sequence[int]) -> None:
    removed = 0
    for row_no in sorted(row_nos):
        grams = _grams_of(db, row_no)
        if grams is None:
            continue
        _forget_grams(db, row_no, grams)
        db.execute("DELETE FROM entries WHERE row_no = ?", (row_no,))
        removed += 1
    if removed:
        db.execute("UPDATE clusters SET rows = rows - ? WHERE number = ?", (removed, number))


def _grams(folded: str, marks: Sequence[int]) -> tuple[str, ...]:
    """What stands in the columns of `grams`."""
    owner, major, whole, *tags = (*grams_of_marks(marks), "", "")
    return folded, owner, major, whole, "".join(tags)


def _grams_of(db: sqlite3.Connection, row_no: int) -> tuple[str, ...] | None:
    """What stands in `grams` for an entry, made again out of its row: the index itself does not know."""
    row = db.execute(f"SELECT {COLUMNS} FROM entries e WHERE row_no = ?", (row_no,)).fetchone()
    if row is None:
        return None
    known = row_of(row)
    return _grams(fold(known.name), marks_of_row(known))


def _forget_grams(db: sqlite3.Connection, row_no: int, grams: Sequence[str]) -> None:
    db.execute("INSERT INTO grams (grams, rowid, name, owner, major, type, tags) VALUES ('delete', ?, ?, ?, ?, ?, ?)",
               (row_no, *grams))
