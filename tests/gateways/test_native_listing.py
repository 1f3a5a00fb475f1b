"""Folders, listings, search and the change feed through the native door."""

from __future__ import annotations

from typing import Any

import pytest
from blake3 import blake3

from fluffy.base.errors import NoLeader
from fluffy.base.ids import UserNo
from fluffy.core.metadata.model import User
from fluffy.core.metadata.model_people import Standing
from fluffy.core.metadata.rights import Right
from tests.support.native_door import CHUNK_SIZE, Door


async def json_of(door: Door, target: str, status: int = 200) -> dict[str, Any]:
    async with door.client.get(door.url + target) as answer:
        assert answer.status == status, await answer.text()
        value: dict[str, Any] = await answer.json()
        return value


async def change(door: Door, method: str, target: str) -> int:
    async with door.client.request(method, door.url + target) as answer:
        return answer.status


async def test_folders_are_made_listed_and_removed(door: Door) -> None:
    assert await change(door, "PUT", "/v1/dirs/admin/a") == 201
    assert await change(door, "PUT", "/v1/dirs/admin/a") == 409
    assert await change(door, "PUT", "/v1/dirs/admin/a?parents=1") == 200
    assert await change(door, "PUT", "/v1/dirs/admin/b/c") == 404
    assert await change(door, "PUT", "/v1/dirs/admin/b/c?parents=1") == 201
    assert await change(door, "PUT", "/v1/dirs/new") == 201
    listing = await json_of(door, "/v1/dirs/admin")
    assert [(entry["name"], entry["kind"]) for entry in listing["entries"]] == [("a", "folder"), ("b", "folder")]
    assert await change(door, "DELETE", "/v1/dirs/admin/b") == 409
    assert await change(door, "DELETE", "/v1/dirs/admin/b/c") == 200
    assert await change(door, "DELETE", "/v1/dirs/admin/b") == 200
    assert await change(door, "DELETE", "/v1/dirs/admin/b") == 404
    assert (await json_of(door, "/v1/dirs/admin/a"))["entries"] == []


@pytest.mark.parametrize("root", ["/v1/dirs/", "/v1/dirs"])
async def test_the_root_lists_the_buckets(door: Door, root: str) -> None:
    await change(door, "PUT", "/v1/dirs/zoo")
    assert [entry["path"] for entry in (await json_of(door, root))["entries"]] == ["/admin", "/zoo"]


