"""From manifests alone the tree comes back as it was, whatever happened and whenever it was written down."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.client.rebuild.pile import NodeStock, Pile
from fluffy.client.rebuild.salvage import Salvage
from fluffy.core.metadata.commands import Command, MakeFolder, RemoveFolder
from fluffy.core.metadata.commands_people import AddUser, SetGrant
from fluffy.core.metadata.commands_tree import DeleteFolder, Move, SetBucketRules, SetTags, Undelete
from fluffy.core.metadata.manifest import HeadManifest
from fluffy.core.metadata.soundness import unsound
from fluffy.core.metadata.tree_digest import tree_digest
from fluffy.wire.manifest_records import MAGIC, encode_manifest
from tests.support.local_log import genesis_command, header
from tests.support.manifest_world import Writer, salvage, tree_of
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import chunk, delete, put, put_chunks
from tests.support.metadata_recount import check_state
from tests.support.metadata_strategies import NAMES, PUTS, TREE


def born() -> MemoryState:
    return MemoryState(genesis_command(at_ms=0))


def restored(tmp_path: Path, *writers: Writer) -> sqlite3.Connection:
    db, _, pile = salvage([writer.segment() for writer in writers], tmp_path)
    pile.close()
    return db


def test_everything_comes_back_with_owners_tags_generations_people(tmp_path: Path) -> None:
    state = born()
    writer = Writer(state.db)
    for command in (
            put("admin/a", b"one"), put("admin/a", b"two"), put_chunks("team/d/big", 1, 2, 1), put("admin/x", b"x"),
            delete("admin/x"), MakeFolder(header(), "admin/empty"), AddUser(header(), "bob", "user", b"scrypt"),
            SetGrant(header(), "team", "bob", "write"), SetBucketRules(header(), "team", None, 5, 2),
            SetTags(header(), "admin/a", {"ü": "日"}), Move(header(), "team/d", "admin/moved")):
        state.accept(command)
        writer.follow()
    writer.catch_up()
    db = restored(tmp_path, writer)
    with closing(db):
        old, new = tree_digest(state.db), tree_digest(db)
        assert (new.tree, new.people) == (old.tree, old.people)
        assert unsound(db) == []
        assert db.execute("SELECT floor >= 1 FROM folders WHERE key = 'admin/'").fetchone() == (1,)


COMMANDS = PUTS | NAMES | TREE


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(COMMANDS, st.integers(0, 3)), max_size=40), st.integers(1, 4), st.randoms())
def test_whatever_happened_and_whenever_it_was_written_down(
        steps: list[tuple[Command, int]], limit: int, chance: random.Random) -> None:
    state = born()
    writers = [Writer(state.db, limit), Writer(state.db, limit + 3), Writer(state.db, 50)]
    for command, turns in steps:
        state.run(command)
        for _ in range(turns):
            writer = chance.choice(writers)
            chance.choice([writer.follow, writer.build])()
        if chance.random() < 0.03:
            chance.choice(writers).anew()
    with tempfile.TemporaryDirectory() as folder, closing(state.db):
        ahead, behind, dead = writers
        ahead.catch_up()
        chance.choice([behind.catch_up, behind.follow])()
        wanted = tree_digest(state.db).tree
        assert tree_of([ahead.segment()], named(folder, "one")) == wanted, "one node that knows all is enough"
        segments = [ahead.segment(), behind.segment(), dead.segment()]
        chance.shuffle(segments)
        assert tree_of(segments, named(folder, "all")) == wanted, "those that lag take nothing back"


def named(folder: str, name: str) -> Path:
    path = Path(folder) / name
    path.mkdir()
    return path


@pytest.mark.parametrize("seen_after", [(), (0,), (1,), (0, 1, 2)])
def test_what_was_in_a_folder_that_is_made_anew_stays_deleted(tmp_path: Path, seen_after: tuple[int, ...]) -> None:
    """Its deletion is told only by a path that leads nowhere when it is looked at."""
    state = born()
    writer = Writer(state.db, 50)
    state.accept(put("admin/d/x", b"x"))
    writer.catch_up()
    for number, command in enumerate((
            delete("admin/d/x"), RemoveFolder(header(), "admin/d"), MakeFolder(header(), "admin/d"))):
        state.accept(command)
        if number in seen_after:
            writer.follow()
    writer.catch_up()
    with closing(restored(tmp_path, writer)) as db:
        assert db.execute("SELECT count(*) FROM entries WHERE key = 'x'").fetchone() == (0,)
        assert tree_digest(db).tree == tree_digest(state.db).tree


def test_what_a_node_that_lags_still_knows_stays_deleted(tmp_path: Path) -> None:
    """The node that saw it go has written everything anew since: it says nothing of it any more."""
    state = born()
    behind, ahead = Writer(state.db), Writer(state.db)
    state.accept(put("admin/x", b"x"))
    state.accept(put("admin/y", b"y"))
    behind.catch_up()
    state.accept(delete("admin/x"))
    ahead.anew()
    ahead.catch_up()
    with closing(restored(tmp_path, behind, ahead)) as db:
        assert [key for (key,) in db.execute("SELECT key FROM entries WHERE version_no != 0")] == ["y"]


def test_what_was_undeleted_comes_back_with_what_changed_before(tmp_path: Path) -> None:
    state = born()
    writer = Writer(state.db, 50)
    state.accept(put("admin/d/old", b"x"))
    writer.catch_up()
    for command in (put("admin/d/new", b"n"), delete("admin/d/old"), DeleteFolder(header(), "admin/d")):
        state.accept(command)
    writer.follow()
    state.accept(Undelete(header(), "admin/d"))
    writer.catch_up()
    with closing(restored(tmp_path, writer)) as db:
        assert tree_digest(db).tree == tree_digest(state.db).tree


def test_a_file_whose_bytes_are_gone_is_named_and_an_older_generation_taken(tmp_path: Path) -> None:
    state = born()
    writer = Writer(state.db)
    state.accept(put_chunks("admin/a", 1))
    writer.follow()
    for command in (put_chunks("admin/a", 2), put_chunks("admin/lost", 3, 4), put("admin/small", b"s")):
        state.accept(command)
    writer.catch_up()
    db, found, pile = salvage([writer.segment()], tmp_path, held=[(chunk(1), 1), (chunk(1), 2), (chunk(3), 1)])
    with closing(db), closing(pile):
        assert dict(db.execute("SELECT key, generation FROM entries WHERE version_no != 0")) == {"a": 1, "small": 1}
        assert [(path, generation) for path, generation, _ in found.lost()] == [("/admin/a", 1), ("/admin/lost", 1)]
        assert (found.sums.lost, found.sums.older) == (1, 1)
        assert unsound(db) == []


@pytest.mark.parametrize("at", range(40, 900, 37))
def test_damage_costs_the_records_in_it_and_brings_nothing_back(tmp_path: Path, at: int) -> None:
    state = born()
    writer, whole = Writer(state.db), Writer(state.db)
    for number in range(6):
        state.accept(put(f"admin/{number}", bytes([number])))
    writer.catch_up()
    whole.catch_up()
    state.accept(delete("admin/3"))
    writer.catch_up()
    data = bytearray(writer.segment())
    data[at % len(data)] ^= 0x55
    db, _, pile = salvage([bytes(data), whole.segment()], tmp_path)
    with closing(db), closing(pile):
        names = {key for (key,) in db.execute("SELECT key FROM entries WHERE version_no != 0")}
        assert names >= {"0", "1", "2", "4", "5"}, "the other node has them"
        assert unsound(db) == []


def test_a_restored_state_is_one_that_the_state_machine_goes_on_with(tmp_path: Path) -> None:
    state = born()
    writer = Writer(state.db)
    for command in (put_chunks("admin/d/a", 1, 2), put("admin/b", b"b"), put("admin/b", b"bb"),
                    SetBucketRules(header(), "admin", None, None, 2)):
        state.accept(command)
    writer.catch_up()
    with closing(restored(tmp_path, writer)) as db:
        db.execute("INSERT INTO cluster SELECT 1, 'u', 'c', 0, 3, 2, 8388608, 16384, 7, 100")
        for no in (1, 2, 3):
            db.execute("INSERT INTO nodes VALUES (?, ?, ?, 'z', 'h', 1, 1, 1, 1, ?, ?)",
                       (no, str(no), str(no), *((2, 2 << 20) if no == 1 else (0, 0))))
        check_state(db)


def test_small_files_that_say_much_of_themselves_come_back_like_others(tmp_path: Path) -> None:
    """A record counts what is said of its files, not only their bytes: beyond its bound nobody could read it."""
    state = born()
    writer = Writer(state.db, 1_000)
    writer.catch_up()
    texts = {str(number): "x" * 500 for number in range(16)}
    for number in range(130):
        state.accept(put(f"admin/{number:03}" + "k" * 200, b"x", meta=texts, tags=texts))
    writer.catch_up()
    with closing(restored(tmp_path, writer)) as db:
        assert tree_digest(db).tree == tree_digest(state.db).tree


def test_a_node_that_lost_the_end_of_a_segment_takes_nothing_from_what_others_say(tmp_path: Path) -> None:
    """It cannot say that it saw go what it says nothing of. The next segment tells how far this one was."""
    state = born()
    writer = Writer(state.db)
    state.accept(put("admin/x", b"x"))
    writer.catch_up()
    cut = writer.segment()
    state.accept(put("admin/y", b"y"))
    writer.catch_up()
    following = MAGIC + encode_manifest(HeadManifest("u", writer.series, 2, writer.mark))
    torn, whole, other = NodeStock("torn"), NodeStock("whole"), NodeStock("other")
    with closing(Pile(tmp_path / "pile")) as pile:
        for bit, (stock, segments) in enumerate((
                (torn, (cut, following)), (whole, (writer.segment(), following)), (other, (writer.segment(),)))):
            for data in segments:
                pile.add(bit, stock, data)
            pile.finish(bit, stock)
        assert (torn.whole_seq, whole.whole_seq) == (None, writer.mark.seq)
        found = Salvage(pile, [torn, whole, other])
        found.note_needed()
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
            found.build(db, replication=3)
            assert tree_digest(db).tree == tree_digest(state.db).tree
