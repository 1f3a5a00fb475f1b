"""Users over HTTP: by admins."""

from __future__ import annotations

from fluffy.base.errors import UserNotFound
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_people import AddUser, ChangeUser, RemoveUser
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, Point, json_answer
from fluffy.gateways.native.json_body import Fields, read_json
from fluffy.gateways.native.shapes_people import Json, person_json

PAGE_MAX = 1000


async def list_users(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/users"""
    limit = call.number("limit", PAGE_MAX, PAGE_MAX, least=1)
    after = call.query.get("after") or None
    people = await desk.reader.read_in_thread(lambda db: queries.people(db, after, limit), call.deadline)
    return json_answer({"users": [person_json(person) for person in people],
                        "after": people[-1].user.name if len(people) == limit else None})


async def get_user(desk: Desk, call: Call) -> Answer:
    """GET /v1/admin/users/{name}"""
    return json_answer(_person(desk, call.params["name"]))


async def add_user(desk: Desk, call: Call) -> Answer:
    """POST /v1/admin/users: with the home bucket of the same name."""
    fields = await read_json(call, "name", "role", "password")
    name, role = fields.text("name"), fields.text_or_none("role") or "user"
    outcome = await desk.propose(AddUser(desk.header(call), name, role, await _hashed(desk, fields) or b""))
    call.point = Point(outcome.seq)
    return json_answer(_person(desk, name), 201)


async def change_user(desk: Desk, call: Call) -> Answer:
    """PATCH /v1/admin/users/{name}: only the given ones; a password of null is taken away."""
    fields = await read_json(call, "role", "password", "disabled")
    name = call.params["name"]
    outcome = await desk.propose(ChangeUser(
        desk.header(call), name, fields.text_or_none("role"), await _hashed(desk, fields),
        fields.flag_or_none("disabled")))
    call.point = Point(outcome.seq)
    return json_answer(_person(desk, name))


async def remove_user(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/admin/users/{name}?give_to="""
    name = call.params["name"]
    outcome = await desk.propose(RemoveUser(desk.header(call), name, call.query.get("give_to") or None))
    call.point = Point(outcome.seq)
    return json_answer({"user": name, "removed_buckets": outcome.facts["removed"],
                        "given_buckets": outcome.facts["given"]})


async def _hashed(desk: Desk, fields: Fields) -> bytes | None:
    """What the log keeps of a password; empty: none (any more); None: nothing was said about it."""
    if not fields.has("password"):
        return None
    password = fields.text_or_none("password")
    return b"" if password is None else await desk.data_path().people.passwords.hash(password)


def _person(desk: Desk, name: str) -> Json:
    person = desk.reader.read(lambda db: queries.person(db, name))
    if person is None:
        raise UserNotFound(f"there is no user {name}", user=name)
    return person_json(person)
