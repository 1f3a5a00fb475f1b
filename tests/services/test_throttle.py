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


async def test_bytes_that_would_outlast_the_deadline_are_refused_at_once_and_cost_nothing() -> None:
    gate = Throttle(ManualClock(), 1 * MIB, 4)
    for _ in range(3):
        with pytest.raises(Overloaded):
            async with gate.reserve(50 * MIB, Deadline.after(5)):
                pass
    async with gate.reserve(1 * MIB, Deadline.after(5)):
        pass
    assert gate.moved_bytes == 1 * MIB


async def test_a_small_chunk_costs_more_than_its_bytes() -> None:
    gate = Throttle(ManualClock(), 640 * KIB, 4)
    for _ in range(10):
        async with gate.reserve(100, Deadline.after(0.01)):
            pass
    with pytest.raises(Overloaded):
        async with gate.reserve(100, Deadline.after(0.01)):
            pass


async def test_the_endangered_have_a_floor_and_a_slot_that_nobody_takes() -> None:
    gate = Throttle(ManualClock(), 64 * KIB, 1)
    async with gate.reserve(64 * KIB, Deadline.after(1)):
        with pytest.raises(Overloaded):
            async with gate.reserve(MIB, Deadline.after(0.05)):
                pass
        async with gate.reserve(ENDANGERED_BYTES_PER_S, Deadline.after(0.05), endangered=True):
            pass


async def test_a_new_rate_lets_more_pass() -> None:
    gate = Throttle(ManualClock(), 64 * KIB, 1)
    with pytest.raises(Overloaded):
        async with gate.reserve(10 * MIB, Deadline.after(0.05)):
            pass
    gate.set_rate(100 * MIB)
    assert gate.bytes_per_s == 100 * MIB
    with pytest.raises(Overloaded):
        async with gate.reserve(10 * MIB, Deadline.after(0.05)):
            pass  # what was not gained yet is not there
    async with gate.reserve(10 * MIB, Deadline.after(0.5)):
        pass


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
