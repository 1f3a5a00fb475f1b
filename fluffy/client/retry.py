"""Persistence: whom to ask next, how long to wait, when to give up. Pure: time and randomness are arguments.

A request is tried on each known peer once (a round), without waiting, because any peer serves any request. Between
rounds it waits: jittered and growing, and at least as long as the least busy peer asked for (`Retry-After`). It gives
up when for `patience_s` nothing got ahead, or after `reach_s` when not one peer could be reached at all: somebody in
front of a screen wants to know that soon, while a cluster that is choosing a leader deserves patience.

The order of the errors that come out at the end: a write whose fate is unknown says so first (OutcomeUnknown), then
what the cluster answered last, then that nobody could be reached.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from fluffy.base.errors import DiskFull, FluffyError, OutcomeUnknown, PeerUnreachable
from fluffy.client.peers import PeerList

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 2.0
# A server that asks for more is not believed: its overload is over sooner, or another peer takes its place.
RETRY_AFTER_MAX_S = 10.0
# The servers answer or refuse within 3 s when the cluster has lost its majority.
ANSWER_FIRST_S = 5.0
ANSWER_MAX_S = 30.0
# A peer's own bug (HTTP 500) may be a passing one, or hit one peer only; it does not mend by asking for long.
BUGS_MAX = 3
# Requests of one call, over all rounds: at BACKOFF_MAX_S a round this outlasts every sensible patience.
ATTEMPTS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Try:
    peer: str


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    error: FluffyError


Instruction = Try | Wait | GiveUp


def is_final(error: FluffyError) -> bool:
    """Whether asking again, anywhere, cannot help. A full cluster stays full for longer than we wait."""
    return error.facts.get("retry", error.retry) == "never" or isinstance(error, DiskFull)


class Persistence:
    """One call's patience. Feed it failures and progress; ask it what to do next."""

    def __init__(self, peers: PeerList, *, patience_s: float, reach_s: float, now_s: float,
                 rng: random.Random) -> None:
        self._peers = peers
        self._patience_s = patience_s
        self._reach_s = min(reach_s, patience_s)
        self._rng = rng
        self._since_s = now_s
        self._backoff_s = BACKOFF_FIRST_S
        self._left: list[str] | None = None
        self._attempts = 0
        self._rounds = 0
        self._bugs = 0
        self._retry_after_s: float | None = None
        self._unknown: FluffyError | None = None
        self._answered: FluffyError | None = None
        self._unreachable: dict[str, FluffyError] = {}
        self._final: FluffyError | None = None

    def progressed(self, now_s: float) -> None:
        """Something got ahead (bytes that need not be sent again): patience starts anew."""
        self._since_s = now_s
        self._backoff_s = BACKOFF_FIRST_S
        self._answered = None
        self._unreachable.clear()

    def failed(self, peer: str, error: FluffyError, now_s: float) -> None:
        """`error` came from asking `peer`: as its answer, or because it could not be asked."""
        if is_final(error):
            self._final = error
            return
        if isinstance(error, PeerUnreachable) and "peer" in error.facts:
            self._unreachable[peer] = error
            self._peers.failed(peer, now_s)
        elif isinstance(error, OutcomeUnknown):
            self._unknown = error
            self._peers.failed(peer, now_s)
        else:
            self._answered = error
            self._bugs += error.facts.get("status") == 500
            if self._bugs >= BUGS_MAX:
                self._final = error
            wanted = error.facts.get("retry_after_s")
            if isinstance(wanted, int | float):
                least = self._retry_after_s
                self._retry_after_s = float(wanted) if least is None else min(least, float(wanted))

    @property
    def answer_s(self) -> float:
        """How long the next attempt may wait for an answer: longer each round.

        A frozen peer looks like a slow one: while others are untried it is left soon; when all are slow, they get time.
        """
        return min(ANSWER_FIRST_S * 2.0 ** min(self._rounds, 8), ANSWER_MAX_S)

    def next(self, now_s: float) -> Instruction:
        if self._final is not None:
            return GiveUp(self._final)
        if self._attempts >= ATTEMPTS_MAX:
            return GiveUp(self._reason())
        if self._left is None:
            self._left = self._peers.order(now_s)
            if not self._left:
                return GiveUp(PeerUnreachable("no peer of the cluster is known: give one with --peer, FLUFFY_PEERS, "
                                              "iptable.txt or config.yaml"))
        # In the first round everybody is asked, however long the others took to fail.
        if self._left and (self._rounds == 0 or now_s < self._give_up_at_s):
            self._attempts += 1
            return Try(self._left.pop(0))
        return self._pause(now_s)

    @property
    def _give_up_at_s(self) -> float:
        someone = self._answered is not None or self._unknown is not None
        return self._since_s + (self._patience_s if someone else self._reach_s)

    def _pause(self, now_s: float) -> Instruction:
        wait_s = self._backoff_s * self._rng.uniform(0.5, 1.0)
        if self._retry_after_s is not None:
            wait_s = max(wait_s, min(self._retry_after_s, RETRY_AFTER_MAX_S))
        if now_s + wait_s >= self._give_up_at_s:
            return GiveUp(self._reason())
        self._left, self._retry_after_s = None, None
        self._rounds += 1
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_MAX_S)
        return Wait(wait_s)

    def _reason(self) -> FluffyError:
        if self._unknown is not None:
            return self._unknown
        if self._answered is not None:
            return self._answered
        told = "; ".join(error.message for error in self._unreachable.values())
        return PeerUnreachable(f"the cluster is out of reach: {told or 'no peer was asked'}")
