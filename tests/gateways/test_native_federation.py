"""What a supernode may ask of a cluster, and for whom."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from blake3 import blake3

from fluffy.core.metadata.commands import FEATURE_LEVEL, SetFeatureLevel
from fluffy.core.metadata.commands_people import AddUser, ChangeUser
from fluffy.wire.catalog_rows import hash_of_rows, parse_piece, parse_rows
from tests.support.asking import Asker, admin_of, grant, user_of
from tests.support.local_log import header
from tests.support.memory_state import MemoryState
from tests.support.native_door import Door


@pytest.fixture
def supernode(door: Door) -> Asker:
    door.cluster.log.apply(SetFeatureLevel(header(), FEATURE_LEVEL))
    return user_of(door, "joins", "supernode")


def carried(asker: Asker) -> dict[str, str]:
    assert asker.token is not None
    return {"Fluffy-Asker": blake3(asker.token.encode()).hexdigest()}


def names(rows: Any) -> list[str]:
    parsed, rejects = parse_rows(rows)
    assert not rejects
    return [row.key for row in parsed]


async def test_the_whole_tree_comes_in_pages_and_the_feed_tells_what_became_of_it(door: Door,
                                                                                  supernode: Asker) -> None:
    admin = admin_of(door)
    for name in ("a", "b", "c"):
        await admin.must("PUT", f"/v1/files/admin/docs/{name}", b"x", Fluffy_Tags="k=v")
    begin = await supernode.must("GET", "/v1/federation/rows?limit=2")
    assert begin["cluster"] and begin["uuid"] == begin["epoch"] and len(begin["rows"]) == 2
    found, after = list(begin["rows"]), begin["after"]
    while after is not None:
        page = await supernode.must("GET", f"/v1/federation/rows?limit=2&after={after}")
        found, after = found + page["rows"], page["after"]
    assert sorted(names(found)) == ["a", "admin/", "b", "c", "docs/"]
    whole = await supernode.must("GET", "/v1/federation/hash")
    assert whole["hash"] == hash_of_rows(parse_rows(found)[0]) and whole["rows"] == 5

    await admin.must("DELETE", "/v1/files/admin/docs/a")
    await admin.must("POST", "/v1/move", {"src": "/admin/docs", "dst": "/admin/texts"})
    piece = parse_piece(await supernode.must("GET", f"/v1/federation/feed?since={begin['at_seq']}")).piece
    assert [row.key for row in piece.rows] == ["texts/"] and not piece.more
    assert {"docs/", "texts/", "a"} <= {key for _, key in piece.places}
    folder = next(row for row in piece.rows if row.key == "texts/")
    inside = await supernode.must("GET", f"/v1/federation/folders/{folder.no}")
    assert names(inside["rows"]) == ["b", "c"] and parse_rows(inside["rows"])[0][0].tags == {"k": "v"}


async def test_the_feed_waits_for_news_and_tells_the_cluster_s_state(door: Door, supernode: Asker) -> None:
    now = await supernode.must("GET", "/v1/federation/feed?since=0")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(supernode.must("GET", f"/v1/federation/feed?since={now['seq']}&wait_s=20"))
        await asyncio.sleep(0.05)
        await admin_of(door).must("PUT", "/v1/files/admin/new", b"")
    assert names(waiting.result()["rows"]) == ["new"]
    state = waiting.result()["state"]
    assert state["nodes"] == 3 and state["free_bytes"] > 0 and state["leader"] == "one" and state["load"] >= 0


async def test_a_position_of_another_history_is_refused(door: Door, supernode: Asker) -> None:
    told = await supernode.ask("GET", "/v1/federation/feed?since=0&epoch=another")
    assert (told.status, told.code) == (410, "HistoryCut")


async def test_a_supernode_reads_no_file_by_itself_and_any_for_whoever_may(door: Door, supernode: Asker) -> None:
    alice, bob = user_of(door, "alice"), user_of(door, "bob")
    await alice.must("PUT", "/v1/files/alice/mine", b"hers")
    assert (await supernode.ask("GET", "/v1/files/alice/mine")).status == 403
    assert (await supernode.ask("PUT", "/v1/dirs/own")).status == 403
    assert (await supernode.ask("GET", "/v1/files/alice/mine", **carried(bob))).status == 403
    told = await supernode.ask("GET", "/v1/files/alice/mine", **carried(alice))
    assert (told.status, told.body) == (200, b"hers")
    assert (await supernode.ask("DELETE", "/v1/files/alice/mine", **carried(alice))).status == 200


async def test_nobody_but_a_supernode_asks_for_others_and_it_only_about_files(door: Door, supernode: Asker) -> None:
    alice, bob = user_of(door, "alice"), user_of(door, "bob")
    assert (await bob.ask("GET", "/v1/dirs/alice", **carried(alice))).status == 403
    assert (await admin_of(door).ask("GET", "/v1/dirs/alice", **carried(alice))).status == 403
    for method, target in (("GET", "/v1/tokens"), ("POST", "/v1/tokens"), ("POST", "/v1/logout"),
                           ("GET", "/v1/admin/users"), ("GET", "/v1/federation/feed?since=0")):
        assert (await supernode.ask(method, target, **carried(admin_of(door)))).status == 403, target
    unknown = await supernode.ask("GET", "/v1/dirs/alice", **{"Fluffy-Asker": "0" * 64})
    assert (unknown.status, unknown.code) == (401, "Unauthenticated")
    assert (await supernode.ask("GET", "/v1/dirs/alice", **{"Fluffy-Asker": "zz"})).status == 400
    door.cluster.log.apply(ChangeUser(header(), "alice", disabled=True))
    assert (await supernode.ask("GET", "/v1/dirs/alice", **carried(alice))).status == 401


async def test_sight_is_what_the_asker_may_read(door: Door, supernode: Asker) -> None:
    alice, bob = user_of(door, "alice"), user_of(door, "bob")
    grant(door, "alice", "bob", "read")
    seen = await supernode.must("GET", "/v1/federation/sight", **carried(bob))
    assert (seen["user"], seen["buckets"]) == ("bob", ["alice", "bob"])
    assert (await supernode.must("GET", "/v1/federation/sight", **carried(alice)))["buckets"] == ["alice"]
    assert (await supernode.must("GET", "/v1/federation/sight", **carried(admin_of(door))))["buckets"] is None
    assert (await supernode.must("GET", "/v1/federation/sight"))["buckets"] == []


def test_below_the_level_that_all_nodes_know_there_is_no_such_role() -> None:
    state = MemoryState()
    state.accept(SetFeatureLevel(header(at_ms=0), 2))
    assert state.reject(AddUser(header(at_ms=0), "joins", "supernode")).code == "RequestError"
    state.accept(SetFeatureLevel(header(at_ms=0), 3))
    state.accept(AddUser(header(at_ms=0), "joins", "supernode"))


def test_rows_that_are_none_are_set_aside_and_name_their_fault() -> None:
    good = [7, 0, "a/", -1, 0, "", "", "admin", 5]
    bad = [[], "x", [7, 0, "a", -1, 0, "", "", "admin", 5], [7, 0, "a/b", 1, 0, "", "", "admin", 5],
           [1 << 50, 0, "a/", -1, 0, "", "", "", 5], [7, 0, "\ud800/", -1, 0, "", "", "", 5], [*good, {"k": 1}],
           [True, 0, "a/", -1, 0, "", "", "admin", 5]]
    rows, rejects = parse_rows([good, *bad])
    assert [row.key for row in rows] == ["a/"] and len(rejects) == len(bad) and all(one.reason for one in rejects)
