"""Writing a chunk: the quorum is real, failures hand over, stragglers are left behind, memory comes back."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DiskFull, NotEnoughCopies, Overloaded, PeerUnreachable
from fluffy.base.hashing import chunk_id_of
from fluffy.core.metadata.commands import NodeState
from fluffy.core.metadata.model import PlacementMap
from fluffy.core.placement import place
from fluffy.drivers.chunk_files import ChunkFiles
from fluffy.services import chunk_writer
from fluffy.services.chunk_writer import ChunkWriter
from tests.support.data_nodes import data_nodes, some_bytes
from tests.support.scripted_peers import Behaviour, ScriptedPeers

OWN = 1


class World:
    def __init__(self, folder, threads, nodes=5, **writer):
        self.store = ChunkFiles(folder, fsync=False)
        self.peers = ScriptedPeers()
        self.map = PlacementMap(1, tuple(NodeState(no, "up", "", 1) for no in range(1, nodes + 1)))
        self.writer = ChunkWriter(OWN, self.store, self.peers, lambda: self.map, 3, 2, threads, **writer)
        self.data = some_bytes(50_000)
        self.chunk_id = chunk_id_of(self.data)
        self.order = place(self.chunk_id, self.map, 3, OWN)

    async def write(self, seconds=10.0):
        return await self.writer.write(memoryview(self.data), Deadline.after(seconds))

    def holders(self):
        own = {OWN} if self.store.path_of(self.chunk_id).exists() else set()
        return own | {no for no, chunks in self.peers.chunks.items() if self.chunk_id in chunks}


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def world(tmp_path, threads):
    return World(tmp_path, threads)


async def test_three_copies_own_node_first(world):
    written = await world.write()
    assert written.chunk_id == world.chunk_id and written.length == 50_000
    assert set(written.replicas) == set(world.order[:3]) == world.holders()
    assert OWN in written.replicas


async def test_a_failing_node_is_replaced_by_the_next_candidate(world):
    world.peers.behaviours[world.order[1]] = Behaviour(error=PeerUnreachable())
    world.peers.behaviours[world.order[3]] = Behaviour(error=DiskFull())
    written = await world.write()
    assert set(written.replicas) == {world.order[0], world.order[2], world.order[4]} == world.holders()


async def test_a_broken_own_disk_is_replaced_too(world):
    world.store._reserve_bytes = 1 << 60
    written = await world.write()
    assert set(written.replicas) == set(world.order[1:4]) == world.holders()


async def test_too_few_nodes_is_an_error_that_names_the_reasons(world):
    for no in world.order[1:]:
        world.peers.behaviours[no] = Behaviour(error=PeerUnreachable())
    with pytest.raises(NotEnoughCopies) as caught:
        await world.write()
    assert caught.value.facts["failures"] == {str(no): "PeerUnreachable" for no in world.order[1:]}


async def test_nodes_that_are_down_by_the_map_are_asked_when_there_are_too_few_others(tmp_path, threads):
    """The map may be older than the truth; a write need not fail for that."""
    world = World(tmp_path, threads, nodes=3)
    world.map = PlacementMap(2, tuple(NodeState(no, "up" if no == OWN else "down", "", 1) for no in (1, 2, 3)))
    assert len((await world.write()).replicas) >= 2
    world.map = PlacementMap(3, tuple(NodeState(no, "down" if no == 3 else "up", "", 1) for no in (1, 2, 3)))
    world.data = some_bytes(60_000)
    assert set((await world.write()).replicas) == {1, 2}, "with a quorum nobody waits for who is down"


async def test_full_disks_everywhere_are_a_full_disk(world):
    world.store._reserve_bytes = 1 << 60
    world.peers.behaviours = {no: Behaviour(error=DiskFull()) for no in world.order}
    with pytest.raises(DiskFull):
        await world.write()


async def test_no_candidates_at_all(world):
    world.map = PlacementMap(2, ())
    with pytest.raises(NotEnoughCopies):
        await world.write()


async def test_nodes_that_start_a_moment_later_are_waited_for(tmp_path, threads, monkeypatch):
    """A node that is just ready: the others' data ports open a moment after its own."""
    monkeypatch.setattr(chunk_writer, "MEETING_AGAIN_S", 0.02)
    world = World(tmp_path, threads, nodes=3, may_wait=lambda: True)
    world.peers.behaviours = {no: Behaviour(error=PeerUnreachable()) for no in (2, 3)}
    asyncio.get_running_loop().call_later(0.1, world.peers.behaviours.clear)
    assert set((await world.write()).replicas) == {1, 2, 3}
    assert len(world.peers.puts) > 4


