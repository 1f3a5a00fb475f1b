"""Locks: take, renew, release. What a lock keeps others from is in `locks`."""

from __future__ import annotations

from fluffy.base.checks import invariant
from fluffy.base.errors import BucketNotFound, LockNotFound, RequestError, TooLarge
from fluffy.base.ids import UserNo
from fluffy.base.units import HOUR_MS, SECOND_MS
from fluffy.core.metadata import audit, tree
from fluffy.core.metadata.commands_people import AcquireLock, ReleaseLock, RenewLock
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.lock_table import EXCLUSIVE, LOCKS_MAX, LOCKS_OF_USER_MAX, MODES, LockRow
from fluffy.core.metadata.locks import living, oldest, refuse_held
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.refusals import refuse_bucket_admin, refuse_writer, refused
from fluffy.core.metadata.tree import Place
from fluffy.core.metadata.working import Working

LOCK_HASH_BYTES = 32
# Shorter than a few log rounds a lock would end while its answer travels; longer, a dead holder is waited for too long.
LOCK_TTL_MIN_MS = SECOND_MS
LOCK_TTL_MAX_MS = HOUR_MS
NOTE_BYTES_MAX = 256
invariant(LOCK_TTL_MIN_MS < LOCK_TTL_MAX_MS, "there are locks")


def acquire_lock(work: Working, command: AcquireLock) -> Outcome:
    """Take a lock, or learn who holds it. Needs the right to write: a lock keeps others from writing.

    The same token on the same path again is success. facts: expires_ms, fence (grows with every lock taken).
    """
    refusal = _refuse_values(command)
    if refusal is not None:
        return refusal
    place = tree.locate_folder(work, command.path)
    if isinstance(place, Rejected):
        return place
    bucket = _bucket(work, place)
    if bucket is None:
        return refused(BucketNotFound)
    user_no = command.header.user_no
    refusal = refuse_writer(work, user_no, bucket)
    if refusal is not None:
        return refusal
    table = work.locks
    own = living(work, table.get(command.lock))
    if own is not None:
        if (own.path, own.mode, own.user_no) != (place.path, command.mode, user_no):
            return refused(RequestError, "that token holds another lock; use a new one")
        return Accepted(work.seq, {"expires_ms": own.expires_ms, "fence": own.no})
    others = [row for row in (*table.covering(place.path), *table.inside(place.path))
              if living(work, row) is not None and EXCLUSIVE in (row.mode, command.mode)]
    if others:
        return refuse_held(work, oldest(others))
    return _take(work, command, place.path)


def _bucket(work: Working, place: Place) -> Folder | None:
    """The bucket of a place, which may be that bucket itself; None: there is none."""
    if place.bucket is not None or place.missing:
        return place.bucket
    return tree.folder_in(work, place.folder, place.name)


def _take(work: Working, command: AcquireLock, path: str) -> Outcome:
    table = work.locks
    user_no = command.header.user_no
    if (table.has_living(LOCKS_MAX, work.clock_ms)
            or table.has_living(LOCKS_OF_USER_MAX, work.clock_ms, of_user=user_no)):
        return refused(TooLarge, f"a user holds at most {LOCKS_OF_USER_MAX:,} locks, all together {LOCKS_MAX:,};"
                                 " release some")
    ended = table.get(command.lock)
    if ended is not None:
        table.delete(ended)
    table.sweep(work.clock_ms)
    row = LockRow(work.next_no(), command.lock, path, command.mode, user_no, command.note, work.clock_ms,
                  work.clock_ms + command.ttl_ms)
    table.insert(row)
    work.seq += 1
    return Accepted(work.seq, {"expires_ms": row.expires_ms, "fence": row.no})


def _refuse_values(command: AcquireLock) -> Rejected | None:
    if command.mode not in MODES:
        return refused(RequestError, "a lock is exclusive or shared")
    if len(command.lock) != LOCK_HASH_BYTES:
        return refused(RequestError, f"a lock's token is known by a hash of {LOCK_HASH_BYTES} bytes")
    try:
        if len(command.note.encode()) > NOTE_BYTES_MAX:
            return refused(RequestError, f"a lock's note has at most {NOTE_BYTES_MAX} bytes")
    except UnicodeEncodeError:
        return refused(RequestError, "a lock's note is not valid UTF-8")
    return _refuse_ttl(command.ttl_ms)


def _refuse_ttl(ttl_ms: int) -> Rejected | None:
    if LOCK_TTL_MIN_MS <= ttl_ms <= LOCK_TTL_MAX_MS:
        return None
    return refused(RequestError, f"a lock lasts {LOCK_TTL_MIN_MS // SECOND_MS} to {LOCK_TTL_MAX_MS // SECOND_MS}"
                                 " seconds; renew it while you need it")


def renew_lock(work: Working, command: RenewLock) -> Outcome:
    """Let a living lock last longer. facts: expires_ms, fence."""
    refusal = _refuse_ttl(command.ttl_ms)
    if refusal is not None:
        return refusal
    row = _own(work, command.header.user_no, command.lock)
    if row is None:
        return refused(LockNotFound)
    if work.clock_ms + command.ttl_ms > row.expires_ms:
        work.locks.renew(row, work.clock_ms + command.ttl_ms)
        work.seq += 1
    return Accepted(work.seq, {"expires_ms": row.expires_ms, "fence": row.no})


def _own(work: Working, user_no: UserNo, lock_hash: bytes) -> LockRow | None:
    """The living lock of that token, if it is this user's and the user may still write."""
    row = living(work, work.locks.get(lock_hash))
    user = work.user(user_no)
    return row if row is not None and row.user_no == user_no and user is not None and not user.disabled else None


def release_lock(work: Working, command: ReleaseLock) -> Outcome:
    """End one's own lock, or break all locks on a path. facts: released (how many)."""
    user_no = command.header.user_no
    if command.lock:
        row = _own(work, user_no, command.lock)
        if row is None:
            return refused(LockNotFound)
        work.locks.delete(row)
        work.seq += 1
        return Accepted(work.seq, {"released": 1})
    place = tree.locate_folder(work, command.path)
    if isinstance(place, Rejected):
        return place
    bucket = _bucket(work, place)
    if bucket is None:
        return refused(BucketNotFound)
    refusal = refuse_bucket_admin(work, user_no, bucket)
    if refusal is not None:
        return refusal
    rows = [row for row in work.locks.covering(place.path)
            if row.path == place.path and living(work, row) is not None]
    if not rows:
        return refused(LockNotFound, "nobody holds a lock on exactly that path", path="/" + place.path)
    for row in rows:
        work.locks.delete(row)
    work.seq += 1
    audit.record(work, user_no, "break-lock", "/" + place.path, f"{len(rows)} locks")
    return Accepted(work.seq, {"released": len(rows)})

