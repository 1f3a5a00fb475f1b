"""What admins ask of the keepers is part of the state: the newest wish counts, for one node or for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from fluffy.base.ids import NodeNo
from fluffy.core.metadata.commands_keeper import AskKeepers, SetRepairMode
from fluffy.core.metadata.outcomes import Accepted, Rejected
from fluffy.core.metadata.queries_keeper import newest_ask, repair_mode
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState


@pytest.fixture
def state() -> Iterator[MemoryState]:
    with closing(MemoryState(genesis_command(at_ms=0))) as state:
        yield state


def ask(state: MemoryState, what: str, node_no: int) -> Accepted | Rejected:
    return state.run(AskKeepers(header(), what, node_no))[0]


def newest(state: MemoryState, what: str) -> list[int]:
    return [newest_ask(state.db, what, NodeNo(no)) for no in (1, 2)]


def test_a_wish_for_all_and_one_for_a_node_are_told_apart(state: MemoryState) -> None:
    assert newest(state, "recover") == [0, 0]
    for_all = ask(state, "recover", 0)
    assert isinstance(for_all, Accepted)
    assert newest(state, "recover") == [for_all.facts["ask"]] * 2
    for_two = ask(state, "recover", 2)
    assert isinstance(for_two, Accepted)
    assert newest(state, "recover") == [for_all.facts["ask"], for_two.facts["ask"]]


def test_every_wish_is_a_new_one(state: MemoryState) -> None:
    first, second = ask(state, "recover", 1), ask(state, "recover", 1)
    assert isinstance(first, Accepted) and isinstance(second, Accepted)
    assert second.facts["ask"] > first.facts["ask"] == second.facts["ask"] - 1


def test_what_nobody_can_do_is_refused(state: MemoryState) -> None:
    refusals = [ask(state, "dance", 0), ask(state, "recover", 99), state.run(SetRepairMode(header(), "loud"))[0]]
    assert [outcome.code for outcome in refusals if isinstance(outcome, Rejected)] == [
        "RequestError", "NodeNotFound", "RequestError"]


def test_the_mode_of_repair_is_chosen_and_given_back_to_the_config(state: MemoryState) -> None:
    assert repair_mode(state.db) is None
    for mode in ("quiet", "fast"):
        state.run(SetRepairMode(header(), mode))
        assert repair_mode(state.db) == mode
    state.run(SetRepairMode(header(), ""))
    assert repair_mode(state.db) is None
