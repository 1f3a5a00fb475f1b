"""Deleted folders, the trash, versions brought back, rules of buckets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluffy.base.ids import UserNo
from fluffy.base.paths import parse_path
from fluffy.base.units import DAY_MS
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import DeleteFile, MakeFolder, RemoveFolder
from fluffy.core.metadata.commands_tree import (
    DeleteFolder,
    EmptyTrash,
    Move,
    PurgeVersion,
    RestoreVersion,
    SetBucketRules,
    Undelete,
)
from fluffy.core.metadata.model import FileVersion
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import delete, expire, insert_user, put, put_chunks
from tests.support.metadata_recount import check_state


@pytest.fixture
def state() -> Iterator[MemoryState]:
    born = MemoryState(genesis_command(at_ms=0, inline_max=100, trash_days=1, versions_max=3, write_quorum=2))
    yield born
    check_state(born.db)
    born.close()


def read(state: MemoryState, path: str, generation: int | None = None) -> FileVersion | None:
    return queries.file_version(state.db, parse_path(path), generation)


def trash(state: MemoryState, path: str = "") -> list[tuple[str, str, int]]:
    items = queries.trash(state.db, parse_path(path), None, 100).items
    return sorted((item.path, item.kind, item.files) for item in items)


def rm(path: str, *, at_ms: int = 2_000, purge: bool = False, user: int = 1) -> DeleteFolder:
    return DeleteFolder(header(UserNo(user), at_ms=at_ms), path, purge)


def undelete(path: str, *, at_ms: int = 3_000, item: int = 0, target: str | None = None, user: int = 1) -> Undelete:
    return Undelete(header(UserNo(user), at_ms=at_ms), path, item, target)


def restore(path: str, generation: int, expect: int | None = None) -> RestoreVersion:
    return RestoreVersion(header(at_ms=3_000), path, generation, expect)


def test_a_deleted_folder_is_gone_at_once_and_comes_back_whole(state: MemoryState) -> None:
    state.accept(put("admin/d/a", b"one"))
    state.accept(put_chunks("admin/d/e/b", 1))
    assert state.accept(rm("admin/d")).facts == {"files": 2, "bytes": 3 + (1 << 20)}
    assert queries.kind_at(state.db, parse_path("admin/d")) is None and read(state, "admin/d/a") is None
    assert queries.usage(state.db).files == 0 and trash(state) == [("admin/d", "folder", 2)]
    assert queries.list_owner(state.db, "admin", None, 10).entries == ()
    assert [entry.path for entry in queries.search_names(state.db, "a", None, 10).entries] == ["admin"]
    facts = state.accept(undelete("admin/d")).facts
    assert (facts["kind"], facts["path"], facts["files"]) == ("folder", "admin/d", 2)
    version = read(state, "admin/d/a")
    assert version is not None and version.inline == b"one" and version.generation == 1
    assert trash(state) == [] and queries.usage(state.db).files == 2
    kinds = [change.kind for change in queries.changes(state.db, 0, 100)][-2:]
    assert kinds == ["folder-deleted", "folder-undeleted"]


def test_a_folder_made_again_is_another_one_and_conflicts_are_told(state: MemoryState) -> None:
    state.accept(put("admin/d/a", b"old"))
    state.accept(put("admin/d/a", b"old2"))
    state.accept(rm("admin/d"))
    assert state.accept(put("admin/d/a", b"new")).facts["generation"] == 3, "newer than what was deleted"
    refusal = state.reject(undelete("admin/d"))
    assert refusal.code == "AlreadyExists" and refusal.facts["kind"] == "folder" and "another path" in refusal.message
    state.accept(undelete("admin/d", target="admin/old/d"))
    version = read(state, "admin/old/d/a")
    assert version is not None and version.inline == b"old2"


def test_files_come_back_where_they_were_or_elsewhere(state: MemoryState) -> None:
    state.accept(put("admin/d/a", b"one"))
    state.accept(put("admin/d/a", b"two"))
    state.accept(delete("admin/d/a"))
    state.accept(RemoveFolder(header(at_ms=1_500), "admin/d"))
    facts = state.accept(undelete("admin/d/a")).facts
    assert (facts["kind"], facts["generation"], facts["path"]) == ("file", 2, "admin/d/a")
    old = read(state, "admin/d/a", 1)
    assert old is not None and old.inline == b"one", "with its history"
    state.accept(delete("admin/d/a", at_ms=4_000))
    state.accept(put("admin/b"))
    assert state.reject(undelete("admin/d/a", target="admin/b")).facts["kind"] == "file"
    assert state.accept(undelete("admin/d/a", target="admin/c")).facts["path"] == "admin/c"
    assert trash(state) == [] and state.reject(undelete("admin/d/a")).code == "FileNotFound"


def test_what_lies_in_a_deleted_folder_waits_for_it(state: MemoryState) -> None:
    state.accept(put("admin/d/a"))
    state.accept(put("admin/d/b"))
    state.accept(delete("admin/d/a"))
    state.accept(rm("admin/d"))
    refusal = state.reject(undelete("admin/d/a"))
    assert refusal.code == "FileNotFound" and "undelete that one first" in refusal.message
    assert trash(state) == [("admin/d", "folder", 1)]
    state.accept(undelete("admin/d"))
    state.accept(undelete("admin/d/a"))


def test_several_things_of_one_path_are_told_apart_by_number(state: MemoryState) -> None:
    for data in (b"one", b"two"):
        state.accept(put("admin/x", data))
        state.accept(Move(header(at_ms=1_000), "admin/x", "admin/a"))
        state.accept(delete("admin/a"))
    items = {item.item: item for item in queries.trash(state.db, parse_path("admin"), None, 10).items}
    assert [item.path for item in items.values()] == ["admin/a", "admin/a"]
    first = min(items)
    assert state.reject(undelete("admin/b", item=first)).code == "FileNotFound"
    state.accept(undelete("admin/a", item=first))
    version = read(state, "admin/a")
    assert version is not None and version.inline == b"one"


def test_deleted_folders_expire_and_are_freed_in_bounded_steps(state: MemoryState) -> None:
    for number in range(20):
        state.accept(put_chunks(f"admin/d/e{number % 3}/{number}", number))
    state.accept(delete("admin/d/e0/0"))
    state.accept(rm("admin/d"))
    later = 2_000 + DAY_MS
    assert state.accept(expire(at_ms=later - 1, limit=100)).facts["freed"] == 1  # the file deleted before
    steps = 0
    while state.accept(expire(at_ms=later + 1_000, limit=5)).facts["more"]:
        steps += 1
        check_state(state.db)
    assert steps >= 4
    for table in ("versions", "tombs", "reaping"):
        assert state.db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    assert state.db.execute("SELECT count(*) FROM chunks WHERE refs").fetchone() == (0,)
    assert [change.kind for change in queries.changes(state.db, 0, 100)][-1] == "folder-purged"
    assert state.reject(undelete("admin/d", at_ms=later)).code == "FileNotFound"


def test_a_purged_folder_never_comes_back(state: MemoryState) -> None:
    state.accept(put("admin/d/a"))
    state.accept(rm("admin/d", purge=True))
    assert trash(state) == [] and state.reject(undelete("admin/d")).code == "FileNotFound"
    assert state.accept(put("admin/d/a")).facts["generation"] == 2


def test_only_folders_are_deleted_as_folders(state: MemoryState) -> None:
    state.accept(put("admin/a"))
    assert state.reject(rm("admin/a")).code == "IsFile"
    assert state.reject(rm("admin/none")).code == "FolderNotFound"
    assert state.reject(rm("none")).code == "BucketNotFound"
    assert state.reject(rm("")).code == "NameIllegal"


def test_a_whole_bucket_goes_to_the_trash_and_back(state: MemoryState) -> None:
    insert_user(state.db, 2, "bob")
    insert_user(state.db, 3, "eve")
    state.accept(put("bob/a", header=header(UserNo(2), at_ms=1)))
    assert state.reject(rm("bob", user=3)).code == "AccessDenied"
    state.accept(rm("bob", user=2))
    assert [bucket.path for bucket in queries.buckets(state.db)] == ["admin"]
    assert state.reject(undelete("bob", user=3)).code == "AccessDenied"
    state.accept(undelete("bob", user=2))
    assert read(state, "bob/a") is not None


def test_the_trash_is_emptied_in_batches_and_only_ones_own(state: MemoryState) -> None:
    insert_user(state.db, 2, "bob")
    for number in range(6):
        state.accept(put(f"admin/{number}"))
        state.accept(delete(f"admin/{number}"))
    state.accept(put("admin/d/a"))
    state.accept(rm("admin/d"))
    state.accept(put("bob/a", header=header(UserNo(2), at_ms=1)))
    state.accept(DeleteFile(header(UserNo(2), at_ms=1), "bob/a"))
    assert state.accept(EmptyTrash(header(UserNo(2), at_ms=5_000), "", "", 100)).facts["purged"] == 1
    assert state.reject(EmptyTrash(header(UserNo(2), at_ms=5_000), "admin", "", 100)).code == "AccessDenied"
    after, purged = "", []
    for _ in range(10):
        facts = state.accept(EmptyTrash(header(at_ms=5_000), "admin", after, 3)).facts
        purged.append(facts["purged"])
        after = facts["after"]
        if not facts["more"]:
            break
    assert sum(purged) == 7 and max(purged) == 3 and trash(state) == []
    assert state.accept(EmptyTrash(header(at_ms=5_000), "", "", 3)).facts["purged"] == 0, "emptied twice: nothing"


def test_a_restored_generation_is_a_new_one_and_expectations_hold(state: MemoryState) -> None:
    for data in (b"one", b"two", b"three"):
        state.accept(put("admin/a", data))
    assert [line.generation for line in queries.versions(state.db, parse_path("admin/a"), 10)] == [3, 2, 1]
    assert state.reject(restore("admin/a", 1, expect=2)).facts["generation"] == 3
    assert state.reject(restore("admin/a", 9)).code == "VersionNotFound"
    facts = state.accept(restore("admin/a", 1, expect=3)).facts
    assert facts["generation"] == 4 and facts["restored"]
    newest, before = read(state, "admin/a"), read(state, "admin/a", 3)
    assert newest is not None and newest.inline == b"one"
    assert before is not None and before.inline == b"three", "what it was restored over is kept"
    assert not state.accept(restore("admin/a", 4)).facts["restored"]
    state.accept(delete("admin/a", at_ms=4_000))
    assert state.reject(restore("admin/a", 3, expect=4)).code == "PreconditionFailed"
    assert state.accept(restore("admin/a", 3, expect=0)).facts["generation"] == 5


def test_one_generation_is_purged_for_good(state: MemoryState) -> None:
    def purge(generation: int) -> PurgeVersion:
        return PurgeVersion(header(at_ms=5_000), "admin/a", generation)
    for data in (b"one", b"two", b"three"):
        state.accept(put("admin/a", data))
    assert state.reject(purge(3)).code == "PreconditionFailed"
    state.accept(purge(2))
    assert read(state, "admin/a", 2) is None and read(state, "admin/a", 1) is not None
    assert state.reject(purge(2)).code == "VersionNotFound"
    state.accept(delete("admin/a"))
    state.accept(purge(3))
    facts = state.accept(undelete("admin/a", at_ms=6_000)).facts
    assert facts["generation"] == 4, "what is left comes back, above what was purged"
    version = read(state, "admin/a")
    assert version is not None and version.inline == b"one"


def test_a_bucket_has_rules_of_its_own(state: MemoryState) -> None:
    def rules(bucket: str, days: int | None, versions: int | None, copies: int | None) -> SetBucketRules:
        return SetBucketRules(header(at_ms=1_000), bucket, days, versions, copies)
    state.accept(MakeFolder(header(at_ms=1), "short"))
    assert state.reject(rules("short", 1, 1, 1)).code == "RequestError", "fewer copies than the write quorum"
    assert state.reject(rules("none", 1, 1, 2)).code == "BucketNotFound"
    assert state.accept(rules("short", 0, 1, 2)).facts == {"trash_days": 0, "versions_max": 1, "replication": 2}
    for bucket in ("short", "admin"):
        state.accept(put_chunks(f"{bucket}/{bucket}", 1 if bucket == "short" else 2, on=(1, 2)))
        state.accept(put(f"{bucket}/a", b"one"))
        state.accept(put(f"{bucket}/a", b"two"))
    assert read(state, "short/a", 1) is None and read(state, "admin/a", 1) is not None
    assert [missing.wanted for missing in queries.missing_chunks(state.db, None, 10)] == [3]
    state.accept(delete("short/a"))
    state.accept(expire(at_ms=2_000))
    assert read(state, "short/a", 2) is None


def test_a_bucket_without_rules_does_as_the_cluster_does(state: MemoryState) -> None:
    for days in (7, None):
        state.accept(SetBucketRules(header(at_ms=1_000), "admin", days, None, None))
        found = queries.bucket_rules(state.db, "admin")
        assert found is not None and found[0].trash_days == days and found[1].trash_days == (days or 1)
    assert queries.bucket_rules(state.db, "none") is None
