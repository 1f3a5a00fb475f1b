"""The data port over real sockets: what it carries, what it refuses, and what it costs nobody else."""

import asyncio
import socket
import time
from concurrent.futures import Future

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import (
    ChunkCorrupt,
    ChunkNotFound,
    DeadlineExceeded,
    DiskFull,
    Overloaded,
    PeerUnreachable,
    RangeIllegal,
)
from fluffy.base.hashing import chunk_id_of, xxh3_of
from fluffy.base.units import KIB, MIB
from fluffy.core.metadata.commands import FEATURE_LEVEL
from fluffy.drivers.data_port import limits
from fluffy.drivers.data_port.client import DataPortClient
from fluffy.wire.chunk_messages import Urgency
from fluffy.wire.handshake import Handshake, derive_key
from tests.support.data_nodes import (
    CHUNK_SIZE,
    SECRET,
    SOON,
    data_nodes,
    everything_is_released,
    get,
    identity,
    node,
    put,
    some_bytes,
)


@pytest.fixture
async def one(tmp_path):
    async with data_nodes(tmp_path, 1) as nodes:
        yield nodes


@pytest.mark.parametrize("size", [1, 5000, 300 * KIB, MIB + 1, CHUNK_SIZE])
async def test_a_chunk_goes_there_and_comes_back_whole_and_in_parts(one, size):
    data = some_bytes(size)
    chunk_id = await put(one, data)
    assert await one.client.has_chunk(1, chunk_id, Deadline.after(SOON))
    for _ in range(2):  # cold, then warm
        assert await get(one, chunk_id, size) == data
    assert await get(one, chunk_id, size - size // 2, size // 2) == data[size // 2:]
    file = node(one).store.open_verified(chunk_id, 0, size)  # into the page cache: now sendfile
    file.close()
    assert await get(one, chunk_id, size) == data
    assert await everything_is_released(one)


async def test_a_node_says_of_itself_what_it_was_given_to_say(one):
    assert await one.client.about(1, Deadline.after(SOON)) == {"version": "test", "level": 3}
    assert await everything_is_released(one)


async def test_many_requests_share_few_connections_and_each_gets_its_own_answer(one):
    chunks = {await put(one, some_bytes(size)): size for size in range(1000, 400_000, 40_000)}

    async def check(chunk_id, size):
        assert await get(one, chunk_id, size) == some_bytes(size)

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            for chunk_id, size in chunks.items():
                group.create_task(check(chunk_id, size))
    assert node(one).server.connections <= limits.CONNECTIONS_PER_PEER


async def test_refusals_come_back_as_their_errors_and_the_connection_goes_on(one):
    absent = chunk_id_of(b"absent")
    with pytest.raises(ChunkNotFound):
        await get(one, absent, 10)
    assert not await one.client.has_chunk(1, absent, Deadline.after(SOON))
    chunk_id = await put(one, some_bytes(5000))
    with pytest.raises(RangeIllegal):
        await get(one, chunk_id, 2, 4999)
    with pytest.raises(ChunkCorrupt):
        await one.client.put_chunk(1, absent, bytes(16), memoryview(b"wrong"), Deadline.after(SOON))
    node(one).store._reserve_bytes = 1 << 60
    with pytest.raises(DiskFull):
        await put(one, some_bytes(6000))
    assert (await one.client.ping(1, Deadline.after(SOON))) == {"free_bytes": 0, "level": FEATURE_LEVEL}
    assert node(one).server.connections == 1
    assert await everything_is_released(one)


@pytest.mark.parametrize("size", [5000, MIB + 5])
async def test_a_bad_copy_is_refused_at_its_source_and_set_aside_there(one, size):
    chunk_id = await put(one, some_bytes(size))
    path = node(one).store.path_of(chunk_id)
    path.write_bytes(b"\x00\x01\x02" + path.read_bytes()[3:])
    with pytest.raises(ChunkCorrupt):
        await get(one, chunk_id, size)
    with pytest.raises(ChunkNotFound):
        await get(one, chunk_id, size)
    assert len(node(one).store.quarantined()) == 1


async def test_a_peer_with_another_secret_gets_nothing(one, tmp_path):
    stranger = DataPortClient(lambda no: ("127.0.0.1", node(one).server.port), b"x" * 32, identity("stranger"))
    with pytest.raises(PeerUnreachable):
        await stranger.has_chunk(1, chunk_id_of(b"x"), Deadline.after(SOON))
    await stranger.close()


async def test_a_peer_of_another_cluster_is_turned_away(one, caplog):
    stranger = DataPortClient(lambda no: ("127.0.0.1", node(one).server.port), SECRET, identity("far", "other"))
    with pytest.raises(PeerUnreachable):
        await stranger.has_chunk(1, chunk_id_of(b"x"), Deadline.after(SOON))
    await stranger.close()
    assert [record.message for record in caplog.records] == ["data_port.other_cluster"]


async def test_a_node_behind_a_wrong_port_is_not_believed(one):
    confused = DataPortClient(lambda no: ("127.0.0.1", node(one).server.port), SECRET, identity("asker"),
                              names=lambda no: "node2")
    with pytest.raises(PeerUnreachable):
        await confused.has_chunk(2, chunk_id_of(b"x"), Deadline.after(SOON))
    await confused.close()


async def test_a_dead_peer_costs_one_failure_and_then_nothing_for_a_moment(tmp_path):
    async with data_nodes(tmp_path, 1) as nodes:
        port = node(nodes).server.port
    dials = []
    client = DataPortClient(lambda no: (dials.append(no), ("127.0.0.1", port))[1], SECRET, identity("asker"))
    for _ in range(20):
        began_s = time.monotonic()
        with pytest.raises(PeerUnreachable):
            await client.has_chunk(1, chunk_id_of(b"x"), Deadline.after(SOON))
        assert time.monotonic() - began_s < 0.2
    assert len(dials) == 1
    await client.close()


async def test_a_peer_that_came_back_is_used_again_without_an_error(tmp_path):
    async with data_nodes(tmp_path, 1) as nodes:
        chunk_id = await put(nodes, some_bytes(5000))
        for connection in list(node(nodes).server._known):
            connection.abort()  # as a restart would
        await asyncio.sleep(0.05)
        assert await get(nodes, chunk_id, 5000) == some_bytes(5000)


async def test_a_connection_that_breaks_under_a_request_is_replaced_if_it_worked_before(one):
    chunk_id = await put(one, some_bytes(5000))
    store, real = node(one).store, node(one).store.read
    reads = []

    def read_once_broken(*arguments):
        reads.append(arguments)
        if len(reads) == 1:
            for connection in list(node(one).server._known):
                loop.call_soon_threadsafe(connection.abort)
            time.sleep(0.05)
        return real(*arguments)

    loop = asyncio.get_running_loop()
    store.read = read_once_broken
    assert await get(one, chunk_id, 5000) == some_bytes(5000)
    assert len(reads) == 2


async def test_a_hung_peer_is_given_up_after_a_silence_and_not_asked_for_a_while(monkeypatch):
    monkeypatch.setattr(limits, "SILENCE_S", 0.2)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    loop = asyncio.get_running_loop()
    accepted = []

    async def hang():
        """A peer that shakes hands and then never says another word."""
        taken, _ = await loop.sock_accept(listener)
        accepted.append(taken)
        handshake = Handshake("accept", derive_key(SECRET, "data"), identity("node1"))
        await loop.sock_sendall(taken, handshake.start())
        while not handshake.done:
            await loop.sock_sendall(taken, handshake.receive(await loop.sock_recv(taken, 4096)))

    client = DataPortClient(lambda no: listener.getsockname(), SECRET, identity("asker"))
    async with asyncio.TaskGroup() as group:
        group.create_task(hang())
        with pytest.raises(DeadlineExceeded):
            await client.has_chunk(1, chunk_id_of(b"x"), Deadline.after(0.3))
    began_s = time.monotonic()
    with pytest.raises(PeerUnreachable):
        await client.has_chunk(1, chunk_id_of(b"x"), Deadline.after(SOON))
    assert time.monotonic() - began_s < 0.2
    await client.close()
    accepted[0].close()
    listener.close()


async def test_cancelling_requests_in_the_middle_leaves_memory_alone_and_the_connection_usable(one):
    data = some_bytes(CHUNK_SIZE)
    chunk_id = await put(one, data)
    await one.client.has_chunk(1, chunk_id, Deadline.after(SOON))
    for attempt in range(40):
        out, source = bytearray(CHUNK_SIZE), bytearray(data)
        async with asyncio.TaskGroup() as group:
            getting = group.create_task(one.client.get_chunk(1, chunk_id, memoryview(out), Deadline.after(SOON)))
            putting = group.create_task(one.client.put_chunk(
                1, chunk_id, xxh3_of(data), memoryview(source), Deadline.after(SOON)))
            for _ in range(attempt % 20):
                await asyncio.sleep(0)
            getting.cancel()
            putting.cancel()
        before = bytes(out)
        source[:] = bytes(CHUNK_SIZE)  # the caller's again: must not reach the disk under the chunk's name
        assert await get(one, chunk_id, CHUNK_SIZE) == data
        assert bytes(out) == before
    assert node(one).server.connections <= limits.CONNECTIONS_PER_PEER
    assert node(one).store.quarantined() == []
    assert await everything_is_released(one)


async def test_when_all_memory_is_taken_puts_wait_and_then_are_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "BUFFER_WAIT_S", 0.1)
    async with data_nodes(tmp_path, 1) as nodes:
        held = [node(nodes).buffers.try_acquire() for _ in range(4)]
        with pytest.raises(Overloaded):
            await put(nodes, some_bytes(CHUNK_SIZE))
        monkeypatch.setattr(limits, "BUFFER_WAIT_S", 5.0)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(put(nodes, some_bytes(CHUNK_SIZE, 1)))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            for buffer in held:
                buffer.release()
        assert await get(nodes, waiting.result(), CHUNK_SIZE) == some_bytes(CHUNK_SIZE, 1)
        assert await everything_is_released(nodes)


