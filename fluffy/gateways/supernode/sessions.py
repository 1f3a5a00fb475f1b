"""The supernode's dashboard: its page, and sessions of browsers.

A supernode makes no tokens: the cookie holds the one that the user gave, which a cluster knows (or the operator's).
"""

from __future__ import annotations

from typing import Any

from fluffy.base.errors import Unauthenticated
from fluffy.gateways.dashboard import assets
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.cookies import (
    TOKEN_CHARS_MAX,
    check_same_page,
    cookie_of,
    csrf_of,
    session_cookie,
    supernode_cookie,
)
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.json_body import read_json
from fluffy.gateways.native.tokens import LOGIN_BYTES_MAX, NOT_KEPT
from fluffy.gateways.supernode.desk import SupernodeDesk

SESSION_S = 12 * 3600


async def get_page(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /"""
    return assets.page("Fluffy supernode", "supernode.js", call.headers.get("if-none-match"))


async def get_asset(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /dashboard/{version}/{name}"""
    return assets.asset(call.params["version"], call.params["name"], call.headers.get("if-none-match"))


async def open_session(desk: SupernodeDesk, call: Call) -> Answer:
    """POST /v1/session {token}"""
    check_same_page(call.headers)
    with desk.requests:
        fields = await read_json(call, "token", bytes_max=LOGIN_BYTES_MAX)
        token = fields.text("token")
        if not 0 < len(token) <= TOKEN_CHARS_MAX or not token.isascii() or not token.isprintable() or ";" in token:
            raise Unauthenticated
        told = await _session(desk, call, token)
    cookie = session_cookie(supernode_cookie(call.headers), token, SESSION_S, is_secure=_is_secure(call))
    return json_answer(told, 201, [cookie, *NOT_KEPT])


async def get_session(desk: SupernodeDesk, call: Call) -> Answer:
    """GET /v1/session: nobody is no refusal."""
    token = cookie_of(call.headers, supernode_cookie(call.headers))
    if token is None:
        return json_answer({"user": None}, 200, NOT_KEPT)
    check_same_page(call.headers)
    try:
        with desk.requests:
            return json_answer(await _session(desk, call, token), 200, NOT_KEPT)
    except Unauthenticated:
        return json_answer({"user": None}, 200, NOT_KEPT)


async def close_session(desk: SupernodeDesk, call: Call) -> Answer:
    """DELETE /v1/session"""
    gone = session_cookie(supernode_cookie(call.headers), "", 0, is_secure=_is_secure(call))
    return json_answer({"ended": True}, 200, [gone])


async def _session(desk: SupernodeDesk, call: Call, token: str) -> dict[str, Any]:
    """Who has this token. Raises Unauthenticated."""
    call.headers = {**call.headers, "authorization": f"Bearer {token}"}
    users = sorted({asker.user for asker in (await desk.askers_of(call)).values()})
    return {"user": ", ".join(users) or "operator", "csrf": csrf_of(token)}


def _is_secure(call: Call) -> bool:
    """Whether the browser came by TLS: it says so itself."""
    return call.headers.get("origin", "").startswith("https://")
