"""Many clusters behind one door: what is found, read, written, deleted, by whom, and what happens while one is away."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fluffy.base.deadline import Deadline
from fluffy.gateways.supernode import names as naming
from fluffy.gateways.supernode.routes import ROUTES
from fluffy.ports_federation import FeedAnswer, SightAnswer
from fluffy.services.federation import askers
from fluffy.services.federation import follower as following
from fluffy.services.federation import owed as owing
from tests.support.asking import Asker, grant, user_of
from tests.support.local_log import ADMIN_TOKEN
from tests.support.supernode_door import OPERATOR, SupernodeDoor, supernode_door, until


@pytest.fixture
async def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SupernodeDoor]:
    monkeypatch.setattr(following, "FEED_WAIT_S", 0)
    monkeypatch.setattr(owing, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(owing, "FIRST_WAIT_MS", 20)
    async with supernode_door(tmp_path, "alpha", "beta") as running:
        yield running


async def test_each_request_has_a_line_that_tells_who_and_no_credential(
        door: SupernodeDoor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "fluffy.access")
    bob = person(door, "beta", "bob")
    for token in (OPERATOR, ADMIN_TOKEN, bob.token, "unknown-token"):
        await door.ask("GET", "/v1/clusters?", token, sent={"Fluffy-Request-Id": f"of-{token}"[:9]})
    await door.ask("GET", "/v1/clusters", alpha=ADMIN_TOKEN, beta=bob.token)

    def written() -> list[dict[str, object]]:
        door.desk.access_log.flush()
        return [record.__dict__ for record in caplog.records if record.message == "request"]

    await until(lambda: len(written()) == 5)
    lines = written()
    assert [(line["path"], line["status"], line["user"]) for line in lines] == [
        ("/v1/clusters", 200, "operator of the supernode"), ("/v1/clusters", 200, "admin"),
        ("/v1/clusters", 200, "bob"), ("/v1/clusters", 401, ""), ("/v1/clusters", 200, "alpha:admin, beta:bob")]
    assert lines[0]["request_id"] == "of-the-op" and lines[0]["remote"]
    assert not any(token in str(lines) for token in (OPERATOR, ADMIN_TOKEN, "unknown-token"))


def person(door: SupernodeDoor, cluster: str, name: str) -> Asker:
    """A user of one cluster, with a token of that name."""
    return user_of(door.clusters[cluster].door, name)


async def hits(door: SupernodeDoor, query: str, token: str | None, **tokens: str) -> list[str]:
    found = await door.must("GET", f"/v1/search?{query}", token, **tokens)
    return [f"{hit['cluster']}:{hit['path']}" for hit in found["hits"]]


async def test_what_is_put_in_a_cluster_is_found_listed_and_read(door: SupernodeDoor) -> None:
    alpha, beta = door.clusters["alpha"].admin, door.clusters["beta"].admin
    await alpha.must("PUT", "/v1/files/admin/docs/report-a", b"first")
    await beta.must("PUT", "/v1/files/admin/report-b", b"second")
    await door.level()
    # The same token is the admin's of both clusters here.
    assert await hits(door, "q=report", ADMIN_TOKEN) == ["alpha:/admin/docs/report-a", "beta:/admin/report-b"]
    assert await hits(door, "q=report&cluster=beta&everywhere=1", ADMIN_TOKEN) == ["beta:/admin/report-b"]
    assert await hits(door, "q=report&fresh=1", ADMIN_TOKEN) == ["alpha:/admin/docs/report-a", "beta:/admin/report-b"]
    found = await door.must("GET", "/v1/search?q=report&limit=1", ADMIN_TOKEN)
    assert [line["state"] for line in found["coverage"]] == ["fresh", "fresh"] and found["after"]
    assert await hits(door, f"q=report&after={found['after']}", ADMIN_TOKEN) == ["beta:/admin/report-b"]
    listed = await door.must("GET", "/v1/catalog/alpha/admin/docs", ADMIN_TOKEN)
    assert [line["name"] for line in listed["entries"]] == ["report-a"]
    told = await door.ask("GET", "/v1/files/alpha/admin/docs/report-a", ADMIN_TOKEN)
    assert told.status == 307 and told.headers["location"].startswith(door.clusters["alpha"].door.url)
    assert (await door.ask("GET", "/v1/files/alpha/admin/docs/report-a", ADMIN_TOKEN, redirects=True)).body == b"first"
    head = await door.ask("HEAD", "/v1/files/beta/admin/report-b", ADMIN_TOKEN, redirects=True)
    assert head.status == 200 and head.headers["content-length"] == "6"


async def test_bytes_through_the_supernode_come_from_its_cache_the_second_time(door: SupernodeDoor) -> None:
    data = bytes(range(256)) * 10_000
    await door.clusters["alpha"].door.put("admin/big", data)
    whole = await door.ask("GET", "/v1/files/alpha/admin/big?proxy=1", ADMIN_TOKEN)
    assert (whole.status, whole.body, whole.headers["fluffy-cache"]) == (200, data, "miss")
    part = await door.ask("GET", "/v1/files/alpha/admin/big?proxy=1", ADMIN_TOKEN, range="bytes=1048570-1048579")
    assert (part.status, part.body) == (206, data[1048570:1048580])
    opened = door.clusters["alpha"].door.chunks.opened
    again = await door.ask("GET", "/v1/files/alpha/admin/big?proxy=1", ADMIN_TOKEN)
    assert again.body == data and again.headers["fluffy-cache"] == "hit"
    assert door.clusters["alpha"].door.chunks.opened == opened and door.desk.cache.hits >= 3
    not_modified = await door.ask("GET", "/v1/files/alpha/admin/big?proxy=1", ADMIN_TOKEN,
                                  If_None_Match=again.headers["etag"])
    assert not_modified.status == 304
    await door.clusters["alpha"].admin.must("PUT", "/v1/files/admin/big", b"new")
    assert (await door.ask("GET", "/v1/files/alpha/admin/big?proxy=1", ADMIN_TOKEN)).body == b"new"


async def test_who_has_no_rights_in_a_cluster_sees_none_of_its_names(door: SupernodeDoor) -> None:
    bob, alice = person(door, "alpha", "bob"), person(door, "beta", "alice")
    carol = person(door, "beta", "carol")
    await bob.must("PUT", "/v1/files/bob/plain", b"his")
    await alice.must("PUT", "/v1/files/alice/zq7-secret", b"hers", **{"Fluffy-Tags": "fluffy-copies=alpha+beta"})
    await door.level()
    for tokens in ({"token": "bob"}, {"token": "bob", "beta": "carol"}, {"token": "bob", "beta": "unknown"}):
        for method, target in (
                ("GET", "/v1/search?q=zq7"), ("GET", "/v1/search?q=zq7&fresh=1"), ("GET", "/v1/search?owner=alice"),
                ("GET", "/v1/search?q=zq7&cluster=beta"), ("GET", "/v1/catalog/beta/"),
                ("GET", "/v1/catalog/beta/alice"),
                ("GET", "/v1/catalog"), ("GET", "/v1/clusters"), ("GET", "/v1/status"), ("GET", "/v1/owed"),
                ("GET", "/v1/files/beta/alice/zq7-secret"), ("GET", "/v1/files/beta/alice/zq7-secret?proxy=1"),
                ("GET", "/v1/files/@best/alice/zq7-secret"), ("HEAD", "/v1/files/beta/alice/zq7-secret"),
                ("DELETE", "/v1/files/beta/alice/zq7-secret"), ("PUT", "/v1/files/beta/alice/zq7-secret"),
                ("PUT", "/v1/files/beta/alice/zq7-secret?proxy=1"), ("DELETE", "/v1/files/@best/alice/zq7-secret")):
            body = b"x" if method == "PUT" else None
            told = await door.ask(method, target, body=body, **tokens)
            text = told.body.decode() + str(told.headers)
            other = await door.ask(method, target.replace("zq7-secret", "nothing"), body=body, **tokens)
            assert "zq7" not in text.replace("/alice/zq7-secret", "").replace('"q":"zq7"', ""), (method, target)
            assert told.status == other.status, "there or not: the same answer"
            assert '"alice"' not in text, (method, target, text)
    assert (await alice.ask("GET", "/v1/files/alice/zq7-secret")).body == b"hers"
    assert await hits(door, "q=zq7", "bob", beta="alice") == ["beta:/alice/zq7-secret"]
    grant(door.clusters["beta"].door, "alice", "carol", "read")
    async with asyncio.timeout(5):
        while await hits(door, "q=zq7", "bob", beta="carol") != ["beta:/alice/zq7-secret"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert carol.token == "carol"


# The dashboard's own files hold nothing of anybody's; nobody is logged in.
OPEN = {"GET /healthz", "GET /readyz", "GET /", "GET /dashboard/{version}/{name}", "POST /v1/session",
        "GET /v1/session"}


@pytest.mark.parametrize("token", [None, "nonsense", ""])
async def test_a_stranger_learns_nothing(door: SupernodeDoor, token: str | None) -> None:
    for route in ROUTES:
        target = re.sub(r"\{\w+\}", "alpha", route.pattern)
        told = await door.ask(route.method, target, token)
        if f"{route.method} {route.pattern}" in OPEN:
            assert told.status in (200, 400, 404), route.pattern
        else:
            assert told.status == 401, route.pattern
    assert (await door.ask("GET", "/nothing", token)).status == 401


async def test_operators_alone_join_and_leave_and_see_dead_letters(door: SupernodeDoor) -> None:
    person(door, "alpha", "bob")
    for route in ROUTES:
        if route.act is not None and route.act.name == "OPERATE":
            target = re.sub(r"\{\w+\}", "alpha", route.pattern)
            assert (await door.ask(route.method, target, ADMIN_TOKEN)).status == 403
            assert (await door.ask(route.method, target, OPERATOR)).status != 403
    assert (await door.must("GET", "/v1/search?q=x", OPERATOR))["hits"] == []


async def test_two_copies_survive_the_loss_of_a_cluster(door: SupernodeDoor) -> None:
    stored = await door.must("PUT", "/v1/files/@best/admin/twice?copies=2", ADMIN_TOKEN, b"old", Fluffy_Tags="k=v")
    assert sorted(stored["stored"]) == ["alpha", "beta"] and stored["owed"] == []
    await door.level()
    for off, on in (("alpha", "beta"), ("beta", "alpha")):
        await door.switch_off(off)
        told = await door.ask("GET", f"/v1/files/{off}/admin/twice", ADMIN_TOKEN, redirects=True)
        assert (told.status, told.body) == (200, b"old")
        assert (await door.ask("GET", "/v1/files/@best/admin/twice?proxy=1", ADMIN_TOKEN)).headers[
            "fluffy-cluster"] == on
        await door.switch_on(off)
    info = await door.clusters["beta"].admin.must("GET", "/v1/info/admin/twice")
    assert info["tags"] == {"k": "v", "fluffy-copies": "alpha beta"}


async def test_a_search_does_not_wait_for_a_cluster_that_is_known_to_be_away(
        door: SupernodeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen machine takes connections and says nothing; its last word about rights is older than is waited for."""
    await door.must("PUT", "/v1/files/alpha/admin/zq?proxy=1", ADMIN_TOKEN, b"x")
    await door.level()
    assert len((await door.must("GET", "/v1/search?q=zq", ADMIN_TOKEN))["coverage"]) == 2
    await door.switch_off("beta")
    asked: list[str] = []

    async def silence(asker: str, deadline: Deadline) -> SightAnswer:
        asked.append(asker)
        await asyncio.sleep(60)
        raise AssertionError

    async def still(since: int, epoch: str, wait_s: int, deadline: Deadline) -> FeedAnswer:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(door.clusters["beta"].client, "sight", silence)
    monkeypatch.setattr(door.clusters["beta"].client, "feed", still)  # the follower's one look, when it rested enough
    monkeypatch.setattr(askers, "KEPT_S", 0.0)
    monkeypatch.setattr(askers, "USABLE_S", 0.0)
    monkeypatch.setattr(askers.Askers, "_is_usable", lambda self, name, known: True)
    await asyncio.sleep(1.0)  # its breaker's rest is over now and then
    for token in (ADMIN_TOKEN, "somebody-who-was-never-here") * 3:
        await asyncio.sleep(0.2)
        told = await door.ask("GET", "/v1/search?q=zq", token)
        if token == ADMIN_TOKEN:
            found = json.loads(told.body)
            assert [hit["cluster"] for hit in found["hits"]] == ["alpha"]
            assert [line["cluster"] for line in found["coverage"]] == ["alpha", "beta"]
    assert not asked


