"""Who votes by the log and the state, and which changes a leader may append."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from fluffy.core.metadata.commands_members import AdmitNode, RemoveNode, RetireNode
from fluffy.core.metadata.outcomes import Accepted, Outcome
from fluffy.drivers.raft.group_commit import Answered
from fluffy.drivers.raft.membership import FirstMembers, Membership
from fluffy.drivers.raft.node import RaftNode
from fluffy.drivers.raft.peers import RaftPeer
from fluffy.wire.log_entries import encode_command
from tests.drivers.raft.lab import NAMES, Lab, folder, genesis, header

DISKS = {name: f"disk-{name}" for name in NAMES}
FOUR = {"four": "disk-four"}


def known(me: str = "one", disk: str = "disk-one") -> Membership:
    membership = Membership(me, disk, FirstMembers(dict.fromkeys(NAMES, "")))
    membership.state_is(DISKS, DISKS | FOUR, applied=10)
    return membership


def test_the_newest_list_in_the_log_counts_before_it_is_committed_and_no_longer_when_it_is_gone() -> None:
    membership = known()
    membership.appended(12, DISKS | FOUR)
    assert membership.other_voters == ("four", "three", "two") and membership.learners == ()
    assert membership.truncated(12)
    assert membership.other_voters == ("three", "two") and membership.learners == ("four",)
    assert not membership.truncated(5)


def test_what_is_applied_is_the_states_word() -> None:
    membership = known()
    membership.appended(12, DISKS | FOUR)
    membership.state_is(DISKS | FOUR, DISKS | FOUR, applied=12)
    assert not membership.is_changing and membership.other_voters == ("four", "three", "two")


def test_before_the_state_knows_the_first_list_counts_and_seeds_are_talked_to() -> None:
    joined = Membership("five", "disk-five", FirstMembers({"one": "disk-one"}, ("one", "two")))
    assert joined.peers == ("one", "two") and not joined.is_voter and not joined.is_member
    joined.state_is({"one": "disk-one"}, {"one": "disk-one"}, applied=3)
    assert joined.peers == ("one", "two"), "the state is still older than its own admission"
    joined.state_is({"one": "disk-one"}, {"one": "disk-one", "five": "disk-five"}, applied=9)
    assert joined.peers == ("one",) and joined.is_member


def test_a_new_disk_under_an_old_name_does_not_vote_while_it_reads_old_history() -> None:
    assert known("two", "disk-two").is_voter
    assert not known("two", "another disk").is_voter


@pytest.mark.parametrize(("voters", "connected", "why"), [
    (DISKS | FOUR, ("two", "three", "four"), None),
    (DISKS | FOUR, ("two",), "too few"),
    ({name: DISKS[name] for name in ("one", "two")}, ("two",), None),
    ({name: DISKS[name] for name in ("one", "two")}, (), "too few"),
    ({name: DISKS[name] for name in ("two", "three")}, ("two", "three"), "hands over"),
    (DISKS, ("two", "three"), "one at a time"),
    ({"one": "disk-one", **FOUR}, ("four",), "one at a time"),
    (DISKS | {"two": "another disk"}, ("two", "three"), "one at a time"),
    (DISKS | {"nine": "disk-nine"}, ("two", "three"), "only a member"),
    (DISKS | {"four": "another disk"}, ("two", "three"), "only a member"),
])
def test_which_lists_a_leader_appends(voters: dict[str, str], connected: tuple[str, ...], why: str | None) -> None:
    refusal = known().refusal(voters, connected)
    assert refusal is None if why is None else refusal is not None and why in refusal


def test_an_eighth_voter_and_a_second_change_are_refused() -> None:
    seven = {str(number): f"disk-{number}" for number in range(6)} | {"one": "disk-one"}
    membership = Membership("one", "disk-one", FirstMembers(seven))
    membership.state_is(seven, seven | FOUR, applied=1)
    assert "at most" in str(membership.refusal(seven | FOUR, seven | FOUR))
    membership = known()
    membership.appended(12, DISKS | FOUR)
    assert "another change" in str(membership.refusal(DISKS, NAMES))


# -- a real cluster

@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with closing(Lab(tmp_path)) as made:
        assert isinstance(made.propose(made.leader(), genesis())[0], Accepted)
        yield made


def admit(lab: Lab, name: str) -> None:
    command = AdmitNode(header(), name, f"disk-{name}", "z", "127.0.0.1", 1, lab.new_port(name), 3, 4)
    assert isinstance(one(lab, command), Accepted)
    lab.start(name, seeds=NAMES)
    assert lab.turn(lambda: lab.nodes[name].caught_up and lab.nodes[name].membership.is_member)


def one(lab: Lab, command: object) -> Outcome:
    outcome: Outcome = lab.propose(lab.leader(), command)[0]  # type: ignore[arg-type]
    return outcome


def change(lab: Lab, **what: str) -> str | None:
    leader = lab.leader()
    told: list[str | None] = []
    leader.change_voters(leader.raft.term, done=told.append, **what)  # type: ignore[arg-type]
    assert lab.turn(lambda: bool(told))
    return told[0]


def voters(node: RaftNode) -> list[str]:
    return sorted(node.membership.voters)


def test_a_machine_joins_as_a_learner_gets_its_vote_and_leads(lab: Lab) -> None:
    admit(lab, "four")
    four = lab.nodes["four"]
    assert not four.membership.is_voter and voters(four) == sorted(NAMES)
    lab.turn(lambda: False, seconds=1.0)
    assert not four.raft.is_leader and four.counters["pre_vote_rounds"] == 0, "a learner calls no elections"
    assert change(lab, add="four") is None
    assert lab.turn(lambda: all(len(node.membership.voters) == 4 for node in lab.nodes.values()))
    for name in ("one", "two"):
        lab.stop(name)
    assert not lab.turn(lambda: any(node.majority_connected() for node in lab.nodes.values()), seconds=0.7)
    lab.start("one")
    assert isinstance(one(lab, folder("with-three-of-four")), Accepted)


def admit_absent(lab: Lab) -> None:
    for name in ("five", "six", "seven"):
        assert isinstance(one(lab, AdmitNode(header(), name, f"disk-{name}", "z", "127.0.0.1", 1, 2, 3, 4)), Accepted)


def writes(lab: Lab, seconds: float) -> bool:
    answers: list[Answered] = []
    lab.leader().proposals.offer(encode_command(folder("goes-on")), answers.append)
    return lab.turn(lambda: bool(answers), seconds)


def test_machines_that_are_admitted_and_never_come_hold_up_nobody(lab: Lab) -> None:
    admit_absent(lab)
    assert writes(lab, 5.0)


def test_a_machine_that_counted_as_soon_as_it_is_admitted_would_be_noticed(lab: Lab,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own idea (PySyncObj raises the majority at once)."""
    voters = Membership.voters.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(Membership, "voters", property(lambda self: {**voters(self), **self.nodes}))
    answers: list[Answered] = []
    leader = lab.leader()
    for name in ("five", "six", "seven"):
        command = AdmitNode(header(), name, f"disk-{name}", "z", "127.0.0.1", 1, 2, 3, 4)
        leader.proposals.offer(encode_command(command), answers.append)
    lab.turn(lambda: len(leader.membership.nodes) == 6, 2.0)
    assert not lab.turn(lambda: any(node.raft.leads_with_authority for node in lab.nodes.values())
                        and writes(lab, 0.5), 1.5)


