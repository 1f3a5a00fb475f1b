"""A state machine on a database in memory, for tests of apply itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from fluffy.core.metadata.commands import Command, Genesis
from fluffy.core.metadata.machine import StateMachine, open_state
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from tests.support.local_log import genesis_command


class MemoryState:
    """`run` applies commands as one entry in one transaction; `born` says whether genesis comes first."""

    def __init__(self, genesis: Genesis | None = None, *, born: bool = True) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None, cached_statements=256)
        self.machine: StateMachine = open_state(self.db)
        self.term = 1
        if born:
            self.accept(genesis or genesis_command(at_ms=0))

    def run(self, *commands: Command) -> list[Outcome]:
        self.machine.begin()
        outcomes = self.machine.apply(self.machine.applied_index + 1, self.term, commands)
        self.machine.commit()
        return outcomes

    def accept(self, command: Command) -> Accepted:
        [outcome] = self.run(command)
        assert isinstance(outcome, Accepted), outcome
        return outcome

    def reject(self, command: Command) -> Rejected:
        [outcome] = self.run(command)
        assert isinstance(outcome, Rejected), outcome
        return outcome

    def run_in_batches(self, commands: list[Command], cuts: Iterable[tuple[int, bool]]) -> list[Outcome]:
        """Apply with entry boundaries at the given places; True: with a commit there too."""
        outcomes: list[Outcome] = []
        start = 0
        self.machine.begin()
        for end, commits in [*sorted(cuts), (len(commands), True)]:
            outcomes += self.machine.apply(self.machine.applied_index + 1, self.term, commands[start:end])
            start = max(start, end)
            if commits:
                self.machine.commit()
                self.machine.begin()
        self.machine.commit()
        return outcomes

    def reopened(self) -> MemoryState:
        """What a restart sees: the same database, nothing in memory."""
        again = MemoryState.__new__(MemoryState)
        again.db = self.db
        again.machine = open_state(self.db)
        again.term = self.term
        return again

    def close(self) -> None:
        self.db.close()
