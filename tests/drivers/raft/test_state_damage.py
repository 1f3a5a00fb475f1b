"""A database that is damaged is set aside, whoever finds it so; a checkpoint of a damaged one is not taken."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from fluffy.base.errors import NotReady
from fluffy.core.metadata import queries
from fluffy.drivers.meta_reader import DAMAGED_MARK, MetaReader
from fluffy.drivers.raft.checkpoint_files import CheckpointFiles, CheckpointHead, copy_state, hash_file
from fluffy.drivers.raft.checkpoints import recover_state
from fluffy.drivers.raft.disk import RealDisk
from fluffy.drivers.raft.journal import SegmentedJournal
from fluffy.drivers.raft.library import NO_OP
from fluffy.drivers.raft.state_store import StateStore
from fluffy.wire.log_entries import encode_command, encode_group
from tests.support.local_log import genesis_command

ENTRY = bytes([NO_OP])


def born(folder: Path) -> StateStore:
    store = StateStore(folder)
    store.apply([(2, 1, encode_group([encode_command(genesis_command())])), (3, 1, b"")])
    return store


def damage(path: Path, *, whole: bool) -> None:
    """Overwrite the file, or only what lies behind its first page."""
    data = bytearray(path.read_bytes())
    start = 0 if whole else 4096
    data[start:] = b"\x5a" * (len(data) - start)
    path.write_bytes(data)


def closed(store: StateStore) -> Path:
    store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    return store.path


def test_what_cannot_be_opened_is_set_aside(tmp_path: Path) -> None:
    path = closed(born(tmp_path))
    damage(path, whole=True)
    with closing(StateStore(tmp_path)) as store:
        assert store.applied_index == 0 and store.path != path
        assert path.with_name(path.name + ".damaged").exists()


def test_what_a_reader_finds_damaged_is_made_anew_at_the_next_start(tmp_path: Path) -> None:
    path = closed(born(tmp_path))
    damage(path, whole=False)
    reader = MetaReader(tmp_path)
    with pytest.raises(NotReady):
        reader.read(queries.cluster_state)
    reader.close()
    assert (tmp_path / DAMAGED_MARK).exists()
    with closing(StateStore(tmp_path)) as store:
        assert store.applied_index == 0
    assert not (tmp_path / DAMAGED_MARK).exists()


def publish(files: CheckpointFiles, source: Path, index: int, *, damaged: bool) -> None:
    copied = copy_state(source, files.folder)
    if damaged:
        damage(copied.path, whole=False)
    head = CheckpointHead(index, copied.path.stat().st_size, hash_file(copied.path),
                          ((ENTRY, index - 1, 1), (ENTRY, index, 1)))
    files.publish(copied.path, head)


def test_a_checkpoint_of_a_damaged_database_is_passed_over(tmp_path: Path) -> None:
    store = born(tmp_path)
    (tmp_path / "log").mkdir()
    journal = SegmentedJournal(RealDisk(tmp_path / "log", fsync=False))
    for index in range(1, 8):
        journal.add(ENTRY, index, 1)
    journal.sync()
    files = CheckpointFiles(tmp_path / "checkpoints")
    publish(files, store.path, 3, damaged=False)
    store.apply([(4, 1, b"")])
    publish(files, store.path, 4, damaged=True)
    journal.compact_to(3)
    path = closed(store)
    damage(path, whole=True)
    with closing(StateStore(tmp_path)) as again:
        recover_state(again, files, journal)
        assert again.applied_index == 3
        assert queries.cluster_state(again.db) is not None