async def test_too_few_nodes_are_waited_for_as_long_as_that_makes_sense(tmp_path, threads, monkeypatch):
    monkeypatch.setattr(chunk_writer, "MEETING_AGAIN_S", 0.01)
    monkeypatch.setattr(chunk_writer, "MEETING_PATIENCE_S", 0.1)
    is_majority = [True]
    world = World(tmp_path, threads, nodes=3, may_wait=lambda: is_majority[0])
    world.peers.behaviours = {no: Behaviour(error=PeerUnreachable()) for no in (2, 3)}
    with pytest.raises(NotEnoughCopies):
        await world.write()
    tries = len(world.peers.puts)
    assert tries > 4, "it tried again"
    is_majority[0] = False  # nothing could be agreed on either
    with pytest.raises(NotEnoughCopies):
        await world.write()
    assert len(world.peers.puts) == tries + 2
    is_majority[0] = True
    world.peers.behaviours = {no: Behaviour(error=DiskFull()) for no in (2, 3)}
    with pytest.raises(DiskFull):
        await world.write()
    assert len(world.peers.puts) == tries + 4, "full disks do not come back within seconds"


async def test_a_straggler_is_left_behind_once_the_quorum_had_patience(tmp_path, threads):
    world = World(tmp_path, threads, nodes=3, straggler_patience_s=0.05)
    late = world.order[2]
    world.peers.behaviours[late] = Behaviour(gate=asyncio.Event())
    began_s = time.monotonic()
    written = await world.write()
    assert set(written.replicas) == set(world.order[:2])
    assert time.monotonic() - began_s < 2
    assert world.peers.cancelled == [late] and world.peers.in_work[late] == 0


async def test_a_node_that_was_late_once_holds_up_the_next_chunks_only_for_a_moment(tmp_path, threads, monkeypatch):
    monkeypatch.setattr(chunk_writer, "LATE_PATIENCE_S", 0.01)
    world = World(tmp_path, threads, nodes=3, straggler_patience_s=0.5)
    world.peers.behaviours[3] = Behaviour(gate=asyncio.Event())
    took_s = []
    for seed in range(6):
        world.data = some_bytes(50_000, seed)
        began_s = time.monotonic()
        assert set((await world.write()).replicas) == {1, 2}
        took_s.append(time.monotonic() - began_s)
    assert took_s[0] > 0.5 and sum(took_s[1:]) < 0.5
    world.peers.behaviours[3].gate.set()
    assert set((await world.write()).replicas) == {1, 2, 3}
    assert not world.writer._is_late(3)


async def test_a_late_node_is_not_chosen_while_there_are_others(world):
    late = world.order[1]
    world.writer.note_late({late})
    assert late not in (await world.write()).replicas


async def test_without_the_quorum_stragglers_are_waited_for_and_slow_ones_get_a_stand_in(tmp_path, threads):
    world = World(tmp_path, threads, slow_after_s=0.05, straggler_patience_s=0.01)
    world.peers.behaviours = {no: Behaviour(gate=asyncio.Event()) for no in world.order[1:3]}
    written = await world.write()
    assert set(written.replicas) in ({OWN, world.order[3]}, {OWN, world.order[3], world.order[4]})


async def test_the_deadline_without_a_quorum_is_not_enough_copies(tmp_path, threads):
    world = World(tmp_path, threads, nodes=3)
    world.peers.behaviours = {no: Behaviour(gate=asyncio.Event()) for no in world.order[1:]}
    with pytest.raises(NotEnoughCopies):
        await world.write(seconds=0.1)
    assert sum(world.peers.in_work.values()) == 0


async def test_cancelling_ends_every_sender_before_it_returns(world):
    world.peers.behaviours = {no: Behaviour(gate=asyncio.Event()) for no in world.order[1:]}
    entered, gate = threading.Event(), threading.Event()
    real = world.store.put

    def slow_put(*arguments):
        entered.set()
        assert gate.wait(10)
        real(*arguments)

    world.store.put = slow_put
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(world.write())
        await asyncio.to_thread(entered.wait, 10)
        writing.cancel()
        await asyncio.sleep(0.05)
        assert not writing.done()  # the own disk still reads the caller's memory
        gate.set()
    assert writing.cancelled()
    assert sum(world.peers.in_work.values()) == 0
    assert world.writer._slots._value == chunk_writer.CHUNKS_IN_FLIGHT_MAX


async def test_chunks_in_flight_are_bounded(world, monkeypatch):
    world.writer._slots = asyncio.Semaphore(1)
    world.peers.behaviours = {no: Behaviour(gate=asyncio.Event()) for no in world.order[1:]}
    async with asyncio.TaskGroup() as group:
        first = group.create_task(world.write())
        await asyncio.sleep(0.02)
        with pytest.raises(Overloaded):
            await world.write(seconds=0.02)
        first.cancel()


async def test_over_real_ports_one_node_dead(tmp_path, threads):
    async with data_nodes(tmp_path, 4) as nodes:
        own = nodes.nodes[1]
        writer = ChunkWriter(1, own.store, nodes.client, nodes.placement, 3, 2, threads)
        data = some_bytes(1_500_000)
        chunk_id = chunk_id_of(data)
        order = place(chunk_id, nodes.placement(), 3, 1)
        await nodes.nodes[order[1]].server.__aexit__(None, None, None)
        written = await writer.write(memoryview(bytearray(data)), Deadline.after(10))
        assert set(written.replicas) == {1, order[2], order[3]}
        for no in written.replicas:
            assert nodes.nodes[no].store.length(chunk_id) == len(data)
