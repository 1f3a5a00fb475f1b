"""Following a cluster over HTTP into a real catalog."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import ClusterUnreachable, HistoryCut, NotReady, QuorumLost, Unauthenticated, Unavailable
from fluffy.core.federation.tree import Sight
from fluffy.core.metadata import queries_federation
from fluffy.core.metadata.queries_federation import CatalogRow, FeedPiece
from fluffy.core.search.query import parse_query
from fluffy.drivers.cluster_http import ClusterHttp
from fluffy.gateways.native import federation
from fluffy.ports_federation import Catalog, RowsAnswer
from fluffy.services.federation import follower as following
from tests.support.catalog_world import sqlite_catalog
from tests.support.federation import JOINER, Joined, asker_of, joined_cluster, level


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    async with sqlite_catalog(tmp_path) as opened:
        yield opened


@pytest.fixture
async def alpha(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Joined]:
    monkeypatch.setattr(following, "FEED_WAIT_S", 0)
    async with joined_cluster(tmp_path, "alpha") as joined:
        yield joined


async def names(catalog: Catalog, text: str) -> list[str]:
    scope = {one.number: Sight(None) for one in await catalog.clusters()}
    page = await catalog.search(parse_query(text), scope, None, 1000, Deadline.after(10))
    return sorted(hit.found.entry.path for hit in page.hits)


async def test_a_tree_is_read_and_then_followed(alpha: Joined, catalog: Catalog,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(federation, "ROWS_MAX", 3)
    for number in range(8):
        await alpha.admin.must("PUT", f"/v1/files/admin/docs/f{number}", b"x")
    follower = alpha.follower(catalog)
    assert await follower.one_round() and not follower.contact.built
    await alpha.admin.must("PUT", "/v1/files/admin/docs/f-during", b"x")
    await alpha.admin.must("DELETE", "/v1/files/admin/docs/f0")
    await level(follower)
    assert await names(catalog, "f") == [f"admin/docs/f{end}" for end in ("-during", *range(1, 8))]
    await alpha.admin.must("POST", "/v1/move", {"src": "/admin/docs", "dst": "/admin/texts"})
    await alpha.admin.must("DELETE", "/v1/dirs/admin/texts?recursive=1")
    await level(follower)
    assert await names(catalog, "f1") == []
    await alpha.admin.must("POST", "/v1/undelete", {"path": "/admin/texts"})
    await level(follower)
    assert await names(catalog, "f1") == ["admin/texts/f1"]
    assert follower.contact.level_ms > 0 and follower.facts["nodes"] == 3


async def test_a_follower_that_begins_again_goes_on_where_it_was(alpha: Joined, catalog: Catalog) -> None:
    await alpha.admin.must("PUT", "/v1/files/admin/a1", b"x")
    await level(alpha.follower(catalog))
    await alpha.admin.must("PUT", "/v1/files/admin/a2", b"x")
    again = alpha.follower(catalog)
    await level(again)
    assert await names(catalog, "a1") == ["admin/a1"] and await names(catalog, "a2") == ["admin/a2"]
    assert again.rows_loaded == 0 and again.pieces == 1


@pytest.mark.parametrize("why", ["cut", "epoch", "behind"])
async def test_another_history_is_read_from_the_beginning(alpha: Joined, catalog: Catalog, why: str,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    await alpha.admin.must("PUT", "/v1/files/admin/a1", b"x")
    follower = alpha.follower(catalog)
    await level(follower)
    [before] = await catalog.clusters()
    await catalog.apply(before.number, FeedPiece(before.seq, before.seq, (), (
        CatalogRow(999, 0, "ghost/", -1, 0, "", "", "admin", 5),)), 0)
    if why == "behind":
        await catalog.apply(before.number, FeedPiece(before.seq + 50, before.seq + 50), 0)
    elif why == "epoch":
        monkeypatch.setattr(federation, "epoch_of", lambda state: "another")
    else:
        monkeypatch.setattr(federation.queries_federation, "feed_piece",
                            lambda db, since, limit: FeedPiece(9, 9, cut=True))
        assert await follower.one_round()
        monkeypatch.undo()
        monkeypatch.setattr(following, "FEED_WAIT_S", 0)
    await level(follower)
    [after] = await catalog.clusters()
    assert after.number != before.number and await names(catalog, "ghost") == []
    assert await names(catalog, "a1") == ["admin/a1"]


async def test_an_answer_older_than_the_cursor_is_not_taken(alpha: Joined, catalog: Catalog,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(federation, "ROWS_MAX", 2)
    for number in range(6):
        await alpha.admin.must("PUT", f"/v1/files/admin/f{number}", b"x")
    follower = alpha.follower(catalog)
    await follower.one_round()
    honest = alpha.client.rows
    old = [await honest((0, "admin/"), Deadline.after(5))]
    await alpha.admin.must("PUT", "/v1/files/admin/f1", b"newer")

    async def lagging(after: Any, deadline: Deadline) -> RowsAnswer:
        answer = old.pop() if old else await honest(after, deadline)
        return replace(answer, seen=replace(answer.seen, is_stale=True))

    monkeypatch.setattr(alpha.client, "rows", lagging)
    await level(follower)
    [known] = await catalog.clusters()
    found = await catalog.find(known.number, "admin/f1")
    assert found is not None and found.size == 5 and not old


async def test_what_differs_from_the_cluster_is_found_and_mended(alpha: Joined, catalog: Catalog,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(federation, "ROWS_MAX", 2)
    monkeypatch.setattr(following, "AUDIT_EVERY_S", 0.0)
    monkeypatch.setattr(following, "AUDIT_REST_TIMES", 0)
    for number in range(5):
        await alpha.admin.must("PUT", f"/v1/files/admin/f{number}", b"x")
    follower = alpha.follower(catalog)
    await level(follower)
    [known] = await catalog.clusters()
    rows = await catalog.rows(known.number, (0, ""), 100)
    ghosts = tuple(CatalogRow(900 + n, rows[n].parent, f"zz{n}", 1, 1, "", "", "admin", 5) for n in (0, 3))
    await catalog.apply(known.number, FeedPiece(known.seq, known.seq, ((rows[2].parent, "f1"),), (
        replace(rows[4], size=77), *ghosts)), 0)
    for _ in range(20):
        await follower.one_round()
    assert await catalog.rows(known.number, (0, ""), 100) == rows
    assert follower.rows_mended == 4
    for _ in range(8):
        await follower.one_round()
    assert follower.rows_mended == 4


async def test_a_row_that_is_none_is_set_aside_and_the_rest_goes_on(alpha: Joined, catalog: Catalog,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    good = federation.row_json
    monkeypatch.setattr(federation, "row_json", lambda row: [*good(row)[:2], 7] if row.key == "bad" else good(row))
    await alpha.admin.must("PUT", "/v1/files/admin/bad", b"x")
    await alpha.admin.must("PUT", "/v1/files/admin/good", b"x")
    follower = alpha.follower(catalog)
    await level(follower)
    assert await names(catalog, "good") == ["admin/good"] and await names(catalog, "bad") == []
    [letter] = await catalog.dead_letters(10)
    assert letter.cluster == "alpha" and "list" in letter.reason and "7" in letter.text


async def test_a_peer_that_talks_nonsense_or_nothing_is_left_for_the_next(alpha: Joined) -> None:
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", b"", b"HTTP/1.1 200 OK\r\n\r\n[1,2]",
               b"HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n", b"\x00\x01\x02\r\n\r\n",
               b'HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n{"epoch":"e","at_seq":5,"rows":3,"after":9}  ']

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.append(nonsense[-1])
        writer.write(nonsense[-1])
        await writer.drain()
        writer.close()

    nonsense, asked = [b""], list[bytes]()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for answer in answers:
        nonsense.append(answer)
        client = ClusterHttp("alpha", [url, alpha.door.url], lambda: JOINER)
        assert (await client.rows((0, ""), Deadline.after(5))).rows and asked[-1] == answer
        alone = ClusterHttp("alpha", [url], lambda: JOINER)
        with pytest.raises(ClusterUnreachable):
            await alone.rows((0, ""), Deadline.after(5))
        await client.close()
        await alone.close()
    server.close()


async def test_refusals_are_the_cluster_s(alpha: Joined) -> None:
    with pytest.raises(HistoryCut):
        await alpha.client.feed(0, "another", 0, Deadline.after(5))
    with pytest.raises(Unauthenticated):
        await alpha.client.sight(asker_of("nobody"), Deadline.after(5))
    seen = await alpha.client.sight(asker_of(JOINER), Deadline.after(5))
    assert (seen.role, seen.buckets) == ("supernode", frozenset())


async def test_a_cluster_that_went_is_left_alone_and_known_again_when_it_returns(alpha: Joined,
                                                                                 catalog: Catalog) -> None:
    follower = alpha.follower(catalog)
    await level(follower)
    assert follower.is_reachable
    url, alpha.client._peers[:] = alpha.client._peers[0], ["http://127.0.0.1:9"]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(follower.run())
        while follower.is_reachable:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert "alpha" in follower.contact.reason
        alpha.client._peers[:] = [url]
        while not follower.is_reachable:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()


async def test_a_follower_killed_again_and_again_ends_with_what_the_cluster_has(
        alpha: Joined, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut at random moments while the tree is read and while it changes: nothing twice, nothing missed."""
    monkeypatch.setattr(federation, "ROWS_MAX", 7)
    rng = random.Random(5)
    for number in range(60):
        await alpha.admin.must("PUT", f"/v1/files/admin/d{number % 5}/f{number}", b"x")
    for turn in range(30):
        victim = alpha.follower(catalog)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(victim.run())
            await asyncio.sleep(rng.random() * 0.03)
            task.cancel()
        number = rng.randrange(60)
        await alpha.admin.ask("DELETE", f"/v1/files/admin/d{number % 5}/f{number}")
        await alpha.admin.must("PUT", f"/v1/files/admin/d{turn % 5}/new-{turn}", b"xy")
        if turn % 7 == 0:
            await alpha.admin.ask("POST", "/v1/move", {"src": f"/admin/d{turn % 5}", "dst": f"/admin/e{turn}"})
        known = await catalog.clusters()
        assert all(one.seq <= alpha.door.cluster.log.machine.seq for one in known), "never beyond what was there"
    survivor = alpha.follower(catalog)
    await level(survivor)
    [known_now] = await catalog.clusters()
    wanted = alpha.door.cluster.reader.read(lambda db: queries_federation.rows_after(db, (0, ""), 10_000))
    assert await catalog.rows(known_now.number, (0, ""), 10_000) == wanted
    assert known_now.rows == len(wanted) and survivor.rows_mended == 0


@pytest.mark.parametrize(("error", "is_down"), [
    (NotReady("it lags behind Fluffy-Min-Seq"), False), (QuorumLost(), False), (ClusterUnreachable(), True)])
async def test_a_peer_that_cannot_do_it_now_has_answered_and_is_not_down(error: Unavailable, is_down: bool) -> None:
    client = ClusterHttp("alpha", ["http://one", "http://two"], lambda: "t")
    asked: list[str] = []

    async def once(peer: str) -> str:
        asked.append(peer)
        if peer == "http://one":
            raise error
        return peer

    assert await client.try_peers(once, Deadline.after(5)) == "http://two"
    assert asked == ["http://one", "http://two"] == [*client.peers][::-1]
    client._prefer("http://one")
    with pytest.raises(type(error)):
        await client.try_peers(_refusing(error), Deadline.after(5))
    assert [peer in client._down_until_s for peer in ("http://one", "http://two")] == [is_down, is_down]


def _refusing(error: Unavailable) -> Callable[[str], Awaitable[str]]:
    async def once(peer: str) -> str:
        raise error

    return once
