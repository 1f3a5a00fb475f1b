"""Pooled buffers: bounded, fair, and not lost by cancelling."""

import asyncio
import threading

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Overloaded
from fluffy.drivers.buffers import BufferPool
from fluffy.drivers.direct_io import is_aligned


async def test_buffers_are_aligned_bounded_and_used_again():
    pool = BufferPool(8192, 2)
    first = await pool.acquire(Deadline.after(1))
    second = await pool.acquire(Deadline.after(1))
    assert is_aligned(first.view) and len(first.view) == 8192
    assert pool.try_acquire() is None and pool.free_buffers == 0
    memory = first.view
    first.release()
    first.release()
    assert pool.free_buffers == 1
    with await pool.acquire(Deadline.after(1)) as again:
        assert again.view is memory
    second.release()
    assert pool.free_buffers == 2


async def test_waiting_ends_with_overloaded_at_the_deadline():
    pool = BufferPool(4096, 1)
    with await pool.acquire(Deadline.after(1)):
        with pytest.raises(Overloaded):
            await pool.acquire(Deadline.after(0.02))
        with pytest.raises(Overloaded):
            await asyncio.to_thread(pool.acquire_blocking, Deadline.after(0.02))
    assert pool.free_buffers == 1


async def test_waiters_are_served_in_the_order_they_came():
    pool = BufferPool(4096, 1)
    held = await pool.acquire(Deadline.after(1))
    order = []

    async def wait(number):
        with await pool.acquire(Deadline.after(5)):
            order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(wait(number))
            await asyncio.sleep(0)
        assert pool.try_acquire() is None
        held.release()
        assert pool.try_acquire() is None  # nobody jumps the queue
    assert order == [0, 1, 2, 3, 4]


async def test_a_cancelled_waiter_passes_on_a_buffer_that_was_already_on_the_way():
    pool = BufferPool(4096, 1)
    held = await pool.acquire(Deadline.after(1))
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(pool.acquire(Deadline.after(5)))
        await asyncio.sleep(0)
        held.release()  # granted, but the waiter has not run yet
        waiter.cancel()
    assert pool.free_buffers == 1


async def test_threads_and_tasks_share_one_pool():
    pool = BufferPool(4096, 3)
    in_use, most = 0, 0
    lock = threading.Lock()

    def use(buffer, value):
        nonlocal in_use, most
        with lock:
            in_use += 1
            most = max(most, in_use)
        buffer.view[0] = value
        assert buffer.view[0] == value
        with lock:
            in_use -= 1

    def in_thread(value):
        for _ in range(50):
            with pool.acquire_blocking(Deadline.after(20)) as buffer:
                use(buffer, value)

    async def in_loop(value):
        for _ in range(50):
            with await pool.acquire(Deadline.after(20)) as buffer:
                use(buffer, value)
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(asyncio.to_thread(in_thread, number))
            group.create_task(in_loop(100 + number))
    assert most <= 3 and pool.free_buffers == 3
