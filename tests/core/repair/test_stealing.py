"""What is worth stealing: tables of shapes like those of dask, and properties of any queues."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import MIB
from fluffy.core.metadata.commands import NodeState
from fluffy.core.metadata.job_rules import (
    FLOOR_EVERY,
    STEAL_JOBS_MAX,
    TRANSFER_MS,
    Loot,
    QueueLoad,
    effort_ms,
    priority_of,
    turns,
    victims,
)
from fluffy.core.metadata.model import PlacementMap
from fluffy.core.metadata.model_jobs import Job, Queue
from fluffy.core.repair.stealing import is_worth_waiting, others_end_within, should_steal

# A job of 1 MiB takes so long at 1 MiB/s, with its overhead.
SECOND = MIB


def load(queued: int, *, leased: int = 0, rate: int = SECOND, cost: int = MIB) -> QueueLoad:
    return QueueLoad(queued, queued * cost, leased, leased * cost, rate, queued)


SHAPES = [
    # thief           others (node 2, 3, …)               whom it asks, in order
    (load(0), [load(0)], []),
    (load(0), [load(10)], [2]),
    (load(0), [load(10), load(20)], [3, 2]),
    (load(0), [load(10), load(10)], [2, 3]),
    (load(0), [load(0, leased=10)], []),                                 # leased jobs are never stolen
    (load(0), [load(1, leased=9)], [2]),
    (load(0), [load(1, rate=1_000 * MIB)], []),                          # done before the transfer is
    (load(10), [load(10)], []),
    (load(5), [load(10)], [2]),
    (load(0), [load(40, rate=10 * SECOND), load(10, rate=SECOND)], [3, 2]),  # seconds count, not jobs
    (load(0), [load(40, cost=MIB // 100), load(2, cost=10 * MIB)], [3, 2]),
]


@pytest.mark.parametrize(("thief", "others", "asked"), SHAPES)
def test_whom_an_idle_node_steals_from(thief: QueueLoad, others: list[QueueLoad], asked: list[int]) -> None:
    loads = {NodeNo(1): thief, **{NodeNo(at + 2): other for at, other in enumerate(others)}}
    assert victims(NodeNo(1), loads) == asked


def test_what_nobody_else_can_do_is_nothing_to_steal() -> None:
    only_drops = QueueLoad(50, 50 * MIB, 0, 0, SECOND, 0)
    assert victims(NodeNo(1), {NodeNo(2): only_drops}) == []


LOOTS = [
    # victim                   thief                    cost     taken
    (load(10), load(0), MIB, 5),
    (load(11), load(0), MIB, 5),
    (load(10, rate=SECOND // 10), load(0, rate=SECOND), MIB, 5),
    (load(10), load(0, rate=SECOND // 10), MIB, 0),                      # the thief is too slow to help
    (load(10), load(4), MIB, 3),                                         # never so much that it turns round
    (load(2), load(0), MIB, 1),
    (load(1, leased=4), load(0), MIB, 1),
    (load(1_000), load(0), MIB, STEAL_JOBS_MAX),
]


@pytest.mark.parametrize(("victim", "thief", "cost", "taken"), LOOTS)
def test_half_of_the_waiting_time_is_taken(victim: QueueLoad, thief: QueueLoad, cost: int, taken: int) -> None:
    loot = Loot(victim, thief)
    while loot.takes(cost):
        pass
    assert loot.jobs == taken


loads = st.builds(load, st.integers(0, 300), leased=st.integers(0, 32),
                  rate=st.sampled_from([0, SECOND // 10, SECOND, 50 * SECOND]),
                  cost=st.sampled_from([1, 64 * 1024, MIB, 8 * MIB, 64 * MIB]))


@given(loads, loads, st.lists(st.sampled_from([1, MIB, 8 * MIB]), max_size=300))
def test_a_steal_never_makes_the_longer_wait_longer(victim: QueueLoad, thief: QueueLoad, costs: list[int]) -> None:
    loot = Loot(victim, thief)
    taken = []
    for cost in costs:
        if not loot.takes(cost):
            break
        taken.append(cost)
    assert len(taken) <= STEAL_JOBS_MAX
    after = thief.wait_ms + sum(effort_ms(1, cost, thief.rate) for cost in taken)
    assert not taken or after + TRANSFER_MS <= victim.wait_ms


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=5), st.integers(0, 1_000), st.integers(1, 12))
def test_no_class_starves_and_the_first_is_hardly_held_up(sizes: list[int], turn: int, batch: int) -> None:
    classes = [[rank * 1_000 + at for at in range(size)] for rank, size in enumerate(sizes)]
    everything = sum(sizes)
    order: list[int] = []
    while len(order) < everything:
        got = turns([[no for no in jobs if no not in order] for jobs in classes], turn, batch)
        assert got and not set(got) & set(order)
        order += got
        turn += len(got)
    assert sorted(order) == sorted(no for jobs in classes for no in jobs)
    for jobs in classes:
        assert [no for no in order if no in set(jobs)] == jobs, "each class in its order"
    first_done = order.index(classes[0][-1]) + 1
    assert first_done <= sizes[0] * FLOOR_EVERY // (FLOOR_EVERY - 1) + 2
    if sizes[0] >= FLOOR_EVERY:
        assert any(no >= 1_000 for no in order[:FLOOR_EVERY]), "a lower class gets its turn"


def queue(no: int, jobs: QueueLoad, search_after_ms: int = 0) -> Queue:
    return Queue(NodeNo(no), jobs, 0, search_after_ms, 0, 0, 0, 0, 0)


def placement(*states: str) -> PlacementMap:
    return PlacementMap(1, tuple(NodeState(NodeNo(at + 1), state, "z", 1) for at, state in enumerate(states)))


ASKING = [
    # own state  queues                                                                         asks
    ("up", [queue(2, load(10))], True),
    ("up", [queue(1, load(1)), queue(2, load(10))], False),
    ("up", [queue(1, load(0, leased=1, rate=10 * SECOND)), queue(2, load(10))], True),
    ("up", [queue(1, load(0, leased=2)), queue(2, load(10))], False),  # it has something to do for a while
    ("up", [queue(1, load(0), search_after_ms=200), queue(2, load(10))], False),
    ("up", [queue(2, load(0))], False),
    ("up", [queue(2, load(10)), queue(3, load(0), 200), queue(4, load(0), 200)], True),  # the state says who waits
    ("suspect", [queue(2, load(10))], False),
    ("draining", [queue(2, load(10))], False),
]


@pytest.mark.parametrize(("state", "queues", "asks"), ASKING)
def test_a_thief_asks_only_when_it_is_worth_a_log_entry(state: str, queues: list[Queue], asks: bool) -> None:
    assert should_steal(NodeNo(1), queues, placement(state, "up", "up", "up"), 100, lambda _: MIB) is asks


def test_a_thief_does_not_ask_when_nothing_suits_it_or_one_job_would_take_it_too_long() -> None:
    queues, up = [queue(2, load(10))], placement("up", "up")
    assert not should_steal(NodeNo(1), queues, up, 100, lambda _: None)
    assert not should_steal(NodeNo(1), [queue(1, load(0, rate=SECOND)), *queues], up, 100, lambda _: 20 * MIB)


# A slow node with ten jobs of 1 MiB in its queue, and what the others have to do at 10 MiB/s each.
FAST = 10 * SECOND
LEAVING = [
    # others                                                              its own job takes   leaves them
    ([queue(2, load(0, rate=FAST)), queue(3, load(0, rate=FAST))], 3_000, True),
    ([queue(2, load(0, rate=FAST)), queue(3, load(0, rate=FAST))], 500, False),       # it would be done first
    ([queue(2, load(80, rate=FAST)), queue(3, load(0, leased=30, rate=FAST))], 3_000, False),  # they have enough to do
    ([queue(2, load(0, rate=0)), queue(3, load(0, rate=0))], 3_000, False),           # nobody knows how fast they are
    ([queue(4, load(0, rate=FAST))], 3_000, False),                                   # it is down
    ([], 3_000, False),
]


@pytest.mark.parametrize(("others", "job_ms", "leaves"), LEAVING)
def test_a_slow_node_leaves_the_end_to_faster_ones(others: list[Queue], job_ms: int, leaves: bool) -> None:
    queues = [queue(1, load(10)), *others]
    assert others_end_within(NodeNo(1), queues, placement("up", "up", "up", "down"), job_ms) is leaves


@pytest.mark.parametrize(("kind", "left", "waits"), [
    ("repair", 2, True), ("drain", 2, True), ("repair", 1, False), ("drop", 2, False), ("rebalance", 2, False)])
def test_what_is_endangered_or_bound_to_the_node_waits_for_nobody(kind: str, left: int, waits: bool) -> None:
    job = Job(1, kind, ChunkId(b""), NodeNo(1), priority_of(kind, left), MIB, "copies", "queued",
              0, 0, 0, 0, 0, 0, "", NodeNo(0), b"", 0, b"")
    assert is_worth_waiting(job) is waits
