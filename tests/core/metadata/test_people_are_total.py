"""Whatever is asked about people, mixed with changes of the tree: apply answers, and the accounts add up."""

from __future__ import annotations

from contextlib import closing

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluffy.core.metadata.commands import Command, DeleteFile, MakeFolder, RemoveFolder
from fluffy.core.metadata.outcomes import Accepted, Rejected
from fluffy.core.metadata.schema import DIGEST_QUERIES
from fluffy.wire.log_entries import decode_command, encode_command
from tests.support.local_log import genesis_command
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import put
from tests.support.metadata_recount import check_state
from tests.support.metadata_strategies import mostly
from tests.support.people_strategies import FILES, FOLDERS, HEADERS, LOCKS, PEOPLE, PRELUDE

SLOW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
GENESIS = genesis_command(at_ms=0, versions_max=2, inline_max=2, write_quorum=2)


LOCK = mostly(st.just(b""), LOCKS)
WRITES = st.one_of(
    st.builds(put, FILES, st.binary(max_size=2), header=HEADERS, lock=LOCK),
    st.builds(DeleteFile, HEADERS, FILES, lock=LOCK), st.builds(MakeFolder, HEADERS, FOLDERS, lock=LOCK),
    st.builds(RemoveFolder, HEADERS, FOLDERS, lock=LOCK))
COMMANDS = st.lists(PEOPLE | WRITES, min_size=5, max_size=40)


def peopled() -> MemoryState:
    state = MemoryState(GENESIS)
    for command in PRELUDE:
        state.accept(command)
    return state


@SLOW
@given(COMMANDS)
def test_any_commands_leave_accounts_that_add_up(commands: list[Command]) -> None:
    with closing(peopled()) as state:
        for command in commands:
            seq, body = state.machine.seq, _body(state)
            [outcome] = state.run(command)
            if isinstance(outcome, Rejected):
                assert state.machine.seq == seq
                assert command.header.request_id or _body(state) == body, "only the answer is remembered"
            else:
                assert seq <= state.machine.seq
        check_state(state.db)


@SLOW
@given(COMMANDS, st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=8))
def test_batches_and_restarts_change_nothing(commands: list[Command], cuts: list[tuple[int, bool]]) -> None:
    cuts = [(min(end, len(commands)), commits) for end, commits in cuts]
    with closing(peopled()) as one, closing(peopled()) as other:
        first = one.run_in_batches(commands, cuts)
        second = []
        again = other
        for command in commands:
            second += again.run(command)
            again = again.reopened()
        assert first == second
        assert one.machine.digest() == again.machine.digest()


@SLOW
@given(st.lists(PEOPLE, max_size=15))
def test_a_repeated_request_gets_its_first_answer(commands: list[Command]) -> None:
    with closing(peopled()) as state:
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


@settings(max_examples=200, deadline=None)
@given(PEOPLE)
def test_what_is_encoded_is_decoded(command: Command) -> None:
    try:
        data = encode_command(command)
    except UnicodeEncodeError:  # texts that only tests of apply use
        return
    assert decode_command(data) == command
