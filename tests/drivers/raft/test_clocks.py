"""Three real log nodes, one with a clock that is years ahead: leader or not, it takes log time nowhere."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fluffy.core.health.stamps import AHEAD_MAX_MS
from fluffy.core.metadata.commands import Command, Header, SetFeatureLevel
from fluffy.drivers.raft.group_commit import Answered
from fluffy.drivers.raft.node import RaftNode
from fluffy.drivers.raft.peers import peer_of
from fluffy.wire.handshake import Handshake, PeerIdentity, derive_key
from fluffy.wire.log_entries import decode_command, encode_command
from tests.drivers.raft.lab import NAMES, Lab, folder, genesis, header

YEARS_MS = 30 * 365 * 86_400_000


class Clocks:
    """The machines' wall clocks, by name: how much each is off."""

    def __init__(self) -> None:
        self.off_ms = dict.fromkeys(NAMES, 0)

    def of(self, name: str) -> Callable[[], int]:
        return lambda: true_ms() + self.off_ms[name]


def true_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    monkeypatch.setattr("fluffy.drivers.raft.clocks.TELL_EVERY_S", 0.05)
    return Clocks()


@pytest.fixture
def lab(tmp_path: Path, clocks: Clocks) -> Iterator[Lab]:
    lab = Lab(tmp_path, wall_of=clocks.of)
    leader = lab.leader()
    lab.propose(leader, genesis())
    lab.propose(leader, SetFeatureLevel(replace(header(), at_ms=true_ms()), 3))
    yield lab
    lab.close()


def stamped(node: RaftNode, command: Command) -> Header:
    """The header with which the node would propose a command that its own gateway stamped."""
    return decode_command(node.clocks.stamped(command, encode_command(command))).header


def by_its_clock(lab: Lab, clocks: Clocks, name: str, path: str) -> int:
    """Propose as this node would, and wait until all have it. Returns log time."""
    command = folder(path)
    command = replace(command, header=replace(command.header, at_ms=clocks.of(name)()))
    answers: list[Answered] = []
    node = lab.nodes[name]
    node.proposals.offer(node.clocks.stamped(command, encode_command(command)), answers.append)
    assert lab.turn(lambda: bool(answers)) and answers[0].outcome is not None
    lab.settle()
    return node.store.machine.clock_ms


@pytest.mark.parametrize("is_leader", [True, False])
def test_a_clock_that_is_years_ahead_takes_log_time_nowhere(lab: Lab, clocks: Clocks, is_leader: bool,
                                                            caplog: pytest.LogCaptureFixture) -> None:
    name = next(name for name in NAMES if (lab.nodes[name] is lab.leader()) is is_leader)
    assert lab.turn(lambda: all(stamped(node, far()).at_ms < true_ms() + 2 * AHEAD_MAX_MS
                                for node in lab.nodes.values())), "all have heard the others' clocks"
    clocks.off_ms[name] = YEARS_MS
    for number in range(3):
        assert by_its_clock(lab, clocks, name, f"by-the-wrong-{number}") <= true_ms() + AHEAD_MAX_MS
    good = next(other for other in NAMES if other != name)
    before_ms = true_ms()
    by_its_clock(lab, clocks, good, "by-a-good-one")
    command = replace(far(), header=replace(far().header, at_ms=before_ms))
    assert stamped(lab.nodes[good], command).at_ms == before_ms, "a good stamp stays as it is"
    assert len(lab.digests()) == 1
    assert [record.message for record in caplog.records] == ["clock.ahead"] * len(caplog.records) and caplog.records


def far() -> Command:
    command = folder("far")
    return replace(command, header=replace(command.header, at_ms=true_ms() + YEARS_MS))


def test_a_link_that_breaks_at_its_first_word_is_down(tmp_path: Path, clocks: Clocks) -> None:
    """The other side was killed behind its proof: the first word, the clock, finds nobody."""
    lab = Lab(tmp_path, wall_of=clocks.of, names=("one",))
    try:
        node = lab.leader()
        lab.propose(node, replace(genesis(("one",)), feature_level=3))
        handshake = Handshake("dial", derive_key(b"s" * 32, "raft"), PeerIdentity("two", "disk-two", ""))
        with socket.create_connection(("127.0.0.1", lab.ports["one"])) as sock:
            lab.turn(lambda: False, 0.05)
            sock.sendall(handshake.receive(sock.recv(1_000)))
        assert lab.turn(lambda: node.transport.link_changes == 2), "it came up, and went down"
        assert not node.transport.is_up("two") and not node.raft.isNodeConnected(peer_of("two"))
    finally:
        lab.close()


def test_clocks_are_told_only_where_all_programs_know_the_message(tmp_path: Path, clocks: Clocks) -> None:
    lab = Lab(tmp_path, wall_of=clocks.of)
    try:
        lab.propose(lab.leader(), genesis())
        lab.turn(lambda: False, 0.3)
        assert all(stamped(node, far()).at_ms > true_ms() + YEARS_MS - 60_000 for node in lab.nodes.values())
    finally:
        lab.close()
