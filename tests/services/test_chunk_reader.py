"""Reading a chunk: right bytes from any good copy, one fetch for many readers, slow and bad copies passed over."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import AllCopiesBad, ChunkCorrupt, Overloaded, PeerUnreachable
from fluffy.base.hashing import chunk_id_of
from fluffy.base.units import KIB, MIB
from fluffy.core.metadata.commands import NodeState
from fluffy.core.metadata.model import PlacementMap
from fluffy.drivers.buffers import BufferPool
from fluffy.drivers.chunk_files import ChunkFiles
from fluffy.services.chunk_cache import ChunkCache
from fluffy.services.chunk_reader import PART_BYTES, ChunkReader
from fluffy.services.chunk_writer import ChunkWriter
from tests.support.data_nodes import CHUNK_SIZE, data_nodes, put_bytes, some_bytes
from tests.support.scripted_peers import Behaviour, ScriptedPeers

OWN = 1
SIZE = MIB + 12_345


class World:
    def __init__(self, folder, threads, buffers=4, cache_bytes=None):
        self.store = ChunkFiles(folder, fsync=False)
        self.peers = ScriptedPeers()
        self.pool = BufferPool(CHUNK_SIZE, buffers)
        self.cache = ChunkCache(self.pool, buffers * CHUNK_SIZE if cache_bytes is None else cache_bytes)
        self.bad = []
        self.map = PlacementMap(1, tuple(NodeState(no, "up", "", 1) for no in range(1, 5)))
        self.reader = ChunkReader(OWN, self.store, self.peers, lambda: self.map, self.cache,
                                  lambda chunk_id, node: self.bad.append(node), threads)
        self.data = some_bytes(SIZE)
        self.chunk_id = chunk_id_of(self.data)

    def hold(self, *nodes):
        for node in nodes:
            self.peers.chunks.setdefault(node, {})[self.chunk_id] = self.data
        self.replicas = tuple(sorted(nodes))

    async def read(self, seconds=10.0, **part):
        lease = await self.reader.open(self.chunk_id, SIZE, self.replicas, Deadline.after(seconds), **part)
        with lease as held:
            return bytes(held.data)

    def settled(self):
        """No memory is held by anybody but the cache."""
        return self.cache._in_use == {} and self.cache.idle_bytes // CHUNK_SIZE + self.pool.free_buffers == 4


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def world(tmp_path, threads):
    return World(tmp_path, threads)


async def test_an_own_chunk_comes_as_a_file_ready_to_send(world):
    put_bytes(world.store, world.data)
    world.replicas = (OWN, 2)
    with await world.reader.open(world.chunk_id, SIZE, world.replicas, Deadline.after(5), offset=7) as lease:
        fd, offset = lease.file
        assert os.pread(fd, SIZE, offset)[:SIZE - 7] == world.data[7:] == lease.data
    with pytest.raises(OSError):
        os.fstat(fd)
    assert world.peers.gets == []


async def test_an_own_chunk_comes_in_memory_when_asked_so_or_small(world):
    put_bytes(world.store, world.data)
    world.replicas = (OWN,)
    for part in ({"in_memory": True}, {"offset": 300_000, "want": 1024}):
        with await world.reader.open(world.chunk_id, SIZE, world.replicas, Deadline.after(5), **part) as lease:
            assert lease.file is None
            start = part.get("offset", 0)
            assert lease.data == world.data[start:start + part.get("want", SIZE)]
    assert world.settled()


@pytest.mark.parametrize("part", [{}, {"offset": MIB, "want": 5}, {"in_memory": True}])
async def test_a_bad_own_copy_is_set_aside_and_the_reader_gets_anothers_bytes(world, part):
    put_bytes(world.store, world.data)
    path = world.store.path_of(world.chunk_id)
    spoiled = bytearray(path.read_bytes())
    spoiled[MIB + 1] ^= 1
    path.write_bytes(spoiled)
    world.hold(2)
    world.replicas = (OWN, 2)
    start = part.get("offset", 0)
    assert await world.read(**part) == world.data[start:start + part.get("want", SIZE)]
    assert world.bad == [OWN] and len(world.store.quarantined()) == 1


async def test_a_removed_own_copy_is_reported_and_a_copy_nobody_expected_is_not(world):
    world.hold(2)
    world.replicas = (OWN, 2)
    assert await world.read() == world.data
    assert world.bad == [OWN]
    world.bad.clear()
    world.replicas = (2,)
    assert await world.read() == world.data
    assert world.bad == []


async def test_remote_bytes_are_kept_and_small_ranges_fetch_only_what_can_be_checked(world):
    world.hold(2)
    assert await world.read(offset=PART_BYTES + 10, want=1024) == world.data[PART_BYTES + 10:][:1024]
    assert world.peers.gets == [(2, PART_BYTES, PART_BYTES)]
    assert await world.read(offset=PART_BYTES + 5000, want=100) == world.data[PART_BYTES + 5000:][:100]
    assert len(world.peers.gets) == 1
    assert await world.read(offset=2 * PART_BYTES - 1, want=2) == world.data[2 * PART_BYTES - 1:][:2]
    assert world.peers.gets[1:] == [(2, PART_BYTES, 2 * PART_BYTES)]
    assert await world.read() == world.data
    assert world.peers.gets[2:] == [(2, 0, SIZE)]
    assert await world.read(offset=SIZE - 3, want=3) == world.data[-3:]  # out of the whole one
    assert await world.read(offset=3, want=SIZE - 3) == world.data[3:]
    assert len(world.peers.gets) == 3
    assert world.settled()


@pytest.mark.parametrize("cache_bytes", [None, 0])
async def test_a_hundred_readers_of_one_remote_chunk_are_one_fetch(tmp_path, threads, cache_bytes):
    world = World(tmp_path, threads, cache_bytes=cache_bytes)
    world.hold(2, 3)
    gate = asyncio.Event()
    world.peers.behaviours = {2: Behaviour(gate=gate), 3: Behaviour(gate=gate)}
    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(world.read()) for _ in range(100)]
        await asyncio.sleep(0.02)
        gate.set()
    assert all(reader.result() == world.data for reader in readers)
    assert len(world.peers.gets) == 1
    assert world.settled()


async def test_when_the_first_of_many_readers_leaves_another_goes_on(world):
    world.hold(2)
    gate = asyncio.Event()
    world.peers.behaviours[2] = Behaviour(gate=gate)
    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(world.read()) for _ in range(5)]
        await asyncio.sleep(0.02)
        readers[0].cancel()
        readers[3].cancel()
        await asyncio.sleep(0.02)
        gate.set()
    assert [reader.cancelled() for reader in readers] == [True, False, False, True, False]
    assert readers[1].result() == world.data
    assert len(world.peers.gets) == 2
    assert world.settled()


async def test_a_reader_in_a_hurry_does_not_fail_those_who_have_time(world):
    world.hold(2)
    gate = asyncio.Event()
    world.peers.behaviours[2] = Behaviour(gate=gate)
    async with asyncio.TaskGroup() as group:
        hurried = group.create_task(outcome_of(world.read(seconds=0.05)))
        patient = group.create_task(outcome_of(world.read()))
        assert isinstance(await hurried, AllCopiesBad)
        gate.set()
    assert patient.result() == world.data and world.settled()


async def outcome_of(reading):
    try:
        return await reading
    except AllCopiesBad as error:
        return error


async def test_a_reader_who_leaves_as_the_bytes_land_leaves_no_memory_behind(world):
    world.hold(2)
    for steps in range(12):
        world.peers.behaviours[2] = Behaviour(gate=asyncio.Event())
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(world.read()) for _ in range(4)]
            await asyncio.sleep(0.005)
            world.peers.behaviours[2].gate.set()
            for _ in range(steps):
                await asyncio.sleep(0)
            for reader in readers[:3]:
                reader.cancel()
        assert readers[3].result() == world.data
        assert world.settled()
        while world.cache.idle_bytes:
            world.cache._idle.popitem()


async def test_a_failing_peer_is_passed_over_and_only_bad_copies_are_reported(world):
    world.hold(2, 3, 4)
    world.peers.behaviours = {2: Behaviour(error=PeerUnreachable()), 3: Behaviour(error=ChunkCorrupt())}
    world.map = PlacementMap(1, (NodeState(4, "suspect", "", 1), NodeState(2, "up", "", 1), NodeState(3, "up", "", 1)))
    assert await world.read() == world.data
    assert {node for node, _, _ in world.peers.gets} == {2, 3, 4}
    assert world.bad == [3]


async def test_all_copies_bad_names_every_reason_for_every_reader(world):
    world.hold(2, 3)
    world.peers.behaviours = {2: Behaviour(error=PeerUnreachable(), delay_s=0.02), 3: Behaviour(error=ChunkCorrupt())}
    world.map = PlacementMap(1, ())
    results = await asyncio.gather(*[world.read() for _ in range(3)], return_exceptions=True)
    assert all(isinstance(result, AllCopiesBad) for result in results)
    assert results[1].facts["failures"] == {"2": "PeerUnreachable", "3": "ChunkCorrupt"}
    assert world.settled()


async def test_a_copy_that_repair_just_brought_is_found_without_a_record(world):
    put_bytes(world.store, world.data)
    world.hold(3)
    world.replicas = (2,)
    world.map = PlacementMap(1, (NodeState(3, "up", "", 1),))
    assert await world.read() == world.data
    assert [node for node, _, _ in world.peers.gets] == [2, 3]
    world.peers.chunks.clear()
    world.replicas = (2, 4)
    while world.cache.idle_bytes:
        world.cache._idle.popitem()
    assert await world.read() == world.data  # the own disk had it all the time


async def test_a_hedge_wins_over_a_slow_peer_which_is_then_asked_later(world):
    world.hold(2, 3)
    first = await first_asked(world)
    other = 5 - first
    world.peers.behaviours[first] = Behaviour(gate=asyncio.Event())
    assert await world.read(offset=0) == world.data
    assert [node for node, _, _ in world.peers.gets] == [first, other]
    assert world.reader.fetcher.hedges == 1 and world.reader.fetcher.hedges_won == 1
    assert world.peers.cancelled == [first] and world.settled()
    while world.cache.idle_bytes:
        world.cache._idle.popitem()
    assert await world.read() == world.data
    assert world.peers.gets[-1][0] == other


async def test_a_peer_that_stops_after_a_fast_past_costs_one_hedge_and_not_each_read(world):
    world.hold(2, 3)
    first = await first_asked(world)
    other = 5 - first
    for node in (2, 3):
        for _ in range(64):
            world.reader.fetcher._large.record(node, 3)
    world.peers.behaviours[first] = Behaviour(gate=asyncio.Event())
    for _ in range(6):
        assert await world.read() == world.data
        while world.cache.idle_bytes:
            world.cache._idle.popitem()
    assert [node for node, _, _ in world.peers.gets] == [first] + [other] * 6
    world.peers.behaviours.clear()


async def first_asked(world):
    """Which of the two equal peers this chunk's hash prefers; learnt without leaving a trace."""
    await world.read()
    first = world.peers.gets[0][0]
    while world.cache.idle_bytes:
        world.cache._idle.popitem()
    world.peers.gets.clear()
    world.reader.fetcher._large._samples.clear()
    return first


