"""Copies, references and the grace of chunks; versions that expire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluffy.base.ids import UserNo
from fluffy.base.paths import parse_path
from fluffy.base.units import DAY_MS
from fluffy.core.metadata import queries, versions
from fluffy.core.metadata.commands import ExpireVersions, ForgetChunks, ReplicasChanged
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import chunk, delete, expire, forget, insert_user, nodes, put, put_chunks, replicas
from tests.support.metadata_recount import check_state


@pytest.fixture
def state() -> Iterator[MemoryState]:
    born = MemoryState(genesis_command(at_ms=0, trash_days=2, versions_max=5))
    yield born
    check_state(born.db)
    born.close()


def missing(state: MemoryState) -> list[int]:
    return [int.from_bytes(found.chunk_id, "big") for found in queries.missing_chunks(state.db, None, 100)]


def test_copies_come_and_go(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1, 2, on=(1, 2)))
    assert missing(state) == [1, 2]
    facts = state.accept(replicas(added=((1, 3), (2, 3), (7, 3)), removed=((2, 1),))).facts
    assert facts == {"added": 2, "removed": 1, "unknown": 1}
    assert missing(state) == [2]
    assert queries.chunk_replicas(state.db, [chunk(1), chunk(2), chunk(7)]) == {
        chunk(1): (1, 2, 3), chunk(2): (2, 3)}
    seq = state.machine.seq
    assert state.accept(replicas(added=((1, 3),), removed=((2, 1),))).facts == {"added": 0, "removed": 0, "unknown": 0}
    assert state.machine.seq == seq, "what changed nothing is no change"


def test_a_chunk_may_lose_all_copies_and_stays_listed(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1))
    state.accept(replicas(removed=((1, 1), (1, 2), (1, 3))))
    [lost] = queries.missing_chunks(state.db, None, 10)
    assert (lost.replicas, lost.wanted, lost.length) == ((), 3, 1 << 20)
    assert state.reject(put_chunks("admin/b", 1, on=())).code == "ChunksMissing"


def test_unknown_nodes_are_refused_whole(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1, on=(1, 2)))
    assert state.reject(replicas(added=((1, 3), (1, 9)))).code == "NodeNotFound"
    assert missing(state) == [1]


def test_only_the_cluster_or_an_admin_reports_copies_and_cleans_up(state: MemoryState) -> None:
    insert_user(state.db, 2, "bob")
    for user_no in (2, 9):
        by = UserNo(user_no)
        for command in (ReplicasChanged(header(by), (), ()), ForgetChunks(header(by), 1, (), 0),
                        ExpireVersions(header(by), 1, 1)):
            assert state.reject(command).code == "AccessDenied"
    state.accept(ReplicasChanged(header(UserNo(1)), (), ()))


def test_unreferenced_chunks_wait_for_their_grace(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1, at_ms=100))
    state.accept(delete("admin/a", purge=True, at_ms=1_000))
    assert queries.unreferenced_chunks(state.db, 1_000, 10) == ()
    assert queries.unreferenced_chunks(state.db, 1_001, 10) == (chunk(1),)
    assert queries.usage(state.db).chunks == 1, "its bytes still take room"
    state.accept(replicas(removed=((1, 3),), at_ms=1_500))  # does not start the grace again
    assert state.accept(forget(1, 9, at_ms=1_999, grace_ms=1_000)).facts == {"forgotten": 0, "skipped": 2}
    assert state.accept(forget(1, 9, at_ms=2_000, grace_ms=1_000)).facts == {"forgotten": 1, "skipped": 1}
    assert queries.known_chunks(state.db, [chunk(1)]) == set()
    assert [member.chunks for member in queries.members(state.db)] == [0, 0, 0]


def test_a_chunk_used_again_is_not_forgotten(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1, at_ms=100))
    state.accept(delete("admin/a", purge=True, at_ms=1_000))
    state.accept(put_chunks("admin/b", 1, on=(), at_ms=1_500))
    assert queries.unreferenced_chunks(state.db, 10_000, 10) == ()
    assert state.accept(forget(1, at_ms=9_000)).facts == {"forgotten": 0, "skipped": 1}
    state.accept(delete("admin/b", purge=True, at_ms=10_000))
    assert state.accept(forget(1, at_ms=10_500, grace_ms=1_000)).facts["forgotten"] == 0, "the grace begins anew"


def test_a_put_that_relies_on_a_forgotten_chunk_is_told_to_send_it(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", 1))
    state.accept(delete("admin/a", purge=True))
    state.accept(forget(1, at_ms=2_000))
    assert state.reject(put_chunks("admin/b", 1, on=())).code == "ChunksMissing"
    state.accept(put_chunks("admin/b", 1, on=(1, 2)))


def test_leader_work_of_another_term_is_refused(state: MemoryState) -> None:
    state.term = 5
    for term in (4, 6):
        assert state.reject(forget(1, at_ms=1, term=term)).code == "TermStale"
        refusal = state.reject(expire(at_ms=1, term=term))
        assert refusal.code == "TermStale" and refusal.facts == {"term": term, "newest": 5}
    state.accept(expire(at_ms=1, term=5))
    assert state.reject(forget(1, at_ms=1, term=5, grace_ms=1 << 62)).code == "RequestError"


def test_trash_expires_after_its_days_and_leaves_no_trace(state: MemoryState) -> None:
    state.accept(put_chunks("admin/d/a", 1, at_ms=0))
    state.accept(delete("admin/d/a", at_ms=1_000))
    assert state.accept(expire(at_ms=2 * DAY_MS)).facts == {"freed": 0, "more": False}
    assert state.accept(expire(at_ms=2 * DAY_MS + 1_000)).facts == {"freed": 1, "more": False}
    assert queries.file_version(state.db, parse_path("admin/d/a"), 1) is None
    assert state.db.execute("SELECT count(*) FROM tombs").fetchone() == (0,)
    last = queries.changes(state.db, 0, 100)[-1]
    assert (last.kind, last.path, last.generation, last.owner) == ("file-purged", "admin/d/a", 1, "admin")
    assert state.accept(put("admin/d/a")).facts["generation"] == 2, "generations grow even so"


def test_replaced_versions_expire_and_the_current_one_never(state: MemoryState) -> None:
    for day in range(4):
        state.accept(put("admin/a", b"%d" % day, at_ms=day * DAY_MS))
    facts = state.accept(expire(at_ms=4 * DAY_MS)).facts
    assert facts == {"freed": 2, "more": False}  # replaced on days 1 and 2
    assert [bool(queries.file_version(state.db, parse_path("admin/a"), generation)) for generation in range(1, 5)] == [
        False, False, True, True]
    state.accept(expire(at_ms=400 * DAY_MS))
    assert queries.file_version(state.db, parse_path("admin/a")) is not None


def test_expiry_goes_on_in_steps(state: MemoryState) -> None:
    for number in range(7):
        state.accept(put(f"admin/{number}"))
        state.accept(delete(f"admin/{number}"))
    steps = [state.accept(expire(at_ms=9 * DAY_MS, limit=3)).facts for _ in range(4)]
    assert [step["freed"] for step in steps] == [3, 3, 1, 0]
    assert [step["more"] for step in steps] == [True, True, False, False]


def test_a_huge_purge_is_paid_in_parts_but_the_path_is_free_at_once(
        state: MemoryState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "SWEEP_CHUNKS_MAX", 10)
    for generation in range(4):
        state.accept(put_chunks("admin/a", *range(generation * 10, generation * 10 + 8)))
    state.accept(delete("admin/a", purge=True))
    assert queries.file_version(state.db, parse_path("admin/a"), 1) is None
    assert state.db.execute("SELECT count(*) FROM versions").fetchone() == (3,), "one freed, three condemned"
    check_state(state.db)
    state.accept(put("admin/b"))
    state.accept(put("admin/b"))  # an update pays for what was condemned
    assert state.db.execute("SELECT count(*) FROM versions WHERE retired_ms = 0").fetchone()[0] < 3
    for _ in range(3):
        state.accept(expire(at_ms=2_000))
    assert state.db.execute("SELECT count(*) FROM versions WHERE retired_ms = 0").fetchone() == (0,)
    assert queries.usage(state.db).missing_chunks == 0


def test_chunks_of_a_node_are_found_by_pages(state: MemoryState) -> None:
    state.accept(put_chunks("admin/a", *range(10), on=(1, 2)))
    state.accept(put_chunks("admin/b", *range(10, 20), on=(2, 3)))
    first = queries.chunks_of_node(state.db, nodes(3)[0], None, 4)
    second = queries.chunks_of_node(state.db, nodes(3)[0], first[-1], 100)
    assert [*first, *second] == [chunk(number) for number in range(10, 20)]
    assert len(queries.chunks_of_node(state.db, nodes(2)[0], None, 100)) == 20
    pages = queries.missing_chunks(state.db, None, 15)
    rest = queries.missing_chunks(state.db, pages[-1].chunk_id, 15)
    assert [found.chunk_id for found in (*pages, *rest)] == [chunk(number) for number in range(20)]
