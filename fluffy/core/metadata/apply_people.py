"""Which function applies which command about people, grants and locks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fluffy.core.metadata import apply_grants, apply_locks, apply_users
from fluffy.core.metadata.commands_people import (
    AcquireLock,
    AddUser,
    ChangeUser,
    GiveBucket,
    ReleaseLock,
    RemoveGrant,
    RemoveUser,
    RenewLock,
    ReportRefusals,
    RevokeToken,
    SetGrant,
    SetQuota,
)
from fluffy.core.metadata.outcomes import Outcome
from fluffy.core.metadata.working import Working

HANDLERS: Mapping[int, Callable[[Working, Any], Outcome]] = {
    AddUser.KIND: apply_users.add_user,
    ChangeUser.KIND: apply_users.change_user,
    RemoveUser.KIND: apply_users.remove_user,
    RevokeToken.KIND: apply_users.revoke_token,
    SetGrant.KIND: apply_grants.set_grant,
    RemoveGrant.KIND: apply_grants.remove_grant,
    GiveBucket.KIND: apply_grants.give,
    SetQuota.KIND: apply_grants.set_quota,
    AcquireLock.KIND: apply_locks.acquire_lock,
    RenewLock.KIND: apply_locks.renew_lock,
    ReleaseLock.KIND: apply_locks.release_lock,
    ReportRefusals.KIND: apply_grants.report_refusals,
}
