"""One member of the Raft group: the parts put together, and the turn of its loop.

    turn:  journal.sync -> held acks leave -> pre-votes, reads -> [library tick: commit index, apply, send, take
    proposals,
           journal.sync (the leader's), receive]

A follower's acknowledgement and the leader's counting of itself therefore happen only for entries that are on disk,
and one
fsync serves all that arrived in a turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pysyncobj.config import FAIL_REASON

from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.metadata.commands import Header
from fluffy.core.metadata.commands_members import SetVoters
from fluffy.drivers.raft.checkpoints import Checkpoints
from fluffy.drivers.raft.clocks import VoterClocks
from fluffy.drivers.raft.elections import Elections
from fluffy.drivers.raft.group_commit import GroupCommit
from fluffy.drivers.raft.journal import SegmentedJournal
from fluffy.drivers.raft.library import HardenedSyncObj
from fluffy.drivers.raft.links import Links
from fluffy.drivers.raft.membership import FirstMembers, Membership
from fluffy.drivers.raft.parts import Parts, RaftTimes
from fluffy.drivers.raft.reads import LinearizableReads
from fluffy.drivers.raft.state_store import StateStore
from fluffy.drivers.raft.transport import RaftTransport

# The longest sleep of the loop. Heartbeats and elections keep their time by `HardenedSyncObj.due_s`; all else can wait.
POLL_MAX_S = 0.1
# While something is looked at again in every turn, or too few others are there.
POLL_BUSY_S = 0.02
# A follower that cannot catch up in this time does not get the lead; meanwhile proposals wait.
HAND_OVER_S = 1.0


@dataclass(frozen=True, slots=True)
class NodeParts:
    """The world of one member. `rng` and `clock` are the only sources of chance and time."""

    me: str
    members: FirstMembers  # as far as the state does not know better
    links: Links
    poller: Any
    journal: SegmentedJournal
    store: StateStore
    checkpoints: Callable[[Counter[str]], Checkpoints]
    clock: Callable[[], float]
    rng: Random
    times: RaftTimes = field(default_factory=RaftTimes)
    disk: str = ""  # this node's disk UUID
    wall_ms: Callable[[], int] | None = None  # what others are told of it, and its commands compared with (clocks.py)


class RaftNode:
    """`library.install` must have been called in this process. Single-threaded."""

    def __init__(self, parts: NodeParts) -> None:
        self.name = parts.me
        self.membership = Membership(parts.me, parts.disk, parts.members)
        self.clock = parts.clock
        self.journal = parts.journal
        self.store = parts.store
        self.transport = RaftTransport(parts.links, parts.clock, sticky_s=parts.times.election_min)
        self.counters = self.transport.counters
        self.checkpoints = parts.checkpoints(self.counters)
        self.raft = HardenedSyncObj(parts.me, Parts(
            journal=parts.journal, transport=self.transport, applier=parts.store, snapshots=self.checkpoints,
            poller=parts.poller, times=parts.times, membership=self.membership))
        self.elections = Elections(self.raft, self.transport, parts.clock, parts.rng)
        self.reads = LinearizableReads(self.raft, self.transport, parts.clock,
                                       lambda: self.store.machine.feature_level)
        self.clocks = VoterClocks(self.transport, self.membership, parts.store, parts.clock, parts.wall_ms)
        self.proposals = GroupCommit(self.raft, parts.clock)
        self.raft.before_commands = self.proposals.flush
        self.after_turn: list[Callable[[], None]] = []
        self._majority_connected: bool | None = None
        self._links_seen = 0
        self._handing_over: tuple[float, Callable[[bool], None]] | None = None  # until when; who is told

    def turn(self, timeout_s: float = POLL_MAX_S) -> None:
        """One turn of the loop; sleeps at most `timeout_s` for messages."""
        self._majority_connected = None
        self.journal.sync()
        self.transport.release_acks()
        self.transport.links.tick()
        if self._handing_over is not None:
            self._go_on_handing_over(*self._handing_over)
        self.elections.step()
        self.reads.step()
        self.clocks.step()
        self.raft.doTick(self._sleep_s(timeout_s))
        if self.after_turn:
            waiting, self.after_turn = self.after_turn, []
            for look in waiting:
                look()

    def _sleep_s(self, timeout_s: float) -> float:
        """How long this turn may wait for messages. What is due already is done in this turn, before it waits."""
        if self.raft.last_applied < self.raft.commit_index or self.reads.busy or self._commits_alone():
            return 0.0
        looks = bool(self.after_turn or self.checkpoints.busy or self._handing_over or not self.majority_connected())
        left_s = self.raft.due_s - self.clock()
        return min(timeout_s, self.reads.patience_s, POLL_BUSY_S if looks else POLL_MAX_S,
                   left_s if left_s > 0 else POLL_MAX_S)

    def _commits_alone(self) -> bool:
        """Whether the next turn commits what this one writes: no message of others will come and wake it."""
        return (self.raft.majority == 1 and self.raft.is_leader
                and (self.proposals.waiting > 0 or self.journal.last_index > self.raft.commit_index))

    @property
    def caught_up(self) -> bool:
        """Whether the state is as new as the leader's last word, and that word is recent."""
        known = self.raft.leader_commit_index
        if self.raft.is_leader:
            return self.raft.leads_with_authority
        return bool(known) and self.transport.heard_leader_lately() and self.raft.last_applied >= (known or 0)

    def behind(self, name: str) -> int:
        """Entries that a follower has not acknowledged; -1: it has not answered this leader yet, or nobody leads."""
        match = self.raft.match_index(name)
        return max(0, self.journal.last_index - match) if self.raft.is_leader and match else -1

    def majority_connected(self) -> bool:
        """Whether links to a majority, this node included, are up: then a leader is there or will be soon."""
        changes = self.transport.link_changes
        if self._majority_connected is None or self._links_seen != changes:  # asked often, and worked out once a turn
            self._links_seen = changes
            up = sum(self.transport.is_up(name) for name in self.membership.other_voters) + self.membership.is_voter
            self._majority_connected = 2 * up > len(self.membership.voters)
        return self._majority_connected

    def change_voters(self, term: int, *, add: str | None = None, remove: str | None = None,
                      done: Callable[[str | None], None]) -> None:
        """Give a member its vote, or take it away; `done(None)` when that is committed and applied here, else why not.

        `term`: in which the caller decided it; refused in another one.
        """
        voters = dict(self.membership.voters)
        if add is not None:
            voters[add] = self.membership.nodes.get(add, "")
        if remove is not None:
            voters.pop(remove, None)
        up = [name for name in self.transport.peer_names() if self.transport.is_up(name)]
        if not self.raft.leads_with_authority or self.raft.term != term:
            done("this node does not lead")
            return
        refusal = self.membership.refusal(voters, up)
        if refusal is not None:
            done(refusal)
            return
        header = Header(RequestId(b""), 0, NodeNo(0), UserNo(0))
        command = SetVoters(header, term, tuple(sorted(voters.items())))
        self.raft.change_voters(command, lambda _outcomes, reason: done(
            None if reason == FAIL_REASON.SUCCESS else "whether the members have changed is not known"))

    def transfer_leadership(self) -> bool:
        """Ask the most advanced follower to take over (before a clean stop). False when there is none."""
        sent: list[int] = []
        if self.raft.is_leader:
            self.raft.transferLeadership(None, lambda _result, reason: sent.append(reason))
        return sent == [FAIL_REASON.SUCCESS]

    def hand_over(self, done: Callable[[bool], None]) -> None:
        """Let another node lead: hold new proposals until a follower has the whole log, then ask it to take over.

        `done(True)` when this node no longer leads; at the latest after HAND_OVER_S.
        """
        if self._handing_over is not None or not self.membership.other_voters:
            done(False)
            return
        self._handing_over = self.clock() + HAND_OVER_S, done
        self.proposals.is_held = self.transport.is_handing_over = True

    def _go_on_handing_over(self, until_s: float, done: Callable[[bool], None]) -> None:
        leads = self.raft.is_leader
        if leads and self.clock() < until_s:
            self.transfer_leadership()
            return
        self._handing_over = None
        self.proposals.is_held = self.transport.is_handing_over = False
        done(not leads)

    def close(self) -> None:
        """Stop: links closed, journal synced."""
        self.raft.destroy()
        self.store.close()
