"""Credentials over HTTP: logging in and out, passwords, tokens.

A token is told once, in the answer to the request that makes it, and then known to the state by its hash only.
"""

from __future__ import annotations

from fluffy.base.errors import AccessDenied, LastAdmin, QuerySyntax, TooManyAttempts, Unauthenticated, UserNotFound
from fluffy.base.units import DAY_MS, SECOND_MS
from fluffy.core.access.policy import Act, why_not
from fluffy.core.metadata import queries
from fluffy.core.metadata.apply_users import TOKEN_ID_BYTES
from fluffy.core.metadata.commands import AddToken
from fluffy.core.metadata.commands_people import ChangeUser, RevokeToken
from fluffy.core.metadata.model import User
from fluffy.core.metadata.rights import RIGHT_NAMES
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.native.auth import token_hash_of
from fluffy.gateways.native.desk import Desk, People
from fluffy.gateways.native.exchange import Call, Point, json_answer
from fluffy.gateways.native.json_body import Fields, read_json
from fluffy.gateways.native.shapes_people import Json, quota_json, time_json, token_json
from fluffy.services.passwords import check_password

# Nobody keeps a browser or a laptop longer without typing the password again; programs get tokens.
LOGIN_TTL_MS = 30 * DAY_MS
TTL_MAX_MS = 3660 * DAY_MS
# Name, password and label, each character escaped.
LOGIN_BYTES_MAX = 8 * 1024
# Between this node and the browser nobody may keep what has a secret in it.
NOT_KEPT: Headers = [("Cache-Control", "no-store")]


async def login(desk: Desk, call: Call) -> Answer:
    """POST /v1/login: by whoever knows the password. Strangers may ask, so they get places of their own."""
    people = desk.data_path().people
    with people.logins:
        fields = await read_json(call, "user", "password", "label", "ttl_s", bytes_max=LOGIN_BYTES_MAX)
        name, password = fields.text("user"), fields.text("password")
        expires_ms = _expiry(desk, fields) or desk.clock.now_ms() + LOGIN_TTL_MS
        label = fields.text_or_none("label") or "login"
        call.point = await desk.gate.point("strong", None, call.deadline)
        call.user = await log_in(desk, people, call, name, password)
    return await _new_token(desk, call, call.user, label, expires_ms)


async def log_in(desk: Desk, people: People, call: Call, name: str, password: str) -> User:
    try:
        return await people.passwords.log_in(name, password)
    except (Unauthenticated, TooManyAttempts):
        # Only what is a name goes into the audit log: people type passwords into the wrong field.
        if desk.reader.read(lambda db: queries.user_by_name(db, name)) is not None:
            call.claims = name
        raise


def _expiry(desk: Desk, fields: Fields) -> int:
    """When a token with `ttl_s` ends; 0: nothing was said."""
    if fields.values.get("ttl_s") is None:
        return 0
    ttl_ms = fields.seconds_ms("ttl_s")
    if not SECOND_MS <= ttl_ms <= TTL_MAX_MS:
        raise QuerySyntax(f"ttl_s is 1 to {TTL_MAX_MS // SECOND_MS:,} seconds")
    return desk.clock.now_ms() + ttl_ms


async def _new_token(desk: Desk, call: Call, user: User, label: str, expires_ms: int) -> Answer:
    """Make the token and tell it. A repeated request gets the same one, with the end that it had at first."""
    text, facts = await make_token(desk, call, user, label, expires_ms)
    return json_answer({"token": text, **facts}, 201, NOT_KEPT)


async def make_token(desk: Desk, call: Call, user: User, label: str, expires_ms: int) -> tuple[str, Json]:
    """The token itself, and what may be shown of it."""
    header = desk.header(call)
    token = desk.data_path().people.tokens.api_token(header.request_id)
    outcome = await desk.propose(AddToken(header, user.name, token.hash, label, expires_ms))
    call.point = Point(outcome.seq)
    kept = desk.reader.read(lambda db: queries.credential_by_token_hash(db, token.hash, 0))
    return token.text, {
        "token_id": outcome.facts["token_id"], "user": user.name, "role": user.role, "label": label,
        "expires": time_json(expires_ms if kept is None else kept.expires_ms)}


async def logout(desk: Desk, call: Call) -> Answer:
    """POST /v1/logout: end the token that asks."""
    token_id = token_hash_of(call.headers)[:TOKEN_ID_BYTES]
    return await revoke(desk, call, call.user.name, token_id)


