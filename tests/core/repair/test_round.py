"""One round of the planner over a real state: which part it looks at, and what it takes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata import apply_jobs, queries
from fluffy.core.metadata.commands import FEATURE_LEVEL
from fluffy.core.metadata.commands_jobs import AssignJobs, CancelJobs, RetryJobs
from fluffy.core.metadata.job_rules import STUCK_AFTER_FAILURES
from fluffy.core.metadata.model import PlacementMap
from fluffy.core.repair import round as rounds
from fluffy.core.repair.round import STUCK_RETRY_MS, Memory, Round, Rules, plan_round
from tests.support.jobs_commands import assign, ended, finish, lease, order, placement, retry, scrub
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import AT_MS, CLUSTER, chunk, delete, put_chunks
from tests.support.metadata_recount import check_state

GRACE_MS = 60_000
RULES = Rules(GRACE_MS, forget_grace_ms=5_000)


@pytest.fixture
def state() -> Iterator[MemoryState]:
    """Five nodes, two copies wanted; chunks 0 to 9 are on nodes 1 and 2, 10 to 19 on nodes 2 and 3."""
    genesis = replace(genesis_command(5, replication=2, write_quorum=1, at_ms=0), feature_level=FEATURE_LEVEL)
    with closing(MemoryState(genesis)) as memory:
        memory.accept(placement(1, *["up"] * 5))
        memory.accept(put_chunks("admin/a", *range(10), on=(1, 2)))
        memory.accept(put_chunks("admin/b", *range(10, 20), on=(2, 3)))
        yield memory
        check_state(memory.db)


def rank(chunk_id: ChunkId, placed: PlacementMap) -> list[NodeNo]:
    return [node.node_no for node in placed.nodes if node.state == "up"]


def look(state: MemoryState, now_ms: int = AT_MS, memory: Memory | None = None) -> Round:
    cluster = queries.cluster_state(state.db)
    assert cluster is not None
    return plan_round(state.db, memory or Memory(), cluster, RULES, rank, now_ms)


def do(state: MemoryState, planned: Round, at_ms: int = AT_MS) -> None:
    if planned.cancels:
        state.accept(CancelJobs(header(CLUSTER, at_ms), 1, tuple(planned.cancels)))
    if planned.retries:
        state.accept(RetryJobs(header(CLUSTER, at_ms), tuple(planned.retries)))
    state.accept(AssignJobs(header(CLUSTER, at_ms), 1, tuple(planned.orders)))


def test_a_healthy_cluster_needs_nothing(state: MemoryState) -> None:
    assert look(state) == Round()


def test_the_grace_counts_in_log_time_from_when_the_node_went_down() -> None:
    genesis = replace(genesis_command(5, replication=3, at_ms=0), feature_level=FEATURE_LEVEL)
    with closing(MemoryState(genesis)) as state:
        state.accept(put_chunks("admin/a", 1, on=(1, 2, 3)))
        state.accept(placement(1, "up", "up", "down", "up", "up", at_ms=2_000))
        state.accept(placement(2, "up", "up", "suspect", "up", "up", at_ms=9_000))
        assert look(state, 1_999 + GRACE_MS).orders == []
        assert [line.reason for line in look(state, 2_000 + GRACE_MS).orders] == ["lost"]
        state.accept(placement(3, "up", "up", "up", "up", "up", at_ms=10_000))
        assert look(state, 2_000 + GRACE_MS).orders == []
        state.accept(placement(4, "up", "down", "down", "up", "up", at_ms=10_000))
        assert [line.reason for line in look(state, 10_000).orders] == ["endangered"], "at once"


def test_one_node_down_is_no_entry_for_each_of_its_chunks(state: MemoryState) -> None:
    """The state knows that the node is down; the jobs are a window, and the next round goes on where this one ended."""
    state.accept(put_chunks("admin/many", *range(100, 2_100), on=(1, 3), length=1))
    state.accept(placement(2, "up", "up", "down", "up", "up"))
    memory = Memory()
    first = look(state, AT_MS, memory)
    assert 0 < len(first.orders) <= 2_000
    do(state, first)
    second = look(state, AT_MS, memory)
    assert not {line.chunk_id for line in first.orders} & {line.chunk_id for line in second.orders}


def test_jobs_of_nodes_that_are_down_are_taken_back_and_given_to_others(state: MemoryState) -> None:
    state.accept(placement(2, "down", "up", "up", "up", "up"))
    do(state, look(state))
    orders = queries.jobs(state.db)
    assert len(orders) == 10 and {job.node_no for job in orders} == {3}
    state.accept(lease(3, 2))
    state.accept(placement(3, "down", "up", "down", "up", "up"))
    planned = look(state)
    assert len(planned.cancels) == 8, "not those under a valid lease"
    assert len([line for line in planned.orders if line.node_no == 4]) == 20, "and its own chunks are endangered too"


def test_leases_that_are_over_are_noticed_even_when_nothing_else_is_to_be_done(state: MemoryState) -> None:
    state.accept(scrub(2))
    do(state, look(state))
    until_ms = state.accept(lease(2)).facts["until_ms"]
    assert look(state, until_ms - 1) == Round()
    assert look(state, until_ms) == Round(leases_ended=True)


def test_a_drain_takes_what_is_on_the_node_and_no_copies_go_there(state: MemoryState) -> None:
    state.accept(assign(order("rebalance", 0, 3)))
    state.accept(placement(2, "up", "up", "draining", "up", "up"))
    planned = look(state)
    assert len(planned.cancels) == 1
    assert [(line.kind, line.reason) for line in planned.orders] == [("drain", "draining")] * 10


def stuck(state: MemoryState) -> int:
    """A repair at node 3 that failed for good at AT_MS."""
    state.accept(put_chunks("admin/c", 30, on=(1,)))
    state.accept(assign(order("repair", 30, 3)))
    number = queries.jobs(state.db)[0].no
    for _ in range(STUCK_AFTER_FAILURES):
        state.accept(lease(3))
        [job] = queries.jobs_of_node(state.db, NodeNo(3), "leased", 5)
        state.accept(finish(3, ended(job, "failed", error="DiskFull")))
        if queries.stuck_jobs(state.db, 5):
            return number
        state.db.execute("UPDATE jobs SET not_before_ms = 0")
    raise AssertionError


def test_while_a_job_is_stuck_another_node_is_asked(state: MemoryState) -> None:
    stuck(state)
    planned = look(state)
    assert [(line.kind, line.node_no) for line in planned.orders] == [("repair", 2)]
    assert planned.retries == planned.cancels == []


def test_a_stuck_job_is_tried_again_when_the_facts_are_others_or_after_a_while(state: MemoryState) -> None:
    number = stuck(state)
    assert look(state, AT_MS + STUCK_RETRY_MS - 1).retries == []
    assert look(state, AT_MS + STUCK_RETRY_MS).retries == [number]
    state.accept(placement(2, "up", "suspect", "up", "up", "up", at_ms=AT_MS + 1))
    assert look(state, AT_MS + 1).retries == [number]


def test_a_stuck_job_is_tried_again_when_its_chunk_is_elsewhere(state: MemoryState) -> None:
    number = stuck(state)
    state.accept(assign(order("repair", 30, 4)))
    state.accept(lease(4))
    state.accept(finish(4, ended(queries.jobs_of_node(state.db, NodeNo(4), "leased", 5)[0])))
    assert look(state).retries == [number]
    do(state, look(state))
    assert state.accept(lease(3)).facts["obsolete"] == 1
    assert state.accept(retry()).facts == {"retried": 0}


def test_a_node_with_many_stuck_copies_gets_no_more_of_them_but_may_drop(
        state: MemoryState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "STUCK_JOBS_MAX", 1)
    monkeypatch.setattr(apply_jobs, "STUCK_JOBS_MAX", 1)
    stuck(state)
    state.accept(put_chunks("admin/d", 31, on=(3, 4, 5)))
    planned = look(state)
    assert {(line.kind, line.node_no) for line in planned.orders} == {("repair", 2), ("drop", 3)}
    do(state, planned)
    assert ("drop", NodeNo(3), "queued") in [(job.kind, job.node_no, job.state) for job in queries.jobs(state.db)]
    assert state.accept(assign(order("rebalance", 0, 3))).facts["full"] == 1


def test_wishes_become_one_job_for_each_node(state: MemoryState) -> None:
    state.accept(scrub(2, 4))
    do(state, look(state))
    assert [(job.kind, job.node_no) for job in queries.jobs(state.db)] == [("scrub", 2), ("scrub", 4)]
    assert look(state).orders == []


def test_chunks_that_nobody_needs_are_dropped_after_the_grace_and_grants_are_not_forgotten(state: MemoryState) -> None:
    state.accept(delete("admin/a", purge=True))
    assert look(state, AT_MS + 4_999).orders == []
    planned = look(state, AT_MS + 5_000)
    assert {(line.kind, line.reason) for line in planned.orders} == {("drop", "unreferenced")}
    assert sorted(line.node_no for line in planned.orders) == [1] * 10 + [2] * 10
    do(state, planned)
    state.accept(lease(1))
    state.db.execute("DELETE FROM jobs")
    state.db.execute("DELETE FROM job_queues")
    again = look(state, AT_MS + 5_000)
    assert {(line.node_no, line.reason) for line in again.orders} == {(1, "granted"), (2, "unreferenced")}


def test_too_many_copies_are_dropped_from_the_fullest_node(state: MemoryState) -> None:
    state.accept(put_chunks("admin/c", 30, on=(2, 4, 5)))
    assert [(line.kind, line.node_no, line.chunk_id) for line in look(state).orders] == [("drop", 2, chunk(30))]


def test_balance_comes_in_waves_when_nothing_else_is_going_on(state: MemoryState) -> None:
    state.accept(put_chunks("admin/big", *range(100, 200), on=(1, 2), length=8 << 20))
    memory = Memory()
    planned = look(state, AT_MS, memory)
    assert {(line.kind, line.reason) for line in planned.orders} == {("rebalance", "imbalance")}
    assert {line.node_no for line in planned.orders} == {3, 4, 5} and memory.is_moving
    do(state, planned)
    assert look(state, AT_MS, memory).orders == [], "not before the wave is over"
    state.accept(placement(2, "up", "up", "up", "up", "suspect"))
    assert look(state, AT_MS, Memory()).orders == []


def test_stretches_cover_everything_however_short_they_are(state: MemoryState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "STRETCH_ROWS", 3)
    monkeypatch.setattr(rounds, "FOUND_MAX", 2)
    state.accept(placement(2, "up", "up", "down", "up", "up"))
    memory = Memory()
    for _ in range(12):
        do(state, look(state, AT_MS + GRACE_MS, memory), AT_MS + GRACE_MS)
    assert sorted(job.chunk_id for job in queries.jobs(state.db)) == [chunk(no) for no in range(10, 20)]
