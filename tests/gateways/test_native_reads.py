"""Points of reads: one barrier for many readers, and honest age when there is no majority."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError, NoLeader, Overloaded, QuerySyntax
from fluffy.gateways.native.exchange import Point
from fluffy.gateways.native.reads import ReadGate, parse_consistency, parse_min_seq


class Clock:
    def __init__(self) -> None:
        self.at_s = 100.0

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.at_s


class State:
    seq = 7


class Log:
    """Answers barriers when told to."""

    def __init__(self) -> None:
        self.rounds: list[asyncio.Future[int]] = []

    async def barrier(self, deadline: Deadline) -> int:
        self.rounds.append(asyncio.get_running_loop().create_future())
        return await self.rounds[-1]

    async def wait_seq(self, seq: int, deadline: Deadline) -> int:
        return seq + 1


class Reader:
    def read(self, query: object) -> State:
        return State()


@asynccontextmanager
async def gate_over(log: Log, clock: Clock, majority: bool = True) -> AsyncIterator[ReadGate]:
    gate = ReadGate(log, Reader(), clock, lambda: majority)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        running = group.create_task(gate.run())
        yield gate
        running.cancel()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


NEVER = Deadline.after(1000)


async def strong(gate: ReadGate) -> Point:
    return await gate.point("strong", None, NEVER)


async def test_readers_that_came_before_a_round_share_it_and_later_ones_take_the_next() -> None:
    log = Log()
    async with gate_over(log, Clock()) as gate, asyncio.TaskGroup() as group:
        first = [group.create_task(strong(gate)) for _ in range(50)]
        await settle()
        late = [group.create_task(strong(gate)) for _ in range(50)]
        await settle()
        assert len(log.rounds) == 1, "a round in flight may have been sent before they asked"
        log.rounds[0].set_result(8)
        await settle()
        assert all(task.result() == Point(8) for task in first)
        assert not any(task.done() for task in late) and len(log.rounds) == 2
        log.rounds[1].set_result(9)
        await settle()
        assert all(task.result() == Point(9) for task in late)
        assert gate.barriers == 2


async def test_without_a_leader_reads_are_stale_and_say_for_how_long() -> None:
    log, clock = Log(), Clock()
    async with gate_over(log, clock) as gate, asyncio.TaskGroup() as group:
        fresh = group.create_task(strong(gate))
        await settle()
        log.rounds[0].set_result(7)
        assert (await fresh).age_s is None
        clock.at_s += 5.5
        stale = group.create_task(strong(gate))
        await settle()
        log.rounds[1].set_exception(NoLeader())
        assert await stale == Point(7, 5)
        assert await gate.point("strong", None, NEVER) == Point(7, 5), "nobody queues up behind a failure"
        assert len(log.rounds) == 2
        clock.at_s += 1
        again = group.create_task(strong(gate))
        await settle()
        log.rounds[2].set_result(8)
        assert await again == Point(8)


async def test_a_state_that_cannot_be_read_fails_the_readers_and_not_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(_reader: Reader, _query: object) -> State:
        raise sqlite3.OperationalError("disk I/O error")

    log, clock = Log(), Clock()
    async with gate_over(log, clock) as gate:
        with monkeypatch.context() as patch:
            patch.setattr(Reader, "read", unreadable)
            first, second = asyncio.ensure_future(gate.point("strong", None, NEVER)), gate.newest()
            await settle()
            log.rounds[0].set_exception(NoLeader())
            with pytest.raises(sqlite3.OperationalError):
                await first
            with pytest.raises(NoLeader):
                await second
        clock.at_s += 1
        again = asyncio.ensure_future(gate.point("strong", None, NEVER))
        await settle()
        log.rounds[1].set_result(8)
        assert await again == Point(8)


async def test_when_the_log_sees_no_majority_nobody_waits() -> None:
    log = Log()
    async with gate_over(log, Clock(), majority=False) as gate:
        assert await gate.point("strong", None, NEVER) == Point(7, 0)
        assert not log.rounds


async def test_an_overloaded_log_is_no_excuse_for_old_data() -> None:
    log = Log()
    async with gate_over(log, Clock()) as gate, asyncio.TaskGroup() as group:
        reader = group.create_task(_refusal(gate))
        await settle()
        log.rounds[0].set_exception(Overloaded())
        assert isinstance(await reader, Overloaded)


async def _refusal(gate: ReadGate) -> FluffyError | None:
    try:
        await gate.point("strong", None, NEVER)
    except FluffyError as error:
        return error
    return None


async def test_local_reads_pass_no_barrier_but_may_wait_for_a_position() -> None:
    log = Log()
    async with gate_over(log, Clock()) as gate:
        assert await gate.point("local", None, NEVER) == Point(7)
        assert await gate.point("local", 7, NEVER) == Point(7)
        assert await gate.point("local", 20, NEVER) == Point(21)
        assert not log.rounds


async def test_local_reads_of_a_moment_share_one_look_but_see_what_was_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    async with gate_over(Log(), clock) as gate:
        assert await gate.point("local", None, NEVER) == Point(7)
        monkeypatch.setattr(State, "seq", 9)
        assert await gate.point("local", None, NEVER) == Point(7)
        gate.learned(8)
        assert await gate.point("local", None, NEVER) == Point(8)
        clock.at_s += 0.01
        assert await gate.point("local", None, NEVER) == Point(9)


def test_headers_of_consistency() -> None:
    assert parse_consistency(None, "local") == "local" and parse_consistency("strong", "local") == "strong"
    assert parse_min_seq(None) is None and parse_min_seq("12") == 12
    for text in ("", "x", "-1", "1" * 19, "१"):
        with pytest.raises(QuerySyntax):
            parse_min_seq(text)
    with pytest.raises(QuerySyntax):
        parse_consistency("weak", "local")
