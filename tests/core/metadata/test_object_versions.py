"""Versions of objects against a plain model of S3: puts, delete markers, deletions for good, suspension."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.base.object_keys import object_path
from fluffy.core.metadata import queries, queries_objects
from fluffy.core.metadata import queries_object_versions as questions
from fluffy.core.metadata.commands import DeleteFile, MakeFolder, RemoveFolder
from fluffy.core.metadata.commands_object_versions import DeleteVersions, ExpireObjects, MarkObject
from fluffy.core.metadata.commands_s3 import CopyObject, DeleteObjects, SetBucketDocument
from fluffy.core.metadata.commands_tree import SetBucketRules, Undelete
from tests.core.metadata.test_objects import put_object
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_recount import check_state

KEYS = ("a", "d/b", "d/", "d")


@pytest.fixture
def state() -> Iterator[MemoryState]:
    born = MemoryState(genesis_command(at_ms=0))
    yield born
    check_state(born.db)
    born.close()


def enable(state: MemoryState, status: bytes = b"Enabled") -> None:
    state.accept(SetBucketRules(header(at_ms=1), "admin", 36_500, 10_000, None))
    state.accept(SetBucketDocument(header(at_ms=1), "admin", "versioning", status))


def put(state: MemoryState, key: str, data: bytes) -> int:
    return int(state.accept(put_object(f"admin/{key}", data)).facts.get("version_no", 0))


def delete(state: MemoryState, key: str) -> int:
    markers = state.accept(DeleteObjects(header(at_ms=1), "admin", (key,))).facts.get("markers", [])
    return int(markers[0][1]) if markers else 0


def purge(state: MemoryState, key: str, row: questions.VersionRow) -> bool:
    """Whether it was a marker."""
    return bool(state.accept(DeleteVersions(header(at_ms=1), "admin", ((key, row.version_no),))).facts["markers"])


def rows(state: MemoryState, prefix: str = "", after: str = "") -> list[questions.VersionRow]:
    facts = queries_objects.bucket_facts(state.db, "admin")
    assert facts is not None
    return list(questions.walk_versions(state.db, facts.bucket_no, prefix, after))


def current(state: MemoryState, key: str) -> bytes | None:
    found = queries.file_version(state.db, object_path("admin", key))
    return None if found is None else found.inline


@dataclass
class Model:
    """What S3 says of one key. Newest first: (id, data), data None: a marker; id "null" or a number made here."""

    versions: list[tuple[object, bytes | None]] = field(default_factory=list)

    def add(self, version_id: object, data: bytes | None) -> None:
        if version_id == "null":
            self.versions = [version for version in self.versions if version[0] != "null"]
        self.versions.insert(0, (version_id, data))


_STEPS = st.lists(st.tuples(st.sampled_from(["put", "put", "delete", "purge", "purge", "copy", "suspend", "enable"]),
                            st.sampled_from(KEYS), st.integers(0, 5)), max_size=25)


@given(_STEPS)
@settings(max_examples=80, deadline=None)
def test_versions_are_those_of_s3(steps: list[tuple[str, str, int]]) -> None:
    state = MemoryState(genesis_command(at_ms=0))
    enable(state)
    models = {key: Model() for key in KEYS}
    ids: dict[tuple[str, object], int] = {}  # of the model to ours
    is_enabled = True
    for number, (act, key, which) in enumerate(steps):
        model, name = models[key], number if is_enabled else "null"
        if act == "suspend" or act == "enable":
            enable(state, b"Suspended" if act == "suspend" else b"Enabled")
            is_enabled = act == "enable"
        elif act == "put":
            ids[key, name] = put(state, key, b"%d" % number)
            model.add(name, b"%d" % number)
        elif act == "copy":
            # Any version, also one that a delete marker hides.
            there = [(row.generation, data) for row, (_, data) in zip(
                [row for row in rows(state) if row.key == key], model.versions, strict=True) if data is not None]
            if there:
                generation, data = there[which % len(there)]
                facts = state.accept(CopyObject(header(at_ms=1), f"admin/{key}", generation, f"admin/{key}")).facts
                ids[key, name] = facts["version_no"]
                model.add(name, data)
        elif act == "delete":
            ids[key, name] = delete(state, key)
            model.add(name, None)
        elif model.versions:
            at = which % len(model.versions)
            row = [row for row in rows(state) if row.key == key][at]
            assert purge(state, key, row) == (model.versions[at][1] is None)
            del model.versions[at]
        check(state, models, ids)
    check_state(state.db)
    state.close()


def check(state: MemoryState, models: dict[str, Model], ids: dict[tuple[str, object], int]) -> None:
    expected = [(key, 0 if version_id == "null" else ids[key, version_id], data, at == 0)
                for key in sorted(models) for at, (version_id, data) in enumerate(models[key].versions)]
    found = [(row.key, row.version_id,
              None if row.is_marker else questions.whole_version(state.db, object_path("admin", row.key), row).inline,
              row.is_latest) for row in rows(state)]
    assert found == expected
    for key, model in models.items():
        assert current(state, key) == (model.versions[0][1] if model.versions else None)
        assert questions.versions_of(state.db, object_path("admin", key)) == [
            row for row in rows(state) if row.key == key]
    keys = [row[0] for row in queries_objects.list_objects(
        state.db, queries_objects.bucket_facts(state.db, "admin").bucket_no,  # type: ignore[union-attr]
        prefix="", delimiter="", after="", limit=100).rows]
    assert keys == [key for key in sorted(models) if models[key].versions and models[key].versions[0][1] is not None]


def test_walks_begin_anywhere_and_know_prefixes(state: MemoryState) -> None:
    enable(state)
    names = ["a", "a/b", "a/b/c", "a/", "a-", "b", "b/x/y", "b/x/", "c/d", "ab", "ü", "a/b/"]
    for name in names:
        put(state, name, b"1")
        put(state, name, b"2")
        if name < "b":
            delete(state, name)
    everything = [row.key for row in rows(state)]
    assert everything == sorted(name for name in names for _ in range(3 if name < "b" else 2))
    for after in [*names, "a/a", "b/x/z", "zz", "A"]:
        assert [row.key for row in rows(state, "", after)] == [key for key in everything if key > after], after
    for prefix in ["a", "a/", "a/b", "b/x/", "x", "a/b/c", "b/"]:
        for after in ["", "a/b", "b", "b/x/y", "a/b/"]:
            assert [row.key for row in rows(state, prefix, after)] == [
                key for key in everything if key.startswith(prefix) and key > after], (prefix, after)


def test_a_bucket_that_never_had_versions_knows_no_ids_and_no_markers(state: MemoryState) -> None:
    assert put(state, "a", b"1") == 0 and put(state, "a", b"2") == 0
    assert [(row.version_id, row.is_latest) for row in rows(state)] == [(0, True)]
    assert delete(state, "a") == 0
    enable(state)
    put(state, "b", b"1")
    assert [(row.key, row.version_id > 0) for row in rows(state) if row.is_latest] == [("b", True)]


def test_the_trash_brings_back_bytes_not_markers(state: MemoryState) -> None:
    enable(state)
    put(state, "a", b"1")
    delete(state, "a")
    state.accept(Undelete(header(at_ms=1), "admin/a"))
    assert current(state, "a") == b"1"


def test_what_is_said_of_a_version_changes_in_place(state: MemoryState) -> None:
    enable(state)
    old, new = put(state, "d/", b"1"), put(state, "d/", b"2")
    state.accept(MarkObject(header(at_ms=1), "admin/d/", old, {"k": "old"}))
    state.accept(MarkObject(header(at_ms=1), "admin/d/", 0, {"k": "new"}, {"@acl": "public-read"}))
    path = object_path("admin", "d/")
    said = {row.version_id: questions.whole_version(state.db, path, row) for row in questions.versions_of(state.db,
                                                                                                          path)}
    assert said[old].tags == {"k": "old"} and said[new].tags == {"k": "new"}
    assert said[new].meta["@acl"] == "public-read" and "@acl" not in said[old].meta
    state.accept(MarkObject(header(at_ms=1), "admin/d/", new, None, {"@acl": ""}))
    assert "@acl" not in questions.whole_version(state.db, path, questions.versions_of(state.db, path)[0]).meta
    for command, code in ((MarkObject(header(at_ms=1), "admin/d/", 99, {}), "VersionNotFound"),
                          (MarkObject(header(at_ms=1), "admin/x", 0, {}), "FileNotFound"),
                          (MarkObject(header(at_ms=1), "admin/d/", 0, None, {"x": "y"}), "RequestError")):
        assert state.reject(command).code == code


def test_a_lifecycle_ends_what_is_still_as_the_leader_saw_it(state: MemoryState) -> None:
    put(state, "a", b"1")
    seen = rows(state)[0]
    put(state, "a", b"2")
    expire = ExpireObjects(header(0, at_ms=1), state.term, "admin", (("a", seen.version_no), ("b", 5)))
    assert state.accept(expire).facts == {"expired": 1} and current(state, "a") == b"2"
    now = rows(state)[0]
    again = ExpireObjects(header(0, at_ms=1), state.term, "admin", (("a", now.version_no),))
    assert state.accept(again).facts == {"expired": 1} and current(state, "a") is None
    assert state.reject(ExpireObjects(header(0, at_ms=1), state.term + 1, "admin", ())).code == "TermStale"


def test_a_bucket_that_is_made_again_from_its_trash_has_no_versions_of_the_old_one(state: MemoryState) -> None:
    """It takes up the folder of the removed one, and with it what is kept in memory of that folder."""
    state.accept(MakeFolder(header(at_ms=1), "again"))
    state.accept(SetBucketDocument(header(at_ms=1), "again", "versioning", b"Enabled"))
    assert state.accept(put_object("again/a", b"one")).facts["version_no"]
    state.accept(DeleteFile(header(at_ms=1), "again/a"))
    state.accept(RemoveFolder(header(at_ms=1), "again"))
    state.accept(MakeFolder(header(at_ms=1), "again"))
    assert "version_no" not in state.accept(put_object("again/b", b"two")).facts
