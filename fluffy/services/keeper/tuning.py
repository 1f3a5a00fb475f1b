"""Once a second: how fast may background work be now? And a word to this node's gateways about what the keeper does.

The knob is the cluster's when an admin chose it, else the config's; below it the rate follows the users (pacing.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluffy.core.health.pacing import PACES, Feedback, Pace, UserTimes
from fluffy.core.metadata import queries_keeper
from fluffy.ports import Clock, MetadataReader
from fluffy.services.throttle import Throttle

# The users of this node, and the background bytes that its data port has given so far.
AskUsers = Callable[[], tuple[UserTimes | None, int]]
Tell = Callable[[dict[str, Any]], None]


class Tuner:
    """Call `one_round` each second. `parts`: what else the keeper's word holds, by subject."""

    def __init__(self, config_mode: str, reader: MetadataReader, clock: Clock, throttle: Throttle, users: AskUsers,
                 tell: Tell, parts: dict[str, Callable[[], dict[str, Any]]]) -> None:
        self._config_mode = config_mode
        self._reader = reader
        self._clock = clock
        self._throttle = throttle
        self._users = users
        self._tell = tell
        self._parts = parts
        self._feedback = Feedback(PACES[config_mode], clock.monotonic_s())
        self._moved_bytes = 0
        self.mode = config_mode

    @property
    def pace(self) -> Pace:
        return PACES[self.mode]

    async def one_round(self) -> None:
        self.mode = self._reader.read(queries_keeper.repair_mode) or self._config_mode
        self._feedback.set_pace(self.pace)
        users, given_bytes = self._users()
        moved_bytes = given_bytes + self._throttle.moved_bytes
        # A restarted gateway counts from zero again: that is a change too, and no harm.
        is_working, self._moved_bytes = moved_bytes != self._moved_bytes, moved_bytes
        self._throttle.set_rate(self._feedback.observe(users, is_working, self._clock.monotonic_s()))
        self._tell({
            "mode": self.mode, "bytes_per_s": self._throttle.bytes_per_s, "bytes_per_s_max": self.pace.bytes_per_s,
            "users_p99_ms": None if users is None else users.p99_ms, "idle_p99_ms": self._feedback.idle_p99_ms,
            "halvings": self._feedback.halvings, "moved_bytes": moved_bytes,
            **{subject: tell() for subject, tell in self._parts.items()}})
