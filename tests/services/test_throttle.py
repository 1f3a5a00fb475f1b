"""The gate of background bytes: bounded in slots, bytes and waiting; the endangered have a floor."""

from __future__ import annotations

import asyncio

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Overloaded
from fluffy.base.units import KIB, MIB
from fluffy.core.health.pacing import ENDANGERED_BYTES_PER_S
from fluffy.drivers.clock import SystemClock
from fluffy.services.throttle import Throttle
from tests.support.keeper_world import ManualClock


def throttle(bytes_per_s: int = 600 * MIB, slots: int = 2) -> Throttle:
    return Throttle(SystemClock(), bytes_per_s, slots)


async def test_no_more_than_the_slots_run_at_once_and_who_waits_too_long_is_told() -> None:
    gate = throttle(slots=2)
    async with gate.reserve(1, Deadline.after(1)), gate.reserve(1, Deadline.after(1)):
        with pytest.raises(Overloaded):
            async with gate.reserve(1, Deadline.after(0.02)):
                pass
    async with gate.reserve(1, Deadline.after(0.02)):
        pass
    assert gate.refused == 1 and gate.moved_bytes == 3


async def moved(gate: Throttle, amount: int, patience_s: float, *, endangered: bool = False) -> bool:
    try:
        async with gate.reserve(amount, Deadline.after(patience_s), endangered=endangered):
            return True
    except Overloaded:
        return False


async def test_the_largest_chunk_passes_at_the_lowest_rate_and_the_next_one_pays_for_it() -> None:
    clock = ManualClock()
    gate = Throttle(clock, 1 * MIB, 4)
    assert await moved(gate, 64 * MIB, 5)
    assert not await moved(gate, 1, 5), "refused at once, and it costs nothing"
    clock.advance(60)
    assert not await moved(gate, 1, 0.5)
    clock.advance(4)
    assert await moved(gate, 1, 0.5)


async def test_a_small_chunk_costs_more_than_its_bytes() -> None:
    gate = Throttle(ManualClock(), 640 * KIB, 4)
    for _ in range(11):
        assert await moved(gate, 100, 0.01)
    assert not await moved(gate, 100, 0.01)


async def test_the_endangered_have_a_floor_and_a_slot_that_nobody_takes() -> None:
    gate = Throttle(ManualClock(), 64 * KIB, 1)
    async with gate.reserve(MIB, Deadline.after(1)):
        assert not await moved(gate, MIB, 0.05)
        assert await moved(gate, 2 * ENDANGERED_BYTES_PER_S, 0.05, endangered=True)
    assert not await moved(gate, MIB, 0.05, endangered=True), "the floor is a rate too"


async def test_a_new_rate_counts_from_now_on() -> None:
    clock = ManualClock()
    gate = Throttle(clock, 64 * KIB, 1)
    assert await moved(gate, 10 * MIB, 1)
    gate.set_rate(100 * MIB)
    assert gate.bytes_per_s == 100 * MIB
    clock.advance(0.2)
    assert await moved(gate, 10 * MIB, 0.05)


async def test_who_is_cancelled_while_it_waits_gives_its_slot_back() -> None:
    gate = throttle(slots=1)
    async with asyncio.TaskGroup() as group:
        async def hold() -> None:
            async with gate.reserve(1, Deadline.after(9)):
                await asyncio.sleep(9)
        task = group.create_task(hold())
        await asyncio.sleep(0.01)
        task.cancel()
    async with gate.reserve(1, Deadline.after(0.01)):
        pass
