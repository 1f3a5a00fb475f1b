"""The contract of every catalog (`ports.Catalog`): one suite for all drivers."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import CatalogFailed, DeadlineExceeded, QuerySyntax
from fluffy.core.federation.tree import Sight
from fluffy.core.metadata.commands_tree import DeleteFolder, Move, Undelete
from fluffy.core.metadata.queries_federation import CatalogRow, FeedPiece
from fluffy.core.search.query import SearchQuery, parse_query
from fluffy.drivers import catalog_postgres, catalog_sqlite_candidates, catalog_sqlite_reading
from fluffy.drivers.catalog_sqlite_files import open_for_reading
from fluffy.drivers.catalog_sqlite_reading import search
from fluffy.ports_federation import Catalog, DeadLetter
from tests.support.catalog_world import EVERYTHING, LEVEL_MS, Town, paths, postgres_catalog, sqlite_catalog
from tests.support.local_log import header
from tests.support.metadata_commands import delete
from tests.support.postgres import programs, running_postgres


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.skipif(
    programs() is None, reason="PostgreSQL is not installed"))])
async def catalog(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Catalog]:
    """One of each kind, empty."""
    if request.param == "sqlite":
        async with sqlite_catalog(tmp_path) as opened:
            yield opened
    else:
        async with postgres_catalog(request.getfixturevalue("postgres_url")) as other:
            yield other


async def found(catalog: Catalog, query: SearchQuery, *towns: Town, limit: int = 1000,
                buckets: frozenset[str] | None = None) -> list[str]:
    names = {(await town.known(catalog)).number: town.name for town in towns}
    return await paths(catalog, query, dict.fromkeys(names, Sight(buckets)), names, limit=limit)


QUERIES = [parse_query(text, **filters) for text, filters in (
    ("a", {}), ("report", {}), ("REPORT", {}), ("rep pdf", {}), ("*.pdf", {}), ("a*", {}), ("äö", {}), ("x1", {}),
    ("", {"tag": "k=v"}), ("", {"tag": "k"}), ("a", {"tag": "k=w&z"}), ("", {"content_type": "image/"}),
    ("", {"min_size": 3, "max_size": 6}), ("a", {"min_size": 4}), ("report", {"max_size": 5, "since_ms": 1500}),
    ("rep", {"until_ms": 1600}), ("", {"since_ms": 1700}), ("", {"min_size": 3, "content_type": "image/"}),
    ("", {"owner": "admin"}), ("o", {"since_ms": 1200, "until_ms": 1900}),
    ("", {"owner": "nobody"}), ("moved", {"bucket": "other"}), ("deep", {}))]


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_found_is_what_every_cluster_has(catalog: Catalog, seed: int,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    with closing(Town("alpha")) as alpha, closing(Town("beta")) as beta:
        for town in (alpha, beta):
            town.stir(rng, 60)
            await town.build(catalog, piece=7)
        for turn in range(4):
            monkeypatch.setattr(catalog_postgres, "FEW_ROWS", (100_000, 1)[turn % 2])  # sorts, or walks
            for query in QUERIES:
                wanted = sorted(alpha.brute(query) + beta.brute(query))
                assert sorted(await found(catalog, query, alpha, beta, limit=rng.choice([1, 3, 1000]))) == wanted, query
            for town in (alpha, beta):
                town.stir(rng, 25)
                await town.follow(catalog, piece=rng.choice([1, 5, 1000]))


async def test_nothing_is_seen_without_the_right_to_see_it(catalog: Catalog) -> None:
    with closing(Town("alpha")) as alpha, closing(Town("beta")) as beta:
        for town in (alpha, beta):
            town.put("admin/secret-1")
            town.put("shared/secret-2")
            await town.build(catalog)
        numbers = {(await town.known(catalog)).number: town.name for town in (alpha, beta)}
        first, second = numbers
        scope = {first: Sight(frozenset({"shared"})), second: Sight(frozenset())}
        assert await paths(catalog, parse_query("secret"), scope, numbers) == ["alpha:shared/secret-2"]
        assert await paths(catalog, parse_query("secret"), {second: EVERYTHING}, numbers) == [
            "beta:admin/secret-1", "beta:shared/secret-2"]
        assert await paths(catalog, parse_query("secret"), {}, numbers) == []


async def test_the_exact_name_comes_first_then_what_begins_so(catalog: Catalog) -> None:
    with closing(Town("alpha")) as town:
        for name in ("my-report", "report-2", "Report", "report-1", "old-report"):
            town.put(f"admin/{name}")
        await town.build(catalog)
        for limit in (1, 2, 1000):
            assert await found(catalog, parse_query("report"), town, limit=limit) == [
                f"alpha:admin/{name}" for name in ("Report", "report-1", "report-2", "my-report", "old-report")]


async def test_pages_stay_whole_while_entries_come_and_go(catalog: Catalog) -> None:
    with closing(Town("alpha")) as town:
        for number in range(30):
            town.put(f"admin/stays-{number:02}")
            town.put(f"admin/goes-{number:02}-stays")
        await town.build(catalog)
        number = (await town.known(catalog)).number
        seen, after = [], None
        for turn in range(100):
            page = await catalog.search(parse_query("stays"), {number: EVERYTHING}, after, 7, Deadline.after(10))
            seen += [hit.found.entry.name for hit in page.hits]
            after = page.after
            if after is None:
                break
            town.put(f"admin/stays-new-{turn}")
            town.do(delete(f"admin/goes-{turn:02}-stays", at_ms=town.at_ms))
            await town.follow(catalog)
        assert [name for name in seen if name[:7] == "stays-0"] == [f"stays-{n:02}" for n in range(10)]
        assert sorted(set(seen)) == sorted(seen)
        assert {f"stays-{n:02}" for n in range(30)} <= set(seen)


async def test_a_folder_that_moves_takes_all_along_and_one_in_the_trash_shows_nothing(catalog: Catalog) -> None:
    with closing(Town("alpha")) as town:
        for number in range(20):
            town.put(f"admin/docs/part/f{number}")
        await town.build(catalog)
        town.do(Move(header(at_ms=2_000), "admin/docs", "admin/texts"))
        await town.follow(catalog)
        assert len(await found(catalog, parse_query("f1"), town)) == 11
        assert "alpha:admin/texts/part/f1" in await found(catalog, parse_query("f1"), town)
        town.do(DeleteFolder(header(at_ms=3_000), "admin/texts"))
        await town.follow(catalog)
        assert await found(catalog, parse_query("f1"), town) == []
        town.do(Undelete(header(at_ms=4_000), "admin/texts"))
        await town.follow(catalog)
        assert len(await found(catalog, parse_query("f1"), town)) == 11


async def test_rows_and_cursor_are_there_together_after_a_restart(tmp_path: Path) -> None:
    with closing(Town("alpha")) as town:
        town.put("admin/a")
        async with sqlite_catalog(tmp_path) as catalog:
            await town.build(catalog)
        town.put("admin/b")
        async with sqlite_catalog(tmp_path) as catalog:
            known = await town.known(catalog)
            assert (known.seq, known.epoch, known.building, known.rows, known.level_ms) == (
                town.seq - 1, "first", None, 2, 0)
            assert await found(catalog, parse_query("a"), town) == ["alpha:admin/a", "alpha:admin/"]
            await town.follow(catalog)
            assert (await town.known(catalog)).level_ms == LEVEL_MS


async def test_a_cluster_that_is_begun_anew_shows_nothing_of_before(catalog: Catalog) -> None:
    with closing(Town("alpha")) as town, closing(Town("alpha")) as reborn:
        town.put("admin/old")
        old = await town.build(catalog)
        await catalog.begin("alpha", "second", 0)
        assert await found(catalog, parse_query("old"), town) == []
        with pytest.raises(CatalogFailed):
            await catalog.search(parse_query("old"), {old.number: EVERYTHING}, None, 10, Deadline.after(5))
        with pytest.raises(CatalogFailed):
            await catalog.apply(old.number, FeedPiece(9, 9), 0)
        reborn.put("admin/new")
        await reborn.build(catalog)
        assert await found(catalog, parse_query("new"), reborn) == ["alpha:admin/new"]
        assert await catalog.sweep(1) == 1 and await catalog.sweep(1000) == 1 and await catalog.sweep(1000) == 0
        assert await found(catalog, parse_query("new"), reborn) == ["alpha:admin/new"]


async def test_a_compared_range_is_made_right(catalog: Catalog) -> None:
    with closing(Town("alpha")) as town:
        for name in "abcdef":
            town.put(f"admin/{name}")
        number = (await town.build(catalog)).number
        rows = await catalog.rows(number, (0, ""), 100)
        assert [row.key for row in rows] == ["admin/", "a", "b", "c", "d", "e", "f"]
        folder = rows[1].parent
        wrong = replace(rows[2], size=99)
        ghost = CatalogRow(12345, folder, "bb", 1, 1, "e", "t", "admin", 5)
        await catalog.apply(number, FeedPiece(town.seq, town.seq, (), (wrong, ghost)), 0)
        assert await catalog.replace(number, (folder, "a"), (folder, "c"), rows[2:4]) == 2
        assert await catalog.rows(number, (0, ""), 100) == rows
        assert await catalog.replace(number, (folder, "c"), None, rows[4:]) == 0
        assert await catalog.replace(number, (folder, "e"), None, ()) == 1
        assert [row.key for row in await catalog.rows(number, (0, ""), 100)][-1] == "e"


async def test_folders_are_listed_and_paths_found(catalog: Catalog) -> None:
    with closing(Town("alpha")) as town:
        for name in ("a", "b/c", "b/d"):
            town.put(f"admin/{name}", size=3)
        number = (await town.build(catalog)).number
        top = await catalog.list_folder(number, "", "", 10)
        inside = await catalog.list_folder(number, "admin", "", 10)
        assert top is not None and [row.key for row in top] == ["admin/"]
        assert inside is not None and [row.key for row in inside] == ["a", "b/"]
        rest = await catalog.list_folder(number, "admin/b", "c", 10)
        assert rest is not None and [row.key for row in rest] == ["d"]
        assert await catalog.list_folder(number, "admin/none", "", 10) is None
        file, folder = await catalog.find(number, "admin/b/c"), await catalog.find(number, "admin/b")
        assert file is not None and (file.size, file.is_folder) == (3, False)
        assert folder is not None and folder.is_folder
        assert await catalog.find(number, "admin/b/zz") is None and await catalog.find(number, "no/where") is None


async def test_what_was_set_aside_can_be_looked_at(catalog: Catalog) -> None:
    letters = [DeadLetter("alpha", seq, 5, "why", f"row {seq}") for seq in range(3)]
    await catalog.set_aside(letters)
    assert list(await catalog.dead_letters(2)) == [letters[2], letters[1]]


async def test_a_cluster_that_left_is_forgotten(catalog: Catalog) -> None:
    with closing(Town("alpha")) as town:
        town.put("admin/a")
        await town.build(catalog)
        await catalog.forget("alpha")
        assert await catalog.clusters() == ()


async def test_cursors_that_are_none_are_refused(catalog: Catalog) -> None:
    with closing(Town("alpha")) as town:
        number = (await town.build(catalog)).number
        for after in ("x", "0", "9:1:", "1:-1:a", "2:99999999999999999999:", "0:1", "1:1:\ud800"):
            with pytest.raises(QuerySyntax):
                await catalog.search(parse_query("a"), {number: EVERYTHING}, after, 10, Deadline.after(5))


async def test_a_search_ends_at_its_deadline(catalog: Catalog) -> None:
    with closing(Town("alpha")) as town:
        number = (await town.build(catalog)).number
        rows = [CatalogRow(100 + n, 0, f"some-name-{n}", 1, 1, "", "", "admin", 5) for n in range(8_000)]
        await catalog.apply(number, FeedPiece(town.seq, town.seq, (), tuple(rows)), 0)
        with pytest.raises(DeadlineExceeded):
            await catalog.search(parse_query("zz*yy"), {number: EVERYTHING}, None, 10, Deadline.after(-1))


async def test_a_catalog_whose_file_was_taken_away_begins_with_nothing(tmp_path: Path) -> None:
    with closing(Town("alpha")) as town:
        town.put("admin/a")
        async with sqlite_catalog(tmp_path) as catalog:
            old = await town.build(catalog)
            shutil.rmtree(tmp_path / "catalog")
            assert await catalog.clusters() == ()
            with pytest.raises(CatalogFailed):
                await catalog.apply(old.number, FeedPiece(9, 9), 0)
            await town.build(catalog)
            assert await found(catalog, parse_query("a"), town) == ["alpha:admin/a", "alpha:admin/"]


async def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    with closing(Town("alpha")) as town:
        town.put("admin/a")
        async with sqlite_catalog(tmp_path) as catalog:
            await town.build(catalog)
        file = tmp_path / "catalog" / "catalog.db"
        file.write_bytes(b"no database" * 1000)
        async with sqlite_catalog(tmp_path) as catalog:
            assert await catalog.clusters() == ()
            await town.build(catalog)
            assert await found(catalog, parse_query("a"), town) == ["alpha:admin/a", "alpha:admin/"]


@pytest.mark.parametrize(("filters", "hits"), [
    ({"tag": "rare=yes"}, 1), ({"tag": "rare"}, 1), ({"content_type": "image/"}, 1), ({"owner": "nobody"}, 0),
    ({"tag": "year=2026"}, 40), ({"min_size": 2}, 1), ({"min_size": 2, "max_size": 700}, 0), ({"since_ms": 6}, 1),
    ({"until_ms": 4}, 0)])
async def test_a_common_word_with_a_filter_looks_at_few_rows(tmp_path: Path, filters: dict[str, Any], hits: int,
                                                             ) -> None:
    """Counted in steps of SQLite: a look at every name that has the word would be ten times as many."""
    with closing(Town("alpha")) as town:
        async with sqlite_catalog(tmp_path) as catalog:
            number = (await town.build(catalog)).number
            rows = [CatalogRow(100 + n, 0, f"report-{n}" if n % 2 else f"my-report-{n}", 900 if n == 7 else 1, 1, "",
                               "image/png" if n == 7 else "text/plain", "admin", 9 if n == 7 else 5,
                               {"rare": "yes"} if n == 7 else {"year": "2026"} if n % 100 == 0 else {})
                    for n in range(4_000)]
            await catalog.apply(number, FeedPiece(town.seq, town.seq, (), tuple(rows)), 0)
        db = open_for_reading(tmp_path / "catalog" / "catalog.db")
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 100

        db.set_progress_handler(step, 100)
        page = search(db, parse_query("report", **filters), {number: EVERYTHING}, None, 100)
        db.close()
        assert len(page.hits) == hits
        assert steps < 4_000


@pytest.mark.parametrize("seed", range(2))
async def test_pages_that_end_after_a_while_miss_nothing_and_show_nothing_twice(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """No time for a page, no short cuts, stretches of some rows: every page ends in the middle of a walk."""
    rng = random.Random(seed)
    monkeypatch.setattr(catalog_sqlite_reading, "PAGE_S", -1.0)
    for name, value in (("FEW_MARKED_MAX", 0), ("FEW_IN_RANGE_MAX", 0), ("STRETCH_NAMES", 2), ("STRETCH_NUMBERS", 3)):
        monkeypatch.setattr(catalog_sqlite_candidates, name, value)
    with closing(Town("alpha")) as alpha, closing(Town("beta")) as beta:
        async with sqlite_catalog(tmp_path) as catalog:
            for town in (alpha, beta):
                town.stir(rng, 80)
                await town.build(catalog)
            for query in QUERIES:
                got = await found(catalog, query, alpha, beta, limit=rng.choice([1, 3, 1000]))
                assert sorted(got) == sorted(alpha.brute(query) + beta.brute(query)), query
