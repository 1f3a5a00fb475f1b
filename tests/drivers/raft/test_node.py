"""The hardened node on real journals, databases and sockets: what a cluster of three must do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import JournalCorrupt
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.drivers.raft.checkpoints import CheckpointPolicy
from fluffy.drivers.raft.group_commit import GROUPS_IN_FLIGHT_MAX, WAITING_COMMANDS_MAX, Answered
from fluffy.drivers.raft.node import POLL_BUSY_S, POLL_MAX_S, RaftNode
from fluffy.drivers.raft.parts import RaftTimes
from fluffy.drivers.raft.reads import ASK_ALL_AFTER_S, ROUND_DEADLINE_S, TERMS_LEVEL
from fluffy.wire.log_entries import encode_command
from tests.drivers.raft.lab import Lab, folder, genesis


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.close()


def born(lab: Lab) -> None:
    assert isinstance(lab.propose(lab.leader(), genesis())[0], Accepted)


def test_a_command_is_applied_alike_on_all_nodes(lab: Lab) -> None:
    born(lab)
    outcomes = lab.propose(lab.leader(), *(folder(f"f{number}") for number in range(300)))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len(lab.digests()) == 1
    assert lab.leader().counters["groups"] < 30, "commands that arrive together share an entry"


def test_a_follower_answers_once_its_own_state_shows_the_change(lab: Lab) -> None:
    born(lab)
    follower = next(node for node in lab.nodes.values() if not node.raft.is_leader)
    assert isinstance(lab.propose(follower, folder("x"))[0], Accepted)
    assert any(entry.path == "admin" for entry in queries.buckets(follower.store.db))
    seq = follower.store.machine.seq
    assert seq >= 2


def test_a_repeated_request_gets_the_first_answer_also_after_a_restart_of_all(lab: Lab) -> None:
    born(lab)
    command = folder("once")
    first = lab.propose(lab.leader(), command)
    lab.settle()
    for name in list(lab.nodes):
        lab.stop(name)
    for name in ("one", "two", "three"):
        lab.start(name)
    assert lab.propose(lab.leader(), command) == first
    assert isinstance(lab.propose(lab.leader(), folder("once"))[0], Rejected)


def test_a_new_leader_is_found_and_nothing_acknowledged_is_lost(lab: Lab) -> None:
    born(lab)
    for round_number in range(3):
        leader = lab.leader()
        lab.propose(leader, *(folder(f"r{round_number}-{number}") for number in range(20)))
        lab.stop(leader.name)
        lab.propose(lab.leader(), folder(f"meanwhile-{round_number}"))
        lab.start(leader.name)
    assert len(lab.digests()) == 1
    names = {entry.name for entry in queries.list_folder(
        lab.leader().store.db, parse_path("admin"), None, 1000).entries}
    assert len(names) == 3 * 21


def test_a_follower_that_was_away_too_long_gets_a_checkpoint(lab: Lab) -> None:
    born(lab)
    away = next(node.name for node in lab.nodes.values() if not node.raft.is_leader)
    lab.stop(away)
    leader = lab.leader()
    for number in range(5):
        lab.propose(leader, folder(f"f{number}"))
    done: list[int | None] = []
    leader.checkpoints.request(done.append)
    assert lab.turn(lambda: bool(done)) and done[0] == leader.journal.first_index + 1
    lab.propose(leader, folder("after"))
    back = lab.start(away)
    assert len(lab.digests()) == 1
    assert back.counters["snapshot_installed"] == 1
    lab.stop(away)
    lab.start(away)
    assert len(lab.digests()) == 1, "what was installed survives a restart"


def test_checkpoints_are_made_by_themselves_and_bound_the_log(tmp_path: Path) -> None:
    lab = Lab(tmp_path, retain_entries=5, policy=CheckpointPolicy(entries_max=20))
    try:
        born(lab)
        for number in range(60):
            lab.propose(lab.leader(), folder(f"f{number}"))
        lab.settle()
        for node in lab.nodes.values():
            assert node.counters["checkpoint_made"] >= 2
            assert len(node.journal) < 40
        assert len(lab.digests()) == 1
    finally:
        lab.close()


def test_the_timer_makes_checkpoints_when_something_changed_and_the_newest_two_are_kept(tmp_path: Path) -> None:
    lab = Lab(tmp_path, policy=CheckpointPolicy(every_s=0.3))
    try:
        born(lab)
        for number in range(4):
            lab.propose(lab.leader(), folder(f"f{number}"))
            lab.settle()
            assert lab.turn(lambda: all(node.checkpoints.newest_index == node.raft.last_applied
                                        for node in lab.nodes.values())), "the timer did not make one"
        made = [node.counters["checkpoint_made"] for node in lab.nodes.values()]
        lab.turn(lambda: False, seconds=0.7)
        assert [node.counters["checkpoint_made"] for node in lab.nodes.values()] == made, "nothing changed"
        for name, node in lab.nodes.items():
            kept = sorted(int(path.stem) for path in (tmp_path / name / "checkpoints").glob("*.head"))
            assert len(kept) == 2 and kept[-1] == node.raft.last_applied
    finally:
        lab.close()


def test_a_database_older_than_the_log_is_restored_from_the_checkpoint(lab: Lab, tmp_path: Path) -> None:
    born(lab)
    lab.settle()
    old = (tmp_path / "one" / "meta.1.db", b"")
    lab.nodes["one"].store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    old = (old[0], old[0].read_bytes())
    lab.propose(lab.leader(), *(folder(f"f{number}") for number in range(30)))
    lab.settle()
    done: list[int | None] = []
    lab.nodes["one"].checkpoints.request(done.append)
    assert lab.turn(lambda: bool(done))
    lab.stop("one")
    for suffix in ("", "-wal", "-shm"):
        Path(str(old[0]) + suffix).unlink(missing_ok=True)
    old[0].write_bytes(old[1])
    lab.start("one")
    assert len(lab.digests()) == 1


def test_a_node_whose_log_does_not_reach_its_state_refuses_to_start(lab: Lab, tmp_path: Path) -> None:
    born(lab)
    lab.propose(lab.leader(), folder("x"))
    lab.settle()
    lab.stop("one")
    for file in (tmp_path / "one" / "log").iterdir():
        file.unlink()
    with pytest.raises(JournalCorrupt, match="reset-node"):
        lab.start("one")


def test_a_read_barrier_sees_everything_acknowledged_before_it(lab: Lab) -> None:
    born(lab)
    for number in range(10):
        lab.propose(lab.leader(), folder(f"f{number}"))
        seq = lab.leader().store.machine.seq
        for node in lab.nodes.values():
            seen: list[bool] = []
            node.reads.barrier(seen.append)
            assert lab.turn(lambda seen=seen: bool(seen)) and seen == [True]
            assert node.store.machine.seq >= seq


def born_with_terms(lab: Lab) -> None:
    assert isinstance(lab.propose(lab.leader(), replace(genesis(), feature_level=TERMS_LEVEL))[0], Accepted)


@pytest.fixture
def calm(tmp_path: Path) -> Iterator[Lab]:
    """Born, nobody owes the leader an answer, and no heartbeat comes by chance while a test looks."""
    made = Lab(tmp_path, times=RaftTimes(heartbeat=3.0, election_min=10.0, election_max=20.0, fallback=20.0))
    born_with_terms(made)
    made.settle()
    heard = made.leader().transport
    assert made.turn(lambda: not any(map(heard.owes_an_answer, heard.peer_names())))
    yield made
    made.close()


def confirm(leader: RaftNode, turning: list[RaftNode], reader: RaftNode | None = None) -> int:
    """One read confirmed while only these turn; how many messages of the leader's it took."""
    answers: list[bool] = []
    before = leader.transport.sequence()
    (reader or leader).reads.barrier(answers.append)
    end_s = time.monotonic() + 2
    while not answers and time.monotonic() < end_s:
        for node in turning:
            node.turn(0.0)
    assert answers == [True]
    return leader.transport.sequence() - before


