"""Group commit: one log entry carries all commands that arrived while the last one was on its way.

A proposal is answered exactly once: with its encoded outcome; with a refusal that means "certainly not done"; or, at
its deadline
or when the library lost track, with "unknown", after which the proposer asks again with the same request id.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pysyncobj.config import FAIL_REASON

from fluffy.base.errors import NoLeader, Overloaded, ProposalLost
from fluffy.base.histogram import NUMBERS, SHORT_SECONDS, Histogram
from fluffy.base.units import MIB
from fluffy.drivers.raft.library import HardenedSyncObj
from fluffy.wire.log_entries import GROUP_BYTES_MAX, encode_group, encode_outcome

# Groups on their way keep disk, wire and apply busy at the same time, but each costs every node a turn, a sync and a
# commit. So one follows another only when that is about to be applied here, or when more waits than is on its way
# (docs/decisions/029).
GROUPS_IN_FLIGHT_MAX = 3
GROUP_COMMANDS_MAX = 512
# What waits for the next group: about ten full groups. Beyond it proposers hear Overloaded.
WAITING_COMMANDS_MAX = 4096
WAITING_BYTES_MAX = 16 * MIB
# The library answers each group, or has lost it: then all proposers hear ProposalLost.
GROUP_DEADLINE_S = 10.0

_CERTAINLY_NOT = {FAIL_REASON.QUEUE_FULL: Overloaded, FAIL_REASON.MISSING_LEADER: NoLeader,
                  FAIL_REASON.NOT_LEADER: NoLeader}


class Answered(NamedTuple):
    """`outcome` (encoded) when the command was applied; else the code of an error class."""

    outcome: bytes | None
    error: str | None


Reply = Callable[[Answered], None]


@dataclass(slots=True)
class _Group:
    replies: list[Reply]
    began_s: float
    deadline_s: float
    done: bool = False


class GroupCommit:
    """Call `offer` for each proposal and `flush` once a turn."""

    def __init__(self, raft: HardenedSyncObj, clock: Callable[[], float]) -> None:
        self._raft = raft
        self._clock = clock
        self._waiting: deque[tuple[bytes, Reply]] = deque()
        self._waiting_bytes = 0
        self._flying: list[_Group] = []
        self.is_held = False  # while leadership is handed over nothing new is submitted
        self.counters: Counter[str] = raft.counters
        self.sizes = Histogram(NUMBERS)
        self.times = Histogram(SHORT_SECONDS)

    def offer(self, command: bytes, reply: Reply) -> None:
        """Take an encoded command, or answer Overloaded at once."""
        if len(self._waiting) >= WAITING_COMMANDS_MAX or self._waiting_bytes + len(command) > WAITING_BYTES_MAX:
            reply(Answered(None, Overloaded.code()))
            return
        self._waiting.append((command, reply))
        self._waiting_bytes += len(command)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def flush(self) -> None:
        """Submit what waits, as far as the pipeline allows; give up groups whose deadline has passed."""
        now = self._clock()
        for group in self._flying:
            if not group.done and group.deadline_s < now:
                self._finish(group, None, FAIL_REASON.UNKNOWN_OUTCOME)
        self._flying = [group for group in self._flying if not group.done]
        while self._waiting and not self.is_held and self._is_worth_a_group():
            self._submit(now)

    def _is_worth_a_group(self) -> bool:
        flying = sum(len(group.replies) for group in self._flying)
        is_applying = self._raft.last_applied < self._raft.commit_index
        return len(self._flying) < GROUPS_IN_FLIGHT_MAX and (is_applying or len(self._waiting) > flying)

    def _submit(self, now_s: float) -> None:
        commands: list[bytes] = []
        replies: list[Reply] = []
        size = 16
        while self._waiting and len(commands) < GROUP_COMMANDS_MAX:
            command, reply = self._waiting[0]
            if commands and size + len(command) + 8 > GROUP_BYTES_MAX:
                break
            self._waiting.popleft()
            self._waiting_bytes -= len(command)
            commands.append(command)
            replies.append(reply)
            size += len(command) + 8
        group = _Group(replies, now_s, now_s + GROUP_DEADLINE_S)
        self._flying.append(group)
        self.counters["groups"] += 1
        self.counters["commands"] += len(commands)
        self.sizes.observe(len(commands))
        self._raft.submit(encode_group(commands), lambda outcomes, reason: self._finish(group, outcomes, reason))

    def _finish(self, group: _Group, outcomes: Any, reason: int) -> None:
        if group.done:
            return
        group.done = True
        if reason == FAIL_REASON.SUCCESS:
            self.times.observe(self._clock() - group.began_s)
            for reply, outcome in zip(group.replies, outcomes, strict=True):
                reply(Answered(encode_outcome(outcome), None))
            return
        error = _CERTAINLY_NOT.get(reason, ProposalLost).code()
        self.counters[f"groups_{error}"] += 1
        for reply in group.replies:
            reply(Answered(None, error))
