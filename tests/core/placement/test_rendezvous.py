"""Placement: the same everywhere, by weight, zones apart, and nothing moves that need not."""

import math
import random
from collections import Counter
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fluffy.base.hashing import chunk_id_of
from fluffy.base.ids import ChunkId
from fluffy.core.metadata.commands import NodeState
from fluffy.core.metadata.model import PlacementMap
from fluffy.core.placement import place
from fluffy.core.placement.rendezvous import minus_log2

chunk_ids = st.binary(min_size=32, max_size=32).map(ChunkId)
zones = st.sampled_from(["", "a", "b", "c"])
states = st.sampled_from(["up", "up", "up", "suspect", "down", "draining", "joining"])


@st.composite
def maps(draw, states=states, min_size=1):
    numbers = draw(st.lists(st.integers(1, 1000), unique=True, min_size=min_size, max_size=12))
    return PlacementMap(1, tuple(NodeState(no, draw(states), draw(zones), draw(st.integers(1, 100_000)))
                                 for no in numbers))


def map_of(*nodes):
    return PlacementMap(1, tuple(NodeState(*node) for node in nodes))


def some_chunks(count, seed=1):
    random_bytes = random.Random(seed).randbytes
    return [ChunkId(random_bytes(32)) for _ in range(count)]


def test_golden_placements_never_change():
    """What is on disks was placed by this function: another answer would move every chunk of every cluster."""
    nodes = map_of((1, "up", "a", 10), (2, "up", "a", 20), (3, "up", "b", 30), (4, "up", "", 5), (9, "up", "c", 100))
    golden = {b"one": [9, 1, 3, 4, 2], b"two": [1, 4, 9, 3, 2], b"three": [1, 9, 3, 4, 2]}
    for name, expected in golden.items():
        assert place(chunk_id_of(name), nodes, 3, None) == expected
    assert minus_log2(1) == 64 << 40
    assert minus_log2(1 << 63) == 1 << 40
    assert minus_log2((1 << 64) - 1) == 1
    assert minus_log2(0x9E3779B97F4A7C15) == 763327153300


@given(chunk_ids, maps(), st.randoms())
def test_the_order_of_the_map_does_not_matter(chunk_id, placement, rng):
    shuffled = list(placement.nodes)
    rng.shuffle(shuffled)
    assert place(chunk_id, PlacementMap(2, tuple(shuffled)), 3, None) == place(chunk_id, placement, 3, None)


@given(chunk_ids, maps(), st.integers(1, 1000))
def test_the_suspect_come_last_and_the_own_first_and_the_down_only_when_there_are_too_few(chunk_id, placement, own):
    order = place(chunk_id, placement, 3, own)
    state = {node.node_no: node.state for node in placement.nodes}
    live = sorted(no for no, what in state.items() if what in ("up", "suspect"))
    down = sorted(no for no, what in state.items() if what == "down")
    assert sorted(order[:len(live)]) == live
    assert sorted(order[len(live):]) == (down if len(live) < 3 else [])
    assert place(chunk_id, placement, 1, own)[:len(live)] == order[:len(live)]
    kinds = [state[no] for no in order]
    assert kinds == sorted(kinds, key=["up", "suspect", "down"].index)
    if state.get(own) == "up":
        assert order[0] == own


@given(chunk_ids, maps(states=st.just("up"), min_size=2), st.integers(1, 5), st.data())
def test_losing_a_bystander_moves_nothing(chunk_id, placement, count, data):
    own = data.draw(st.sampled_from([None, *[node.node_no for node in placement.nodes]]))
    before = place(chunk_id, placement, count, own)[:count]
    bystanders = [node for node in placement.nodes if node.node_no not in before]
    assume(bystanders)
    lost = data.draw(st.sampled_from(bystanders))
    rest = PlacementMap(2, tuple(node for node in placement.nodes if node != lost))
    assert place(chunk_id, rest, count, own)[:count] == before


@given(chunk_ids, maps(states=st.just("up"), min_size=2), st.integers(1, 5), st.data())
def test_losing_a_holder_keeps_every_other_holder(chunk_id, placement, count, data):
    """Without zones in play each loss moves exactly one copy."""
    plain = PlacementMap(1, tuple(NodeState(node.node_no, "up", "", node.weight) for node in placement.nodes))
    before = place(chunk_id, plain, count, None)[:count]
    lost = data.draw(st.sampled_from(before))
    rest = PlacementMap(2, tuple(node for node in plain.nodes if node.node_no != lost))
    after = place(chunk_id, rest, count, None)[:count]
    assert set(before) - {lost} <= set(after)


@given(chunk_ids, maps(states=st.just("up"), min_size=2))
def test_each_zone_is_taken_once_before_any_is_taken_twice(chunk_id, placement):
    zone = {node.node_no: node.zone or f"alone {node.node_no}" for node in placement.nodes}
    order = [zone[no] for no in place(chunk_id, placement, 3, None)]
    seen = Counter()
    for position, name in enumerate(order):
        seen[name] += 1
        waiting = set(order[position:]) - {name}
        assert all(seen[other] >= seen[name] - 1 for other in waiting)


def test_a_node_that_comes_takes_only_its_share():
    before = map_of(*[(no, "up", "", 10) for no in range(1, 6)])
    after = map_of(*[(no, "up", "", 10) for no in range(1, 7)])
    chunks = some_chunks(3000)
    moved = 0
    for chunk_id in chunks:
        old, new = set(place(chunk_id, before, 2, None)[:2]), set(place(chunk_id, after, 2, None)[:2])
        assert new <= old | {6}
        moved += new != old
    assert abs(moved / len(chunks) - 2 / 6) < 0.03


def test_shares_follow_weights_within_a_few_percent():
    weights = {1: 100, 2: 200, 3: 400, 4: 50, 5: 1000}
    nodes = map_of(*[(no, "up", "", weight) for no, weight in weights.items()])
    first = Counter(place(chunk_id, nodes, 1, None)[0] for chunk_id in some_chunks(20_000))
    for no, weight in weights.items():
        share = weight / sum(weights.values())
        sigma = math.sqrt(share * (1 - share) / 20_000)
        assert abs(first[no] / 20_000 - share) < 4.5 * sigma


def test_equal_nodes_of_two_copies_are_balanced():
    nodes = map_of(*[(no, "up", "", 7) for no in range(1, 11)])
    held = Counter(no for chunk_id in some_chunks(10_000) for no in place(chunk_id, nodes, 2, None)[:2])
    assert all(abs(held[no] - 2000) < 200 for no in range(1, 11))


@settings(max_examples=300)
@given(st.integers(0, 2**64 - 2), st.integers(1, 2**40))
def test_the_integer_logarithm_falls_and_is_close(u, step):
    larger = min(2**64 - 1, u + step)
    assert minus_log2(u) >= minus_log2(larger)
    if u > 0:
        near_one = -math.log1p(-float(Fraction(2**64 - u, 2**64))) / math.log(2) if u >= 2**63 else None
        exact = -math.log2(Fraction(u, 2**64)) if near_one is None else near_one
        assert abs(minus_log2(u) / 2**40 - exact) < 1e-6
