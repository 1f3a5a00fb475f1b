"""Giving a supernode its token for a cluster: a user with the role `supernode`, and a token of it. By admins."""

from __future__ import annotations

from fluffy.base.errors import AlreadyExists, Conflict
from fluffy.client.api import AsyncFluffy

USER = "supernode"
ROLE = "supernode"


async def supernode_token(admin: AsyncFluffy, label: str) -> str:
    """A new token for a supernode; several supernodes may share the user. Raises Conflict when the name is taken."""
    try:
        await admin.add_user(USER, role=ROLE)
    except AlreadyExists as error:
        user = await admin.user(USER) if error.facts.get("user") == USER else None
        if user is None or user.role != ROLE:
            raise Conflict(f"there is a user or bucket '{USER}' already that is no supernode's; rename it first"
                           ) from error
    return (await admin.add_token(label, user=USER)).token
