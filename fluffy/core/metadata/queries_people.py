"""Questions about people: who a credential belongs to, rights, quotas, locks, the audit log.

Lists come page by page in the order of their key; `after` is the last key of the page before. `now_ms` is the asker's
clock: what ends by time is over when either that or log time says so.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

from fluffy.base.ids import UserNo
from fluffy.base.paths import RemotePath
from fluffy.core.metadata.commands_people import EVERYONE
from fluffy.core.metadata.lock_table import EXCLUSIVE
from fluffy.core.metadata.model import User
from fluffy.core.metadata.model_people import (
    AuditRow,
    BucketInfo,
    Credential,
    Grant,
    Lock,
    Login,
    Person,
    QuotaUse,
    Standing,
    TightQuota,
    TokenInfo,
)
from fluffy.core.metadata.names import is_bucket_name, is_name
from fluffy.core.metadata.rights import EVERYONE_NO, RIGHT_NAMES, Right
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.metadata.schema_people import SUBJECT_BUCKET, SUBJECT_USER

_NAMES = {right: name for name, right in RIGHT_NAMES.items()}
_LOCK = ("SELECT path, mode, ifnull((SELECT name FROM users u WHERE u.user_no = l.user_no), ''), note, acquired_ms,"
         " expires_ms, lock_no FROM locks l")
TOKEN_ID_HEX = 16


def credential_by_token_hash(db: sqlite3.Connection, token_hash: bytes, now_ms: int) -> Credential | None:
    """Whose token it is; None: nobody's, or it has expired, or its user is disabled."""
    row = db.execute(
        "SELECT user_no, name, role, disabled, expires_ms FROM tokens JOIN users USING (user_no)"
        " WHERE token_hash = ? AND NOT disabled AND (expires_ms = 0 OR expires_ms > ?)",
        (token_hash, max(now_ms, _clock_ms(db)))).fetchone()
    return None if row is None else Credential(_user(row), token_hash.hex()[:TOKEN_ID_HEX], row[4])


def login_by_name(db: sqlite3.Connection, name: str) -> Login | None:
    """What a password is checked against; None: there is no such user, or it is disabled."""
    if not is_name(name):
        return None
    row = db.execute("SELECT user_no, name, role, disabled, password FROM users WHERE name = ? AND NOT disabled",
                     (name,)).fetchone()
    return None if row is None else Login(_user(row), row[4] or b"")


def user_by_no(db: sqlite3.Connection, user_no: UserNo) -> User | None:
    """The user of that number, disabled or not; None: removed, or never there. Numbers are not used again."""
    row = db.execute("SELECT user_no, name, role, disabled FROM users WHERE user_no = ?", (user_no,)).fetchone()
    return None if row is None else _user(row)


def is_last_way_in(db: sqlite3.Connection, user_no: UserNo, token_id: str | None, now_ms: int) -> bool:
    """Whether without these tokens of this user (None: all) no admin could come in any more, by password or token."""
    clock_ms = max(now_ms, _clock_ms(db))
    row = db.execute(
        "SELECT 1 FROM users u WHERE role = 'admin' AND NOT disabled AND (password IS NOT NULL OR EXISTS ("
        " SELECT 1 FROM tokens t WHERE t.user_no = u.user_no AND (expires_ms = 0 OR expires_ms > ?)"
        " AND NOT (t.user_no = ? AND (? IS NULL OR hex(token_hash) LIKE ? || '%')))) LIMIT 1",
        (clock_ms, user_no, token_id, token_id)).fetchone()
    return row is None


def _user(row: tuple[Any, ...]) -> User:
    return User(UserNo(row[0]), row[1], row[2], bool(row[3]))