def test_a_read_asks_no_more_members_than_it_needs(calm: Lab) -> None:
    heard = calm.leader().transport
    counts = [confirm(calm.leader(), list(calm.nodes.values())) for _ in range(10)]
    assert min(counts) == 1 and sum(counts) <= 20, counts  # on a busy machine some ask again
    one, other = map(heard.acked_sequence, heard.peer_names())
    assert abs(one - other) <= 2, "they take turns"


def test_a_member_that_is_silent_keeps_no_read_waiting(calm: Lab) -> None:
    leader = calm.leader()
    silent, other = (node for node in calm.nodes.values() if node is not leader)
    counts = [confirm(leader, [leader, other]) for _ in range(6)]
    assert leader.transport.owes_an_answer(silent.name)
    assert 1 in counts, "who owes an answer is not asked while others do not"


def test_a_turn_sleeps_until_something_is_due(calm: Lab) -> None:
    leader, other = calm.leader(), follower_of(calm)
    assert leader._sleep_s(1.0) == other._sleep_s(1.0) == POLL_MAX_S and other._sleep_s(0.001) == 0.001
    other.raft.election_deadline_s = other.clock() + 0.03
    assert 0.0 < other._sleep_s(1.0) <= 0.03
    other.raft.election_deadline_s = other.clock() - 1
    assert other._sleep_s(1.0) == POLL_MAX_S, "it is held in this turn"
    leader.after_turn.append(lambda: None)
    assert leader._sleep_s(1.0) == POLL_BUSY_S
    leader.turn(0.0)
    assert leader._sleep_s(1.0) == POLL_MAX_S
    leader.reads.barrier(lambda _confirmed: None)
    assert leader._sleep_s(1.0) == 0.0
    leader.turn(0.0)
    assert leader._sleep_s(1.0) <= ASK_ALL_AFTER_S, "those that are not asked yet are asked soon"
    for name in [name for name in calm.nodes if name != leader.name]:
        calm.stop(name)
    assert calm.turn(lambda: leader._sleep_s(1.0) <= POLL_BUSY_S), "whom it misses it dials soon"


