"""Appending, changing a part, touching, tags and metadata: new generations that share, or none at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from blake3 import blake3

from fluffy.base.hashing import etag_of
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_tree import AppendFile, PatchFile, SetMeta, SetTags, TouchFile
from fluffy.core.metadata.model import FileVersion
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import chunk, nodes, put, put_chunks
from tests.support.metadata_recount import check_state

MIB = 1 << 20


@pytest.fixture
def state() -> Iterator[MemoryState]:
    born = MemoryState(genesis_command(at_ms=0, inline_max=100, write_quorum=2))
    yield born
    check_state(born.db)
    born.close()


def read(state: MemoryState, path: str, generation: int | None = None) -> FileVersion:
    version = queries.file_version(state.db, parse_path(path), generation)
    assert version is not None
    return version


def append(path: str, data: bytes, **options: Any) -> AppendFile:
    return AppendFile(header(at_ms=2_000), path, data, **options)


def patch(path: str, base: int, at: int, drop: int, *numbers: int, size: int, length: int = MIB,
          **options: Any) -> PatchFile:
    fields: dict[str, Any] = {
        "blake3": b"", "etag": "e-2", "inline": None, "chunks": tuple((chunk(number), length) for number in numbers),
        "replicas": tuple(nodes(1, 2, 3) for _ in numbers)}
    return PatchFile(header(at_ms=2_000), path, b"intent", base, at, drop, size, **{**fields, **options})


def test_small_appends_never_conflict(state: MemoryState) -> None:
    assert state.accept(append("admin/log", b"one\n", content_type="text/plain")).facts["created"]
    outcomes = state.run(append("admin/log", b"two\n"), append("admin/log", b"three\n"))
    assert [type(outcome).__name__ for outcome in outcomes] == ["Accepted", "Accepted"]
    version = read(state, "admin/log")
    assert version.inline == b"one\ntwo\nthree\n" and version.generation == 3 and version.content_type == "text/plain"
    assert version.blake3 == blake3(version.inline).digest() and version.etag == etag_of(version.blake3)
    assert read(state, "admin/log", 1).inline == b"one\n"


def test_an_append_that_outgrows_the_metadata_is_sent_as_a_patch(state: MemoryState) -> None:
    state.accept(put("admin/a", b"x" * 90))
    refusal = state.reject(append("admin/a", b"y" * 11))
    assert refusal.code == "PreconditionFailed" and refusal.facts["use"] == "patch" and refusal.facts["generation"] == 1
    state.accept(patch("admin/a", 1, 0, 0, 7, size=101, length=101))
    version = read(state, "admin/a")
    assert version.size == 101 and [ref.chunk_id for ref in version.chunks] == [chunk(7)]
    assert state.reject(append("admin/a", b"y")).facts["use"] == "patch"


def test_a_patch_shares_what_it_does_not_change(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1, 2, 3, meta={"m": "1"}, tags={"t": "1"}))
    state.accept(patch("admin/a", 1, 2, 1, 4, 5, size=4 * MIB))
    state.accept(patch("admin/a", 2, 1, 1, 9, size=4 * MIB))
    version = read(state, "admin/a")
    assert [ref.chunk_id for ref in version.chunks] == [chunk(number) for number in (1, 9, 4, 5)]
    assert version.generation == 3 and version.meta == {"m": "1"} and version.tags == {"t": "1"}
    assert version.blake3 == b"" and version.etag == "e-2"
    assert [ref.chunk_id for ref in read(state, "admin/a", 1).chunks] == [chunk(1), chunk(2), chunk(3)]
    state.accept(patch("admin/a", 3, 0, 1, 4, size=4 * MIB))  # a chunk that is kept and comes again
    assert [ref.chunk_id for ref in read(state, "admin/a").chunks] == [chunk(number) for number in (4, 9, 4, 5)]


def test_a_patch_of_an_older_base_is_refused_with_the_present_one(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1))
    state.accept(patch("admin/a", 1, 1, 0, 2, size=2 * MIB))
    refusal = state.reject(patch("admin/a", 1, 1, 0, 3, size=2 * MIB))
    assert refusal.code == "PreconditionFailed" and refusal.facts == {"etag": "e-2", "generation": 2}


def test_attempts_of_one_request_are_one_request(state: MemoryState) -> None:
    """A door that tries again after a conflict repeats itself when its client does: the same ids, other bases."""
    state.accept(put_chunks("admin/a", 1))
    first = patch("admin/a", 1, 1, 0, 2, size=2 * MIB)
    accepted = state.accept(first)
    again = PatchFile(first.header, "admin/a", b"intent", 2, 2, 0, 3 * MIB, b"", "e", None, ((chunk(2), MIB),),
                      (nodes(1, 2),))
    assert state.accept(again) == accepted


@pytest.mark.parametrize(("at", "drop", "size", "options", "code"), [
    (3, 0, 3 * MIB, {}, "RequestError"), (1, 2, 2 * MIB, {}, "RequestError"), (2, 0, 2 * MIB, {}, "RequestError"),
    (0, 2, 0, {}, "RequestError"), (2, 0, 3 * MIB, {"blake3": b"short"}, "RequestError"),
    (2, 0, 3 * MIB, {"replicas": (nodes(1),)}, "ChunksMissing"), (0, 1, 3, {"inline": b"abc"}, "RequestError"),
    (2, 0, 3 * MIB, {"etag": "x" * 200}, "TooLarge"), (2, 0, 3 * MIB, {"if_match": "00"}, "PreconditionFailed"),
    (0, 2, 200, {"inline": b"x" * 200, "chunks": (), "replicas": ()}, "TooLarge"),
])
def test_patches_that_do_not_fit_are_refused(state: MemoryState, at: int, drop: int, size: int,
                                             options: dict[str, Any], code: str) -> None:
    state.accept(put_chunks("admin/a", 1, 2))
    assert state.reject(patch("admin/a", 1, at, drop, 3, size=size, **options)).code == code
    assert read(state, "admin/a").generation == 1


def test_a_file_cut_short_returns_into_the_metadata(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1, 2))
    state.accept(patch("admin/a", 1, 0, 2, size=3, inline=b"abc"))
    assert read(state, "admin/a").inline == b"abc" and read(state, "admin/a").chunks == ()


def test_touching_makes_or_renews(state: MemoryState) -> None:
    assert state.accept(TouchFile(header(at_ms=1_000), "admin/d/a")).facts["created"]
    assert read(state, "admin/d/a").size == 0
    state.accept(put_chunks("admin/b", 1, 2, tags={"t": "1"}))
    facts = state.accept(TouchFile(header(at_ms=9_000), "admin/b")).facts
    assert facts == {"generation": 2, "created": False, "modified_ms": 9_000}
    assert read(state, "admin/b").tags == {"t": "1"} and len(read(state, "admin/b").chunks) == 2


def test_tags_and_metadata_change_in_place(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1))
    before = read(state, "admin/a")
    facts = state.accept(SetTags(header(at_ms=2_000), "admin/a", {"k": "v"}, before.etag)).facts
    assert facts == {"generation": 1, "meta_version": 1}
    state.accept(SetMeta(header(at_ms=2_000), "admin/a", {"mode": "600"}, "text/html"))
    after = read(state, "admin/a")
    assert (after.generation, after.etag, after.meta_version) == (1, before.etag, 2)
    assert (after.tags, after.meta, after.content_type) == ({"k": "v"}, {"mode": "600"}, "text/html")
    assert queries.list_folder(state.db, parse_path("admin"), None, 1).entries[0].content_type == "text/html"
    assert [change.kind for change in queries.changes(state.db, 0, 10)][-2:] == ["file-changed", "file-changed"]


def test_too_many_tags_are_refused(state: MemoryState) -> None:
    state.accept(put("admin/a"))
    refusal = state.reject(SetTags(header(at_ms=2_000), "admin/a", {str(number): "" for number in range(100_000)}))
    assert refusal.code == "TooLarge" and "64 tags" in refusal.message
    assert state.reject(SetMeta(header(at_ms=2_000), "admin/a", {"k": "x" * 9_000})).code == "TooLarge"
    assert state.reject(SetTags(header(at_ms=2_000), "admin/none", {})).code == "FileNotFound"
    assert state.reject(SetTags(header(at_ms=2_000), "admin/a", {}, "00")).code == "PreconditionFailed"
