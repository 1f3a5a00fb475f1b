"""Waiting for a lock, and the tokens of those who ask twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import AccessDenied, FileLocked, NoLeader
from fluffy.base.ids import NodeNo, RequestId, UserNo, new_request_id
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands_people import AddUser, ReleaseLock
from fluffy.services.locks import Locks
from fluffy.services.tokens import TokenMaker, hash_of
from tests.support.local_log import BornCluster, born_cluster, header

PATH = parse_path("admin/a")
ADMIN = UserNo(1)
ONE, TWO = b"1" * 32, b"2" * 32


class RealClock:
    def now_ms(self) -> int:
        return int(time.time() * 1000)

    def monotonic_s(self) -> float:
        return time.monotonic()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[BornCluster]:
    with born_cluster(tmp_path) as born:
        yield born


@pytest.fixture
def locks(cluster: BornCluster) -> Locks:
    return Locks(cluster.log, cluster.reader, RealClock(), NodeNo(1))


async def take(locks: Locks, token: bytes, *, wait_s: float = 0.0, ttl_ms: int = 60_000, mode: str = "exclusive",
               request_id: RequestId | None = None, user_no: UserNo = ADMIN) -> int:
    """Returns the fence."""
    outcome = await locks.acquire(PATH, mode, ttl_ms=ttl_ms, lock_hash=token, user_no=user_no,
                                  request_id=request_id or new_request_id(), wait=Deadline.after(wait_s))
    fence = outcome.facts["fence"]
    assert isinstance(fence, int)
    return fence


async def test_without_waiting_the_holder_is_named_at_once(locks: Locks) -> None:
    await take(locks, ONE)
    began = time.monotonic()
    with pytest.raises(FileLocked) as caught:
        await take(locks, TWO)
    assert caught.value.facts["holder"] == "admin" and time.monotonic() - began < 0.5


async def test_a_waiter_gets_the_lock_soon_after_its_release(locks: Locks, cluster: BornCluster) -> None:
    first = await take(locks, ONE)
    waiter = asyncio.ensure_future(take(locks, TWO, wait_s=10))
    await asyncio.sleep(0.2)
    assert not waiter.done()
    released = time.monotonic()
    cluster.log.apply(ReleaseLock(header(ADMIN), ONE))
    assert await waiter > first
    assert time.monotonic() - released < 1.5


async def test_a_holder_that_died_is_waited_for_no_longer_than_its_ttl(locks: Locks) -> None:
    await take(locks, ONE, ttl_ms=1_000)
    began = time.monotonic()
    await take(locks, TWO, wait_s=10)
    assert 0.9 < time.monotonic() - began < 4


async def test_waiting_has_an_end(locks: Locks) -> None:
    await take(locks, ONE)
    began = time.monotonic()
    with pytest.raises(FileLocked):
        await take(locks, TWO, wait_s=0.5)
    assert 0.4 < time.monotonic() - began < 3


async def test_a_repeated_request_that_waited_finds_its_own_lock(locks: Locks, cluster: BornCluster) -> None:
    request_id = new_request_id()
    await take(locks, ONE)
    waiter = asyncio.ensure_future(take(locks, TWO, wait_s=10, request_id=request_id))
    await asyncio.sleep(0.1)
    cluster.log.apply(ReleaseLock(header(ADMIN), ONE))
    fence = await waiter
    began_s = time.monotonic()
    assert await take(locks, TWO, wait_s=10, request_id=request_id) == fence
    assert time.monotonic() - began_s < 5, "its own lock is not waited for"


async def test_of_many_waiters_each_gets_it_once_and_never_two_at_a_time(locks: Locks, cluster: BornCluster) -> None:
    held = 0
    fences = []

    async def one(number: int) -> None:
        nonlocal held
        token = bytes([number]) * 32
        fences.append(await take(locks, token, wait_s=30))
        held += 1
        assert held == 1
        await asyncio.sleep(0.01)
        held -= 1
        cluster.log.apply(ReleaseLock(header(ADMIN), token))

    await asyncio.gather(*(one(number) for number in range(8)))
    assert fences == sorted(fences) and len(set(fences)) == 8
    assert cluster.reader.read(lambda db: queries.locks_under(db, parse_path(""), 0, 0, 9)) == ()


async def test_other_refusals_and_failures_are_not_waited_for(locks: Locks, cluster: BornCluster) -> None:
    bob = cluster.log.apply(AddUser(header(), "bob", "user")).facts["user_no"]
    with pytest.raises(AccessDenied):
        await take(locks, ONE, wait_s=10, user_no=bob)
    cluster.log.refuse_with = NoLeader()
    with pytest.raises(NoLeader):
        await take(locks, ONE, wait_s=10)


def test_tokens_follow_from_the_request_and_the_clusters_secret() -> None:
    maker = TokenMaker(b"s" * 32)
    request_id = RequestId(b"r" * 16)
    token = maker.lock_token(request_id)
    assert token == TokenMaker(b"s" * 32).lock_token(request_id) and token.hash == hash_of(token.text)
    others = {maker.api_token(request_id).text, TokenMaker(b"t" * 32).lock_token(request_id).text,
              maker.lock_token(RequestId(b"q" * 16)).text, token.text}
    assert len(others) == 4 and all(len(text) == 32 and text.isascii() for text in others)
    assert len(hash_of("\ud800")) == 32
