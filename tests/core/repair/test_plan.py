"""What the plan orders for one chunk: tables of shapes, and properties of any shape.

A shape: where the copies are, in which state the nodes are, which jobs there are; then the orders that follow.
Nodes: u up, s suspect, d down within the grace, L lost (down for longer), D draining. All in zones of their own unless
told. The chunk wants three copies unless told, and the placement's order is 1, 2, 3, …
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.job_rules import QUEUE_JOBS_MAX
from fluffy.core.metadata.model_jobs import ChunkLine, Job
from fluffy.core.repair.cluster_view import ClusterView, Node
from fluffy.core.repair.plan import REASONS, Planner
from fluffy.core.repair.queues import WINDOWS, Room

CHUNK = ChunkId(b"c" * 32)
STATES = {"u": "up", "s": "suspect", "d": "down", "L": "down", "D": "draining"}


def view_of(states: str, zones: str = "abcdefgh") -> ClusterView:
    return ClusterView(Node(NodeNo(at + 1), STATES[word], zones[at], 0, 1 << 30, word == "D", word == "L")
                       for at, word in enumerate(states))


def job_of(kind: str, node: int, state: str = "queued") -> Job:
    return Job(node, kind, CHUNK, NodeNo(node), 0, 1, "why", state, 0, 0, 0, 0, 0, 0, "", NodeNo(0), b"", 0, b"")


def line_of(copies: tuple[int, ...], wanted: int = 3) -> ChunkLine:
    return ChunkLine(1, CHUNK, 100, 1, wanted, tuple(NodeNo(no) for no in copies), None)


def plan(states: str, copies: tuple[int, ...], *, wanted: int = 3, zones: str = "abcdefgh",
         jobs: tuple[Job, ...] = (), spare: dict[int, int] | None = None, room: Room | None = None) -> list[str]:
    """The orders, like `repair 4 lost/2`: kind, node, reason, copies left."""
    view = view_of(states, zones)
    order = {NodeNo(no): off for no, off in (spare or {}).items()}
    planner = Planner(view, room or Room({}), lambda _: list(view.nodes), order)
    planner.look_at(line_of(copies, wanted), jobs)
    assert all(made.reason in REASONS for made in planner.orders)
    return [f"{made.kind} {made.node_no} {made.reason}/{made.priority % 100}" for made in planner.orders]


REPAIRS = [
    # nodes    copies      orders
    ("uuuu", (1, 2, 3), []),
    ("uuuu", (1, 2), ["repair 3 copies/2"]),
    ("uuuuu", (2,), ["repair 1 endangered/1", "repair 3 endangered/1"]),
    ("uuuud", (1, 2, 5), []),                                # within the grace: it will come back
    ("uuuus", (1, 2, 5), []),
    ("uuuuL", (1, 2, 5), ["repair 3 lost/2"]),
    ("uuuLL", (1, 4, 5), ["repair 2 endangered/1", "repair 3 endangered/1"]),
    ("uuudd", (1, 4, 5), ["repair 2 endangered/1"]),         # endangered: at once, but only out of danger
    ("uuuud", (5,), []),                                     # nobody to copy from
    ("uuuu", (), []),
    ("uuuuD", (1, 2, 5), ["drain 3 draining/3"]),
    ("uuuDD", (1, 4, 5), ["drain 2 draining/3", "drain 3 draining/3"]),
    ("uuudD", (1, 4, 5), ["drain 2 draining/2"]),
    ("uuuLD", (1, 4, 5), ["repair 2 lost/2", "repair 3 lost/2"]),
    ("suuuL", (2, 3, 5), ["repair 4 lost/2"]),               # never onto one that is suspect
    ("uuD", (1, 2, 3), []),                                  # nowhere to go
]


@pytest.mark.parametrize(("states", "copies", "orders"), REPAIRS)
def test_copies_that_are_missing_are_ordered(states: str, copies: tuple[int, ...], orders: list[str]) -> None:
    assert plan(states, copies) == orders


JOBS = [
    ("uuuuu", (1, 2), (job_of("repair", 3),), []),
    ("uuuuu", (1, 2), (job_of("repair", 3, "leased"),), []),
    ("uuuuu", (1, 2), (job_of("repair", 3, "stuck"),), ["repair 4 copies/2"]),
    ("uuuuu", (1,), (job_of("repair", 2),), ["repair 3 endangered/1"]),
    ("uuduu", (1, 2), (job_of("repair", 3),), ["repair 4 copies/2"]),       # it is away with its queue
    ("uuuuu", (1, 2), (job_of("drop", 3),), ["repair 4 copies/2"]),
    ("uuuuu", (1, 2, 3, 4), (job_of("repair", 5),), []),                    # what is too many is known afterwards
    ("uuuuu", (1, 2, 3, 4), (job_of("drop", 2),), []),
    ("uuuuu", (1, 2, 3, 4), (job_of("drop", 2, "stuck"),), []),
]


@pytest.mark.parametrize(("states", "copies", "jobs", "orders"), JOBS)
def test_what_is_ordered_already_is_not_ordered_again(states: str, copies: tuple[int, ...], jobs: tuple[Job, ...],
                                                      orders: list[str]) -> None:
    assert plan(states, copies, jobs=jobs) == orders


DROPS = [
    # nodes   copies        zones    fullest  orders
    ("uuuuu", (1, 2, 3, 4), "abcde", 2, ["drop 2 surplus/0"]),
    ("uuuuu", (1, 2, 3, 4), "abcae", 2, ["drop 4 surplus/0"]),              # of two in one zone one, the later
    ("uuuuu", (1, 2, 3, 4, 5), "abcde", 2, ["drop 2 surplus/0", "drop 5 surplus/0"]),
    ("uuuLu", (1, 2, 3, 4), "abcde", 2, []),                                # the lost one does not count
    ("uuusu", (1, 2, 3, 4), "abcde", 2, []),                                # nor one that is not certain
    ("uuuDu", (1, 2, 3, 4), "abcde", 2, []),
]


@pytest.mark.parametrize(("states", "copies", "zones", "fullest", "orders"), DROPS)
def test_copies_that_are_too_many_are_dropped(states: str, copies: tuple[int, ...], zones: str, fullest: int,
                                              orders: list[str]) -> None:
    assert plan(states, copies, zones=zones, spare={fullest: 1}) == orders


ZONES = [
    ("uuuu", (1, 2, 3), "aabc", ["rebalance 4 zone/3"]),
    ("uuuu", (1, 2, 3), "aabb", []),                         # no zone is free
    ("uuus", (1, 2, 3), "aabc", []),                         # the node there is not up
    ("uuuu", (1, 3), "aabc", ["repair 4 copies/2"]),         # a repair goes to a free zone first
    ("uuu", (1, 3), "aab", ["repair 2 copies/2"]),           # and to a taken one when there is no other
]


@pytest.mark.parametrize(("states", "copies", "zones", "orders"), ZONES)
def test_copies_are_kept_in_zones_of_their_own(states: str, copies: tuple[int, ...], zones: str,
                                               orders: list[str]) -> None:
    assert plan(states, copies, zones=zones) == orders


def test_nodes_without_a_zone_share_none() -> None:
    view = ClusterView(Node(NodeNo(no), "up", "", 0, 1, False, False) for no in (1, 2, 3, 4))
    planner = Planner(view, Room({}), lambda _: list(view.nodes), {})
    planner.look_at(line_of((1, 2, 3)), ())
    assert planner.orders == []


def test_full_queues_get_nothing_and_the_next_node_stands_in() -> None:
    room = Room({(NodeNo(3), "repair"): WINDOWS["repair"]})
    assert plan("uuuuu", (1, 2), room=room) == ["repair 4 copies/2"]
    assert plan("uuu", (1, 2), room=room) == []
    assert plan("uuuuD", (1, 2, 5), room=room) == ["drain 3 draining/3"], "each class has a window of its own"
    assert plan("uuuu", (1, 2), room=Room({}, closed=[NodeNo(3)])) == ["repair 4 copies/2"]


def test_a_node_that_may_be_deleting_its_file_is_no_target() -> None:
    view = view_of("uuuuu")
    planner = Planner(view, Room({}), lambda _: list(view.nodes), {})
    planner.dropping[CHUNK] = (NodeNo(3),)
    planner.look_at(line_of((1, 2)), ())
    assert [order.node_no for order in planner.orders] == [4]


def test_of_a_chunk_that_nobody_needs_all_copies_go() -> None:
    view = view_of("uudsD")
    planner = Planner(view, Room({}), lambda _: list(view.nodes), {})
    planner.look_at_free(line_of((1, 2, 3, 4, 5), 0), (job_of("drop", 2),))
    assert [(order.kind, order.node_no, order.reason) for order in planner.orders] == [
        ("drop", 1, "unreferenced"), ("drop", 4, "unreferenced"), ("drop", 5, "unreferenced")]


def test_the_windows_fit_into_a_queue() -> None:
    assert sum(WINDOWS.values()) <= QUEUE_JOBS_MAX


@st.composite
def shapes(draw: st.DrawFn) -> tuple[str, tuple[int, ...], int, str, tuple[Job, ...]]:
    states = draw(st.text("uuusdLD", min_size=1, max_size=7))
    zones = draw(st.text("abc", min_size=len(states), max_size=len(states)))
    nodes = range(1, len(states) + 1)
    copies = draw(st.sets(st.sampled_from(nodes)).map(lambda found: tuple(sorted(found))))
    jobs = draw(st.dictionaries(st.sampled_from(nodes), st.tuples(
        st.sampled_from(["repair", "drain", "rebalance", "drop"]), st.sampled_from(["queued", "leased", "stuck"]))))
    made = tuple(job_of(kind, no, state) for no, (kind, state) in sorted(jobs.items())
                 if (kind == "drop") == (no in copies))
    return states, copies, draw(st.integers(1, 4)), zones, made


@given(shapes())
def test_any_shape_is_mended_in_steps_and_then_left_alone(
        shape: tuple[str, tuple[int, ...], int, str, tuple[Job, ...]]) -> None:
    """Do what is ordered, look again: it ends as well as the nodes allow, and no copy that counts is lost."""
    states, copies, wanted, zones, jobs = shape
    view = view_of(states, zones)
    for _ in range(10):
        planner = Planner(view, Room({}), lambda _: list(view.nodes), {})
        planner.look_at(line_of(copies, wanted), jobs)
        makes = [order.node_no for order in planner.orders if order.kind != "drop"]
        drops = [order.node_no for order in planner.orders if order.kind == "drop"]
        busy = {job.node_no for job in jobs}
        assert not {*makes, *drops} & busy and len({*makes, *drops}) == len(planner.orders)
        assert not set(makes) & set(copies) and set(drops) <= set(copies) and not (makes and drops)
        assert all(view.nodes[no].is_certain for no in makes + drops)
        assert len(view.certain([no for no in copies if no not in drops])) >= wanted or not drops
        if not planner.orders and not jobs:
            break
        done = {job.node_no for job in jobs if job.kind != "drop" and job.state != "stuck"
                and view.nodes[job.node_no].is_certain}
        copies = tuple(sorted({*copies, *makes, *done} - set(drops)))
        jobs = ()
    else:
        raise AssertionError("it never ends")
    eligible = [no for no, node in view.nodes.items() if node.is_certain]
    if view.live(copies):
        possible = {*view.counted(copies), *eligible}
        assert len(view.counted(copies)) >= min(wanted, len(possible))
