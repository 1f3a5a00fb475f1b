"""Rights, rules and limits over HTTP: grants, buckets, quotas, and the audit log that remembers who changed them."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict

from fluffy.base.errors import AccessDenied, BucketNotFound, NameIllegal, QuerySyntax, UserNotFound
from fluffy.base.paths import RemotePath, parse_path
from fluffy.core.access.policy import Act, why_not
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_people import EVERYONE, GiveBucket, RemoveGrant, SetGrant, SetQuota
from fluffy.core.metadata.commands_tree import SetBucketRules
from fluffy.core.metadata.model_people import QuotaUse
from fluffy.core.metadata.rights import Right
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, Point, json_answer
from fluffy.gateways.native.json_body import Fields, read_json
from fluffy.gateways.native.shapes_people import Json, audit_json, bucket_json, grant_json, quota_json

PAGE_MAX = 1000
AUDIT_DEFAULT = 100
# Another way to write EVERYONE.
STAR = "*"
_RULES = ("trash_days", "versions_max", "replication")


async def list_grants(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/grants: of one bucket; without one of all that the asker administers."""
    text = call.query.get("bucket")
    if text:
        bucket = _bucket_of(text)
        desk.allow(call, Act.ADMINISTER, bucket)
        _check_exists(desk, bucket.bucket)
        grants = desk.reader.read(lambda db: queries.grants_of(db, bucket.bucket))
    else:
        names = await _administered(desk, call)
        grants = await desk.reader.read_in_thread(
            lambda db: tuple(grant for name in names for grant in queries.grants_of(db, name)), call.deadline)
    return json_answer({"grants": [grant_json(grant) for grant in grants]})


async def set_grant(desk: Desk, call: Call) -> Answer:
    """POST /v1/admin/grants"""
    fields = await read_json(call, "bucket", "user", "grantee", "right")
    bucket, grantee, right = _bucket_of(fields.text("bucket")), _grantee_of(fields), fields.text("right")
    desk.allow(call, Act.ADMINISTER, bucket)
    outcome = await desk.propose(SetGrant(desk.header(call), bucket.bucket, grantee, right))
    call.point = Point(outcome.seq)
    before = outcome.facts["right"]
    return json_answer({"bucket": bucket.bucket, "user": grantee, "right": right, "before": before},
                       201 if before is None else 200)


