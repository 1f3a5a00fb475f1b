"""Refusals of `apply`, made from the same classes that every other room raises."""

from __future__ import annotations

from typing import Any

from fluffy.base.errors import AccessDenied, FluffyError, TermStale
from fluffy.base.ids import UserNo
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.outcomes import Rejected
from fluffy.core.metadata.schema import CLUSTER_USER_NO
from fluffy.core.metadata.working import Working


def refused(error: type[FluffyError], message: str | None = None, **facts: Any) -> Rejected:
    """A `Rejected` with the code of `error`, and its sentence unless a better one is known."""
    return Rejected(error.code(), message or error.sentence, facts)


def refuse_writer(work: Working, user_no: UserNo, bucket: Folder | None) -> Rejected | None:
    """None when the user may change names in `bucket` (None: a bucket that is to be made).

    Admins may change everything, users what is in their own buckets, read-only users nothing.
    """
    user = work.user(user_no)
    if user is None:
        return refused(AccessDenied, "the request does not come from a known user")
    if user.role == "admin" or (user.role == "user" and (bucket is None or bucket.owner_no == user_no)):
        return None
    return refused(AccessDenied)


def refuse_operator(work: Working, user_no: UserNo) -> Rejected | None:
    """None when the cluster itself or an admin asks."""
    if user_no == CLUSTER_USER_NO:
        return None
    user = work.user(user_no)
    return None if user is not None and user.role == "admin" else refused(AccessDenied)


def refuse_term(work: Working, term: int) -> Rejected | None:
    """None when the leader that decided is the one whose log the command stands in.

    The entry's own term is what Raft agreed on: a decision of an older leader carries a smaller one, and a larger
    one cannot be honest.
    """
    if term == work.entry_term:
        return None
    return refused(TermStale, term=term, newest=work.entry_term)
