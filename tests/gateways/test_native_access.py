"""Who may do what, for every route there is: made from the table of routes, so that none can be forgotten.

Each row of `access_examples.py` is tried on alice's things by bob without any grant, with each weaker grant, and with
the one it takes; by a read-only user and a disabled one with the same grants; and by a stranger. Refused tries change
nothing.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from fluffy.core.metadata.commands_members import AdmitNode, RemoveNode, RetireNode
from fluffy.core.metadata.commands_people import ChangeUser, RemoveGrant
from fluffy.gateways.native.routes import ROUTES
from tests.gateways.access_examples import EXAMPLES, MARK, Row
from tests.support.asking import Asker, Told, admin_of, grant, stranger_of, user_of
from tests.support.jobs import assign_job
from tests.support.local_log import header
from tests.support.native_door import CHUNK_SIZE, Door

BUCKETS = ("alice", "more")
RIGHTS = ("read", "write", "admin")
CASES = [(key.partition(" ")[0], row) for key, rows in EXAMPLES.items() for row in rows]


@dataclass(frozen=True, slots=True)
class World:
    """`facts`: what the rows' braces stand for."""

    door: Door
    alice: Asker
    bob: Asker
    reader: Asker
    gone: Asker
    facts: dict[str, str]

    async def try_(self, who: Asker, method: str, row: Row, target: str | None = None) -> Told:
        own = target is not None
        return await who.ask(method, self.fill(target or row.target), self.fill_body(row.body, own=own), **row.headers)

    def fill(self, text: str) -> str:
        for name, value in self.facts.items():
            text = text.replace("{" + name + "}", value)
        return text

    def fill_body(self, body: Any, *, own: bool) -> Any:
        if not isinstance(body, dict):
            return body
        filled = {name: self.fill(value) if isinstance(value, str) else value for name, value in body.items()}
        return {name: value for name, value in filled.items() if name != "user"} if own else filled

    def changes(self) -> int:
        """How many changes the state has seen."""
        return self.door.cluster.log.machine.seq

    def give(self, right: str) -> None:
        for bucket, name in product(BUCKETS, ("bob", "reader", "gone")):
            grant(self.door, bucket, name, right)


@pytest.fixture
async def world(door: Door) -> World:
    alice, bob, reader, gone = (user_of(door, "alice"), user_of(door, "bob"), user_of(door, "reader", "readonly"),
                                user_of(door, "gone"))
    user_of(door, "carol")
    user_of(door, f"{MARK}-friend")
    await alice.must("PUT", "/v1/files/alice/docs/zq7-a", b"first")
    then = (await alice.must("GET", "/v1/info/alice/docs/zq7-a"))["modified"]
    await asyncio.sleep(0.002)  # log time, which the rows look back to, goes on
    await alice.must("PUT", "/v1/files/alice/docs/zq7-a", b"second")
    await alice.must("PUT", "/v1/files/alice/zq7-gone", b"gone")
    await alice.must("DELETE", "/v1/files/alice/zq7-gone")
    await alice.must("PUT", "/v1/dirs/alice/zq7-empty")
    await alice.must("POST", "/v1/admin/grants", {"bucket": "alice", "user": f"{MARK}-friend", "right": "read"})
    await bob.must("PUT", "/v1/files/bob/b", b"bobs")
    await alice.must("PUT", "/v1/dirs/more")
    lock = await alice.must("POST", "/v1/locks", {"path": f"/more/{MARK}-locked", "ttl_s": 3600})
    upload = await alice.must("POST", "/v1/uploads", {"path": "/alice/zq7-up"})
    await alice.must("PUT", f"/v1/uploads/{upload['id']}/parts/1", b"p" * CHUNK_SIZE)
    await alice.must("PUT", "/v1/files/alice/zq7-large", b"l" * CHUNK_SIZE)
    job = assign_job(door, "alice/zq7-large", 3)
    await alice.must("POST", "/v1/keys", {"access_key": "ALICEKEY", "secret": "a-secret-of-hers"})
    tokens = (await alice.must("GET", "/v1/tokens"))["tokens"]
    door.cluster.log.apply(ChangeUser(header(), "gone", disabled=True))
    _come_and_go(door, "four")
    return World(door, alice, bob, reader, gone, {
        "lock": lock["token"], "upload": upload["id"], "token_id": tokens[0]["token_id"], "then": then,
        "job": str(job)})


def _come_and_go(door: Door, name: str) -> None:
    """A machine that was a member for a moment."""
    log = door.cluster.log
    no = log.apply(AdmitNode(header(), name, "its-disk", "d", "127.0.0.1", 1, 2, 3, 0)).facts["node_no"]
    log.apply(RemoveNode(header(), name, True))
    log.apply(RetireNode(header(), log.term, no))