async def test_updates_and_deletions_reach_a_cluster_that_was_away(door: SupernodeDoor) -> None:
    for name in ("changed", "gone"):
        await door.must("PUT", f"/v1/files/@best/admin/{name}?copies=2", ADMIN_TOKEN, b"old")
    await door.level()
    await door.switch_off("beta")
    told = await door.must("PUT", "/v1/files/@best/admin/changed?copies=2", ADMIN_TOKEN, b"newer")
    assert (told["stored"], told["owed"]) == (["alpha"], ["beta"])
    told = await door.must("DELETE", "/v1/files/beta/admin/gone?proxy=1", ADMIN_TOKEN)
    assert (told["deleted"], told["owed"]) == (["alpha"], ["beta"])
    assert {line["to"] for line in (await door.must("GET", "/v1/owed", ADMIN_TOKEN))["owed"]} == {
        "beta:/admin/changed", "beta:/admin/gone"}
    # The one that is away has an old copy: it is not served when the other goes too.
    await door.level()
    await door.switch_off("alpha")
    door.clusters["beta"].client._peers[:] = [door.clusters["beta"].door.url]
    await until(lambda: door.desk.clusters.is_reachable("beta"))
    told = await door.ask("GET", "/v1/files/alpha/admin/changed", ADMIN_TOKEN)
    assert (told.status, told.code) == (503, "ClusterUnreachable")
    await door.switch_on("alpha")
    await door.all_made_good()
    beta = door.clusters["beta"].admin
    assert (await beta.ask("GET", "/v1/files/admin/changed")).body == b"newer"
    assert (await beta.ask("GET", "/v1/files/admin/gone")).status == 404


