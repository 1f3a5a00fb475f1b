"""Who votes, who only follows, and who may talk to us: by the state, by the log behind it, and before both by a file.

    voters    count in every majority. The list changes by a membership entry of the log, one member at a time, and a
              node uses the newest list that is *in its log*, committed or not (Ongaro's thesis, section 4.1).
    learners  members without a vote: machines that have just come, and storage nodes. The leader sends them the log.
    seeds     of a machine that joins: the members it was told of, until the state says that it is one itself.

A membership entry carries a `SetVoters` command with the whole new list, so applying it makes the state say what the
log said; entries not applied yet are kept here, and forgotten when they are applied or truncated. Whether an entry may
be appended is asked once, of the leader, in `refusal`: that is where "one at a time" is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import FeatureTooNew, FrameCorrupt
from fluffy.core.health.membership_plan import VOTERS_MAX
from fluffy.core.metadata.commands import Genesis
from fluffy.core.metadata.commands_members import SetVoters
from fluffy.drivers.raft.journal import SegmentedJournal
from fluffy.wire.log_entries import decode_command, decode_group, encode_command, encode_group

Disks = Mapping[str, str]  # name -> disk UUID; '' where nobody has said which disk yet

# Genesis stands among the first entries: before it nothing but elections and refused commands is in a log.
GENESIS_WITHIN_ENTRIES = 2_000


@dataclass(frozen=True, slots=True)
class FirstMembers:
    """What is known before the state knows better. `seeds`: whom to talk to although they are in no list yet."""

    voters: Disks
    seeds: tuple[str, ...] = ()


@dataclass(slots=True)
class Membership:
    """The members as this node's log and state have them. Single-threaded; the state tells by `state_is`."""

    me: str
    my_disk: str  # '': not told apart from others of the name (tests)
    first: FirstMembers
    nodes: Disks = field(default_factory=dict)  # all members of the state
    _voters: Disks = field(default_factory=dict)  # of the state
    _pending: list[tuple[int, Disks]] = field(default_factory=list)  # by index; not applied yet

    # -- what holds now

    @property
    def voters(self) -> Disks:
        if self._pending:
            return self._pending[-1][1]
        return self._voters or self.first.voters

    @property
    def is_voter(self) -> bool:
        return self._is_me(self.voters)

    @property
    def is_member(self) -> bool:
        """Whether the state has this node, with this disk."""
        return self._is_me(self.nodes)

    @property
    def is_changing(self) -> bool:
        """Whether a membership entry of the log is not applied here yet."""
        return bool(self._pending)

    @property
    def pending(self) -> int:
        """Membership entries of the log that are not applied here yet."""
        return len(self._pending)

    @property
    def other_voters(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.voters) - {self.me}))

    @property
    def learners(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.nodes) - set(self.voters) - {self.me}))

    @property
    def peers(self) -> tuple[str, ...]:
        """All to keep a link to."""
        known = {*self.voters, *self.nodes}
        if not self.is_member:
            known |= {*self.first.seeds}
        return tuple(sorted(known - {self.me}))

    def disk_of(self, name: str) -> str | None:
        """The disk that a peer of this name must have; None: any, nothing is known of it."""
        return self.voters.get(name) or self.nodes.get(name) or None

    def _is_me(self, disks: Disks) -> bool:
        disk = disks.get(self.me)
        return disk is not None and (not disk or not self.my_disk or disk == self.my_disk)

    # -- what happens to the log and the state

    def state_is(self, voters: Disks, nodes: Disks, applied: int) -> None:
        self._voters, self.nodes = dict(voters), dict(nodes)
        self._pending = [entry for entry in self._pending if entry[0] > applied]

    def appended(self, index: int, voters: Disks) -> None:
        self._pending = [entry for entry in self._pending if entry[0] < index] + [(index, voters)]

    def truncated(self, from_index: int) -> bool:
        """Entries from here on are gone. True: one of them was ours."""
        kept = [entry for entry in self._pending if entry[0] < from_index]
        was_ours = len(kept) < len(self._pending)
        self._pending = kept
        return was_ours

    # -- what may happen

    def refusal(self, voters: Disks, connected: Iterable[str]) -> str | None:
        """Why the leader must not append this list, or None. It leads with an applied entry of its own term already."""
        if self.is_changing:
            return "another change of the members is on its way"
        before, after = set(self.voters.items()), set(voters.items())
        if len(before ^ after) != 1:
            return "members come and go one at a time"
        if self.me not in voters:
            return "a leader hands over before it is removed"
        if len(voters) > VOTERS_MAX:
            return f"a cluster has at most {VOTERS_MAX} voters"
        if any(self.nodes.get(name) != disk for name, disk in after - before):
            return "only a member can get a vote"
        reachable = {self.me, *connected} & set(voters)
        if 2 * len(reachable) <= len(voters):
            return "too few of those that would vote are connected"
        return None


def encode_membership(command: SetVoters) -> bytes:
    """The body of a membership entry: a group of one command, applied like any other."""
    return encode_group([encode_command(command)])


def decode_membership(group: bytes) -> Disks:
    """The voters of an entry. Entries come from members only; a bad one is a bug or a newer format."""
    try:
        [command] = [decode_command(blob) for blob in decode_group(group)]
    except (FrameCorrupt, ValueError) as error:
        raise InvariantBroken("a membership entry of the log is not readable") from error
    if not isinstance(command, SetVoters):
        raise InvariantBroken("a membership entry of the log changes no members")
    return dict(command.voters)


def voters_of_genesis(journal: SegmentedJournal, command_byte: int) -> Disks | None:
    """Who votes by the genesis that stands in the log, for a state that has lost it; None: the cluster is not born."""
    end = min(journal.last_index + 1, journal.first_index + GENESIS_WITHIN_ENTRIES)
    for entry, _index, _term in journal.entries(journal.first_index, end):
        for blob in decode_group(entry[1:]) if entry[0] == command_byte else ():
            try:
                command = decode_command(blob)
            except (FrameCorrupt, FeatureTooNew):
                continue  # whoever applies it says so
            if isinstance(command, Genesis):
                return {node.name: node.disk_uuid for node in command.nodes}
    return None
