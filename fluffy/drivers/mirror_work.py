"""What mirrors have still to do, and how far they have followed, in a small SQLite file. Implements `MirrorStore`.

What is to do for a piece of the feed is stored together with the position behind it, so nothing is lost between them;
after a loss of power the last seconds of both are gone together, and are read again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fluffy.services.federation.mirror_store import UNKNOWN_SEQ, Cursor, Kept, Sending, Todo, Work

FILE_NAME = "mirrors.db"
KEPT_MAX = 1_000

_TABLES = (
    """
CREATE TABLE IF NOT EXISTS mirrors (
    mirror          TEXT PRIMARY KEY,    -- FROM>TO
    epoch           TEXT NOT NULL,       -- history of the source that seq belongs to
    target_epoch    TEXT NOT NULL,
    seq             INTEGER NOT NULL,
    level_ms        INTEGER NOT NULL,    -- wall time when the target was as the source; 0: never
    compared_ms     INTEGER NOT NULL,    -- wall time when the last comparison of all ended; 0: one is going on
    kept            INTEGER NOT NULL,    -- how many files of others were kept, ever
    target_seq      INTEGER NOT NULL     -- position of the target's feed; -1: not followed yet
)""",
    """
CREATE TABLE IF NOT EXISTS work (
    no              INTEGER PRIMARY KEY AUTOINCREMENT,
    mirror          TEXT NOT NULL,
    kind            TEXT NOT NULL,       -- file, tree, move
    path            TEXT NOT NULL,       -- in the bucket
    came_from       TEXT NOT NULL,       -- where it was before it was moved; '': not moved
    after           TEXT NOT NULL,       -- of a tree: its children are done up to this key
    made_ms         INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    due_ms          INTEGER NOT NULL,
    error           TEXT NOT NULL,       -- of the last attempt; '': none
    UNIQUE (mirror, kind, path)
)""",
    "CREATE INDEX IF NOT EXISTS work_due ON work (mirror, kind, due_ms)",
    "CREATE INDEX IF NOT EXISTS work_made ON work (mirror, made_ms)",
    "CREATE INDEX IF NOT EXISTS work_failed ON work (mirror, no) WHERE error != ''",
    """
CREATE TABLE IF NOT EXISTS folders (     -- that the source had
    mirror          TEXT NOT NULL,
    path            TEXT NOT NULL,
    PRIMARY KEY (mirror, path)
) WITHOUT ROWID""",
    """
CREATE TABLE IF NOT EXISTS kept (
    no              INTEGER PRIMARY KEY AUTOINCREMENT,
    mirror          TEXT NOT NULL,
    path            TEXT NOT NULL,
    kept_as         TEXT NOT NULL,
    at_ms           INTEGER NOT NULL
)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS kept_once ON kept (mirror, path, kept_as)",
    """
CREATE TABLE IF NOT EXISTS sending (     -- large files: their uploads in parts at the target
    mirror          TEXT NOT NULL,
    path            TEXT NOT NULL,
    upload_id       TEXT NOT NULL,
    print           TEXT NOT NULL,       -- of the file and all that is told of it
    PRIMARY KEY (mirror, path)
) WITHOUT ROWID""")
_WORK = "no, kind, path, came_from, after, made_ms, attempts, error"


