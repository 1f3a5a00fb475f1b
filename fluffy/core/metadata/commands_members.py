"""Commands about members: machines that join, vote, are emptied, go, and are replaced. Kinds 85 to 94.

A member is a row of `nodes`: it gets the log, holds chunks and serves. Which members vote is a list of its own, changed
only by `SetVoters`, one member at a time, in a log entry that takes effect where it is appended
(fluffy/drivers/raft/membership.py). Feature level 3; the rules of `commands` hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fluffy.base.ids import NodeNo
from fluffy.core.metadata.header import Header

Voter = tuple[str, str]  # name and disk UUID


@dataclass(frozen=True, slots=True)
class AdmitNode:
    """A machine that has proved the cluster's secret wants to be a member; it gets a number, and no vote yet.

    Repeating it for the same disk gives the first number and notes addresses that have changed. Under a name that
    another disk has, it is refused, unless an operator has welcomed a new disk there: then the old one is made to
    leave, and the same question is to be asked again.
    """

    KIND: ClassVar[int] = 85
    header: Header
    name: str
    disk_uuid: str
    zone: str
    host: str
    http: int
    raft: int
    data: int
    s3: int


@dataclass(frozen=True, slots=True)
class SetVoters:
    """Who votes from here on; differs from before by one member. Never proposed like other commands: the leader's log
    process appends it as a membership entry, after its own checks. Applied as it is, whatever it says.
    """

    KIND: ClassVar[int] = 86
    header: Header
    term: int
    voters: tuple[Voter, ...]


@dataclass(frozen=True, slots=True)
class DrainNode:
    """Empty a node (`on`), or let it be filled again. New chunks avoid it from this entry on."""

    KIND: ClassVar[int] = 87
    header: Header
    node: str
    on: bool


@dataclass(frozen=True, slots=True)
class RemoveNode:
    """The operator's word that a node is to go; the leader does the rest: its vote first, then `RetireNode`.

    Not `forced`: only a node that is being drained. Forced: whatever is only there is lost.
    """

    KIND: ClassVar[int] = 88
    header: Header
    node: str
    forced: bool = False


@dataclass(frozen=True, slots=True)
class RetireNode:
    """Leader work: a leaving node that has no vote is no member any more. Its number and its disk never come back."""

    KIND: ClassVar[int] = 89
    header: Header
    term: int
    node_no: NodeNo


@dataclass(frozen=True, slots=True)
class StripCopies:
    """Leader work: take a retired node out of the next `limit` chunks that may list it."""

    KIND: ClassVar[int] = 90
    header: Header
    term: int
    node_no: NodeNo
    limit: int


@dataclass(frozen=True, slots=True)
class WelcomeDisk:
    """The next new disk under this name may take its place, for `ttl_ms` of log time. 0: not any more."""

    KIND: ClassVar[int] = 91
    header: Header
    node: str
    ttl_ms: int


MemberCommand = AdmitNode | SetVoters | DrainNode | RemoveNode | RetireNode | StripCopies | WelcomeDisk
MEMBER_COMMANDS: tuple[type[MemberCommand], ...] = (
    AdmitNode, SetVoters, DrainNode, RemoveNode, RetireNode, StripCopies, WelcomeDisk)