async def test_what_is_newer_is_not_overtaken_by_what_was_owed(door: SupernodeDoor) -> None:
    await door.must("PUT", "/v1/files/@best/admin/f?copies=2", ADMIN_TOKEN, b"1")
    await door.level()
    await door.switch_off("beta")
    await door.must("PUT", "/v1/files/@best/admin/f?copies=2", ADMIN_TOKEN, b"2")
    await door.level()
    await door.switch_off("alpha")
    await door.switch_on("beta")  # it is owed "2", and nobody can give it
    told = await door.must("PUT", "/v1/files/beta/admin/f?proxy=1", ADMIN_TOKEN, b"3")
    assert (told["stored"], told["owed"]) == (["beta"], ["alpha"])
    await door.switch_on("alpha")
    await door.all_made_good()
    for name in ("alpha", "beta"):
        assert (await door.clusters[name].admin.ask("GET", "/v1/files/admin/f")).body == b"3"


async def test_an_order_ends_when_the_right_has_ended(door: SupernodeDoor) -> None:
    alice = person(door, "alpha", "alice")
    person(door, "beta", "alice")
    await door.must("PUT", "/v1/files/@best/alice/f?copies=2", "alice", b"1")
    await door.level()
    await door.switch_off("beta")
    await door.must("PUT", "/v1/files/@best/alice/f?copies=2", "alice", b"2")
    await door.clusters["beta"].admin.must("PATCH", "/v1/admin/users/alice", {"disabled": True})
    await door.switch_on("beta")
    await door.all_made_good()
    assert door.desk.copier.given_up == 1 and alice.token == "alice"
    assert (await door.clusters["beta"].admin.ask("GET", "/v1/files/alice/f")).body == b"1"


