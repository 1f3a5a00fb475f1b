"""How people, rights and locks look in JSON. Secrets are in none of these: who hands one out adds it."""

from __future__ import annotations

from typing import Any

from fluffy.core.metadata.bucket_rules import Keeping, Rules
from fluffy.core.metadata.model_people import AuditRow, BucketInfo, Grant, Lock, Person, QuotaUse, TokenInfo
from fluffy.wire.conditions import rfc3339

Json = dict[str, Any]


def time_json(at_ms: int) -> str | None:
    """A moment that may be 'never' (0)."""
    return rfc3339(at_ms) if at_ms else None


def quota_json(quota: QuotaUse) -> Json:
    return {"files": quota.files, "bytes": quota.bytes, "files_max": quota.files_max, "bytes_max": quota.bytes_max,
            "bytes_left": quota.bytes_left}


def person_json(person: Person) -> Json:
    return {"name": person.user.name, "role": person.user.role, "disabled": person.user.disabled,
            "created": rfc3339(person.created_ms), "has_password": person.has_password, "buckets": person.buckets,
            "tokens": person.tokens, "quota": quota_json(person.quota)}


def token_json(token: TokenInfo, *, current: str, now_ms: int) -> Json:
    """A line of a list of tokens; `current`: the id of the one that asks."""
    return {"token_id": token.token_id, "label": token.label, "created": rfc3339(token.created_ms),
            "expires": time_json(token.expires_ms), "expired": 0 < token.expires_ms <= now_ms,
            "current": token.token_id == current}


def grant_json(grant: Grant) -> Json:
    return {"bucket": grant.bucket, "user": grant.grantee, "right": grant.right}


def bucket_json(info: BucketInfo, rules: Rules, holds: Keeping) -> Json:
    """Its own rules as they are set (null: as the cluster does), and under `holds` what that comes to."""
    return {"name": info.name, "owner": info.owner, "created": rfc3339(info.created_ms),
            "trash_days": rules.trash_days, "versions_max": rules.versions_max, "replication": rules.replication,
            "holds": {"trash_days": holds.trash_days, "versions_max": holds.versions_max,
                      "replication": holds.replication},
            "quota": quota_json(info.quota), "grants": [grant_json(grant) for grant in info.grants]}


def lock_json(lock: Lock) -> Json:
    return {"path": "/" + lock.path, "mode": lock.mode, "holder": lock.holder, "note": lock.note,
            "acquired": rfc3339(lock.acquired_ms), "expires": rfc3339(lock.expires_ms), "fence": lock.fence}


def audit_json(row: AuditRow) -> Json:
    return {"no": row.no, "at": rfc3339(row.at_ms), "who": row.who, "act": row.act, "target": row.target,
            "refused": row.refused, "detail": row.detail}
