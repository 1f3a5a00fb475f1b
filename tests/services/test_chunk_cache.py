"""Kept chunks: bounded, least recently used go first, what is in use stays."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Overloaded
from fluffy.drivers.buffers import BufferPool
from fluffy.services import chunk_cache
from fluffy.services.chunk_cache import SMALL_BYTES_MAX, ChunkCache

LARGE = 2 * SMALL_BYTES_MAX


def cache_of(buffers, bytes_max=None):
    pool = BufferPool(LARGE, buffers)
    return ChunkCache(pool, buffers * LARGE if bytes_max is None else bytes_max), pool


async def add(cache, key, size=LARGE):
    memory = await cache.new(size, Deadline.after(1))
    cache.keep(key, memory)
    return memory


async def test_what_was_used_longest_ago_goes_first_and_its_buffer_is_used_again():
    cache, pool = cache_of(2)
    for key in "ab":
        cache.release(await add(cache, key))
    cache.release(cache.take("a"))
    cache.release(await add(cache, "c"))
    assert "b" not in cache and "a" in cache and "c" in cache
    assert pool.free_buffers == 0


async def test_what_is_in_use_stays_and_who_finds_all_in_use_waits():
    cache, _ = cache_of(2)
    first, second = await add(cache, "a"), await add(cache, "b")
    with pytest.raises(Overloaded):
        await cache.new(LARGE, Deadline.after(0.02))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(cache.new(LARGE, Deadline.after(5)))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        cache.release(first)  # not kept: somebody waits for its memory
    assert "a" not in cache and "b" in cache
    cache.release(second)
    cache.release(waiting.result())


async def test_small_parts_are_bounded_in_number_until_first_released(monkeypatch):
    monkeypatch.setattr(chunk_cache, "SMALL_IN_WORK_MAX", 2)
    cache, _ = cache_of(1)
    held = [await add(cache, number, 10) for number in range(2)]
    with pytest.raises(Overloaded):
        await cache.new(10, Deadline.after(0.02))
    cache.release(held[0])
    cache.release(await cache.new(10, Deadline.after(1)))
    cache.release(held[1])


async def test_a_cache_of_no_bytes_keeps_nothing():
    cache, pool = cache_of(2, bytes_max=0)
    cache.release(await add(cache, "a"))
    assert "a" not in cache and pool.free_buffers == 2


@given(st.lists(st.tuples(st.sampled_from(["take", "new", "release"]), st.integers(0, 9), st.booleans()), max_size=60))
def test_bytes_and_buffers_always_add_up(actions):
    async def run():
        cache, pool = cache_of(3, bytes_max=2 * LARGE + 1000)
        held = []
        for action, key, small in actions:
            match action:
                case "take":
                    memory = cache.take(key)
                    if memory is not None:
                        held.append(memory)
                case "new":
                    memory = cache.new_at_once(100 if small else LARGE)
                    if memory is not None:
                        cache.keep(key, memory)
                        held.append(memory)
                case "release" if held:
                    cache.release(held.pop(key % len(held)))
            in_use = {id(memory) for memory in held if memory.buffer is not None}
            idle = sum(memory.buffer is not None for memory in cache._idle.values())
            assert pool.free_buffers == 3 - len(in_use) - idle
            assert cache.idle_bytes <= 2 * LARGE + 1000
        for memory in held:
            cache.release(memory)
        assert cache._in_use == {}

    asyncio.run(run())
