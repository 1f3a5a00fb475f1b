"""Looking back in time, comparing two moments, and bringing a folder back as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluffy.base.paths import parse_path
from fluffy.base.units import DAY_MS
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import MakeFolder
from fluffy.core.metadata.commands_tree import DeleteFolder, Move, RestoreFolderAt, TouchFile, Undelete
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import delete, expire, put
from tests.support.metadata_recount import check_state


@pytest.fixture
def state() -> Iterator[MemoryState]:
    born = MemoryState(genesis_command(at_ms=0, trash_days=1))
    yield born
    check_state(born.db)
    born.close()


def at(state: MemoryState, path: str, moment_ms: int, limit: int = 100) -> list[str]:
    names: list[str] = []
    after = None
    for _ in range(100):
        page = queries.list_at(state.db, parse_path(path), moment_ms, after, limit)
        names += [entry.path + ("/" if entry.kind == "folder" else f"@{entry.generation}") for entry in page.entries]
        after = page.after
        if after is None:
            return names
    raise AssertionError("the listing does not end")


def diff(state: MemoryState, path: str, from_ms: int, to_ms: int | None, limit: int = 100) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    after = None
    for _ in range(1_000):
        page = queries.diff(state.db, parse_path(path), from_ms, to_ms, after, limit)
        lines += [(line.change, line.path) for line in page.lines]
        after = page.after
        if after is None:
            return lines
    raise AssertionError("the comparison does not end")


def history(state: MemoryState) -> None:
    """What the tests look back on; each step at its own second."""
    state.accept(put("admin/d/a", b"one", at_ms=1_000))
    state.accept(put("admin/d/b", b"b", at_ms=2_000))
    state.accept(put("admin/d/a", b"two", at_ms=3_000))
    state.accept(delete("admin/d/b", at_ms=4_000))
    state.accept(Move(header(at_ms=5_000), "admin/d/a", "admin/d/c"))
    state.accept(put("admin/d/e/x", b"x", at_ms=6_000))
    state.accept(Move(header(at_ms=7_000), "admin/d/e", "admin/d/f"))
    state.accept(DeleteFolder(header(at_ms=8_000), "admin/d"))
    state.accept(put("admin/d/z", b"z", at_ms=9_000))
    state.accept(Undelete(header(at_ms=10_000), "admin/d", target="admin/old"))


@pytest.mark.parametrize("limit", [1, 100])
def test_a_folder_is_seen_as_it_was(state: MemoryState, limit: int) -> None:
    history(state)
    seen = {moment: at(state, "admin/d", moment, limit) for moment in range(500, 11_000, 1_000)}
    assert seen == {
        500: [], 1_500: ["admin/d/a@1"], 2_500: ["admin/d/a@1", "admin/d/b@1"], 3_500: ["admin/d/a@2", "admin/d/b@1"],
        4_500: ["admin/d/a@2"], 5_500: ["admin/d/c@2"], 6_500: ["admin/d/c@2", "admin/d/e/"],
        7_500: ["admin/d/c@2", "admin/d/f/"], 8_500: [], 9_500: ["admin/d/z@4"], 10_500: ["admin/d/z@4"]}
    assert at(state, "admin/d/e", 6_500) == ["admin/d/e/x@3"] and at(state, "admin/d/f", 7_500) == ["admin/d/f/x@3"]
    assert at(state, "admin/old", 9_500) == [] and at(state, "admin/old", 10_500) == ["admin/old/c@2", "admin/old/f/"]
    file = queries.file_at(state.db, parse_path("admin/d/a"), 1_500)
    assert file is not None and file.inline == b"one"
    assert at(state, "admin", 8_500) == []


def test_a_touched_file_was_there_before(state: MemoryState) -> None:
    state.accept(put("admin/a", b"one", at_ms=1_000))
    state.accept(TouchFile(header(at_ms=5_000), "admin/a"))
    assert at(state, "admin", 3_000) == ["admin/a@1"]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_two_moments_are_compared(state: MemoryState, limit: int) -> None:
    history(state)
    assert diff(state, "admin/d", 1_500, 3_500, limit) == [("changed", "admin/d/a"), ("created", "admin/d/b")]
    assert diff(state, "admin/d", 3_500, 7_500, limit) == [
        ("deleted", "admin/d/a"), ("deleted", "admin/d/b"), ("created", "admin/d/c"), ("created", "admin/d/f"),
        ("created", "admin/d/f/x")]
    assert diff(state, "admin", 9_500, None, limit) == [
        ("created", "admin/old"), ("created", "admin/old/c"), ("created", "admin/old/f"), ("created", "admin/old/f/x")]
    assert diff(state, "admin", 3_500, 3_500, limit) == []


def restore(state: MemoryState, path: str, moment_ms: int, *, limit: int, exact: bool = False) -> dict[str, int]:
    sums = {"restored": 0, "deleted": 0, "same": 0, "conflict_count": 0}
    after = ""
    for _ in range(1_000):
        facts = state.accept(RestoreFolderAt(header(at_ms=20_000), path, moment_ms, exact, after, limit)).facts
        for name in sums:
            sums[name] += facts[name]
        after = facts["after"]
        if not facts["more"]:
            return sums
    raise AssertionError("the restoration does not end")


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_a_folder_comes_back_as_it_was(state: MemoryState, limit: int) -> None:
    for name in ("a", "b", "e/x", "e/f/y"):
        state.accept(put(f"admin/d/{name}", name.encode(), at_ms=1_000))
    state.accept(MakeFolder(header(at_ms=1_000), "admin/d/empty"))
    state.accept(put("admin/d/a", b"spoilt", at_ms=2_000))
    state.accept(delete("admin/d/b", at_ms=2_000))
    state.accept(DeleteFolder(header(at_ms=2_000), "admin/d/e"))
    state.accept(DeleteFolder(header(at_ms=2_000), "admin/d/empty"))
    state.accept(put("admin/d/new/z", at_ms=2_000))
    sums = restore(state, "admin/d", 1_500, limit=limit)
    assert sums == {"restored": 4, "deleted": 0, "same": 0, "conflict_count": 0}
    assert diff(state, "admin/d", 1_500, None) == [("created", "admin/d/new"), ("created", "admin/d/new/z")]
    assert restore(state, "admin/d", 1_500, limit=limit, exact=True)["deleted"] == 1
    assert diff(state, "admin/d", 1_500, None) == []
    assert restore(state, "admin/d", 1_500, limit=limit) == {
        "restored": 0, "deleted": 0, "same": 4, "conflict_count": 0}, "again changes nothing"


def test_what_stands_in_the_way_is_told(state: MemoryState) -> None:
    state.accept(put("admin/d/a", b"one", at_ms=1_000))
    state.accept(delete("admin/d/a", at_ms=2_000))
    state.accept(put("admin/d/a/b", b"two", at_ms=2_000))
    facts = state.accept(RestoreFolderAt(header(at_ms=3_000), "admin/d", 1_500)).facts
    assert facts["conflicts"] == ["/admin/d/a"] and facts["conflict_count"] == 1 and facts["restored"] == 0
    for path, code in (("admin/none", "FolderNotFound"), ("", "NameIllegal"), ("none", "FolderNotFound")):
        assert state.reject(RestoreFolderAt(header(at_ms=3_000), path, 1_500)).code == code


def test_what_has_expired_is_not_seen_any_more(state: MemoryState) -> None:
    state.accept(put("admin/a", b"one", at_ms=1_000))
    state.accept(put("admin/a", b"two", at_ms=2_000))
    state.accept(expire(at_ms=3_000 + DAY_MS))
    assert at(state, "admin", 1_500) == [] and at(state, "admin", 2_500) == ["admin/a@2"]
