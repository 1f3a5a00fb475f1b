"""A backup brings everything back into an empty cluster, step by step, and nothing into one that is not empty."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.base.errors import BackupDamaged
from fluffy.base.ids import UserNo
from fluffy.core.metadata.backup import check_backup, label_backup
from fluffy.core.metadata.commands import Command, MakeFolder, RemoveFolder
from fluffy.core.metadata.commands_people import AddUser, SetGrant
from fluffy.core.metadata.commands_rebuild import AbandonRebuild, BeginRebuild, EndRebuild, RebuildRows
from fluffy.core.metadata.commands_tree import DeleteFolder, Move, SetBucketRules, SetTags
from fluffy.core.metadata.commands_uploads import BeginUpload, PutPart
from fluffy.core.metadata.outcomes import Accepted
from fluffy.core.metadata.rebuild_steps import ending_of, steps_of
from fluffy.core.metadata.rebuilt_tables import LEFT, REBUILT, columns_of
from fluffy.core.metadata.soundness import unsound
from fluffy.core.metadata.tree_digest import tree_digest
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import chunk, delete, nodes, put, put_chunks
from tests.support.metadata_recount import check_state

REBUILD = b"r" * 16


def lived() -> MemoryState:
    """A cluster in which a bit of everything has happened."""
    state = MemoryState(genesis_command(at_ms=0))
    commands: list[Command] = [
        put("admin/a", b"one"), put("admin/a", b"two"), put("admin/docs/deep/b", b"x" * 300),
        put_chunks("admin/big", 1, 2, 1), put_chunks("team/big", 2, 3, on=(1, 2)), put("admin/gone", b"away"),
        delete("admin/gone"), put("admin/purged", b"p"), delete("admin/purged", purge=True),
        MakeFolder(header(), "admin/empty"), put("admin/old/c", b"c"), DeleteFolder(header(), "admin/old"),
        Move(header(), "admin/docs", "team/papers"), SetTags(header(), "admin/a", {"colour": "blau", "ü": "日"}),
        AddUser(header(), "bob", "user", b"scrypt of a password"), SetGrant(header(), "team", "bob", "write"),
        SetBucketRules(header(), "team", 30, 5, 2),
        BeginUpload(header(), b"u" * 16, "team/parts", 86_400_000, 1 << 20, 300, "", {}, {}),
        PutPart(header(), b"u" * 16, 1, 300, b"r" * 32, "ee", ((chunk(9), 300),), (nodes(1, 3),))]
    for command in commands:
        state.accept(command)
    check_state(state.db)
    return state


@pytest.fixture
def old() -> Iterator[MemoryState]:
    state = lived()
    with closing(state.db):
        yield state


@pytest.fixture
def new() -> Iterator[MemoryState]:
    state = MemoryState(genesis_command(at_ms=0))
    with closing(state.db):
        yield state


def rebuild(new: MemoryState, source: sqlite3.Connection, *, stop_after: int | None = None) -> None:
    begun = new.accept(BeginRebuild(header(), REBUILD, "digest"))
    taken = 0
    for step in steps_of(source):
        if step.number < begun.facts["next_step"]:
            continue
        if taken == stop_after:
            return
        new.accept(RebuildRows(header(), REBUILD, step.number, step.table, step.rows))
        taken += 1
    end(new, source)


def end(new: MemoryState, source: sqlite3.Connection) -> Accepted:
    steps = sum(1 for _ in steps_of(source))
    last = ending_of(source)
    return new.accept(EndRebuild(header(), REBUILD, steps, last.seq, last.last_no, last.clock_ms, last.files,
                                 last.file_bytes))


def test_everything_comes_back_and_the_state_is_sound(old: MemoryState, new: MemoryState) -> None:
    assert unsound(old.db) == []
    rebuild(new, old.db)
    check_state(new.db)
    assert tree_digest(new.db) == tree_digest(old.db)
    assert new.db.execute("SELECT cluster_uuid FROM cluster").fetchone() != old.db.execute(
        "SELECT cluster_uuid FROM cluster").fetchone()
    new.accept(put("admin/a", b"three"))
    new.accept(put("team/papers/deep/more", b"m"))
    new.accept(delete("admin/big"))
    assert new.db.execute("SELECT generation FROM entries WHERE key = 'a'").fetchone() == (3,)
    check_state(new.reopened().db)


def test_it_is_the_same_wherever_a_transaction_ends() -> None:
    """A node that catches up applies in one transaction what others applied in several."""
    commands = [genesis_command(at_ms=0), MakeFolder(header(), "soon-gone"), RemoveFolder(header(), "soon-gone"),
                BeginRebuild(header(), REBUILD, "digest"), AbandonRebuild(header(), REBUILD),
                BeginRebuild(header(), REBUILD, "digest")]
    digests = set()
    for cuts in ([], *([(cut, True)] for cut in range(1, len(commands)))):
        state = MemoryState(born=False)
        with closing(state.db):
            assert all(isinstance(outcome, Accepted) for outcome in state.run_in_batches(commands, cuts))
            digests.add(state.machine.digest())
    assert len(digests) == 1


def test_the_digest_sees_every_kind_of_difference(old: MemoryState) -> None:
    changes: list[Command] = [
        put("admin/a", b"two"), SetTags(header(), "admin/a", {"colour": "grün"}), MakeFolder(header(), "team/x"),
        SetGrant(header(), "team", "bob", "read"), SetBucketRules(header(), "team", 31, 5, 2), delete("team/big"),
        AddUser(header(), "carl", "user")]
    seen = {tree_digest(old.db).digest}
    for change in changes:
        old.accept(change)
        seen.add(tree_digest(old.db).digest)
    assert len(seen) == len(changes) + 1


def test_a_rebuild_goes_on_where_it_was_and_keeps_everybody_out(old: MemoryState, new: MemoryState) -> None:
    rebuild(new, old.db, stop_after=3)
    assert new.reject(put("admin/x")).code == "Rebuilding"
    again = new.reopened()
    assert again.reject(put("admin/x")).code == "Rebuilding"
    assert again.reject(BeginRebuild(header(), b"o" * 16, "another")).code == "RebuildRefused"
    rebuild(again, old.db)
    check_state(again.db)
    assert tree_digest(again.db) == tree_digest(old.db)
    again.accept(put("admin/x"))


def test_a_repeated_step_happens_once_and_a_missing_one_is_told(old: MemoryState, new: MemoryState) -> None:
    new.accept(BeginRebuild(header(), REBUILD, "digest"))
    first, second, third = list(steps_of(old.db))[:3]
    for _ in range(2):
        new.accept(RebuildRows(header(), REBUILD, first.number, first.table, first.rows))
    wrong = new.reject(RebuildRows(header(), REBUILD, third.number, third.table, third.rows))
    assert wrong.code == "PreconditionFailed" and wrong.facts["next_step"] == second.number
    assert new.reject(EndRebuild(header(), REBUILD, 5, 0, 0, 0, 0, 0)).code == "PreconditionFailed"


def test_a_cluster_that_holds_anything_is_not_touched(old: MemoryState) -> None:
    before = tree_digest(old.db)
    refused = old.reject(BeginRebuild(header(), REBUILD, "digest"))
    assert refused.code == "RebuildRefused" and "files" in refused.message
    assert tree_digest(old.db) == before


def test_copies_that_are_being_dropped_are_something(new: MemoryState) -> None:
    new.db.execute("INSERT INTO drops VALUES (?, 1, 5, 7, 6)", (chunk(1),))
    new.db.execute("INSERT INTO drops VALUES (?, 2, 5, 0, 0)", (chunk(1),))
    refused = new.reject(BeginRebuild(header(), REBUILD, "digest"))
    assert refused.code == "RebuildRefused" and "1 copies being dropped" in refused.message


def test_who_is_no_admin_may_not_begin(new: MemoryState) -> None:
    assert new.reject(BeginRebuild(header(UserNo(7)), REBUILD, "digest")).code == "AccessDenied"


def test_what_is_given_up_leaves_an_empty_cluster(old: MemoryState, new: MemoryState) -> None:
    rebuild(new, old.db, stop_after=8)
    new.accept(AbandonRebuild(header(), REBUILD))
    check_state(new.db)
    new.accept(put("admin/x"))
    check_state(new.db)


@pytest.mark.parametrize("rows", [
    b"", b"\xc1", msgpack.packb(7), msgpack.packb([[1]]), msgpack.packb([["a"] * 10]),
    msgpack.packb([[5, b"x" * 32, 1, 1, 3, 1, b"\x80\x63", None]]), msgpack.packb([[2 ** 63] * 8])])
def test_rows_that_do_not_fit_are_refused_and_change_nothing(new: MemoryState, rows: bytes) -> None:
    new.accept(BeginRebuild(header(), REBUILD, "digest"))
    new.reject(RebuildRows(header(), REBUILD, 0, "chunks", rows))
    new.reject(RebuildRows(header(), REBUILD, 0, "state", b"\x90"))
    assert new.db.execute("SELECT count(*) FROM chunks").fetchone() == (0,)


VALUES = st.none() | st.integers(-2**63, 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(REBUILT), st.data())
def test_no_row_stops_the_state_machine(table: str, data: st.DataObject) -> None:
    state = MemoryState(genesis_command(at_ms=0))
    with closing(state.db):
        width = len(columns_of(state.db, table))
        rows = data.draw(st.lists(st.lists(VALUES, min_size=width, max_size=width), max_size=3))
        state.accept(BeginRebuild(header(), REBUILD, "digest"))
        state.run(RebuildRows(header(), REBUILD, 0, table, msgpack.packb(rows)))


def test_every_table_comes_back_or_has_a_reason_not_to(new: MemoryState) -> None:
    tables = {name for (name,) in new.db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")}
    assert tables == {*REBUILT, *LEFT} and not set(REBUILT) & set(LEFT)


def test_a_backup_proves_that_it_is_whole(old: MemoryState) -> None:
    label = label_backup(old.db, program="1", made_ms=5, node="one")
    assert check_backup(old.db) == label and label.files == 4
    old.db.execute("UPDATE versions SET size = size + 1 WHERE version_no = (SELECT max(version_no) FROM versions)")
    with pytest.raises(BackupDamaged):
        check_backup(old.db)


@pytest.mark.parametrize("damage", [
    "DELETE FROM versions WHERE retired_ms IS NULL", "DELETE FROM folders WHERE folder_no != 0",
    "UPDATE chunks SET refs = refs + 1", "DELETE FROM chunks", "UPDATE folders SET entries = 9 WHERE folder_no = 0",
    "UPDATE state SET last_no = 3", "DELETE FROM uploads"])
def test_what_would_stop_the_state_machine_is_found_before(old: MemoryState, damage: str) -> None:
    old.db.execute(damage)
    assert unsound(old.db) != []
