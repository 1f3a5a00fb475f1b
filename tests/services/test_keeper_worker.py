"""Jobs from the log are done once, told in batches, stolen when idle; nothing is deleted without the log's grant."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import OutcomeUnknown
from fluffy.base.ids import ChunkId, NodeNo, RequestId, UserNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import (
    FEATURE_LEVEL,
    DeleteFile,
    Header,
    NodeState,
    PublishPlacement,
    SetFeatureLevel,
)
from fluffy.core.metadata.commands_jobs import AssignJobs, FinishJobs, JobOrder, JobResult, LeaseJobs, RequestScrub
from fluffy.core.metadata.job_rules import priority_of
from fluffy.core.metadata.model_jobs import Job
from fluffy.drivers.clock import SystemClock
from fluffy.services.keeper.worker import Worker
from tests.support.keeper_world import KeeperWorld, keeper_world
from tests.support.local_log import header

ONE, TWO, THREE = NodeNo(1), NodeNo(2), NodeNo(3)
DATA = bytes(range(256)) * 400


def by_cluster() -> Header:
    return Header(RequestId(b""), SystemClock().now_ms(), ONE, UserNo(0))


def assign(world: KeeperWorld, kind: str, node: int, *chunks: ChunkId, left: int = 2) -> None:
    orders = tuple(JobOrder(kind, chunk_id, NodeNo(node), priority_of(kind, left), len(DATA), "copies")
                   for chunk_id in chunks)
    world.cluster.log.apply(AssignJobs(by_cluster(), world.cluster.log.term, orders))


def jobs(world: KeeperWorld) -> tuple[Job, ...]:
    return world.cluster.reader.read(lambda db: queries.jobs(db))


@asynccontextmanager
async def working(*workers: Worker) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(worker.run()) for worker in workers]
        yield
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def world_of_jobs(folder: Path, nodes: int = 3) -> AsyncIterator[KeeperWorld]:
    async with keeper_world(folder, nodes) as world:
        world.cluster.log.apply(SetFeatureLevel(by_cluster(), FEATURE_LEVEL))
        yield world


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for is in another thread's database
            await asyncio.sleep(0.01)


async def test_copies_are_made_and_told_in_batches(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunks = [world.commit(f"f{number}", DATA + bytes([number]), (1, 2)) for number in range(40)]
        assign(world, "repair", 3, *chunks)
        entries = world.cluster.log.machine.applied_index
        worker = world.worker(3)
        async with working(worker):
            await until(lambda: not jobs(world))
        assert all(world.replicas(chunk_id) == (1, 2, 3) and world.holds(3, chunk_id) for chunk_id in chunks)
        assert worker.counts == {"done": 40, "failed": 0, "late": 0, "stolen": 0}
        assert world.cluster.log.machine.applied_index - entries < 30, "not two entries for each job"


async def test_a_copy_that_is_here_already_needs_nobody(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2), stored=(1, 2, 3))
        assign(world, "repair", 3, chunk_id)
        async with working(world.worker(3)):
            await until(lambda: world.replicas(chunk_id) == (1, 2, 3))
        assert world.stores.asked == []


async def test_a_damaged_copy_here_is_set_aside_and_fetched_anew(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2), stored=(1, 2, 3))
        path = world.stores.stores[THREE].path_of(chunk_id)
        path.write_bytes(path.read_bytes()[:-1])
        assign(world, "repair", 3, chunk_id)
        async with working(world.worker(3)):
            await until(lambda: world.replicas(chunk_id) == (1, 2, 3))
        assert len(world.stores.stores[THREE].quarantined()) == 1
        assert world.stores.stores[THREE].length(chunk_id) == len(DATA)


async def test_bytes_that_do_not_match_their_name_are_never_stored_and_their_holder_is_told(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2))
        world.stores.lying = {ONE}
        assign(world, "repair", 3, chunk_id)
        async with working(world.worker(3)):
            await until(lambda: 3 in world.replicas(chunk_id))
            assert await world.reports.flush(Deadline.after(5))
        assert world.stores.stores[THREE].length(chunk_id) == len(DATA)
        assert world.replicas(chunk_id) in ((2, 3), (1, 2, 3)), "if the liar was asked first, it is struck out"
        world.stores.lying = {ONE, TWO}
        other = world.commit("g", DATA + b"g", (1, 2))
        assign(world, "repair", 3, other)
        async with working(world.worker(3)):
            await until(lambda: any(job.failures for job in jobs(world)) or world.replicas(other) == ())
        assert not world.holds(3, other)


async def test_what_fails_is_tried_again_later_and_says_why(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2))
        world.stores.away = {ONE, TWO}
        assign(world, "repair", 3, chunk_id)
        async with working(world.worker(3)):
            await until(lambda: jobs(world)[0].failures == 1)
            [job] = jobs(world)
            assert (job.error, job.state) == ("PeerUnreachable", "queued")
            world.stores.away.clear()
            await until(lambda: not jobs(world))
        assert world.replicas(chunk_id) == (1, 2, 3)


async def test_a_drop_deletes_the_file_under_the_grant_and_not_before(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2, 3))
        world.cluster.log.apply(DeleteFile(header(), "admin/f", purge=True))
        assign(world, "drop", 3, chunk_id)
        assert world.holds(3, chunk_id)
        async with working(world.worker(3)):
            await until(lambda: not jobs(world))
        assert not world.holds(3, chunk_id)
        assert world.holds(1, chunk_id) and world.replicas(chunk_id) == (1, 2)


async def test_a_drop_spares_a_file_that_a_put_has_touched_meanwhile(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2, 3))
        world.cluster.log.apply(DeleteFile(header(), "admin/f", purge=True))
        assign(world, "drop", 3, chunk_id)
        soon_ns = (SystemClock().now_ms() + 60_000) * 1_000_000
        os.utime(world.stores.stores[THREE].path_of(chunk_id), ns=(soon_ns, soon_ns))
        async with working(world.worker(3)):
            await until(lambda: not jobs(world))
        assert world.holds(3, chunk_id) and world.replicas(chunk_id) == (1, 2, 3)


async def test_a_file_whose_time_a_wrong_clock_put_far_ahead_is_dropped(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2, 3))
        world.cluster.log.apply(DeleteFile(header(), "admin/f", purge=True))
        assign(world, "drop", 3, chunk_id)
        ahead_ns = (SystemClock().now_ms() + 86_400_000) * 1_000_000
        os.utime(world.stores.stores[THREE].path_of(chunk_id), ns=(ahead_ns, ahead_ns))
        async with working(world.worker(3)):
            await until(lambda: not jobs(world))
        assert not world.holds(3, chunk_id) and world.replicas(chunk_id) == (1, 2)


@pytest.mark.parametrize(("is_good", "others", "is_kept"), [
    (True, "down", True), (False, "down", False), (True, "up", False)])
async def test_a_drop_spares_the_last_good_copy_when_the_others_went_after_the_grant(
        tmp_path: Path, is_good: bool, others: str, is_kept: bool) -> None:
    async with world_of_jobs(tmp_path, nodes=4) as world:
        chunk_id = world.commit("f", DATA, (1, 2, 3, 4))
        assign(world, "drop", 4, chunk_id)
        world.cluster.log.apply(LeaseJobs(by_cluster(), NodeNo(4), 4))
        assert world.replicas(chunk_id) == (1, 2, 3), "the grant"
        placed = world.cluster.reader.read(queries.placement_map)
        states = tuple(NodeState(line.node_no, others if line.node_no in (2, 3) else "up", line.zone, line.weight)
                       for line in placed.nodes)
        world.cluster.log.apply(PublishPlacement(by_cluster(), world.cluster.log.term, placed.epoch + 1, states))
        path = world.stores.stores[NodeNo(4)].path_of(chunk_id)
        if not is_good:
            path.write_bytes(bytes(5) + path.read_bytes()[5:])
        async with working(world.worker(4)):
            await until(lambda: not jobs(world))
        assert path.exists() is is_kept
        assert world.replicas(chunk_id) == ((1, 2, 3, 4) if is_kept else (1, 2, 3))


async def test_what_a_keeper_before_had_leased_is_done_after_its_death(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2))
        assign(world, "repair", 3, chunk_id)
        world.cluster.log.apply(LeaseJobs(by_cluster(), THREE, 4))
        async with working(world.worker(3)):
            await until(lambda: not jobs(world))
        assert world.replicas(chunk_id) == (1, 2, 3)


async def test_a_restarted_keeper_learns_of_the_present_before_it_adopts_a_lease(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2, 3))
        world.cluster.log.apply(DeleteFile(header(), "admin/f", purge=True))
        assign(world, "drop", 3, chunk_id)
        world.cluster.log.apply(LeaseJobs(by_cluster(), THREE, 4))
        [job] = jobs(world)

        async def catch_up(deadline: Deadline) -> int:
            """The keeper before had told that it is done, and a put brought the file again."""
            world.cluster.log.apply(FinishJobs(
                by_cluster(), THREE, (JobResult(job.no, job.term, job.attempt, "done"),), 0, 0))
            return world.cluster.log.machine.seq

        monkeypatch.setattr(world.cluster.log, "barrier", catch_up)
        async with working(world.worker(3)):
            await until(lambda: not jobs(world))
            await asyncio.sleep(0.2)
        assert world.holds(3, chunk_id)


async def test_a_job_ends_at_half_of_its_lease(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2))
        assign(world, "repair", 3, chunk_id)
        world.cluster.log.apply(LeaseJobs(by_cluster(), THREE, 4, lease_ms=1_500))
        async with working(world.worker(3, delay_s=30.0)):
            await until(lambda: jobs(world)[0].failures == 1, 3.0)
            assert jobs(world)[0].error == "DeadlineExceeded"
        assert not world.holds(3, chunk_id)


async def test_an_answer_that_was_lost_loses_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2))
        assign(world, "repair", 3, chunk_id)
        propose, lost = world.cluster.log.propose, []

        async def once_lost(command: object, deadline: Deadline) -> object:
            accepted = await propose(command, deadline)  # type: ignore[arg-type]
            if type(command) not in lost:
                lost.append(type(command))
                raise OutcomeUnknown
            return accepted

        monkeypatch.setattr(world.cluster.log, "propose", once_lost)
        worker = world.worker(3)
        async with working(worker):
            await until(lambda: not jobs(world))
            await until(lambda: worker.counts["late"] == 1)
        assert len(lost) == 2
        assert world.replicas(chunk_id) == (1, 2, 3)


async def test_an_idle_node_takes_from_a_slow_one_and_leaves_it_what_it_does(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path, nodes=4) as world:
        chunks = [world.commit(f"f{number}", DATA + number.to_bytes(2, "big"), (1, 2)) for number in range(60)]
        assign(world, "repair", 3, *chunks)
        slow, thief = world.worker(3, delay_s=1.0), world.worker(4)
        async with working(slow, thief):
            await until(lambda: not jobs(world), 20.0)
        assert thief.counts["stolen"] >= 30 and thief.counts["done"] >= 40
        assert slow.counts["done"] > 0
        assert all(len(world.replicas(chunk_id)) == 3 for chunk_id in chunks)


async def test_who_may_not_steal_does_not(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path, nodes=4) as world:
        chunks = [world.commit(f"f{number}", DATA + bytes([number]), (1, 2)) for number in range(60)]
        assign(world, "repair", 3, *chunks)
        honest = Worker(NodeNo(4), world.cluster.log, world.cluster.reader, SystemClock(), world.job_work(4), lambda: 4,
                        steals=False)
        async with working(honest):
            await asyncio.sleep(1.2)
        assert {job.node_no for job in jobs(world)} == {THREE}


async def test_a_scrub_by_hand_reads_all_and_is_told_done(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunks = [world.commit(f"f{number}", DATA + bytes([number]), (1, 2)) for number in range(70)]
        path = world.stores.stores[ONE].path_of(chunks[7])
        path.write_bytes(path.read_bytes()[:-3])
        world.cluster.log.apply(RequestScrub(header(), (ONE,)))
        world.cluster.log.apply(AssignJobs(by_cluster(), world.cluster.log.term, (
            JobOrder("scrub", ChunkId(b""), ONE, priority_of("scrub"), 1, "asked"),)))
        async with working(world.worker(1)):
            await until(lambda: not jobs(world))
            assert await world.reports.flush(Deadline.after(5))
        [wish] = world.cluster.reader.read(queries.scrub_wishes)
        assert wish.done_ms > 0
        assert world.replicas(chunks[7]) == (2,)
        assert [one.chunk_id for one in world.stores.stores[ONE].quarantined()] == [chunks[7]]
        assert caplog.messages.count("scrub.bad_copy") == 1


async def test_a_full_disk_is_the_reason_that_is_told(tmp_path: Path) -> None:
    async with world_of_jobs(tmp_path) as world:
        chunk_id = world.commit("f", DATA, (1, 2))
        assign(world, "repair", 3, chunk_id)
        world.stores.stores[THREE]._reserve_bytes = 1 << 60
        async with working(world.worker(3)):
            await until(lambda: jobs(world)[0].failures == 1)
        assert jobs(world)[0].error == "DiskFull"


async def test_before_all_nodes_know_of_jobs_nothing_is_asked_of_the_log(tmp_path: Path) -> None:
    async with keeper_world(tmp_path) as world:
        assign(world, "repair", 3, world.commit("f", DATA, (1, 2)))
        entries = world.cluster.log.machine.applied_index
        async with working(world.worker(3)):
            await asyncio.sleep(0.7)
        assert world.cluster.log.machine.applied_index == entries
