"""Objects as S3 knows them: beside folders of their name, in folders that come and go with them, in order of keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import fields
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.base.ids import UserNo
from fluffy.base.object_keys import object_path
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries, queries_objects, queries_search
from fluffy.core.metadata.commands import MakeFolder, RemoveFolder
from fluffy.core.metadata.commands_people import AddUser, RemoveUser
from fluffy.core.metadata.commands_s3 import (
    AddKey,
    CopyObject,
    DeleteObjects,
    PutObject,
    RemoveKey,
    SetBucketDocument,
)
from fluffy.core.metadata.commands_tree import AppendFile, SetMeta
from fluffy.core.metadata.model import FileVersion, User
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import delete, put
from tests.support.metadata_recount import check_state


@pytest.fixture
def state() -> Iterator[MemoryState]:
    born = MemoryState(genesis_command(at_ms=0))
    yield born
    check_state(born.db)
    born.close()


def put_object(path: str, data: bytes = b"data", **changed: Any) -> PutObject:
    file = put(path, data, **{"etag": "0" * 32, **changed})
    return PutObject(*(getattr(file, field.name) for field in fields(file)))


def delete_objects(bucket: str, *keys: str, etags: tuple[str, ...] = ()) -> DeleteObjects:
    return DeleteObjects(header(at_ms=1_000), bucket, keys, etags)


def read(state: MemoryState, bucket: str, key: str) -> FileVersion | None:
    return queries.file_version(state.db, object_path(bucket, key))


def keys(state: MemoryState, bucket: str = "admin", *, prefix: str = "", delimiter: str = "") -> list[str]:
    facts = queries_objects.bucket_facts(state.db, bucket)
    assert facts is not None
    page = queries_objects.list_objects(state.db, facts.bucket_no, prefix=prefix, delimiter=delimiter, after="",
                                        limit=1_000)
    return [row[0] for row in page.rows]


def test_an_object_and_a_folder_of_one_name_stand_side_by_side(state: MemoryState) -> None:
    for key in ("a/b", "a", "a/b/c", "a/", "a-b"):
        state.accept(put_object(f"admin/{key}", key.encode()))
    assert keys(state) == ["a", "a-b", "a/", "a/b", "a/b/c"]
    for key in keys(state):
        version = read(state, "admin", key)
        assert version is not None and version.inline == key.encode() and version.is_md5
    assert keys(state, delimiter="/") == ["a", "a-b", "a/"]
    assert keys(state, prefix="a/", delimiter="/") == ["a/", "a/b", "a/b/"]


def test_people_see_neither_markers_nor_lose_what_stands_beside_a_folder(state: MemoryState) -> None:
    state.accept(put_object("admin/d/", b""))
    state.accept(put_object("admin/d/a"))
    state.accept(put_object("admin/d"))
    assert [entry.name for entry in queries.list_folder(state.db, parse_path("admin/d"), None, 10).entries] == ["a"]
    assert [entry.path for entry in queries.list_owner(state.db, "admin", None, 10).entries] == ["admin/d", "admin/d/a"]
    assert [entry.path for entry in queries.search_names(state.db, "d", None, 10).entries] == [
        "admin", "admin/d", "admin/d"]
    assert {row.key for row in queries_search.all_entries(state.db, (0, ""), 10)} == {"admin/", "d", "d/", "a"}
    changed = queries_search.index_changes(state.db, 0, 100)
    assert {row.key for row in changed.entries} == {"admin/", "d", "d/", "a"}
    state.accept(put("admin/d", b"by a file's command"))
    state.accept(delete("admin/d"))
    assert state.reject(put("admin/d")).code == "IsFolder"
    assert keys(state) == ["d/", "d/a"]


def test_folders_of_objects_vanish_with_the_last_and_those_of_people_stay(state: MemoryState) -> None:
    state.accept(MakeFolder(header(at_ms=0), "admin/kept"))
    state.accept(put_object("admin/kept/x/y/a"))
    state.accept(put_object("admin/kept/x/b"))
    assert state.accept(delete_objects("admin", "kept/x/y/a", "nothing", "kept/x/b")).facts["deleted"] == 2
    assert [entry.name for entry in queries.list_folder(state.db, parse_path("admin"), None, 10).entries] == ["kept"]
    assert keys(state, delimiter="/") == [], "a folder without objects is no group"
    state.accept(put_object("admin/kept/x/y/a"))
    version = read(state, "admin", "kept/x/y/a")
    assert version is not None and version.generation == 2, "generations go on in folders that came again"


def test_the_last_object_gone_a_bucket_can_be_removed_with_its_documents(state: MemoryState) -> None:
    state.accept(MakeFolder(header(at_ms=0), "b"))
    state.accept(SetBucketDocument(header(at_ms=0), "b", "acl", b"public-read"))
    facts = queries_objects.bucket_facts(state.db, "b")
    assert facts is not None and facts.acl == "public-read"
    state.accept(put_object("b/x/y"))
    assert state.reject(RemoveFolder(header(at_ms=0), "b")).code == "FolderNotEmpty"
    state.accept(delete_objects("b", "x/y"))
    state.accept(RemoveFolder(header(at_ms=0), "b"))
    state.accept(MakeFolder(header(at_ms=0), "b"))
    assert queries_objects.bucket_document(state.db, "b", "acl") is None


@pytest.mark.parametrize("key", ["", "/a", "a//b", "a/../b", "./a", "a\x01", "x" * 1025, "\ud800", "a/.."])
def test_what_is_no_key_is_refused(state: MemoryState, key: str) -> None:
    assert state.reject(put_object(f"admin/{key}")).code == "NameIllegal"
    assert state.accept(delete_objects("admin", "fine", key[:1000])).facts["deleted"] == 0 if key != "\ud800" else True


def test_a_long_key_is_fine_over_s3_and_no_path_for_people(state: MemoryState) -> None:
    state.accept(put_object("admin/" + "x" * 1024))
    assert keys(state) == ["x" * 1024]
    assert state.reject(put("admin/" + "x" * 1024)).code == "NameIllegal"


def test_a_marker_makes_no_path_that_depends_on_what_a_node_remembers(state: MemoryState) -> None:
    state.accept(put("admin/d/a"))
    state.accept(put_object("admin/d/"))
    assert state.reject(put("admin/d/")).code == "NameIllegal"
    assert state.reject(put("admin/d//a")).code == "NameIllegal"


def test_the_bucket_must_be_there(state: MemoryState) -> None:
    assert state.reject(put_object("nowhere/a")).code == "BucketNotFound"
    assert state.reject(delete_objects("nowhere", "a")).code == "BucketNotFound"


def test_conditions_of_deletes(state: MemoryState) -> None:
    state.accept(put_object("admin/a", etag="aa-2"))
    outcome = state.accept(delete_objects("admin", "a", "b", etags=("bb", "*")))
    assert outcome.facts == {"deleted": 0, "refused": [[0, "PreconditionFailed"], [1, "FileNotFound"]]}
    assert state.accept(delete_objects("admin", "a", etags=("aa-2",))).facts["deleted"] == 1


def test_a_copy_shares_bytes_and_may_say_other_things(state: MemoryState) -> None:
    state.accept(put_object("admin/a", b"one", meta={"m": "1", "@sum-crc32": "x"}, tags={"t": "1"}))
    state.accept(put_object("admin/a", b"two"))
    state.accept(CopyObject(header(at_ms=0), "admin/a", 1, "admin/d/b"))
    version = read(state, "admin", "d/b")
    assert version is not None and version.inline == b"one" and version.tags == {"t": "1"} and version.is_md5
    state.accept(CopyObject(header(at_ms=0), "admin/d/b", 0, "admin/d/b", "x/y", {"n": "2"}, {}))
    version = read(state, "admin", "d/b")
    assert version is not None and (version.content_type, version.meta, version.tags) == ("x/y", {"n": "2"}, {})
    assert state.reject(CopyObject(header(at_ms=0), "admin/a", 9, "admin/c")).code == "VersionNotFound"
    assert state.reject(CopyObject(header(at_ms=0), "admin/a", 0, "admin/c", if_match="*")).code == "PreconditionFailed"


def test_checksums_end_with_the_bytes_and_survive_new_words(state: MemoryState) -> None:
    state.accept(put_object("admin/a", b"one", meta={"m": "1", "@sum-crc32": "x", "@cache-control": "no-store"}))
    state.accept(SetMeta(header(at_ms=0), "admin/a", {"n": "2"}))
    version = read(state, "admin", "a")
    assert version is not None and version.meta == {"n": "2", "@sum-crc32": "x", "@cache-control": "no-store"}
    state.accept(AppendFile(header(at_ms=0), "admin/a", b"more"))
    version = read(state, "admin", "a")
    assert version is not None and version.meta == {"n": "2", "@cache-control": "no-store"} and not version.is_md5


def test_key_pairs_are_their_users_and_end_with_them(state: MemoryState) -> None:
    state.accept(AddUser(header(at_ms=0), "bob", "user"))
    bob = queries.user_by_name(state.db, "bob")
    assert bob is not None
    eve = UserNo(99)
    assert state.reject(AddKey(header(eve), "bob", "AKB", b"s", "")).code == "AccessDenied"
    state.accept(AddKey(header(bob.user_no), "bob", "AKB", b"sealed", "laptop"))
    state.accept(AddKey(header(bob.user_no), "bob", "AKB", b"sealed", "laptop"))
    assert state.reject(AddKey(header(at_ms=0), "admin", "AKB", b"sealed", "")).code == "AlreadyExists"
    assert state.reject(AddKey(header(at_ms=0), "admin", "A B", b"sealed", "")).code == "RequestError"
    pair = queries_objects.key_pair(state.db, "AKB")
    assert pair is not None and pair.user == User(bob.user_no, "bob", "user") and pair.sealed == b"sealed"
    assert state.reject(RemoveKey(header(at_ms=0), "admin", "AKB")).code == "KeyNotFound"
    state.accept(RemoveKey(header(at_ms=0), "bob", "AKB"))
    state.accept(AddKey(header(at_ms=0), "bob", "AKC", b"sealed", ""))
    state.accept(RemoveUser(header(at_ms=0), "bob"))
    assert queries_objects.key_pair(state.db, "AKC") is None


TEXTS = st.text(st.sampled_from("ab/-.é\U0010ffff"), max_size=7)
KEYS = TEXTS.filter(lambda text: text and not text.startswith("/") and "//" not in text)


@settings(max_examples=400, deadline=None)
@given(st.sets(KEYS, max_size=25), st.data())
def test_a_page_is_what_sorting_all_keys_would_give(names: set[str], data: st.DataObject) -> None:
    db = _tree(names)
    for _ in range(8):
        prefix = data.draw(TEXTS.map(lambda text: text[:3]))
        delimiter = data.draw(st.sampled_from(["", "/", "/", "-", "a", "b/", ".", "-/", "\U0010ffff"]))
        after = data.draw(st.just("") | st.sampled_from(sorted(names) or [""]) | TEXTS)
        limit = data.draw(st.integers(1, 6))
        page = queries_objects.list_objects(db, 1, prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        assert ([row[0] for row in page.rows], page.next) == _sorted_page(names, prefix, delimiter, after, limit)
    db.close()


@pytest.mark.parametrize("per_group", [1, 3, 20])
@pytest.mark.parametrize("delimiter", ["/", "-"])
def test_a_page_of_groups_reads_little_of_each(per_group: int, delimiter: str) -> None:
    groups = 100
    db = _tree({f"g{group:03}{delimiter}{number}" for group in range(2 * groups) for number in range(per_group)})
    steps = 0

    def count_steps() -> int:
        nonlocal steps
        steps += 1
        return 0

    db.set_progress_handler(count_steps, 100)
    page = queries_objects.list_objects(db, 1, prefix="", delimiter=delimiter, after="", limit=groups)
    db.set_progress_handler(None, 0)
    assert len(page.rows) == groups and page.next == page.rows[-1][0]
    assert steps < 1.5 * groups, "hundreds of steps of the database"
    db.close()


def _sorted_page(names: set[str], prefix: str, delimiter: str, after: str, limit: int) -> tuple[list[str], str | None]:
    """The slow oracle."""
    shown: list[str] = []
    for key in sorted(names):
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if not key.startswith(prefix) or key <= after:
            continue
        text = key if cut < 0 else key[:cut + len(delimiter)]
        if text != after and text not in shown[-1:]:
            shown.append(text)
    return shown[:limit], shown[limit - 1] if len(shown) > limit else None


def _tree(names: set[str]) -> sqlite3.Connection:
    """The two tables that a listing reads, with these objects."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE entries (parent, key TEXT, no, version_no, size, etag, modified_ms, owner_no,"
               " PRIMARY KEY (parent, key)) WITHOUT ROWID")
    db.execute("CREATE TABLE folders (folder_no INTEGER PRIMARY KEY, files)")
    numbers, folders, files = count(2), {"": 1}, {1: 0}
    for name in names:
        above = [1]
        for depth in range(name.count("/")):
            base = "/".join(name.split("/")[:depth + 1]) + "/"
            if base not in folders:
                folders[base] = next(numbers)
                files[folders[base]] = 0
                db.execute("INSERT INTO entries VALUES (?, ?, ?, 0, 0, '', 0, 0)",
                           (above[-1], base.split("/")[-2] + "/", folders[base]))
            above.append(folders[base])
        for folder_no in above:
            files[folder_no] += 1
        db.execute("INSERT INTO entries VALUES (?, ?, ?, 1, 5, 'e', 7, 1)",
                   (above[-1], name.split("/")[-1], next(numbers)))
    db.executemany("INSERT INTO folders VALUES (?, ?)", files.items())
    return db
