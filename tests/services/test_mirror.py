"""A bucket of one cluster kept in another: real doors on both ends, the feed in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fluffy.base.errors import ClusterUnreachable
from fluffy.core.federation.mirroring import MARK
from fluffy.gateways.native import changes as native_changes
from fluffy.services.federation import mirror as mirroring
from fluffy.services.federation import mirror_sides
from fluffy.services.federation.mirror import Mirror
from tests.support.asking import user_of
from tests.support.mirror_world import World, do_first, mirror_world, settle

BOTH = ("alpha", "beta")


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(mirroring, "FEED_WAIT_S", 0)
    monkeypatch.setattr(mirroring, "TARGET_EVERY_S", 0.0)
    monkeypatch.setattr(mirroring, "FIRST_WAIT_MS", 1)
    monkeypatch.setattr(mirror_sides, "PAGE_ENTRIES", 3)
    async with mirror_world(tmp_path) as running:
        yield running


async def put(world: World, cluster: str, path: str, body: bytes, **headers: str) -> None:
    await world.admin(cluster).must("PUT", f"/v1/files/docs/{path}", body, **headers)


async def info(world: World, cluster: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = await world.admin(cluster).must("GET", f"/v1/info/docs/{path}")
    return found


def labels(found: dict[str, Any]) -> dict[str, Any]:
    return {"tags": found["tags"], "type": found["content_type"], "headers": found["headers"],
            "meta": {key: text for key, text in found["meta"].items() if key != MARK}}


async def same(world: World) -> dict[str, Any]:
    """Both trees, which must be equal."""
    alpha, beta = [await world.tree(name) for name in BOTH]
    assert alpha == beta
    return alpha


async def test_what_is_there_and_what_happens_then_is_kept(world: World) -> None:
    await put(world, "alpha", "a/b/deep", b"deep")
    for number in range(8):
        await put(world, "alpha", f"f{number}", b"x" * number)
    await world.admin("alpha").must("PUT", "/v1/dirs/docs/empty")
    mirror = world.mirror()
    await settle(mirror)
    assert len(await same(world)) == 12 and mirror.status().state == "level"
    await put(world, "alpha", "f1", b"newer")
    await put(world, "alpha", "large", b"y" * 900_000)
    await world.admin("alpha").must("DELETE", "/v1/files/docs/f2")
    await world.admin("alpha").must("DELETE", "/v1/dirs/docs/empty")
    await world.admin("alpha").must("POST", "/v1/files/docs/f3?append", b"more")
    await settle(mirror)
    found = await same(world)
    assert found["/docs/f1"] == b"newer" and "/docs/f2" not in found and "/docs/empty" not in found
    await world.admin("alpha").must("DELETE", "/v1/dirs/docs/a?recursive=1")
    await settle(mirror)
    assert "/docs/a" not in await same(world)
    await world.admin("alpha").must("POST", "/v1/undelete", {"path": "/docs/a"})
    await settle(mirror)
    assert (await same(world))["/docs/a/b/deep"] == b"deep"


async def test_labels_are_kept_and_change_without_the_bytes(world: World) -> None:
    await put(world, "alpha", "f", b"text", Fluffy_Meta_mtime="1700000000.5", Fluffy_Tags="k=v&e=%C3%A9",
              Content_Type="text/x", Fluffy_Header_Cache_Control="no-store", Fluffy_Header_Expires="never")
    await world.admin("alpha").must("PUT", "/v1/meta/docs/f", {"meta": {"mtime": "1", "name": "\u00e9 x"}})
    mirror = world.mirror()
    await settle(mirror)
    assert labels(await info(world, "beta", "f")) == labels(await info(world, "alpha", "f"))
    assert (await info(world, "beta", "f"))["headers"] == {"cache-control": "no-store", "expires": "never"}
    for target, body in (("tags/docs/f", {"tags": {"k": "w"}}), ("meta/docs/f", {"meta": {"mtime": "2"}}),
                         ("meta/docs/f", {"meta": {}, "content_type": "text/y"})):
        await world.admin("alpha").must("PUT", f"/v1/{target}", body)
        await settle(mirror)
        assert labels(await info(world, "beta", "f")) == labels(await info(world, "alpha", "f"))
    assert mirror.files.counts.copied == 1 and (await info(world, "beta", "f"))["generation"] == 1
    assert mirror.status().error == "" and not world.opened[-1].kept(mirror.key, 9)


async def test_moves_are_moves(world: World) -> None:
    for name in ("a/one", "a/sub/two", "b/three"):
        await put(world, "alpha", name, name.encode())
    mirror = world.mirror()
    await settle(mirror)
    await world.admin("alpha").must("POST", "/v1/move", {"src": "/docs/a", "dst": "/docs/c"})
    await world.admin("alpha").must("POST", "/v1/move", {"src": "/docs/b/three", "dst": "/docs/c/sub/3"})
    await settle(mirror)
    assert sorted(await same(world)) == ["/docs/b", "/docs/c", "/docs/c/one", "/docs/c/sub", "/docs/c/sub/3",
                                         "/docs/c/sub/two"]
    assert (mirror.files.counts.copied, mirror.files.counts.moved) == (3, 2)


async def test_a_file_that_nobody_hashed_whole_is_kept_and_known_again(world: World) -> None:
    await put(world, "alpha", "f", b"z" * 900_000)
    await world.admin("alpha").must("PATCH", "/v1/files/docs/f", b"new", Content_Range="bytes 10-12/*")
    assert (await info(world, "alpha", "f"))["blake3"] is None
    mirror = world.mirror()
    await settle(mirror)
    assert (await same(world))["/docs/f"][8:14] == b"zznewz"
    await world.admin("alpha").must("PUT", "/v1/tags/docs/f", {"k": "v"})
    await settle(mirror)
    assert mirror.files.counts.copied == 1 and (await info(world, "beta", "f"))["tags"] == {"k": "v"}


async def test_what_others_wrote_is_never_lost(world: World) -> None:
    await put(world, "alpha", "f", b"one")
    await put(world, "alpha", "g", b"one")
    await put(world, "alpha", "h", b"one")
    await put(world, "alpha", "seeded", b"same", Content_Type="a/b")
    await put(world, "beta", "mine", b"of the target")
    await put(world, "beta", "f", b"was here before")
    await put(world, "beta", "seeded", b"same", Content_Type="a/b")
    mirror = world.mirror()
    await settle(mirror)
    tree = await world.tree("beta")
    [aside] = [path for path in tree if path.startswith("/docs/f.kept-")]
    assert (tree[aside], tree["/docs/f"], tree["/docs/mine"]) == (b"was here before", b"one", b"of the target")
    await put(world, "beta", "g", b"touched")
    await world.admin("beta").must("PUT", "/v1/tags/docs/h", {"mine": "yes"})
    await put(world, "alpha", "g", b"two")
    await world.admin("alpha").must("DELETE", "/v1/files/docs/h")
    await world.admin("alpha").must("DELETE", "/v1/files/docs/seeded")
    await settle(mirror)
    tree = await world.tree("beta")
    [g_aside] = [path for path in tree if path.startswith("/docs/g.kept-")]
    assert (tree[g_aside], tree["/docs/g"], tree["/docs/h"]) == (b"touched", b"two", b"one")
    assert "/docs/seeded" in tree
    kept = {one.path: one.kept_as for one in world.opened[-1].kept(mirror.key, 9)}
    assert kept == {"f": aside.removeprefix("/docs/"), "g": g_aside.removeprefix("/docs/"), "h": "h"}
    world.opened[-1].compare(mirror.key, 1)
    await settle(mirror)
    assert await world.tree("beta") == tree and world.opened[-1].kept_count(mirror.key) == 3


async def test_a_file_and_a_folder_that_change_places(world: World) -> None:
    await put(world, "alpha", "x", b"file")
    await put(world, "alpha", "y/in", b"in")
    mirror = world.mirror()
    await settle(mirror)
    await world.admin("alpha").must("DELETE", "/v1/files/docs/x")
    await put(world, "alpha", "x/in", b"folder now")
    await world.admin("alpha").must("DELETE", "/v1/dirs/docs/y?recursive=1")
    await put(world, "alpha", "y", b"file now")
    await put(world, "alpha", "z/in", b"theirs")
    await put(world, "beta", "z", b"in the way")
    await settle(mirror)
    beta = await world.tree("beta")
    [aside] = [path for path in beta if path.startswith("/docs/z.kept-")]
    assert beta.pop(aside) == b"in the way" and beta == await world.tree("alpha")


async def test_it_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(world, "alpha", "f1", b"1")
    mirror = world.mirror()
    await settle(mirror)
    await put(world, "alpha", "f2", b"2")
    await mirror.follow_once()  # followed, not done: the process ends
    again = world.mirror()
    await settle(again)
    assert again.files.counts.copied == 1 and len(await same(world)) == 2
    assert world.opened[-1].cursor(mirror.key).compared_ms > 0  # type: ignore[union-attr]


async def test_a_full_queue_is_worked_off_after_a_restart_before_more_is_taken(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await settle(world.mirror())
    monkeypatch.setattr(mirroring, "PENDING_MAX", 2)
    for number in range(3):
        await put(world, "alpha", f"f{number}", b"x")
    await world.mirror().follow_once()
    await put(world, "alpha", "later", b"x")
    again = world.mirror()
    await again.follow_once()
    assert again.lag()[1] == 3
    await settle(again)
    assert len(await same(world)) == 4


async def test_a_kill_in_the_middle_of_a_comparison_costs_a_page(world: World) -> None:
    for number in range(12):
        await put(world, "alpha", f"f{number:02}", b"x")
    mirror = world.mirror()
    await do_first(mirror)
    again = world.mirror()
    await settle(again)
    assert mirror.files.counts.copied == 3 and again.files.counts.copied == 9
    await same(world)


@pytest.mark.parametrize("why", ["cut", "epoch", "behind", "target"])
async def test_another_history_is_compared(world: World, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("f1", "f2", "d/f3"):
        await put(world, "alpha", name, b"x")
    await put(world, "beta", "mine", b"of the target")
    mirror = world.mirror()
    await settle(mirror)
    store = world.opened[-1]
    cursor = store.cursor(mirror.key)
    assert cursor is not None
    await world.admin("alpha").must("DELETE", "/v1/dirs/docs/d?recursive=1")
    await put(world, "alpha", "f4", b"x")
    head = world.clusters["alpha"].door.cluster.log.machine.seq
    if why == "cut":
        monkeypatch.setattr(native_changes.queries, "changes_cut", lambda db: head - 1)
    elif why == "epoch":
        store._db.execute("UPDATE mirrors SET epoch = 'another', seq = ?", (head,))
    elif why == "target":
        store._db.execute("UPDATE mirrors SET target_epoch = 'another', seq = ?", (head,))
    else:
        store.take(mirror.key, head + 50, (), 1)
    await settle(mirror)
    tree = await world.tree("beta")
    assert sorted(tree) == ["/docs/f1", "/docs/f2", "/docs/f4", "/docs/mine"]


@pytest.mark.parametrize("away", BOTH)
async def test_a_cluster_that_is_away_is_waited_for(world: World, away: str) -> None:
    await put(world, "alpha", "f1", b"x")
    mirror = world.mirror()
    await settle(mirror)
    await put(world, "alpha", "f2", b"x")
    await mirror.follow_once()
    world.away.add(away)
    with pytest.raises(ClusterUnreachable):
        await mirror.follow_once()
    assert mirror.claim() is None and mirror.lag()[1] == 1
    world.away.clear()
    await settle(mirror)
    await same(world)


async def test_a_right_that_ends_stops_the_mirror_and_removes_nothing(world: World) -> None:
    alpha = world.clusters["alpha"]
    user_of(alpha.door, "reader")
    await put(world, "alpha", "f1", b"x")
    grant = {"bucket": "docs", "user": "reader", "right": "read"}
    await alpha.admin.must("POST", "/v1/admin/grants", grant)
    mirror = world.mirror(source=world.side("alpha", "docs", "reader"))
    await settle(mirror)
    await put(world, "alpha", "f2", b"x")
    await mirror.follow_once()
    await alpha.admin.must("DELETE", "/v1/admin/grants?bucket=docs&user=reader")
    work = mirror.claim()
    assert work is not None
    await mirror.do(work)
    await put(world, "alpha", "f3", b"x")
    with pytest.raises(ClusterUnreachable, match="cannot be read"):
        await mirror.follow_once()
    assert sorted(await world.tree("beta")) == ["/docs/f1"]
    await alpha.admin.must("POST", "/v1/admin/grants", grant)
    await settle(mirror)
    assert len(await same(world)) == 3


@pytest.mark.parametrize("how", ["removed", "moved"])
async def test_a_bucket_that_goes_away_stops_the_mirror_and_removes_nothing(world: World, how: str) -> None:
    await put(world, "alpha", "f1", b"x")
    mirror = world.mirror()
    await settle(mirror)
    await put(world, "alpha", "f1", b"newer")
    await mirror.follow_once()
    if how == "removed":
        await world.admin("alpha").must("DELETE", "/v1/dirs/docs?recursive=1")
    else:
        await world.admin("alpha").must("POST", "/v1/move", {"src": "/docs", "dst": "/other"})
    for kind in ("file", "tree"):
        world.opened[-1].compare(mirror.key, 1)
        work = next(work for work in world.opened[-1].due(mirror.key, kind, 2**50, 1))
        await mirror.do(work)
        assert "cannot be read" in mirror.failed(9)[-1].error
    with pytest.raises(ClusterUnreachable, match="cannot be read"):
        await mirror.follow_once()
    assert sorted(await world.tree("beta")) == ["/docs/f1"]


async def test_circles_are_refused(world: World) -> None:
    await put(world, "alpha", "from-alpha", b"a")
    there = world.mirror(store=world.store("there"))
    back = world.mirror(store=world.store("back"), source=world.side("beta", "docs"),
                        target=world.side("alpha", "docs"))
    await settle(there)
    await put(world, "beta", "from-beta", b"b")
    for _ in range(2):
        await settle(back)
        await settle(there)
    assert (there.files.counts.circles > 0, back.files.counts.circles > 0) == (True, True)
    assert (await info(world, "alpha", "from-alpha"))["generation"] == 1
    await world.admin("alpha").must("DELETE", "/v1/files/docs/from-alpha")
    await settle(there)
    await settle(back)
    assert "/docs/from-alpha" not in await world.tree("alpha")


async def test_two_supernodes_with_one_mirror_do_no_harm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(world, "alpha", "f", b"one")
    one, two = (world.mirror(store=world.store(name)) for name in ("one", "two"))
    client = world.clusters["beta"].client
    true_write, rivals = client.write, [two]

    async def write(*rest: Any, **more: Any) -> Mapping[str, Any]:
        if rivals:  # the other one does all of it just before
            await settle(rivals.pop())
        return await true_write(*rest, **more)

    monkeypatch.setattr(client, "write", write)
    await settle(one)
    assert (await info(world, "beta", "f"))["generation"] == 1
    await put(world, "alpha", "f", b"two")
    rivals.append(two)
    await settle(one)
    await world.admin("alpha").must("DELETE", "/v1/files/docs/f")
    await settle(two)
    await settle(one)
    assert await same(world) == {} and one.files.counts.copied == 0


async def test_one_that_writes_at_the_same_time_is_not_written_over(world: World, monkeypatch: pytest.MonkeyPatch,
                                                                   ) -> None:
    await put(world, "alpha", "f", b"one")
    mirror = world.mirror()
    await settle(mirror)
    await put(world, "alpha", "f", b"two")
    client = world.clusters["beta"].client
    true_write, once = client.write, [b"theirs"]

    async def write(*rest: Any, **more: Any) -> Mapping[str, Any]:
        if once:
            await put(world, "beta", "f", once.pop())
        return await true_write(*rest, **more)

    monkeypatch.setattr(client, "write", write)
    await settle(mirror)
    tree = await world.tree("beta")
    assert tree["/docs/f"] == b"two" and b"theirs" in tree.values()


async def test_what_fails_is_told_and_stops_nothing_else(world: World) -> None:
    user_of(world.clusters["beta"].door, "writer")
    await world.clusters["beta"].admin.must("PUT", "/v1/dirs/docs")
    mirror = world.mirror(target=world.side("beta", "docs", "writer"))
    await put(world, "alpha", "f", b"one")
    await do_first(mirror)
    assert "may not change" in mirror.failed(9)[0].error and mirror.status().pending == 1
    await world.admin("beta").must("POST", "/v1/admin/grants", {"bucket": "docs", "user": "writer", "right": "write"})
    await settle_failed(mirror)
    await same(world)


async def settle_failed(mirror: Mirror) -> None:
    mirror._store._db.execute("UPDATE work SET due_ms = 0")  # type: ignore[attr-defined]
    await settle(mirror)