async def test_uploads_go_to_a_named_cluster_or_the_best(door: SupernodeDoor) -> None:
    data = b"y" * 300_000
    told = await door.ask("PUT", "/v1/files/beta/admin/named", ADMIN_TOKEN, data)
    assert told.status == 307 and "signed=" in told.headers["location"]
    assert (await door.ask("PUT", "/v1/files/beta/admin/named?proxy=1", ADMIN_TOKEN, data)).status == 201
    assert (await door.clusters["beta"].admin.ask("GET", "/v1/files/admin/named")).body == data
    assert (await door.ask("PUT", "/v1/files/beta/admin/named?proxy=1", ADMIN_TOKEN, data)).status == 200
    await door.clusters["beta"].admin.must("DELETE", "/v1/files/admin/named?purge=1")
    again = await door.ask("PUT", "/v1/files/beta/admin/named?proxy=1", ADMIN_TOKEN, data)
    assert again.status == 201 and again.value["generation"] > 1 and "created" not in again.value
    door.desk.clusters.followers["alpha"].facts = {**door.desk.clusters.followers["alpha"].facts, "free_bytes": 10}
    told = await door.ask("PUT", "/v1/files/@best/admin/new?copies=3&proxy=1", ADMIN_TOKEN, data)
    assert told.status in (200, 201) and told.value["missing"] >= 1
    assert (await door.ask("PUT", "/v1/files/beta/admin/x?copies=2", ADMIN_TOKEN, data)).status == 400
    assert (await door.ask("PUT", "/v1/files/gamma/admin/x", ADMIN_TOKEN, data)).code == "ClusterNotFound"
    bad = await door.ask("PUT", "/v1/files/beta/admin/named?proxy=1", ADMIN_TOKEN, data, If_None_Match="*")
    assert (bad.status, bad.code) == (412, "PreconditionFailed")


