"""Birth, placement map, feature level, tokens."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from blake3 import blake3

from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import FeatureTooNew
from fluffy.base.ids import ClusterUuid, NodeNo, UserNo
from fluffy.core.metadata import apply_cluster, apply_users, queries
from fluffy.core.metadata.commands import AddToken, NodeState, PublishPlacement, SetFeatureLevel
from fluffy.core.metadata.machine import open_state
from tests.support.local_log import ADMIN_TOKEN, genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import CLUSTER, insert_user, put
from tests.support.metadata_recount import check_state

HEADER = header(at_ms=2)
NEWER_LEVEL = apply_cluster.FEATURE_LEVEL + 1
UP = tuple(NodeState(NodeNo(no), "up", "a", 10) for no in (1, 2, 3))


@pytest.fixture
def state() -> Iterator[MemoryState]:
    born = MemoryState()
    yield born
    check_state(born.db)
    born.close()


def publish(epoch: int, nodes: tuple[NodeState, ...] = UP, term: int = 1,
            user_no: UserNo = CLUSTER) -> PublishPlacement:
    return PublishPlacement(header(user_no), term, epoch, nodes)


def test_genesis_makes_settings_members_admin_and_its_bucket() -> None:
    command = genesis_command(at_ms=77)
    with closing(MemoryState(command)) as state:
        cluster = queries.cluster_state(state.db)
        assert cluster is not None
        assert cluster.cluster_uuid == command.cluster_uuid == state.machine.cluster_uuid
        assert cluster.settings.replication == 3 and cluster.settings.write_quorum == 2
        assert (cluster.clock_ms, cluster.applied_index, cluster.feature_level) == (77, 1, 1)
        assert queries.node_records(state.db) == command.nodes
        admin = queries.user_by_token_hash(state.db, blake3(ADMIN_TOKEN.encode()).digest())
        assert admin is not None and (admin.user_no, admin.name, admin.role) == (1, "admin", "admin")
        assert admin == queries.user_by_name(state.db, "admin")
        assert [bucket.path for bucket in queries.buckets(state.db)] == ["admin"]
        placement = queries.placement_map(state.db)
        assert placement.epoch == 0
        assert [(node.node_no, node.state, node.weight) for node in placement.nodes] == [
            (1, "up", 1), (2, "up", 1), (3, "up", 1)]


def test_before_genesis_there_is_nothing() -> None:
    with closing(MemoryState(born=False)) as state:
        assert state.reject(put("admin/a")).code == "NotReady"
        assert queries.cluster_state(state.db) is None
        assert queries.node_records(state.db) == () and queries.placement_map(state.db).nodes == ()


def test_a_second_genesis_is_refused_with_the_uuid_of_the_first(state: MemoryState) -> None:
    first = queries.cluster_state(state.db)
    assert first is not None
    refusal = state.reject(genesis_command())
    assert refusal.code == "AlreadyExists" and refusal.facts == {"cluster_uuid": first.cluster_uuid}


def test_the_same_genesis_again_is_the_same_birth() -> None:
    command = genesis_command()
    with closing(MemoryState(command)) as state:
        assert state.accept(command).facts == {"cluster_uuid": command.cluster_uuid}


@pytest.mark.parametrize("wrong", [
    {"nodes": ()}, {"replication": 0}, {"write_quorum": 0}, {"write_quorum": 4}, {"replication": 17, "write_quorum": 9},
    {"chunk_size": 1}, {"chunk_size": 65 << 20}, {"inline_max": 1 << 20}, {"trash_days": 99_999}, {"versions_max": 0},
    {"admin_token_hash": b""}, {"cluster_name": ""}, {"cluster_uuid": ClusterUuid("\ud800")}, {"admin_name": "x" * 300},
])
def test_a_genesis_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with closing(MemoryState(born=False)) as state:
        assert state.reject(replace(genesis_command(), **wrong)).code == "RequestError"


@pytest.mark.parametrize("name", ["..", "a/b", "a\n"])
def test_the_admin_needs_a_name_that_can_be_a_bucket(name: str) -> None:
    with closing(MemoryState(born=False)) as state:
        assert state.reject(replace(genesis_command(), admin_name=name)).code == "NameIllegal"


@pytest.mark.parametrize("wrong", [
    {"node_no": 0}, {"node_no": 1 << 14}, {"node_no": 2}, {"name": "two"}, {"name": ""}, {"http": 65_536}, {"zone": ""},
    {"host": "\ud800"}])
def test_members_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    command = genesis_command()
    nodes = (replace(command.nodes[0], **wrong), *command.nodes[1:])
    with closing(MemoryState(born=False)) as state:
        assert state.reject(replace(command, nodes=nodes)).code == "RequestError"
        twin = replace(command.nodes[0], disk_uuid=command.nodes[1].disk_uuid)
        assert state.reject(replace(genesis_command(), nodes=(twin, *command.nodes[1:]))).code == "RequestError"


def test_the_placement_map_is_replaced_epoch_by_epoch(state: MemoryState) -> None:
    down = (UP[0], replace(UP[1], state="down"))
    assert state.accept(publish(1, down)).facts == {"epoch": 1}
    assert queries.placement_map(state.db).nodes == down
    assert [member.state for member in queries.members(state.db)] == ["up", "down", "joining"]
    for epoch in (0, 1, 3):
        refusal = state.reject(publish(epoch))
        assert refusal.code == "PreconditionFailed" and refusal.facts == {"epoch": 1}
    state.accept(publish(2))
    assert queries.placement_map(state.db).epoch == 2


def test_a_placement_map_of_another_term_is_refused(state: MemoryState) -> None:
    state.term = 3
    assert state.reject(publish(1, term=2)).code == "TermStale"
    assert state.reject(publish(1, term=4)).code == "TermStale"
    state.accept(publish(1, term=3))


@pytest.mark.parametrize(("nodes", "code"), [
    ((), "RequestError"), ((UP[0], UP[0]), "RequestError"), ((replace(UP[0], state="odd"),), "RequestError"),
    ((replace(UP[0], weight=0),), "RequestError"), ((replace(UP[0], weight=1 << 60),), "RequestError"),
    ((replace(UP[0], zone=""),), "RequestError"), ((replace(UP[0], node_no=NodeNo(4)),), "NodeNotFound")])
def test_bad_placement_maps_are_refused(state: MemoryState, nodes: tuple[NodeState, ...], code: str) -> None:
    assert state.reject(publish(1, nodes)).code == code
    assert state.reject(publish(1, user_no=UserNo(9))).code == "AccessDenied"
    assert queries.placement_map(state.db).epoch == 0


def test_tokens(state: MemoryState) -> None:
    def add(user: str, token: bytes, label: str = "laptop", by: int = 1) -> AddToken:
        return AddToken(header(UserNo(by)), user, token, label)
    insert_user(state.db, 2, "bob")
    state.accept(add("bob", b"t" * 32))
    found = queries.user_by_token_hash(state.db, b"t" * 32)
    assert found is not None and found.name == "bob"
    state.accept(add("bob", b"t" * 32))
    assert state.reject(add("admin", b"t" * 32)).code == "AlreadyExists"
    assert state.reject(add("none", b"u" * 32)).code == "UserNotFound"
    assert state.reject(add("\ud800", b"u" * 32)).code == "UserNotFound"
    assert state.reject(add("bob", b"u")).code == "RequestError"
    assert state.reject(add("bob", b"u" * 32, label="x" * 300)).code == "RequestError"
    assert state.reject(add("admin", b"u" * 32, by=2)).code == "AccessDenied"
    assert queries.user_by_token_hash(state.db, b"u" * 32) is None


def test_tokens_are_bounded(state: MemoryState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply_users, "TOKENS_MAX", 2)
    state.accept(AddToken(header(), "admin", b"1" * 32, ""))
    assert state.reject(AddToken(header(), "admin", b"2" * 32, "")).code == "TooLarge"


def test_the_feature_level_never_falls(state: MemoryState) -> None:
    assert state.accept(SetFeatureLevel(header(CLUSTER), 0)).facts == {"level": 1}
    assert state.accept(SetFeatureLevel(header(CLUSTER), 1)).facts == {"level": 1}
    insert_user(state.db, 2, "bob")
    assert state.reject(SetFeatureLevel(header(UserNo(2)), 99)).code == "AccessDenied"


def test_a_level_this_program_does_not_know_stops_it_and_keeps_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(MemoryState()) as state:
        with pytest.raises(FeatureTooNew):
            state.run(SetFeatureLevel(header(CLUSTER), NEWER_LEVEL))
        state.db.execute("ROLLBACK")
        monkeypatch.setattr(apply_cluster, "FEATURE_LEVEL", NEWER_LEVEL)  # a newer program
        again = state.reopened()
        again.accept(SetFeatureLevel(header(CLUSTER), NEWER_LEVEL))
        monkeypatch.undo()
        with pytest.raises(FeatureTooNew):
            open_state(state.db)


def test_entries_are_applied_in_order_and_inside_a_transaction() -> None:
    with closing(MemoryState()) as state:
        with pytest.raises(InvariantBroken):
            state.machine.apply(2, 1, [])
        state.machine.begin()
        for index, term in ((1, 1), (2, 0)):
            with pytest.raises(InvariantBroken):
                state.machine.apply(index, term, [])
        with pytest.raises(InvariantBroken):
            state.machine.digest()
        state.machine.apply(2, 1, [])
        state.machine.commit()
        assert (state.machine.applied_index, state.machine.applied_term) == (2, 1)


def test_what_was_not_committed_never_happened(tmp_path: Any) -> None:
    path = tmp_path / "meta.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        machine = open_state(db)
        machine.begin()
        machine.apply(1, 1, [genesis_command()])
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        machine = open_state(db)
        assert machine.applied_index == 0 and machine.cluster_uuid is None


def test_the_digest_tells_states_apart_and_ignores_pages_and_indexes(tmp_path: Any) -> None:
    command = genesis_command(at_ms=1)
    with closing(MemoryState(command)) as one, closing(MemoryState(command)) as other:
        for state in (one, other):
            state.accept(put("admin/a", header=HEADER))
        other.db.execute("VACUUM")
        other.run()  # an entry without commands: another index, the same state
        assert one.machine.digest() == other.machine.digest()
        other.accept(put("admin/b"))
        assert one.machine.digest() != other.machine.digest()
