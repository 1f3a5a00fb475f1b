"""Who may do what. One function, asked by every door, so that no door has an opinion of its own.

Until grants exist the rule is short: an admin may do everything; the owner of a bucket may do everything inside it;
others may do nothing there; a read-only user never changes anything. Everyone with a credential may see how the
cluster is. A bucket that does not exist yet belongs to whoever makes it.
"""

from __future__ import annotations

from enum import Enum

from fluffy.core.metadata.model import User


class Act(Enum):
    """What a request is about to do."""

    SEE_CLUSTER = "see the cluster's state"
    OPERATE = "operate the cluster"
    READ = "read"
    WRITE = "change"


def why_not(user: User, act: Act, *, bucket: str | None = None, owner: str | None = None) -> str | None:
    """None when `user` may do `act`; otherwise the sentence that says why not.

    `bucket` is what READ and WRITE are about (None: all buckets); `owner` is its owner's name, None when there is no
    such bucket.
    """
    if user.role == "admin":
        return None
    match act:
        case Act.SEE_CLUSTER:
            return None
        case Act.OPERATE:
            return f"only an admin may {act.value}"
        case Act.READ | Act.WRITE:
            if act is Act.WRITE and user.role == "readonly":
                return f"user {user.name} is read-only"
            if bucket is None:
                return f"only an admin may {act.value} everything"
            if owner is None or owner == user.name:
                return None
            return f"bucket {bucket} belongs to {owner}; user {user.name} may not {act.value} what is in it"


def sees_bucket(user: User, owner: str) -> bool:
    """Whether a listing, a search or the change feed shows `user` what a bucket of `owner` holds."""
    return why_not(user, Act.READ, bucket="", owner=owner) is None
