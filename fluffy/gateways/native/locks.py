"""Locks over HTTP: take, renew, give back, look, break.

The token of a lock is told once, to whoever takes it. Every write to what it covers then brings it in `Fluffy-Lock`
(`Desk.lock_of`).
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack

from fluffy.base.deadline import Deadline
from fluffy.base.errors import NameIllegal, Unavailable
from fluffy.base.paths import RemotePath, parse_path
from fluffy.base.units import MINUTE_MS
from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_people import ReleaseLock, RenewLock
from fluffy.core.metadata.model_people import Lock
from fluffy.core.metadata.outcomes import Accepted
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, Point, json_answer
from fluffy.gateways.native.json_body import read_json
from fluffy.gateways.native.shapes_people import Json, lock_json
from fluffy.gateways.native.tokens import NOT_KEPT
from fluffy.services.tokens import hash_of
from fluffy.wire.conditions import rfc3339

LOCK_TTL_MS = MINUTE_MS
# Who wants to wait longer asks again: a connection that is silent for longer is cut by what lies between.
WAIT_MAX_MS = MINUTE_MS // 2
PAGE_DEFAULT = 100
PAGE_MAX = 1000


async def acquire(desk: Desk, call: Call) -> Answer:
    """POST /v1/locks"""
    fields = await read_json(call, "path", "mode", "ttl_s", "wait_s", "note")
    path = _path_of(fields.text("path"))
    mode, note = fields.text_or_none("mode") or "exclusive", fields.text_or_none("note") or ""
    ttl_ms = fields.seconds_ms("ttl_s", LOCK_TTL_MS)
    wait_ms = min(fields.seconds_ms("wait_s", 0), WAIT_MAX_MS)
    desk.allow(call, Act.WRITE, path)
    people = desk.data_path().people
    header = desk.header(call)
    token = people.tokens.lock_token(header.request_id)
    await desk.pulse.refuse_without_majority()
    with ExitStack() as place:
        if wait_ms:
            place.enter_context(desk.waiting)
        try:
            outcome = await people.locks.acquire(
                path, mode, ttl_ms=ttl_ms, lock_hash=token.hash, user_no=call.user.user_no,
                request_id=header.request_id, wait=Deadline.after(wait_ms / 1000), note=note,
                has_left=call.client_left)
        except Unavailable as error:
            raise desk.pulse.explain(error) from error
    desk.gate.learned(outcome.seq)
    call.point = Point(outcome.seq)
    value = {"path": str(path), "mode": mode, "holder": call.user.name, "note": note, **_facts(outcome)}
    return json_answer({"token": token.text, **value}, 201, NOT_KEPT)


async def renew(desk: Desk, call: Call) -> Answer:
    """PUT /v1/locks/{token}"""
    fields = await read_json(call, "ttl_s")
    lock_hash = hash_of(call.params["token"])
    outcome = await desk.propose(RenewLock(desk.header(call), lock_hash, fields.seconds_ms("ttl_s", LOCK_TTL_MS)))
    call.point = Point(outcome.seq)
    lock = desk.reader.read(lambda db: queries.lock_by_hash(db, lock_hash, 0))
    return json_answer({**({} if lock is None else lock_json(lock)), **_facts(outcome)})


async def release(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/locks/{token}"""
    outcome = await desk.propose(ReleaseLock(desk.header(call), hash_of(call.params["token"])))
    call.point = Point(outcome.seq)
    return json_answer({"released": outcome.facts["released"]})


async def break_locks(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/locks?path=: all locks on exactly that path, by those who administer the bucket."""
    path = _path_of(call.query.get("path", ""))
    desk.allow(call, Act.ADMINISTER, path)
    outcome = await desk.propose(ReleaseLock(desk.header(call), path=path.text))
    call.point = Point(outcome.seq)
    return json_answer({"path": str(path), "released": outcome.facts["released"]})


async def list_locks(desk: Desk, call: Call) -> Answer:
    """GET /v1/locks?path=: on a path and below it, and under `above` those on the folders around it."""
    path = parse_path(call.query.get("path", ""))
    limit = call.number("limit", PAGE_DEFAULT, PAGE_MAX, least=1)
    after = call.number("after", 0, 2**62)
    if not path.is_root:
        desk.allow(call, Act.READ, path)
    locks, above, last = await desk.reader.read_in_thread(lambda db: _find(desk, call, db, path, after, limit),
                                                          call.deadline)
    return json_answer({"path": str(path), "locks": [lock_json(lock) for lock in locks],
                        "above": [lock_json(lock) for lock in above], "after": last})


def _find(desk: Desk, call: Call, db: sqlite3.Connection, path: RemotePath, after: int, limit: int,
          ) -> tuple[list[Lock], list[Lock], str | None]:
    """A page of locks in buckets that the asker reads, those above, and the cursor for the next page."""
    now_ms = desk.clock.now_ms()
    visible = queries.readable_buckets(db, call.user)
    found: list[Lock] = []
    while len(found) < limit:
        page = queries.locks_under(db, path, now_ms, after, PAGE_MAX)
        found += [lock for lock in page if visible is None or lock.path.partition("/")[0] in visible]
        if len(page) < PAGE_MAX:
            break
        after = page[-1].fence
    above = [] if path.is_root else [lock for lock in queries.locks_at(db, path, now_ms) if lock.path != path.text]
    more = len(found) > limit or (len(found) == limit and len(page) == PAGE_MAX)
    return found[:limit], above, str(found[limit - 1].fence) if more else None


def _path_of(text: str) -> RemotePath:
    path = parse_path(text)
    if path.is_root:
        raise NameIllegal("name a bucket, or what is in one: /BUCKET/NAME")
    return path


def _facts(outcome: Accepted) -> Json:
    return {"expires": rfc3339(outcome.facts["expires_ms"]), "fence": outcome.facts["fence"]}
