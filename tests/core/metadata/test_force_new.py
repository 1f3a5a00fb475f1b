"""A member that goes on alone is another cluster, sound, and one that others can join."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from fluffy.base.ids import ClusterUuid, NodeNo
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import FEATURE_LEVEL
from fluffy.core.metadata.commands_members import AdmitNode, StripCopies
from tests.support.jobs_commands import placement
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import CLUSTER, put, put_chunks
from tests.support.metadata_recount import check_state


def test_one_of_three_goes_on_alone() -> None:
    state = MemoryState(genesis_command(at_ms=0))
    with closing(state.db):
        state.accept(put("admin/a"))
        state.accept(put_chunks("admin/b", 1, 2))
        before = queries.cluster_state(state.db)
        assert before is not None
        state.machine.begin()
        assert state.machine.make_alone(NodeNo(2), ClusterUuid("another")) == ("one", "three")
        state.machine.commit()
        after = queries.cluster_state(state.db)
        assert after is not None and after.cluster_uuid == "another" and after.seq > before.seq
        assert [record.name for record in queries.node_records(state.db)] == ["two"]
        assert state.db.execute("SELECT name FROM voters").fetchall() == [("two",)]
        assert queries.changes_cut(state.db) == after.seq, "followers of the feed look at everything again"
        for no in (1, 3):
            state.accept(StripCopies(header(CLUSTER), state.term, NodeNo(no), 100))
        check_state(state.db)
        assert queries.usage(state.db).missing_chunks == 2, "what is only here now is to be copied"
        state.accept(put("admin/c"))
        admitted = state.accept(AdmitNode(header(CLUSTER), "one", "new disk", "z", "h", 1, 2, 3, 4))
        assert admitted.facts["node_no"] == 4, "a number never comes back"
        check_state(state.reopened().db)


def test_who_was_down_before_is_up_from_now_on() -> None:
    genesis = replace(genesis_command(at_ms=0), feature_level=FEATURE_LEVEL)
    state = MemoryState(genesis)
    with closing(state.db):
        state.accept(placement(1, "up", "down", "up", at_ms=5_000))
        state.accept(put("admin/a"))
        state.machine.begin()
        state.machine.make_alone(NodeNo(2), ClusterUuid("another"))
        state.machine.commit()
        [health] = queries.node_healths(state.db)
        cluster = queries.cluster_state(state.db)
        assert cluster is not None
        assert (health.node_no, health.down_since_ms, health.since_ms) == (2, 0, cluster.clock_ms)
