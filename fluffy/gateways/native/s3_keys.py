"""Key pairs of S3 over HTTP: made, listed, ended. A secret is told once, in the answer to the request that makes it."""

from __future__ import annotations

from fluffy.core.metadata import queries_objects
from fluffy.core.metadata.commands_s3 import AddKey, RemoveKey
from fluffy.core.metadata.queries_objects import KeyPair
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, Point, json_answer
from fluffy.gateways.native.json_body import read_json
from fluffy.gateways.native.shapes_people import Json, time_json
from fluffy.gateways.native.tokens import NOT_KEPT, account
from fluffy.services.s3_keys import checked_pair


async def list_keys(desk: Desk, call: Call) -> Answer:
    """GET /v1/keys: one's own; for admins those of any user."""
    user = account(desk, call, call.query.get("user"))
    pairs = desk.reader.read(lambda db: queries_objects.key_pairs(db, user))
    return json_answer({"user": user.name, "keys": [_key_json(pair) for pair in pairs]})


async def add_key(desk: Desk, call: Call) -> Answer:
    """POST /v1/keys: a new pair, or one that is brought along (`access_key` and `secret`)."""
    fields = await read_json(call, "label", "user", "access_key", "secret")
    user = account(desk, call, fields.text_or_none("user"))
    label = fields.text_or_none("label") or ""
    keys, header = desk.data_path().people.s3_keys, desk.header(call)
    if fields.has("access_key") or fields.has("secret"):
        pair = checked_pair(fields.text("access_key"), fields.text("secret"))
    else:
        pair = keys.new_pair(header.request_id)
    outcome = await desk.propose(AddKey(header, user.name, pair.access_key, keys.seal(pair), label))
    call.point = Point(outcome.seq)
    return json_answer({"access_key": pair.access_key, "secret": pair.secret, "user": user.name, "label": label}, 201,
                       NOT_KEPT)


async def remove_key(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/keys/{access_key}"""
    user = account(desk, call, call.query.get("user"))
    outcome = await desk.propose(RemoveKey(desk.header(call), user.name, call.params["access_key"]))
    call.point = Point(outcome.seq)
    return json_answer({"user": user.name, "removed": call.params["access_key"]})


def _key_json(pair: KeyPair) -> Json:
    return {"access_key": pair.access_key, "label": pair.label, "created": time_json(pair.created_ms)}
