"""Restoring through real doors: a tree from one cluster into another, also when it is interrupted on its way."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fluffy.base.errors import BackupDamaged, PeerUnreachable, Rebuilding, RebuildRefused
from fluffy.base.ids import NodeNo
from fluffy.client.rebuild.workfile import begin_placing, end_placing, files_without_bytes, note_held
from fluffy.client.sync import Fluffy
from fluffy.client.verbs.disaster_steps import Rebuilder
from fluffy.core.metadata.packing import unpack_nodes
from fluffy.core.metadata.rebuild_steps import Step
from tests.client.shell_door import door_in_thread
from tests.support.local_log import ADMIN_TOKEN, genesis_command
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import chunk, put, put_chunks
from tests.support.native_door import Door


def quiet(_stage: str, _done: int, _total: int | None) -> None:
    return


@pytest.fixture
def backup(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A backup with the digest of its tree."""
    with door_in_thread(tmp_path / "old") as door, Fluffy(door.url, ADMIN_TOKEN) as old:
        for number in range(8):
            old.put(f"/admin/d/{number}", bytes([number]) * 100, tags={"n": str(number)})
        old.put("/admin/large", b"x" * 5_000)
        old.delete("/admin/d/3")
        old.add_user("bob", password="correct horse battery")
        old.backup(tmp_path / "b.fluffy")
        yield tmp_path / "b.fluffy", str(old.tree_digest()["digest"])


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with door_in_thread(tmp_path / "new") as door:
        yield door


def test_everything_is_there_and_what_has_no_bytes_is_named(backup: tuple[Path, str], door: Door) -> None:
    path, digest = backup
    with Fluffy(door.url, ADMIN_TOKEN) as new:
        result = new.restore_backup(path, quiet)
        assert result.digest == digest == new.tree_digest()["digest"]
        assert [(lost, generation) for lost, generation, _ in result.lost] == [("/admin/large", 1)]
        assert set(result.silent) == {"one", "two", "three"}, "no node of this cluster but the door is there"
        assert new.get("/admin/d/4") == b"\x04" * 100
        assert sorted(path.parent.iterdir()) == [path, path.parent / "new", path.parent / "old"]
        with pytest.raises(RebuildRefused):
            new.restore_backup(path, quiet)


def test_an_interrupted_restore_goes_on_and_keeps_everybody_out(
        backup: tuple[Path, str], door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    path, digest = backup
    sent: list[int] = []
    whole = Rebuilder.rebuild_step

    async def breaks(self: Rebuilder, rebuild_id: str, step: Step) -> int:
        if len(sent) == 3:
            raise PeerUnreachable("the line is cut")
        sent.append(step.number)
        return await whole(self, rebuild_id, step)

    with Fluffy(door.url, ADMIN_TOKEN, patience_s=0.5) as new:
        monkeypatch.setattr(Rebuilder, "rebuild_step", breaks)
        with pytest.raises(PeerUnreachable):
            new.restore_backup(path, quiet)
        with pytest.raises(Rebuilding):
            new.put("/admin/x", b"x")
        sent.clear()
        monkeypatch.setattr(Rebuilder, "rebuild_step", whole)
        assert new.restore_backup(path, quiet).digest == digest == new.tree_digest()["digest"]
        new.put("/admin/x", b"x")


def test_what_is_given_up_leaves_an_empty_cluster(
        backup: tuple[Path, str], door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(self: Rebuilder, rebuild_id: str, step: Step) -> int:
        raise PeerUnreachable("the line is cut")

    with Fluffy(door.url, ADMIN_TOKEN, patience_s=0.5) as new:
        with monkeypatch.context() as patch:
            patch.setattr(Rebuilder, "rebuild_step", breaks)
            with pytest.raises(PeerUnreachable):
                new.restore_backup(backup[0], quiet)
        new.abandon_restore()
        with pytest.raises(RebuildRefused):
            new.abandon_restore()
        new.put("/admin/x", b"x")
        assert [entry.name for entry in new.ls("/admin")] == ["x"]


def test_a_damaged_backup_changes_nothing(backup: tuple[Path, str], door: Door) -> None:
    path, _ = backup
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE versions SET size = size + 1")
        db.commit()
    with Fluffy(door.url, ADMIN_TOKEN) as new:
        with pytest.raises(BackupDamaged):
            new.restore_backup(path, quiet)
        path.write_bytes(b"no database at all" * 100)
        with pytest.raises(BackupDamaged):
            new.restore_backup(path, quiet)
        new.put("/admin/x", b"x")


def test_only_what_was_seen_on_a_disk_counts_as_a_copy() -> None:
    state = MemoryState(genesis_command(at_ms=0))
    with closing(state.db):
        for command in (put_chunks("admin/a", 1, 2), put_chunks("admin/d/b", 3), put("admin/c")):
            state.accept(command)
        begin_placing(state.db)
        for node_no, numbers in ((2, (1, 2)), (1, (1,)), (3, (1, 2)), (2, (1,))):
            note_held(state.db, NodeNo(node_no), [chunk(number) for number in numbers])
        assert end_placing(state.db) == 1
        rows = state.db.execute("SELECT chunk_id, copies, replicas FROM chunks ORDER BY chunk_id").fetchall()
        assert [(copies, unpack_nodes(replicas)) for _, copies, replicas in rows] == [
            (3, (1, 2, 3)), (2, (2, 3)), (0, ())]
        assert [one.path for one in files_without_bytes(state.db)] == ["/admin/d/b"]
