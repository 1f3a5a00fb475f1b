"""Sessions of the dashboard: a browser logs in by name and password, or by a token, and gets a cookie.

The cookie holds a token of its own, so that logging out ends nothing else.
"""

from __future__ import annotations

from typing import Any

from fluffy.base.errors import LastAdmin, NotReady, Unauthenticated
from fluffy.base.units import HOUR_MS
from fluffy.core.metadata import queries
from fluffy.core.metadata.apply_users import TOKEN_ID_BYTES
from fluffy.core.metadata.model import User
from fluffy.core.metadata.rights import SUPERNODE
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.auth import token_hash_of
from fluffy.gateways.native.cookies import check_same_page, cookie_of, csrf_of, session_cookie
from fluffy.gateways.native.desk import UNKNOWN_TOKEN, Desk, People
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.json_body import Fields, read_json
from fluffy.gateways.native.shapes_people import time_json
from fluffy.gateways.native.tokens import LOGIN_BYTES_MAX, NOT_KEPT, log_in, make_token, revoke
from fluffy.services.tokens import hash_of

# A day of work; a browser that is left open is nobody's for longer.
SESSION_TTL_MS = 12 * HOUR_MS
LABEL = "dashboard"
NOBODY: dict[str, Any] = {"user": None}


async def open_session(desk: Desk, call: Call) -> Answer:
    """POST /v1/session {user, password} or {token}. Strangers may ask, in the places for logins."""
    check_same_page(call.headers)
    people = desk.data_path().people
    with people.logins:
        fields = await read_json(call, "user", "password", "token", bytes_max=LOGIN_BYTES_MAX)
        call.user = await _who(desk, people, call, fields)
    text, facts = await make_token(desk, call, call.user, LABEL, desk.clock.now_ms() + SESSION_TTL_MS)
    cookie = session_cookie(desk.session_cookie(), text, SESSION_TTL_MS // 1000, is_secure=desk.scheme == "https")
    return json_answer(_session(desk, call, text, facts["expires"]), 201, [cookie, *NOT_KEPT])


async def _who(desk: Desk, people: People, call: Call, fields: Fields) -> User:
    token = fields.text_or_none("token")
    if token is None:
        name, password = fields.text("user"), fields.text("password")
        call.point = await desk.gate.point("strong", None, call.deadline)
        return await log_in(desk, people, call, name, password)
    user = await desk.user_behind(call, hash_of(token), is_read=True)
    if user.role == SUPERNODE:
        raise Unauthenticated(UNKNOWN_TOKEN)
    return user


async def get_session(desk: Desk, call: Call) -> Answer:
    """GET /v1/session: who is logged in here, and the CSRF token of the page; nobody: `user` is null.

    A page asks this when it is opened, so that nobody is logged in is no refusal (which the audit log would keep).
    """
    cookie = cookie_of(call.headers, desk.session_cookie())
    if cookie is None:
        return json_answer(NOBODY, 200, NOT_KEPT)
    check_same_page(call.headers)
    try:
        call.user = await desk.user_behind(call, hash_of(cookie), is_read=True)
    except Unauthenticated:
        return json_answer(NOBODY, 200, NOT_KEPT)
    credential = desk.tokens.credential_of(hash_of(cookie), call.point.seq)
    if credential is None:
        return json_answer(NOBODY, 200, NOT_KEPT)
    return json_answer(_session(desk, call, cookie, time_json(credential.expires_ms)), 200, NOT_KEPT)


async def close_session(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/session: end it, in the browser whatever the cluster says."""
    token_id = token_hash_of(call.headers)[:TOKEN_ID_BYTES]
    try:
        await revoke(desk, call, call.user.name, token_id)
        is_revoked = True
    except LastAdmin:  # the only way in for admins: it ends by itself
        is_revoked = False
    gone = session_cookie(desk.session_cookie(), "", 0, is_secure=desk.scheme == "https")
    return json_answer({"user": call.user.name, "revoked": is_revoked}, 200, [gone])


def _session(desk: Desk, call: Call, cookie: str, expires: str | None) -> dict[str, Any]:
    state = desk.reader.read(queries.cluster_state)
    if state is None:
        raise NotReady
    return {"user": call.user.name, "role": call.user.role, "csrf": csrf_of(cookie),
            "expires": expires, "node": desk.node, "cluster": state.cluster_name,
            "part_size": state.settings.chunk_size}
