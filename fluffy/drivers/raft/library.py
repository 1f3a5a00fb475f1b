"""Every use of PySyncObj's private names, in one place (docs/RAFT.md; `tests/drivers/raft/test_library.py` has a
test per name).

`install` puts our journal, poller, clock, randomness and codec where the library looks for its own.
`HardenedSyncObj` overrides
the private methods that lose data or can be wedged. The version is checked: another one may have other private names.
"""

from __future__ import annotations

import logging
import random as random_module
from collections.abc import Callable, Iterable
from typing import Any

import pysyncobj.pickle as library_pickle
import pysyncobj.syncobj as library
from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.config import FAIL_REASON
from pysyncobj.version import VERSION

from fluffy.base.checks import InvariantBroken, invariant
from fluffy.base.errors import JournalCorrupt, StartRefused
from fluffy.base.units import MIB
from fluffy.core.metadata.commands_members import SetVoters
from fluffy.drivers.raft.membership import Disks, decode_membership, encode_membership
from fluffy.drivers.raft.parts import Parts, RaftTimes
from fluffy.drivers.raft.peers import RaftPeer, peer_of
from fluffy.drivers.raft.transport import WINDOW_BYTES

log = logging.getLogger(__name__)

LIBRARY_VERSION = "0.3.17"
COMMAND = library._COMMAND_TYPE.REGULAR
NO_OP = library._COMMAND_TYPE.NO_OP
MEMBERSHIP = library._COMMAND_TYPE.MEMBERSHIP

# Entries of one message; a batch ends with the entry that passes this. Groups are at most 1 MiB (group_commit.py).
BATCH_BYTES = 1 * MIB
# Entries applied in one turn: a long backlog must not keep the heartbeat waiting.
APPLY_BYTES_PER_TURN = 1 * MIB
APPLY_ENTRIES_PER_TURN = 64
# Groups waiting for the next turn; each is at most 1 MiB. More is QUEUE_FULL, which means: not done.
QUEUED_GROUPS_MAX = 64
# Forwarded groups whose answer never came are given up, oldest first.
FORWARDED_MAX = 1024

Answer = Callable[[Any, int], None]


def check_version() -> None:
    if VERSION != LIBRARY_VERSION:
        raise StartRefused(f"pysyncobj {VERSION} is installed, but the log is proven only on {LIBRARY_VERSION}: "
                           f"pip install pysyncobj=={LIBRARY_VERSION}")


def install(clock: Callable[[], float], rng: random_module.Random) -> None:
    """Replace the library's clock, randomness and pickle for this process. Safe to call again with other ones."""
    check_version()
    library.monotonicTime = clock
    library.random = rng
    library.PIPE_NOTIFIER_ENABLED = False  # one thread: nobody has to be woken
    library_pickle.dumps = _encode_private
    library_pickle.loads = _decode_private


def _encode_private(value: Any, protocol: int | None = None) -> bytes:
    raise InvariantBroken("nothing of the library's is pickled")


def _decode_private(data: bytes) -> Any:
    raise InvariantBroken("nothing of the library's is unpickled")


def _configuration(times: RaftTimes) -> SyncObjConf:
    return SyncObjConf(
        autoTick=False, appendEntriesUseBatch=False, appendEntriesPeriod=times.heartbeat,
        raftMinTimeout=times.election_min, raftMaxTimeout=times.election_max, leaderFallbackTimeout=times.fallback,
        connectionTimeout=max(30.0, times.election_max), commandsWaitLeader=False, dynamicMembershipChange=True,
        commandsQueueSize=QUEUED_GROUPS_MAX, appendEntriesBatchSizeBytes=4 * MIB)


