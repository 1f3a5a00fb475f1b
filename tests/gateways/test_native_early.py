"""Bodies that are refused before they come: by the newest state, and never when the request had its answer already."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from fluffy.core.metadata.commands import Command, DeleteFile, MakeFolder
from fluffy.core.metadata.commands_people import SetQuota
from fluffy.core.metadata.commands_tree import DeleteFolder
from tests.support.local_log import header
from tests.support.native_door import INLINE_MAX, Door

BODY = bytes(3 * INLINE_MAX)


def quota(bytes_max: int | None) -> Command:
    return SetQuota(header(), "bucket", "admin", bytes_max, None)


@pytest.mark.parametrize(("before", "meanwhile", "code"), [
    (quota(100), quota(None), "QuotaExceeded"),
    (MakeFolder(header(), "admin/a"), DeleteFolder(header(), "admin/a"), "IsFolder"),
], ids=["quota", "folder"])
async def test_a_node_that_lags_does_not_refuse_by_what_it_knew(
        door: Door, monkeypatch: pytest.MonkeyPatch, before: Command, meanwhile: Command, code: str) -> None:
    """Found by tests/faults/linearizable.py: no order of the operations explained the refusal."""
    door.cluster.log.apply(before)
    answer = await door.put("admin/a", BODY)
    assert answer.status in (409, 507) and json.loads(await answer.text())["error"]["code"] == code
    newest = door.desk.gate.newest

    async def catch_up() -> int:
        door.cluster.log.apply(meanwhile)
        return await newest()

    monkeypatch.setattr(door.desk.gate, "newest", catch_up)
    assert (await door.put("admin/a", BODY)).status == 201


async def test_a_full_quota_says_how_much_is_used_of_what_before_the_body_came(door: Door) -> None:
    await door.put("admin/a", b"12345")
    door.cluster.log.apply(quota(100))
    refusal = json.loads(await (await door.put("admin/b", BODY)).text())["error"]
    assert refusal["message"].startswith("bucket admin uses 5 of the 100 bytes that its quota allows")
    assert (refusal["subject"], refusal["name"], refusal["used"], refusal["limit"]) == ("bucket", "admin", 5, 100)
    door.cluster.log.apply(SetQuota(header(), "user", "admin", 50, None))
    refusal = json.loads(await (await door.put("admin/b", BODY)).text())["error"]
    assert refusal["message"].startswith("user admin uses 5 of the 50 bytes")


@pytest.mark.parametrize("make_refusal", [
    lambda: quota(100), lambda: MakeFolder(header(), "admin/a")], ids=["quota", "folder"])
async def test_a_repeated_upload_gets_its_first_answer_whatever_speaks_against_it_now(
        door: Door, make_refusal: Callable[[], Command]) -> None:
    first = await door.put("admin/a", BODY, Fluffy_Request_Id="again")
    door.cluster.log.apply(DeleteFile(header(), "admin/a"))
    door.cluster.log.apply(make_refusal())
    again = await door.put("admin/a", BODY, Fluffy_Request_Id="again")
    assert (again.status, await again.json()) == (first.status, await first.json()) and first.status == 201
    assert (await door.put("admin/a", BODY, Fluffy_Request_Id="another")).status in (409, 507)


async def test_a_repeated_restore_gets_its_first_answer_though_its_condition_holds_no_more(door: Door) -> None:
    for body in (b"1", b"2"):
        etag = (await door.put("admin/a", body)).headers["ETag"]
    answers = []
    for _ in range(2):
        async with door.client.post(f"{door.url}/v1/restore", json={"path": "/admin/a", "generation": 1}, headers={
                "If-Match": etag, "Fluffy-Request-Id": "restore"}) as answer:
            answers.append((answer.status, await answer.json()))
    assert answers[0] == answers[1] and answers[0][1]["generation"] == 3
    async with door.client.post(f"{door.url}/v1/restore", json={"path": "/admin/a", "generation": 1},
                                headers={"If-Match": etag}) as answer:
        assert answer.status == 412
