"""Passwords: what is stored, who gets in, and how often somebody may guess."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fluffy.base.errors import Overloaded, RequestError, TooManyAttempts, Unauthenticated
from fluffy.core.metadata.commands_people import AddUser, ChangeUser
from fluffy.services import passwords
from fluffy.services.passwords import ATTEMPTS_MAX, ATTEMPTS_WINDOW_S, Attempts, Passwords, hash_password, matches
from tests.support.local_log import BornCluster, born_cluster, header

RIGHT = "correct horse ü"


class HandClock:
    def __init__(self) -> None:
        self.s = 1_000.0

    def now_ms(self) -> int:
        return int(self.s * 1000)

    def monotonic_s(self) -> float:
        return self.s


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parameters: what is tested is not how dear scrypt is."""
    monkeypatch.setattr(passwords, "SCRYPT_N", 1 << 4)
    monkeypatch.setattr(passwords, "SCRYPT_P", 1)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[BornCluster]:
    with born_cluster(tmp_path) as born:
        born.log.apply(AddUser(header(), "bob", "user", hash_password(RIGHT)))
        born.log.apply(AddUser(header(), "tom", "user"))
        yield born


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def test_a_stored_password_matches_only_itself() -> None:
    stored = hash_password(RIGHT)
    assert matches(RIGHT, stored) and not matches(RIGHT + " ", stored) and not matches("", stored)
    assert RIGHT.encode() not in stored and hash_password(RIGHT) != stored, "salted"


def test_the_format_is_what_it_was_when_it_was_first_stored() -> None:
    golden = (b"scrypt$16$8$1$00112233445566778899aabbccddeeff$"
              b"d9dc0ac344980c882759b1472f1572e4245faa3b52edc64f0d6a11948d88753c")
    assert matches("password", golden) and not matches("passwore", golden)


@pytest.mark.parametrize("stored", [
    b"", b"scrypt", b"scrypt$16$8$1$00$00", b"scrypt$15$8$1$" + b"00" * 16 + b"$" + b"00" * 32,
    b"scrypt$9999999$8$1$" + b"00" * 16 + b"$" + b"00" * 32, b"scrypt$1048576$99$1$" + b"00" * 16 + b"$" + b"00" * 32,
    b"scrypt$16$0$1$" + b"00" * 16 + b"$" + b"00" * 32, b"md5$16$8$1$" + b"00" * 16 + b"$" + b"00" * 32])
def test_what_is_not_a_stored_password_matches_nothing_and_costs_nothing(stored: bytes) -> None:
    assert not matches("", stored) and not matches(RIGHT, stored)


@pytest.mark.parametrize("password", ["", "short", "x" * 257, "x" * 10 + "\ud800"])
def test_passwords_that_cannot_be(password: str) -> None:
    with pytest.raises(RequestError):
        hash_password(password)


async def test_the_right_password_opens_and_all_else_says_the_same(cluster: BornCluster,
                                                                   threads: ThreadPoolExecutor) -> None:
    door = Passwords(cluster.reader, HandClock(), threads)
    assert (await door.log_in("bob", RIGHT)).name == "bob"
    words = set()
    for name, password in (("bob", "wrong"), ("nobody", RIGHT), ("tom", ""), ("tom", RIGHT), ("", ""),
                           ("\ud800", RIGHT), ("bob", "\ud800"), ("bob", "x" * 300), ("x" * 300, "x")):
        with pytest.raises(Unauthenticated) as caught:
            await door.log_in(name, password)
        words.add(caught.value.message)
    assert len(words) == 1
    cluster.log.apply(ChangeUser(header(), "bob", disabled=True))
    with pytest.raises(Unauthenticated):
        await door.log_in("bob", RIGHT)


async def test_guessing_is_bounded_by_name_and_time(cluster: BornCluster, threads: ThreadPoolExecutor) -> None:
    clock = HandClock()
    door = Passwords(cluster.reader, clock, threads)
    for _ in range(ATTEMPTS_MAX):
        with pytest.raises(Unauthenticated):
            await door.log_in("bob", "wrong")
    with pytest.raises(TooManyAttempts) as caught:
        await door.log_in("bob", RIGHT)
    assert caught.value.facts["retry_after_s"] == int(ATTEMPTS_WINDOW_S) + 1
    with pytest.raises(Unauthenticated):
        await door.log_in("tom", "wrong")
    clock.s += ATTEMPTS_WINDOW_S
    assert (await door.log_in("bob", RIGHT)).name == "bob"


async def test_many_guesses_at_once_are_counted_before_they_are_checked(cluster: BornCluster,
                                                                        threads: ThreadPoolExecutor) -> None:
    door = Passwords(cluster.reader, HandClock(), threads)
    answers = await asyncio.gather(*(door.log_in("bob", f"wrong {n}") for n in range(15)), return_exceptions=True)
    assert [type(answer) for answer in answers].count(Unauthenticated) == ATTEMPTS_MAX
    assert [type(answer) for answer in answers].count(TooManyAttempts) == 15 - ATTEMPTS_MAX


async def test_logins_that_would_wait_too_long_are_turned_away(cluster: BornCluster, threads: ThreadPoolExecutor,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "LOGINS_WAITING_MAX", 2)
    door = Passwords(cluster.reader, HandClock(), threads)
    answers = await asyncio.gather(*(door.hash(RIGHT) for _ in range(5)), return_exceptions=True)
    assert [isinstance(answer, Overloaded) for answer in answers].count(True) == 3
    assert isinstance(await door.hash(RIGHT), bytes), "places are given back"


def test_the_right_password_forgives_and_old_failures_are_forgotten() -> None:
    clock = HandClock()
    attempts = Attempts(clock)
    for _ in range(3 * ATTEMPTS_MAX):
        attempts.begin("bob")
        attempts.forgive("bob")
    for _ in range(3 * ATTEMPTS_MAX):
        attempts.begin("eve")
        clock.s += ATTEMPTS_WINDOW_S / (ATTEMPTS_MAX - 1)
