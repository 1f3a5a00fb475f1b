"""Versions, restoring, the trash and looking back through the door; and that nobody looks where they may not."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest

from fluffy.core.metadata.commands import DeleteFile
from fluffy.core.metadata.commands_tree import TouchFile
from tests.support.asking import Asker, admin_of, grant, user_of
from tests.support.local_log import header
from tests.support.native_door import Door


@pytest.fixture
def admin(door: Door) -> Asker:
    return admin_of(door)


async def now(admin: Asker) -> str:
    """A moment between what was done and what will be: log time is in milliseconds."""
    await asyncio.sleep(0.003)
    marker = await admin.must("PUT", "/v1/files/clock/tick", b"")
    await asyncio.sleep(0.003)
    return str(marker["modified"])


async def content(asker: Asker, path: str, query: str = "", **headers: str) -> tuple[int, bytes]:
    told = await asker.ask("GET", f"/v1/files{path}{query}", **headers)
    return told.status, told.body


# Versions

async def test_history_is_newest_first_and_old_generations_are_read_with_ranges(admin: Asker) -> None:
    for data in (b"one", b"second", b"third!!"):
        await admin.must("PUT", "/v1/files/admin/f", data, Content_Type="a/b")
    history = await admin.must("GET", "/v1/versions/admin/f")
    assert [(line["generation"], line["size"], line["current"]) for line in history["versions"]] == [
        (3, 7, True), (2, 6, False), (1, 3, False)]
    newest, older = history["versions"][:2]
    assert (newest["replaced"], newest["expires"], newest["owner"], newest["content_type"]) == (
        None, None, "admin", "a/b")
    assert older["replaced"] < older["expires"] and history["deleted"] is False
    assert await content(admin, "/admin/f", "?generation=2", Range="bytes=1-3") == (206, b"eco")
    assert len((await admin.must("GET", "/v1/versions/admin/f?limit=2"))["versions"]) == 2


async def test_history_of_a_deleted_file_and_of_nothing(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/d/f", b"1")
    await admin.must("DELETE", "/v1/files/admin/d/f")
    history = await admin.must("GET", "/v1/versions/admin/d/f")
    assert history["deleted"] is True and history["versions"][0]["current"] is False
    assert (await admin.ask("GET", "/v1/versions/admin/none")).code == "FileNotFound"
    assert (await admin.ask("GET", "/v1/versions/admin/d")).code == "IsFolder"


# Restore

async def test_a_generation_comes_back_as_a_new_one(admin: Asker) -> None:
    first = await admin.must("PUT", "/v1/files/admin/f", b"one")
    await admin.must("PUT", "/v1/files/admin/f", b"two")
    told = await admin.ask("POST", "/v1/restore", {"path": "/admin/f", "generation": 1})
    assert (told.status, told.headers["etag"]) == (200, f'"{first["etag"]}"')
    assert {key: told.value[key] for key in ("generation", "size", "etag", "blake3", "restored", "of")} == {
        "generation": 3, "size": 3, "etag": first["etag"], "blake3": first["blake3"], "restored": True, "of": 1}
    assert (await admin.must("POST", "/v1/restore", {"path": "/admin/f", "generation": 3}))["restored"] is False
    await admin.must("DELETE", "/v1/files/admin/f")
    told = await admin.ask("POST", "/v1/restore", {"path": "/admin/f", "generation": 2})
    assert told.status == 201 and await content(admin, "/admin/f") == (200, b"two")


async def test_restoring_over_a_newer_file_can_be_forbidden(admin: Asker) -> None:
    first = await admin.must("PUT", "/v1/files/admin/f", b"one")
    second = await admin.must("PUT", "/v1/files/admin/f", b"two")
    wish = {"path": "/admin/f", "generation": 1}
    for told in (await admin.ask("POST", "/v1/restore", {**wish, "expect": 1}),
                 await admin.ask("POST", "/v1/restore", {**wish, "expect": 0}),
                 await admin.ask("POST", "/v1/restore", wish, If_Match=f'"{first["etag"]}"'),
                 await admin.ask("POST", "/v1/restore", wish, If_None_Match="*")):
        assert (told.status, told.code, told.error["etag"], told.error["generation"]) == (
            412, "PreconditionFailed", second["etag"], 2)
    assert await content(admin, "/admin/f") == (200, b"two")
    assert (await admin.must("POST", "/v1/restore", wish, If_Match=f'"{second["etag"]}"'))["generation"] == 3
    told = await admin.ask("POST", "/v1/restore", {"path": "/admin/none", "generation": 1}, If_Match="*")
    assert told.status == 412


@pytest.mark.parametrize("body, status, code", [
    ({"path": "/admin/f", "generation": 9}, 404, "VersionNotFound"),
    ({"path": "/admin/f"}, 400, "QuerySyntax"),
    ({"path": "/admin/f", "generation": 1, "at": "-1h"}, 400, "QuerySyntax"),
    ({"path": "/admin", "at": "yesterday"}, 400, "QuerySyntax"),
    ({"path": "/", "at": "-1h"}, 400, "NameIllegal"),
    ({"path": "/admin/d", "at": "2001-01-01"}, 404, "FolderNotFound"),
    ({"path": "/admin/d", "generation": 1}, 409, "IsFolder"),
])
async def test_restores_that_make_no_sense_are_refused(admin: Asker, body: object, status: int, code: str) -> None:
    await admin.must("PUT", "/v1/files/admin/f", b"1")
    await admin.must("PUT", "/v1/dirs/admin/d")
    told = await admin.ask("POST", "/v1/restore", body)
    assert (told.status, told.code) == (status, code), told.body


async def test_a_folder_comes_back_as_it_was(admin: Asker) -> None:
    for name in ("kept", "changed", "deleted"):
        await admin.must("PUT", f"/v1/files/admin/x/{name}", name.encode())
    moment = await now(admin)
    await admin.must("PUT", "/v1/files/admin/x/changed", b"other")
    await admin.must("DELETE", "/v1/files/admin/x/deleted")
    await admin.must("PUT", "/v1/files/admin/x/new", b"new")
    told = await admin.must("POST", "/v1/restore", {"path": "/admin/x", "at": moment})
    assert {key: told[key] for key in ("restored", "deleted", "same", "conflicts", "more")} == {
        "restored": 2, "deleted": 0, "same": 1, "conflicts": [], "more": False}
    assert await content(admin, "/admin/x/changed") == (200, b"changed")
    assert await content(admin, "/admin/x/new") == (200, b"new")
    told = await admin.must("POST", "/v1/restore", {"path": "/admin/x", "at": moment, "exact": True})
    assert (told["deleted"], told["same"]) == (1, 3)
    assert (await content(admin, "/admin/x/new"))[0] == 404
    told = await admin.must("POST", "/v1/restore", {"path": "/admin/x/changed", "at": moment})
    assert told["of"] == 1


# The trash

async def test_the_trash_lists_brings_back_and_tells_conflicts(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/f", b"old")
    await admin.must("DELETE", "/v1/files/admin/f")
    [item] = (await admin.must("GET", "/v1/trash"))["items"]
    assert (item["path"], item["kind"], item["size"], item["generation"], item["owner"]) == (
        "/admin/f", "file", 3, 1, "admin")
    assert item["deleted"] < item["expires"]
    await admin.must("PUT", "/v1/files/admin/f", b"new")
    await admin.must("DELETE", "/v1/files/admin/f")
    await admin.must("PUT", "/v1/dirs/admin/f")
    told = await admin.ask("POST", "/v1/undelete", {"path": "/admin/f"})
    assert (told.status, told.code, told.error["path"], told.error["kind"]) == (
        409, "AlreadyExists", "/admin/f", "folder")
    back = await admin.must("POST", "/v1/undelete", {"path": "/admin/f", "target": "/admin/back"})
    assert (back["path"], back["was"], back["kind"]) == ("/admin/back", "/admin/f", "file")
    assert await content(admin, "/admin/back") == (200, b"new")
    assert (await admin.ask("POST", "/v1/undelete", {"path": "/admin/none"})).status == 404
    assert (await admin.ask("POST", "/v1/undelete", {"path": "/"})).status == 400


async def test_one_of_several_things_with_a_name_is_undeleted_by_its_number(admin: Asker) -> None:
    for data in (b"1", b"22"):
        await admin.must("PUT", "/v1/files/admin/x/f", data)
        await admin.must("DELETE", "/v1/dirs/admin/x?recursive=1")
    items = (await admin.must("GET", "/v1/trash?path=/admin/x"))["items"]
    oldest = min(items, key=lambda item: int(item["item"]))
    back = await admin.must("POST", "/v1/undelete", {"path": "/admin/x", "item": oldest["item"]})
    assert back["bytes"] == 1 and await content(admin, "/admin/x/f") == (200, b"1")


async def test_a_trash_emptied_twice_has_nothing_the_second_time(admin: Asker) -> None:
    for bucket in ("one", "two"):
        for number in range(3):
            await admin.must("PUT", f"/v1/files/{bucket}/d/{number}", b"1")
            await admin.must("DELETE", f"/v1/files/{bucket}/d/{number}")
    assert len((await admin.must("GET", "/v1/trash?limit=4"))["items"]) == 4
    told = await admin.must("DELETE", "/v1/trash?path=/one/d")
    assert told == {"path": "/one/d", "purged": 3, "more": False}
    assert (await admin.must("DELETE", "/v1/trash"))["purged"] == 3
    assert await admin.must("DELETE", "/v1/trash") == {"path": "/", "purged": 0, "more": False}
    assert (await admin.must("GET", "/v1/trash"))["items"] == []
    for _ in range(2):
        again = await admin.must("DELETE", "/v1/trash", Fluffy_Request_Id="e1")
        assert again["purged"] == 0


async def test_a_long_trash_is_emptied_in_one_request(admin: Asker, door: Door) -> None:
    door.cluster.log.apply_all([command for number in range(2_300) for command in (
        TouchFile(header(), f"admin/f{number}"), DeleteFile(header(), f"admin/f{number}"))])
    assert (await admin.must("DELETE", "/v1/trash?path=/admin"))["purged"] == 2_300


async def test_everybody_sees_and_empties_only_their_own_trash(door: Door, admin: Asker) -> None:
    alice, bob, reader = user_of(door, "alice"), user_of(door, "bob"), user_of(door, "reader", "readonly")
    for bucket in ("alice", "bob"):
        await admin.must("PUT", f"/v1/files/{bucket}/f", b"1")
        await admin.must("DELETE", f"/v1/files/{bucket}/f")

    async def seen(asker: Asker) -> list[str]:
        return [item["path"] for item in (await asker.must("GET", "/v1/trash"))["items"]]

    assert (await seen(alice), await seen(bob), await seen(reader)) == (["/alice/f"], ["/bob/f"], [])
    assert sorted(await seen(admin)) == ["/alice/f", "/bob/f"]
    assert (await bob.ask("GET", "/v1/trash?path=/alice")).status == 403
    assert (await bob.ask("DELETE", "/v1/trash?path=/alice")).status == 403
    assert (await reader.ask("DELETE", "/v1/trash")).status == 403
    grant(door, "alice", "bob", "read")
    assert sorted(await seen(bob)) == ["/alice/f", "/bob/f"]
    assert (await bob.ask("DELETE", "/v1/trash?path=/alice")).status == 403
    assert (await bob.must("DELETE", "/v1/trash"))["purged"] == 1
    assert await seen(admin) == ["/alice/f"]


# Looking back

async def test_files_and_folders_are_shown_as_they_were(admin: Asker) -> None:
    await admin.must("PUT", "/v1/files/admin/x/f", b"then")
    moment = await now(admin)
    await admin.must("PUT", "/v1/files/admin/x/f", b"now")
    await admin.must("POST", "/v1/move", {"src": "/admin/x", "dst": "/admin/y"})
    at = f"?at={quote(moment)}"
    assert await content(admin, "/admin/x/f", at, Range="bytes=1-2") == (206, b"he")
    assert (await content(admin, "/admin/y/f", at))[0] == 404
    listed = await admin.must("GET", f"/v1/dirs/admin{at}&long=1")
    assert [(entry["name"], entry["kind"]) for entry in listed["entries"]] == [("x", "folder")]
    [file] = (await admin.must("GET", f"/v1/dirs/admin/x{at}&long=1"))["entries"]
    assert (file["size"], file["generation"]) == (4, 1)
    told = await admin.ask("GET", "/v1/dirs/admin/x?at=2001-01-01")
    assert (told.status, told.code) == (404, "FolderNotFound")
    assert (await admin.ask("GET", f"/v1/dirs/admin/y{at}")).status == 404
    assert (await admin.ask("GET", "/v1/files/admin/y/f?at=-1h&generation=1")).code == "QuerySyntax"
    assert (await admin.ask("GET", "/v1/files/admin/y/f?at=-1x")).code == "QuerySyntax"
    assert await content(admin, "/admin/y/f", "?at=-0s") == (200, b"now")


async def test_the_buckets_of_then_are_listed(admin: Asker) -> None:
    await admin.must("PUT", "/v1/dirs/old")
    moment = await now(admin)
    await admin.must("DELETE", "/v1/dirs/old?recursive=1")
    listed = await admin.must("GET", f"/v1/dirs?at={quote(moment)}")
    assert {"admin", "old"} <= {entry["name"] for entry in listed["entries"]}


async def test_a_diff_tells_what_was_added_removed_and_changed(admin: Asker) -> None:
    for name in ("same", "changed", "removed"):
        await admin.must("PUT", f"/v1/files/admin/x/{name}", name.encode())
    begin = await now(admin)
    await admin.must("PUT", "/v1/files/admin/x/changed", b"longer than before")
    await admin.must("DELETE", "/v1/files/admin/x/removed")
    await admin.must("PUT", "/v1/files/admin/x/added/f", b"1")
    end = await now(admin)
    await admin.must("DELETE", "/v1/dirs/admin/x?recursive=1")
    target = f"/v1/diff/admin/x?from={quote(begin)}&to={quote(end)}"
    lines = (await admin.must("GET", target))["lines"]
    assert [(line["path"], line["kind"], line["change"]) for line in lines] == [
        ("/admin/x/added", "folder", "added"), ("/admin/x/added/f", "file", "added"),
        ("/admin/x/changed", "file", "changed"), ("/admin/x/removed", "file", "removed")]
    assert (lines[2]["from_size"], lines[2]["to_size"]) == (7, 18)
    first = await admin.must("GET", target + "&limit=2")
    rest = await admin.must("GET", target + f"&limit=2&after={quote(first['after'])}")
    assert first["lines"] + rest["lines"] == lines
    assert len((await admin.must("GET", f"/v1/diff/admin/x?from={quote(end)}"))["lines"]) == 4
    for bad in ("", f"?from={quote(end)}&to={quote(begin)}", "?from=soon"):
        assert (await admin.ask("GET", f"/v1/diff/admin/x{bad}")).code == "QuerySyntax"


async def test_nobody_looks_back_into_what_was_somebody_else_s(door: Door, admin: Asker) -> None:
    """A bucket's name may have been another's: its past, its trash and its old generations stay that one's."""
    alice, bob = user_of(door, "alice"), user_of(door, "bob")
    await alice.must("PUT", "/v1/files/secret/f", b"alice's")
    await alice.must("PUT", "/v1/files/gone/f", b"alice's")
    await alice.must("DELETE", "/v1/files/gone/f")
    moment = quote(await now(admin))
    await alice.must("POST", "/v1/move", {"src": "/secret", "dst": "/renamed"})
    await alice.must("DELETE", "/v1/dirs/gone")
    await bob.must("PUT", "/v1/files/secret/f", b"bob's")
    for target in (f"/v1/dirs/secret?at={moment}", f"/v1/files/secret/f?at={moment}", f"/v1/diff/secret?from={moment}",
                   "/v1/files/gone/f?generation=1", "/v1/info/gone/f?generation=1", "/v1/versions/gone/f",
                   "/v1/trash?path=/gone"):
        told = await bob.ask("GET", target)
        assert (told.status, told.code) == (403, "AccessDenied"), target
    told = await bob.ask("POST", "/v1/restore", {"path": "/secret", "at": moment.replace("%3A", ":")})
    assert told.status == 403
    for path in ("/gone/f", "/gone"):
        assert (await bob.ask("POST", "/v1/undelete", {"path": path, "target": "/bob/f"})).status in (400, 403, 404)
    assert (await bob.ask("DELETE", "/v1/files/gone/f?purge=1&generation=1")).status == 403
    names = [entry["name"] for entry in (await bob.must("GET", f"/v1/dirs?at={moment}"))["entries"]]
    assert names == ["bob"]
    assert await content(alice, "/secret/f", f"?at={moment}") == (200, b"alice's")
    assert await content(alice, "/gone/f", "?generation=1") == (200, b"alice's")
    assert [item["path"] for item in (await alice.must("GET", "/v1/trash"))["items"]] == ["/gone/f"]
    assert (await bob.must("GET", "/v1/trash"))["items"] == []
