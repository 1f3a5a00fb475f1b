"""Whom to ask for a chunk, in which order, and when a second one."""

from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.hashing import chunk_id_of
from fluffy.core.data.chunk_read import ChunkRead, Fetch, OutOfCopies, read_order
from fluffy.core.data.latency import (
    DOUBT_MS_FIRST,
    DOUBT_MS_MAX,
    HEDGE_MS_FIRST,
    HEDGE_MS_MAX,
    HEDGE_MS_MIN,
    SAMPLES_MIN,
    Doubts,
    Latencies,
)
from fluffy.core.metadata.commands import NodeState
from fluffy.core.metadata.model import PlacementMap

CHUNK = chunk_id_of(b"chunk")


def map_of(states):
    return PlacementMap(1, tuple(NodeState(no, state, "", 1) for no, state in states.items()))


def test_the_next_is_asked_when_one_fails_and_the_end_names_every_reason():
    read = ChunkRead([1, 2])
    assert read.start() == [Fetch(1)]
    assert read.failed(1, "ChunkCorrupt") == [Fetch(2)]
    assert read.failed(2, "PeerUnreachable") == [OutOfCopies({1: "ChunkCorrupt", 2: "PeerUnreachable"})]


def test_a_hedge_asks_one_more_and_only_one():
    read = ChunkRead([1, 2, 3])
    read.start()
    assert read.hedge_due() == [Fetch(2)]
    assert not read.can_hedge and read.hedge_due() == []
    assert read.failed(1, "PeerUnreachable") == [Fetch(3)]
    assert read.failed(2, "PeerUnreachable") == []
    assert read.failed(3, "PeerUnreachable") == [OutOfCopies(dict.fromkeys((1, 2, 3), "PeerUnreachable"))]


def test_nobody_to_ask():
    assert ChunkRead([]).start() == [OutOfCopies({})]


def test_trusted_nodes_first_then_doubtful_then_those_without_a_record():
    placement = map_of({1: "up", 2: "suspect", 3: "down", 4: "draining", 5: "up", 6: "down", 7: "up"})
    order = read_order(CHUNK, [1, 2, 3, 4, 7], placement, own=7, latency_ms={})
    assert set(order[:2]) == {1, 4}
    assert order[2:] == [2, 3, 5]


def test_a_holder_that_the_map_does_not_know_is_still_asked():
    assert read_order(CHUNK, [9], map_of({1: "up"}), own=1, latency_ms={}) == [9]


def test_faster_peers_come_first_and_readers_of_many_chunks_spread_over_equal_ones():
    placement = map_of({1: "up", 2: "up", 3: "up"})
    assert read_order(CHUNK, [1, 2, 3], placement, 9, {1: 100, 2: 3, 3: 20}) == [2, 3, 1]
    first = {read_order(chunk_id_of(b"%d" % n), [1, 2, 3], placement, 9, {1: 5, 2: 6, 3: 7})[0] for n in range(50)}
    assert first == {1, 2, 3}


@given(st.lists(st.integers(1, 20), unique=True), st.dictionaries(st.integers(1, 20), st.sampled_from(["up", "down"])))
def test_everybody_who_may_have_it_is_asked_once_and_never_oneself(replicas, states):
    order = read_order(CHUNK, replicas, map_of(states), 1, {})
    assert len(order) == len(set(order)) and 1 not in order
    assert set(order) == (set(replicas) | {no for no, state in states.items() if state == "up"}) - {1}


def test_hedging_follows_the_slowest_twentieth_within_bounds():
    latencies = Latencies()
    for _ in range(SAMPLES_MIN - 1):
        latencies.record(1, 50)
    assert latencies.hedge_after_ms(1) == HEDGE_MS_FIRST
    for ms in [50] * 20 + [400] * 2:
        latencies.record(1, ms)
    assert latencies.hedge_after_ms(1) == 400
    assert latencies.medians_ms() == {1: 50}
    for _ in range(64):
        latencies.record(1, 1)
    assert latencies.hedge_after_ms(1) == HEDGE_MS_MIN
    for _ in range(64):
        latencies.record(1, 60_000)
    assert latencies.hedge_after_ms(1) == HEDGE_MS_MAX


def test_a_peer_that_owes_an_answer_is_asked_last_for_a_growing_while():
    doubts, now_ms, lasted = Doubts(), 0, []
    for _ in range(7):
        doubts.overtaken(1, now_ms)
        doubts.overtaken(1, now_ms + 1)
        start_ms = now_ms
        while doubts.doubtful(now_ms):
            now_ms += 500
        lasted.append(now_ms - start_ms)
    assert lasted == [DOUBT_MS_FIRST, 2_000, 4_000, 8_000, DOUBT_MS_MAX, DOUBT_MS_MAX, DOUBT_MS_MAX]
    doubts.answered(1)
    doubts.overtaken(1, now_ms)
    assert not doubts.doubtful(now_ms + DOUBT_MS_FIRST), "an answer ends the story"
    assert read_order(CHUNK, [1, 2], map_of({1: "up", 2: "up"}), 9, {1: 1, 2: 100}, {1}) == [2, 1]
    assert read_order(CHUNK, [1, 2], map_of({1: "up", 2: "down"}), 9, {}, {1}) == [1, 2]
