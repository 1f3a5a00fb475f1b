"""Moving, copying, deleting, touching, tags and metadata through the door, and what it answers to nonsense."""

from __future__ import annotations

import asyncio
import io
import json
import unicodedata
from collections import Counter

import pytest

from tests.support.asking import Asker, admin_of
from tests.support.native_door import CHUNK_SIZE, Door


@pytest.fixture
def admin(door: Door) -> Asker:
    return admin_of(door)


async def content(admin: Asker, path: str) -> bytes | None:
    told = await admin.ask("GET", f"/v1/files{path}")
    return told.body if told.status == 200 else None


async def names(admin: Asker, path: str) -> list[str]:
    return [entry["name"] for entry in (await admin.must("GET", f"/v1/dirs{path}"))["entries"]]


# Move

async def test_a_file_moves_with_its_bytes_and_history(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/a", b"one")
    await admin.must("PUT", "/v1/files/admin/a", b"two")
    moved = await admin.must("POST", "/v1/move", {"src": "/admin/a", "dst": "/admin/new/b"})
    assert (moved["path"], moved["src"], moved["kind"]) == ("/admin/new/b", "/admin/a", "file")
    assert await content(admin, "/admin/a") is None and await content(admin, "/admin/new/b") == b"two"
    assert len((await admin.must("GET", "/v1/versions/admin/new/b"))["versions"]) == 2


async def test_a_folder_moves_with_all_it_holds(admin: Asker) -> None:
    for name in ("x/1", "x/deep/2"):
        await admin.must("PUT", f"/v1/files/admin/{name}", b"12345")
    moved = await admin.must("POST", "/v1/move", {"src": "/admin/x", "dst": "/admin/y"})
    assert (moved["kind"], moved["files"], moved["bytes"]) == ("folder", 2, 10)
    assert await content(admin, "/admin/y/deep/2") == b"12345" and await names(admin, "/admin") == ["y"]


async def test_a_bucket_is_renamed(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/old/f", b"1")
    await admin.must("POST", "/v1/move", {"src": "/old", "dst": "/fresh"})
    assert await content(admin, "/fresh/f") == b"1"


async def test_a_move_overwrites_only_when_told_and_what_was_there_is_in_the_trash(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/a", b"a")
    await admin.must("PUT", "/v1/files/admin/b", b"b")
    told = await admin.ask("POST", "/v1/move", {"src": "/admin/a", "dst": "/admin/b"})
    assert (told.status, told.code) == (409, "AlreadyExists")
    moved = await admin.must("POST", "/v1/move", {"src": "/admin/a", "dst": "/admin/b", "overwrite": True})
    assert moved["replaced"] is True and await content(admin, "/admin/b") == b"a"
    assert [item["path"] for item in (await admin.must("GET", "/v1/trash"))["items"]] == ["/admin/b"]


async def test_a_move_may_demand_versions_at_both_ends(admin: Asker) -> None:
    a = await admin.must("PUT", "/v1/files/admin/a", b"a")
    b = await admin.must("PUT", "/v1/files/admin/b", b"b")
    wish = {"src": "/admin/a", "dst": "/admin/b", "overwrite": True}
    told = await admin.ask("POST", "/v1/move", {**wish, "if_match": b["etag"]})
    assert (told.status, told.code, told.error["etag"], told.error["generation"]) == (
        412, "PreconditionFailed", a["etag"], 1)
    told = await admin.ask("POST", "/v1/move", wish, If_Match='"other"')
    assert told.status == 412
    told = await admin.ask("POST", "/v1/move", {**wish, "if_dst_match": a["etag"]})
    assert (told.status, told.error["etag"]) == (412, b["etag"])
    await admin.must("POST", "/v1/move", {**wish, "if_match": f'"{a["etag"]}"', "if_dst_match": b["etag"]})


@pytest.mark.parametrize("dst", ["/admin/x", "/admin/x/inside", "/admin/x/a/b"])
async def test_a_folder_does_not_move_into_itself(admin: Asker, dst: str) -> None:
    await admin.must("PUT", "/v1/files/admin/x/f", b"1")
    for verb in ("move", "copy"):
        told = await admin.ask("POST", f"/v1/{verb}", {"src": "/admin/x", "dst": dst})
        assert (told.status, told.code) == (400, "IntoItself") and "itself" in told.error["message"]
    assert await content(admin, "/admin/x/f") == b"1"


@pytest.mark.parametrize("body, status, code", [
    ({"src": "/admin/none", "dst": "/admin/y"}, 404, "FileNotFound"),
    ({"src": "/none/none", "dst": "/admin/y"}, 404, "BucketNotFound"),
    ({"src": "/admin/f", "dst": "/top"}, 400, "NameIllegal"),
    ({"src": "/admin/f", "dst": "/admin/"}, 400, "NameIllegal"),
    ({"src": "/admin/f", "dst": "/admin/d"}, 409, "IsFolder"),
    ({"src": "/admin/d", "dst": "/admin/f"}, 409, "IsFile"),
    ({"src": "/admin/f", "dst": "/admin/f/inside"}, 409, "IsFile"),
    ({"src": "/", "dst": "/admin/x"}, 400, "NameIllegal"),
    ({"src": "/admin/../x", "dst": "/admin/x"}, 400, "NameIllegal"),
    ({"src": "/admin/f", "dst": "/admin/no/parents", "parents": False}, 404, "FolderNotFound"),
    ({"src": "/admin/f"}, 400, "QuerySyntax"),
    ({"src": "/admin/f", "dst": 7}, 400, "QuerySyntax"),
    ({"src": "/admin/f", "dst": "/admin/g", "overwrit": True}, 400, "QuerySyntax"),
    ({"src": "/admin/f", "dst": "/admin/g", "overwrite": "yes"}, 400, "QuerySyntax"),
    (b"{not json", 400, "QuerySyntax"),
    (b"[]", 400, "QuerySyntax"),
])
async def test_moves_that_make_no_sense_are_refused_with_a_reason(admin: Asker, body: object, status: int,
                                                                  code: str) -> None:
    await admin.must("PUT", "/v1/files/admin/f", b"1")
    await admin.must("PUT", "/v1/dirs/admin/d")
    told = await admin.ask("POST", "/v1/move", body)
    assert (told.status, told.code) == (status, code), told.body
    assert await content(admin, "/admin/f") == b"1"


async def test_a_repeated_move_happens_once(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/a", b"1")
    first = await admin.must("POST", "/v1/move", {"src": "/admin/a", "dst": "/admin/b"}, Fluffy_Request_Id="m1")
    assert await admin.must("POST", "/v1/move", {"src": "/admin/a", "dst": "/admin/b"},
                            Fluffy_Request_Id="m1") == first
    told = await admin.ask("POST", "/v1/move", {"src": "/admin/a", "dst": "/admin/c"}, Fluffy_Request_Id="m1")
    assert told.code == "RequestIdReused"


# Copy

async def test_a_copied_file_shares_its_chunks(admin: Asker, door: Door) -> None:
    data = bytes(range(256)) * 1024
    put = await admin.must("PUT", "/v1/files/admin/a", data, Content_Type="x/y", Fluffy_Tags="k=v", Fluffy_Meta_m="1")
    stored = len(door.chunks.stored)
    copied = await admin.ask("POST", "/v1/copy", {"src": "/admin/a", "dst": "/admin/b"})
    assert copied.status == 201 and len(door.chunks.stored) == stored
    assert copied.headers["etag"] == f'"{put["etag"]}"'
    assert {key: copied.value[key] for key in ("path", "src", "kind", "size", "etag", "blake3", "chunks", "generation")
            } == {"path": "/admin/b", "src": "/admin/a", "kind": "file", "size": len(data), "etag": put["etag"],
                  "blake3": put["blake3"], "chunks": len(data) // CHUNK_SIZE, "generation": 1}
    info = await admin.must("GET", "/v1/info/admin/b")
    assert (info["content_type"], info["tags"], info["meta"]) == ("x/y", {"k": "v"}, {"m": "1"})
    assert await content(admin, "/admin/b") == data


async def test_a_copy_may_be_of_an_old_generation_with_other_labels(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/a", b"old")
    await admin.must("PUT", "/v1/files/admin/a", b"new")
    await admin.must("POST", "/v1/copy", {"src": "/admin/a", "dst": "/admin/b", "generation": 1, "tags": {"t": "1"},
                                          "meta": {"Who": "me"}, "content_type": "text/x"})
    info = await admin.must("GET", "/v1/info/admin/b")
    assert (info["tags"], info["meta"], info["content_type"]) == ({"t": "1"}, {"who": "me"}, "text/x")
    assert await content(admin, "/admin/b") == b"old"
    told = await admin.ask("POST", "/v1/copy", {"src": "/admin/a", "dst": "/admin/c", "generation": 9})
    assert (told.status, told.code) == (404, "VersionNotFound")


async def test_a_copied_folder_is_there_whole(admin: Asker) -> None:
    for name in ("x/1", "x/deep/2"):
        await admin.must("PUT", f"/v1/files/admin/{name}", b"12345")
    told = await admin.ask("POST", "/v1/copy", {"src": "/admin/x", "dst": "/admin/y"})
    assert (told.status, told.value) == (201, {"path": "/admin/y", "src": "/admin/x", "kind": "folder", "files": 2,
                                               "bytes": 10, "created": True})
    assert await content(admin, "/admin/y/deep/2") == await content(admin, "/admin/x/deep/2") == b"12345"
    told = await admin.ask("POST", "/v1/copy", {"src": "/admin/x", "dst": "/admin/y"})
    assert told.code == "AlreadyExists"
    told = await admin.ask("POST", "/v1/copy", {"src": "/admin/x", "dst": "/admin/y", "overwrite": True})
    assert told.status == 200


# Delete

async def test_a_folder_is_deleted_with_all_it_holds_only_when_told(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/x/deep/f", b"12345")
    told = await admin.ask("DELETE", "/v1/dirs/admin/x")
    assert (told.status, told.code) == (409, "FolderNotEmpty")
    told = await admin.ask("DELETE", "/v1/files/admin/x")
    assert told.code == "IsFolder" and "recursive" in told.error["message"]
    gone = await admin.must("DELETE", "/v1/files/admin/x?recursive=1")
    assert gone == {"path": "/admin/x", "removed": True, "purged": False, "files": 1, "bytes": 5}
    assert await names(admin, "/admin") == []
    [item] = (await admin.must("GET", "/v1/trash"))["items"]
    assert (item["path"], item["kind"], item["files"], item["size"]) == ("/admin/x", "folder", 1, 5)
    await admin.must("PUT", "/v1/dirs/admin/x/y?parents=1")
    assert (await admin.must("DELETE", "/v1/dirs/admin/x?recursive=1&purge=1"))["purged"] is True
    assert len((await admin.must("GET", "/v1/trash"))["items"]) == 1
    assert (await admin.must("DELETE", "/v1/files/admin?recursive=1"))["removed"] is True


async def test_recursive_deletes_a_file_too(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/f", b"1")
    assert (await admin.must("DELETE", "/v1/files/admin/f?recursive=1"))["generation"] == 1
    assert (await admin.ask("DELETE", "/v1/files/admin/f?recursive=1")).status == 404
    assert (await admin.ask("DELETE", "/v1/dirs/admin/f?recursive=1")).status == 404


@pytest.mark.parametrize("target", [
    "/v1/dirs/admin/d?purge=1", "/v1/files/admin/f?generation=1", "/v1/files/admin/f?generation=0&purge=1",
    "/v1/files/admin/f?generation=1&purge=1&recursive=1", "/v1/files/admin/f?recursive=maybe"])
async def test_deletes_that_contradict_themselves_are_refused(admin: Asker, target: str) -> None:
    await admin.must("PUT", "/v1/files/admin/f", b"1")
    await admin.must("PUT", "/v1/dirs/admin/d")
    told = await admin.ask("DELETE", target)
    assert (told.status, told.code) == (400, "QuerySyntax")


async def test_one_old_generation_can_be_freed(admin: Asker) -> None:
    for data in (b"1", b"2", b"3"):
        await admin.must("PUT", "/v1/files/admin/f", data)
    assert (await admin.must("DELETE", "/v1/files/admin/f?purge=1&generation=2"))["purged"] is True
    assert [line["generation"] for line in (await admin.must("GET", "/v1/versions/admin/f"))["versions"]] == [3, 1]
    told = await admin.ask("DELETE", "/v1/files/admin/f?purge=1&generation=3")
    assert (told.status, told.code, told.error["generation"]) == (412, "PreconditionFailed", 3)
    told = await admin.ask("DELETE", "/v1/files/admin/f?purge=1&generation=2")
    assert told.code == "VersionNotFound"


# Touch

async def test_touch_makes_an_empty_file_or_a_new_time(admin: Asker) -> None:
    told = await admin.ask("POST", "/v1/files/admin/f.txt?touch")
    assert (told.status, told.value["size"], told.value["generation"]) == (201, 0, 1)
    head = await admin.ask("HEAD", "/v1/files/admin/f.txt")
    assert head.headers["content-type"] == "text/plain"
    await admin.must("PUT", "/v1/files/admin/f.txt", b"bytes", Fluffy_Tags="k=v")
    told = await admin.ask("POST", "/v1/files/admin/f.txt?touch=1")
    assert (told.status, told.value["size"], told.value["generation"]) == (200, 5, 3)
    assert (await admin.must("GET", "/v1/info/admin/f.txt"))["tags"] == {"k": "v"}


async def test_touch_keeps_preconditions_and_is_done_once(admin: Asker) -> None:
    told = await admin.ask("POST", "/v1/files/admin/f?touch", If_Match="*")
    assert told.status == 412
    for _ in range(2):
        made = await admin.must("POST", "/v1/files/admin/f?touch", Fluffy_Request_Id="t1")
        assert made["generation"] == 1
        touched = await admin.must("POST", "/v1/files/admin/f?touch", Fluffy_Request_Id="t2")
        assert touched["generation"] == 2
    told = await admin.ask("POST", "/v1/files/admin/f?touch", If_None_Match="*")
    assert (told.status, told.error["generation"], told.error["etag"]) == (412, 2, touched["etag"])
    told = await admin.ask("POST", "/v1/files/admin/f?touch", If_Match='"x"')
    assert told.status == 412
    assert (await admin.must("POST", "/v1/files/admin/f?touch", If_Match=touched["etag"]))["generation"] == 3


# Tags and metadata

@pytest.mark.parametrize("body", [{"a": "1", "b": ""}, {"tags": {"a": "1", "b": ""}}])
async def test_tags_are_replaced_and_the_file_stays(admin: Asker, body: object) -> None:
    put = await admin.must("PUT", "/v1/files/admin/f", b"1", Fluffy_Tags="old=1")
    told = await admin.must("PUT", "/v1/tags/admin/f", body)
    assert told == {"path": "/admin/f", "generation": 1, "meta_version": 1, "tags": {"a": "1", "b": ""}}
    info = await admin.must("GET", "/v1/info/admin/f")
    assert (info["tags"], info["etag"], info["generation"]) == ({"a": "1", "b": ""}, put["etag"], 1)
    assert (await admin.must("PUT", "/v1/tags/admin/f", {}))["tags"] == {}
    assert (await admin.must("PUT", "/v1/tags/admin/f", {"tags": "a tag of that name"}))["tags"] == {
        "tags": "a tag of that name"}


@pytest.mark.parametrize("body", [{"Mtime": "1", "mode": "644"},
                                  {"meta": {"mtime": "1", "mode": "644"}, "content_type": "text/x"}])
async def test_metadata_is_replaced_and_comes_back_as_headers(admin: Asker, body: dict[str, object]) -> None:
    await admin.must("PUT", "/v1/files/admin/f", b"1", Content_Type="a/b")
    told = await admin.must("PUT", "/v1/meta/admin/f", body)
    assert told["meta"] == {"mtime": "1", "mode": "644"}
    head = await admin.ask("HEAD", "/v1/files/admin/f")
    assert (head.headers["fluffy-meta-mtime"], head.headers["fluffy-meta-mode"]) == ("1", "644")
    assert head.headers["content-type"] == ("text/x" if "content_type" in body else "a/b")


@pytest.mark.parametrize("what, body, status, code", [
    ("tags", {f"k{number}": "v" for number in range(33)}, 413, "TooLarge"),
    ("tags", {"": "x"}, 400, "QuerySyntax"),
    ("tags", {"k": "v" * 257}, 400, "QuerySyntax"),
    ("tags", {"k": "line\nline"}, 400, "QuerySyntax"),
    ("tags", {"k": 7}, 400, "QuerySyntax"),
    ("tags", {"tags": {"a": "1"}, "other": "2"}, 400, "QuerySyntax"),
    ("tags", None, 400, "QuerySyntax"),
    ("meta", None, 400, "QuerySyntax"),
    ("meta", {"not a header name": "1"}, 400, "QuerySyntax"),
    ("meta", {"ü": "1"}, 400, "QuerySyntax"),
    ("meta", {"a": "1", "A": "2"}, 400, "QuerySyntax"),
    ("meta", {"a": "x\r\nSet-Cookie: y"}, 400, "QuerySyntax"),
    ("meta", {"a": " around "}, 400, "QuerySyntax"),
    ("meta", {"a": "x" * 9000}, 413, "TooLarge"),
    ("meta", {f"k{number}": "v" for number in range(65)}, 413, "TooLarge"),
    ("meta", {"meta": {}, "content_type": "nonsense"}, 400, "QuerySyntax"),
])
async def test_labels_that_cannot_be_kept_are_refused(admin: Asker, what: str, body: object, status: int,
                                                      code: str) -> None:
    await admin.must("PUT", "/v1/files/admin/f", b"1")
    told = await admin.ask("PUT", f"/v1/{what}/admin/f", body)
    assert (told.status, told.code) == (status, code)
    assert (await admin.must("GET", "/v1/info/admin/f"))["meta_version"] == 0


async def test_a_hundred_thousand_tags_are_too_many(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/f", b"1")
    tags = json.dumps({f"{number}": "" for number in range(100_000)}).encode()
    async with admin.door.client.put(f"{admin.door.url}/v1/tags/admin/f", data=io.BytesIO(tags)) as answer:
        assert answer.status == 413 and (await answer.json())["error"]["code"] == "TooLarge"
    told = await admin.ask("PUT", "/v1/tags/admin/f", {f"{number}": "" for number in range(50_000)})
    assert told.status == 413 and "at most 32 tags, not 50,000" in told.error["message"]


@pytest.mark.parametrize("what", ["tags", "meta"])
async def test_labels_keep_preconditions(admin: Asker, what: str) -> None:
    told = await admin.ask("PUT", f"/v1/{what}/admin/f", {"k": "v"})
    assert (told.status, told.code) == (404, "FileNotFound")
    put = await admin.must("PUT", "/v1/files/admin/f", b"1")
    told = await admin.ask("PUT", f"/v1/{what}/admin/f", {"k": "v"}, If_Match='"x"')
    assert (told.status, told.error["etag"], told.error["generation"]) == (412, put["etag"], 1)
    told = await admin.ask("PUT", f"/v1/{what}/admin/f", {"k": "v"}, If_None_Match="*")
    assert told.status == 400
    await admin.must("PUT", f"/v1/{what}/admin/f", {"k": "v"}, If_Match=f'"{put["etag"]}"')


async def test_two_spellings_of_a_letter_are_two_names(admin: Asker) -> None:
    """Names are bytes-exact (docs/API.md): neither is found, listed or overwritten as the other."""
    one, two = (unicodedata.normalize(form, "/admin/Müller") for form in ("NFC", "NFD"))
    assert one != two
    for path, data in ((one, b"nfc"), (two, b"nfd")):
        told = await admin.ask("PUT", f"/v1/files{path}", data, If_None_Match="*")
        assert told.status == 201
    assert sorted(await names(admin, "/admin")) == sorted([one[7:], two[7:]])
    await admin.must("POST", "/v1/move", {"src": one, "dst": "/admin/x"})
    assert await content(admin, two) == b"nfd" and await content(admin, one) is None
    told = await admin.ask("POST", "/v1/move", {"src": "/admin/x", "dst": two})
    assert told.code == "AlreadyExists" and two in told.error["path"]


async def test_info_tells_everything(admin: Asker) -> None:
    for data in (b"1", b"22"):
        await admin.must("PUT", "/v1/files/admin/d/f", data, Fluffy_Tags="k=v", Fluffy_Meta_a="b")
    await admin.must("POST", "/v1/locks", {"path": "/admin/d", "mode": "shared", "ttl_s": 60, "note": "n"})
    info = await admin.must("GET", "/v1/info/admin/d/f")
    assert (info["versions"], info["tags"], info["meta"], info["meta_version"]) == (2, {"k": "v"}, {"a": "b"}, 0)
    lock = info["lock"]
    assert (lock["path"], lock["mode"], lock["holder"], lock["note"]) == ("/admin/d", "shared", "admin", "n")
    assert "token" not in lock and info["locks"] == [lock]
    folder = await admin.must("GET", "/v1/info/admin/d")
    assert (folder["kind"], folder["files"], folder["bytes"], folder["lock"]["mode"]) == ("folder", 1, 2, "shared")
    assert (await admin.must("GET", "/v1/info/admin"))["lock"] is None


async def test_listings_during_moves_show_the_folder_whole_or_not_at_all(admin: Asker, door: Door) -> None:
    for number in range(30):
        await admin.must("PUT", f"/v1/files/admin/a/{number}", b"")
    done = asyncio.Event()
    seen: Counter[tuple[int, int]] = Counter()

    async def move() -> None:
        for number in range(100):
            src, dst = ("/admin/a", "/admin/b") if number % 2 == 0 else ("/admin/b", "/admin/a")
            await admin.must("POST", "/v1/move", {"src": src, "dst": dst})
        done.set()

    async def look(target: str) -> None:
        while not done.is_set():
            async with door.client.get(door.url + target) as answer:
                entries = (await answer.json()).get("entries", [])
                seen[answer.status, len(entries)] += 1

    async with asyncio.TaskGroup() as group:
        # A page of more than a hundred is read in a thread.
        for target in ("/v1/dirs/admin/a", "/v1/dirs/admin/b?limit=1000", "/v1/dirs/admin/a?limit=1000"):
            group.create_task(look(target))
        group.create_task(move())
    assert set(seen) == {(200, 30), (404, 0)}
