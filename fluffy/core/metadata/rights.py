"""What a right is and who has it: the one rule, for `apply` and for every door.

Rights in a bucket are a ladder: read, write, admin (of the bucket: its grants, its rules, its removal). The owner and
the cluster's admins stand at the top; others where the strongest of their own grant and the grant to everyone puts
them. A read-only user never climbs above read, not even in a bucket of its own; a disabled user stands nowhere, and
neither does a supernode: it may know all names, and does the rest as whoever asked it.
"""

from __future__ import annotations

from enum import IntEnum

from fluffy.core.metadata.model import User


class Right(IntEnum):
    """The numbers are in the table `grants`."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3


# A member of an enumeration is looked up by Python's own code each time it is named: four times for a put.
_NONE, _READ, _ADMIN = Right.NONE, Right.READ, Right.ADMIN
RIGHT_NAMES = {"read": Right.READ, "write": Right.WRITE, "admin": Right.ADMIN}
ROLES = ("admin", "user", "readonly", "supernode")
SUPERNODE = "supernode"
# Nodes of older levels refuse the role: all must do alike.
SUPERNODE_LEVEL = 3
EVERYONE_NO = 0  # the grantee of a grant to everyone; the cluster itself, which has this number, needs none


def right_of(user: User, *, is_owner: bool, granted: Right) -> Right:
    """How high `user` stands in a bucket; `granted`: the strongest grant to the user or to everyone."""
    if user.disabled or user.role == SUPERNODE:
        return _NONE
    if user.role == "admin":
        return _ADMIN
    right = _ADMIN if is_owner else granted
    return min(right, _READ) if user.role == "readonly" else right
