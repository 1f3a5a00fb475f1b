"""Making signed URLs: what a user may do to one file, handed on to whoever gets the address."""

from __future__ import annotations

import re

from fluffy.base.errors import QuerySyntax
from fluffy.base.paths import parse_file_path
from fluffy.base.units import HOUR_MS, SECOND_MS
from fluffy.core.access.policy import Act
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.json_body import Fields, read_json
from fluffy.gateways.native.signed import signed_target
from fluffy.gateways.native.tokens import NOT_KEPT
from fluffy.services.signed_urls import METHODS, TTL_MAX_MS, TTL_MIN_MS, SignedRequest
from fluffy.wire.conditions import rfc3339

_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}\Z")


async def sign(desk: Desk, call: Call) -> Answer:
    """POST /v1/sign: needs the right that the URL will use."""
    fields = await read_json(call, "path", "method", "ttl_s", "generation", "download")
    path = parse_file_path(fields.text("path"))
    method = (fields.text_or_none("method") or "GET").upper()
    if method not in METHODS:
        raise QuerySyntax(f"field method is {', '.join(METHODS)}")
    ttl_ms = fields.seconds_ms("ttl_s", HOUR_MS)
    if not TTL_MIN_MS <= ttl_ms <= TTL_MAX_MS:
        raise QuerySyntax(f"ttl_s is {TTL_MIN_MS // SECOND_MS} to {TTL_MAX_MS // SECOND_MS:,} seconds")
    desk.allow(call, Act.WRITE if method == "PUT" else Act.READ, path)
    query = _query_of(fields, method)
    expires_ms = desk.clock.now_ms() + ttl_ms
    signature = desk.data_path().people.signer.sign(
        SignedRequest(method, path.text, query, expires_ms, call.user.user_no))
    target = signed_target(path, query, signature)
    host = call.headers.get("host", "")
    origin = f"{desk.scheme}://{host}" if _HOST.match(host) else ""
    return json_answer({"url": origin + target, "target": target, "method": method, "path": str(path),
                        "expires": rfc3339(expires_ms)}, headers=NOT_KEPT)


def _query_of(fields: Fields, method: str) -> str:
    """What else the URL says, and the signature is over."""
    generation = fields.number_or_none("generation")
    query = ([f"generation={generation}"] if generation else []) + (["download=1"] if fields.flag("download") else [])
    if query and method == "PUT":
        raise QuerySyntax("generation and download are for reading")
    return "&".join(query)