def _clock_ms(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT clock_ms FROM state").fetchone()[0])


def people(db: sqlite3.Connection, after: str | None, limit: int) -> tuple[Person, ...]:
    """All users by name."""
    rows = db.execute(
        "SELECT user_no, name, role, disabled, created_ms, password IS NOT NULL,"
        " (SELECT count(*) FROM entries e WHERE e.parent = ? AND e.version_no = 0 AND e.owner_no = u.user_no),"
        " (SELECT count(*) FROM tokens t WHERE t.user_no = u.user_no)"
        " FROM users u WHERE name > ? ORDER BY name LIMIT ?", (ROOT_NO, after or "", limit)).fetchall()
    return tuple(Person(_user(row), row[4], bool(row[5]), row[6], row[7], _quota(db, SUBJECT_USER, row[0]))
                 for row in rows)


def person(db: sqlite3.Connection, name: str) -> Person | None:
    """One user; None: there is none of that name."""
    if not is_name(name):
        return None
    row = db.execute("SELECT max(name) FROM users WHERE name < ?", (name,)).fetchone()
    found = people(db, row[0], 1)
    return found[0] if found and found[0].user.name == name else None


def tokens(db: sqlite3.Connection, user_no: UserNo) -> tuple[TokenInfo, ...]:
    """A user's tokens (at most TOKENS_OF_USER_MAX), oldest first; expired ones too, until the next one is added."""
    rows = db.execute("SELECT token_hash, label, created_ms, expires_ms FROM tokens WHERE user_no = ?"
                      " ORDER BY created_ms, token_hash", (user_no,))
    return tuple(TokenInfo(token_hash.hex()[:TOKEN_ID_HEX], *rest) for token_hash, *rest in rows)


def standing(db: sqlite3.Connection, bucket: str, user_no: UserNo) -> Standing | None:
    """How a user stands in a bucket, for the policy; None: there is no such bucket."""
    if not is_bucket_name(bucket):
        return None
    row = db.execute(
        "SELECT ifnull((SELECT name FROM users u WHERE u.user_no = f.owner_no), ''),"
        " (SELECT max(granted) FROM grants WHERE bucket_no = f.folder_no AND grantee_no IN (?, ?))"
        " FROM entries e JOIN folders f ON f.folder_no = e.no WHERE e.parent = ? AND e.key = ?",
        (EVERYONE_NO, user_no, ROOT_NO, bucket + "/")).fetchone()
    return None if row is None else Standing(bucket, row[0], Right(row[1] or 0))


def own_buckets(db: sqlite3.Connection, user_no: UserNo) -> tuple[str, ...]:
    """Names of the buckets that a user owns, in order."""
    rows = db.execute("SELECT key FROM entries WHERE parent = ? AND version_no = 0 AND owner_no = ? ORDER BY key",
                      (ROOT_NO, user_no))
    return tuple(key.removesuffix("/") for (key,) in rows)


def granted_buckets(db: sqlite3.Connection, user_no: UserNo) -> dict[str, Right]:
    """Buckets in which the user or everyone was granted something, by name; for listings and searches."""
    rows = db.execute(
        "SELECT f.key, max(g.granted) FROM grants g JOIN folders f ON f.folder_no = g.bucket_no"
        " WHERE g.grantee_no IN (?, ?) AND NOT f.removed GROUP BY f.key ORDER BY f.key", (EVERYONE_NO, user_no))
    return {key.removesuffix("/"): Right(granted) for key, granted in rows}


def readable_buckets(db: sqlite3.Connection, user: User) -> frozenset[str] | None:
    """Names of the buckets whose content `user` may read; None: all of them."""
    if user.disabled:
        return frozenset()
    if user.role == "admin":
        return None
    return frozenset(own_buckets(db, user.user_no)) | frozenset(granted_buckets(db, user.user_no))


def grants_of(db: sqlite3.Connection, bucket: str) -> tuple[Grant, ...]:
    """The grants of a bucket (at most GRANTS_OF_BUCKET_MAX), everyone's first, then by name."""
    if not is_bucket_name(bucket):
        return ()
    rows = db.execute(
        "SELECT CASE g.grantee_no WHEN ? THEN ? ELSE u.name END, g.granted FROM entries e"
        " JOIN grants g ON g.bucket_no = e.no LEFT JOIN users u ON u.user_no = g.grantee_no"
        " WHERE e.parent = ? AND e.key = ? ORDER BY g.grantee_no != ?, u.name",
        (EVERYONE_NO, EVERYONE, ROOT_NO, bucket + "/", EVERYONE_NO))
    return tuple(Grant(bucket, name, _NAMES[Right(granted)]) for name, granted in rows)


_BUCKET = ("SELECT e.key, e.no, ifnull(u.name, ''), f.created_ms FROM entries e JOIN folders f ON f.folder_no = e.no"
           " LEFT JOIN users u ON u.user_no = f.owner_no WHERE e.parent = ? AND e.version_no = 0")


def bucket_infos(db: sqlite3.Connection, after: str | None, limit: int) -> tuple[BucketInfo, ...]:
    """All buckets by name, with what they hold and who may use them."""
    rows = db.execute(f"{_BUCKET} AND e.key > ? ORDER BY e.key LIMIT ?",
                      (ROOT_NO, f"{after}/" if after else "", limit)).fetchall()
    return tuple(_bucket_info(db, row) for row in rows)


def bucket_info(db: sqlite3.Connection, bucket: str) -> BucketInfo | None:
    """One bucket; None: there is none of that name."""
    if not is_bucket_name(bucket):
        return None
    row = db.execute(f"{_BUCKET} AND e.key = ?", (ROOT_NO, bucket + "/")).fetchone()
    return None if row is None else _bucket_info(db, row)


def _bucket_info(db: sqlite3.Connection, row: tuple[Any, ...]) -> BucketInfo:
    key, bucket_no, owner, created_ms = row
    name = key.removesuffix("/")
    return BucketInfo(name, owner, created_ms, _quota(db, SUBJECT_BUCKET, bucket_no), grants_of(db, name))


def bucket_quota(db: sqlite3.Connection, bucket: str) -> QuotaUse | None:
    """What a bucket holds and may hold; None: there is no such bucket."""
    if not is_bucket_name(bucket):
        return None
    row = db.execute("SELECT no FROM entries WHERE parent = ? AND key = ?", (ROOT_NO, bucket + "/")).fetchone()
    return None if row is None else _quota(db, SUBJECT_BUCKET, row[0])


def user_quota(db: sqlite3.Connection, user_no: UserNo) -> QuotaUse:
    """What the buckets of a user hold together and may hold."""
    return _quota(db, SUBJECT_USER, user_no)


def _quota(db: sqlite3.Connection, subject: int, no: int) -> QuotaUse:
    row = db.execute("SELECT files, bytes, files_max, bytes_max FROM accounts WHERE subject = ? AND no = ?",
                     (subject, no)).fetchone()
    return QuotaUse(*row) if row is not None else QuotaUse(0, 0, None, None)


def bytes_left(db: sqlite3.Connection, bucket: str, user_no: UserNo) -> int | None:
    """How many bytes a new file in `bucket` may have; None: any number. A hint before an upload: the log decides.

    `user_no`: who would own the bucket if it does not exist.
    """
    tight = tightest_quota(db, bucket, user_no)
    return None if tight is None else tight.bytes_left


def tightest_quota(db: sqlite3.Connection, bucket: str, user_no: UserNo) -> TightQuota | None:
    """Which quota that is, and how much of it is used; None: there is none."""
    if not is_bucket_name(bucket):
        return None
    row = db.execute("SELECT e.no, e.owner_no FROM entries e WHERE e.parent = ? AND e.key = ?",
                     (ROOT_NO, bucket + "/")).fetchone()
    owner_no = user_no if row is None else UserNo(row[1])
    found = [("user", "", _quota(db, SUBJECT_USER, owner_no))]
    if row is not None:
        found.append(("bucket", bucket, _quota(db, SUBJECT_BUCKET, row[0])))
    tight = [TightQuota(subject, name, quota.bytes, quota.bytes_max) for subject, name, quota in found
             if quota.bytes_max is not None]
    if not tight:
        return None
    least = min(tight, key=lambda quota: quota.bytes_left)
    owner = user_by_no(db, owner_no) if least.subject == "user" else None
    return least if owner is None else replace(least, name=owner.name)


def locks_at(db: sqlite3.Connection, path: RemotePath, now_ms: int) -> tuple[Lock, ...]:
    """Living locks that cover a path: on it and on the folders above, oldest first."""
    paths = ["/".join(path.segments[:depth]) for depth in range(1, len(path.segments) + 1)]
    rows = db.execute(f"{_LOCK} WHERE path IN ({', '.join('?' * len(paths))}) AND expires_ms > ? ORDER BY lock_no",
                      (*paths, max(now_ms, _clock_ms(db))))
    return tuple(Lock(*row) for row in rows)


def locks_under(db: sqlite3.Connection, path: RemotePath, now_ms: int, after: int, limit: int) -> tuple[Lock, ...]:
    """Living locks on a path and below it (the root: all), oldest first; `after`: the last `fence` seen, or 0."""
    clock_ms = max(now_ms, _clock_ms(db))
    if path.is_root:
        rows = db.execute(f"{_LOCK} WHERE lock_no > ? AND expires_ms > ? ORDER BY lock_no LIMIT ?",
                          (after, clock_ms, limit))
    else:
        # '0' follows '/': everything that begins with 'x/' lies between 'x/' and 'x0'. The pluses keep to that index.
        rows = db.execute(f"{_LOCK} WHERE (path = ? OR (path > ? AND path < ?)) AND +lock_no > ? AND expires_ms > ?"
                          " ORDER BY +lock_no LIMIT ?",
                          (path.text, path.text + "/", path.text + "0", after, clock_ms, limit))
    return tuple(Lock(*row) for row in rows)


def lock_by_hash(db: sqlite3.Connection, lock_hash: bytes, now_ms: int) -> Lock | None:
    """The living lock of a token; None: it has ended or never was."""
    row = db.execute(f"{_LOCK} WHERE lock_hash = ? AND expires_ms > ?",
                     (lock_hash, max(now_ms, _clock_ms(db)))).fetchone()
    return None if row is None else Lock(*row)


def lock_in_the_way(db: sqlite3.Connection, path: RemotePath, mode: str, now_ms: int) -> Lock | None:
    """The oldest living lock that keeps somebody new from locking `path`; None: it seems free."""
    around = (*locks_at(db, path, now_ms), *locks_under(db, path, now_ms, 0, -1))
    others = [lock for lock in around if EXCLUSIVE in (lock.mode, mode)]
    return min(others, key=lambda lock: lock.fence, default=None)


def audit(db: sqlite3.Connection, *, before: int | None, limit: int, who: str | None = None, target: str | None = None,
          act: str | None = None, since_ms: int = 0, refused: bool | None = None) -> tuple[AuditRow, ...]:
    """Rows of the audit log, newest first; `before`: the last `no` of the page before. A scan: run it in a thread.

    `refused`: only what was refused, or only what was done; None: both.
    """
    wanted = [(f"{column} = ?", value) for column, value in (
        ("who", who), ("target", target), ("act", act), ("refused", None if refused is None else int(refused)))
        if value is not None]
    condition = "".join(f" AND {text}" for text, _ in wanted)
    rows = db.execute(
        f"SELECT no, at_ms, who, act, target, refused, detail FROM audit WHERE no < ? AND at_ms >= ?{condition}"
        " ORDER BY no DESC LIMIT ?",
        ((1 << 62) if before is None else before, since_ms, *(value for _, value in wanted), limit))
    return tuple(AuditRow(no, at_ms, who_did, what, about, bool(was_refused), detail)
                 for no, at_ms, who_did, what, about, was_refused, detail in rows)