async def test_without_memory_to_spare_there_is_no_hedge(tmp_path, threads):
    world = World(tmp_path, threads, buffers=1)
    world.hold(2, 3)
    gate = asyncio.Event()
    world.peers.behaviours = {2: Behaviour(gate=gate), 3: Behaviour(gate=gate)}
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(world.read())
        await asyncio.sleep(0.4)
        gate.set()
    assert reading.result() == world.data and len(world.peers.gets) == 1


async def test_readers_wait_for_memory_and_are_told_when_there_is_none(tmp_path, threads):
    world = World(tmp_path, threads, buffers=1)
    world.hold(2)
    other = some_bytes(SIZE, 9)
    world.peers.chunks[2][chunk_id_of(other)] = other
    held = await world.reader.open(world.chunk_id, SIZE, (2,), Deadline.after(5))
    with held:
        with pytest.raises(Overloaded):
            await world.reader.open(chunk_id_of(other), SIZE, (2,), Deadline.after(0.05))
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(world.reader.open(chunk_id_of(other), SIZE, (2,), Deadline.after(5)))
            await asyncio.sleep(0.01)
            held.__exit__(None, None, None)
    with waiting.result() as lease:
        assert lease.data == other


async def test_cancelling_a_reader_frees_its_memory(world):
    world.hold(2, 3)
    world.peers.behaviours = {no: Behaviour(gate=asyncio.Event()) for no in (2, 3)}
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(world.read())
        await asyncio.sleep(0.35)  # hedged by now
        reading.cancel()
    assert sum(world.peers.in_work.values()) == 0 and world.settled()
    assert world.reader._flights == {}


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
async def test_over_real_ports_a_damaged_copy_is_passed_over_set_aside_and_reported(tmp_path, threads, damage):
    async with data_nodes(tmp_path, 3) as nodes:
        own = nodes.nodes[1]
        writer = ChunkWriter(1, own.store, nodes.client, nodes.placement, 3, 3, threads)
        data = some_bytes(CHUNK_SIZE - 77)
        written = await writer.write(memoryview(bytearray(data)), Deadline.after(10))
        bad = []
        reader = ChunkReader(1, own.store, nodes.client, nodes.placement,
                             ChunkCache(BufferPool(CHUNK_SIZE, 4), 4 * CHUNK_SIZE),
                             lambda chunk_id, node: bad.append(node), threads)
        for no in (1, 2):
            spoil(nodes.nodes[no].store.path_of(written.chunk_id), damage)
        with await reader.open(written.chunk_id, len(data), (1, 2, 3), Deadline.after(10), offset=500 * KIB,
                               want=900 * KIB) as lease:
            assert lease.data == data[500 * KIB:1400 * KIB]
        expected = 0 if damage == "remove" else 1
        assert len(own.store.quarantined()) == expected
        assert bad[0] == 1 and set(bad) <= {1, 2}


def spoil(path, damage):
    match damage:
        case "flip":
            content = bytearray(path.read_bytes())
            content[600 * KIB] ^= 1
            path.write_bytes(content)
        case "truncate":
            os.truncate(path, 600 * KIB)
        case "remove":
            path.unlink()
