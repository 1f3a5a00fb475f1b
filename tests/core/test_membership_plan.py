"""What the leader does next about members."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.ids import NodeNo
from fluffy.core.health.membership_plan import (
    BEHIND_MAX,
    VOTERS_MAX,
    GiveVote,
    HandOver,
    Retire,
    Standing,
    Strip,
    TakeVote,
    next_step,
)

ONE = NodeNo(1)


def member(no: int, **more: object) -> Standing:
    standing = Standing(NodeNo(no), f"n{no}", is_voter=True, state="up", is_draining=False, is_leaving=False,
                        is_connected=True, behind=0)
    return replace(standing, **more)  # type: ignore[arg-type]


VOTERS = [member(no) for no in (1, 2, 3)]


def test_where_nothing_is_wanted_nothing_is_done() -> None:
    assert next_step(ONE, VOTERS, []) is None


def test_a_machine_gets_its_vote_when_it_has_caught_up_and_not_before() -> None:
    joined = member(4, is_voter=False)
    assert next_step(ONE, [*VOTERS, joined], []) == GiveVote("n4")
    for lack in ({"behind": BEHIND_MAX + 1}, {"behind": None}, {"is_connected": False}, {"state": "suspect"},
                 {"is_draining": True}):
        assert next_step(ONE, [*VOTERS, replace(joined, **lack)], []) is None  # type: ignore[arg-type]


def test_the_eighth_machine_stays_without_a_vote_until_one_is_free() -> None:
    voters = [member(no) for no in range(1, VOTERS_MAX + 1)]
    eighth = member(8, is_voter=False)
    assert next_step(ONE, [*voters, eighth], []) is None
    assert next_step(ONE, [*voters[:-1], eighth], []) == GiveVote("n8")


def test_who_leaves_loses_the_vote_first_then_the_membership_then_its_place_in_the_chunks() -> None:
    leaving = member(2, is_leaving=True)
    assert next_step(ONE, [VOTERS[0], leaving, VOTERS[2]], []) == TakeVote("n2")
    assert next_step(ONE, [VOTERS[0], replace(leaving, is_voter=False), VOTERS[2]], []) == Retire(NodeNo(2))
    assert next_step(ONE, [VOTERS[0], VOTERS[2]], [NodeNo(2)]) == Strip(NodeNo(2))


def test_a_leader_that_leaves_hands_over() -> None:
    assert next_step(ONE, [member(1, is_leaving=True), *VOTERS[1:]], []) == HandOver()
    assert next_step(NodeNo(2), [member(1, is_leaving=True), *VOTERS[1:]], []) == TakeVote("n1")


standings = st.lists(st.builds(
    Standing, node_no=st.integers(1, 9).map(NodeNo), name=st.just("n"), is_voter=st.booleans(),
    state=st.sampled_from(["up", "suspect", "down", "draining"]), is_draining=st.booleans(), is_leaving=st.booleans(),
    is_connected=st.booleans(), behind=st.none() | st.integers(0, 300)).map(
        lambda one: replace(one, name=f"n{one.node_no}")), max_size=9, unique_by=lambda one: one.node_no)


@given(standings, st.lists(st.integers(10, 12).map(NodeNo)))
def test_the_leader_never_takes_its_own_vote_and_steps_come_to_an_end(members: list[Standing],
                                                                      unstripped: list[NodeNo]) -> None:
    own = members[0].node_no if members else ONE
    for _ in range(60):
        step = next_step(own, members, unstripped)
        match step:
            case None:
                return
            case GiveVote() | TakeVote():
                [at] = [at for at, each in enumerate(members) if each.name == step.name]
                gives = isinstance(step, GiveVote)
                assert members[at].is_voter is not gives and members[at].is_leaving is not gives
                assert gives or members[at].node_no != own
                members[at] = replace(members[at], is_voter=gives)
            case HandOver():
                others = [each for each in members if not each.is_leaving]
                if not others:
                    return
                own = others[0].node_no
            case Retire(node_no):
                members = [each for each in members if each.node_no != node_no]
            case Strip(node_no):
                unstripped = [each for each in unstripped if each != node_no]
    raise AssertionError("it does not end")
