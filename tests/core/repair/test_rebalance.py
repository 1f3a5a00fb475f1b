"""Shares of nodes, when moving is due, and waves that never overshoot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.model_jobs import ChunkLine
from fluffy.core.repair.cluster_view import ClusterView, Node
from fluffy.core.repair.plan import Planner
from fluffy.core.repair.queues import WINDOWS, Room
from fluffy.core.repair.rebalance import Wave, excesses, is_due

CHUNK_SIZE = 10


def view_of(*sizes: tuple[int, int], zones: str = "abcdefgh") -> ClusterView:
    """Nodes with what they hold and what is free."""
    return ClusterView(Node(NodeNo(at + 1), "up", zones[at], held, free, False, False)
                       for at, (held, free) in enumerate(sizes))


SHARES = [
    # what nodes hold and have free                       copies  how far each is off
    (((1_000, 9_000), (1_000, 9_000), (1_000, 9_000)), 3, (0, 0, 0)),
    (((1_000, 9_000), (1_000, 9_000), (1_000, 9_000), (0, 10_000)), 3, (250, 250, 250, -750)),
    (((1_500, 500), (1_500, 8_500), (0, 10_000)), 2, (1_227, 137, -1_364)),
    (((900, 0), (900, 99_100)), 2, (0, 0)),                         # no node needs more than all chunks once
    (((700, 300), (300, 700)), 1, (200, -200)),
    ((), 3, ()),
]


@pytest.mark.parametrize(("sizes", "replication", "off"), SHARES)
def test_a_share_is_by_room_and_at_most_all_chunks_once(sizes: tuple[tuple[int, int], ...], replication: int,
                                                        off: tuple[int, ...]) -> None:
    assert tuple(excesses(view_of(*sizes), replication).values()) == off


def test_moving_begins_late_and_ends_early() -> None:
    def due(off: int, *, moving: bool) -> bool:
        view = view_of((1_000 + off, 9_000), (1_000 - off, 9_000))
        return is_due(view, excesses(view, 1), chunk_size=1, moving=moving)
    assert [due(off, moving=False) for off in (0, 60, 90, 130)] == [False, False, False, True]
    assert [due(off, moving=True) for off in (0, 30, 60, 90)] == [False, False, True, True]


def test_small_differences_move_nothing() -> None:
    view = view_of((2 * CHUNK_SIZE, 90), (0, 110))
    assert not is_due(view, excesses(view, 1), chunk_size=CHUNK_SIZE, moving=True)


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 20_000)), min_size=1, max_size=8), st.integers(1, 4))
def test_shares_add_up_to_what_there_is(sizes: list[tuple[int, int]], replication: int) -> None:
    view = view_of(*sizes)
    excess = excesses(view, replication)
    total = sum(held for held, _ in sizes)
    shares = [view.nodes[no].bytes - off for no, off in excess.items()]
    assert all(0 <= share <= total // min(replication, len(sizes)) + 1 for share in shares)
    assert abs(sum(shares) - total) <= len(sizes) + total % min(replication, len(sizes)) or any(
        held + free == 0 for held, free in sizes)


@st.composite
def spreads(draw: st.DrawFn) -> tuple[int, list[tuple[int, ...]], str]:
    nodes = draw(st.integers(2, 6))
    wanted = draw(st.integers(1, min(3, nodes)))
    chunks = draw(st.lists(st.sets(st.integers(1, nodes), min_size=wanted, max_size=wanted), max_size=120))
    return nodes, [tuple(sorted(copies)) for copies in chunks], draw(st.sampled_from(["abcdef", "aabbcc"]))


@given(spreads())
def test_a_wave_moves_only_from_above_to_below_and_brings_all_nearer(
        spread: tuple[int, list[tuple[int, ...]], str]) -> None:
    nodes, chunks, zones = spread
    held = [sum(no in copies for copies in chunks) * CHUNK_SIZE for no in range(1, nodes + 1)]
    view = view_of(*((size, 10_000 - size) for size in held), zones=zones)
    wanted = len(chunks[0]) if chunks else 1
    excess = excesses(view, wanted)
    planner = Planner(view, Room({}), lambda _: list(view.nodes), excess)
    wave = Wave(view, excess, planner)
    after = dict(excess)
    for at, copies in enumerate(chunks):
        before = len(planner.orders)
        line = ChunkLine(at, ChunkId(at.to_bytes(32, "big")), CHUNK_SIZE, 1, wanted,
                         tuple(NodeNo(no) for no in copies), None)
        wave.look_at(line, ())
        for order in planner.orders[before:]:
            assert order.kind == "rebalance" and order.node_no not in copies
            giver = max(copies, key=lambda no: (after[NodeNo(no)], no))
            after[NodeNo(giver)] -= CHUNK_SIZE
            after[order.node_no] += CHUNK_SIZE
            zones_after = [view.zone(NodeNo(no)) for no in (*copies, order.node_no) if no != giver]
            zones_before = [view.zone(NodeNo(no)) for no in copies]
            assert len(set(zones_after)) >= len(set(zones_before))
    for no, off in after.items():
        assert abs(off) <= abs(excess[no]) and (off >= 0 or excess[no] <= 0 or off > -CHUNK_SIZE)
    assert len(planner.orders) <= nodes * WINDOWS["rebalance"]
