"""The search index against a look at every entry of the state, whatever happened to both."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.base.errors import FluffyError, NotReady, QuerySyntax
from fluffy.core.metadata.commands import MakeFolder, PutFile, RemoveFolder
from fluffy.core.metadata.commands_tree import Copy, DeleteFolder, Move, SetMeta, SetTags, Undelete
from fluffy.core.metadata.manifest import FileManifest
from fluffy.core.search.query import SearchQuery, parse_query
from fluffy.drivers.manifest_files import ManifestShelf
from fluffy.drivers.search_files import FORMAT_VERSION, target_of
from fluffy.services.keeper.manifests import ManifestKeeper
from fluffy.services.search import BUSY_EVERY_S, SWEEP_BUSY_S, SWEEP_EVERY_S
from fluffy.wire.manifest_records import Damage, read_segment
from tests.support.local_log import header
from tests.support.metadata_commands import delete, expire, put
from tests.support.search_world import SearchWorld, search_world

NAME = st.text(st.sampled_from("abAB1 ä%_*'\"😀ß."), min_size=1, max_size=7).filter(lambda name: name.strip(". "))
PATH = st.lists(NAME, min_size=1, max_size=3).map(lambda names: "/".join(["admin", *names]))
TAGS = st.dictionaries(st.sampled_from(["k", "%", "k\x1f", "ü"]), st.sampled_from(["", "v", "w\nx", "😀"]), max_size=2)
PUT = st.builds(lambda path, size, tags, kind: put(path, b"x" * size, tags=tags, content_type=kind), PATH,
                st.integers(0, 5), TAGS, st.sampled_from(["image/png", "text/plain; charset=utf-8", "TEXT/X"]))
# Few folders, so that moves, deletions and undeletions meet what the others made.
FOLDER = st.sampled_from(["admin/a", "admin/b", "admin/a/c", "admin/b/c", "other", "admin"])
INSIDE = st.builds(lambda folder, name: f"{folder}/{name}", FOLDER, NAME)
ANY = st.one_of(FOLDER, INSIDE, PATH)


def _by_admin(kind: Any, *fields: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda values, more: kind(header(at_ms=1_000), *values, **more), st.tuples(*fields),
                     st.fixed_dictionaries(named))


COMMAND = st.one_of(
    PUT, st.builds(lambda path, tags: put(path, tags=tags), INSIDE, TAGS),
    ANY.map(delete), _by_admin(MakeFolder, ANY, st.just(True)), _by_admin(RemoveFolder, ANY),
    _by_admin(Move, ANY, ANY, st.booleans()), _by_admin(Move, FOLDER, FOLDER, st.booleans()),
    _by_admin(Copy, ANY, ANY, st.just(0), st.booleans()), _by_admin(DeleteFolder, FOLDER, st.booleans()),
    _by_admin(Undelete, ANY), _by_admin(Undelete, FOLDER, target=FOLDER), _by_admin(SetTags, INSIDE, TAGS),
    _by_admin(SetMeta, INSIDE, st.just({}), st.sampled_from(["image/gif", None])))
# The same words as in the names, so that most queries find something.
QUERY_TEXT = st.one_of(NAME, st.text(st.sampled_from("ab ä%_*?'\\\"😀ß."), min_size=1, max_size=5))
FILTERS = st.fixed_dictionaries({}, optional={
    "tag": st.sampled_from(["k", "k=v", "%=", "ü=😀", "k=v&ü", "k=w\nx".replace("\n", " ")]),
    "content_type": st.sampled_from(["image/", "text/plain", "text/"]), "min_size": st.integers(0, 3),
    "max_size": st.integers(3, 5), "owner": st.sampled_from(["admin", "nobody"]),
    "bucket": st.sampled_from(["admin", "other"])})


def _apply(world: SearchWorld, commands: list[PutFile]) -> None:
    for command in commands:
        try:
            world.cluster.log.apply(command)
        except FluffyError:
            continue  # refused by the state, which is as good


def _agree(world: SearchWorld, query: SearchQuery, limit: int, *, is_behind: bool = False) -> None:
    """An index that is behind may not know what is new, but shows nothing that does not fit now."""
    for buckets in (None, frozenset({"admin"}), frozenset({"other"})):
        found = world.paths(query, buckets=buckets, limit=limit)
        assert len(found) == len(set(found)), "no page shows what another one did"
        fitting = world.brute(query, buckets=buckets)
        if is_behind:
            assert set(found) <= set(fitting)
        else:
            assert sorted(found) == sorted(fitting)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(COMMAND, max_size=12), max_size=5), QUERY_TEXT, FILTERS, st.integers(1, 7))
def test_search_finds_what_a_look_at_everything_finds(batches: list[list[PutFile]], text: str,
                                                      filters: dict[str, object], limit: int) -> None:
    try:
        query = parse_query(text, **filters)  # type: ignore[arg-type]
    except QuerySyntax:
        return

    async def run(folder: Path) -> None:
        async with search_world(folder) as world:
            for number, batch in enumerate(batches):
                _apply(world, batch)
                if number % 2:
                    await world.level()
                else:
                    await world.manifest_round()
            _agree(world, query, limit, is_behind=len(batches) > 1)
            await world.level()
            _agree(world, query, limit)
            await world.sweep()
            _agree(world, query, limit)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


async def test_a_piece_cut_at_any_statement_is_as_if_it_never_began(tmp_path: Path) -> None:
    rng = random.Random(7)
    async with search_world(tmp_path) as world:
        for number in range(60):
            _apply(world, [put(f"admin/{rng.randrange(6)}/report-{rng.randrange(40)}.pdf", tags={"n": str(number)}),
                           delete(f"admin/{rng.randrange(6)}/report-{rng.randrange(40)}.pdf")])
            world.index.open()
            steps = rng.randrange(1, 400)
            world.index._db.set_progress_handler(lambda: 1, steps)  # type: ignore[union-attr]
            try:
                while await world.follower.one_round():
                    continue
            except sqlite3.OperationalError:
                world.restart()
            else:
                world.index._db.set_progress_handler(None, 0)  # type: ignore[union-attr]
        await world.level()
        _agree(world, parse_query("report-1"), 5)
        _agree(world, parse_query(tag="n"), 5)


async def test_followers_killed_at_random_points_go_on(tmp_path: Path) -> None:
    """The index, fed by itself and by the manifests' passes, and the manifests."""
    rng = random.Random(3)
    async with search_world(tmp_path) as world:
        for kill in range(6):
            world.cluster.log.apply_all([
                put(f"admin/d{rng.randrange(9)}/file {kill} {number}.txt") for number in range(300)])
            world.index.close()
            world.manifests.close()
            _index_until_killed(world.cluster.node_dir, rng.random() * 0.1)
            world.restart()
            world.index.open()
        await world.level()
        assert len(world.paths(parse_query("file"))) == 1800
        _agree(world, parse_query("file 3 1"), 50)
        while await world.manifest_round():
            continue
        assert len(_files_in_manifests(world.cluster.node_dir)) == 1800