class MirrorWork:
    """In `folder`. Used on one loop; calls block briefly."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        for statement in _TABLES:
            self._db.execute(statement)
        if "target_seq" not in [row[1] for row in self._db.execute("PRAGMA table_info(mirrors)")]:
            self._db.execute(f"ALTER TABLE mirrors ADD COLUMN target_seq INTEGER NOT NULL DEFAULT {UNKNOWN_SEQ}")

    def close(self) -> None:
        self._db.close()

    def forget_others(self, mirrors: Collection[str]) -> None:
        names = json.dumps(list(mirrors))
        with self._whole():
            for table in ("mirrors", "work", "folders", "kept", "sending"):
                self._db.execute(f"DELETE FROM {table} WHERE mirror NOT IN (SELECT value FROM json_each(?))", (names,))

    def cursor(self, mirror: str) -> Cursor | None:
        row = self._db.execute("SELECT epoch, target_epoch, seq, level_ms, compared_ms, target_seq FROM mirrors"
                               " WHERE mirror = ?", (mirror,)).fetchone()
        return None if row is None else Cursor(*row)

    def begin(self, mirror: str, epoch: str, target_epoch: str, seq: int, target_seq: int, now_ms: int) -> None:
        with self._whole():
            self._db.execute(
                "INSERT INTO mirrors (mirror, epoch, target_epoch, seq, target_seq, level_ms, compared_ms, kept)"
                " VALUES (?, ?, ?, ?, ?, 0, 0, 0) ON CONFLICT (mirror) DO UPDATE SET epoch = excluded.epoch,"
                " target_epoch = excluded.target_epoch, seq = excluded.seq, target_seq = excluded.target_seq,"
                " compared_ms = 0", (mirror, epoch, target_epoch, seq, target_seq))
            self._add(mirror, [Todo("tree", "")], now_ms)

    def compare(self, mirror: str, now_ms: int) -> None:
        with self._whole():
            self._db.execute("UPDATE mirrors SET compared_ms = 0 WHERE mirror = ?", (mirror,))
            self._add(mirror, [Todo("tree", "")], now_ms)

    def take(self, mirror: str, seq: int, todos: Iterable[Todo], now_ms: int) -> None:
        with self._whole():
            self._db.execute("UPDATE mirrors SET seq = ? WHERE mirror = ?", (seq, mirror))
            self._add(mirror, todos, now_ms)

    def take_target(self, mirror: str, since: Cursor, seq: int, todos: Iterable[tuple[Todo, int]], now_ms: int) -> None:
        with self._whole():
            if self._db.execute("UPDATE mirrors SET target_seq = ? WHERE mirror = ? AND target_epoch = ?"
                                " AND target_seq = ?", (seq, mirror, since.target_epoch, since.target_seq)).rowcount:
                for todo, due_ms in todos:
                    self._add(mirror, [todo], now_ms, due_ms)

    def is_level(self, mirror: str, at_ms: int) -> None:
        self._db.execute("UPDATE mirrors SET level_ms = ?1, compared_ms = CASE compared_ms WHEN 0 THEN ?1 ELSE"
                         " compared_ms END WHERE mirror = ?2", (at_ms, mirror))

    def due(self, mirror: str, kind: str, now_ms: int, limit: int) -> list[Work]:
        rows = self._db.execute(f"SELECT {_WORK} FROM work WHERE mirror = ? AND kind = ? AND due_ms <= ?"
                                " ORDER BY due_ms, no LIMIT ?", (mirror, kind, now_ms, limit))
        return [Work(*row) for row in rows]

    def failed(self, mirror: str, limit: int) -> list[Work]:
        rows = self._db.execute(f"SELECT {_WORK} FROM work WHERE mirror = ? AND error != '' ORDER BY no LIMIT ?",
                                (mirror, limit))
        return [Work(*row) for row in rows]

    def count(self, mirror: str, kind: str | None = None) -> int:
        return int(self._db.execute("SELECT count(*) FROM work WHERE mirror = ?1 AND (?2 IS NULL OR kind = ?2)",
                                    (mirror, kind)).fetchone()[0])

    def oldest_ms(self, mirror: str) -> int | None:
        found = self._db.execute("SELECT min(made_ms) FROM work WHERE mirror = ?", (mirror,)).fetchone()[0]
        return None if found is None else int(found)

    def done(self, mirror: str, work: Work, more: Iterable[Todo], now_ms: int) -> None:
        with self._whole():
            self._db.execute("DELETE FROM work WHERE no = ?", (work.no,))
            self._add(mirror, more, now_ms)

    def go_on(self, mirror: str, work: Work, after: str, more: Iterable[Todo], now_ms: int) -> None:
        with self._whole():
            self._db.execute("UPDATE work SET after = ?, attempts = 0, error = '' WHERE no = ?", (after, work.no))
            self._add(mirror, more, now_ms)

    def later(self, work: Work, until_ms: int, error: str) -> None:
        self._db.execute("UPDATE work SET due_ms = ?, attempts = attempts + 1, error = ? WHERE no = ?",
                         (until_ms, error, work.no))

    def know_folder(self, mirror: str, path: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO folders VALUES (?, ?)", (mirror, path))

    def knows_folder(self, mirror: str, path: str) -> bool:
        return self._db.execute("SELECT 1 FROM folders WHERE mirror = ? AND path = ?",
                                (mirror, path)).fetchone() is not None

    def forget_folder(self, mirror: str, path: str) -> None:
        self._db.execute("DELETE FROM folders WHERE mirror = ? AND path = ?", (mirror, path))

    def keep(self, mirror: str, kept: Kept) -> None:
        with self._whole():
            is_new = self._db.execute("INSERT OR IGNORE INTO kept (mirror, path, kept_as, at_ms) VALUES (?, ?, ?, ?)",
                                      (mirror, kept.path, kept.kept_as, kept.at_ms)).rowcount
            self._db.execute("UPDATE mirrors SET kept = kept + ? WHERE mirror = ?", (is_new, mirror))
            self._db.execute("DELETE FROM kept WHERE mirror = ?1 AND no <= (SELECT max(no) FROM kept) - ?2",
                             (mirror, KEPT_MAX))

    def asides(self, mirror: str, path: str, since_ms: int) -> int:
        return int(self._db.execute("SELECT count(*) FROM kept WHERE mirror = ? AND path = ? AND kept_as != path"
                                    " AND at_ms >= ?", (mirror, path, since_ms)).fetchone()[0])

    def sending(self, mirror: str, path: str) -> Sending | None:
        row = self._db.execute("SELECT upload_id, print FROM sending WHERE mirror = ? AND path = ?",
                               (mirror, path)).fetchone()
        return None if row is None else Sending(*row)

    def begin_sending(self, mirror: str, path: str, sending: Sending) -> None:
        self._db.execute("INSERT OR REPLACE INTO sending VALUES (?, ?, ?, ?)",
                         (mirror, path, sending.upload_id, sending.print))

    def end_sending(self, mirror: str, path: str) -> None:
        self._db.execute("DELETE FROM sending WHERE mirror = ? AND path = ?", (mirror, path))

    def kept(self, mirror: str, limit: int) -> list[Kept]:
        rows = self._db.execute("SELECT path, kept_as, at_ms FROM kept WHERE mirror = ? ORDER BY no DESC LIMIT ?",
                                (mirror, limit))
        return [Kept(*row) for row in rows]

    def kept_count(self, mirror: str) -> int:
        row = self._db.execute("SELECT kept FROM mirrors WHERE mirror = ?", (mirror,)).fetchone()
        return 0 if row is None else int(row[0])

    def _add(self, mirror: str, todos: Iterable[Todo], now_ms: int, due_ms: int | None = None) -> None:
        """What is to do already is renewed: whoever is at it now has not seen this change. `due_ms` None: now."""
        for todo in todos:
            old = self._db.execute("DELETE FROM work WHERE mirror = ? AND kind = ? AND path = ? RETURNING came_from,"
                                   " made_ms", (mirror, todo.kind, todo.path)).fetchone()
            came_from, made_ms = old or ("", now_ms)
            if came_from and todo.came_from and came_from != todo.came_from:
                self._add(mirror, [Todo(todo.kind, came_from)], now_ms, due_ms)
            self._db.execute(
                "INSERT INTO work (mirror, kind, path, came_from, after, made_ms, attempts, due_ms, error)"
                " VALUES (?, ?, ?, ?, '', ?, 0, ?, '')",
                (mirror, todo.kind, todo.path, todo.came_from or came_from, made_ms,
                 now_ms if due_ms is None else due_ms))

    @contextmanager
    def _whole(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
