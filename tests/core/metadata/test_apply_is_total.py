"""Whatever commands come: apply answers, counts right, and depends on nothing but their order."""

from __future__ import annotations

from contextlib import closing

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluffy.core.metadata.commands import Command
from fluffy.core.metadata.outcomes import Accepted, Rejected
from fluffy.core.metadata.schema import DIGEST_QUERIES
from tests.support.local_log import genesis_command
from tests.support.memory_state import MemoryState
from tests.support.metadata_recount import check_state
from tests.support.metadata_strategies import command_lists

SLOW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
# Two versions kept, so that few puts reach the rules.
GENESIS = genesis_command(at_ms=0, versions_max=2, inline_max=2, write_quorum=2)


@SLOW
@given(command_lists())
def test_any_commands_leave_a_state_that_adds_up(commands: list[Command]) -> None:
    seen = {GENESIS.header.request_id}
    with closing(MemoryState(GENESIS)) as state:
        for command in commands:
            seq, body = state.machine.seq, _body(state)
            [outcome] = state.run(command)
            if isinstance(outcome, Rejected):
                assert state.machine.seq == seq
                assert command.header.request_id or _body(state) == body, "only the answer is remembered"
            elif command.header.request_id in seen:
                assert outcome.seq <= state.machine.seq == seq, "the first answer, with its seq of then"
            else:
                assert outcome.seq == state.machine.seq >= seq
            if command.header.request_id:
                seen.add(command.header.request_id)
        check_state(state.db)


@SLOW
@given(command_lists(), st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=8))
def test_batches_and_restarts_change_nothing(commands: list[Command], cuts: list[tuple[int, bool]]) -> None:
    cuts = [(min(end, len(commands)), commits) for end, commits in cuts]
    with closing(MemoryState(GENESIS)) as one, closing(MemoryState(GENESIS)) as other:
        first = one.run_in_batches(commands, cuts)
        second = []
        again = other
        for command in commands:
            second += again.run(command)
            again = again.reopened()
        assert first == second
        assert one.machine.digest() == again.machine.digest()
        check_state(one.db)


@SLOW
@given(command_lists(max_size=15))
def test_a_repeated_request_gets_its_first_answer_and_changes_nothing(commands: list[Command]) -> None:
    with closing(MemoryState(GENESIS)) as state:
        answers: dict[bytes, tuple[Command, Accepted | Rejected]] = {}
        for command in commands:
            [outcome] = state.run(command)
            if len(command.header.request_id) == 16 and command.header.request_id not in answers:
                answers[command.header.request_id] = (command, outcome)
        body = _body(state)
        for command, outcome in answers.values():
            assert state.run(command) == [outcome]
        assert _body(state) == body


def _body(state: MemoryState) -> list[object]:
    """The state but its row of counters, whose clock every command may move."""
    return [state.db.execute(query).fetchall() for table, query in DIGEST_QUERIES if table != "state"]


@SLOW
@given(command_lists(max_size=10))
def test_before_genesis_nothing_happens(commands: list[Command]) -> None:
    with closing(MemoryState(born=False)) as state:
        for command in commands:
            [outcome] = state.run(command)
            assert isinstance(outcome, Rejected)
        assert state.machine.seq == 0 and state.machine.cluster_uuid is None
        check_state(state.db)
