"""Search through the door: parameters, what the asker may see, and which way the answer came."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fluffy.core.metadata import queries_search
from fluffy.core.metadata.commands_tree import Move
from fluffy.drivers.search_index import SearchIndexFile
from fluffy.services.search import SearchFollower
from tests.support.keeper_world import ManualClock
from tests.support.local_log import header
from tests.support.native_door import Door, running_door


async def search(door: Door, status: int = 200, **query: str) -> dict[str, Any]:
    async with door.client.get(f"{door.url}/v1/search", params=query) as answer:
        value: dict[str, Any] = await answer.json()
        assert answer.status == status, value
        return value


def names(found: dict[str, Any]) -> list[str]:
    return sorted(hit["path"] for hit in found["hits"])


async def level(door: Door) -> None:
    index = SearchIndexFile(door.cluster.node_dir)
    with ThreadPoolExecutor(1) as disk:
        follower = SearchFollower(door.cluster.reader, index, ManualClock(), disk)
        for _ in range(1000):
            if not await follower.one_round():
                break
    point = door.cluster.reader.read(queries_search.feed_point)
    assert index.state().seq == point.seq
    index.close()


@pytest.mark.parametrize("is_indexed", [False, True])
async def test_text_and_filters_find_the_same_with_and_without_an_index(tmp_path: Path, is_indexed: bool) -> None:
    async with running_door(tmp_path) as door:
        await door.put("admin/a/Report 2024.PDF", b"12345", Content_Type="application/pdf", Fluffy_Tags="project=x&k=")
        await door.put("admin/a/report 2023.txt", b"1", Content_Type="text/plain")
        await door.put("team/report-2024.png", b"123", Content_Type="image/png", Fluffy_Tags="project=y")
        if is_indexed:
            await level(door)
        pdf, txt, png = "/admin/a/Report 2024.PDF", "/admin/a/report 2023.txt", "/team/report-2024.png"
        found = await search(door, q="report")
        assert found["via"] == ("index" if is_indexed else "scan")
        assert found["index"]["state"] == ("ready" if is_indexed else "missing")
        assert (found["reason"] is None) is is_indexed
        for query, wanted in (
                ({"q": "report"}, [pdf, txt, png]), ({"q": "2024 REPORT"}, [pdf, png]), ({"q": "*.pdf"}, [pdf]),
                ({"q": "20"}, [pdf, txt, png]), ({"q": "report", "bucket": "team"}, [png]),
                ({"q": "report", "type": "image/"}, [png]), ({"q": "report", "tag": "project=x"}, [pdf]),
                ({"tag": "project"}, [pdf, png]), ({"q": "report", "min_size": "2", "max_size": "4B"}, [png]),
                ({"type": "text/plain"}, [txt]), ({"q": "report", "since": "2099-01-01"}, []),
                ({"q": "report", "until": "-1h"}, []), ({"q": "report", "since": "-1h"}, [pdf, txt, png]),
                ({"q": "report", "until": "2099-01-01"}, [pdf, txt, png]), ({"q": "report", "owner": "admin"}, [
                    pdf, txt, png]), ({"q": "report", "owner": "nobody"}, [])):
            assert names(await search(door, **query)) == wanted, query


async def test_pages_follow_each_other_and_a_moved_folder_keeps_its_hits(tmp_path: Path) -> None:
    async with running_door(tmp_path) as door:
        for number in range(7):
            await door.put(f"admin/old/report-{number}", b"x")
        await level(door)
        door.cluster.log.apply(Move(header(), "admin/old", "admin/new"))
        await level(door)
        found: list[str] = []
        after = {}
        for _ in range(4):
            page = await search(door, q="report", limit="2", **after)
            found += names(page)
            if page["after"] is None:
                break
            after = {"after": page["after"]}
        assert sorted(found) == [f"/admin/new/report-{number}" for number in range(7)]


@pytest.mark.parametrize("query", [
    {}, {"q": ""}, {"q": '"open'}, {"q": "a/b"}, {"q": "x" * 300}, {"q": "abc", "since": "yesterday"},
    {"q": "abc", "min_size": "-1"}, {"q": "abc", "max_size": "1 parsec"}, {"q": "abc", "after": "nonsense"},
    {"q": "abc", "tag": "=x"}, {"q": "abc", "min_size": "2", "max_size": "1"}, {"bucket": "admin"}])
async def test_bad_queries_are_400_with_a_sentence(tmp_path: Path, query: dict[str, str]) -> None:
    async with running_door(tmp_path) as door:
        answer = await search(door, 400, **query)
        assert answer["error"]["code"] == "QuerySyntax"
        assert len(answer["error"]["message"]) > 20


async def test_status_tells_how_fresh_the_index_is(tmp_path: Path) -> None:
    async with running_door(tmp_path) as door:
        await door.put("admin/a", b"x")
        await level(door)
        async with door.client.get(f"{door.url}/v1/status") as answer:
            status = await answer.json()
        assert status["search"] == {"state": "ready", "rows": 2, "seq": status["seq"], "behind": 0, "lag_s": 0.0}
