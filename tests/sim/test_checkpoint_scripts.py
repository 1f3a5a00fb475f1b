"""Checkpoints on their way to a node, and what can come between: gaps, crashes, broken streams, lateness."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fluffy.core.metadata.outcomes import Accepted
from fluffy.drivers.raft.peers import RaftPeer
from fluffy.sim.disk import SimDiskFailed
from fluffy.sim.scale import crash_points, replaced
from fluffy.wire.log_entries import encode_command
from tests.drivers.raft.lab import folder as make_folder
from tests.sim.lone import Clock, Ours, append, lead_alone, propose, win_election


@pytest.fixture
def clock() -> Clock:
    return Clock()


def led_and_checkpointed(clock: Clock, folder: Path) -> Ours:
    """A node with ten folders, a checkpoint of them, and two entries after it."""
    folder.mkdir()
    node = lead_alone(clock, folder)
    for number in range(10):
        assert isinstance(propose(node, encode_command(make_folder(f"f{number}"))), Accepted)
    done: list[int | None] = []
    node.node.checkpoints.request(done.append)
    for _ in range(3):
        node.turn()
    assert done == [node.raft.last_applied]
    return node


def deliver_checkpoint(receiver: Ours, source: Ours, term: int) -> None:
    offset = 0
    while True:
        part = source.node.checkpoints.getTransmissionData(RaftPeer("one"))
        assert part is not None
        receiver.deliver("two", {"type": "append_entries", "term": term, "commit_index": 1, "serialized": part,
                                 "snap": (1, offset)})
        offset += len(part[0])
        if part[2]:
            source.node.checkpoints.cancelTransmisstion(RaftPeer("one"))
            return


def test_a_checkpoint_that_comes_too_late_changes_nothing(clock: Clock, tmp_path: Path) -> None:
    source = led_and_checkpointed(clock, tmp_path / "source")
    log = source.node.journal[1:]
    (tmp_path / "late").mkdir()
    late = Ours(clock, tmp_path / "late")
    late.deliver("two", {"type": "append_entries", "term": 5, "commit_index": 1, "serialized": None})
    for attempt in range(2):
        deliver_checkpoint(late, source, term=5)
        late.turn()
        late.turn()
        assert late.store.machine.digest() == source.store.machine.digest()
        assert late.sent("next_node_idx")[-1][1]["next_node_idx"] == log[-1][1] + 1
        assert late.node.counters["snapshot_installed"] == 1 and late.node.counters["snapshot_not_newer"] == attempt
    source.store.close()
    late.store.close()


@pytest.mark.parametrize("operations", range(14))
def test_a_crash_at_any_point_of_an_install_leaves_a_node_that_starts(clock: Clock, tmp_path: Path,
                                                                      operations: int) -> None:
    """Disk operations of the log and syncs of files count alike; a follower with an older log of its own."""
    source = led_and_checkpointed(clock, tmp_path / "source")
    (tmp_path / "late").mkdir()
    late = Ours(clock, tmp_path / "late")
    late.deliver("two", append(2, 4))
    late.turn()
    left = [operations]

    def fail(*_what: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise SimDiskFailed("power")

    late.disk.before_operation = fail
    crashed = False
    with replaced(crash_points(fail)):
        try:
            deliver_checkpoint(late, source, term=5)
        except SimDiskFailed:
            crashed = True
            source.node.checkpoints.cancelTransmisstion(RaftPeer("one"))
    assert crashed or operations > 8, "an install has at least nine points to crash at"
    late.disk.before_operation = None
    late.node.checkpoints.close()
    late.power_off()
    again = Ours(clock, tmp_path / "late", late.disk)
    assert again.raft.last_applied <= again.node.journal.last_index
    deliver_checkpoint(again, source, term=5)
    again.turn()
    assert again.store.machine.digest() == source.store.machine.digest()
    source.store.close()
    again.store.close()


def test_a_checkpoint_received_just_before_a_power_cut_is_installed_at_the_start(clock: Clock, tmp_path: Path) -> None:
    """Seed 7 of the first simulation: a state older than the log, and the newest checkpoint beyond the log."""
    newer = led_and_checkpointed(clock, tmp_path / "newer")
    (tmp_path / "late").mkdir()
    late = lead_alone(clock, tmp_path / "late")
    late.node.checkpoints.request(lambda _index: None)
    for _ in range(3):
        late.turn()
    assert late.node.journal.first_index > 1
    late.power_off()
    for database in (tmp_path / "late").glob("meta.*"):
        database.unlink()  # its write-ahead log was never synced
    for file in (tmp_path / "newer" / "checkpoints").iterdir():
        shutil.copy(file, tmp_path / "late" / "checkpoints")
    again = Ours(clock, tmp_path / "late", late.disk)
    assert again.store.machine.digest() == newer.store.machine.digest()
    assert again.node.journal.last_index == again.raft.last_applied == newer.raft.last_applied
    newer.store.close()
    again.store.close()


def test_a_transfer_begins_anew_after_its_stream_broke(clock: Clock, tmp_path: Path) -> None:
    """Seed 28 of the first simulation: the rest of a broken transfer went on for ever, unanswered."""
    leader = Ours(clock, tmp_path)
    win_election(leader)
    cancelled: list[str] = []
    cancel = leader.node.checkpoints.cancelTransmisstion
    with replaced([(leader.node.checkpoints, "cancelTransmisstion",
                    lambda peer: (cancelled.append(peer.id), cancel(peer)))]):
        leader.links.events.link_down("two")
        leader.links.events.link_up("two")
    assert cancelled == ["two"]
    leader.store.close()
