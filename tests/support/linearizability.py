"""Is there one order of concurrent operations that explains every answer? Wing and Gong's search, with Lowe's memory.

A history is linearizable when each operation can be given one moment between its call and its answer, so that in the
order of these moments a plain model gives the same answers. The search (J. Wing, C. Gong: Testing and verifying
concurrent objects, 1993) takes one of the operations that nothing left has ended before, asks the model, goes on, and
goes back where it gets stuck; it never enters the same (operations taken, state) twice (G. Lowe: Testing for
linearizability, 2017).

An operation whose outcome nobody knows has no end: it may take effect at any later moment, or never. Objects that have
nothing to do with each other are judged one by one: a history is linearizable when that of each object is (Herlihy and
Wing, 1990). What is one object is the caller's to say; here it is a whole small tree, for a move touches two places.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

State = TypeVar("State", bound=Hashable)
Call = TypeVar("Call")
Answer = TypeVar("Answer")
CallIn = TypeVar("CallIn", contravariant=True)
AnswerIn = TypeVar("AnswerIn", contravariant=True)

NEVER_S = math.inf
# Questions to the model; a history that passes asks a few for each of its operations.
QUESTIONS_MAX = 2_000_000


class Model(Protocol[State, CallIn, AnswerIn]):
    """What the object does when one operation comes after the other."""

    def step(self, state: State, call: CallIn, answer: AnswerIn | None) -> State | None:
        """The state after `call`, or None when it cannot have been answered so in this state.

        `answer` None: nobody knows it, any is right. An unchanged state is given back as the same object.
        """

    def only_looks(self, call: CallIn, answer: AnswerIn) -> bool:
        """Whether what was answered so changed nothing, whatever the state was: a read, a refusal."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[Call, Answer]):
    """`answer` None and `ended_s` NEVER_S: the outcome is not known. Times are of one clock."""

    client: int
    call: Call
    began_s: float
    ended_s: float = NEVER_S
    answer: Answer | None = None

    @property
    def is_open(self) -> bool:
        return self.answer is None


class Judgement(Enum):
    LINEARIZABLE = "linearizable"
    BROKEN = "not linearizable"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Verdict(Generic[State, Call, Answer]):
    """`explained`: the longest row of operations that the model could follow. `state`: where that led to.

    `stuck`: the operations of which one had to come next; when the history is broken, none of them could.
    """

    judgement: Judgement
    explained: tuple[Operation[Call, Answer], ...]
    state: State
    stuck: tuple[Operation[Call, Answer], ...]
    questions: int

    def lines(self, last: int = 12) -> list[str]:
        """What a person needs to see why."""
        return [f"{self.judgement.value} after {len(self.explained)} operations; {self.questions} questions asked",
                *(f"  then  {_line(operation)}" for operation in self.explained[-last:]),
                f"  state {self.state}", *(f"  stuck {_line(operation)}" for operation in self.stuck)]


def _line(operation: Operation[Call, Answer]) -> str:
    ended = "open" if operation.is_open else f"{operation.ended_s:.4f}"
    return f"[{operation.began_s:.4f} {ended}] client {operation.client}: {operation.call} -> {operation.answer}"


def judge(history: Iterable[Operation[Call, Answer]], model: Model[State, Call, Answer], initial: State, *,
          questions_max: int = QUESTIONS_MAX) -> Verdict[State, Call, Answer]:
    """Look for an order. UNDECIDED: none was found within `questions_max`."""
    return _Search(sorted(history, key=lambda operation: operation.began_s), model, questions_max).run(initial)


@dataclass(slots=True)
class _Branch(Generic[State]):
    """A place in the search: what was taken to get here, and what may still be tried from here."""

    taken: int  # bit i: operation i
    state: State
    row: int  # length of the row of operations up to here
    choices: list[tuple[int, State]]  # operation and the state after it; the next one to try last


class _Search(Generic[State, Call, Answer]):
    def __init__(self, operations: Sequence[Operation[Call, Answer]], model: Model[State, Call, Answer],
                 questions_max: int) -> None:
        self._operations = operations
        self._model = model
        self._questions_max = questions_max
        self._questions = 0
        self._answered = self._looks = 0
        for number, operation in enumerate(operations):
            if operation.answer is not None:
                self._answered |= 1 << number
                self._looks |= model.only_looks(operation.call, operation.answer) << number
        self._row: list[int] = []
        self._best: tuple[int, ...] = ()
        self._best_state: State | None = None
        self._best_stuck: tuple[int, ...] = ()
        self._best_answered = -1

    def run(self, initial: State) -> Verdict[State, Call, Answer]:
        self._best_state = initial
        taken = self._take_looks(0, initial)
        seen = {(taken, initial)}
        stack = [self._branch(taken, initial)]
        while stack:
            branch = stack[-1]
            if branch.taken & self._answered == self._answered:
                return self._verdict(Judgement.LINEARIZABLE)
            if self._questions > self._questions_max:
                return self._verdict(Judgement.UNDECIDED)
            del self._row[branch.row:]
            if not branch.choices:
                stack.pop()
                continue
            number, state = branch.choices.pop()
            self._row.append(number)
            taken = self._take_looks(branch.taken | 1 << number, state)
            if (taken, state) not in seen:
                seen.add((taken, state))
                stack.append(self._branch(taken, state))
        return self._verdict(Judgement.BROKEN)

    def _next(self, taken: int) -> list[int]:
        """Operations that may come next: nothing that is left has ended before they began."""
        number = (~taken & (taken + 1)).bit_length() - 1
        first_end_s = NEVER_S
        found: list[int] = []
        while number < len(self._operations):
            operation = self._operations[number]
            if operation.began_s > first_end_s:
                break
            if not taken >> number & 1:
                found.append(number)
                first_end_s = min(first_end_s, operation.ended_s)
            number += 1
        return found

    def _ask(self, state: State, number: int) -> State | None:
        self._questions += 1
        operation = self._operations[number]
        return self._model.step(state, operation.call, operation.answer)

    def _take_looks(self, taken: int, state: State) -> int:
        """What only looks and fits here is taken at once.

        If there is an order of the rest in which it comes later, it may as well come now. (A write that changes
        nothing here may not: later it might, and others may need that.)
        """
        while True:
            before = taken
            for number in self._next(taken):
                if self._looks >> number & 1 and self._ask(state, number) is not None:
                    taken |= 1 << number
                    self._row.append(number)
            if taken == before:
                return taken

    def _branch(self, taken: int, state: State) -> _Branch[State]:
        """All that may come next. What was answered first is tried first; what nobody knows of, last."""
        ready = self._next(taken)
        choices = []
        for number in sorted(ready, key=lambda ready_number: -self._operations[ready_number].ended_s):
            if self._looks >> number & 1:
                continue
            after = self._ask(state, number)
            if after is not None and (after is not state or not self._operations[number].is_open):
                choices.append((number, after))
        answered = (taken & self._answered).bit_count()
        if answered > self._best_answered:
            self._best, self._best_state, self._best_answered = tuple(self._row), state, answered
            self._best_stuck = tuple(number for number in ready if not self._operations[number].is_open)
        return _Branch(taken, state, len(self._row), choices)

    def _verdict(self, judgement: Judgement) -> Verdict[State, Call, Answer]:
        assert self._best_state is not None
        operations = self._operations
        return Verdict(judgement, tuple(operations[number] for number in self._best), self._best_state,
                       tuple(operations[number] for number in self._best_stuck), self._questions)
