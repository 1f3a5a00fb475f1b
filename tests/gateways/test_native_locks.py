"""Locks through the native door: who holds one, who waits, and what a write has to bring."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from fluffy.base.errors import QuorumLost
from tests.support.asking import Asker, admin_of, grant, user_of
from tests.support.native_door import CHUNK_SIZE, Door
from tests.support.raw_http import RawClient, head_of

PLAN = "/v1/files/alice/plan"


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(2000):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError


@pytest.fixture
def alice(door: Door) -> Asker:
    return user_of(door, "alice")


@pytest.fixture
async def bob(door: Door, alice: Asker) -> Asker:
    bob = user_of(door, "bob")
    grant(door, "alice", "bob", "write")
    return bob


async def test_a_lock_is_taken_renewed_listed_and_given_back(alice: Asker) -> None:
    told = await alice.ask("POST", "/v1/locks", {"path": "/alice/plan", "ttl_s": 5, "note": "editing"})
    assert told.status == 201 and told.headers["cache-control"] == "no-store"
    lock = told.value
    assert (lock["path"], lock["mode"], lock["holder"]) == ("/alice/plan", "exclusive", "alice")
    assert lock["note"] == "editing"
    renewed = await alice.must("PUT", f"/v1/locks/{lock['token']}", {"ttl_s": 600})
    assert renewed["expires"] > lock["expires"] and renewed["fence"] == lock["fence"]
    [line] = (await alice.must("GET", "/v1/locks?path=/alice"))["locks"]
    assert (line["holder"], line["fence"], line["expires"]) == ("alice", lock["fence"], renewed["expires"])
    assert lock["token"] not in str(line)
    below = await alice.must("GET", "/v1/locks?path=/alice/plan/page")
    assert (below["locks"], [above["path"] for above in below["above"]]) == ([], ["/alice/plan"])
    assert await alice.must("DELETE", f"/v1/locks/{lock['token']}") == {"released": 1}
    told = await alice.ask("DELETE", f"/v1/locks/{lock['token']}")
    assert (told.status, told.code) == (404, "LockNotFound")
    assert (await alice.must("GET", "/v1/locks"))["locks"] == []


async def test_a_repeated_request_gets_the_same_lock(alice: Asker) -> None:
    wish = {"path": "/alice/plan", "ttl_s": 60}
    first = await alice.must("POST", "/v1/locks", wish, Fluffy_Request_Id="k")
    again = await alice.must("POST", "/v1/locks", wish, Fluffy_Request_Id="k")
    assert (first["token"], first["fence"], first["expires"]) == (again["token"], again["fence"], again["expires"])
    assert (await alice.ask("POST", "/v1/locks", wish)).code == "FileLocked"


@pytest.mark.parametrize(("method", "target", "body"), [
    ("PUT", PLAN, b"small"), ("PUT", PLAN, bytes(3 * CHUNK_SIZE)), ("DELETE", PLAN, None),
    ("POST", PLAN + "?append", b"line"), ("POST", PLAN + "?touch", None), ("PUT", "/v1/meta/alice/plan", {"a": "b"}),
    ("PUT", "/v1/tags/alice/plan", {"a": "b"}), ("POST", "/v1/move", {"src": "/alice/plan", "dst": "/alice/moved"}),
    ("POST", "/v1/copy", {"src": "/alice/other", "dst": "/alice/plan", "overwrite": True}),
    ("POST", "/v1/restore", {"path": "/alice/plan", "generation": 1}),
    ("DELETE", "/v1/files/alice?recursive=1", None)])
async def test_a_write_to_a_locked_path_needs_the_token(
        door: Door, alice: Asker, bob: Asker, method: str, target: str, body: object) -> None:
    grant(door, "alice", "bob", "admin")
    await alice.must("PUT", PLAN, b"first")
    await alice.must("PUT", "/v1/files/alice/other", b"other")
    lock = await alice.must("POST", "/v1/locks", {"path": "/alice/plan", "note": "mine"})
    for who, token in ((bob, None), (bob, lock["token"]), (alice, None), (admin_of(door), None), (alice, "nonsense")):
        told = await who.ask(method, target, body, **({} if token is None else {"Fluffy_Lock": token}))
        assert (told.status, told.code) == (423, "FileLocked"), told.body
        assert (told.error["holder"], told.error["path"], told.error["note"]) == ("alice", "/alice/plan", "mine")
    await alice.must(method, target, body, Fluffy_Lock=lock["token"])


async def test_the_token_of_another_user_opens_nothing_and_says_so(alice: Asker, bob: Asker) -> None:
    lock = await alice.must("POST", "/v1/locks", {"path": "/alice/plan"})
    for method, body in (("PUT", {"ttl_s": 60}), ("DELETE", None)):
        told = await bob.ask(method, f"/v1/locks/{lock['token']}", body)
        assert (told.status, told.code) == (404, "LockNotFound") and "no lock of yours" in told.error["message"]
    told = await bob.ask("PUT", "/v1/files/alice/elsewhere", b"x", Fluffy_Lock=lock["token"])
    assert (told.status, told.code) == (412, "LockLost")


async def test_a_token_whose_lock_has_ended_stops_the_write(alice: Asker) -> None:
    lock = await alice.must("POST", "/v1/locks", {"path": "/alice/plan"})
    await alice.must("DELETE", f"/v1/locks/{lock['token']}")
    told = await alice.ask("PUT", PLAN, b"late", Fluffy_Lock=lock["token"])
    assert (told.status, told.code) == (412, "LockLost")
    told = await alice.ask("PUT", PLAN, b"x", Fluffy_Lock="")
    assert (told.status, told.code) == (400, "QuerySyntax")


async def test_who_waits_gets_the_lock_when_it_is_given_back(alice: Asker, bob: Asker) -> None:
    lock = await alice.must("POST", "/v1/locks", {"path": "/alice/plan", "ttl_s": 600})
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(bob.ask("POST", "/v1/locks", {"path": "/alice/plan", "wait_s": 20}))
        await until(lambda: alice.door.desk.waiting.taken == 1)
        await alice.must("DELETE", f"/v1/locks/{lock['token']}")
    assert waiting.result().status == 201
    assert waiting.result().value["fence"] > lock["fence"]
    assert alice.door.desk.waiting.taken == 0


async def test_who_leaves_while_waiting_does_not_get_the_lock(door: Door, alice: Asker, bob: Asker) -> None:
    lock = await alice.must("POST", "/v1/locks", {"path": "/alice/plan", "ttl_s": 600})
    async with await RawClient.connect(door.host, door.port) as leaver:
        body = b'{"path": "/alice/plan", "wait_s": 30}'
        await leaver.send(head_of("POST", "/v1/locks", "bob", Content_Length=str(len(body))) + body)
        await until(lambda: door.desk.waiting.taken == 1)
    await alice.must("DELETE", f"/v1/locks/{lock['token']}")
    await until(lambda: door.desk.waiting.taken == 0)
    assert (await bob.must("GET", "/v1/locks"))["locks"] == []


async def test_who_waits_in_vain_learns_who_holds_it(alice: Asker, bob: Asker) -> None:
    await alice.must("POST", "/v1/locks", {"path": "/alice", "ttl_s": 600, "note": "backup"})
    began = time.monotonic()
    told = await bob.ask("POST", "/v1/locks", {"path": "/alice/plan", "mode": "shared", "wait_s": 0.2})
    assert (told.status, told.code, told.error["holder"]) == (423, "FileLocked", "alice")
    assert 0.2 <= time.monotonic() - began < 5


async def test_shared_locks_share(alice: Asker, bob: Asker) -> None:
    for who in (alice, bob):
        await who.must("POST", "/v1/locks", {"path": "/alice/plan", "mode": "shared"})
    assert (await bob.ask("POST", "/v1/locks", {"path": "/alice/plan"})).code == "FileLocked"


async def test_those_who_administer_a_bucket_break_locks(door: Door, alice: Asker, bob: Asker) -> None:
    lock = await bob.must("POST", "/v1/locks", {"path": "/alice/plan"})
    assert (await bob.ask("DELETE", "/v1/locks?path=/alice/plan")).code == "AccessDenied"
    assert (await alice.must("DELETE", "/v1/locks?path=/alice/plan"))["released"] == 1
    assert (await alice.ask("DELETE", "/v1/locks?path=/alice/plan")).code == "LockNotFound"
    assert (await alice.ask("DELETE", "/v1/locks")).code == "NameIllegal"
    assert (await bob.ask("PUT", f"/v1/locks/{lock['token']}", {"ttl_s": 60})).code == "LockNotFound"
    [row] = (await admin_of(door).must("GET", "/v1/admin/audit?act=break-lock"))["audit"]
    assert (row["who"], row["target"]) == ("alice", "/alice/plan")


async def test_locks_are_listed_in_pages_and_only_where_one_reads(door: Door, alice: Asker) -> None:
    carol = user_of(door, "carol")
    await carol.must("POST", "/v1/locks", {"path": "/carol/f"})
    for number in range(5):
        await alice.must("POST", "/v1/locks", {"path": f"/alice/{number}"})
    paths: list[str] = []
    after = ""
    for _ in range(4):
        page = await alice.must("GET", f"/v1/locks?limit=2{after}")
        paths += [lock["path"] for lock in page["locks"]]
        if page["after"] is None:
            break
        after = f"&after={page['after']}"
    assert paths == [f"/alice/{number}" for number in range(5)]
    assert len((await admin_of(door).must("GET", "/v1/locks"))["locks"]) == 6


@pytest.mark.parametrize(("body", "code"), [
    ({}, "QuerySyntax"), ({"path": "/"}, "NameIllegal"), ({"path": "/alice/../x"}, "NameIllegal"),
    ({"path": "/alice/f", "mode": "mine"}, "RequestError"), ({"path": "/alice/f", "ttl_s": 0}, "RequestError"),
    ({"path": "/alice/f", "ttl_s": 1e9}, "RequestError"), ({"path": "/alice/f", "ttl_s": "x"}, "QuerySyntax"),
    ({"path": "/alice/f", "wait_s": -1}, "QuerySyntax"), ({"path": "/alice/f", "note": "x" * 300}, "RequestError"),
    ({"path": "/alice/f", "token": "x"}, "QuerySyntax")])
async def test_a_wrong_wish_for_a_lock_is_refused(alice: Asker, body: object, code: str) -> None:
    told = await alice.ask("POST", "/v1/locks", body)
    assert (told.status, told.code) == (400, code)


async def test_without_a_majority_no_lock_is_taken(alice: Asker) -> None:
    alice.door.cluster.log.refuse_with = QuorumLost()
    told = await alice.ask("POST", "/v1/locks", {"path": "/alice/plan", "wait_s": 5})
    assert (told.status, told.code) == (503, "QuorumLost")
    alice.door.cluster.log.refuse_with = None