async def remove_grant(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/admin/grants?bucket=&user=: by those who may give it, and by the user who has it."""
    given = call.query.get
    if not given("bucket") or not given("user"):
        raise QuerySyntax("say which: ?bucket=NAME&user=NAME")
    bucket, grantee = _bucket_of(given("bucket", "")), _name_of(given("user", ""))
    if grantee != call.user.name:
        desk.allow(call, Act.ADMINISTER, bucket)
    outcome = await desk.propose(RemoveGrant(desk.header(call), bucket.bucket, grantee))
    call.point = Point(outcome.seq)
    return json_answer({"bucket": bucket.bucket, "user": grantee, "removed": True})


def _grantee_of(fields: Fields) -> str:
    name, other = fields.text_or_none("user"), fields.text_or_none("grantee")
    if (name is None) is (other is None):
        raise QuerySyntax("say to whom, in the field user")
    return _name_of(name or other or "")


def _name_of(text: str) -> str:
    return EVERYONE if text == STAR else text


def _bucket_of(text: str) -> RemotePath:
    """A bucket named in a request, with or without a slash before it."""
    path = parse_path(text)
    if not path.is_bucket:
        raise NameIllegal("name a bucket: the first segment of a path", path=str(path))
    return path


def _check_exists(desk: Desk, bucket: str) -> None:
    if desk.reader.read(lambda db: queries.bucket_quota(db, bucket)) is None:
        raise BucketNotFound(f"there is no bucket {bucket}", bucket=bucket)


# Buckets

async def list_buckets(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/buckets: all for admins; for others those that they administer."""
    limit = call.number("limit", PAGE_MAX, PAGE_MAX, least=1)
    names = await _administered(desk, call, call.query.get("after") or "", limit)
    lines = await desk.reader.read_in_thread(lambda db: [_bucket_line(db, name) for name in names], call.deadline)
    return json_answer({"buckets": [line for line in lines if line is not None],
                        "after": names[-1] if len(names) == limit else None})


async def _administered(desk: Desk, call: Call, after: str = "", limit: int = PAGE_MAX) -> list[str]:
    """Names of the buckets that the asker administers, in order."""
    user = call.user

    def names(db: sqlite3.Connection) -> list[str]:
        if user.role == "admin":
            return [info.name for info in queries.bucket_infos(db, after or None, limit)]
        if user.role == "readonly":
            return []
        granted = queries.granted_buckets(db, user.user_no)
        mine = {*queries.own_buckets(db, user.user_no),
                *(name for name, right in granted.items() if right >= Right.ADMIN)}
        return sorted(name for name in mine if name > after)[:limit]

    return await desk.reader.read_in_thread(names, call.deadline)


async def get_bucket(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/buckets/{name}"""
    bucket = _bucket_of(call.params["name"])
    desk.allow(call, Act.ADMINISTER, bucket)
    return _bucket_answer(desk, bucket.bucket)


async def set_bucket(desk: Desk, call: Call) -> Answer:
    """PUT /v1/admin/buckets/{name}: only what is given changes; a rule of null is the cluster's again."""
    fields = await read_json(call, "owner", *_RULES)
    bucket = _bucket_of(call.params["name"])
    desk.allow(call, Act.ADMINISTER, bucket)
    owner = fields.text_or_none("owner")
    rules = {name: fields.number_or_none(name) for name in _RULES if fields.has(name)}
    if rules:
        await desk.gate.newest()
        present = desk.reader.read(lambda db: queries.bucket_rules(db, bucket.bucket))
        if present is None:
            raise BucketNotFound(f"there is no bucket {bucket.bucket}", bucket=bucket.bucket)
        wanted = asdict(present[0]) | rules
        outcome = await desk.propose(SetBucketRules(desk.header(call, "rules"), bucket.bucket, **wanted))
        call.point = Point(outcome.seq)
    if owner is not None:
        # Last: who gave the bucket away has no say in its rules any more.
        outcome = await desk.propose(GiveBucket(desk.header(call, "owner"), bucket.bucket, owner))
        call.point = Point(outcome.seq)
    return _bucket_answer(desk, bucket.bucket)


def _bucket_answer(desk: Desk, bucket: str) -> Answer:
    line = desk.reader.read(lambda db: _bucket_line(db, bucket))
    if line is None:
        raise BucketNotFound(f"there is no bucket {bucket}", bucket=bucket)
    return json_answer(line)


def _bucket_line(db: sqlite3.Connection, name: str) -> Json | None:
    info, rules = queries.bucket_info(db, name), queries.bucket_rules(db, name)
    return None if info is None or rules is None else bucket_json(info, *rules)


# Quotas

async def get_quota(desk: Desk, call: Call) -> Answer:
    """GET /v1/quotas: one's own; of a bucket that one reads; for admins of any user."""
    bucket, name = call.query.get("bucket"), call.query.get("user")
    if bucket and name:
        raise QuerySyntax("of a user or of a bucket, not both")
    if bucket:
        path = _bucket_of(bucket)
        desk.allow(call, Act.READ, path)
        return _quota_answer("bucket", path.bucket, _bucket_quota(desk, path.bucket))
    name = name or call.user.name
    reason = why_not(call.user, Act.OWN_ACCOUNT, account=name)
    if reason is not None:
        raise AccessDenied(reason)
    return _quota_answer("user", name, _user_quota(desk, name))


async def set_quota(desk: Desk, call: Call) -> Answer:
    """PUT /v1/admin/quotas: what is not given stays; null is no limit."""
    fields = await read_json(call, "subject", "name", "bytes_max", "files_max")
    subject, name = fields.text("subject"), fields.text("name")
    bytes_max, files_max = fields.number_or_none("bytes_max"), fields.number_or_none("files_max")
    if subject not in ("user", "bucket"):
        raise QuerySyntax("field subject is user or bucket")
    if not fields.has("bytes_max") and not fields.has("files_max"):
        raise QuerySyntax("say how much: bytes_max, files_max; null is no limit")
    if subject == "bucket":
        name = _bucket_of(name).bucket
    await desk.gate.newest()
    present = _bucket_quota(desk, name) if subject == "bucket" else _user_quota(desk, name)
    outcome = await desk.propose(SetQuota(
        desk.header(call), subject, name, bytes_max if fields.has("bytes_max") else present.bytes_max,
        files_max if fields.has("files_max") else present.files_max))
    call.point = Point(outcome.seq)
    return _quota_answer(subject, name, _bucket_quota(desk, name) if subject == "bucket" else _user_quota(desk, name))


def _quota_answer(subject: str, name: str, quota: QuotaUse) -> Answer:
    return json_answer({"subject": subject, "name": name, **quota_json(quota)})


def _bucket_quota(desk: Desk, bucket: str) -> QuotaUse:
    quota = desk.reader.read(lambda db: queries.bucket_quota(db, bucket))
    if quota is None:
        raise BucketNotFound(f"there is no bucket {bucket}", bucket=bucket)
    return quota


def _user_quota(desk: Desk, name: str) -> QuotaUse:
    user = desk.reader.read(lambda db: queries.user_by_name(db, name))
    if user is None:
        raise UserNotFound(f"there is no user {name}", user=name)
    return desk.reader.read(lambda db: queries.user_quota(db, user.user_no))


# The audit log

async def list_audit(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/audit: newest first; `before`: the last `no` that the asker has."""
    limit = call.number("limit", AUDIT_DEFAULT, PAGE_MAX, least=1)
    before = call.number("before", 2**62, 2**62)
    given = call.query.get
    only_refused = True if call.flag("refused") else None
    rows = await desk.reader.read_in_thread(lambda db: queries.audit(
        db, before=before, limit=limit, who=given("who"), target=given("target"), act=given("act"),
        refused=only_refused), call.deadline)
    return json_answer({"audit": [audit_json(row) for row in rows],
                        "before": rows[-1].no if len(rows) == limit else None})
