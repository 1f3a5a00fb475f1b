"""The voters tell each other their wall clocks, and no command of this node is stamped far ahead of them.

The first word of a new link is the clock, before votes and entries: whoever hears a leader knows at least its clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from fluffy.core.health.stamps import AHEAD_MAX_MS, StampRule
from fluffy.core.metadata.commands import Command
from fluffy.drivers.raft.membership import Membership
from fluffy.drivers.raft.messages import Message
from fluffy.drivers.raft.state_store import StateStore
from fluffy.drivers.raft.transport import RaftTransport
from fluffy.wire.log_entries import encode_command

log = logging.getLogger(__name__)

# A clock that is set wrong is noticed by the others within this time; it is known wrong by its own node at once.
TELL_EVERY_S = 1.0
WARN_EVERY_S = 60.0
# Programs of this level know the message.
CLOCKS_LEVEL = 3


class VoterClocks:
    """Call `step` once a turn, `stamped` for each proposal. `wall_ms` None: this node has no wall clock to tell."""

    def __init__(self, transport: RaftTransport, membership: Membership, store: StateStore, clock: Callable[[], float],
                 wall_ms: Callable[[], int] | None) -> None:
        self._transport = transport
        self._membership = membership
        self._store = store
        self._clock = clock
        self._wall_ms = wall_ms
        self._rule = StampRule()
        self._tell_s = self._warn_s = float("-inf")
        self._sure_ms = 0  # allowed whatever was heard since: nearly all stamps are earlier
        transport.extra["clock"] = self._on_clock
        transport.greet = self._tell

    def step(self) -> None:
        now_s = self._clock()
        if self._wall_ms is None or now_s < self._tell_s:
            return
        self._tell_s = now_s + TELL_EVERY_S
        self._sure_ms = self._limit_ms() or 0
        for name in self._transport.peer_names():
            if self._transport.is_up(name):
                self._tell(name)

    def stamped(self, command: Command, encoded: bytes) -> bytes:
        """The encoded command, with a stamp that is not far ahead of most voters' clocks."""
        if command.header.at_ms <= self._sure_ms:
            return encoded
        limit_ms = self._limit_ms()
        ahead_ms = 0 if limit_ms is None else command.header.at_ms - limit_ms
        if limit_ms is None or ahead_ms <= 0:
            return encoded
        if ahead_ms > AHEAD_MAX_MS and self._clock() >= self._warn_s:
            self._warn_s = self._clock() + WARN_EVERY_S
            log.warning("clock.ahead", extra={"ahead_ms": ahead_ms + AHEAD_MAX_MS})
        return encode_command(replace(command, header=replace(command.header, at_ms=limit_ms)))

    def _limit_ms(self) -> int | None:
        if self._wall_ms is None:
            return None
        return self._rule.limit_ms(
            self._membership.other_voters, own_ms=self._wall_ms() if self._membership.is_voter else None,
            monotonic_ms=int(self._clock() * 1000), log_ms=self._store.machine.clock_ms)

    def _tell(self, name: str) -> None:
        if self._wall_ms is not None and self._store.machine.feature_level >= CLOCKS_LEVEL:
            self._transport.links.send(name, {"type": "clock", "wall_ms": self._wall_ms()})

    def _on_clock(self, name: str, message: Message) -> None:
        self._rule.hear(name, wall_ms=message["wall_ms"], monotonic_ms=int(self._clock() * 1000))
