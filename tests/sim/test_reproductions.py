"""What is wrong with PySyncObj 0.3.17: each script shows the fault in the library, and that it is not in ours.

The same messages, in the same order, to a node of each kind (docs/RAFT.md tells what each fault costs).
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pysyncobj.pickle as library_pickle
import pytest
from pysyncobj.config import FAIL_REASON

from fluffy.base.checks import InvariantBroken
from fluffy.core.metadata.commands import MakeFolder
from fluffy.core.metadata.commands_members import AdmitNode, SetVoters
from fluffy.core.metadata.outcomes import Accepted, Rejected
from fluffy.drivers.raft.group_commit import Answered
from fluffy.drivers.raft.peers import RaftPeer
from fluffy.sim.disk import SimDiskFailed
from fluffy.wire.log_entries import encode_command
from tests.drivers.raft.lab import folder as make_folder
from tests.drivers.raft.lab import genesis, header
from tests.sim.lone import NO_OP, Clock, Ours, Stock, append, entries, lead_alone, propose, stock_library, win_election


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stock(clock: Clock) -> Iterator[Stock]:
    with stock_library(clock):
        yield Stock(clock)


@pytest.fixture
def ours(clock: Clock, tmp_path: Path) -> Iterator[Ours]:
    node = Ours(clock, tmp_path)
    yield node
    node.store.close()


# -- a message that repeats entries already held truncates what lies behind them

def repeat_the_beginning(node: Stock | Ours) -> None:
    node.deliver("two", append(2, 10))
    node.turn()
    node.turn()
    acked = [message["next_node_idx"] for _, message in node.sent("next_node_idx")]
    assert acked[-1] == 11, "entries 2 to 10 are acknowledged, so the leader may have told its client"
    node.deliver("two", append(2, 4))
    node.turn()


def test_the_library_drops_acknowledged_entries_when_older_ones_are_sent_again(stock: Stock) -> None:
    repeat_the_beginning(stock)
    assert stock.log[-1][0] == 4


def test_entries_that_match_are_never_truncated(ours: Ours) -> None:
    repeat_the_beginning(ours)
    assert ours.log[-1][0] == 10
    assert ours.node.counters["entries_already_held"] == 3
    ours.turn()
    assert ours.sent("next_node_idx")[-1][1]["next_node_idx"] == 5, "the leader vouched for no more than entry 4"


def test_a_heartbeat_from_the_past_truncates_nothing(ours: Ours) -> None:
    ours.deliver("two", append(2, 10))
    ours.turn()
    ours.deliver("two", append(5, 4, commit=9))
    ours.turn()
    assert ours.log[-1][0] == 10 and ours.raft.commit_index == 4


def test_entries_that_conflict_are_still_replaced(ours: Ours) -> None:
    ours.deliver("two", append(2, 10))
    ours.turn()
    ours.deliver("three", append(6, 7, term=2, previous_term=1))
    ours.turn()
    assert ours.log[4:] == [(5, 1), (6, 2), (7, 2)]


# -- snapshot messages move the commit index over entries that nobody vouched for

def learn_of_a_snapshot(node: Stock | Ours) -> None:
    node.deliver("two", append(2, 5))
    node.deliver("three", {"type": "append_entries", "term": 2, "commit_index": 5, "serialized": None})
    node.turn()


def test_the_library_commits_what_an_older_leader_wrote_because_a_snapshot_comes(stock: Stock) -> None:
    learn_of_a_snapshot(stock)
    assert stock.raft.raftCommitIndex == 5


def test_snapshot_messages_commit_nothing(ours: Ours) -> None:
    learn_of_a_snapshot(ours)
    assert ours.raft.commit_index == 1 and ours.log[-1] == (5, 1)


# -- a commit index beyond the log, after a power cut

def test_the_library_acknowledges_alone_when_its_commit_index_is_beyond_its_log(clock: Clock, tmp_path: Path) -> None:
    with stock_library(clock):
        before = Stock(clock, tmp_path)
        journal = before.raft._SyncObj__raftLog
        for entry in entries(2, 3):
            journal.add(*entry)
        journal.setRaftCommitIndex(10)  # the entries up to 10 were in the page cache when the power failed
        journal.onOneSecondTimer()
        journal._destroy()
        after = Stock(clock, tmp_path)
        win_election(after)
        after.transport._onNodeDisconnected(RaftPeer("two"))
        after.transport._onNodeDisconnected(RaftPeer("three"))
        after.write("nobody else has this")
        for _ in range(3):
            after.turn()
        assert after.answers == [("nobody else has this", FAIL_REASON.SUCCESS)]
        after.raft._SyncObj__raftLog._destroy()


def test_the_commit_index_is_clamped_to_the_log_and_nobody_acknowledges_alone(clock: Clock, tmp_path: Path) -> None:
    before = Ours(clock, tmp_path)
    before.deliver("two", append(2, 3))
    before.node.journal.setRaftCommitIndex(10)
    before.turn()
    before.power_off()
    after = Ours(clock, tmp_path, before.disk)
    assert after.raft.commit_index == 3
    win_election(after)
    answers: list[Answered] = []
    after.node.proposals.offer(encode_command(genesis()), answers.append)
    for _ in range(3):
        after.turn()
    assert answers == [] and after.raft.commit_index == 3
    after.store.close()


# -- commands and callbacks that raise

def alone(clock: Clock) -> Stock:
    node = Stock(clock, peers=())
    win_election(node)
    return node


def test_one_poisoned_command_wedges_the_library_for_ever(clock: Clock) -> None:
    with stock_library(clock):
        node = alone(clock)
        node.write("before")
        node.turn()
        node.turn()
        node.write("poison")
        node.write("after")
        node.turn()
        for _ in range(5):
            with pytest.raises(ValueError, match="poison"):
                node.turn()
        assert node.node.applied == ["before"]


def test_a_command_that_cannot_be_done_is_refused_and_the_next_one_is_done(clock: Clock, tmp_path: Path) -> None:
    node = lead_alone(clock, tmp_path)
    for path in ("", "admin/../x", "admin/\x00", "a" * 5000, "nowhere/x"):
        assert isinstance(propose(node, encode_command(MakeFolder(header(), path))), Rejected)
    assert isinstance(propose(node, encode_command(make_folder("after"))), Accepted)
    node.store.close()


def test_a_callback_that_raises_makes_the_library_apply_a_command_twice(clock: Clock) -> None:
    def bad(_result: object, _error: int) -> None:
        raise ValueError("callback")

    with stock_library(clock):
        node = alone(clock)
        node.node.write("once", callback=bad)
        node.turn()
        with pytest.raises(ValueError, match="callback"):
            node.turn()
        node.turn()
        assert node.node.applied == ["once", "once"]


def test_an_answer_that_raises_stops_the_process_and_nothing_is_applied_twice(clock: Clock, tmp_path: Path) -> None:
    def bad(_answer: Answered) -> None:
        raise ValueError("answer")

    node = lead_alone(clock, tmp_path)
    seq = node.store.machine.seq
    node.node.proposals.offer(encode_command(make_folder("once")), bad)
    with pytest.raises(InvariantBroken, match="answer"):
        for _ in range(3):
            node.turn()
    node.power_off()
    again = Ours(clock, tmp_path, node.disk, peers=())
    win_election(again)
    again.turn()
    assert again.store.machine.seq == seq + 1
    again.store.close()


# -- two changes of the membership at once

def test_the_library_takes_two_membership_changes_at_once(clock: Clock) -> None:
    with stock_library(clock):
        node = alone(clock)
        node.turn()
        for name in ("two", "three"):
            node.node.addNodeToCluster(RaftPeer(name))
        node.turn()
        assert len(node.node.otherNodes) == 2


def test_a_second_membership_change_waits_for_the_first(clock: Clock, tmp_path: Path) -> None:
    node = lead_alone(clock, tmp_path)
    for name in ("two", "three"):
        admitted = propose(node, encode_command(AdmitNode(header(), name, f"disk-{name}", "z", "h", 1, 2, 3, 4)))
        assert isinstance(admitted, Accepted)
        node.node.transport.link_up(name)
    answers: list[int] = []
    voters = (("one", "disk-one"), ("two", "disk-two"))
    for number in (2, 3):
        more = SetVoters(header(), node.raft.term, (*voters, ("three", "disk-three"))[:number])
        node.raft.change_voters(more, lambda _result, reason: answers.append(reason))
    node.turn()
    assert [peer.id for peer in node.raft.otherNodes] == ["two"] and answers == [FAIL_REASON.REQUEST_DENIED]
    node.store.close()


# -- killed between the new checkpoint and the trimmed log

def test_the_library_killed_while_compacting_loses_what_came_after_its_dump(clock: Clock, tmp_path: Path) -> None:
    with stock_library(clock):
        before = Stock(clock, tmp_path)
        journal = before.raft._SyncObj__raftLog
        for entry in entries(2, 150):
            journal.add(*entry)
        state = ({"applied": []}, (NO_OP, 100, 1), (NO_OP, 99, 1), {RaftPeer(name) for name in ("one", "two", "three")})
        with gzip.open(tmp_path / "dump", "wb") as file:  # the dump has its name, the log is not trimmed yet: kill -9
            library_pickle.dump(state, file)
        journal._destroy()
        after = Stock(clock, tmp_path)
        after.turn()
        assert after.log == [(99, 1), (100, 1)], "entries 101 to 150 are gone"
        after.raft._SyncObj__raftLog._destroy()


@pytest.mark.parametrize("operations", range(8))
def test_a_crash_at_any_operation_of_a_compaction_loses_nothing(clock: Clock, tmp_path: Path, operations: int) -> None:
    node = lead_alone(clock, tmp_path)
    for number in range(20):
        assert isinstance(propose(node, encode_command(make_folder(f"f{number}"))), Accepted)
    digest, last = node.store.machine.digest(), node.node.journal.last_index
    left = [operations]

    def fail(_kind: str, _name: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise SimDiskFailed("power")

    node.node.checkpoints.request(lambda _index: None)
    node.disk.before_operation = fail
    try:
        for _ in range(3):
            node.turn()
    except SimDiskFailed:
        pass
    node.disk.before_operation = None
    node.node.checkpoints.close()
    node.power_off()
    again = Ours(clock, tmp_path, node.disk, peers=())
    assert again.node.journal.last_index >= last
    win_election(again)
    for _ in range(3):
        again.turn()
    assert again.store.machine.digest() == digest
    again.store.close()


# -- the vote of a node that lost its power

def ask_for_a_vote(node: Stock | Ours, candidate: str) -> None:
    node.deliver(candidate, {"type": "request_vote", "term": 5, "last_log_index": 1, "last_log_term": 0,
                             "transfer": False})


def test_the_library_votes_twice_when_the_power_fails_between(clock: Clock, tmp_path: Path) -> None:
    with stock_library(clock):
        before = Stock(clock, tmp_path)
        ask_for_a_vote(before, "two")
        before.raft._SyncObj__raftLog._destroy()
        (tmp_path / "journal.meta").unlink()  # written, renamed, never synced
        after = Stock(clock, tmp_path)
        ask_for_a_vote(after, "three")
        assert len(before.sent("response_vote")) == len(after.sent("response_vote")) == 1
        after.raft._SyncObj__raftLog._destroy()


def test_a_vote_is_on_disk_before_anybody_hears_of_it(clock: Clock, tmp_path: Path) -> None:
    before = Ours(clock, tmp_path)
    ask_for_a_vote(before, "two")
    assert len(before.sent("response_vote")) == 1
    before.power_off()
    after = Ours(clock, tmp_path, before.disk)
    ask_for_a_vote(after, "three")
    assert after.sent("response_vote") == [] and after.node.journal.getVotedForNodeId() == "two"
    after.store.close()


# -- acknowledgements from another term

def stale_ack(node: Stock | Ours) -> None:
    win_election(node)
    index = node.log[-1][0]
    for peer in ("two", "three"):
        node.deliver(peer, {"type": "next_node_idx", "next_node_idx": index + 1, "reset": False, "success": True,
                            "term": 0, "seq": 1})
    node.turn()


def test_the_library_counts_acknowledgements_of_an_older_term(stock: Stock) -> None:
    stale_ack(stock)
    assert stock.raft.raftCommitIndex == stock.log[-1][0]


def test_acknowledgements_of_an_older_term_count_for_nothing(ours: Ours) -> None:
    stale_ack(ours)
    assert ours.raft.commit_index == 1 and ours.node.counters["stale_ack_dropped"] == 2


# -- parts of a snapshot that do not follow each other

def test_a_part_out_of_order_ends_the_transfer(ours: Ours) -> None:
    def part(transfer: int, offset: int, data: bytes, *, first: bool = False) -> None:
        ours.deliver("two", {"type": "append_entries", "term": 1, "commit_index": 1, "serialized": (data, first, False),
                             "snap": (transfer, offset)})

    part(1, 0, b"head?", first=True)
    part(1, 9, b"a part is missing before this")
    assert ours.node.counters["snapshot_part_out_of_order"] == 1
    assert [message["snap"] for _, message in ours.sent("next_node_idx")] == [(1, 5)], "progress is told, gaps are not"


# -- ours alone: an acknowledgement never leaves before its fsync

def test_an_acknowledgement_waits_for_the_disk(ours: Ours) -> None:
    ours.deliver("two", append(2, 4))
    assert ours.sent("next_node_idx") == [] and ours.node.journal.synced_index == 1
    ours.turn()
    assert ours.node.journal.synced_index == 4
    assert [message["next_node_idx"] for _, message in ours.sent("next_node_idx")] == [5]
