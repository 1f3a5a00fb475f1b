"""Who may do what. One function, asked by every door, so that no door has an opinion of its own.

An admin may do everything. Inside a bucket its owner may do everything, others what was granted to them or to
everyone (read, write, admin: each with what is below it). A read-only user never changes anything but the own
password and tokens; a disabled one does nothing at all. A supernode may know all names, and does everything else as
whoever asked it. Everyone with a credential may see how the cluster is. A bucket that does not exist yet belongs to
whoever makes it. The log asks the same rule again (metadata/rights.py) when a change is applied: what a door let
through a moment before a right was taken away is refused there.
"""

from __future__ import annotations

from enum import Enum

from fluffy.core.metadata.model import User
from fluffy.core.metadata.rights import SUPERNODE, Right, right_of


class Act(Enum):
    """What a request is about to do."""

    SEE_CLUSTER = "see the cluster's state"
    OPERATE = "operate the cluster"
    FEDERATE = "know all names"
    OWN_ACCOUNT = "change the account of"
    READ = "read"
    WRITE = "change"
    ADMINISTER = "give rights in, limit or remove"


_LEAST = {Act.READ: Right.READ, Act.WRITE: Right.WRITE, Act.ADMINISTER: Right.ADMIN}


def why_not(user: User, act: Act, *, bucket: str | None = None, owner: str | None = None,
            granted: Right = Right.NONE, account: str | None = None) -> str | None:
    """None when `user` may do `act`; otherwise the sentence that says why not.

    `bucket` is what READ, WRITE and ADMINISTER are about (None: all buckets); `owner` is its owner's name, None when
    there is no such bucket; `granted` the strongest grant to the user or to everyone (`queries.standing` has both).
    `account`: whose account OWN_ACCOUNT is about.
    """
    if user.disabled:
        return f"user {user.name} is disabled"
    if user.role == "admin":
        return None
    match act:
        case Act.SEE_CLUSTER:
            return None
        case Act.OPERATE:
            return f"only an admin may {act.value}"
        case Act.FEDERATE:
            return None if user.role == SUPERNODE else f"only a supernode may {act.value}"
        case Act.OWN_ACCOUNT:
            return None if account == user.name else f"only {account} or an admin may {act.value} {account}"
        case Act.READ | Act.WRITE | Act.ADMINISTER:
            return _why_not_in_bucket(user, act, bucket, owner, granted)


def _why_not_in_bucket(user: User, act: Act, bucket: str | None, owner: str | None, granted: Right) -> str | None:
    least = _LEAST[act]
    if user.role == "readonly" and least > Right.READ:
        return f"user {user.name} is read-only"
    if bucket is None:
        return f"only an admin may {act.value} everything"
    right = right_of(user, is_owner=owner in (None, user.name), granted=granted)
    if right >= least:
        return None
    sentence = f"bucket {bucket} belongs to {owner}; user {user.name} may not {act.value}"
    return f"{sentence} it" if act is Act.ADMINISTER else f"{sentence} what is in it"


def sees_bucket(user: User, owner: str, granted: Right = Right.NONE) -> bool:
    """Whether a listing, a search or the change feed shows `user` what a bucket of `owner` holds."""
    return why_not(user, Act.READ, bucket="", owner=owner, granted=granted) is None
