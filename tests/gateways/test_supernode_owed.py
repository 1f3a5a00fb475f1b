"""What is owed to clusters, where others are hostile, slow or away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import RequestError
from fluffy.drivers.owed_orders import OwedOrders
from fluffy.services.federation import follower as following
from fluffy.services.federation import owed as owing
from tests.support.federation import asker_of
from tests.support.local_log import ADMIN_TOKEN
from tests.support.supernode_door import OPERATOR, SupernodeDoor, supernode_door, until

BOTH = {"Fluffy-Tags": "fluffy-copies=alpha+beta"}


@pytest.fixture
async def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SupernodeDoor]:
    monkeypatch.setattr(following, "FEED_WAIT_S", 0)
    monkeypatch.setattr(owing, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(owing, "FIRST_WAIT_MS", 20)
    async with supernode_door(tmp_path, "alpha", "beta") as running:
        yield running


@pytest.fixture
def orders(tmp_path: Path) -> OwedOrders:
    return OwedOrders(tmp_path)


@pytest.mark.parametrize("nonsense", [
    {"content_type": "text/plain\r\nFluffy-Lock: x"}, {"generation": "many"}, {"generation": None}, {"tags": "k"},
    {"meta": {"k": "a\nb"}}, {"meta": {"k\r\n": "a"}}, {"blake3": 7}, {"tags": {"k": "\ud800"}}])
async def test_what_makes_no_sense_is_given_up_and_the_queue_goes_on(
        door: SupernodeDoor, monkeypatch: pytest.MonkeyPatch, nonsense: dict[str, Any]) -> None:
    await door.switch_off("beta")
    for name in ("bad", "good"):
        await door.clusters["alpha"].admin.must("PUT", f"/v1/files/admin/{name}", b"x")
        owe(door, name)
    client = door.clusters["alpha"].client
    true_ask = client.ask

    async def ask(method: str, target: str, *rest: Any, **more: Any) -> Mapping[str, Any]:
        told = await true_ask(method, target, *rest, **more)
        return {**told, **nonsense} if target == "/v1/info/admin/bad" else told

    monkeypatch.setattr(client, "ask", ask)
    await door.switch_on("beta")
    await door.all_made_good()
    assert (door.desk.copier.given_up, door.desk.copier.carried_out) == (1, 1)
    [ended] = (await door.must("GET", "/v1/owed", OPERATOR))["given_up"]
    assert ended["to"] == "beta:/admin/bad" and "no sense" in ended["error"]


def owe(door: SupernodeDoor, name: str) -> None:
    [asker] = {joined.admin.token for joined in door.clusters.values()}
    hashed = asker_of(asker)
    door.desk.orders.owe("beta", f"admin/{name}", "alpha", hashed, hashed, door.desk.clock.now_ms())


async def test_what_cannot_be_sent_is_an_error_and_no_end(door: SupernodeDoor) -> None:
    with pytest.raises(RequestError):
        await door.clusters["alpha"].client.ask("GET", "/v1/info/admin/x", Deadline.after(2), asker="a\r\nb")


@pytest.mark.parametrize("cluster", ["alpha", "@best"])
async def test_one_file_alone_cannot_say_that_another_is_its_copy(door: SupernodeDoor, cluster: str) -> None:
    alpha, beta = door.clusters["alpha"].admin, door.clusters["beta"].admin
    await beta.must("PUT", "/v1/files/admin/f", b"of others")
    await alpha.must("PUT", "/v1/files/admin/f", b"bait", **BOTH)
    await door.level()
    await door.must("PUT", f"/v1/files/{cluster}/admin/f?proxy=1", ADMIN_TOKEN, b"newer")
    await alpha.must("PUT", "/v1/files/admin/f", b"bait", **BOTH)
    await door.level()
    told = await door.must("DELETE", f"/v1/files/{cluster}/admin/f", ADMIN_TOKEN)
    assert (told["deleted"], told["owed"]) == (["alpha"], [])
    assert (await beta.ask("GET", "/v1/files/admin/f")).body == b"of others"


async def test_copies_that_name_each_other_go_together(door: SupernodeDoor) -> None:
    for joined in door.clusters.values():
        await joined.admin.must("PUT", "/v1/files/admin/f", b"both", **BOTH)
    await door.level()
    assert sorted((await door.must("DELETE", "/v1/files/alpha/admin/f", ADMIN_TOKEN))["deleted"]) == ["alpha", "beta"]


async def test_clients_do_not_say_where_copies_are(door: SupernodeDoor) -> None:
    for target in ("alpha/admin/f", "@best/admin/f?copies=2"):
        told = await door.ask("PUT", f"/v1/files/{target}", ADMIN_TOKEN, b"x", Fluffy_Tags="fluffy-copies=alpha+beta")
        assert (told.status, told.code) == (400, "QuerySyntax")


async def test_one_that_is_being_written_delays_no_other(door: SupernodeDoor) -> None:
    for name in ("slow", "other"):
        await door.clusters["alpha"].admin.must("PUT", f"/v1/files/admin/{name}", b"x")
    async with door.desk.copier.locked(["beta"], "admin/slow"):
        owe(door, "slow")
        owe(door, "other")
        await until(lambda: not door.desk.orders.is_owed("beta", "admin/other"))
        assert door.desk.orders.is_owed("beta", "admin/slow")
        async with door.desk.copier.locked(["alpha"], "admin/slow"):
            pass  # the same name elsewhere is another file
    await door.all_made_good()


def test_those_of_a_cluster_that_is_away_starve_nobody(orders: OwedOrders) -> None:
    for number in range(150):
        orders.owe("away", f"b/{number}", "here", "a", "a", 1)
        orders.owe("here", f"b/{number}", "away", "a", "a", 1)
    orders.owe("here", "b/f", "there", "a", "a", 2)
    assert [order.path for order in orders.due(3, 100, ["here", "there"])] == ["b/f"]
    assert len(orders.due(3, 1000, ["here", "there", "away"])) == 301


def test_ones_own_are_listed_however_many_others_have(orders: OwedOrders) -> None:
    for number in range(20):
        orders.owe("beta", f"b/{number}", "alpha", "theirs", "theirs", 1)
        orders.give_up(orders.owe("beta", "b/ended", "alpha", "theirs" if number else "mine", "theirs", 1), 2, "no")
    orders.owe("beta", "b/mine", "alpha", "x", "mine", 1)
    assert [order.path for order in orders.listed(5, {"mine"})] == ["b/mine"]
    assert len(orders.given_up(5, {"mine"})) == 1 and len(orders.given_up(5, None)) == 5


async def test_a_long_one_delays_no_other_and_few_run_at_once(door: SupernodeDoor,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    client, gate, begun = door.clusters["beta"].client, asyncio.Event(), []
    true_write = client.write

    async def write(target: str, *rest: Any, **more: Any) -> Mapping[str, Any]:
        begun.append(target)
        if "long" in target:
            await gate.wait()
        return await true_write(target, *rest, **more)

    monkeypatch.setattr(client, "write", write)
    names = ["long0", "long1", "long2", "short", *(f"long{number}" for number in range(3, 8))]
    for name in names:
        await door.clusters["alpha"].admin.must("PUT", f"/v1/files/admin/{name}", b"x" * 20_000)
        owe(door, name)
    await until(lambda: not door.desk.orders.is_owed("beta", "admin/short"))
    await until(lambda: len(begun) == owing.AT_ONCE_PER_CLUSTER + 1)
    await asyncio.sleep(0.1)
    assert len(begun) == owing.AT_ONCE_PER_CLUSTER + 1
    gate.set()
    await door.all_made_good()
    assert sorted(begun) == sorted(f"/v1/files/admin/{name}" for name in names)


async def test_what_waits_for_a_cluster_that_left_is_put_aside_and_told(door: SupernodeDoor) -> None:
    await door.clusters["alpha"].admin.must("PUT", "/v1/files/admin/f", b"x")
    gone = door.desk.clusters.remove("beta")
    assert gone is not None
    owe(door, "f")
    door.desk.orders.owe("alpha", "admin/g", "gamma", "a", "a", 1)
    assert (await door.must("GET", "/v1/status", OPERATOR))["owed_aside"] == {"beta": 1, "gamma": 1}
    metrics = (await door.ask("GET", "/metrics", OPERATOR)).body.decode()
    assert 'fluffy_supernode_owed_aside{node="supernode"} 2' in metrics
    listed = (await door.must("GET", "/v1/owed", OPERATOR))["owed"]
    assert [line.get("aside") for line in listed] == ["beta", "gamma"]
    door.desk.clusters.add(gone)
    await until(lambda: not door.desk.orders.is_owed("beta", "admin/f"))
    assert (await door.must("GET", "/v1/status", OPERATOR))["owed_aside"] == {"gamma": 1}


def test_many_due_for_one_cluster_leave_room_for_the_others(orders: OwedOrders) -> None:
    for number in range(50):
        orders.owe("slow", f"b/{number}", "here", "a", "a", 1)
    orders.owe("there", "b/f", "here", "a", "a", 2)
    assert [order.target for order in orders.due(3, 2, ["here", "slow", "there"])] == ["slow", "slow", "there"]


@pytest.mark.parametrize("many", [False, True])
async def test_what_no_header_can_say_arrives_all_the_same(door: SupernodeDoor, many: bool) -> None:
    name, tags = "d\u00f6c \u65e5\u672c 50%", {"k\u00e9y": "v\u00e4l=&ue", "\u65e5\u672c": "", "a b": "+%"}
    if many:  # as many as a file may have; in the head of a request they are three times as long
        tags |= {f"{number:02}" + "\U0001f4c4" * 120: "\u00e9" * 250 for number in range(8)}
    meta = {"note": "\u00fcber \u65e5\u672c", "empty": "", "plain": "x"}
    alpha, beta = door.clusters["alpha"].admin, door.clusters["beta"].admin
    await alpha.must("PUT", f"/v1/files/admin/{quote(name)}", b"x" * 20_000, Content_Type="text/x")
    await alpha.must("PUT", f"/v1/tags/admin/{quote(name)}", {"tags": tags})
    await alpha.must("PUT", f"/v1/meta/admin/{quote(name)}", {"meta": meta})
    owe(door, name)
    await door.all_made_good()
    assert door.desk.copier.given_up == 0, door.desk.orders.given_up(9, None)
    found = await beta.must("GET", f"/v1/info/admin/{quote(name)}")
    assert (found["tags"], found["meta"], found["content_type"], found["size"]) == (tags, meta, "text/x", 20_000)
    generation = found["generation"]
    owe(door, name)
    await door.all_made_good()
    assert (await beta.must("GET", f"/v1/info/admin/{quote(name)}"))["generation"] == generation, "nothing to do"


async def test_metadata_alone_is_carried_over(door: SupernodeDoor) -> None:
    alpha, beta = door.clusters["alpha"].admin, door.clusters["beta"].admin
    await alpha.must("PUT", "/v1/files/admin/f", b"x", Fluffy_Meta_k="old")
    owe(door, "f")
    await door.all_made_good()
    await alpha.must("PUT", "/v1/meta/admin/f", {"meta": {"k": "new"}})
    owe(door, "f")
    await door.all_made_good()
    assert (await beta.must("GET", "/v1/info/admin/f"))["meta"] == {"k": "new"}
