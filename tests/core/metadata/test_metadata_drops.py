"""Dropping copies: never one too many, and never against a write that relies on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from fluffy.base.ids import NodeNo
from fluffy.core.metadata import drop_table, queries
from fluffy.core.metadata.commands_jobs import LEASE_MS
from fluffy.core.metadata.model_jobs import Job
from fluffy.core.metadata.working import CLOCK_MS_MAX
from fluffy.core.repair.retention import UPLOAD_LIFETIME_MAX_MS
from tests.support.jobs_commands import assign, cancel, ended, finish, lease, order, placement
from tests.support.local_log import genesis_command
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import AT_MS, chunk, delete, forget, put_chunks, replicas
from tests.support.metadata_recount import check_state


@pytest.fixture
def state() -> Iterator[MemoryState]:
    """Four nodes, two copies wanted; chunk 1 has three, on nodes 1, 2 and 3."""
    with closing(MemoryState(genesis_command(4, replication=2, write_quorum=2, at_ms=0))) as memory:
        memory.accept(put_chunks("admin/a", 1, on=(1, 2, 3)))
        yield memory
        check_state(memory.db)


def copies(state: MemoryState, number: int = 1) -> tuple[int, ...]:
    return queries.chunk_replicas(state.db, [chunk(number)])[chunk(number)]


def grant(state: MemoryState, node: int, *, at_ms: int = AT_MS) -> Job:
    """The node gets the permission to delete its copy of chunk 1."""
    state.accept(assign(order("drop", 1, node), at_ms=at_ms))
    state.accept(lease(node, at_ms=at_ms))
    [job] = queries.jobs_of_node(state.db, NodeNo(node), "leased", 10)
    return job


def test_from_the_grant_on_the_copy_does_not_count(state: MemoryState) -> None:
    grant(state, 3)
    assert copies(state) == (1, 2)
    assert queries.is_dropping(state.db, chunk(1), NodeNo(3))


def test_no_grant_leaves_fewer_copies_than_wanted(state: MemoryState) -> None:
    state.accept(assign(order("drop", 1, 1), order("drop", 1, 2), order("drop", 1, 3)))
    assert [len(state.accept(lease(node)).facts["leased"]) for node in (1, 2, 3)] == [1, 0, 0]
    assert copies(state) == (2, 3)


@pytest.mark.parametrize("away", ["down", "suspect", "draining"])
def test_copies_on_nodes_that_are_not_up_do_not_excuse_a_drop(state: MemoryState, away: str) -> None:
    state.accept(placement(1, "up", away, "up", "up"))
    state.accept(assign(order("drop", 1, 1)))
    assert state.accept(lease(1)).facts["leased"] == []
    assert copies(state) == (1, 2, 3)
    state.accept(assign(order("drop", 1, 2)))
    assert len(state.accept(lease(2)).facts["leased"]) == 1, "but that node's own copy may go"


def test_a_write_that_relies_on_a_dropped_copy_is_told_to_send_the_bytes_again(state: MemoryState) -> None:
    state.accept(delete("admin/a", purge=True))
    for node in (2, 3):
        grant(state, node)
    assert state.reject(put_chunks("admin/b", 1, on=(2, 3))).code == "ChunksMissing"
    state.accept(put_chunks("admin/c", 1, on=(2, 4)))
    assert copies(state) == (1, 4), "what is true of the claim counts"


def test_a_write_that_came_first_makes_the_grant_impossible(state: MemoryState) -> None:
    state.accept(delete("admin/a", purge=True))
    state.accept(assign(order("drop", 1, 1), order("drop", 1, 2), order("drop", 1, 3)))
    state.accept(put_chunks("admin/b", 1, on=()))
    assert [len(state.accept(lease(node)).facts["leased"]) for node in (1, 2, 3)] == [1, 0, 0]


def test_a_claim_older_than_the_deletion_is_not_believed_when_the_deletion_was_told(state: MemoryState) -> None:
    """The writer stored on nodes that had the file already; they deleted it and told; then the writer commits."""
    state.accept(delete("admin/a", purge=True))
    for node in (1, 2, 3):
        state.accept(finish(node, ended(grant(state, node))))
    assert state.reject(put_chunks("admin/b", 1, on=(1, 2, 3))).code == "ChunksMissing"
    later_ms = AT_MS + drop_table.DROP_BAR_MS
    assert not queries.has_ended_leases(state.db, later_ms - 1) and queries.has_ended_leases(state.db, later_ms)
    state.accept(cancel(at_ms=later_ms))
    assert not queries.has_ended_leases(state.db, later_ms)
    since_seq = queries.drops_since(state.db)
    state.accept(put_chunks("admin/b", 1, on=(1, 2, 3), at_ms=later_ms, since_seq=since_seq))
    assert copies(state) == (1, 2, 3)


def test_a_claim_older_than_the_deletion_is_not_believed_though_log_time_has_jumped(state: MemoryState) -> None:
    """A wrong clock ends the bar while the upload is under way: what was dropped is forgotten, that it was is not."""
    state.accept(delete("admin/a", purge=True))
    jobs = [grant(state, node) for node in (1, 2, 3)]
    early = queries.drops_since(state.db)
    for node, job in zip((1, 2, 3), jobs, strict=True):
        state.accept(finish(node, ended(job)))
    state.accept(cancel(at_ms=AT_MS + drop_table.DROP_BAR_MS))
    assert queries.open_drops(state.db, 10) == ()
    assert not queries.has_ended_leases(state.db, CLOCK_MS_MAX)
    for since_seq in (0, early):
        assert state.reject(put_chunks("admin/b", 1, on=(1, 2, 3), since_seq=since_seq)).code == "ChunksMissing"
    assert state.accept(replicas(added=((1, 3),))).facts["added"] == 1, "a node that looks at its disk is believed"
    state.accept(put_chunks("admin/b", 1, on=(1, 2), since_seq=queries.drops_since(state.db)))
    assert copies(state) == (1, 2, 3)


def test_a_claim_newer_than_the_deletion_is_believed_when_its_writer_says_so(state: MemoryState) -> None:
    """Whoever began to send bytes after its state said that the file is deleted has made the file anew."""
    state.accept(delete("admin/a", purge=True))
    early = queries.drops_since(state.db)
    assert early == 0, "nothing is dropped yet: nothing need be said"
    granted = [grant(state, node) for node in (1, 2, 3)]
    during = queries.drops_since(state.db)
    for node, job in zip((1, 2, 3), granted, strict=True):
        state.accept(finish(node, ended(job)))
    after = queries.drops_since(state.db)
    assert 0 < during < after
    for since_seq in (early, during, after - 1):
        command = put_chunks("admin/b", 1, on=(2, 3), since_seq=since_seq)
        assert state.reject(command).code == "ChunksMissing"
    state.accept(put_chunks("admin/b", 1, on=(1, 2), since_seq=after))
    assert copies(state) == (1, 2)


def test_a_new_grant_bars_what_an_older_deletion_allowed(state: MemoryState) -> None:
    state.accept(finish(3, ended(grant(state, 3))))
    after = queries.drops_since(state.db)
    state.accept(put_chunks("admin/b", 1, on=(3,), since_seq=after))
    assert copies(state) == (1, 2, 3)
    grant(state, 3)
    state.accept(put_chunks("admin/c", 1, on=(3,), since_seq=queries.drops_since(state.db)))
    assert copies(state) == (1, 2)


def test_the_bar_lasts_longer_than_any_upload() -> None:
    assert drop_table.DROP_BAR_MS >= 2 * UPLOAD_LIFETIME_MAX_MS


def test_reports_of_copies_do_not_bring_a_dropped_one_back(state: MemoryState) -> None:
    job = grant(state, 3)
    assert state.accept(replicas(added=((1, 3),))).facts["added"] == 0
    state.accept(finish(3, ended(job)))
    assert state.accept(replicas(added=((1, 3),))).facts["added"] == 0
    state.accept(replicas(removed=((1, 2),)))
    state.accept(assign(order("repair", 1, 3)))
    state.accept(lease(3))
    [repair] = queries.jobs_of_node(state.db, NodeNo(3), "leased", 10)
    state.accept(finish(3, ended(repair)))
    assert copies(state) == (1, 3)
    state.accept(replicas(removed=((1, 3),)))
    assert state.accept(replicas(added=((1, 3),))).facts["added"] == 1, "a job that made it anew ends the bar"


def test_a_file_that_a_put_touched_meanwhile_is_a_copy_again(state: MemoryState) -> None:
    job = grant(state, 3)
    assert state.accept(finish(3, ended(job, "kept"))).facts["returned"] == 1
    assert copies(state) == (1, 2, 3) and queries.open_drops(state.db, 10) == ()


def test_a_grant_outlives_its_lease_and_its_job(state: MemoryState) -> None:
    job = grant(state, 3)
    end_ms = AT_MS + LEASE_MS
    assert state.accept(finish(3, ended(job), at_ms=end_ms)).facts["late"] == [job.no]
    assert copies(state) == (1, 2), "nobody knows whether the file is there"
    state.accept(cancel(job.no, at_ms=end_ms))
    [drop] = queries.open_drops(state.db, 10)
    assert (drop.chunk_id, drop.node_no) == (chunk(1), 3)
    assert state.accept(assign(order("repair", 1, 3), at_ms=end_ms)).facts["skipped"] == 1
    again = grant(state, 3, at_ms=end_ms)
    assert state.accept(finish(3, ended(again), at_ms=end_ms)).facts["done"] == 1
    assert queries.open_drops(state.db, 10) == ()


def test_a_chunk_that_was_forgotten_and_comes_again_meets_its_bars(state: MemoryState) -> None:
    grant(state, 3)
    state.accept(delete("admin/a", purge=True))
    state.accept(forget(1, at_ms=AT_MS + 1))
    state.accept(put_chunks("admin/b", 1, on=(1, 2, 3), at_ms=AT_MS + 1))
    assert copies(state) == (1, 2)
