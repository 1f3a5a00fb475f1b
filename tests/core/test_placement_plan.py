from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.ids import NodeNo
from fluffy.base.units import GIB
from fluffy.core.health.placement_plan import Report, next_nodes, weight_of
from fluffy.core.metadata.commands import NodeRecord, NodeState
from fluffy.core.metadata.model import PlacementMap

MEMBERS = [NodeRecord(NodeNo(no), name, f"disk-{no}", zone, "127.0.0.1", 0, 0, 0, 0)
           for no, name, zone in ((2, "two", "b"), (1, "one", "a"), (3, "three", "c"))]


def published(**states: str) -> PlacementMap:
    numbers = {"one": 1, "two": 2, "three": 3}
    zones = {"one": "a", "two": "b", "three": "c"}
    return PlacementMap(4, tuple(NodeState(NodeNo(numbers[name]), state, zones[name], 100)
                                 for name, state in states.items()))


ALL_UP = published(one="up", two="up", three="up")


def reports(one: str = "up", two: str = "up", three: str = "up", free_gib: int = 100) -> dict[NodeNo, Report]:
    return {NodeNo(no): Report(verdict, free_gib * GIB)  # type: ignore[arg-type]
            for no, verdict in ((1, one), (2, two), (3, three))}


def states(nodes: tuple[NodeState, ...] | None) -> list[tuple[int, str]] | None:
    return None if nodes is None else [(node.node_no, node.state) for node in nodes]


def test_nothing_is_published_while_nothing_changes() -> None:
    assert next_nodes(ALL_UP, MEMBERS, reports()) is None
    assert next_nodes(ALL_UP, MEMBERS, {}) is None


def test_a_verdict_is_published_with_the_nodes_in_order() -> None:
    assert states(next_nodes(ALL_UP, MEMBERS, reports(two="suspect"))) == [(1, "up"), (2, "suspect"), (3, "up")]


def test_small_changes_of_free_space_are_not_worth_a_map_and_large_ones_are() -> None:
    assert next_nodes(ALL_UP, MEMBERS, reports(free_gib=119)) is None
    assert next_nodes(ALL_UP, MEMBERS, reports(free_gib=81)) is None
    grown = next_nodes(ALL_UP, MEMBERS, reports(free_gib=120))
    assert grown is not None and {node.weight for node in grown} == {120}
    assert next_nodes(ALL_UP, MEMBERS, reports(free_gib=80)) is not None


def test_weights_alone_wait_for_their_turn_but_travel_with_a_verdict() -> None:
    assert next_nodes(ALL_UP, MEMBERS, reports(free_gib=500), weights_due=False) is None
    nodes = next_nodes(ALL_UP, MEMBERS, reports(two="down", free_gib=500), weights_due=False)
    assert nodes is not None and {node.weight for node in nodes} == {500}


def test_an_operators_intent_is_not_overwritten_by_a_verdict() -> None:
    draining = published(one="up", two="draining", three="up")
    assert next_nodes(draining, MEMBERS, reports(), draining={2}) is None
    assert states(next_nodes(draining, MEMBERS, reports(three="down"), draining={2})) == [
        (1, "up"), (2, "draining"), (3, "down")]
    assert states(next_nodes(draining, MEMBERS, reports(two="down"), draining={2})) == [
        (1, "up"), (2, "down"), (3, "up")]
    assert states(next_nodes(draining, MEMBERS, reports())) == [(1, "up"), (2, "up"), (3, "up")]


def test_members_that_came_or_went_make_a_new_map() -> None:
    assert states(next_nodes(published(one="up", two="up"), MEMBERS, reports())) == [(1, "up"), (2, "up"), (3, "up")]
    assert states(next_nodes(published(one="up", two="up"), MEMBERS, {})) == [(1, "up"), (2, "up"), (3, "suspect")]
    assert states(next_nodes(ALL_UP, MEMBERS[:2], reports())) == [(1, "up"), (2, "up")]


def test_a_full_disk_still_weighs_something() -> None:
    assert weight_of(0) == 1
    assert weight_of(5 * GIB + 1) == 5


@given(st.lists(st.tuples(st.sampled_from(["up", "suspect", "down"]), st.integers(0, 10_000)), min_size=3, max_size=3))
def test_a_published_map_is_at_rest(seen: list[tuple[str, int]]) -> None:
    """The same reports never ask for a second map: the leader does not chase its own tail."""
    found = {NodeNo(no): Report(verdict, free * GIB)  # type: ignore[arg-type]
             for no, (verdict, free) in enumerate(seen, start=1)}
    nodes = next_nodes(ALL_UP, MEMBERS, found)
    if nodes is not None:
        assert next_nodes(PlacementMap(5, nodes), MEMBERS, found) is None
