"""Reading the metadata beside its writer: snapshots, the moving link, deadlines, bounds."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded, NotReady, Overloaded
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.machine import open_state
from fluffy.drivers import meta_reader
from fluffy.drivers.meta_reader import LINK_NAME, MetaReader
from fluffy.drivers.raft.state_store import connect_writer
from tests.support.local_log import BornCluster, born_cluster
from tests.support.metadata_commands import put

# Counts far enough to run for minutes unless it is stopped.
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000000000) SELECT count(*) FROM n"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[BornCluster]:
    with born_cluster(tmp_path) as born:
        yield born


def count_files(db: sqlite3.Connection) -> int:
    return queries.usage(db).files


def endless(db: sqlite3.Connection) -> int:
    return int(db.execute(ENDLESS).fetchone()[0])


def test_a_read_sees_every_commit_before_it_and_none_of_a_batch_before_its_end(cluster: BornCluster) -> None:
    for number in range(5):
        cluster.log.apply(put(f"admin/{number}"))
        assert cluster.reader.read(count_files) == number + 1
    machine = cluster.log.machine
    machine.begin()
    machine.apply(machine.applied_index + 1, 1, [put("admin/x"), put("admin/y")])
    assert cluster.reader.read(count_files) == 5
    machine.commit()
    assert cluster.reader.read(count_files) == 7


def test_one_read_is_one_moment(cluster: BornCluster) -> None:
    def twice(db: sqlite3.Connection) -> tuple[int, int]:
        first = count_files(db)
        cluster.log.apply(put("admin/meanwhile"))
        return first, count_files(db)
    assert cluster.reader.read(twice) == (0, 0)
    assert cluster.reader.read(count_files) == 1


def test_readers_cannot_write(cluster: BornCluster) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        cluster.reader.read(lambda db: db.execute("DELETE FROM entries"))
    assert cluster.reader.read(count_files) == 0


async def test_a_query_that_fails_leaves_a_reader_that_works(cluster: BornCluster) -> None:
    def fail(db: sqlite3.Connection) -> None:
        db.execute("SELECT * FROM state")
        raise ValueError("ours")
    for _ in range(3):
        with pytest.raises(ValueError, match="ours"):
            cluster.reader.read(fail)
        with pytest.raises(ValueError, match="ours"):
            await cluster.reader.read_in_thread(fail, Deadline.after(5))
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            cluster.reader.read(lambda db: db.execute("SELECT * FROM nonsense"))
    assert cluster.reader.read(count_files) == 0
    assert await cluster.reader.read_in_thread(count_files, Deadline.after(5)) == 0


async def test_an_installed_checkpoint_is_noticed(cluster: BornCluster) -> None:
    deadline = Deadline.after(5)
    assert cluster.reader.read(count_files) == await cluster.reader.read_in_thread(count_files, deadline) == 0
    copy = cluster.node_dir / "checkpoint"
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        cluster.log.db.backup(db)
        machine = open_state(db)
        machine.begin()
        machine.apply(machine.applied_index + 1, 1, [put("admin/from-the-checkpoint")])
        machine.commit()
    cluster.log.store.adopt(copy)
    assert cluster.reader.read(count_files) == await cluster.reader.read_in_thread(count_files, deadline) == 1
    assert [file.name for file in cluster.node_dir.glob("meta.*.db")] == ["meta.2.db"]
    cluster.log.apply(put("admin/later"))
    assert cluster.reader.read(count_files) == await cluster.reader.read_in_thread(count_files, deadline) == 2


def test_a_file_replaced_while_it_is_opened_is_found_at_its_new_place(
        cluster: BornCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    moved = []

    def slow_connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        if not moved:
            moved.append(True)
            (cluster.node_dir / "meta.1.db").rename(cluster.node_dir / "meta.2.db")
            (cluster.node_dir / LINK_NAME).unlink()
            (cluster.node_dir / LINK_NAME).symlink_to("meta.2.db")
        return connect(*arguments, **options)

    cluster.log.close()
    monkeypatch.setattr(sqlite3, "connect", slow_connect)
    assert cluster.reader.read(count_files) == 0 and moved


def test_reads_go_on_without_the_log_process(cluster: BornCluster) -> None:
    cluster.log.apply(put("admin/a"))
    cluster.log.close()
    assert cluster.reader.read(count_files) == 1
    with closing(MetaReader(cluster.node_dir)) as other:
        assert other.read(count_files) == 1


def test_without_a_database_the_node_is_not_ready(tmp_path: Path) -> None:
    with closing(MetaReader(tmp_path)) as reader:
        with pytest.raises(NotReady):  # no link
            reader.read(count_files)
        (tmp_path / LINK_NAME).symlink_to("meta.1.db")
        with pytest.raises(NotReady):  # nothing behind it
            reader.read(count_files)
        with closing(connect_writer(tmp_path / "meta.1.db")) as db:
            with pytest.raises(NotReady):  # no tables yet
                reader.read(count_files)
            open_state(db)
            assert reader.read(count_files) == 0
            db.execute("PRAGMA user_version = 77")
        with closing(MetaReader(tmp_path)) as other, pytest.raises(NotReady):  # another program's tables
            other.read(count_files)


def test_a_folder_name_may_be_odd(tmp_path: Path) -> None:
    with born_cluster(tmp_path / "a b?#%41ü") as cluster:
        assert cluster.reader.read(count_files) == 0


async def test_a_scan_ends_at_its_deadline_and_frees_its_thread(cluster: BornCluster) -> None:
    for _ in range(2 * meta_reader.THREADS):
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await cluster.reader.read_in_thread(endless, Deadline.after(0.05))
        assert time.monotonic() - began < 5
    assert await cluster.reader.read_in_thread(count_files, Deadline.after(5)) == 0


async def test_a_cancelled_scan_stops(cluster: BornCluster) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(cluster.reader.read_in_thread(endless, Deadline.after(600)))
                 for _ in range(meta_reader.THREADS + 1)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
    assert await cluster.reader.read_in_thread(count_files, Deadline.after(10)) == 0


async def test_waiting_scans_are_bounded(cluster: BornCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_reader, "SCANS_MAX", 3)
    go = threading.Event()

    def wait(db: sqlite3.Connection) -> int:
        go.wait(30)
        return count_files(db)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(cluster.reader.read_in_thread(wait, Deadline.after(30))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await cluster.reader.read_in_thread(count_files, Deadline.after(30))
        go.set()
    assert [task.result() for task in tasks] == [0, 0, 0]
    assert await cluster.reader.read_in_thread(count_files, Deadline.after(5)) == 0


async def test_scans_while_the_writer_writes_see_whole_commits(cluster: BornCluster) -> None:
    def halves(db: sqlite3.Connection) -> tuple[int, int]:
        page = queries.list_folder(db, parse_path("admin"), None, 10_000)
        names = [entry.name for entry in page.entries]
        return sum(name.startswith("l") for name in names), sum(name.startswith("r") for name in names)

    async with asyncio.TaskGroup() as group:
        scans = []
        for number in range(100):
            cluster.log.apply_all([put(f"admin/l{number}"), put(f"admin/r{number}")])
            scans.append(group.create_task(cluster.reader.read_in_thread(halves, Deadline.after(20))))
            await asyncio.sleep(0.001)
            if number >= 30:
                await scans[number - 30]
    assert all(left == right for left, right in (scan.result() for scan in scans))


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    with born_cluster(tmp_path) as cluster:
        cluster.reader.read(count_files)
        cluster.reader.close()
        cluster.reader.close()
    shutil.rmtree(tmp_path / "one")
