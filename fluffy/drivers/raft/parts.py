"""What one node of the Raft group is made of, as the library's subclass sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from fluffy.core.metadata.outcomes import Outcome
from fluffy.drivers.raft.journal import SegmentedJournal
from fluffy.drivers.raft.membership import Disks, Membership
from fluffy.drivers.raft.peers import RaftPeer
from fluffy.drivers.raft.transport import RaftTransport


@dataclass(frozen=True, slots=True)
class RaftTimes:
    """Seconds. A follower hears a heartbeat every `heartbeat`; it calls an election between `election_min` and
    `election_max`
    of silence; a leader that hears no majority for `fallback` stops leading."""

    heartbeat: float = 0.05
    election_min: float = 0.6
    election_max: float = 1.2
    fallback: float = 1.0


class Applier(Protocol):
    """What the log is applied to (state_store.py)."""

    @property
    def applied_index(self) -> int: ...
    def apply(self, entries: list[tuple[int, int, bytes]]) -> list[list[Outcome]]:
        """Apply `(index, term, group)` in one transaction; an empty group marks an entry without commands.
        Returns the outcomes of each."""
    @property
    def members_changed(self) -> int:
        """Another number after each change of the members."""
    def members(self) -> tuple[Disks, Disks]:
        """(voters, all members) of the state."""


class Snapshots(Protocol):
    """Checkpoints on their way to and from other nodes (checkpoints.py); the library's `Serializer` in its place."""

    def getTransmissionData(self, peer: RaftPeer) -> tuple[bytes, bool, bool] | None: ...
    def setTransmissionData(self, part: tuple[bytes, bool, bool] | None) -> bool: ...
    def cancelTransmisstion(self, peer: RaftPeer) -> None: ...
    def sending_index(self, peer: RaftPeer) -> int: ...
    def install(self) -> tuple[tuple[bytes, int, int], tuple[bytes, int, int]]:
        """Put the received checkpoint durably in place (not yet as the state); gives its last two entries."""
    def adopt(self) -> None:
        """Make the installed checkpoint the state."""
    def step(self) -> None:
        """Once a turn: begin, finish and announce checkpoints."""


@dataclass(slots=True)
class Parts:
    """What one node is made of; handed to the library's factories while it is constructed."""

    journal: SegmentedJournal
    transport: RaftTransport
    applier: Applier
    snapshots: Snapshots
    poller: Any
    times: RaftTimes
    membership: Membership