async def test_the_server_ends_with_requests_in_work_and_leaves_nothing(tmp_path):
    async with data_nodes(tmp_path, 1) as nodes:
        real = node(nodes).store.put
        began = Future()

        def slow_put(*arguments):
            began.set_result(None)
            time.sleep(0.2)
            real(*arguments)

        node(nodes).store.put = slow_put
        async with asyncio.TaskGroup() as group:
            putting = group.create_task(put(nodes, some_bytes(5000)))
            await asyncio.wrap_future(began)
            await node(nodes).server.__aexit__(None, None, None)
        assert putting.result() == chunk_id_of(some_bytes(5000))  # drained, not dropped
        assert node(nodes).buffers.free_buffers == 4


async def test_background_gets_wait_at_the_gate_and_users_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "BACKGROUND_WAIT_S", 0.1)
    async with data_nodes(tmp_path, 1, background_slots=1) as nodes:
        data = some_bytes(5000)
        chunk_id = await put(nodes, data)
        gate = node(nodes).server.background
        for urgency in (Urgency.BACKGROUND, Urgency.ENDANGERED):
            out = memoryview(bytearray(5000))
            await nodes.client.get_chunk(1, chunk_id, out, Deadline.after(SOON), urgency=urgency)
            assert out == data
        assert gate.moved_bytes == 10_000
        async with gate.reserve(1, Deadline.after(1)):
            with pytest.raises(Overloaded):
                await nodes.client.get_chunk(1, chunk_id, out, Deadline.after(SOON), urgency=Urgency.BACKGROUND)
            await nodes.client.get_chunk(1, chunk_id, out, Deadline.after(SOON), urgency=Urgency.ENDANGERED)
            assert await get(nodes, chunk_id, 5000) == data
