"""The last word of this node's log process, asked every second.

From it the gateway knows at once, without waiting for a proposal to time out, that there is no majority: a write is
then refused before its body is read, with a sentence that says how many nodes are missing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError, NoLeader, NotEnoughCopies, NotReady, QuorumLost, Unavailable
from fluffy.ports import Clock, LogStatus, MetadataLog

PULSE_S = 1.0
STATUS_TIMEOUT_S = 1.0
RECENT_S = 0.1


@dataclass(frozen=True, slots=True)
class Beat:
    """`status` is None when the log process did not answer."""

    status: LogStatus | None
    at_s: float


class Pulse:
    """Holds the last beat. `run` must be running."""

    def __init__(self, log: MetadataLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self.last = Beat(None, clock.monotonic_s())

    async def run(self) -> None:
        """Ask every second, for ever."""
        while True:
            await self.ask()
            await asyncio.sleep(PULSE_S)

    async def ask(self) -> LogStatus | None:
        """Ask now."""
        at_s = self._clock.monotonic_s()
        try:
            status: LogStatus | None = await self._log.status(Deadline.after(STATUS_TIMEOUT_S))
        except FluffyError:
            status = None
        self.last = Beat(status, at_s)
        return status

    async def recent(self) -> LogStatus | None:
        """What was said a moment ago, or else asked now: for answers that anybody may ask for at any rate."""
        if self._clock.monotonic_s() - self.last.at_s < RECENT_S and self.last.status is not None:
            return self.last.status
        return await self.ask()

    def majority_seen(self) -> bool:
        """Whether a barrier is worth a try: true unless the log process said that it sees no majority."""
        status = self.last.status
        return status is None or status.majority_connected

    async def refuse_without_majority(self) -> None:
        """Raise QuorumLost when nothing can be written. Asks again before it refuses on a second's old word."""
        if self.majority_seen():
            return
        status = await self.ask()
        if status is not None and not status.majority_connected:
            raise quorum_lost(status)

    def explain(self, error: Unavailable) -> Unavailable:
        """The refusal of a write, with the count of nodes when that is the cause."""
        status = self.last.status
        is_told_better = isinstance(error, QuorumLost | NoLeader | NotEnoughCopies)
        if is_told_better and status is not None and not status.majority_connected:
            return quorum_lost(status)
        return error


def quorum_lost(status: LogStatus) -> QuorumLost:
    """The refusal that names how many nodes of how many are alive."""
    voters = {*status.members} or {status.node, *(peer.name for peer in status.peers)}
    peers = [peer for peer in status.peers if peer.name in voters and peer.name != status.node]
    alive = (status.node in voters) + sum(peer.connected for peer in peers)
    gone = sorted(peer.name for peer in peers if not peer.connected)
    total = len(voters)
    needed = total // 2 + 1
    away = f" ({', '.join(gone)} cannot be reached)" if gone else ""
    living = f"only {alive} of {total} nodes {'is' if alive == 1 else 'are'} alive{away}"
    return QuorumLost(f"{living} and a write needs {needed}; nothing was written, reading still works",
                      alive=alive, nodes=total, needed=needed)


def readiness(status: LogStatus | None) -> NotReady | None:
    """None when this node has a leader and is caught up; else why it is not ready."""
    if status is None:
        return NotReady("this node's log process does not answer yet")
    if status.waiting_for is not None:
        return NotReady(f"this node is {status.waiting_for}")
    if status.leader is None:
        return NotReady("there is no leader yet")
    if not status.caught_up:
        return NotReady("this node is still catching up with the log", applied_index=status.applied_index,
                        commit_index=status.commit_index)
    return None
