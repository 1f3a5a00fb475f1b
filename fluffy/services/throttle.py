"""The one gate of a node for background bytes, at both ends of every copy.

A keeper that fetches a chunk reserves at its own gate first, and the node that gives the chunk reserves at its gate (in
the process of its data port) before it reads: so many targets cannot drown one source, nor many sources one target.
A reservation is a slot and bytes of a token bucket; waiting for it is bounded, and who is told Overloaded asks another
holder or comes back later.

Chunks of which one copy is left (`endangered`) also draw on a floor that users' times do not lower, and have a slot of
their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Overloaded
from fluffy.core.health.pacing import CHUNK_COST_BYTES, ENDANGERED_BYTES_PER_S, TokenBucket
from fluffy.ports import Clock


class Throttle:
    """For one event loop. `slots`: reservations held at the same time."""

    def __init__(self, clock: Clock, bytes_per_s: int, slots: int) -> None:
        self._clock = clock
        now_s = clock.monotonic_s()
        self._bucket = TokenBucket(bytes_per_s, now_s)
        self._floor = TokenBucket(ENDANGERED_BYTES_PER_S, now_s)
        self._slots = asyncio.Semaphore(slots)
        self._endangered_slot = asyncio.Semaphore(1)
        self.bytes_per_s = bytes_per_s
        self.moved_bytes = 0
        self.refused = 0

    def set_rate(self, bytes_per_s: int) -> None:
        if bytes_per_s != self.bytes_per_s:
            self.bytes_per_s = bytes_per_s
            self._bucket.set_rate(bytes_per_s, self._clock.monotonic_s())

    @asynccontextmanager
    async def reserve(self, amount: int, deadline: Deadline, *, endangered: bool = False) -> AsyncIterator[None]:
        """Hold a slot, once what was moved before is paid for. Raises Overloaded when that would outlast the deadline.

        What `amount` itself costs is owed by whoever comes next: so the largest chunk passes at the lowest rate.
        """
        slots = await self._slot(deadline, endangered)
        try:
            await self._pay(max(amount, CHUNK_COST_BYTES), deadline, endangered)
            yield
            self.moved_bytes += amount
        finally:
            slots.release()

    async def pay(self, amount: int) -> None:
        """Bytes without a slot and without a deadline, for work that has all the time (scrub)."""
        await asyncio.sleep(self._bucket.take(amount, self._clock.monotonic_s()))
        self.moved_bytes += amount

    async def _slot(self, deadline: Deadline, endangered: bool) -> asyncio.Semaphore:
        slots = self._endangered_slot if endangered and self._slots.locked() else self._slots
        try:
            async with asyncio.timeout_at(deadline.at_s):
                await slots.acquire()
        except TimeoutError:
            self.refused += 1
            raise Overloaded("this node does as much background work as it may; try again shortly") from None
        return slots

    async def _pay(self, amount: int, deadline: Deadline, endangered: bool) -> None:
        now_s = self._clock.monotonic_s()
        bucket = self._bucket
        if endangered and self._floor.wait_s(0, now_s) < bucket.wait_s(0, now_s):
            bucket = self._floor
        wait_s = bucket.wait_s(0, now_s)
        if wait_s > deadline.left_s:
            self.refused += 1
            raise Overloaded("this node moves as many background bytes as it may; try again shortly")
        bucket.take(amount, now_s)
        await asyncio.sleep(wait_s)