async def test_a_user_sees_only_the_own_buckets(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await door.put("/admin/secret-report", b"1")
    for name in ("b1", "b2", "b3"):
        await change(door, "PUT", f"/v1/dirs/{name}")
    owners = {"admin": "admin", "b1": "bob", "b2": "admin", "b3": "bob"}
    monkeypatch.setattr(door.desk.tokens, "user_of", lambda token_hash, seq: User(UserNo(9), "bob", "user"))
    standings = {name: Standing(name, owner, Right.NONE) for name, owner in owners.items()}
    monkeypatch.setattr(type(door.desk), "standing", lambda desk, user, bucket: standings.get(bucket))
    assert (await json_of(door, "/v1/search?q=report"))["hits"] == []
    assert [row["path"] for row in (await json_of(door, "/v1/changes"))["changes"]] == ["/b1", "/b3"]
    assert (await json_of(door, "/v1/dirs/"))["entries"] == [], "all of them belong to the admin in truth"


async def test_a_long_listing_comes_in_pages(door: Door) -> None:
    names = sorted(f"f{number:03d}" for number in range(25))
    for name in names:
        await door.put(f"/admin/many/{name}", b"1")
    seen: list[str] = []
    after = ""
    for _ in range(10):
        page = await json_of(door, f"/v1/dirs/admin/many?limit=10&long=1&after={after}")
        seen += [entry["name"] for entry in page["entries"]]
        after = page["after"]
        if after is None:
            break
    assert seen == names
    entry = page["entries"][-1]
    assert entry["owner"] == "admin" and entry["generation"] == 1 and len(entry["etag"]) == 32
    owned = await json_of(door, "/v1/files?owner=admin&limit=1000")
    assert [entry["name"] for entry in owned["entries"]] == names


async def test_a_listing_of_a_file_says_what_it_is(door: Door) -> None:
    await door.put("/admin/f", b"1")
    assert (await json_of(door, "/v1/dirs/admin/f", 409))["error"]["code"] == "IsFile"


async def test_search_finds_parts_of_names(door: Door) -> None:
    for path in ("/admin/Report 2024.pdf", "/admin/x/report.txt", "/admin/other", "/zoo/REPORT"):
        await door.put(path, b"1")
    found = await json_of(door, "/v1/search?q=report")
    assert sorted(hit["path"] for hit in found["hits"]) == [
        "/admin/Report 2024.pdf", "/admin/x/report.txt", "/zoo/REPORT"]
    found = await json_of(door, "/v1/search?q=report&bucket=zoo")
    assert [hit["path"] for hit in found["hits"]] == ["/zoo/REPORT"]
    assert (await json_of(door, "/v1/search?q=nowhere"))["hits"] == []


async def test_the_change_feed_goes_on_where_it_was(door: Door) -> None:
    await door.put("/admin/a", b"1")
    first = await json_of(door, "/v1/changes")
    assert first["changes"][-1]["kind"] == "file-put" and first["changes"][-1]["path"] == "/admin/a"
    await door.put("/admin/b", b"1")
    await change(door, "DELETE", "/v1/files/admin/a")
    more = await json_of(door, f"/v1/changes?since={first['next']}")
    assert [(row["kind"], row["path"]) for row in more["changes"]] == [
        ("file-put", "/admin/b"), ("file-deleted", "/admin/a")]
    assert (await json_of(door, f"/v1/changes?since={more['next']}"))["changes"] == []


async def test_a_feed_that_was_cut_says_where_it_begins(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await door.put("/admin/a", b"1")
    monkeypatch.setattr("fluffy.core.metadata.queries.changes_cut", lambda db: 2)
    gone = await json_of(door, "/v1/changes?since=1", 410)
    assert (gone["error"]["code"], gone["error"]["oldest"]) == ("HistoryCut", 2)
    assert "changes" in await json_of(door, "/v1/changes?since=2")


async def test_info_tells_where_every_chunk_is(door: Door) -> None:
    await door.put("/admin/f", b"x" * (2 * CHUNK_SIZE + 1))
    info = await json_of(door, "/v1/info/admin/f")
    assert [chunk["length"] for chunk in info["chunks"]] == [CHUNK_SIZE, CHUNK_SIZE, 1]
    assert info["chunks"][0]["replicas"] == ["one", "two"] and len(info["chunks"][0]["zones"]) == 2
    assert (info["kind"], info["owner"], info["size"]) == ("file", "admin", 2 * CHUNK_SIZE + 1)
    assert (await json_of(door, "/v1/info/admin"))["kind"] == "bucket"
    assert (await json_of(door, "/v1/info/admin/none", 404))["error"]["code"] == "FileNotFound"


async def test_a_write_is_seen_by_the_next_read_at_its_position(door: Door) -> None:
    answer = await door.put("/admin/f", b"1")
    seq = int(answer.headers["Fluffy-Seq"])
    for consistency in ("strong", "local"):
        got, body = await door.get("/admin/f", Fluffy_Min_Seq=str(seq), Fluffy_Consistency=consistency)
        assert body == b"1" and int(got.headers["Fluffy-Seq"]) >= seq
        assert "Fluffy-Stale" not in got.headers


async def test_a_position_that_nobody_has_reached_is_not_waited_for_for_ever(
        door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluffy.gateways.native.reads.MIN_SEQ_WAIT_S", 0.1)
    await door.put("/admin/f", b"1")
    got, body = await door.get("/admin/f", Fluffy_Min_Seq="999999")
    assert got.status == 503 and b"NotReady" in body


async def test_status_nodes_health_and_metrics(door: Door) -> None:
    status = await json_of(door, "/v1/status")
    assert status["cluster"]["name"] == "test" and status["leader"] == "one" and status["ready"] is True
    assert [node["name"] for node in (await json_of(door, "/v1/nodes"))["nodes"]] == ["one", "two", "three"]
    assert (await json_of(door, "/healthz"))["status"] == "alive"
    assert (await json_of(door, "/readyz"))["status"] == "ready"
    async with door.client.post(door.url + "/v1/admin/checkpoint") as answer:
        assert answer.status == 200 and (await answer.json())["index"] >= 1
    async with door.client.get(door.url + "/metrics") as answer:
        text = await answer.text()
    labels = 'method="GET",node="one",process="gateway-0",route="/v1/status",status="200"'
    assert f"fluffy_http_request_duration_seconds_count{{{labels}}} 1.0" in text


async def test_a_node_without_a_leader_is_alive_but_not_ready(door: Door) -> None:
    door.cluster.log.refuse_with = NoLeader()
    await door.desk.pulse.ask()
    assert (await json_of(door, "/readyz", 503))["error"]["code"] == "NotReady"
    assert (await json_of(door, "/healthz"))["status"] == "alive"


async def test_a_listing_with_labels_tells_hash_metadata_and_tags(door: Door) -> None:
    await door.put("admin/l/a", b"data", Fluffy_Meta_mtime="1.5", Fluffy_Tags="k=v")
    await door.put("admin/l/b", b"old")
    await door.put("admin/l/b", b"new")
    await door.put("admin/l/sub/c", b"x")
    async with door.client.get(f"{door.url}/v1/dirs/admin/l?labels=1&limit=2") as answer:
        document = await answer.json()
    first, second = document["entries"]
    assert (first["meta"], first["tags"]) == ({"mtime": "1.5"}, {"k": "v"})
    assert first["blake3"] == blake3(b"data").hexdigest()
    assert (second["generation"], second["blake3"], second["meta"]) == (2, blake3(b"new").hexdigest(), {})
    assert document["after"] == "b"
    async with door.client.get(f"{door.url}/v1/dirs/admin/l?labels=1&after=b") as answer:
        document = await answer.json()
    assert [(entry["name"], "meta" in entry) for entry in document["entries"]] == [("sub", False)]


async def test_a_listing_tells_the_folders_version_which_changes_with_what_it_shows(door: Door) -> None:
    async def version_of(query: str = "") -> object:
        return (await json_of(door, f"/v1/dirs/admin/v{query}")).get("version")
    await door.put("admin/v/a", b"1")
    await door.put("admin/v/b", b"1")
    first = await version_of()
    assert first and first == await version_of("?limit=1&long=1") == await version_of("?labels=1&limit=1&after=a")
    await door.put("admin/other", b"1")
    assert await version_of() == first
    await door.put("admin/v/a", b"2")
    assert await version_of() not in (first, None)
    assert (await json_of(door, "/v1/dirs/"))["version"] is None


async def test_a_bucket_that_is_not_there_is_not_found(door: Door) -> None:
    for door_name in ("info", "dirs"):
        answer = await json_of(door, f"/v1/{door_name}/none", 404)
        assert answer["error"]["code"] in ("BucketNotFound", "FolderNotFound")
