"""What somebody without a right might learn in roundabout ways: cursors, pages, places for copies, counts, mirrors."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from fluffy.base.errors import QuerySyntax
from fluffy.core.federation import paging
from fluffy.services.federation import follower as following
from fluffy.services.federation.cursors import CursorSeal
from tests.support.asking import Asker, grant, user_of
from tests.support.local_log import ADMIN_TOKEN
from tests.support.supernode_door import OPERATOR, SupernodeDoor, supernode_door


@pytest.fixture
async def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SupernodeDoor]:
    monkeypatch.setattr(following, "FEED_WAIT_S", 0)
    async with supernode_door(tmp_path, "alpha", "beta") as running:
        yield running


def person(door: SupernodeDoor, cluster: str, name: str, token: str | None = None) -> Asker:
    return user_of(door.clusters[cluster].door, name)


async def test_a_page_that_ends_among_hidden_names_tells_none_of_them(door: SupernodeDoor,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    person(door, "beta", "carol")
    beta = door.clusters["beta"].admin
    await beta.must("PUT", "/v1/dirs/shared")
    for number in range(8):
        await beta.must("PUT", f"/v1/files/admin/merger-with-acme-{number}", b"x")
    await beta.must("PUT", "/v1/files/shared/merger-zz", b"x")
    grant(door.clusters["beta"].door, "shared", "carol", "read")
    await door.level()
    monkeypatch.setattr(paging, "CANDIDATES_MAX", 3)
    found, cursors, after = [], [], ""
    async with asyncio.timeout(10):
        while True:
            page = await door.must("GET", f"/v1/search?q=merger{after}", "carol")
            found += [hit["path"] for hit in page["hits"]]
            if page["after"] is None:
                break
            cursors.append(page["after"])
            after = f"&after={quote(page['after'])}"
    assert found == ["/shared/merger-zz"] and len(cursors) >= 2
    for cursor in cursors:
        assert b"merger" not in base64.urlsafe_b64decode(cursor) and "merger" not in cursor
    assert len({len(cursor) for cursor in cursors}) == 1


def test_a_cursor_is_good_at_its_own_supernode_only() -> None:
    seal, other = CursorSeal("one"), CursorSeal("two")
    sealed = seal.seal("1:5:n\u00e4me")
    assert sealed is not None and seal.open(sealed) == "1:5:n\u00e4me" and seal.seal("1:5:n\u00e4me") == sealed
    assert CursorSeal("one").open(sealed) == "1:5:n\u00e4me", "also after a restart"
    assert seal.seal(None) is None and seal.open(None) is None and seal.open("") is None
    for bad in (sealed[:-2], sealed[1:], "1:5:x", "\u00e9", "A" * 5_000, sealed + "=", "===="):
        with pytest.raises(QuerySyntax):
            seal.open(bad)
    with pytest.raises(QuerySyntax):
        other.open(sealed)


async def test_a_page_of_buckets_ends_at_one_that_may_be_seen(door: SupernodeDoor) -> None:
    beta = door.clusters["beta"].admin
    person(door, "beta", "carol")  # with a bucket of that name
    for name in ("a-secret", "b-open", "b-secret", "d-secret", "e-open", "f-secret", "z-secret"):
        await beta.must("PUT", f"/v1/dirs/{name}")
        if name.endswith("open"):
            grant(door.clusters["beta"].door, name, "carol", "read")
    await door.level()
    for limit in (1, 2, 3, 100):
        seen, after = [], ""
        for _ in range(20):
            page = await door.must("GET", f"/v1/catalog/beta?limit={limit}{after}", "carol")
            assert "secret" not in json.dumps(page)
            seen += [entry["name"] for entry in page["entries"]]
            if page["after"] is None:
                break
            after = f"&after={quote(page['after'])}"
        assert seen == ["b-open", "carol", "e-open"]


async def test_where_copies_go_does_not_tell_what_is_in_a_hidden_bucket(door: SupernodeDoor) -> None:
    person(door, "alpha", "bob")
    person(door, "beta", "carol")
    beta = door.clusters["beta"].admin
    await beta.must("PUT", "/v1/files/bob/plan", b"of another bob")
    await door.level()
    there = await door.must("PUT", "/v1/files/@best/bob/plan?copies=2", "bob", b"x", beta="carol")
    nothing = await door.must("PUT", "/v1/files/@best/bob/nothing?copies=2", "bob", b"x", beta="carol")
    for told in (there, nothing):
        assert (told["stored"], told["owed"], told["missing"]) == (["alpha"], [], 1)
    # A bucket that was made a moment ago is the asker's own: nothing keeps copies out of it.
    await door.must("PUT", "/v1/files/@best/fresh/one?copies=2", ADMIN_TOKEN, b"x")
    await door.level()
    told = await door.must("PUT", "/v1/files/@best/fresh/two?copies=2", ADMIN_TOKEN, b"x")
    assert sorted(told["stored"]) == ["alpha", "beta"]


async def test_how_much_is_in_a_cluster_is_told_to_those_whom_it_knows(door: SupernodeDoor) -> None:
    person(door, "alpha", "bob")
    await door.clusters["beta"].admin.must("PUT", "/v1/files/admin/f", b"x" * 999)
    await door.level()
    counted = {"files", "bytes", "rows"}
    for target in ("/v1/clusters", "/v1/status"):
        told = {line["name"]: line for line in (await door.must("GET", target, "bob"))["clusters"]}
        assert all(told["beta"][name] is None for name in counted) and told["alpha"]["rows"] is not None
        for token in (OPERATOR, ADMIN_TOKEN):
            told = {line["name"]: line for line in (await door.must("GET", target, token))["clusters"]}
            assert all(told["beta"][name] is not None for name in counted)