def _files_in_manifests(node_dir: Path) -> set[tuple[int, str]]:
    shelf = ManifestShelf(node_dir)
    [stock] = shelf.stocks()
    return {(record.parent, record.key) for name in stock.segments
            for _, record in read_segment(shelf.segment(stock.cluster_uuid, name), Damage())
            if isinstance(record, FileManifest)}


def _index_until_killed(node_dir: Path, after_s: float) -> None:
    """Another process indexes for so long, then SIGKILL."""
    with subprocess.Popen([sys.executable, "-c", _INDEXER, str(node_dir)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begins\n"
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)


_INDEXER = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from fluffy.drivers.clock import SystemClock
from fluffy.drivers.manifest_files import ManifestFiles
from fluffy.drivers.meta_reader import MetaReader
from fluffy.drivers.search_index import SearchIndexFile
from fluffy.services import search
from fluffy.services.keeper import manifests
search.BUILD_ENTRIES = search.FEED_CHANGES = manifests.BUILD_ENTRIES = manifests.FEED_CHANGES = 7
manifests.REST_MAX_S = 0.0
folder = Path(sys.argv[1])
with ThreadPoolExecutor(1) as disk:
    reader, clock = MetaReader(folder), SystemClock()
    follower = search.SearchFollower(reader, SearchIndexFile(folder), clock, disk)
    keeper = manifests.ManifestKeeper(reader, ManifestFiles(folder, fsync=False), clock, disk, also=follower.take)
    async def main():
        print("begins", flush=True)
        while True:
            await keeper.one_round()
            await follower.one_round()
    asyncio.run(main())
"""


async def test_a_folder_that_moves_changes_one_row_and_its_content_is_found(tmp_path: Path) -> None:
    async with search_world(tmp_path) as world:
        _apply(world, [put(f"admin/old/deep/report-{number}.pdf") for number in range(50)])
        await world.level()
        _apply(world, [put("admin/old/late-report.pdf")])
        world.cluster.log.apply(Move(header(), "admin/old", "admin/new"))
        before = world.index._db.total_changes  # type: ignore[union-attr]
        await world.level()
        assert world.index._db.total_changes - before < 40, "nothing was written for the 50 files"  # type: ignore
        found = world.paths(parse_query("report"))
        assert len(found) == 51
        assert all(path.startswith("admin/new/") for path in found)


async def test_a_pass_is_one_piece_of_the_trigrams_however_names_and_numbers_lie(tmp_path: Path) -> None:
    """Else each number that is below the one before it costs a piece, and these are merged again and again."""
    rng = random.Random(5)
    async with search_world(tmp_path) as world:
        await world.level()
        names = [f"report-{number:03}" for number in range(300)]
        rng.shuffle(names)
        _apply(world, [put(f"admin/{name}") for name in names])
        db = world.index._db
        assert db is not None
        pieces = "SELECT count(DISTINCT segid) FROM grams_idx"
        before = db.execute(pieces).fetchone()[0]
        await world.level()
        assert db.execute(pieces).fetchone()[0] <= before + 1
        _agree(world, parse_query("report-1"), 50)


async def test_what_is_deleted_is_forgotten_at_once_and_what_is_purged_when_the_sweep_comes(tmp_path: Path) -> None:
    async with search_world(tmp_path) as world:
        _apply(world, [put(f"admin/report-{number}.pdf") for number in range(5)])
        await world.level()
        rows = world.status().rows
        _apply(world, [delete("admin/report-1.pdf")])
        await world.level()
        assert world.status().rows == rows - 1
        _apply(world, [delete("admin/report-2.pdf", purge=True), delete("admin/report-3.pdf", purge=True),
                       put("admin/report-3.pdf")])
        await world.level()
        _agree(world, parse_query("report"), 2)
        await world.sweep()
        assert world.status().rows == rows - 2
        _agree(world, parse_query("report"), 2)


async def test_what_the_manifests_read_of_the_feed_need_not_be_read_again(tmp_path: Path) -> None:
    async with search_world(tmp_path) as world:
        await world.level()
        while await world.manifest_round():
            continue
        _apply(world, [put(f"admin/report-{number}.pdf") for number in range(100)] + [delete("admin/report-7.pdf")])
        await world.manifest_round()
        assert world.status().behind == 0
        _agree(world, parse_query("report"), 10)
        _apply(world, [put("admin/report-late.pdf")])
        assert not await world.follower.one_round()
        assert world.status().behind == 1, "after many changes it waits for more"
        world.clock.advance(BUSY_EVERY_S)
        await world.follower.one_round()
        assert world.status().behind == 0


async def test_what_begins_behind_the_cursor_of_the_index_is_not_taken(tmp_path: Path) -> None:
    async with search_world(tmp_path) as world:
        await world.level()
        while await world.manifest_round():
            continue
        _apply(world, [put("admin/report-1.pdf")])
        await ManifestKeeper(world.cluster.reader, world.manifests, world.clock, world.disk).one_round()
        _apply(world, [put("admin/report-2.pdf")])
        await world.manifest_round()
        assert world.status().behind == 2, "of the first one it has not heard"
        await world.level()
        _agree(world, parse_query("report"), 10)


async def test_an_index_that_cannot_be_written_holds_up_no_manifests(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_changes: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with search_world(tmp_path) as world:
        await world.level()
        while await world.manifest_round():
            continue
        _apply(world, [put("admin/report-1.pdf")])
        with monkeypatch.context() as patch:
            patch.setattr(world.index, "apply", full)
            await world.manifest_round()
        assert "report-1.pdf" in {key for _, key in _files_in_manifests(world.cluster.node_dir)}
        await world.level()
        _agree(world, parse_query("report"), 10)


async def test_the_sweep_waits_while_there_is_much_to_follow_but_not_for_ever(tmp_path: Path) -> None:
    async with search_world(tmp_path) as world:
        _apply(world, [put("admin/report-1.pdf")])
        await world.level()
        rows = world.status().rows
        _apply(world, [delete("admin/report-1.pdf", purge=True)])
        world.clock.advance(SWEEP_EVERY_S)
        for waited_s in range(int(SWEEP_BUSY_S)):
            assert world.status().rows - waited_s * 30 == rows
            _apply(world, [put(f"admin/{waited_s}-{number}") for number in range(30)])
            await world.follower.one_round()
            world.clock.advance(1.0)
        await world.follower.one_round()
        await world.follower.one_round()
        assert world.status().rows == rows - 1 + int(SWEEP_BUSY_S) * 30


async def test_an_undeleted_folder_is_listed_again_with_what_was_never_seen(tmp_path: Path) -> None:
    async with search_world(tmp_path) as world:
        await world.level()
        _apply(world, [put(f"admin/old/d{number % 3}/deep/report-{number}.pdf") for number in range(30)])
        world.cluster.log.apply(DeleteFolder(header(), "admin/old"))
        await world.level()
        assert world.paths(parse_query("report")) == []
        world.cluster.log.apply(Undelete(header(), "admin/old", target="admin/back"))
        await world.level()
        assert len(world.paths(parse_query("report"))) == 30
        assert world.search(parse_query("report")).via == "index"


async def test_content_of_a_purged_folder_is_swept_away(tmp_path: Path) -> None:
    async with search_world(tmp_path) as world:
        _apply(world, [put(f"admin/old/report-{number}.pdf") for number in range(30)])
        await world.level()
        rows = world.status().rows
        world.cluster.log.apply(DeleteFolder(header(), "admin/old", purge=True))
        _reap(world)
        await world.level()
        assert world.paths(parse_query("report")) == []
        await world.sweep()
        assert world.status().rows == rows - 31


def _reap(world: SearchWorld) -> None:
    """The leader's work: free what was purged."""
    for _ in range(100):
        if not world.cluster.log.apply(expire(at_ms=2_000)).facts["more"]:
            return


@pytest.mark.parametrize("damage", ["lost", "garbage", "truncated", "link to nowhere",
                                    "format before"])
async def test_a_lost_or_damaged_index_is_built_anew(tmp_path: Path, damage: str) -> None:
    async with search_world(tmp_path) as world:
        _apply(world, [put(f"admin/report-{number}.pdf") for number in range(200)])
        await world.level()
        world.index.close()
        name = target_of(world.cluster.node_dir)
        assert name is not None
        path = world.cluster.node_dir / name
        for other in path.parent.glob(f"{name}-*"):
            other.unlink()
        match damage:
            case "lost":
                path.unlink()
                (path.parent / "search.db").unlink()
            case "garbage":
                path.write_bytes(b"no database" * 1000)
            case "truncated":
                os.truncate(path, 5000)
            case "format before":
                old = sqlite3.connect(path)
                old.execute(f"PRAGMA user_version = {FORMAT_VERSION - 1}")
                old.close()
            case _:
                path.unlink()
        world.restart()
        query = parse_query("report-19")
        page = world.search(query)
        assert page.via == "scan" and page.reason is not None
        assert len(page.page.entries) == 11
        await world.level()
        assert world.search(query).via == "index"
        _agree(world, query, 3)


async def test_an_index_lost_while_nothing_happens_is_missed_with_the_next_sweep(tmp_path: Path) -> None:
    async with search_world(tmp_path) as world:
        _apply(world, [put("admin/report-1.pdf")])
        await world.level()
        await world.follower.one_round()
        (world.cluster.node_dir / "search.db").unlink()
        await world.follower.one_round()
        assert world.status().state == "missing"
        world.clock.advance(SWEEP_EVERY_S)
        assert await world.follower.one_round()
        await world.level()
        assert world.status().state == "ready" and world.paths(parse_query("report")) == ["admin/report-1.pdf"]


async def test_a_feed_that_was_cut_leads_to_a_build(tmp_path: Path) -> None:
    async with search_world(tmp_path) as world:
        _apply(world, [put("admin/report-1.pdf")])
        await world.level()
        _apply(world, [put(f"admin/report-{number}.pdf") for number in range(2, 30)] + [delete("admin/report-1.pdf")])
        db = world.cluster.log.db
        db.execute("UPDATE state SET changes_cut = seq - 3")
        db.execute("DELETE FROM changes WHERE seq <= (SELECT changes_cut FROM state)")
        assert await world.follower.one_round()
        assert world.search(parse_query("report")).via == "scan"
        await world.level()
        _agree(world, parse_query("report"), 10)


async def test_while_it_is_built_it_says_so_and_old_cursors_are_refused(tmp_path: Path) -> None:
    async with search_world(tmp_path) as world:
        _apply(world, [put(f"admin/report-{number}.pdf") for number in range(20)])
        assert world.status().state == "missing"
        await world.level()
        assert world.status().state == "ready" and world.status().behind == 0
        page = world.search(parse_query("report"), limit=5).page
        world.index.begin_anew()
        await world.follower.one_round()
        assert world.status().state == "rebuilding"
        assert "rebuilt" in (world.search(parse_query("report")).reason or "")
        with pytest.raises(NotReady):
            world.search(parse_query("report"), after=page.after)


async def test_lag_is_told_in_changes_and_time(tmp_path: Path) -> None:
    async with search_world(tmp_path) as world:
        await world.level()
        _apply(world, [put(f"admin/{number}") for number in range(7)])
        status = world.status(later_ms=5_000)
        assert status.behind == 7 and status.lag_ms >= 5_000
        await world.level()
        assert (world.status().behind, world.status().lag_ms) == (0, 0)


async def test_what_the_state_lost_in_a_power_failure_is_followed_again(tmp_path: Path) -> None:
    async with search_world(tmp_path) as world:
        _apply(world, [put("admin/report-1.pdf")])
        await world.level()
        world.index.rewind(10**6)
        await world.level()
        _apply(world, [put("admin/report-2.pdf")])
        await world.level()
        assert sorted(world.paths(parse_query("report"))) == ["admin/report-1.pdf", "admin/report-2.pdf"]
