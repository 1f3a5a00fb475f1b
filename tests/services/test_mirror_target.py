"""A mirror's target: what others do there is noticed by its feed; large files go on where they were cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fluffy.base.errors import ClusterUnreachable
from fluffy.core.federation.mirroring import MARK
from fluffy.services.federation import mirror as mirroring
from fluffy.services.federation import mirror_files, mirror_sides, mirror_watch, part_sending
from fluffy.services.federation.mirror import Mirror
from fluffy.services.federation.mirror_store import UNKNOWN_SEQ
from tests.support.mirror_world import World, do_first, mirror_world, settle

PART = 300_000
LARGE = bytes(range(256)) * 3_516  # three parts


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    for module in (mirroring, mirror_watch):
        monkeypatch.setattr(module, "FEED_WAIT_S", 0)
    monkeypatch.setattr(mirroring, "TARGET_EVERY_S", 0.0)
    monkeypatch.setattr(mirroring, "FIRST_WAIT_MS", 1)
    monkeypatch.setattr(mirror_watch, "OWN_WRITE_S", 0.0)
    monkeypatch.setattr(mirror_sides, "PAGE_ENTRIES", 3)
    for module in (part_sending, mirror_files):
        monkeypatch.setattr(module, "PART_BYTES", PART)
    async with mirror_world(tmp_path) as running:
        yield running


async def put(world: World, cluster: str, path: str, body: bytes, **headers: str) -> dict[str, Any]:
    told: dict[str, Any] = await world.admin(cluster).must("PUT", f"/v1/files/docs/{path}", body, **headers)
    return told


async def level(*mirrors: Mirror) -> None:
    """Until nothing comes of either feed any more."""
    async with asyncio.timeout(20):
        while True:
            before = [mirror._store.cursor(mirror.key) for mirror in mirrors]
            for mirror in mirrors:
                await settle(mirror)
                while await mirror.watch.watch_once():
                    pass
            for mirror in mirrors:
                mirror._store._db.execute("UPDATE work SET due_ms = 0")  # type: ignore[attr-defined]
            cursors = [mirror._store.cursor(mirror.key) for mirror in mirrors]
            if before == cursors and all(mirror.lag() == (0, 0) for mirror in mirrors):
                return


async def uploads(world: World, cluster: str) -> list[Any]:
    found: list[Any] = (await world.admin(cluster).must("GET", "/v1/uploads"))["uploads"]
    return found


async def test_what_is_removed_or_changed_at_the_target_comes_back_without_a_comparison(world: World) -> None:
    for name in ("f", "g", "d/h", "d/i"):
        await put(world, "alpha", name, name.encode())
    mirror = world.mirror()
    await level(mirror)
    assert mirror.watch.noticed == 0, "its own writes are none of others"
    compared_ms = world.opened[-1].cursor(mirror.key).compared_ms  # type: ignore[union-attr]
    beta = world.admin("beta")
    await beta.must("DELETE", "/v1/files/docs/f")
    await put(world, "beta", "g", b"touched")
    await beta.must("POST", "/v1/move", {"src": "/docs/d/h", "dst": "/docs/away"})
    await mirror.watch.watch_once()
    assert mirror.status().state == "behind" and mirror.watch.noticed == 3
    await level(mirror)
    tree = await world.tree("beta")
    [aside] = [path for path in tree if path.startswith("/docs/g.kept-")]
    assert tree.pop(aside) == b"touched" and tree == await world.tree("alpha")
    await beta.must("DELETE", "/v1/dirs/docs/d?recursive=1")
    await level(mirror)
    assert (await world.tree("beta"))["/docs/d/i"] == b"d/i"
    assert world.opened[-1].cursor(mirror.key).compared_ms == compared_ms  # type: ignore[union-attr]


async def test_the_targets_feed_is_followed_on_after_a_restart_and_from_an_older_version(world: World) -> None:
    await put(world, "alpha", "f", b"x")
    mirror = world.mirror()
    await level(mirror)
    await world.admin("beta").must("DELETE", "/v1/files/docs/f")
    again = world.mirror()
    await level(again)
    assert "/docs/f" in await world.tree("beta")
    again._store._db.execute("UPDATE mirrors SET target_seq = ?", (UNKNOWN_SEQ,))  # type: ignore[attr-defined]
    await level(again)
    await world.admin("beta").must("DELETE", "/v1/files/docs/f")
    await level(again)
    assert "/docs/f" in await world.tree("beta")


async def test_two_mirrors_of_one_bucket_in_both_directions_come_to_rest(world: World) -> None:
    """In one configuration they are refused; two supernodes do not know of each other."""
    there = world.mirror(store=world.store("there"))
    back = world.mirror(store=world.store("back"), source=world.side("beta", "docs"),
                        target=world.side("alpha", "docs"))
    await put(world, "alpha", "of-alpha", b"a")
    await level(there, back)
    await put(world, "beta", "of-beta", b"b")
    await put(world, "beta", "of-alpha", b"changed at the target")
    await level(there, back)
    alpha, beta = await world.tree("alpha"), await world.tree("beta")
    for tree in (alpha, beta):
        assert b"changed at the target" in tree.values() and b"a" in tree.values() and b"b" in tree.values()
    await level(there, back)
    assert (await world.tree("alpha"), await world.tree("beta")) == (alpha, beta)


async def test_whoever_fights_with_a_mirror_is_left_to_people_after_some_rounds(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_files, "ASIDES_MAX", 2)
    await put(world, "alpha", "f", b"the source's")
    mirror = world.mirror()
    await level(mirror)
    for turn in range(3):
        await put(world, "beta", "f", b"%d" % turn)
        await mirror.watch.watch_once()
        mirror._store._db.execute("UPDATE work SET due_ms = 0")  # type: ignore[attr-defined]
        while (work := mirror.claim()) is not None:
            await mirror.do(work)
    tree = await world.tree("beta")
    assert tree["/docs/f"] == b"2" and sum(path.startswith("/docs/f.kept-") for path in tree) == 2
    assert "again and again" in mirror.failed(9)[0].error


async def test_a_large_file_that_was_cut_goes_on_with_its_part(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(world, "alpha", "large", LARGE, Fluffy_Tags="k=v", Fluffy_Meta_mtime="1")
    client = world.clusters["beta"].client
    true_write, calls = client.write, []

    async def write(target: str, *rest: Any, **more: Any) -> Mapping[str, Any]:
        calls.append(target.rpartition("/")[2])
        if len(calls) == 3:
            raise ClusterUnreachable("cut")
        return await true_write(target, *rest, **more)

    monkeypatch.setattr(client, "write", write)
    mirror = world.mirror()
    await do_first(mirror)
    assert calls == ["1", "2", "3"] and await world.tree("beta") == {}
    again = world.mirror()  # the process was killed
    await settle(again)
    assert calls == ["1", "2", "3", "3", "4"] or calls == ["1", "2", "3", "3"]
    assert (await world.tree("beta"))["/docs/large"] == LARGE and await uploads(world, "beta") == []
    assert again.files.counts.copied_bytes <= len(LARGE) - 2 * PART
    found = await world.admin("beta").must("GET", "/v1/info/docs/large")
    model = await world.admin("alpha").must("GET", "/v1/info/docs/large")
    assert (found["blake3"], found["tags"], found["meta"]["mtime"]) == (model["blake3"], {"k": "v"}, "1")
    await level(again)
    assert MARK in found["meta"] and again.files.counts.copied == 1


@pytest.mark.parametrize("then", ["changed", "deleted"])
async def test_an_upload_that_nobody_goes_on_with_is_ended(world: World, monkeypatch: pytest.MonkeyPatch, then: str,
                                                           ) -> None:
    await put(world, "alpha", "large", LARGE)
    client = world.clusters["beta"].client
    true_write, cut = client.write, [True]

    async def write(target: str, *rest: Any, **more: Any) -> Mapping[str, Any]:
        if cut and target.endswith("/2"):
            raise ClusterUnreachable("cut")
        return await true_write(target, *rest, **more)

    monkeypatch.setattr(client, "write", write)
    mirror = world.mirror()
    await do_first(mirror)
    assert len(await uploads(world, "beta")) == 1
    cut.clear()
    if then == "changed":
        await put(world, "alpha", "large", LARGE[::-1])
    else:
        await world.admin("alpha").must("DELETE", "/v1/files/docs/large")
    await settle(mirror)
    assert await uploads(world, "beta") == []
    assert await world.tree("beta") == ({"/docs/large": LARGE[::-1]} if then == "changed" else {})


async def test_a_patched_large_file_that_nobody_hashed_is_known_again(world: World) -> None:
    await put(world, "alpha", "large", LARGE)
    await world.admin("alpha").must("PATCH", "/v1/files/docs/large", b"new", Content_Range="bytes 10-12/*")
    mirror = world.mirror()
    await settle(mirror)
    assert (await world.tree("beta"))["/docs/large"][10:13] == b"new"
    await world.admin("alpha").must("PUT", "/v1/tags/docs/large", {"tags": {"k": "v"}})
    await level(mirror)
    assert mirror.files.counts.copied == 1
