from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import NoLeader
from fluffy.base.hashing import chunk_id_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import PutFile
from fluffy.drivers.clock import SystemClock
from fluffy.services import replica_reports
from fluffy.services.replica_reports import ReplicaReporter
from tests.support.local_log import BornCluster, born_cluster, header

ONE, TWO, THREE = NodeNo(1), NodeNo(2), NodeNo(3)


def commit_chunk(cluster: BornCluster, number: int, replicas: tuple[NodeNo, ...] = (ONE, TWO)) -> ChunkId:
    chunk_id = chunk_id_of(b"chunk %d" % number)
    cluster.log.apply(PutFile(
        header(), f"admin/f{number}", 100_000, chunk_id, "e", "a/b", {}, {}, None, ((chunk_id, 100_000),), (replicas,)))
    return chunk_id


def replicas_of(cluster: BornCluster, chunk_id: ChunkId) -> tuple[NodeNo, ...]:
    return cluster.reader.read(lambda db: queries.chunk_replicas(db, [chunk_id]))[chunk_id]


@asynccontextmanager
async def running(cluster: BornCluster) -> AsyncIterator[ReplicaReporter]:
    reporter = ReplicaReporter(cluster.log, SystemClock(), ONE)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reporter.run())
        yield reporter
        task.cancel()


async def test_a_lost_and_a_gained_copy_reach_the_catalog(tmp_path: Path) -> None:
    with born_cluster(tmp_path) as cluster:
        chunk_id = commit_chunk(cluster, 1)
        async with running(cluster) as reporter:
            reporter.lost(chunk_id, ONE)
            reporter.gained(chunk_id, THREE)
            assert await reporter.flush(Deadline.after(5))
        assert replicas_of(cluster, chunk_id) == (TWO, THREE)


async def test_many_reports_travel_in_one_entry(tmp_path: Path) -> None:
    with born_cluster(tmp_path) as cluster:
        chunks = [commit_chunk(cluster, number) for number in range(50)]
        before = cluster.log.machine.applied_index
        async with running(cluster) as reporter:
            for chunk_id in chunks:
                reporter.gained(chunk_id, THREE)
            assert await reporter.flush(Deadline.after(5))
        assert cluster.log.machine.applied_index == before + 1
        assert all(replicas_of(cluster, chunk_id) == (ONE, TWO, THREE) for chunk_id in chunks)


async def test_the_newest_word_about_a_copy_wins(tmp_path: Path) -> None:
    with born_cluster(tmp_path) as cluster:
        chunk_id = commit_chunk(cluster, 1)
        async with running(cluster) as reporter:
            reporter.lost(chunk_id, TWO)
            reporter.gained(chunk_id, TWO)
            reporter.gained(chunk_id, THREE)
            reporter.lost(chunk_id, THREE)
            assert await reporter.flush(Deadline.after(5))
        assert replicas_of(cluster, chunk_id) == (ONE, TWO)


async def test_reports_wait_for_a_leader_and_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_reports, "BACK_OFF_FIRST_S", 0.02)
    with born_cluster(tmp_path) as cluster:
        chunk_id = commit_chunk(cluster, 1)
        cluster.log.refuse_with = NoLeader()
        async with running(cluster) as reporter:
            reporter.lost(chunk_id, ONE)
            assert not await reporter.flush(Deadline.after(0.3))
            assert reporter.pending == 1
            cluster.log.refuse_with = None
            assert await reporter.flush(Deadline.after(5))
        assert replicas_of(cluster, chunk_id) == (TWO,)


async def test_the_collection_is_bounded_and_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_reports, "PENDING_REPORTS_MAX", 3)
    with born_cluster(tmp_path) as cluster:
        chunks = [commit_chunk(cluster, number) for number in range(5)]
        async with running(cluster) as reporter:
            for chunk_id in chunks:
                reporter.gained(chunk_id, THREE)
            assert (reporter.pending, reporter.dropped) == (3, 2)
            assert await reporter.flush(Deadline.after(5))
        assert [len(replicas_of(cluster, chunk_id)) for chunk_id in chunks] == [2, 2, 3, 3, 3]
