"""The request window and the change feed: bounded, cut deterministically, and true while they last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from fluffy.base.ids import RequestId
from fluffy.base.units import DAY_MS
from fluffy.core.metadata import changes, dedup, queries
from fluffy.core.metadata.commands import Command, MakeFolder, RemoveFolder
from fluffy.core.metadata.outcomes import Rejected
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import delete, expire, forget, put, put_chunks, replicas
from tests.support.metadata_recount import check_state


@pytest.fixture
def state() -> Iterator[MemoryState]:
    born = MemoryState()
    yield born
    check_state(born.db)
    born.close()


def window(state: MemoryState) -> int:
    return int(state.db.execute("SELECT count(*) FROM requests").fetchone()[0])


def test_a_repeated_request_is_answered_from_the_window_after_a_restart(state: MemoryState) -> None:
    commands: list[Command] = [
        put("admin/a"), put("admin/a", if_none_match=True), delete("admin/a"), delete("admin/none"),
        MakeFolder(header(), "admin/d"), RemoveFolder(header(), "admin/d"), put_chunks("admin/c", 1),
        replicas(removed=((1, 1),)), expire(at_ms=1), forget(1, at_ms=1)]
    first = [state.run(command) for command in commands]
    seq = state.machine.seq
    again = state.reopened()
    assert [again.run(command) for command in commands] == first
    assert again.machine.seq == seq


def test_a_request_is_repeated_in_the_transaction_that_first_had_it(state: MemoryState) -> None:
    """Where the table does not have its answer yet, nor the feed its change."""
    first, other = put("admin/a", b"one"), put("admin/b", b"two")
    state.machine.begin()
    [answer] = state.machine.apply(state.machine.applied_index + 1, 1, [first])
    repeated = state.machine.apply(state.machine.applied_index + 1, 1, [
        first, replace(other, header=first.header), other, first])
    state.machine.commit()
    assert repeated[0] == repeated[3] == answer
    assert isinstance(repeated[1], Rejected) and repeated[1].code == "RequestIdReused"
    assert [change.path for change in queries.changes(state.db, 1, 10)] == ["admin/a", "admin/b"]
    assert state.reopened().run(first) == [answer]


def test_an_id_used_for_something_else_is_refused(state: MemoryState) -> None:
    first = put("admin/a", b"one")
    state.accept(first)
    for other in (put("admin/b", b"one", header=first.header), put("admin/a", b"two", header=first.header),
                  replace(delete("admin/a"), header=first.header)):
        assert state.reject(other).code == "RequestIdReused"
    assert state.accept(first).facts["generation"] == 1, "and the first answer stands"


def test_without_an_id_nothing_is_remembered(state: MemoryState) -> None:
    kept = window(state)
    anonymous = replace(header(), request_id=RequestId(b""))
    for generation in (1, 2):
        assert state.accept(put("admin/a", header=anonymous)).facts["generation"] == generation
    assert window(state) == kept
    assert state.reject(put("admin/a", header=replace(header(), request_id=RequestId(b"x")))).code == "RequestError"


def test_the_window_is_bounded_by_count(state: MemoryState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "REQUESTS_MAX", 50)
    monkeypatch.setattr(dedup, "EVICT_BATCH", 10)
    commands = [put(f"admin/{number}") for number in range(200)]
    state.run(*commands)
    assert 50 <= window(state) <= 60
    assert state.accept(commands[-50]).facts["generation"] == 1, "remembered"
    assert state.accept(commands[0]).facts["generation"] == 2, "forgotten"
    check_state(state.db)
    assert 50 <= window(state.reopened()) <= 60


def test_the_window_is_bounded_by_log_time(state: MemoryState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "EVICT_BATCH", 10)
    old = [put(f"admin/{number}", at_ms=1_000) for number in range(30)]
    state.run(*old)
    assert window(state) == 31
    state.run(*[put(f"admin/x{number}", at_ms=1_000 + dedup.REQUESTS_AGE_MAX_MS) for number in range(20)])
    assert window(state) <= 29
    assert state.accept(old[0]).facts["generation"] == 2


def test_where_batches_end_does_not_decide_what_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "REQUESTS_MAX", 20)
    monkeypatch.setattr(dedup, "EVICT_BATCH", 7)
    monkeypatch.setattr(changes, "CHANGES_MAX", 30)
    monkeypatch.setattr(changes, "CUT_BATCH", 4)
    genesis = genesis_command(at_ms=0)
    commands: list[Command] = [put(f"admin/{number % 40}", at_ms=number * DAY_MS // 30) for number in range(150)]
    digests = set()
    for size in (1, 13, 150):
        with closing(MemoryState(genesis)) as state:
            for at in range(0, len(commands), size):
                state.run(*commands[at:at + size])
                state = state.reopened()
            digests.add(state.machine.digest())
            check_state(state.db)
    assert len(digests) == 1


def test_the_feed_tells_every_change_in_order(state: MemoryState) -> None:
    state.accept(put("new/d/a", b"one"))
    state.accept(put("new/d/a", b"three"))
    state.accept(delete("new/d/a"))
    state.accept(put("new/d/b"))
    state.accept(delete("new/d/b", purge=True))
    state.accept(RemoveFolder(header(), "new/d"))
    state.accept(RemoveFolder(header(), "new"))
    feed = queries.changes(state.db, 1, 100)
    assert [(change.kind, change.path, change.generation, change.size) for change in feed] == [
        ("bucket-made", "new", 0, 0), ("folder-made", "new/d", 0, 0), ("file-put", "new/d/a", 1, 3),
        ("file-put", "new/d/a", 2, 5), ("file-deleted", "new/d/a", 2, 0), ("file-put", "new/d/b", 1, 4),
        ("file-purged", "new/d/b", 1, 0), ("folder-removed", "new/d", 0, 0), ("bucket-removed", "new", 0, 0)]
    assert [change.seq for change in feed] == list(range(2, 11)) and feed[-1].seq == state.machine.seq
    assert queries.changes(state.db, 5, 2) == feed[4:6]
    assert {change.owner for change in feed} == {"admin"}


def test_the_feed_is_bounded_and_says_where_it_was_cut(state: MemoryState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "CHANGES_MAX", 20)
    monkeypatch.setattr(changes, "CUT_BATCH", 5)
    assert queries.changes_cut(state.db) == 0
    state.run(*[put(f"admin/{number}") for number in range(100)])
    feed = queries.changes(state.db, 0, 1_000)
    assert 20 <= len(feed) < 25
    assert feed[0].seq == queries.changes_cut(state.db) + 1 and feed[-1].seq == state.machine.seq