def test_a_node_alone_commits_without_sleeping(tmp_path: Path) -> None:
    lab = Lab(tmp_path, names=("one",))
    try:
        node = lab.leader()
        lab.propose(node, genesis(("one",)))
        answers: list[Answered] = []
        sleeps_s = []
        node.proposals.offer(encode_command(folder("f")), answers.append)
        while not answers:
            sleeps_s.append(node._sleep_s(1.0))
            node.turn()
        assert set(sleeps_s) == {0.0}, "nobody's message wakes it"
        assert node._sleep_s(1.0) > 0
    finally:
        lab.close()


def follower_of(lab: Lab) -> RaftNode:
    return next(node for node in lab.nodes.values() if not node.raft.is_leader)


def test_a_followers_question_confirms_by_itself(calm: Lab) -> None:
    leader, reader = calm.leader(), follower_of(calm)
    assert [confirm(leader, [leader, reader], reader) for _ in range(3)] == [0, 0, 0]
    assert leader.counters["reads_confirmed_by_asking"] == 3


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_question_to_a_leader_that_is_gone_is_given_up_at_once(lab: Lab, is_silent: bool) -> None:
    """Whoever reads asks the next leader then, and is not told after two seconds that there is none."""
    born(lab)
    lab.settle()
    leader, reader = lab.leader(), follower_of(lab)
    answers: list[bool] = []
    reader.reads.barrier(answers.append)
    reader.turn(0.0)
    asked_s = reader.clock()
    if is_silent:
        del lab.nodes[leader.name]  # its links stay
    else:
        lab.stop(leader.name)

    def is_read() -> bool:
        if answers and not answers[-1]:
            answers.clear()
            reader.reads.barrier(answers.append)
        return bool(answers)

    try:
        assert lab.turn(is_read)
        assert reader.clock() - asked_s < ROUND_DEADLINE_S
    finally:
        if is_silent:
            lab.nodes[leader.name] = leader


