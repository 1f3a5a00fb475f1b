"""Does a lock stand in the way of a write? The fence that every command which changes a path passes.

    a write passes when every living lock that covers its path is the one whose token it brings

so nobody writes under another's lock, nor under a lock that is shared with another; and a token that a write brings
must be alive, its own user's, and cover the path: a holder whose lock has ended meanwhile learns it here (LockLost),
before it changes what now somebody else relies on.
"""

from __future__ import annotations

from fluffy.base.errors import FileLocked, LockLost
from fluffy.base.ids import UserNo
from fluffy.core.metadata.lock_table import LockRow
from fluffy.core.metadata.outcomes import Rejected
from fluffy.core.metadata.refusals import refused
from fluffy.core.metadata.working import Working


def refuse_locked(work: Working, user_no: UserNo, lock: bytes, *paths: str, below: bool = False) -> Rejected | None:
    """None when the locks let `user_no` change all of `paths`, bringing the token with hash `lock` (empty: none).

    `below`: what stands under the paths is changed too (a folder that moves or goes), so locks inside count as well.
    The token must cover at least one of the paths.
    """
    table = work.locks
    if not lock and not table:
        return None
    own = living(work, table.get(lock)) if lock else None
    if own is not None and own.user_no != user_no:
        own = None
    others: list[LockRow] = []
    covers = False
    for path in paths:
        for row in [*table.covering(path), *(table.inside(path) if below else ())]:
            if row is own:
                covers = True
            elif living(work, row) is not None:
                others.append(row)
    if others:
        return refuse_held(work, oldest(others))
    return refused(LockLost) if lock and not covers else None


def oldest(rows: list[LockRow]) -> LockRow:
    """Which of several a refusal names: the same on every node, whatever order memory has them in."""
    return min(rows, key=lambda row: row.no)


def living(work: Working, row: LockRow | None) -> LockRow | None:
    """The lock if it has not ended by log time."""
    return row if row is not None and row.expires_ms > work.clock_ms else None


def refuse_held(work: Working, row: LockRow) -> Rejected:
    """The refusal that names the holder."""
    holder = work.user(UserNo(row.user_no))
    name = "" if holder is None else holder.name
    return refused(FileLocked, f"/{row.path} is locked by {name} ({row.mode})", holder=name,
                   expires_ms=row.expires_ms, path="/" + row.path, mode=row.mode, note=row.note)
