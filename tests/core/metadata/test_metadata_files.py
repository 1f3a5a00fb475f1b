"""Putting and deleting files: generations, preconditions, and everything a put may get wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fluffy.base.ids import UserNo
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import RemoveFolder
from fluffy.core.metadata.file_body import CHUNK_BYTES_MAX, FILE_CHUNKS_MAX
from fluffy.core.metadata.model import FileVersion
from fluffy.wire.log_entries import COMMAND_BYTES_MAX, encode_command
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import chunk, delete, insert_user, nodes, put, put_chunks
from tests.support.metadata_recount import check_state


@pytest.fixture
def state() -> Iterator[MemoryState]:
    born = MemoryState(genesis_command(at_ms=0, versions_max=3, inline_max=100))
    yield born
    check_state(born.db)
    born.close()


def read(state: MemoryState, path: str, generation: int | None = None) -> FileVersion | None:
    return queries.file_version(state.db, parse_path(path), generation)


def test_a_put_makes_folders_and_tells_its_generation(state: MemoryState) -> None:
    accepted = state.accept(put("admin/docs/2024/a.txt", b"one", meta={"mode": "644"}, tags={"k": "v"}))
    assert accepted.facts == {"generation": 1, "created": True, "modified_ms": 1_000}
    version = read(state, "admin/docs/2024/a.txt")
    assert version is not None
    assert (version.path, version.size, version.inline, version.owner) == ("admin/docs/2024/a.txt", 3, b"one", "admin")
    assert version.meta == {"mode": "644"} and version.tags == {"k": "v"} and version.modified_ms == 1_000
    assert queries.kind_at(state.db, parse_path("admin/docs/2024")) == "folder"


def test_a_put_makes_a_missing_bucket_owned_by_the_caller(state: MemoryState) -> None:
    state.accept(put("fresh/a"))
    assert [(bucket.path, bucket.owner, bucket.entries) for bucket in queries.buckets(state.db)] == [
        ("admin", "admin", 0), ("fresh", "admin", 1)]


def test_old_generations_stay_readable_up_to_the_limit(state: MemoryState) -> None:
    for generation in range(1, 6):
        facts = state.accept(put("admin/a", b"%d" % generation, at_ms=generation)).facts
        assert facts == {"generation": generation, "created": generation == 1, "modified_ms": generation}
    readable = [generation for generation in range(1, 7) if read(state, "admin/a", generation)]
    assert readable == [3, 4, 5]
    old = read(state, "admin/a", 3)
    assert old is not None and old.inline == b"3"


def test_a_deleted_file_is_gone_but_its_generations_can_be_read(state: MemoryState) -> None:
    state.accept(put("admin/a", b"one"))
    assert state.accept(delete("admin/a")).facts == {"generation": 1}
    assert read(state, "admin/a") is None and queries.kind_at(state.db, parse_path("admin/a")) is None
    old = read(state, "admin/a", 1)
    assert old is not None and old.inline == b"one"
    assert state.reject(delete("admin/a")).code == "FileNotFound"


def test_a_file_made_again_goes_on_with_its_generations(state: MemoryState) -> None:
    state.accept(put("admin/a", b"one"))
    state.accept(delete("admin/a"))
    facts = state.accept(put("admin/a", b"two")).facts
    assert facts["generation"] == 2 and facts["created"]
    old = read(state, "admin/a", 1)
    assert old is not None and old.inline == b"one"


def test_after_a_purge_nothing_is_left_but_generations_still_grow(state: MemoryState) -> None:
    for number in range(4):
        state.accept(put("admin/a", b"%d" % number))
    state.accept(delete("admin/a", purge=True))
    assert not any(read(state, "admin/a", generation) for generation in range(1, 5))
    assert state.db.execute("SELECT count(*) FROM versions").fetchone() == (0,)
    assert state.accept(put("admin/a")).facts["generation"] == 5


def test_a_purge_empties_the_trash_of_a_path(state: MemoryState) -> None:
    state.accept(put("admin/a"))
    state.accept(delete("admin/a"))
    assert state.accept(delete("admin/a", purge=True)).facts == {"generation": 1}
    assert read(state, "admin/a", 1) is None
    assert state.reject(delete("admin/a", purge=True)).code == "FileNotFound"


def test_generations_outlive_the_removal_of_the_folder(state: MemoryState) -> None:
    for purge in (False, True):
        state.accept(put("admin/d/a", b"x"))
        newest = state.accept(put("admin/d/a", b"y")).facts["generation"]
        state.accept(delete("admin/d/a", purge=purge))
        state.accept(RemoveFolder(header(at_ms=1_000), "admin/d"))
        assert (read(state, "admin/d/a", newest) is None) == purge
        assert state.accept(put("admin/d/a", b"z")).facts["generation"] == newest + 1


def test_preconditions(state: MemoryState) -> None:
    state.accept(put("admin/a", b"one", if_none_match=True))
    etag = queries.file_head(state.db, parse_path("admin/a"))
    assert etag is not None
    assert state.reject(put("admin/a", if_none_match=True)).code == "PreconditionFailed"
    refusal = state.reject(put("admin/a", if_match="00" * 16))
    assert refusal.code == "PreconditionFailed" and refusal.facts["etag"] == etag.etag
    state.accept(put("admin/a", b"two", if_match=etag.etag))
    state.accept(put("admin/a", b"three", if_match="*"))
    assert state.reject(put("admin/b", if_match="*")).code == "PreconditionFailed"
    assert state.reject(delete("admin/a", if_match=etag.etag)).code == "PreconditionFailed"
    state.accept(delete("admin/a", if_match="*"))
    state.accept(put("admin/a", if_none_match=True))


def test_an_etag_of_any_form_comes_back_as_it_was(state: MemoryState) -> None:
    for number, etag in enumerate(["00ff", "00FF", "123", "", "é", "d41d8cd98f00b204e9800998ecf8427e-2", "0" * 128]):
        state.accept(put(f"admin/{number}", etag=etag))
        head = queries.file_head(state.db, parse_path(f"admin/{number}"))
        listed = queries.list_folder(state.db, parse_path("admin"), None, 100).entries[number]
        assert head is not None and head.etag == etag == listed.etag


def test_files_and_folders_do_not_stand_on_each_other(state: MemoryState) -> None:
    state.accept(put("admin/d/a"))
    assert state.reject(put("admin/d")).code == "IsFolder"
    assert state.reject(delete("admin/d")).code == "IsFolder"
    assert state.reject(put("admin/d/a/b")).code == "IsFile"
    assert state.reject(put("admin/d/a/b/c")).code == "IsFile"
    assert state.reject(delete("admin/d/a/b")).code == "IsFile"


def test_without_parents_folders_must_be_there(state: MemoryState) -> None:
    assert state.reject(put("admin/d/a", parents=False)).code == "FolderNotFound"
    assert state.reject(put("none/a", parents=False)).code == "BucketNotFound"
    assert state.reject(delete("admin/d/a")).code == "FileNotFound"
    assert state.reject(delete("none/a")).code == "BucketNotFound"
    state.accept(put("admin/a", parents=False))


@pytest.mark.parametrize("path", ["", "/", "admin", "admin/", "admin/a/", "admin//a", "admin/../a", "admin/.",
                                  "admin/a\x00", "admin/a\n", "admin/\ud800", "admin/" + "a" * 513,
                                  "a/" * 600 + "b", "ü" * 600])
def test_bad_paths_are_refused(state: MemoryState, path: str) -> None:
    for warm in (False, True):
        if warm:
            state.accept(put("admin/warm"))  # its folder is in the path cache now
        assert state.reject(put(path)).code == "NameIllegal"
        assert state.reject(delete(path)).code == "NameIllegal"


def test_a_path_with_a_leading_slash_is_the_same_file(state: MemoryState) -> None:
    assert state.accept(put("admin/a")).facts["generation"] == 1
    assert state.accept(put("/admin/a")).facts["generation"] == 2


@pytest.mark.parametrize(("wrong", "code"), [
    ({"blake3": b"short"}, "RequestError"),
    ({"size": 5}, "RequestError"),
    ({"inline": b"x" * 101, "size": 101}, "TooLarge"),
    ({"inline": b"data", "chunks": ((chunk(1), 4),), "replicas": (nodes(1, 2),)}, "RequestError"),
    ({"etag": "x" * 129}, "TooLarge"),
    ({"etag": "\ud800"}, "RequestError"),
    ({"content_type": "x" * 257}, "TooLarge"),
    ({"meta": {"k": "x" * 9_000}}, "TooLarge"),
    ({"tags": {str(number): "" for number in range(65)}}, "TooLarge"),
    ({"tags": {"\ud800": ""}}, "RequestError"),
])
def test_bad_inline_bodies_are_refused(state: MemoryState, wrong: dict[str, Any], code: str) -> None:
    assert state.reject(put("admin/a", **wrong)).code == code
    assert queries.usage(state.db).files == 0


@pytest.mark.parametrize(("wrong", "code"), [
    ({"size": 1}, "RequestError"),
    ({"replicas": ()}, "RequestError"),
    ({"replicas": (nodes(1), nodes(1))}, "RequestError"),
    ({"replicas": (nodes(1),)}, "ChunksMissing"),
    ({"replicas": (nodes(1, 1),)}, "ChunksMissing"),
    ({"replicas": (nodes(),)}, "ChunksMissing"),
    ({"replicas": (nodes(1, 9),)}, "NodeNotFound"),
    ({"replicas": (nodes(1, 0),)}, "NodeNotFound"),
    ({"chunks": ((b"short", 1 << 20),)}, "RequestError"),
    ({"chunks": ((chunk(1), 0),), "size": 0}, "RequestError"),
    ({"chunks": ((chunk(1), CHUNK_BYTES_MAX + 1),), "size": CHUNK_BYTES_MAX + 1}, "RequestError"),
    ({"chunks": ((chunk(1), 1), (chunk(1), 2)), "size": 3, "replicas": (nodes(1, 2), nodes(1, 2))}, "RequestError"),
])
def test_bad_manifests_are_refused(state: MemoryState, wrong: dict[str, Any], code: str) -> None:
    assert state.reject(put_chunks("admin/a", 1, **wrong)).code == code
    usage = queries.usage(state.db)
    assert usage.files == 0 and usage.chunks == 0


def test_a_chunk_has_one_length_for_ever(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1))
    assert state.reject(put_chunks("admin/b", 1, length=7)).code == "RequestError"


def test_equal_chunks_are_stored_once_and_copies_add_up(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1, 2, 1, on=(1, 2)))
    state.accept(put_chunks("admin/b", 1, on=(3,)))  # one new copy is enough: two are known
    state.accept(put_chunks("admin/c", 1, on=()))
    version = read(state, "admin/a")
    assert version is not None
    assert [(ref.chunk_id, ref.replicas) for ref in version.chunks] == [
        (chunk(1), (1, 2, 3)), (chunk(2), (1, 2)), (chunk(1), (1, 2, 3))]
    usage = queries.usage(state.db)
    assert (usage.files, usage.bytes, usage.chunks, usage.chunk_bytes) == (3, 5 << 20, 2, 2 << 20)
    assert usage.missing_chunks == 1
    assert [missing.chunk_id for missing in queries.missing_chunks(state.db, None, 10)] == [chunk(2)]
    assert [(member.chunks, member.bytes) for member in queries.members(state.db)] == [
        (2, 2 << 20), (2, 2 << 20), (1, 1 << 20)]


def test_a_refusal_names_the_chunks_to_send_again(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1))
    refusal = state.reject(put_chunks("admin/b", 1, 2, 3, on=(1,)))
    assert refusal.code == "ChunksMissing"
    assert refusal.facts == {"chunks": [chunk(2).hex(), chunk(3).hex()], "count": 2}
    refusal = state.reject(put_chunks("admin/b", *range(100, 1_100), on=(1,)))
    assert refusal.facts["count"] == 1_000 and len(refusal.facts["chunks"]) == 50


def test_an_empty_file_needs_neither_inline_bytes_nor_chunks(state: MemoryState) -> None:
    state.accept(put("admin/a", b"", inline=None))
    state.accept(put("admin/b", b""))
    for path in ("admin/a", "admin/b"):
        version = read(state, path)
        assert version is not None and version.size == 0 and version.inline == b"" and version.chunks == ()


def test_the_largest_file_fits_into_one_command_and_its_chunks_come_back_in_order(state: MemoryState) -> None:
    numbers = [number % 9_999 for number in range(FILE_CHUNKS_MAX)]
    command = put_chunks("admin/big", *numbers, length=8 << 20)
    assert len(encode_command(command)) <= COMMAND_BYTES_MAX
    state.accept(command)
    version = read(state, "admin/big")
    assert version is not None and [ref.chunk_id for ref in version.chunks] == [chunk(number) for number in numbers]
    assert state.reject(put_chunks("admin/bigger", *numbers, 1, length=8 << 20)).code == "TooLarge"
    state.accept(delete("admin/big", purge=True))
    assert state.db.execute("SELECT count(*) FROM chunks WHERE refs != 0").fetchone() == (0,)


def test_only_known_writers_may_change_files(state: MemoryState) -> None:
    insert_user(state.db, 2, "bob")
    insert_user(state.db, 3, "eve", "readonly")
    for user_no in (0, 3, 4):
        for path in ("admin/a", "fresh/a"):
            refusal = state.reject(put(path, header=header(UserNo(user_no), at_ms=1_000)))
            assert refusal.code == "AccessDenied"
    bob = UserNo(2)
    assert state.reject(put("admin/a", header=header(bob, at_ms=1_000))).code == "AccessDenied"
    state.accept(put("bob/a", header=header(bob, at_ms=1_000)))
    state.accept(put("bob/a", header=header(UserNo(1), at_ms=1_000)))
    head = queries.file_head(state.db, parse_path("bob/a"))
    assert head is not None and head.owner == "bob", "an update by another does not take the file away"