class HardenedSyncObj(SyncObj):  # type: ignore[misc]
    """The library's node with its unsafe parts replaced. Methods named `_SyncObj__x` override the library's private
    `__x`.
    """

    _SyncObj__leaderCommitIndex: int | None

    def __init__(self, me: str, parts: Parts) -> None:
        self.parts = parts
        self.membership = parts.membership
        self._members_seen = -1
        self.before_commands: Callable[[], None] = lambda: None
        self.before_sync: Callable[[], None] = lambda: None
        self._announced_commit = 0
        self.journal = parts.journal
        self.counters = parts.transport.counters
        library.createJournal = lambda _file: parts.journal
        library.createPoller = lambda _kind: parts.poller
        library.Serializer = lambda *_: parts.snapshots
        super().__init__(peer_of(me), [], _configuration(parts.times), transport=parts.transport)
        self._align_applied()
        for command, index, _term in self.journal.entries(self.last_applied + 1, self.journal.last_index + 1):
            if command[0] == MEMBERSHIP:
                self.membership.appended(index, decode_membership(command[1:]))
        self._look_at_members()
        parts.transport.bind(self)
        self.addOnTickCallback(self._before_poll)

    def _align_applied(self) -> None:
        """Start from what the state already contains; the log must reach it and cover all that follows."""
        applied = max(1, self.parts.applier.applied_index)
        if not self.journal.first_index <= applied <= self.journal.last_index:
            raise JournalCorrupt(
                f"the log holds entries {self.journal.first_index} to {self.journal.last_index}, but the state stands "
                f"at {applied}: this disk lost data. Let the node come back as a new disk that keeps its chunks: "
                "'fluffy admin reset-node NAME', then 'recover NAME' at another node, and start it with --join")
        self._SyncObj__raftLastApplied = applied
        self._SyncObj__raftCommitIndex = max(applied, self.journal.getRaftCommitIndex())
        self._SyncObj__needLoadDumpFile = False

    def _before_poll(self) -> None:
        """The leader's own disk write, while its followers do theirs, and proposers read their answers."""
        self.before_sync()
        self.journal.sync()

    # -- RaftView (transport.py)

    @property
    def term(self) -> int:
        return int(self._SyncObj__raftCurrentTerm)

    @property
    def is_leader(self) -> bool:
        return bool(self._isLeader())

    @property
    def leader_name(self) -> str | None:
        leader = self._getLeader()
        return None if leader is None else str(leader.id)

    @property
    def transferring(self) -> bool:
        return bool(self._SyncObj__transferInProgress)

    @property
    def last_applied(self) -> int:
        return int(self._SyncObj__raftLastApplied)

    @property
    def commit_index(self) -> int:
        return int(self._SyncObj__raftCommitIndex)

    @property
    def leader_commit_index(self) -> int | None:
        """The newest commit index this node has heard of; None before it heard any."""
        index = self._SyncObj__leaderCommitIndex
        return None if index is None else int(index)

    @property
    def leads_with_authority(self) -> bool:
        """Leader, and an entry of its own term is applied: only then its commit index is the newest (Raft, section
        8).
        """
        return self.is_leader and self.last_applied >= self._SyncObj__noopIDx

    def last_entry(self) -> tuple[int, int]:
        index = self.journal.last_index
        term = self.journal.term_at(index)
        assert term is not None
        return index, term

    def first_index(self) -> int:
        return self.journal.first_index

    def term_at(self, index: int) -> int | None:
        return self.journal.term_at(index)

    @property
    def is_voter(self) -> bool:
        return self.membership.is_voter

    def votes(self, name: str) -> bool:
        """Whether a peer's vote counts here."""
        return peer_of(name) in self._SyncObj__otherNodes and self._is_the_one(name)

    def follows(self, name: str) -> bool:
        """Whether a peer gets the log from a leader here, and its answers count."""
        return peer_of(name) in self._SyncObj__raftMatchIndex and self._is_the_one(name)

    def _is_the_one(self, name: str) -> bool:
        """Not a new disk under an old name, which this node has not heard of yet: it has promised nothing."""
        expected, found = self.membership.disk_of(name), self.parts.transport.links.disk_of(name)
        return not expected or not found or expected == found

    def next_index(self, name: str) -> int:
        return int(self._SyncObj__raftNextIndex.get(peer_of(name), 0))

    def heard_nothing_new(self, leader: RaftPeer, commit_index: int) -> bool:
        """Do what the library does with a message of this term's leader that ends where this log ends; False: it must.

        Heartbeats are most of what a node hears: the library's general way costs ten times as much.
        """
        if (self._SyncObj__raftLeader != leader or self._SyncObj__raftState != library._RAFT_STATE.FOLLOWER
                or self._SyncObj__transferInProgress):
            return False
        self.election_deadline_s = library.monotonicTime() + self.random_election_timeout_s()
        self._SyncObj__leaderCommitIndex = commit_index
        self._SyncObj__raftCommitIndex = max(self.commit_index, min(commit_index, self.journal.last_index))
        self.journal.setRaftCommitIndex(self.commit_index)
        return True

    def follower_answered(self, follower: RaftPeer) -> None:
        """What the library does with an acknowledgement that brings nothing new."""
        self._SyncObj__lastResponseTime[follower] = library.monotonicTime()

    def set_next_index(self, name: str, index: int) -> None:
        self._SyncObj__raftNextIndex[peer_of(name)] = index

    def match_index(self, name: str) -> int:
        return int(self._SyncObj__raftMatchIndex.get(peer_of(name), 0))

    def step_down(self, term: int) -> None:
        """Follow a newer term without a leader yet."""
        self._SyncObj__setCurrentTerm(term, None)
        self._SyncObj__setState(library._RAFT_STATE.FOLLOWER)
        self._SyncObj__raftLeader = None

    # -- for elections.py

    @property
    def election_deadline_s(self) -> float:
        return float(self._SyncObj__raftElectionDeadline)

    @election_deadline_s.setter
    def election_deadline_s(self, at_s: float) -> None:
        self._SyncObj__raftElectionDeadline = at_s

    @property
    def due_s(self) -> float:
        """When this node has to do something by itself: the leader's next heartbeat, or another node's election."""
        return float(self._SyncObj__newAppendEntriesTime) if self.is_leader else self.election_deadline_s

    def random_election_timeout_s(self) -> float:
        return float(self._SyncObj__generateRaftTimeout())

    @property
    def majority(self) -> int:
        return (len(self._SyncObj__otherNodes) + 1) // 2 + 1

    def abandon_forwarded(self) -> None:
        """The link to the leader broke: whether forwarded groups were appended is unknown, and no answer will come."""
        self._SyncObj__onLeaderChanged()

    def heartbeat_now(self) -> None:
        """Send what each peer lacks, or an empty message: their answers confirm this leadership."""
        self._SyncObj__sendAppendEntries()

    def heartbeat_to(self, names: Iterable[str]) -> None:
        """The same, to these alone; the others' time goes on."""
        for name in names:
            self._send_to(peer_of(name))

    def submit(self, group: bytes, answer: Answer) -> None:
        """Append a group of commands, here or at the leader; `answer(outcomes, reason)` later, or never (own
        deadlines).
        """
        self._applyCommand(group, _safe(answer), COMMAND)

    def change_voters(self, command: SetVoters, answer: Answer) -> None:
        """Append a membership entry; the caller leads, and has asked `membership.refusal`, which is asked again then.
        """
        self._applyCommand(encode_membership(command), _safe(answer), MEMBERSHIP)

    # -- members

    def _look_at_members(self) -> None:
        """Let the library count and serve those that the log and the state say are there."""
        if self._members_seen != self.parts.applier.members_changed:
            self._members_seen = self.parts.applier.members_changed
            self.membership.state_is(*self.parts.applier.members(), self.last_applied)
        voters = {peer_of(name) for name in self.membership.other_voters}
        learners = {peer_of(name) for name in self.membership.learners}
        for node in sorted((voters | learners) - set(self._SyncObj__raftMatchIndex), key=str):
            self._SyncObj__raftNextIndex[node] = self.journal.last_index + 1
            self._SyncObj__raftMatchIndex[node] = 0
            self._SyncObj__lastResponseTime[node] = library.monotonicTime()
        for node in sorted(set(self._SyncObj__raftMatchIndex) - voters - learners, key=str):
            self.parts.snapshots.cancelTransmisstion(node)
            for table in (self._SyncObj__raftNextIndex, self._SyncObj__raftMatchIndex, self._SyncObj__lastResponseTime):
                table.pop(node, None)
        self._SyncObj__otherNodes, self._SyncObj__readonlyNodes = voters, learners
        self.parts.transport.set_peers(self.membership.peers)

    @property
    def _followers(self) -> list[RaftPeer]:
        return sorted(self._SyncObj__otherNodes | self._SyncObj__readonlyNodes, key=str)

    # -- overrides: submitting

    def _checkCommandsToApply(self) -> None:
        self.before_commands()
        super()._checkCommandsToApply()
        waiting = self._SyncObj__commandsWaitingReply
        for request_id in sorted(waiting)[:max(0, len(waiting) - FORWARDED_MAX)]:
            waiting.pop(request_id)(None, FAIL_REASON.UNKNOWN_OUTCOME)

    # -- overrides: leading

    def _SyncObj__onBecomeLeader(self) -> None:
        self.counters["became_leader"] += 1
        self.parts.transport.forget_acks()
        for node in self._followers:
            self.parts.snapshots.cancelTransmisstion(node)  # begun when this node led before; its answers were dropped
        super()._SyncObj__onBecomeLeader()
        self.journal.sync()  # the library counts the leader's own copy in this very tick
        log.info("raft.leader", extra={"term": self.term})

    def _SyncObj__sendAppendEntries(self) -> None:
        """Entries or snapshot parts to every connected peer, bounded by what it has not taken yet."""
        self._SyncObj__newAppendEntriesTime = library.monotonicTime() + self.parts.times.heartbeat
        self._announced_commit = self.commit_index
        for node in self._followers:
            self._send_to(node)

    def _send_to(self, node: RaftPeer) -> None:
        if not self.isNodeConnected(node):
            self.parts.snapshots.cancelTransmisstion(node)
        elif min(self.next_index(node.id), self.journal.last_index + 1) > self.journal.first_index:
            self._send_entries(node)
        else:
            self._send_parts(node)

    def _send_entries(self, node: RaftPeer) -> None:
        links = self.parts.transport.links
        following = min(self.next_index(node.id), self.journal.last_index + 1)
        sent = False
        while self.isNodeConnected(node):
            if sent and (following > self.journal.last_index or links.backlog_bytes(node.id) >= WINDOW_BYTES):
                return
            entries = self.journal.entries(following, self.journal.last_index + 1, BATCH_BYTES)
            message = {"type": "append_entries", "term": self.term, "commit_index": self.commit_index,
                       "entries": entries, "prevLogIdx": following - 1,
                       "prevLogTerm": self.journal.term_at(following - 1)}
            if entries and links.backlog_bytes(node.id) >= WINDOW_BYTES:
                message["entries"] = entries = []  # a full pipe still gets its heartbeat
            self.parts.transport.send(node, message)
            sent = True
            if not entries:
                return
            following = entries[-1][1] + 1
            self.set_next_index(node.id, following)

    def _send_parts(self, node: RaftPeer) -> None:
        transport, snapshots = self.parts.transport, self.parts.snapshots
        head = {"type": "append_entries", "term": self.term, "commit_index": self.commit_index}
        sent = False
        while self.isNodeConnected(node) and transport.parts_in_flight(node.id) < WINDOW_BYTES:
            part = snapshots.getTransmissionData(node)
            if part is None:
                break
            transport.send(node, dict(head, serialized=part))
            sent = True
            if part[2]:
                self.counters["snapshot_sent"] += 1
                self.set_next_index(node.id, snapshots.sending_index(node) + 1)
                break
        if not sent:
            transport.send(node, dict(head, serialized=None))

    # -- overrides: applying

    def _SyncObj__applyLogEntries(self) -> bool:
        """Apply what is committed, in one transaction, and answer only after it; bounded per turn.

        True: the followers are to be told the new commit index; False: what was sent in this turn has said it.
        """
        first, end = self.last_applied + 1, self.commit_index + 1
        if first >= end:
            return False
        # What waits goes out now, not after the apply, so that the followers have work meanwhile. The commit index of
        # this turn is counted already: nothing that is not synced here can be in it.
        self._checkCommandsToApply()
        entries = self.journal.entries(first, min(end, first + APPLY_ENTRIES_PER_TURN), APPLY_BYTES_PER_TURN)
        groups = [(index, term, command[1:] if command[0] != NO_OP else b"") for command, index, term in entries]
        outcomes = self.parts.applier.apply(groups)
        self._SyncObj__raftLastApplied = entries[-1][1]
        if self._members_seen != self.parts.applier.members_changed:
            self._look_at_members()
        for (_command, index, term), results in zip(entries, outcomes, strict=True):
            for waiting_term, answer in self._SyncObj__commandsWaitingCommit.pop(index, []):
                if waiting_term == term:
                    answer(results, FAIL_REASON.SUCCESS)
                else:
                    self.counters["command_overwritten"] += 1
                    answer(None, FAIL_REASON.DISCARDED)
        return self._announced_commit < self.commit_index

    def _SyncObj__doApplyCommand(self, _command: bytes) -> None:
        raise InvariantBroken("entries are applied by _SyncObj__applyLogEntries")

    def _SyncObj__deleteEntriesFrom(self, from_index: int) -> None:
        invariant(from_index > self.last_applied, "an applied entry is never truncated")
        self.counters["entries_truncated"] += 1
        super()._SyncObj__deleteEntriesFrom(from_index)
        if self.membership.truncated(from_index):
            self.counters["membership_truncated"] += 1
            self._look_at_members()

    # -- overrides: compaction and snapshots

    def _SyncObj__onNodeDisconnected(self, node: RaftPeer) -> None:
        """A transfer ends with its stream: what comes after a reconnection would not fit what was lost before it."""
        super()._SyncObj__onNodeDisconnected(node)
        self.parts.snapshots.cancelTransmisstion(node)

    def _SyncObj__tryLogCompaction(self) -> None:
        self.parts.snapshots.step()

    def _SyncObj__loadDumpFile(self, clearJournal: bool) -> None:
        """A whole checkpoint has been received. Order: its file, then the log, then the state; a crash between any
        two starts well.
        """
        invariant(clearJournal, "the library never loads a dump by itself here")
        before_last, last = self.parts.snapshots.install()
        _command, index, term = last
        if index <= self.last_applied:
            self.counters["snapshot_not_newer"] += 1
            return
        self.counters["snapshot_installed"] += 1
        if self.journal.term_at(index) == term:
            log.info("raft.snapshot_inside_log", extra={"index": index})
        else:
            self.journal.reset(before_last, last)
        self.parts.snapshots.adopt()
        self._SyncObj__raftLastApplied = index
        self._members_seen = -1
        self._look_at_members()
        self._SyncObj__raftCommitIndex = max(self.commit_index, index)
        for covered in [at for at in self._SyncObj__commandsWaitingCommit if at <= index]:
            for _waiting_term, answer in self._SyncObj__commandsWaitingCommit.pop(covered):
                answer(None, FAIL_REASON.UNKNOWN_OUTCOME)

    # -- overrides: membership

    def _SyncObj__parseChangeClusterRequest(self, command: bytes) -> Disks | None:
        return decode_membership(command[1:]) if command[0] == MEMBERSHIP else None

    def _SyncObj__changeCluster(self, request: Disks) -> bool:
        """The leader is about to append a membership entry: the last look, and from here on it holds."""
        connected = [name for name in self.membership.peers if self.isNodeConnected(peer_of(name))]
        refused = not self.leads_with_authority or self.membership.refusal(request, connected) is not None
        self.counters["membership_refused" if refused else "membership_changed"] += 1
        if not refused:
            self.membership.appended(self.journal.last_index + 1, request)
            self._look_at_members()
        return not refused

    def _SyncObj__doChangeCluster(self, request: Disks, reverse: bool = False) -> bool:
        """The library would keep lists of its own; ours follow the log (`_SyncObj__onMessageReceived`)."""
        return True

    def _SyncObj__onMessageReceived(self, node: RaftPeer, message: Any) -> None:
        """What a follower has appended counts at once."""
        super()._SyncObj__onMessageReceived(node, message)
        changes = [entry for entry in message.get("entries") or () if entry[0][0] == MEMBERSHIP]
        for command, index, term in changes:
            if index > self.last_applied and self.journal.term_at(index) == term:
                self.membership.appended(index, decode_membership(command[1:]))
        if changes:
            self._look_at_members()


def _safe(answer: Answer) -> Answer:
    """An answer that raises is our bug: stop, rather than let the library apply the command twice."""

    def call(result: Any, reason: int) -> None:
        try:
            answer(result, reason)
        except Exception as error:
            raise InvariantBroken(f"an answer to a proposal raised {error!r}") from error

    return call
