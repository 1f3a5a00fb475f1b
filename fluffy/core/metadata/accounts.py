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
    """One row of `accounts`. None: no limit. Change it only through `Accounts.touch`."""

    subject: int
    no: int
    files: int = 0
    bytes: int = 0
    files_max: int | None = None
    bytes_max: int | None = None
    changed: bool = False


class Accounts:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._buckets: dict[int, Account] = {}
        self._users: dict[int, Account] = {}
        self._changed: dict[tuple[int, int], Account] = {}

    def bucket(self, bucket_no: int) -> Account:
        return self._buckets.get(bucket_no) or self._load(SUBJECT_BUCKET, bucket_no)

    def user(self, user_no: int) -> Account:
        return self._users.get(user_no) or self._load(SUBJECT_USER, user_no)

    def _known(self, subject: int) -> dict[int, Account]:
        return self._buckets if subject == SUBJECT_BUCKET else self._users

    def _load(self, subject: int, no: int) -> Account:
        row = self._db.execute("SELECT files, bytes, files_max, bytes_max FROM accounts"
                               " WHERE subject = ? AND no = ?", (subject, no)).fetchone()
        account = self._known(subject)[no] = Account(subject, no, *row) if row is not None else Account(subject, no)
        return account

    def touch(self, account: Account) -> Account:
        """Note that the caller changes a field of `account`."""
        if not account.changed:
            account.changed = True
            self._changed[account.subject, account.no] = account
        return account

    def count(self, *, bucket_no: int, owner_no: int, files: int, size: int) -> None:
        """Add to a bucket's account and its owner's; negative numbers take away."""
        for account in (self.bucket(bucket_no), self.user(owner_no)):
            if not account.changed:
                self.touch(account)
            account.files += files
            account.bytes += size

    def give(self, *, bucket_no: int, from_no: int, to_no: int) -> None:
        """The bucket changes hands: what it holds counts for its new owner."""
        held = self.bucket(bucket_no)
        for account, sign in ((self.user(from_no), -1), (self.user(to_no), 1)):
            self.touch(account)
            account.files += sign * held.files
            account.bytes += sign * held.bytes

    def drop_bucket(self, bucket_no: int) -> None:
        """The bucket is gone; nothing was in it."""
        self._drop(SUBJECT_BUCKET, bucket_no)

    def drop_user(self, user_no: int) -> None:
        """The user is gone, and owns nothing."""
        self._drop(SUBJECT_USER, user_no)

    def _drop(self, subject: int, no: int) -> None:
        self._known(subject).pop(no, None)
        self._changed.pop((subject, no), None)
        self._db.execute("DELETE FROM accounts WHERE subject = ? AND no = ?", (subject, no))

    def flush(self) -> None:
        """Write the changed accounts; then, if there are too many in memory, start afresh."""
        if self._changed:
            self._db.executemany("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?)", [
                (subject, no, account.files, account.bytes, account.files_max, account.bytes_max)
                for (subject, no), account in self._changed.items()])
            for account in self._changed.values():
                account.changed = False
            self._changed.clear()
        if len(self._buckets) + len(self._users) > ACCOUNTS_CACHED_MAX:
            self._buckets.clear()
            self._users.clear()
