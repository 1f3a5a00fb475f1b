"""Refusals of `apply`, made from the same classes that every other room raises."""

from __future__ import annotations

from typing import Any

from fluffy.base.errors import AccessDenied, FluffyError, TermStale
from fluffy.base.ids import UserNo
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.names import is_name
from fluffy.core.metadata.outcomes import Rejected
from fluffy.core.metadata.rights import EVERYONE_NO, Right, right_of
from fluffy.core.metadata.schema import CLUSTER_USER_NO
from fluffy.core.metadata.working import Working

_NONE, _READ, _WRITE, _ADMIN = Right.NONE, Right.READ, Right.WRITE, Right.ADMIN


def refused(error: type[FluffyError], message: str | None = None, **facts: Any) -> Rejected:
    """A `Rejected` with the code of `error`, and its sentence unless a better one is known."""
    return Rejected(error.code(), message or error.sentence, facts)


def refuse_writer(work: Working, user_no: UserNo, bucket: Folder | None) -> Rejected | None:
    """None when the user may change names in `bucket` (None: a bucket that is to be made, by anyone but readers)."""
    return _refuse_below(work, user_no, bucket, _WRITE)


def refuse_reader(work: Working, user_no: UserNo, bucket: Folder) -> Rejected | None:
    """None when the user may read what is in `bucket`, to copy it elsewhere."""
    return _refuse_below(work, user_no, bucket, _READ)


def refuse_bucket_admin(work: Working, user_no: UserNo, bucket: Folder) -> Rejected | None:
    """None when the user may change the bucket itself: its grants and rules, its removal."""
    return _refuse_below(work, user_no, bucket, _ADMIN)


def _refuse_below(work: Working, user_no: UserNo, bucket: Folder | None, least: Right) -> Rejected | None:
    user = work.user(user_no)
    if user is None:
        return refused(AccessDenied, "the request does not come from a known user")
    is_owner = bucket is None or bucket.owner_no == user_no
    granted = _NONE
    if bucket is not None and not is_owner and user.role != "admin":
        (highest,) = work.db.execute("SELECT max(granted) FROM grants WHERE bucket_no = ? AND grantee_no IN (?, ?)",
                                     (bucket.no, EVERYONE_NO, user_no)).fetchone()
        granted = Right(highest or 0)
    return None if right_of(user, is_owner=is_owner, granted=granted) >= least else refused(AccessDenied)


def refuse_operator(work: Working, user_no: UserNo) -> Rejected | None:
    """None when the cluster itself or an admin asks."""
    return None if is_operator(work, user_no) else refused(AccessDenied)


def is_operator(work: Working, user_no: UserNo) -> bool:
    """Whether it is the cluster itself, or an admin."""
    if user_no == CLUSTER_USER_NO:
        return True
    user = work.user(user_no)
    return user is not None and user.role == "admin" and not user.disabled


def find_user(work: Working, name: str) -> UserNo | None:
    """The number of the user called `name`."""
    row = work.db.execute("SELECT user_no FROM users WHERE name = ?", (name,)).fetchone() if is_name(name) else None
    return None if row is None else UserNo(row[0])


def refuse_term(work: Working, term: int) -> Rejected | None:
    """None when the leader that decided is the one whose log the command stands in.

    The entry's own term is what Raft agreed on: a decision of an older leader carries a smaller one, and a larger
    one cannot be honest.
    """
    if term == work.entry_term:
        return None
    return refused(TermStale, term=term, newest=work.entry_term)
