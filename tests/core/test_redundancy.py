"""Sums over sets of copies: what is whole, short, endangered, away, lost; and what stopping a node would cost."""

from __future__ import annotations

import random

import pytest

from fluffy.core.metadata.queries_redundancy import CopySet
from fluffy.core.repair.redundancy import Coverage, cost_of_stop, coverage, unreadable_sets

ALL = frozenset({1, 2, 3, 4})


@pytest.mark.parametrize(("nodes", "living", "expected"), [
    ((1, 2, 3), {1, 2, 3}, Coverage(whole=5)),
    ((1, 2, 3, 4), {1, 2, 3}, Coverage(whole=5)),
    ((1, 2, 3), {1, 2}, Coverage(short=5, missing_copies=5, missing_bytes=70)),
    ((1, 2), {1, 2, 3}, Coverage(short=5, missing_copies=5, missing_bytes=70)),
    ((1, 2, 3), {3}, Coverage(endangered=5, missing_copies=10, missing_bytes=140)),
    ((1, 2, 3), {4}, Coverage(away=5, missing_copies=15, missing_bytes=210)),
    ((9,), {1, 2, 3}, Coverage(lost=5, missing_copies=15, missing_bytes=210)),
    ((), {1, 2, 3}, Coverage(lost=5, missing_copies=15, missing_bytes=210))])
def test_each_chunk_is_in_one_count(nodes: tuple[int, ...], living: set[int], expected: Coverage) -> None:
    found = coverage([CopySet(nodes, 3, 5, 70)], living, ALL)
    assert found == expected and found.chunks == 5


def test_a_chunk_that_wants_one_copy_and_has_it_is_whole() -> None:
    assert coverage([CopySet((1,), 1, 2, 20)], {1, 2}, ALL) == Coverage(whole=2)


def test_stopping_a_node_costs_what_only_it_has_and_what_would_have_one_left() -> None:
    sets = [CopySet((1,), 3, 1, 10), CopySet((1, 2), 3, 10, 100), CopySet((1, 2, 3), 3, 100, 1000),
            CopySet((1,), 1, 1000, 1), CopySet((2, 3), 3, 10_000, 1)]
    cost = cost_of_stop(sets, {1, 2, 3}, 1)
    assert (cost.gone, cost.gone_chunks) == (((1,),), 1001)
    assert (cost.last_chunks, cost.held_chunks, cost.held_bytes) == (10, 1111, 1111)


def test_copies_on_nodes_that_are_away_do_not_save_anything() -> None:
    cost = cost_of_stop([CopySet((1, 2, 3), 3, 7, 7)], {1}, 1)
    assert (cost.gone_chunks, cost.last_chunks) == (7, 0)


def test_stopping_a_node_that_is_down_already_costs_nothing_more() -> None:
    cost = cost_of_stop([CopySet((1, 2), 3, 7, 7)], {2}, 1)
    assert (cost.gone, cost.gone_chunks, cost.last_chunks, cost.held_chunks) == ((), 0, 0, 7)


def test_the_sums_agree_with_looking_at_each_chunk() -> None:
    rng = random.Random(7)
    for _ in range(200):
        sets = [CopySet(tuple(sorted(rng.sample(range(1, 6), rng.randrange(4)))), rng.choice((1, 2, 3)),
                        rng.randrange(1, 9), rng.randrange(99)) for _ in range(rng.randrange(1, 6))]
        living, node = set(rng.sample(range(1, 6), rng.randrange(1, 6))), rng.randrange(1, 6)
        before = coverage(sets, living, frozenset(range(1, 6)))
        after = coverage(sets, living - {node}, frozenset(range(1, 6)))
        cost = cost_of_stop(sets, living, node)
        assert cost.gone_chunks == after.away + after.lost - before.away - before.lost
        assert bool(cost.gone_chunks) == (len(unreadable_sets(sets, living - {node}))
                                          > len(unreadable_sets(sets, living)))