def test_a_reader_does_not_wait_for_ever_for_what_does_not_come(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """All readers of a gateway wait behind it, and are to hear that the majority is gone."""
    born(lab)
    lab.settle()
    leader, reader = lab.leader(), follower_of(lab)
    monkeypatch.setattr("fluffy.drivers.raft.reads.ROUND_DEADLINE_S", 0.2)
    answers: list[bool] = []
    reader.reads.barrier(answers.append)
    reader.turn(0.0)
    reader.transport.extra["read_index_answer"](
        leader.name, {"read_id": 1, "index": leader.raft.commit_index + 1})  # an entry that it is not to get
    assert lab.turn(lambda: bool(answers), 2.0) and answers == [False]


def test_before_all_know_it_a_question_has_no_term(lab: Lab) -> None:
    born(lab)
    lab.settle()
    confirm(lab.leader(), list(lab.nodes.values()), follower_of(lab))
    assert lab.leader().counters["reads_confirmed_by_asking"] == 0


def test_a_question_of_another_term_or_of_a_stranger_confirms_nothing(calm: Lab) -> None:
    leader, reader = calm.leader(), follower_of(calm)
    term = leader.raft.term
    asked = leader.transport.extra["read_index"]
    for name, at in ((reader.name, term - 1), (reader.name, term + 1), ("stranger", term)):
        asked(name, {"type": "read_index", "read_id": 1, "term": at})
    assert leader.counters["reads_confirmed_by_asking"] == 0
    asked(reader.name, {"type": "read_index", "read_id": 1, "term": term})
    assert leader.counters["reads_confirmed_by_asking"] == 1


def test_a_link_that_breaks_at_its_first_word_begins_no_transfer(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody receives its parts, and the next link would go on in their middle: the follower would never catch up."""
    monkeypatch.setattr("fluffy.drivers.raft.checkpoints.PART_BYTES", 1_000)
    monkeypatch.setattr("fluffy.drivers.raft.library.WINDOW_BYTES", 8_000)
    born(lab)
    lab.settle()
    leader, gone = lab.leader(), follower_of(lab).name
    lab.stop(gone)
    for number in range(3):
        lab.propose(leader, folder(f"f{number}"))
    made: list[int | None] = []
    leader.checkpoints.request(made.append)
    assert lab.turn(lambda: bool(made))
    with monkeypatch.context() as broken:
        broken.setattr(leader.transport, "greet", leader.transport.link_down)
        leader.transport.link_up(gone)
    lab.turn(lambda: False, 0.2)
    lab.start(gone)
    lab.settle()
    assert lab.nodes[gone].counters["snapshot_installed"] == 1


def test_a_leader_without_a_majority_confirms_no_read_and_stops_leading(lab: Lab) -> None:
    born(lab)
    leader = lab.leader()
    for name in [name for name in lab.nodes if name != leader.name]:
        lab.stop(name)
    answers: list[bool] = []
    leader.reads.barrier(answers.append)
    assert lab.turn(lambda: bool(answers)) and answers == [False]
    assert lab.turn(lambda: not leader.raft.is_leader, seconds=3)


def test_nodes_that_start_together_elect_as_soon_as_they_are_linked(tmp_path: Path) -> None:
    lab = Lab(tmp_path, times=RaftTimes(heartbeat=0.03, election_min=30.0, election_max=60.0, fallback=60.0))
    try:
        assert lab.turn(lambda: any(node.raft.leads_with_authority for node in lab.nodes.values()), 10.0)
        assert sum(node.counters["pre_vote_rounds"] for node in lab.nodes.values()) <= 6, "one a link at most"
    finally:
        lab.close()


def test_leadership_is_handed_over_without_an_election_timeout(lab: Lab) -> None:
    born(lab)
    leader = lab.leader()
    lab.settle()
    assert leader.transfer_leadership()
    others = [node for node in lab.nodes.values() if node is not leader]
    assert lab.turn(lambda: any(node.raft.leads_with_authority for node in others), 0.15)


def test_a_node_that_was_cut_off_does_not_depose_the_leader(lab: Lab) -> None:
    """Pre-vote: its term does not grow while it is alone."""
    born(lab)
    lab.settle()
    leader = lab.leader()
    term = leader.raft.term
    lonely = next(node for node in lab.nodes.values() if not node.raft.is_leader)
    others = [node for node in lab.nodes.values() if node is not lonely]
    for other in others:  # whichever of the two dials
        lonely.transport.links.drop_peer(other.name)
        other.transport.links.drop_peer(lonely.name)
    rounds = lonely.counters["pre_vote_rounds"]
    assert lab.turn(lambda: lonely.counters["pre_vote_rounds"] >= rounds + 2, seconds=20.0)
    assert lonely.raft.term == term
    for other in others:
        lonely.transport.links.add_peer(other.name)
        other.transport.links.add_peer(lonely.name)
    lab.propose(leader, folder("x"))
    lab.settle()
    assert leader.raft.is_leader and leader.raft.term == term


def test_more_proposals_than_the_queue_holds_are_refused_at_once(lab: Lab) -> None:
    leader = lab.leader()
    answers: list[Answered] = []
    command = encode_command(folder("x"))
    for _ in range(WAITING_COMMANDS_MAX + 10):
        leader.proposals.offer(command, answers.append)
    assert [answer.error for answer in answers] == ["Overloaded"] * 10
    assert GROUPS_IN_FLIGHT_MAX * 512 < WAITING_COMMANDS_MAX


def test_an_answer_that_raises_stops_the_process_instead_of_applying_twice(lab: Lab) -> None:
    born(lab)
    leader = lab.leader()

    def bad(_answered: Answered) -> None:
        raise ValueError("boom")

    leader.proposals.offer(encode_command(folder("x")), bad)
    with pytest.raises(InvariantBroken, match="boom"):
        lab.turn(lambda: False, seconds=2)


def test_a_leader_waits_for_nothing_that_need_not_come_first(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits leaves before the apply; answers leave before the leader's own sync of what comes next."""
    born(lab)
    leader = lab.leader()
    steps: list[str] = []
    answers: list[Answered] = []
    apply, sync = leader.store.apply, leader.journal.sync

    def applying(entries: list[tuple[int, int, bytes]]) -> list[list[Outcome]]:
        steps.append(f"apply, {leader.proposals.waiting} waiting")
        return apply(entries)

    def syncing() -> None:
        if leader.journal.synced_index < leader.journal.last_index:
            steps.append("sync")
        sync()

    def sending() -> None:
        steps.append(f"answers, {len(answers)} so far")

    monkeypatch.setattr(leader.store, "apply", applying)
    monkeypatch.setattr(leader.journal, "sync", syncing)
    monkeypatch.setattr(leader.raft, "before_sync", sending)
    leader.proposals.offer(encode_command(folder("first")), answers.append)
    assert lab.turn(lambda: _acknowledged(leader))
    steps.clear()
    leader.proposals.offer(encode_command(folder("second")), answers.append)
    leader.turn(0.0)
    assert steps == ["apply, 0 waiting", "answers, 1 so far", "sync"]
    assert lab.turn(lambda: len(answers) == 2)


def _acknowledged(leader: RaftNode) -> bool:
    """A follower has the leader's newest entry, which is not applied yet."""
    newest = leader.journal.last_index
    return (leader.raft.last_applied < newest
            and any(leader.raft.match_index(name) == newest for name in leader.transport.peer_names()))
