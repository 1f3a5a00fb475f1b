"""Names of hosts: asked for beside the loop, one question at a time each, and what was known stays in use."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fluffy.drivers.raft import host_names
from fluffy.drivers.raft.host_names import HostNames, Place, numeric


def place(digits: str, port: int = 7201) -> Place:
    found = numeric(digits, port)
    assert found is not None
    return found


class NameServer:
    """Answers when it is let; `say` what."""

    def __init__(self) -> None:
        self.say: list[Place] | Exception = [place("10.0.0.1")]
        self.asked: list[str] = []
        self.may_answer = threading.Event()

    def resolve(self, host: str, port: int) -> list[Place]:
        self.asked.append(host)
        assert self.may_answer.wait(10)
        if isinstance(self.say, Exception):
            raise self.say
        return self.say


class Desk:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.server = NameServer()
        self.names = HostNames(lambda: self.now_s, self.server.resolve)

    def until(self, wanted: Callable[[], bool]) -> bool:
        end_s = time.monotonic() + 5
        while not wanted() and time.monotonic() < end_s:
            time.sleep(0.001)
        return wanted()

    def answered(self) -> bool:
        """What was asked has been told."""
        return self.until(lambda: self.names._answers.qsize() > 0)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.server.may_answer.set()


@pytest.mark.parametrize("digits", ["127.0.0.1", "::1"])
def test_an_address_in_digits_needs_nobody(desk: Desk, digits: str) -> None:
    found = desk.names.place_of(digits, 7201)
    assert found is not None and found[1][:2] == (digits, 7201)
    assert found[0] == (socket.AF_INET6 if ":" in digits else socket.AF_INET) and desk.server.asked == []


def test_a_name_server_that_does_not_answer_holds_nobody_up(desk: Desk) -> None:
    began_s = time.monotonic()
    for _ in range(100):
        assert desk.names.place_of("two", 7201) is None
    assert time.monotonic() - began_s < 1, "asking waits for nothing"
    assert desk.server.asked == ["two"], "one question at a time"
    desk.server.may_answer.set()
    assert desk.until(lambda: desk.names.place_of("two", 7201) == place("10.0.0.1"))


def test_what_is_known_stays_in_use_while_it_is_asked_for_anew(desk: Desk) -> None:
    desk.server.may_answer.set()
    desk.names.place_of("two", 7201)
    assert desk.answered() and desk.names.place_of("two", 7201) == place("10.0.0.1")
    desk.server.say = [place("10.0.0.9")]
    assert desk.names.place_of("two", 7201) == place("10.0.0.1") and desk.server.asked == ["two"], "fresh"
    desk.now_s += host_names.FRESH_S
    assert desk.names.place_of("two", 7201) == place("10.0.0.1"), "not yet told otherwise"
    assert desk.answered() and desk.names.place_of("two", 7201) == place("10.0.0.9")


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_AGAIN, "try later"), UnicodeError("label too long")])
def test_a_name_server_that_fails_is_asked_again_and_forgets_nothing(
        desk: Desk, caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    desk.server.may_answer.set()
    desk.names.place_of("two", 7201)
    assert desk.answered() and desk.names.place_of("two", 7201) == place("10.0.0.1")
    desk.server.say = error
    caplog.set_level(logging.WARNING)
    for round_ in range(2, 5):
        desk.now_s += host_names.FRESH_S
        assert desk.names.place_of("two", 7201) == place("10.0.0.1") and desk.answered()
        assert desk.names.place_of("two", 7201) == place("10.0.0.1") and len(desk.server.asked) == round_
    assert [record.message for record in caplog.records] == ["raft.host_unknown"], "once a minute"


def test_several_addresses_are_tried_in_turn(desk: Desk) -> None:
    desk.server.may_answer.set()
    desk.server.say = [place("::1"), place("127.0.0.1")]
    desk.names.place_of("localhost", 7201)
    assert desk.answered()
    seen = [desk.names.place_of("localhost", 7201) for _ in range(4)]
    assert seen == [place("::1"), place("127.0.0.1")] * 2


def test_only_so_many_questions_hang_at_once(desk: Desk) -> None:
    for number in range(host_names.QUESTIONS_MAX + 5):
        desk.names.place_of(f"host-{number}", 7201)
    assert desk.until(lambda: len(desk.server.asked) >= host_names.QUESTIONS_MAX)
    assert len(desk.server.asked) == host_names.QUESTIONS_MAX
