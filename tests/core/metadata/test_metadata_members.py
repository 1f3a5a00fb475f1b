"""Members by the log: admitted, voting, emptied, removed, replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from fluffy.base.ids import ChunkId, NodeNo, RequestId
from fluffy.base.units import HOUR_MS
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import PutFile
from fluffy.core.metadata.commands_members import (
    AdmitNode,
    DrainNode,
    RemoveNode,
    RetireNode,
    SetVoters,
    StripCopies,
    WelcomeDisk,
)
from fluffy.core.metadata.queries_members import DrainReport
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_recount import check_state

FOUR = AdmitNode(replace(header(), request_id=RequestId(b"")), "four", "disk-of-four", "d", "10.0.0.4", 1, 2, 3, 0)
ONE, TWO, THREE = NodeNo(1), NodeNo(2), NodeNo(3)


@pytest.fixture
def state() -> Iterator[MemoryState]:
    with closing(MemoryState(genesis_command(at_ms=0, write_quorum=1))) as state:
        yield state
        check_state(state.db)


def disk_of(state: MemoryState, name: str) -> str:
    return next(record.disk_uuid for record in queries.node_records(state.db) if record.name == name)


def put_chunk(state: MemoryState, number: int, nodes: tuple[int, ...]) -> ChunkId:
    chunk = ChunkId(bytes([number]) * 32)
    state.accept(PutFile(header(), f"admin/{number}", 100, b"h" * 32, "e", "", {}, {}, None, ((chunk, 100),),
                         (tuple(NodeNo(no) for no in nodes),)))
    return chunk


def retire(state: MemoryState, name: str, *, forced: bool = True) -> NodeNo:
    record = next(record for record in queries.node_records(state.db) if record.name == name)
    state.accept(RemoveNode(header(), name, forced))
    left = {voter: disk for voter, disk in queries.voters(state.db).items() if voter != name}
    state.accept(SetVoters(header(), 1, tuple(left.items())))
    state.accept(RetireNode(header(), 1, record.node_no))
    return record.node_no


def test_every_first_node_votes_and_a_machine_that_comes_later_does_not(state: MemoryState) -> None:
    assert sorted(queries.voters(state.db)) == ["one", "three", "two"]
    assert state.accept(FOUR).facts == {"node_no": 4}
    assert state.accept(FOUR).facts == {"node_no": 4}, "asked again"
    assert [record.name for record in queries.node_records(state.db)] == ["one", "two", "three", "four"]
    assert "four" not in queries.voters(state.db)
    put_chunk(state, 1, (4,))


def test_addresses_of_a_known_disk_may_change_but_not_its_name(state: MemoryState) -> None:
    state.accept(FOUR)
    state.accept(replace(FOUR, host="10.0.0.5"))
    assert queries.node_records(state.db)[3].host == "10.0.0.5"
    assert state.reject(replace(FOUR, name="five")).code == "AlreadyExists"


def test_another_disk_under_a_known_name_is_told_what_to_do(state: MemoryState) -> None:
    stranger = replace(FOUR, name="two")
    refusal = state.reject(stranger)
    assert refusal.code == "AlreadyExists" and "recover two" in refusal.message


def test_a_welcomed_disk_takes_the_place_of_the_old_one_and_the_old_one_never_comes_back(state: MemoryState) -> None:
    stranger, old_disk = replace(FOUR, name="two"), disk_of(state, "two")
    chunk = put_chunk(state, 1, (1, 2))
    state.accept(WelcomeDisk(header(), "two", HOUR_MS))
    assert state.reject(stranger).code == "PreconditionFailed", "the map says that the old one lives"
    state.db.execute("UPDATE placement SET state = 'down' WHERE node_no = 2")
    assert state.accept(stranger).facts == {"node_no": 0}
    assert state.accept(stranger).facts == {"node_no": 0}, "until it has left"
    assert state.reject(RetireNode(header(), 1, TWO)).code == "PreconditionFailed", "it votes"
    left = {name: disk for name, disk in queries.voters(state.db).items() if name != "two"}
    state.accept(SetVoters(header(), 1, tuple(left.items())))
    state.accept(RetireNode(header(), 1, TWO))
    assert state.accept(stranger).facts == {"node_no": 4}
    assert state.reject(replace(stranger, disk_uuid=old_disk)).code == "AlreadyExists"
    assert state.accept(StripCopies(header(), 1, TWO, 100)).facts == {"stripped": 1, "more": False}
    assert queries.chunk_replicas(state.db, [chunk]) == {chunk: (ONE,)}


def test_a_welcome_ends_by_log_time_and_by_word(state: MemoryState) -> None:
    stranger = replace(FOUR, name="two")
    state.db.execute("UPDATE placement SET state = 'down' WHERE node_no = 2")
    state.accept(WelcomeDisk(header(), "two", 1000))
    state.accept(WelcomeDisk(header(), "two", 0))
    assert state.reject(stranger).code == "AlreadyExists"
    until = state.accept(WelcomeDisk(header(), "two", 1000)).facts["until_ms"]
    late = replace(stranger, header=replace(stranger.header, at_ms=until + 1))
    assert state.reject(late).code == "AlreadyExists"


def test_a_drained_node_is_avoided_at_once_and_may_be_filled_again(state: MemoryState) -> None:
    epoch = queries.placement_map(state.db).epoch
    state.accept(DrainNode(header(), "two", True))
    assert [node.state for node in queries.placement_map(state.db).nodes] == ["up", "draining", "up"]
    assert queries.placement_map(state.db).epoch == epoch + 1
    assert list(queries.node_intents(state.db)) == [TWO]
    state.accept(DrainNode(header(), "two", False))
    assert [node.state for node in queries.placement_map(state.db).nodes] == ["up", "up", "up"]
    assert not queries.node_intents(state.db)


def test_what_a_node_holds_that_the_others_lack_is_counted(state: MemoryState) -> None:
    put_chunk(state, 1, (1, 2, 3))
    put_chunk(state, 2, (1,))
    report = queries.drain_report(state.db, ONE, (TWO, THREE))
    assert report == DrainReport(chunks=2, bytes=200, needed=2, needed_bytes=200, only_here=1)
    state.accept(FOUR)
    put_chunk(state, 3, (1, 2, 3, 4))
    assert queries.drain_report(state.db, ONE, (TWO, THREE, NodeNo(4))).needed == 2
    assert queries.drain_report(state.db, NodeNo(4), (ONE, TWO, THREE)).is_safe


def test_only_an_emptied_node_goes_without_force(state: MemoryState) -> None:
    refusal = state.reject(RemoveNode(header(), "two"))
    assert refusal.code == "PreconditionFailed" and "drain two" in refusal.message
    state.accept(DrainNode(header(), "two", True))
    retire(state, "two", forced=False)
    assert [record.name for record in queries.node_records(state.db)] == ["one", "three"]
    assert [node.node_no for node in queries.placement_map(state.db).nodes] == [ONE, THREE]
    assert queries.retired_nodes(state.db)[0].is_stripped


def test_the_last_node_stays(state: MemoryState) -> None:
    retire(state, "two")
    state.accept(RemoveNode(header(), "three", True))
    assert state.reject(RemoveNode(header(), "one", True)).code == "PreconditionFailed"


def test_copies_of_a_removed_node_are_taken_out_in_steps_and_then_missed(state: MemoryState) -> None:
    chunks = [put_chunk(state, number, (1, 2, 3)) for number in range(1, 6)]
    assert queries.usage(state.db).missing_chunks == 0
    node_no = retire(state, "two")
    check_state(state.db)
    assert state.accept(StripCopies(header(), 1, node_no, 3)).facts == {"stripped": 3, "more": True}
    check_state(state.db)
    assert queries.usage(state.db).missing_chunks == 3
    assert state.accept(StripCopies(header(), 1, node_no, 3)).facts == {"stripped": 2, "more": False}
    assert queries.chunk_replicas(state.db, chunks) == dict.fromkeys(chunks, (ONE, THREE))
    assert queries.retired_nodes(state.db)[0].is_stripped


def test_a_write_does_not_rely_on_copies_of_a_removed_node(state: MemoryState) -> None:
    chunk = put_chunk(state, 1, (2,))
    retire(state, "two")
    again = PutFile(header(), "admin/again", 100, b"h" * 32, "e", "", {}, {}, None, ((chunk, 100),), ((),))
    assert state.reject(again).code == "ChunksMissing"
    state.accept(replace(again, header=header(), replicas=((THREE,),)))
    assert queries.chunk_replicas(state.db, [chunk]) == {chunk: (THREE,)}


def test_a_removed_number_is_never_given_again(state: MemoryState) -> None:
    state.accept(FOUR)
    retire(state, "four")
    assert state.accept(replace(FOUR, disk_uuid="another")).facts == {"node_no": 5}


