"""Pre-vote: ask whether an election could be won before disturbing anybody with a new term (Ongaro's thesis, section
9.6).

Without it a node that was cut off comes back with a higher term and deposes a healthy leader. The library starts an
election
when its deadline passes; here the deadline is moved on, and only a majority of pre-votes lets it pass. A peer grants a
pre-vote when it has not heard from a leader lately and the asker's log is at least as new as its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from fluffy.drivers.raft.library import HardenedSyncObj
from fluffy.drivers.raft.messages import Message
from fluffy.drivers.raft.transport import RaftTransport

# When the connection to the leader breaks it is most likely dead: ask soon, but not all at the same moment. So, too,
# when a link comes up and no leader is known.
LEADER_LOST_MIN_S = 0.05
LEADER_LOST_MAX_S = 0.3


class Elections:
    """Call `step` once a turn, before the library's tick."""

    def __init__(self, raft: HardenedSyncObj, transport: RaftTransport, clock: Callable[[], float],
                 rng: Random) -> None:
        self._raft = raft
        self._transport = transport
        self._clock = clock
        self._rng = rng
        self._asked_term = 0
        self._granted: set[str] = set()
        self._called = False
        self.counters: Counter[str] = transport.counters
        transport.extra["pre_vote"] = self._on_pre_vote
        transport.extra["pre_vote_granted"] = self._on_granted
        transport.on_leader_lost = self._on_leader_lost
        transport.on_linked = self._on_linked

    def step(self) -> None:
        """Turn a passed election deadline into a round of pre-votes."""
        raft = self._raft
        called, self._called = self._called, False
        if not raft.is_voter:  # a learner calls no elections: the library's own deadline never passes
            raft.election_deadline_s = self._clock() + raft.random_election_timeout_s()
            return
        if called or raft.is_leader or raft.transferring or self._clock() <= raft.election_deadline_s:
            return
        raft.election_deadline_s = self._clock() + raft.random_election_timeout_s()
        self._asked_term = raft.term + 1
        self._granted = set()
        self.counters["pre_vote_rounds"] += 1
        if raft.majority == 1:
            self._call_election()
            return
        index, term = raft.last_entry()
        for name in raft.membership.other_voters:
            self._transport.send_to(name, {"type": "pre_vote", "term": self._asked_term, "last_log_index": index,
                                           "last_log_term": term})

    def _on_pre_vote(self, name: str, message: Message) -> None:
        raft = self._raft
        newer = (message["last_log_term"], message["last_log_index"]) >= tuple(reversed(raft.last_entry()))
        if message["term"] <= raft.term:
            self._transport.send_to(name, {"type": "higher_term", "term": raft.term})
        if message["term"] > raft.term and newer and not self._transport.heard_leader_lately():
            self._transport.send_to(name, {"type": "pre_vote_granted", "term": message["term"]})
        else:
            self.counters["pre_vote_refused"] += 1

    def _on_granted(self, name: str, message: Message) -> None:
        raft = self._raft
        if message["term"] != self._asked_term or raft.term != self._asked_term - 1 or raft.is_leader:
            return
        if raft.votes(name):
            self._granted.add(name)
        if len(self._granted) + 1 >= raft.majority:
            self._call_election()

    def _call_election(self) -> None:
        """Let the library's own deadline pass at its next tick."""
        self._asked_term = 0
        self._called = True
        self._raft.election_deadline_s = -1.0

    def _on_leader_lost(self) -> None:
        self._raft.abandon_forwarded()
        self._ask_soon()

    def _on_linked(self) -> None:
        """Where nobody leads yet (all have just been started) there is no heartbeat to wait for."""
        if self._raft.leader_name is None:
            self._ask_soon()

    def _ask_soon(self) -> None:
        soon = self._clock() + self._rng.uniform(LEADER_LOST_MIN_S, LEADER_LOST_MAX_S)
        self._raft.election_deadline_s = min(self._raft.election_deadline_s, soon)
