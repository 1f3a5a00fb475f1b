"""Locks: who gets one, whom it keeps out, when it ends; by example, and against a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fluffy.base.ids import UserNo
from fluffy.base.paths import parse_path
from fluffy.core.metadata import apply_locks, queries
from fluffy.core.metadata.commands import DeleteFile, MakeFolder, RemoveFolder
from fluffy.core.metadata.commands_people import (
    AcquireLock,
    AddUser,
    ChangeUser,
    ReleaseLock,
    RemoveUser,
    RenewLock,
    SetGrant,
)
from fluffy.core.metadata.outcomes import Accepted, Rejected
from tests.support.local_log import header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import put
from tests.support.metadata_recount import check_state

ADMIN, BOB, EVE = UserNo(1), UserNo(2), UserNo(4)
ONE, TWO, THREE = b"1" * 32, b"2" * 32, b"3" * 32
TTL_MS = 10_000


class Locked(MemoryState):
    """Two writers in one bucket."""

    def __init__(self) -> None:
        super().__init__()
        assert self.accept(AddUser(header(at_ms=0), "bob", "user")).facts["user_no"] == BOB
        assert self.accept(AddUser(header(at_ms=0), "eve", "user")).facts["user_no"] == EVE
        self.accept(SetGrant(header(at_ms=0), "bob", "eve", "write"))

    def lock(self, user_no: UserNo, path: str, token: bytes, mode: str = "exclusive", *, at_ms: int = 1_000,
             ttl_ms: int = TTL_MS) -> Accepted | Rejected:
        [outcome] = self.run(AcquireLock(header(user_no, at_ms), path, mode, ttl_ms, token, "note"))
        return outcome

    def write(self, user_no: UserNo, path: str, token: bytes = b"", *, at_ms: int = 1_000) -> str | None:
        """None when it was accepted, else the code of the refusal."""
        [outcome] = self.run(put(path, header=header(user_no, at_ms), lock=token))
        return getattr(outcome, "code", None)


@pytest.fixture
def state() -> Iterator[Locked]:
    made = Locked()
    yield made
    check_state(made.db)
    assert made.reopened().machine.digest() == made.machine.digest()
    made.close()


def test_a_lock_keeps_everybody_else_from_writing_and_names_its_holder(state: Locked) -> None:
    taken = state.lock(BOB, "bob/a", ONE)
    assert isinstance(taken, Accepted) and taken.facts["expires_ms"] == 11_000
    refusal = state.reject(put("bob/a", header=header(EVE, 1_000)))
    assert refusal.code == "FileLocked"
    assert refusal.facts == {"holder": "bob", "expires_ms": 11_000, "path": "/bob/a", "mode": "exclusive",
                             "note": "note"}
    assert state.write(ADMIN, "bob/a") == "FileLocked" and state.write(BOB, "bob/a") == "FileLocked"
    assert state.write(EVE, "bob/a", ONE) == "FileLocked", "another user's token does not help"
    assert state.write(BOB, "bob/a", ONE) is None
    assert state.write(EVE, "bob/b") is None
    assert state.reject(DeleteFile(header(EVE, 1_000), "bob/a")).code == "FileLocked"
    state.accept(DeleteFile(header(BOB, 1_000), "bob/a", lock=ONE))


def test_a_lock_on_a_folder_covers_all_below_and_one_inside_keeps_the_folder(state: Locked) -> None:
    state.lock(BOB, "bob/d", ONE)
    assert state.write(EVE, "bob/d/e/f") == "FileLocked" and state.write(BOB, "bob/d/e/f", ONE) is None
    assert state.reject(MakeFolder(header(EVE, 1_000), "bob/d/x")).code == "FileLocked"
    assert state.write(EVE, "bob/dd") is None
    state.accept(ReleaseLock(header(BOB, 1_000), ONE))
    state.accept(MakeFolder(header(EVE, 1_000), "bob/g"))
    state.lock(BOB, "bob/g/file", TWO)
    assert state.reject(RemoveFolder(header(EVE, 1_000), "bob/g")).code == "FileLocked"
    state.accept(RemoveFolder(header(BOB, 1_000), "bob/g", TWO))


def test_a_token_that_is_no_lock_any_more_stops_the_write(state: Locked) -> None:
    state.lock(BOB, "bob/a", ONE)
    assert state.write(BOB, "bob/b", ONE) == "LockLost", "it covers another path"
    assert state.write(BOB, "bob/a", TWO, at_ms=10_999) == "FileLocked"
    assert state.write(BOB, "bob/a", ONE, at_ms=11_000) == "LockLost"
    assert state.write(EVE, "bob/a", at_ms=11_000) is None, "it has ended"
    assert state.reject(RenewLock(header(BOB, 11_000), ONE, TTL_MS)).code == "LockNotFound"
    assert state.reject(ReleaseLock(header(BOB, 11_000), ONE)).code == "LockNotFound"


def test_shared_locks_are_shared_and_nobody_writes_under_two(state: Locked) -> None:
    assert isinstance(state.lock(BOB, "bob/a", ONE, "shared"), Accepted)
    assert state.write(BOB, "bob/a", ONE) is None
    assert isinstance(state.lock(EVE, "bob", TWO, "shared"), Accepted)
    assert state.write(BOB, "bob/a", ONE) == "FileLocked" and state.write(EVE, "bob/a", TWO) == "FileLocked"
    for path in ("bob/a", "bob", "bob/b"):
        outcome = state.lock(BOB, path, THREE)
        assert isinstance(outcome, Rejected) and outcome.code == "FileLocked", path
    state.accept(ReleaseLock(header(EVE, 1_000), TWO))
    assert state.write(BOB, "bob/a", ONE) is None
    assert isinstance(state.lock(BOB, "bob/b", THREE), Accepted)


def test_renewing_extends_and_never_shortens(state: Locked) -> None:
    first = state.lock(BOB, "bob/a", ONE)
    assert isinstance(first, Accepted)
    renewed = state.accept(RenewLock(header(BOB, 5_000), ONE, TTL_MS))
    assert renewed.facts == {"expires_ms": 15_000, "fence": first.facts["fence"]}
    assert state.accept(RenewLock(header(BOB, 5_000), ONE, 1_000)).facts["expires_ms"] == 15_000
    assert state.reject(RenewLock(header(EVE, 5_000), ONE, TTL_MS)).code == "LockNotFound"
    assert state.reject(RenewLock(header(BOB, 5_000), ONE, 10**9)).code == "RequestError"
    assert state.write(EVE, "bob/a", at_ms=14_999) == "FileLocked"


def test_the_same_token_again_is_the_same_lock(state: Locked) -> None:
    first = state.lock(BOB, "bob/a", ONE)
    second = state.lock(BOB, "bob/a", ONE)
    assert isinstance(first, Accepted) and isinstance(second, Accepted) and first.facts == second.facts
    for user_no, path, mode in ((BOB, "bob/b", "exclusive"), (BOB, "bob/a", "shared"), (EVE, "bob/a", "exclusive")):
        outcome = state.lock(user_no, path, ONE, mode)
        assert isinstance(outcome, Rejected) and outcome.code == "RequestError"
    later = state.lock(EVE, "bob/a", ONE, at_ms=20_000)
    assert isinstance(later, Accepted) and later.facts["fence"] > first.facts["fence"]


def test_only_who_may_write_may_lock(state: Locked) -> None:
    state.accept(AddUser(header(at_ms=0), "ray", "readonly"))
    for user_no, path, code in ((EVE, "admin/a", "AccessDenied"), (UserNo(6), "ray/a", "AccessDenied"),
                                (BOB, "none/a", "BucketNotFound"), (BOB, "", "NameIllegal"),
                                (BOB, "bob/../x", "NameIllegal")):
        outcome = state.lock(user_no, path, ONE)
        assert isinstance(outcome, Rejected) and outcome.code == code, path


def test_bucket_admins_break_locks_and_it_is_in_the_audit_log(state: Locked) -> None:
    state.lock(EVE, "bob/a", ONE)
    assert state.reject(ReleaseLock(header(EVE, 1_000), path="bob/a")).code == "AccessDenied"
    assert state.reject(ReleaseLock(header(BOB, 1_000), path="bob")).code == "LockNotFound"
    assert state.accept(ReleaseLock(header(BOB, 1_000), path="bob/a")).facts == {"released": 1}
    assert state.write(EVE, "bob/a", ONE) == "LockLost"
    [row] = queries.audit(state.db, before=None, limit=1)
    assert (row.who, row.act, row.target) == ("bob", "break-lock", "/bob/a")


def test_a_holder_who_is_removed_or_disabled_holds_nothing_for_long(state: Locked) -> None:
    state.lock(EVE, "bob/a", ONE)
    state.accept(ChangeUser(header(at_ms=1_000), "eve", disabled=True))
    assert state.reject(RenewLock(header(EVE, 1_000), ONE, TTL_MS)).code == "LockNotFound"
    state.accept(RemoveUser(header(at_ms=1_000), "eve"))
    assert state.write(BOB, "bob/a") is None


def test_locks_are_bounded_and_ended_ones_make_room(state: Locked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply_locks, "LOCKS_OF_USER_MAX", 2)
    monkeypatch.setattr(apply_locks, "LOCKS_MAX", 3)
    for user_no, number in ((BOB, 1), (BOB, 2), (EVE, 3)):
        assert isinstance(state.lock(user_no, f"bob/{number}", bytes([number]) * 32), Accepted)
    for user_no, path in ((BOB, "bob/4"), (EVE, "bob/5")):
        outcome = state.lock(user_no, path, b"x" * 32)
        assert isinstance(outcome, Rejected) and outcome.code == "TooLarge"
    assert isinstance(state.lock(BOB, "bob/4", b"x" * 32, at_ms=11_000), Accepted)
    assert state.db.execute("SELECT count(*) FROM locks").fetchone() == (1,)


def test_what_readers_see_of_locks(state: Locked) -> None:
    state.lock(BOB, "bob/d", ONE, "shared")
    state.lock(EVE, "bob/d/a", TWO, "shared", ttl_ms=1_000)
    at = parse_path("bob/d/a")
    assert [(lock.path, lock.holder) for lock in queries.locks_at(state.db, at, 0)] == [
        ("bob/d", "bob"), ("bob/d/a", "eve")]
    assert [lock.path for lock in queries.locks_at(state.db, at, 2_000)] == ["bob/d"]
    assert [lock.path for lock in queries.locks_under(state.db, parse_path("bob"), 0, 0, 10)] == ["bob/d", "bob/d/a"]
    first = queries.locks_under(state.db, parse_path(""), 0, 0, 1)
    assert [lock.path for lock in queries.locks_under(state.db, parse_path(""), 0, first[0].fence, 5)] == ["bob/d/a"]
    assert queries.lock_in_the_way(state.db, at, "shared", 0) is None
    in_the_way = queries.lock_in_the_way(state.db, parse_path("bob"), "exclusive", 0)
    assert in_the_way is not None and in_the_way.holder == "bob"
    found = queries.lock_by_hash(state.db, TWO, 0)
    assert found is not None and found.expires_ms == 2_000
    assert queries.lock_by_hash(state.db, TWO, 2_000) is None


PATHS = ["bob", "bob/a", "bob/d", "bob/d/a", "bob/d/e/a"]
USERS = st.sampled_from([BOB, EVE])
TOKENS = st.sampled_from([ONE, TWO, THREE])


@dataclass
class Held:
    user_no: UserNo
    path: str
    mode: str
    ends_ms: int


def _meet(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


class LockMachine(RuleBasedStateMachine):
    """The model: a dictionary from token to what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Locked()
        self.now_ms = 1_000
        self.held: dict[bytes, Held] = {}

    def alive(self) -> dict[bytes, Held]:
        return {token: held for token, held in self.held.items() if held.ends_ms > self.now_ms}

    @rule(ms=st.sampled_from([1, 999, 3_000, 20_000]))
    def sleep(self, ms: int) -> None:
        self.now_ms += ms

    @rule(user_no=USERS, path=st.sampled_from(PATHS), token=TOKENS, shared=st.booleans(),
          ttl_ms=st.sampled_from([1_000, 5_000, 60_000]))
    def acquire(self, user_no: UserNo, path: str, token: bytes, shared: bool, ttl_ms: int) -> None:
        mode = "shared" if shared else "exclusive"
        outcome = self.state.lock(user_no, path, token, mode, at_ms=self.now_ms, ttl_ms=ttl_ms)
        alive = self.alive()
        own = alive.get(token)
        if own is not None:
            assert isinstance(outcome, Accepted) == ((own.user_no, own.path, own.mode) == (user_no, path, mode))
        elif any(_meet(path, held.path) and "exclusive" in (mode, held.mode) for held in alive.values()):
            assert isinstance(outcome, Rejected) and outcome.code == "FileLocked"
        else:
            assert isinstance(outcome, Accepted) and outcome.facts["expires_ms"] == self.now_ms + ttl_ms
            self.held[token] = Held(user_no, path, mode, self.now_ms + ttl_ms)

    @rule(user_no=USERS, token=TOKENS, ttl_ms=st.sampled_from([1_000, 60_000]))
    def renew(self, user_no: UserNo, token: bytes, ttl_ms: int) -> None:
        [outcome] = self.state.run(RenewLock(header(user_no, self.now_ms), token, ttl_ms))
        own = self.alive().get(token)
        assert isinstance(outcome, Accepted) == (own is not None and own.user_no == user_no)
        if own is not None and isinstance(outcome, Accepted):
            own.ends_ms = max(own.ends_ms, self.now_ms + ttl_ms)

    @rule(user_no=USERS, token=TOKENS)
    def release(self, user_no: UserNo, token: bytes) -> None:
        [outcome] = self.state.run(ReleaseLock(header(user_no, self.now_ms), token))
        own = self.alive().get(token)
        assert isinstance(outcome, Accepted) == (own is not None and own.user_no == user_no)
        if isinstance(outcome, Accepted):
            del self.held[token]

    @rule(user_no=USERS, path=st.sampled_from(["bob/a", "bob/b", "bob/d/a", "bob/d/f"]), token=TOKENS | st.just(b""))
    def write(self, user_no: UserNo, path: str, token: bytes) -> None:
        code = self.state.write(user_no, path, token, at_ms=self.now_ms)
        alive = self.alive()
        own = alive.get(token)
        mine = own is not None and own.user_no == user_no and f"{path}/".startswith(f"{own.path}/")
        others = [held for its_token, held in alive.items()
                  if f"{path}/".startswith(f"{held.path}/") and not (mine and its_token == token)]
        if others:
            assert code == "FileLocked"
        else:
            assert code == (None if mine or not token else "LockLost")

    @rule()
    def restart(self) -> None:
        self.state.machine = self.state.reopened().machine

    @invariant()
    def readers_see_the_living(self) -> None:
        found = queries.locks_under(self.state.db, parse_path(""), self.now_ms, 0, 10)
        assert sorted((lock.path, lock.mode, lock.expires_ms) for lock in found) == sorted(
            (held.path, held.mode, held.ends_ms) for held in self.alive().values())

    def teardown(self) -> None:
        check_state(self.state.db)
        self.state.close()


LockMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLockMachine = LockMachine.TestCase


def test_the_fence_costs_nothing_where_there_are_no_locks() -> None:
    with closing(Locked()) as state:
        statements: list[str] = []
        state.db.set_trace_callback(statements.append)
        assert state.write(BOB, "bob/a") is None
        assert not [text for text in statements if "locks" in text]


def test_a_refusal_names_the_same_lock_before_and_after_a_restart(state: Locked) -> None:
    """Memory has locks in another order than the table once one of a path's was released."""
    for user_no, path, token in ((BOB, "bob/d/p", ONE), (EVE, "bob/d/q", TWO), (BOB, "bob/d/p", THREE)):
        assert isinstance(state.lock(user_no, path, token, "shared"), Accepted)
    state.accept(ReleaseLock(header(BOB, 1_000), ONE))
    before = state.lock(BOB, "bob/d", b"4" * 32)
    state.machine = state.reopened().machine
    after = state.lock(BOB, "bob/d", b"4" * 32)
    assert before == after and isinstance(before, Rejected) and before.facts["path"] == "/bob/d/q"
