"""Moving and copying: one row moves, chunks are shared, and what cannot be is refused with a sentence."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from fluffy.base.ids import UserNo
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.apply_copy import COPY_ENTRIES_MAX
from fluffy.core.metadata.commands import Command, MakeFolder
from fluffy.core.metadata.commands_tree import Copy, DeleteFolder, Move
from fluffy.core.metadata.model import FileVersion
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import delete, insert_user, put, put_chunks
from tests.support.metadata_recount import check_state


@pytest.fixture
def state() -> Iterator[MemoryState]:
    born = MemoryState(genesis_command(at_ms=0, inline_max=100))
    yield born
    check_state(born.db)
    born.close()


def read(state: MemoryState, path: str, generation: int | None = None) -> FileVersion | None:
    return queries.file_version(state.db, parse_path(path), generation)


def names(state: MemoryState, path: str) -> list[str]:
    return [entry.path for entry in queries.list_folder(state.db, parse_path(path), None, 1_000).entries]


def move(src: str, dst: str, *, at_ms: int = 2_000, user: int = 1, **options: object) -> Command:
    return Move(header(UserNo(user), at_ms=at_ms), src, dst, **options)  # type: ignore[arg-type]


def copy(src: str, dst: str, *, at_ms: int = 2_000, user: int = 1, **options: object) -> Command:
    return Copy(header(UserNo(user), at_ms=at_ms), src, dst, **options)  # type: ignore[arg-type]


def test_a_file_moves_with_its_history(state: MemoryState) -> None:
    state.accept(put("admin/a", b"one"))
    state.accept(put("admin/a", b"two", tags={"k": "v"}))
    facts = state.accept(move("admin/a", "admin/d/b")).facts
    assert facts == {"kind": "file", "generation": 2, "files": 1, "bytes": 3, "replaced": False}
    assert read(state, "admin/a") is None
    for generation, data in ((1, b"one"), (2, b"two")):
        version = read(state, "admin/d/b", generation)
        assert version is not None and version.inline == data
    change = queries.changes(state.db, 0, 100)[-1]
    assert (change.kind, change.path, change.source, change.generation) == ("file-moved", "admin/d/b", "admin/a", 2)


def test_a_folder_moves_as_one_row_and_its_children_follow(state: MemoryState) -> None:
    state.accept(put("admin/d/e/a", b"one"))
    state.accept(put_chunks("admin/d/b", 1))
    seq = state.machine.seq
    facts = state.accept(move("admin/d", "admin/x/y")).facts
    assert facts["kind"] == "folder" and facts["files"] == 2
    assert names(state, "admin/x/y") == ["admin/x/y/b", "admin/x/y/e"] and names(state, "admin/d") == []
    version = read(state, "admin/x/y/e/a")
    assert version is not None and version.inline == b"one"
    changes = [(change.kind, change.path, change.source) for change in queries.changes(state.db, seq, 100)]
    assert changes == [("folder-made", "admin/x", ""), ("folder-moved", "admin/x/y", "admin/d")]


def test_moving_across_buckets_keeps_owners_and_counts(state: MemoryState) -> None:
    insert_user(state.db, 2, "bob")
    state.accept(put("bob/d/a", b"12345", header=header(UserNo(2), at_ms=1)))
    state.accept(put("admin/x"))
    state.accept(move("bob/d", "admin/d"))
    version = read(state, "admin/d/a")
    assert version is not None and version.owner == "bob"
    assert queries.folder_sums(state.db, parse_path("admin")) == (2, 9)
    assert queries.folder_sums(state.db, parse_path("bob")) == (0, 0)
    assert queries.folder_sums(state.db, parse_path("")) == (2, 9)


@pytest.mark.parametrize(("src", "dst", "code"), [
    ("admin/d", "admin/d/x", "IntoItself"), ("admin/d", "admin/d", "IntoItself"), ("admin/a", "admin/a", "IntoItself"),
    ("admin/none", "admin/x", "FileNotFound"), ("none/a", "admin/x", "BucketNotFound"),
    ("admin/a", "admin/d", "IsFolder"), ("admin/d", "admin/a", "IsFile"), ("admin/a", "admin/d/b", "AlreadyExists"),
    ("admin/d", "admin/e", "AlreadyExists"), ("admin/d", "fresh", "NameIllegal"), ("admin", "other/x", "NameIllegal"),
    ("admin/a", "admin/d/b/c", "IsFile"), ("admin/d", "admin/" + "x" * 500 + "/" + "y" * 510, "NameIllegal"),
])
def test_what_cannot_be_moved_is_refused(state: MemoryState, src: str, dst: str, code: str) -> None:
    for path in ("admin/a", "admin/d/b", "admin/e/c", "admin/d/" + "long" * 5):
        state.accept(put(path))
    assert state.reject(move(src, dst)).code == code


def test_a_folder_does_not_take_the_place_of_one_that_it_lies_in(state: MemoryState) -> None:
    state.accept(put("admin/d/e/a"))
    assert state.reject(move("admin/d/e", "admin/d", overwrite=True)).code == "IntoItself"


def test_overwriting_moves_what_stood_there_to_the_trash(state: MemoryState) -> None:
    state.accept(put("admin/a", b"new"))
    state.accept(put("admin/b", b"old"))
    facts = state.accept(move("admin/a", "admin/b", overwrite=True)).facts
    assert facts["replaced"] and facts["generation"] == 2, "goes on above what the path has used"
    new, old = read(state, "admin/b"), read(state, "admin/b", 1)
    assert new is not None and new.inline == b"new"
    assert old is not None and old.inline == b"old"
    state.accept(put("admin/d/x"))
    state.accept(put("admin/e/y"))
    state.accept(move("admin/d", "admin/e", overwrite=True))
    assert names(state, "admin/e") == ["admin/e/x"]
    assert {item.path for item in queries.trash(state.db, parse_path(""), None, 100).items} == {"admin/b", "admin/e"}


def test_a_name_made_again_where_something_moved_away_is_newer(state: MemoryState) -> None:
    for data in (b"1", b"2", b"3"):
        state.accept(put("admin/d/a", data))
    state.accept(move("admin/d", "admin/e"))
    assert state.accept(put("admin/d/a")).facts["generation"] == 4
    state.accept(move("admin/e/a", "admin/f"))
    assert state.accept(put("admin/e/a")).facts["generation"] == 4


def test_preconditions_of_both_ends(state: MemoryState) -> None:
    state.accept(put("admin/a", b"one"))
    state.accept(put("admin/b", b"two"))
    assert state.reject(move("admin/a", "admin/c", if_match="00")).code == "PreconditionFailed"
    assert state.reject(move("admin/a", "admin/b", overwrite=True, if_dst_match="00")).code == "PreconditionFailed"
    assert state.reject(copy("admin/a", "admin/c", if_dst_match="*")).code == "PreconditionFailed"
    assert state.reject(move("admin/a", "admin/n/c", parents=False)).code == "FolderNotFound"
    state.accept(move("admin/a", "admin/b", overwrite=True, if_match="*", if_dst_match="*"))


def test_buckets_are_renamed_by_those_who_administer_them(state: MemoryState) -> None:
    insert_user(state.db, 2, "bob")
    insert_user(state.db, 3, "eve")
    state.accept(put("bob/a", header=header(UserNo(2), at_ms=1)))
    assert state.reject(move("bob", "eve", user=3)).code == "AccessDenied"
    assert state.reject(move("bob", "admin", user=2)).code == "AlreadyExists"
    state.accept(move("bob", "robert", user=2))
    assert names(state, "") == ["admin", "robert"] and read(state, "robert/a") is not None


def test_others_files_are_neither_moved_nor_copied(state: MemoryState) -> None:
    insert_user(state.db, 3, "eve")
    state.accept(put("admin/a"))
    state.accept(put("eve/x", header=header(UserNo(3), at_ms=1)))
    for command in (move("admin/a", "eve/a", user=3), copy("admin/a", "eve/a", user=3),
                    move("eve/x", "admin/x", user=3), copy("eve/x", "admin/x", user=3)):
        assert state.reject(command).code == "AccessDenied"


def test_a_copy_shares_chunks_and_belongs_to_its_maker(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1, 2, meta={"m": "1"}, tags={"t": "1"}))
    facts = state.accept(copy("admin/a", "admin/b")).facts
    assert facts["kind"] == "file" and facts["generation"] == 1 and facts["created"]
    state.accept(copy("admin/a", "admin/c", tags={}, content_type="x/y"))
    usage = queries.usage(state.db)
    assert (usage.files, usage.chunks) == (3, 2)
    one, two = read(state, "admin/b"), read(state, "admin/c")
    assert one is not None and one.tags == {"t": "1"} and len(one.chunks) == 2
    assert two is not None and two.tags == {} and two.meta == {"m": "1"} and two.content_type == "x/y"
    state.accept(delete("admin/a", purge=True))
    assert read(state, "admin/b") is not None


def test_copying_over_a_file_is_a_new_generation_of_it(state: MemoryState) -> None:
    state.accept(put("admin/a", b"one"))
    state.accept(put("admin/a", b"two"))
    state.accept(put("admin/b", b"old"))
    assert state.reject(copy("admin/a", "admin/b")).code == "AlreadyExists"
    assert state.accept(copy("admin/a", "admin/b", overwrite=True, generation=1)).facts["generation"] == 2
    version = read(state, "admin/b")
    assert version is not None and version.inline == b"one"
    assert state.reject(copy("admin/a", "admin/b", overwrite=True, generation=9)).code == "VersionNotFound"


def test_a_folder_is_copied_whole(state: MemoryState) -> None:
    state.accept(put("admin/d/e/a", b"one"))
    state.accept(put_chunks("admin/d/b", 1))
    state.accept(MakeFolder(header(at_ms=1), "admin/d/empty"))
    state.accept(copy("admin/d", "admin/x"))
    assert names(state, "admin/x") == ["admin/x/b", "admin/x/e", "admin/x/empty"]
    version = read(state, "admin/x/e/a")
    assert version is not None and version.inline == b"one"
    for src, dst in (("admin/d", "admin/d/x"), ("admin/d/e", "admin/d"), ("admin/d", "admin/d")):
        assert state.reject(copy(src, dst, overwrite=True)).code == "IntoItself"
    assert state.reject(copy("admin/d", "admin/x")).code == "AlreadyExists"
    state.accept(copy("admin/d", "admin/x", overwrite=True))
    state.accept(copy("admin", "backup"))
    assert read(state, "backup/x/e/a") is not None


def filled(state: MemoryState, folder: str, count: int) -> None:
    for start in range(0, count, 1_000):
        state.run(*(put(f"{folder}/{number:06}", b"x") for number in range(start, min(start + 1_000, count))))


def test_a_folder_that_is_too_large_is_not_copied_but_moves_and_goes_to_the_trash_at_once(state: MemoryState) -> None:
    filled(state, "admin/big", COPY_ENTRIES_MAX + 1)
    refusal = state.reject(copy("admin/big", "admin/copy"))
    assert refusal.code == "TooLarge" and refusal.facts["entries_max"] == COPY_ENTRIES_MAX
    started = time.process_time()
    state.accept(move("admin/big", "admin/moved"))
    state.accept(DeleteFolder(header(at_ms=3_000), "admin/moved"))
    assert time.process_time() - started < 0.05, "neither looks at what is inside"
    assert queries.usage(state.db).files == 0
