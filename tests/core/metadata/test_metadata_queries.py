"""Listings and searches: order, pages, cursors, and odd names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fluffy.base.errors import QuerySyntax
from fluffy.base.ids import UserNo
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import MakeFolder
from fluffy.core.metadata.model import Page
from tests.support.local_log import header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import insert_user, put

NAMES = ["a", "a b", "a!", "a-", "a0", "A", "100%", "100_", "back\\slash", "ü", "u\u0308", "日本", "it's", '"q"',
         "Straße", "z"]


@pytest.fixture
def state() -> Iterator[MemoryState]:
    born = MemoryState()
    insert_user(born.db, 2, "bob")
    yield born
    born.close()


def pages(ask: Callable[[str | None], Page]) -> list[str]:
    """All paths, page after page, each asked for with the cursor of the one before."""
    found: list[str] = []
    after: str | None = None
    for _ in range(1_000):
        page = ask(after)
        found += [entry.path for entry in page.entries]
        if page.after is None:
            return found
        after = page.after
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_a_folder_is_listed_in_byte_order_of_its_keys(state: MemoryState, limit: int) -> None:
    for name in NAMES:
        state.accept(put(f"admin/{name}"))
    state.accept(MakeFolder(header(), "admin/a.d"))
    state.accept(MakeFolder(header(), "admin/aa"))
    found = pages(lambda after: queries.list_folder(state.db, parse_path("admin"), after, limit))
    keys = sorted([*NAMES, "a.d/", "aa/"], key=str.encode)
    assert found == ["admin/" + key.removesuffix("/") for key in keys]


def test_a_listing_line_says_all_that_a_long_listing_shows(state: MemoryState) -> None:
    state.accept(put("admin/a", b"xyz", at_ms=5))
    state.accept(MakeFolder(header(at_ms=6), "admin/d"))
    file, folder = queries.list_folder(state.db, parse_path("admin"), None, 10).entries
    head = queries.file_head(state.db, parse_path("admin/a"))
    assert head is not None
    assert (file.name, file.kind, file.size, file.generation, file.etag, file.content_type, file.owner,
            file.modified_ms) == ("a", "file", 3, 1, head.etag, "text/plain", "admin", 5)
    assert (folder.name, folder.path, folder.kind, folder.size, folder.generation, folder.etag, folder.owner,
            folder.modified_ms) == ("d", "admin/d", "folder", 0, 0, "", "admin", 6)


def test_the_root_lists_buckets_and_nowhere_lists_nothing(state: MemoryState) -> None:
    state.accept(put("b/x"))
    page = queries.list_folder(state.db, parse_path("/"), None, 10)
    assert [(entry.path, entry.kind) for entry in page.entries] == [("admin", "folder"), ("b", "folder")]
    assert queries.list_folder(state.db, parse_path("none/x"), None, 10) == Page((), None)
    assert queries.list_folder(state.db, parse_path("b/x"), None, 10) == Page((), None)
    root = queries.folder_info(state.db, parse_path(""))
    assert root is not None and (root.path, root.entries, root.owner) == ("", 2, "")


def test_what_stands_at_a_path(state: MemoryState) -> None:
    state.accept(put("admin/d/a"))
    kinds = {path: queries.kind_at(state.db, parse_path(path)) for path in
             ("", "admin", "admin/d", "admin/d/a", "admin/x", "x", "admin/d/a/b", "x/y")}
    assert kinds == {"": "folder", "admin": "folder", "admin/d": "folder", "admin/d/a": "file", "admin/x": None,
                     "x": None, "admin/d/a/b": None, "x/y": None}


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_all_files_of_a_user_across_folders(state: MemoryState, limit: int) -> None:
    for name in ("z", "d/a", "d/e/b", "c"):
        state.accept(put(f"bob/{name}", header=header(UserNo(2))))
        state.accept(put(f"admin/{name}"))
    found = pages(lambda after: queries.list_owner(state.db, "bob", after, limit))
    assert sorted(found) == ["bob/c", "bob/d/a", "bob/d/e/b", "bob/z"]
    assert pages(lambda after: queries.list_owner(state.db, "nobody", after, limit)) == []


@pytest.mark.parametrize(("needle", "expected"), [
    ("A", ["a", "a b", "a!", "a-", "a0", "A", "back\\slash", "Straße"]), ("%", ["100%"]), ("_", ["100_"]),
    ("\\", ["back\\slash"]), ("Ü", ["ü"]), ("本", ["日本"]), ("STRASSE", []), ("STRAßE", ["Straße"]), ("'", ["it's"]),
    ("nothing", []), ("", []), ("a/", []), ("a\0", []), ("x" * 2_000, [])])
def test_names_are_found_by_substring_whatever_the_case(state: MemoryState, needle: str, expected: list[str]) -> None:
    for name in NAMES:
        state.accept(put(f"b/{name}"))
    for limit in (1, 100):
        found = pages(lambda after, limit=limit: queries.search_names(state.db, needle, after, limit))  # type: ignore[misc]
        assert sorted(path for path in found if path.startswith("b/")) == sorted("b/" + name for name in expected)


def test_search_finds_folders_and_gives_their_paths(state: MemoryState) -> None:
    state.accept(put("admin/reports/2024/report.txt"))
    found = queries.search_names(state.db, "REPORT", None, 10).entries
    assert [(entry.path, entry.kind) for entry in found] == [
        ("admin/reports", "folder"), ("admin/reports/2024/report.txt", "file")]


def test_cursors_and_texts_that_are_not_ours_are_refused(state: MemoryState) -> None:
    for after in ("x", "1", "-1:a", "9" * 30 + ":a", "²:a", "\ud800:a", "1:\ud800"):
        with pytest.raises(QuerySyntax):
            queries.list_owner(state.db, "admin", after, 10)
    with pytest.raises(QuerySyntax):
        queries.search_names(state.db, "\ud800", None, 10)
    with pytest.raises(QuerySyntax):
        queries.list_folder(state.db, parse_path("admin"), "\ud800", 10)


def test_generations_that_cannot_be_are_simply_not_there(state: MemoryState) -> None:
    state.accept(put("admin/a"))
    for generation in (0, -1, 2, 1 << 63, 1 << 90):
        assert queries.file_version(state.db, parse_path("admin/a"), generation) is None
        assert queries.file_head(state.db, parse_path("admin/a"), generation) is None
    assert queries.file_version(state.db, parse_path("admin")) is None


def test_questions_about_no_chunks_and_about_many(state: MemoryState) -> None:
    assert queries.chunk_replicas(state.db, []) == {} and queries.known_chunks(state.db, []) == set()
    assert queries.unreferenced_chunks(state.db, 1, 10) == () and queries.missing_chunks(state.db, None, 10) == ()
