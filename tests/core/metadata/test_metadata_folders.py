"""Folders and buckets; and that a rename would move one row."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluffy.base.ids import UserNo
from fluffy.base.paths import parse_path
from fluffy.core.metadata import folder_cache, queries
from fluffy.core.metadata.commands import MakeFolder, RemoveFolder
from tests.support.local_log import header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import AT_MS, delete, insert_user, put
from tests.support.metadata_recount import check_state


@pytest.fixture
def state() -> Iterator[MemoryState]:
    born = MemoryState()
    yield born
    check_state(born.db)
    born.close()


def mkdir(path: str, *, parents: bool = False, user_no: int = 1) -> MakeFolder:
    return MakeFolder(header(UserNo(user_no), AT_MS), path, parents)


def rmdir(path: str, *, user_no: int = 1) -> RemoveFolder:
    return RemoveFolder(header(UserNo(user_no), AT_MS), path)


def test_mkdir_and_rmdir(state: MemoryState) -> None:
    assert state.accept(mkdir("admin/d")).facts == {"created": True}
    info = queries.folder_info(state.db, parse_path("admin/d"))
    assert info is not None and (info.owner, info.entries, info.created_ms) == ("admin", 0, AT_MS)
    state.accept(rmdir("admin/d"))
    assert queries.folder_info(state.db, parse_path("admin/d")) is None
    assert state.db.execute("SELECT count(*) FROM folders").fetchone() == (2,), "nothing of it is left"


def test_mkdir_refusals(state: MemoryState) -> None:
    state.accept(put("admin/f"))
    assert state.reject(mkdir("admin")).code == "AlreadyExists"
    assert state.reject(mkdir("admin/f")).code == "IsFile"
    assert state.reject(mkdir("admin/f", parents=True)).code == "IsFile"
    assert state.reject(mkdir("admin/f/g", parents=True)).code == "IsFile"
    assert state.reject(mkdir("admin/x/y")).code == "FolderNotFound"
    assert state.reject(mkdir("none/x")).code == "BucketNotFound"
    assert state.reject(mkdir("")).code == "NameIllegal"
    assert state.reject(mkdir("admin/..")).code == "NameIllegal"
    assert state.reject(mkdir("admin/\ud800")).code == "NameIllegal"


def test_mkdir_with_parents_makes_all_and_is_content_with_what_is_there(state: MemoryState) -> None:
    assert state.accept(mkdir("new/x/y", parents=True)).facts == {"created": True}
    seq = state.machine.seq
    accepted = state.accept(mkdir("new/x/y", parents=True))
    assert accepted.facts == {"created": False} and accepted.seq == seq
    kinds = [(change.kind, change.path) for change in queries.changes(state.db, 0, 10)]
    assert kinds == [("bucket-made", "admin"), ("bucket-made", "new"), ("folder-made", "new/x"),
                     ("folder-made", "new/x/y")]


def test_rmdir_refusals(state: MemoryState) -> None:
    state.accept(put("admin/d/a"))
    refusal = state.reject(rmdir("admin/d"))
    assert refusal.code == "FolderNotEmpty" and refusal.facts["entries"] == 1
    assert state.reject(rmdir("admin")).code == "FolderNotEmpty"
    assert state.reject(rmdir("admin/d/a")).code == "IsFile"
    assert state.reject(rmdir("admin/x")).code == "FolderNotFound"
    assert state.reject(rmdir("admin/x/y")).code == "FolderNotFound"
    assert state.reject(rmdir("none")).code == "BucketNotFound"
    assert state.reject(rmdir("none/x")).code == "BucketNotFound"


def test_a_removed_folder_shelters_its_trash_until_that_is_purged(state: MemoryState) -> None:
    state.accept(put("b/x/y/a"))
    state.accept(delete("b/x/y/a"))
    for path in ("b/x/y", "b/x", "b"):
        state.accept(rmdir(path))
    check_state(state.db)
    assert queries.kind_at(state.db, parse_path("b")) is None
    assert queries.file_version(state.db, parse_path("b/x/y/a"), 1) is not None
    state.accept(mkdir("b/x/y", parents=True))
    state.accept(delete("b/x/y/a", purge=True))
    for path in ("b/x/y", "b/x", "b"):
        state.accept(rmdir(path))
    assert state.db.execute("SELECT count(*) FROM folders").fetchone() == (2,)
    assert state.accept(put("b/x/y/a")).facts["generation"] == 2


def test_a_folder_made_in_the_same_batch_is_found_and_one_removed_is_not(state: MemoryState) -> None:
    outcomes = state.run(mkdir("admin/d"), put("admin/d/a"), delete("admin/d/a", purge=True), rmdir("admin/d"),
                         put("admin/d/a", parents=False), mkdir("admin/d"), put("admin/d/a", parents=False))
    assert [getattr(outcome, "code", "ok") for outcome in outcomes] == [
        "ok", "ok", "ok", "ok", "FolderNotFound", "ok", "ok"]


def test_buckets_belong_to_their_makers(state: MemoryState) -> None:
    insert_user(state.db, 2, "bob")
    insert_user(state.db, 3, "eve", "readonly")
    state.accept(mkdir("bobs", user_no=2))
    state.accept(mkdir("bobs/x", user_no=2))
    assert state.reject(mkdir("admin/x", user_no=2)).code == "AccessDenied"
    assert state.reject(rmdir("admin", user_no=2)).code == "AccessDenied"
    for user_no in (0, 3, 9):
        assert state.reject(mkdir("other", user_no=user_no)).code == "AccessDenied"
        assert state.reject(rmdir("bobs/x", user_no=user_no)).code == "AccessDenied"
    state.accept(rmdir("bobs/x", user_no=2))
    state.accept(rmdir("bobs"))


def test_forgotten_cached_folders_are_loaded_again(state: MemoryState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_cache, "FOLDERS_CACHED_MAX", 2)
    for number in range(30):
        state.accept(put(f"admin/{number % 5}/{number}"))
    info = queries.folder_info(state.db, parse_path("admin/3"))
    assert info is not None and info.entries == 6


def test_moving_a_folder_is_one_row_and_its_content_follows(state: MemoryState) -> None:
    """The command comes with a later feature level; the tables allow it already."""
    state.accept(put("admin/old/sub/a", b"x"))
    folder = state.db.execute("SELECT no FROM entries WHERE key = 'old/'").fetchone()[0]
    assert state.db.execute("UPDATE entries SET key = 'new/' WHERE no = ?", (folder,)).rowcount == 1
    assert state.db.execute("UPDATE folders SET key = 'new/' WHERE folder_no = ?", (folder,)).rowcount == 1
    found = queries.file_version(state.db, parse_path("admin/new/sub/a"))
    assert found is not None and found.inline == b"x"
    assert [entry.path for entry in queries.list_owner(state.db, "admin", None, 10).entries] == ["admin/new/sub/a"]