def test_a_node_with_an_empty_log_votes_when_it_is_asked(lab: Lab) -> None:
    """Seeds 1049 and 1061 of the simulation: a leader is lost before the newest voter has heard of its vote."""
    admit(lab, "four")
    four = lab.nodes["four"]
    leader = lab.leader()
    assert change(lab, add="four") is None
    four.raft._look_at_members = lambda: None  # type: ignore[method-assign]  # it does not hear of it
    four.membership.truncated(0)
    four.membership.state_is({name: f"disk-{name}" for name in NAMES}, four.membership.nodes, 10_000)
    assert not four.membership.is_voter
    lab.stop(leader.name)
    others = [name for name in NAMES if name != leader.name]
    assert lab.turn(lambda: any(lab.nodes[name].raft.leads_with_authority for name in others), 20.0)
    assert isinstance(one(lab, folder("three-of-four-again")), Accepted)


def test_the_members_are_found_again_after_a_restart_of_all(lab: Lab) -> None:
    admit(lab, "four")
    assert change(lab, add="four") is None
    assert lab.turn(lambda: all(len(node.membership.voters) == 4 for node in lab.nodes.values()))
    names = list(lab.nodes)
    for name in names:
        lab.stop(name)
    for name in names:
        lab.start(name)
        assert voters(lab.nodes[name]) == ["four", "one", "three", "two"]
    assert isinstance(one(lab, folder("again")), Accepted)


def test_a_node_that_was_away_hears_of_the_new_leader_it_does_not_know(lab: Lab) -> None:
    """The greater name dials; but `one`, which was away, does not know the `aaron` that leads now."""
    leader = lab.leader()
    if leader.name == "one":
        leader.hand_over(lambda _handed: None)
        assert lab.turn(lambda: not leader.raft.is_leader)
    lab.stop("one")
    admit(lab, "aaron")
    assert change(lab, add="aaron") is None
    assert lab.turn(lambda: _leads(lab, "aaron"), seconds=20)
    lab.start("one")
    assert lab.turn(lambda: "aaron" in lab.nodes["one"].membership.voters and lab.nodes["one"].caught_up)


def _leads(lab: Lab, name: str) -> bool:
    for node in lab.nodes.values():
        if node.raft.is_leader and node.name != name:
            node.raft.transferLeadership(RaftPeer(name))
    return lab.nodes[name].raft.leads_with_authority


def test_a_voter_and_then_the_leader_itself_are_removed(lab: Lab) -> None:
    admit(lab, "four")
    assert change(lab, add="four") is None
    first = lab.leader().name
    for _ in range(2):
        leader = lab.leader()
        handed: list[bool] = []
        assert change(lab, remove=leader.name) == "a leader hands over before it is removed"
        leader.hand_over(handed.append)
        others = [node for node in lab.nodes.values() if node is not leader]
        assert lab.turn(partial(_handed, handed, others))
        assert change(lab, remove=leader.name) is None
        number = 1 + [*NAMES, "four"].index(leader.name)
        assert isinstance(one(lab, RemoveNode(header(), leader.name, True)), Accepted)
        retire = RetireNode(header(), lab.leader().raft.term, number)  # type: ignore[arg-type]
        assert isinstance(one(lab, retire), Accepted)
        lab.stop(leader.name)
    left = lab.leader()
    assert len(left.membership.voters) == 2 and first not in left.membership.peers
    assert isinstance(one(lab, folder("two-are-left")), Accepted)


def _handed(handed: list[bool], others: list[RaftNode]) -> bool:
    return bool(handed) and any(node.raft.leads_with_authority for node in others)


def test_a_change_is_refused_in_another_term_and_by_a_follower(lab: Lab) -> None:
    admit(lab, "four")
    leader = lab.leader()
    told: list[str | None] = []
    leader.change_voters(leader.raft.term + 1, add="four", done=told.append)
    follower = next(node for node in lab.nodes.values() if not node.raft.is_leader)
    follower.change_voters(leader.raft.term, add="four", done=told.append)
    assert told == ["this node does not lead"] * 2


