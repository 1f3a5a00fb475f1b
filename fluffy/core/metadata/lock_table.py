"""Locks in memory, beside their table: every write asks whether something covers its path, and mostly nothing does.

A lock is on a path, not on what stands there: it covers the path and all below it, may be taken before the file
exists, and stays where it is when the file moves away. It ends at `expires_ms` of log time; a row that has ended is
no lock any more, and is deleted when somebody takes the next one.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

# All are in memory, about 500 bytes each, and a change of a folder looks at each.
LOCKS_MAX = 10_000
LOCKS_OF_USER_MAX = 1_000
# What one AcquireLock clears away of what has ended.
SWEEP_LOCKS_MAX = 100

EXCLUSIVE = "exclusive"
MODES = (EXCLUSIVE, "shared")


@dataclass(slots=True, eq=False)
class LockRow:
    """One row of `locks`. Change it only through `LockTable`."""

    no: int
    lock_hash: bytes
    path: str
    mode: str
    user_no: int
    note: str
    acquired_ms: int
    expires_ms: int


class LockTable:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._by_hash: dict[bytes, LockRow] = {}
        self._by_path: dict[str, list[LockRow]] = {}
        self._of_user: Counter[int] = Counter()
        for row in db.execute("SELECT * FROM locks ORDER BY lock_no"):
            self._remember(LockRow(*row))

    def __len__(self) -> int:
        return len(self._by_hash)

    def has_living(self, count: int, clock_ms: int, *, of_user: int | None = None) -> bool:
        """Whether so many locks (of that user) have not ended. Looks at each only when there are so many rows."""
        if (len(self._by_hash) if of_user is None else self._of_user[of_user]) < count:
            return False
        return sum(row.expires_ms > clock_ms and of_user in (None, row.user_no)
                   for row in self._by_hash.values()) >= count

    def rows_of(self, user_no: int) -> list[LockRow]:
        """All rows of a user, ended ones too."""
        return [row for row in self._by_hash.values() if row.user_no == user_no]

    def get(self, lock_hash: bytes) -> LockRow | None:
        """The row of a token, ended or not."""
        return self._by_hash.get(lock_hash)

    def covering(self, path: str) -> Iterator[LockRow]:
        """Rows on the path and on the folders above it, ended ones too."""
        if self._by_path:
            while path:
                yield from self._by_path.get(path, ())
                path = path.rpartition("/")[0]

    def inside(self, path: str) -> Iterator[LockRow]:
        """Rows below a folder (not on it), ended ones too; in no order to rely on."""
        prefix = path + "/"
        for locked, rows in self._by_path.items():
            if locked.startswith(prefix):
                yield from rows

    def insert(self, row: LockRow) -> None:
        self._db.execute("INSERT INTO locks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                         (row.no, row.lock_hash, row.path, row.mode, row.user_no, row.note, row.acquired_ms,
                          row.expires_ms))
        self._remember(row)

    def renew(self, row: LockRow, expires_ms: int) -> None:
        row.expires_ms = expires_ms
        self._db.execute("UPDATE locks SET expires_ms = ? WHERE lock_no = ?", (expires_ms, row.no))

    def delete(self, row: LockRow) -> None:
        self._db.execute("DELETE FROM locks WHERE lock_no = ?", (row.no,))
        del self._by_hash[row.lock_hash]
        rows = self._by_path[row.path]
        rows.remove(row)
        if not rows:
            del self._by_path[row.path]
        self._of_user[row.user_no] -= 1

    def sweep(self, clock_ms: int) -> None:
        """Delete some of the rows that have ended, oldest end first."""
        ended = self._db.execute("SELECT lock_hash FROM locks WHERE expires_ms <= ? ORDER BY expires_ms, lock_no"
                                 " LIMIT ?", (clock_ms, SWEEP_LOCKS_MAX)).fetchall()
        for (lock_hash,) in ended:
            self.delete(self._by_hash[lock_hash])

    def _remember(self, row: LockRow) -> None:
        self._by_hash[row.lock_hash] = row
        self._by_path.setdefault(row.path, []).append(row)
        self._of_user[row.user_no] += 1