async def whoami(desk: Desk, call: Call) -> Answer:
    """GET /v1/whoami"""
    user = call.user
    credential = desk.tokens.credential_of(token_hash_of(call.headers), call.point.seq)
    if credential is None:
        raise Unauthenticated
    quota, own, granted = desk.reader.read(lambda db: (
        queries.user_quota(db, user.user_no), queries.own_buckets(db, user.user_no),
        queries.granted_buckets(db, user.user_no)))
    names = {right: name for name, right in RIGHT_NAMES.items()}
    rights = {bucket: names[right] for bucket, right in granted.items()} | dict.fromkeys(own, "owner")
    return json_answer({
        "user": user.name, "role": user.role, "token_id": credential.token_id,
        "expires": time_json(credential.expires_ms), "quota": quota_json(quota), "buckets": sorted(rights),
        "rights": dict(sorted(rights.items()))})


async def set_password(desk: Desk, call: Call) -> Answer:
    """PUT /v1/password: one's own. Who has none yet needs no old one."""
    fields = await read_json(call, "old", "new", bytes_max=LOGIN_BYTES_MAX)
    old, new = fields.text_or_none("old") or "", fields.text("new")
    check_password(new)
    people, name = desk.data_path().people, call.user.name
    call.point = await desk.gate.point("strong", None, call.deadline)
    login = desk.reader.read(lambda db: queries.login_by_name(db, name))
    if login is None or login.password:
        await _check_old(people, name, old, new)
    stored = await people.passwords.hash(new)
    outcome = await desk.propose(ChangeUser(desk.header(call), name, password=stored))
    call.point = Point(outcome.seq)
    return json_answer({"user": name, "changed": True})


async def _check_old(people: People, name: str, old: str, new: str) -> None:
    """Raise AccessDenied unless `old` is the password, or `new` already is: then this is a repetition."""
    for password in (old, new):
        try:
            await people.passwords.log_in(name, password)
        except Unauthenticated:
            continue
        return
    raise AccessDenied("the old password is wrong")


async def list_tokens(desk: Desk, call: Call) -> Answer:
    """GET /v1/tokens: one's own; for admins those of any user."""
    user = account(desk, call, call.query.get("user"))
    tokens = desk.reader.read(lambda db: queries.tokens(db, user.user_no))
    current = token_hash_of(call.headers)[:TOKEN_ID_BYTES].hex()
    now_ms = desk.clock.now_ms()
    return json_answer({"user": user.name, "tokens": [
        token_json(token, current=current, now_ms=now_ms) for token in tokens]})


async def add_token(desk: Desk, call: Call) -> Answer:
    """POST /v1/tokens: one more for oneself; for admins one for any user."""
    fields = await read_json(call, "label", "ttl_s", "user")
    expires_ms = _expiry(desk, fields)
    user = account(desk, call, fields.text_or_none("user"))
    return await _new_token(desk, call, user, fields.text_or_none("label") or "", expires_ms)


async def revoke_token(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/tokens/{id}; `all`: all of them."""
    text = call.params["id"]
    try:
        token_id = b"" if text == "all" else bytes.fromhex(text)
    except ValueError as error:
        raise QuerySyntax("a token's id has 16 hex digits, as the list of tokens shows it; or all") from error
    if text != "all" and len(token_id) != TOKEN_ID_BYTES:
        raise QuerySyntax("a token's id has 16 hex digits, as the list of tokens shows it; or all")
    return await revoke(desk, call, account(desk, call, call.query.get("user")).name, token_id)


async def revoke(desk: Desk, call: Call, name: str, token_id: bytes) -> Answer:
    user = desk.reader.read(lambda db: queries.user_by_name(db, name))
    if user is not None and user.role == "admin" and desk.reader.read(lambda db: queries.is_last_way_in(
            db, user.user_no, token_id.hex() or None, desk.clock.now_ms())):
        raise LastAdmin("with this no admin could come in any more; set a password or make another token first")
    outcome = await desk.propose(RevokeToken(desk.header(call), name, token_id))
    call.point = Point(outcome.seq)
    return json_answer({"user": name, "revoked": outcome.facts["revoked"]})


def account(desk: Desk, call: Call, name: str | None) -> User:
    """The user a request is about: the asker, or `name`, if the asker may. Raises AccessDenied, UserNotFound."""
    if name is None or name == call.user.name:
        return call.user
    reason = why_not(call.user, Act.OWN_ACCOUNT, account=name)
    if reason is not None:
        raise AccessDenied(reason)
    user = desk.reader.read(lambda db: queries.user_by_name(db, name))
    if user is None:
        raise UserNotFound(f"there is no user {name}", user=name)
    return user
