"""How much every bucket and every user has in use, and may have; kept in memory while commands count.

A bucket's account counts its current files. A user's account is the sum over the buckets that it owns: whoever owns a
bucket pays for what is in it, whoever put it there. Old versions and the trash cost nobody's quota: the bucket's rules
bound them.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from fluffy.core.metadata.schema_people import SUBJECT_BUCKET, SUBJECT_USER

# About 200 bytes each. Dropped as a whole, between transactions, when there are more.
ACCOUNTS_CACHED_MAX = 10_000


@dataclass(slots=True, eq=False)
class Account:
    """One row of `accounts`. None: no limit."""

    files: int = 0
    bytes: int = 0
    files_max: int | None = None
    bytes_max: int | None = None
    changed: bool = False


class Accounts:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[tuple[int, int], Account] = {}

    def bucket(self, bucket_no: int) -> Account:
        return self._get(SUBJECT_BUCKET, bucket_no)

    def user(self, user_no: int) -> Account:
        return self._get(SUBJECT_USER, user_no)

    def _get(self, subject: int, no: int) -> Account:
        account = self._known.get((subject, no))
        if account is None:
            row = self._db.execute("SELECT files, bytes, files_max, bytes_max FROM accounts"
                                   " WHERE subject = ? AND no = ?", (subject, no)).fetchone()
            account = self._known[subject, no] = Account(*row) if row is not None else Account()
        return account

    def count(self, *, bucket_no: int, owner_no: int, files: int, size: int) -> None:
        """Add to a bucket's account and its owner's; negative numbers take away."""
        for account in (self.bucket(bucket_no), self.user(owner_no)):
            account.files += files
            account.bytes += size
            account.changed = True

    def give(self, *, bucket_no: int, from_no: int, to_no: int) -> None:
        """The bucket changes hands: what it holds counts for its new owner."""
        held = self.bucket(bucket_no)
        for account, sign in ((self.user(from_no), -1), (self.user(to_no), 1)):
            account.files += sign * held.files
            account.bytes += sign * held.bytes
            account.changed = True

    def drop_bucket(self, bucket_no: int) -> None:
        """The bucket is gone; nothing was in it."""
        self._drop(SUBJECT_BUCKET, bucket_no)

    def drop_user(self, user_no: int) -> None:
        """The user is gone, and owns nothing."""
        self._drop(SUBJECT_USER, user_no)

    def _drop(self, subject: int, no: int) -> None:
        self._known.pop((subject, no), None)
        self._db.execute("DELETE FROM accounts WHERE subject = ? AND no = ?", (subject, no))

    def flush(self) -> None:
        """Write the changed accounts; then, if there are too many in memory, start afresh."""
        for (subject, no), account in self._known.items():
            if account.changed:
                self._db.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?)",
                                 (subject, no, account.files, account.bytes, account.files_max, account.bytes_max))
                account.changed = False
        if len(self._known) > ACCOUNTS_CACHED_MAX:
            self._known.clear()
