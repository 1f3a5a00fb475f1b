"""Queues, leases and steals: whose a job is follows from the order of the log and from log time alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from fluffy.base.ids import NodeNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_jobs import LEASE_MS, JobResult
from fluffy.core.metadata.job_rules import (
    BACK_OFF_FIRST_MS,
    LEASED_JOBS_MAX,
    QUEUE_JOBS_MAX,
    SEARCH_FIRST_MS,
    STUCK_AFTER_FAILURES,
    effort_ms,
)
from fluffy.core.metadata.model_jobs import Job, Queue
from tests.support.jobs_commands import assign, cancel, ended, finish, lease, order, placement, retry, scrub, steal
from tests.support.local_log import genesis_command
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import AT_MS, chunk, delete, put_chunks
from tests.support.metadata_recount import check_state


@pytest.fixture
def state() -> Iterator[MemoryState]:
    """Five nodes, two copies wanted of each chunk, and 40 chunks that have one, on node 1."""
    with closing(MemoryState(genesis_command(5, replication=2, write_quorum=1, at_ms=0))) as memory:
        memory.accept(put_chunks("admin/a", *range(40), on=(1,)))
        yield memory
        check_state(memory.db)


def leased(state: MemoryState, node: int) -> tuple[Job, ...]:
    return queries.jobs_of_node(state.db, NodeNo(node), "leased", 100)


def queue(state: MemoryState, node: int) -> Queue:
    return next(row for row in queries.queues(state.db) if row.node_no == node)


def copies(state: MemoryState, number: int) -> tuple[int, ...]:
    return queries.chunk_replicas(state.db, [chunk(number)])[chunk(number)]


def test_a_repair_is_assigned_leased_and_done_and_its_copy_counts(state: MemoryState) -> None:
    assert state.accept(assign(order("repair", 3, 2))).facts == {"assigned": 1, "known": 0, "full": 0, "skipped": 0}
    assert queries.jobs(state.db)[0].state == "queued"
    facts = state.accept(lease(2)).facts
    [job] = leased(state, 2)
    assert facts == {"leased": [job.no], "obsolete": 0, "until_ms": AT_MS + LEASE_MS}
    assert (job.chunk_id, job.term, job.attempt) == (chunk(3), 1, 1)
    assert state.accept(finish(2, ended(job), moved=8 << 20, busy_ms=100)).facts == {
        "done": 1, "failed": 0, "returned": 0, "late": []}
    assert copies(state, 3) == (1, 2) and queries.jobs(state.db) == ()
    assert queue(state, 2).done == 1 and queue(state, 2).load.rate == (8 << 20) * 10


def test_one_job_for_a_chunk_and_a_node_which_only_gets_more_urgent(state: MemoryState) -> None:
    state.accept(assign(order("repair", 3, 2, left=2)))
    assert state.accept(assign(order("repair", 3, 2, left=1), order("drain", 3, 2))).facts["known"] == 2
    [job] = queries.jobs(state.db)
    assert (job.kind, job.priority) == ("repair", 1)


def test_what_is_not_possible_is_skipped(state: MemoryState) -> None:
    facts = state.accept(assign(order("repair", 3, 1), order("repair", 99, 2), order("repair", 3, 6),
                                order("drop", 3, 2))).facts
    assert facts == {"assigned": 0, "known": 0, "full": 0, "skipped": 4}


def test_orders_of_an_older_leader_are_refused(state: MemoryState) -> None:
    state.term = 2
    assert state.reject(assign(order("repair", 3, 2), term=1)).code == "TermStale"
    assert state.reject(cancel(1, term=1)).code == "TermStale"


def test_a_queue_has_a_bound(state: MemoryState) -> None:
    state.accept(put_chunks("admin/b", *range(100, 101 + QUEUE_JOBS_MAX), on=(1,), length=1))
    facts = state.accept(assign(*(order("repair", no, 2) for no in range(100, 101 + QUEUE_JOBS_MAX)))).facts
    assert (facts["assigned"], facts["full"]) == (QUEUE_JOBS_MAX, 1)


def test_a_lease_ends_by_log_time_and_what_comes_after_is_late(state: MemoryState) -> None:
    state.accept(assign(order("repair", 3, 2)))
    state.accept(lease(2))
    [job] = leased(state, 2)
    end_ms = AT_MS + LEASE_MS
    assert state.accept(finish(2, ended(job), at_ms=end_ms)).facts["late"] == [job.no]
    assert copies(state, 3) == (1,)
    [waiting] = queries.jobs(state.db)
    assert (waiting.state, waiting.error, waiting.failures) == ("queued", "LeaseEnded", 1)
    assert state.accept(lease(2, at_ms=end_ms)).facts["leased"] == [], "it waits a little after a failure"
    state.accept(lease(2, at_ms=end_ms + BACK_OFF_FIRST_MS))
    [again] = leased(state, 2)
    assert again.attempt == 2
    assert state.accept(finish(2, ended(job), at_ms=end_ms + BACK_OFF_FIRST_MS)).facts["late"] == [job.no]
    assert state.accept(finish(2, ended(again), at_ms=end_ms + BACK_OFF_FIRST_MS)).facts["done"] == 1


def test_late_and_foreign_results_are_refused_one_by_one(state: MemoryState) -> None:
    state.accept(assign(order("repair", 3, 2), order("repair", 4, 2), order("repair", 5, 3)))
    state.accept(lease(2))
    state.accept(lease(3))
    mine, other = leased(state, 2)
    [foreign] = leased(state, 3)
    facts = state.accept(finish(2, ended(mine), ended(foreign), JobResult(other.no, other.term + 1, 1, "done"),
                                JobResult(9_999, 1, 1, "done"))).facts
    assert facts == {"done": 1, "failed": 0, "returned": 0, "late": [foreign.no, other.no, 9_999]}
    assert (copies(state, 3), copies(state, 4), copies(state, 5)) == ((1, 2), (1,), (1,))


def test_failures_back_off_and_end_stuck_until_somebody_retries(state: MemoryState) -> None:
    state.accept(assign(order("repair", 3, 2)))
    at_ms = AT_MS
    for failure in range(1, STUCK_AFTER_FAILURES + 1):
        assert state.accept(lease(2, at_ms=at_ms)).facts["leased"], f"attempt {failure}"
        [job] = leased(state, 2)
        assert state.accept(finish(2, ended(job, "failed", error="DiskFull"), at_ms=at_ms)).facts["failed"] == 1
        at_ms += BACK_OFF_FIRST_MS << (failure - 1)
    [stuck] = queries.jobs(state.db)
    assert (stuck.state, stuck.error, queue(state, 2).stuck) == ("stuck", "DiskFull", 1)
    assert state.accept(lease(2, at_ms=at_ms + 10**9)).facts["leased"] == []
    assert state.accept(retry(at_ms=at_ms)).facts == {"retried": 1}
    assert state.accept(lease(2, at_ms=at_ms)).facts["leased"] == [stuck.no]


def test_jobs_that_the_state_no_longer_needs_vanish(state: MemoryState) -> None:
    state.accept(assign(order("repair", 3, 2), order("repair", 3, 3), order("repair", 4, 2)))
    state.accept(lease(3))
    state.accept(finish(3, ended(leased(state, 3)[0])))
    state.accept(delete("admin/a", purge=True))
    assert state.accept(lease(2)).facts == {"leased": [], "obsolete": 2, "until_ms": AT_MS + LEASE_MS}


def test_a_valid_lease_is_never_cancelled(state: MemoryState) -> None:
    state.accept(assign(order("repair", 3, 2), order("repair", 4, 2)))
    state.accept(lease(2, 1))
    numbers = [job.no for job in queries.jobs(state.db)]
    assert state.accept(cancel(*numbers)).facts == {"cancelled": 1, "skipped": 1}
    assert state.accept(cancel(*numbers, at_ms=AT_MS + LEASE_MS)).facts == {"cancelled": 1, "skipped": 1}


def test_a_node_holds_so_many_leases_and_no_more(state: MemoryState) -> None:
    state.accept(assign(*(order("repair", no, 2, cost=1) for no in range(40))))
    assert len(state.accept(lease(2, 100)).facts["leased"]) == LEASED_JOBS_MAX
    assert state.accept(lease(2, 100)).facts["leased"] == []


def know_speed(state: MemoryState, node: int, busy_ms: int = 10) -> None:
    """The node does one job and tells how fast it was."""
    assert len(state.accept(lease(node, 1)).facts["leased"]) == 1
    [job] = leased(state, node)
    state.accept(finish(node, ended(job), moved=8 << 20, busy_ms=busy_ms))


def test_a_node_that_nobody_knows_gets_few_jobs_first(state: MemoryState) -> None:
    state.accept(assign(*(order("repair", no, 2) for no in range(40))))
    assert len(state.accept(lease(2, 100)).facts["leased"]) == 3


def test_a_slow_node_gets_few_jobs_at_a_time(state: MemoryState) -> None:
    state.accept(assign(*(order("repair", no, 2) for no in range(10))))
    know_speed(state, 2, busy_ms=10_000)
    assert len(state.accept(lease(2, 10)).facts["leased"]) == 2, "8 MiB take it 10 s"
    assert state.accept(lease(2, 10)).facts["leased"] == []


def test_the_most_urgent_goes_first_but_no_class_starves(state: MemoryState) -> None:
    state.accept(put_chunks("admin/b", *range(40, 60), on=(1, 2)))
    state.accept(assign(*(order("repair", no, 3, left=1 + no % 2, cost=1) for no in range(40)),
                        *(order("rebalance", no, 3, cost=1) for no in range(40, 60))))
    state.accept(lease(3, 16))
    kinds = [job.kind for job in leased(state, 3)]
    assert kinds.count("rebalance") == 2 and kinds.count("repair") == 14
    assert {job.priority for job in leased(state, 3) if job.kind == "repair"} == {1}


def test_half_of_the_tail_of_the_longest_queue_is_stolen(state: MemoryState) -> None:
    state.accept(assign(*(order("repair", no, 2, left=1 + (no >= 20)) for no in range(40)),
                        *(order("repair", no, 4) for no in range(8))))
    state.accept(lease(2, 4))
    kept = {job.no for job in leased(state, 2)}
    facts = state.accept(steal(3)).facts
    assert (facts["moved"], facts["victim"]) == (19, 2)
    taken = queries.jobs_of_node(state.db, NodeNo(3), "queued", 100)
    assert len(taken) == 19 and not kept & {job.no for job in taken}
    assert {job.priority for job in taken} == {2}, "the tail: what is least urgent"
    assert {job.stolen_from for job in taken} == {2}
    assert (queue(state, 2).stolen_out, queue(state, 3).stolen_in) == (19, 19)


def test_seconds_count_not_jobs(state: MemoryState) -> None:
    """Node 2 has many small jobs, node 4 few large ones."""
    state.accept(put_chunks("admin/b", *range(40, 44), on=(1,), length=64 << 20))
    state.accept(assign(*(order("repair", no, 2, cost=1 << 20) for no in range(40)),
                        *(order("repair", no, 4, cost=64 << 20) for no in range(40, 44))))
    facts = state.accept(steal(3)).facts
    assert (facts["victim"], facts["moved"]) == (4, 2)


def test_stealing_must_end_the_work_sooner(state: MemoryState) -> None:
    state.accept(assign(order("repair", 1, 2)))
    assert effort_ms(1, 8 << 20, 0) < 500
    assert state.accept(steal(3)).facts["moved"] == 0, "the transfer would take longer than the work"
    state.accept(assign(*(order("repair", no, 2) for no in range(2, 8)),
                        *(order("repair", no, 3) for no in range(8, 14))))
    assert state.accept(steal(3, at_ms=AT_MS + 10**6)).facts["moved"] == 0, "the thief is as busy as the victim"


def test_who_searched_in_vain_waits_longer_each_time_and_few_search_at_a_time(state: MemoryState) -> None:
    first = state.accept(steal(2)).facts
    assert first == {"moved": 0, "victim": 0, "again_ms": AT_MS + SEARCH_FIRST_MS}
    assert state.accept(steal(2)).facts["again_ms"] == AT_MS + SEARCH_FIRST_MS, "asking sooner changes nothing"
    assert state.accept(steal(3)).facts["moved"] == 0
    state.accept(assign(*(order("repair", no, 5) for no in range(40))))
    assert state.accept(steal(4)).facts["moved"] == 0, "two of five search already"
    later = AT_MS + SEARCH_FIRST_MS
    assert state.accept(steal(4, at_ms=later)).facts["moved"] == 19
    assert state.accept(steal(2, at_ms=later)).facts["moved"] > 0


def test_those_that_nothing_suits_keep_nobody_from_searching(state: MemoryState) -> None:
    """Nodes 2 and 3 rest for seconds after some vain searches; then there is something for node 4."""
    at_ms = AT_MS
    for _ in range(4):
        assert state.accept(steal(2, at_ms=at_ms)).facts["moved"] == 0
        at_ms = state.accept(steal(3, at_ms=at_ms)).facts["again_ms"]
    state.accept(assign(*(order("repair", no, 5) for no in range(40))))
    assert state.accept(steal(4, at_ms=at_ms - SEARCH_FIRST_MS)).facts["moved"] == 19


def test_only_nodes_that_are_up_steal(state: MemoryState) -> None:
    state.accept(assign(*(order("repair", no, 5) for no in range(40))))
    state.accept(placement(1, "up", "up", "suspect", "up", "up"))
    assert state.accept(steal(3)).facts["moved"] == 0


def test_a_steal_puts_no_two_copies_on_one_node_or_into_one_zone(state: MemoryState) -> None:
    state.accept(placement(1, *["up"] * 5, zones="abacb"))
    state.accept(assign(*(order("repair", no, 2) for no in range(20))))
    assert state.accept(steal(1)).facts["moved"] == 0, "node 1 holds them all"
    assert state.accept(steal(3, at_ms=AT_MS + 10**6)).facts["moved"] == 0, "node 3 is in the zone of node 1"
    assert state.accept(steal(4, at_ms=AT_MS + 2 * 10**6)).facts["moved"] == 9


def test_a_scrub_goes_on_where_it_was_and_fulfils_the_wish(state: MemoryState) -> None:
    assert state.accept(scrub(2)).facts == {"nodes": 1}
    state.accept(assign(order("scrub", 0, 2)))
    state.accept(lease(2))
    [job] = leased(state, 2)
    assert state.accept(finish(2, ended(job, "again", position=b"half"))).facts["returned"] == 1
    state.accept(lease(2))
    [job] = leased(state, 2)
    assert (job.position, job.attempt) == (b"half", 2)
    state.accept(finish(2, ended(job)))
    [wish] = queries.scrub_wishes(state.db)
    assert (wish.asked_ms, wish.done_ms) == (AT_MS, AT_MS)
    state.accept(scrub(at_ms=AT_MS + 5))
    assert [wish.done_ms for wish in queries.scrub_wishes(state.db)] == [0] * 5