async def test_a_cluster_that_is_away_is_told_as_stale_and_delays_nobody(door: SupernodeDoor,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    await door.clusters["alpha"].admin.must("PUT", "/v1/files/admin/n-a", b"x")
    await door.clusters["beta"].admin.must("PUT", "/v1/files/admin/n-b", b"x")
    await door.level()
    await hits(door, "q=n-", ADMIN_TOKEN)
    monkeypatch.setattr("fluffy.core.federation.coverage.FRESH_S", 0.1)
    await door.switch_off("beta")
    await asyncio.sleep(0.15)
    found = await door.must("GET", "/v1/search?q=n-", ADMIN_TOKEN)
    assert [hit["path"] for hit in found["hits"]] == ["/admin/n-a", "/admin/n-b"]
    states = {line["cluster"]: line for line in found["coverage"]}
    assert states["alpha"]["state"] == "fresh" and states["beta"]["state"] == "stale"
    assert states["beta"]["fresh_as_of"] and "beta" in states["beta"]["reason"]
    fresh = await door.must("GET", "/v1/search?q=n-&fresh=1", ADMIN_TOKEN)
    assert [hit["path"] for hit in fresh["hits"]] == ["/admin/n-a"]
    assert {line["cluster"]: line["state"] for line in fresh["coverage"]} == {"alpha": "fresh", "beta": "stale"}
    await door.switch_on("beta")
    async with asyncio.timeout(5):
        while (await door.must("GET", "/v1/search?q=n-", ADMIN_TOKEN))["coverage"][1]["state"] != "fresh":  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_catalog_that_is_begun_anew_says_so_and_answers_nothing_wrong(door: SupernodeDoor) -> None:
    await door.clusters["alpha"].admin.must("PUT", "/v1/files/admin/n-a", b"x")
    await door.level()
    for joined in door.clusters.values():
        joined.client.feed = joined.client.rows = _never  # type: ignore[method-assign]
    await asyncio.sleep(0.1)
    [alpha, _] = sorted(await door.catalog.clusters(), key=lambda one: one.name)
    await door.catalog.begin("alpha", alpha.epoch, 0)
    found = await door.must("GET", "/v1/search?q=n-", ADMIN_TOKEN)
    assert found["hits"] == [] and found["coverage"][0]["state"] == "rebuilding"


async def _never(*_: object) -> None:
    await asyncio.sleep(3600)


def test_names_only_are_passed_on_to_the_clusters() -> None:
    search = next(route for route in ROUTES if route.pattern == "/v1/search")
    assert set(naming.NAMES_ONLY) == set(search.query_names) - {"limit", "after", "cluster", "fresh", "everywhere"}