def test_every_route_has_an_example_and_every_example_a_route() -> None:
    built = {f"{route.method} {route.pattern}" for route in ROUTES}
    assert set(EXAMPLES) == built
    assert all(EXAMPLES.values())


@pytest.mark.parametrize(("method", "row"), CASES, ids=[f"{method} {row.target}" for method, row in CASES])
async def test_what_is_another_user_s_takes_the_right_grant(world: World, method: str, row: Row) -> None:
    if row.need == "open":
        assert (await world.try_(stranger_of(world.door), method, row)).code in ("", "Unauthenticated")
        return
    before = world.changes()
    told = await world.try_(stranger_of(world.door), method, row)
    assert (told.status, told.code) == (401, "Unauthenticated")
    told = await world.try_(world.gone, method, row)
    assert (told.status, told.code) == (401, "Unauthenticated"), "a disabled user is nobody"
    assert world.changes() == before
    match row.need:
        case "read" | "write" | "admin":
            await _needs_grant(world, method, row, row.need)
        case "shown" | "shown-write" | "shown-admin":
            await _is_shown(world, method, row, row.need.partition("-")[2] or "read")
        case "operate" | "account" | "none":
            await _needs_more(world, method, row)
        case "see":
            _check_done(await world.try_(world.bob, method, row))


async def _needs_grant(world: World, method: str, row: Row, needed: str) -> None:
    for right in ("", *RIGHTS[:RIGHTS.index(needed)]):
        if right:
            world.give(right)
        await _is_refused(world, world.bob, method, row)
    world.give(needed)
    if needed == "read" and not row.changes:
        _check_done(await world.try_(world.reader, method, row))
    else:
        await _is_refused(world, world.reader, method, row)
        await _is_refused(world, world.reader, method, _about_the_reader(row))
    _check_done(await world.try_(world.bob, method, row))


def _about_the_reader(row: Row) -> Row:
    """The same in the read-only user's own bucket."""
    body = row.body
    if isinstance(body, dict):
        body = json.loads(re.sub(r"\b(alice|bob)\b", "reader", json.dumps(body)))
    return replace(row, target=row.target.replace("alice", "reader"), body=body)


async def _is_refused(world: World, who: Asker, method: str, row: Row) -> None:
    before = world.changes()
    told = await world.try_(who, method, row)
    assert (told.status, told.code) == (403, "AccessDenied"), told.body
    assert MARK not in told.body.decode()
    assert world.changes() == before, "a refusal changes nothing"


async def _is_shown(world: World, method: str, row: Row, needed: str) -> None:
    """Anybody may ask; what is alice's is in the answer only, or is touched only, with the right."""
    for right in ("", *RIGHTS[:RIGHTS.index(needed)]):
        if right:
            world.give(right)
        before = world.changes()
        told = await world.try_(world.bob, method, row)
        assert told.status == 200 and not _tells_of_alice(told), told.body
        assert world.changes() == before
    world.give(needed)
    before = world.changes()
    told = await world.try_(world.bob, method, row)
    assert told.status == 200
    assert _tells_of_alice(told) or world.changes() != before, told.body
    for bucket in BUCKETS:
        world.door.cluster.log.apply(RemoveGrant(header(), bucket, "bob"))
    if method == "GET" and row.target != "/v1/changes?since=0&limit=1000":
        assert not _tells_of_alice(await world.try_(world.bob, method, row)), "a right taken back is gone at once"


def _tells_of_alice(told: Told) -> bool:
    text = told.body.decode()
    return MARK in text.replace(f'"q":"{MARK}"', "") or '"alice"' in text


async def _needs_more(world: World, method: str, row: Row) -> None:
    """No grant helps: it takes an admin, or alice herself."""
    world.give("admin")
    before = world.changes()
    told = await world.try_(world.bob, method, row)
    if row.need == "none":
        assert told.status == 404 or not _tells_of_alice(told), told.body
    else:
        assert (told.status, told.code) == (403, "AccessDenied"), told.body
    assert world.changes() == before
    if row.need == "operate":
        told = await world.try_(admin_of(world.door), method, row)
        if row.but is None:
            _check_done(told)
        else:
            assert told.code == row.but, told.body
    if row.need == "account":
        _check_done(await world.try_(admin_of(world.door), method, row))
        if row.mine is not None:
            _check_done(await world.try_(world.bob, method, row, row.mine))


def _check_done(told: Told) -> None:
    assert told.status < 300, told.body
