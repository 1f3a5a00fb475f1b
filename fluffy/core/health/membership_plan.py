"""What the leader does next about members: one small step at a time, from what the log says and what it sees.

    a machine has joined and caught up    give it a vote, while there are fewer than seven voters
    an operator wants a node to go        take its vote (if it is the leader itself: hand over first), then retire it
    a retired node is still in chunks     take it out of the next few

Level-triggered: called again after each step and every few seconds, by whoever leads then, so no step is lost with a
leader. Who goes comes before who comes: an operator waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fluffy.base.ids import NodeNo

# More voters make every write wait for more disks and save nobody.
VOTERS_MAX = 7
# Log entries that a machine may lack when it gets its vote: less than arrives in a moment under load. From then on it
# counts, so it must not be far behind.
BEHIND_MAX = 200


@dataclass(frozen=True, slots=True)
class Standing:
    """One member. `state`: of the placement map. `behind`: entries it has not acknowledged, None: not known."""

    node_no: NodeNo
    name: str
    is_voter: bool
    state: str
    is_draining: bool
    is_leaving: bool
    is_connected: bool
    behind: int | None


@dataclass(frozen=True, slots=True)
class GiveVote:
    name: str


@dataclass(frozen=True, slots=True)
class TakeVote:
    name: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """This node is to go: another one must lead."""


@dataclass(frozen=True, slots=True)
class Retire:
    node_no: NodeNo


@dataclass(frozen=True, slots=True)
class Strip:
    node_no: NodeNo


Step = GiveVote | TakeVote | HandOver | Retire | Strip


def next_step(own: NodeNo, members: Sequence[Standing], unstripped: Sequence[NodeNo]) -> Step | None:
    """What to do now, or nothing. `unstripped`: retired nodes that chunks may still list."""
    ordered = sorted(members, key=lambda member: member.node_no)
    for member in ordered:
        if member.is_leaving:
            return _let_go(own, member)
    if unstripped:
        return Strip(min(unstripped))
    if sum(member.is_voter for member in ordered) < VOTERS_MAX:
        for member in ordered:
            if may_vote(member):
                return GiveVote(member.name)
    return None


def _let_go(own: NodeNo, member: Standing) -> Step:
    if not member.is_voter:
        return Retire(member.node_no)
    return HandOver() if member.node_no == own else TakeVote(member.name)


def may_vote(member: Standing) -> bool:
    """Alive, here to stay, and with nearly all of the log."""
    is_here = member.is_connected and member.state == "up"
    caught_up = member.behind is not None and member.behind <= BEHIND_MAX
    return is_here and caught_up and not (member.is_voter or member.is_draining or member.is_leaving)
