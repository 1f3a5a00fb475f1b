"""The data port over real sockets: what it carries, what it refuses, and what it costs nobody else."""

import asyncio
import socket
import struct
import threading
import time
from concurrent.futures import Future

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.base.deadline import Deadline
from fluffy.base.errors import (
    ChunkCorrupt,
    ChunkNotFound,
    DeadlineExceeded,
    DiskFull,
    FrameCorrupt,
    Overloaded,
    PeerUnreachable,
    RangeIllegal,
)
from fluffy.base.hashing import chunk_id_of, xxh3_of
from fluffy.base.units import KIB, MIB
from fluffy.drivers.data_port import limits
from fluffy.drivers.data_port.client import DataPortClient
from fluffy.wire.chunk_messages import (
    CHUNK_HEADER_BYTES_MAX,
    Answer,
    GetChunk,
    HasChunk,
    Ping,
    PutChunk,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from fluffy.wire.frames import PREFIX, decode_header, encode_head
from fluffy.wire.handshake import Handshake, derive_key
from tests.support.data_nodes import CHUNK_SIZE, SECRET, data_nodes, identity, some_bytes

SOON = 10.0


@pytest.fixture
async def one(tmp_path):
    async with data_nodes(tmp_path, 1) as nodes:
        yield nodes


def node(nodes):
    return nodes.nodes[1]


async def put(nodes, data):
    chunk_id = chunk_id_of(data)
    await nodes.client.put_chunk(1, chunk_id, xxh3_of(data), memoryview(bytearray(data)), Deadline.after(SOON))
    return chunk_id


async def get(nodes, chunk_id, size, offset=0):
    out = bytearray(size)
    xxh3 = await nodes.client.get_chunk(1, chunk_id, memoryview(out), Deadline.after(SOON), offset=offset)
    assert xxh3 == xxh3_of(out)
    return bytes(out)


async def everything_is_released(nodes):
    """Every buffer is back and no task is left, within a moment."""
    return await within(5, lambda: node(nodes).buffers.free_buffers == 4
                        and not any(connection.tasks for connection in node(nodes).server._known))


async def within(seconds, holds):
    for _ in range(int(seconds / 0.01)):
        if holds():
            return True
        await asyncio.sleep(0.01)
    return holds()


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
    assert (await one.client.ping(1, Deadline.after(SOON))) == {"free_bytes": 0}
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


# --- a peer that does not keep to the protocol


class Raw:
    """A socket that can shake hands properly and then say anything."""

    def __init__(self, port):
        self.loop = asyncio.get_running_loop()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)

    async def shake_hands(self, secret=SECRET):
        handshake = Handshake("dial", derive_key(secret, "data"), identity("raw"))
        while not handshake.done:
            answer = handshake.receive(await self.loop.sock_recv(self.socket, 4096))
            if answer:
                await self.send(answer)
        return self

    async def send(self, data):
        await self.loop.sock_sendall(self.socket, data)

    async def answer(self):
        data = b""
        while len(data) < PREFIX.size or len(data) < PREFIX.size + sum(PREFIX.unpack_from(data)):
            part = await self.loop.sock_recv(self.socket, 1 << 20)
            if not part:
                return None
            data += part
        header_bytes, payload_bytes = PREFIX.unpack_from(data)
        return decode_answer(decode_header(data[PREFIX.size:PREFIX.size + header_bytes]), payload_bytes)

    async def is_closed(self, within_s=2.0):
        try:
            async with asyncio.timeout(within_s):
                while True:
                    if not await self.loop.sock_recv(self.socket, 65536):
                        return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.socket.close()


def nested(depth):
    return b"\x91" * depth + b"\xc0"


HOSTILE = {
    "a header longer than allowed": PREFIX.pack(CHUNK_HEADER_BYTES_MAX + 1, 0),
    "a header of 4 GiB": PREFIX.pack(0xFFFFFFFF, 0),
    "a payload of 4 GiB": PREFIX.pack(10, 0xFFFFFFFF),
    "an empty header": PREFIX.pack(0, 0),
    "a header that is no msgpack": PREFIX.pack(4, 0) + b"\xc1\xc1\xc1\xc1",
    "a deeply nested header": PREFIX.pack(2001, 0) + nested(2000),
    "a map that says it has four billion entries": PREFIX.pack(5, 0) + b"\xdf\xff\xff\xff\xff",
    "an extension type": PREFIX.pack(6, 0) + b"\xc7\x03\x01abc",
    "a list": encode_head({}, 0)[:0] + PREFIX.pack(1, 0) + msgpack.packb([]),
    "an unknown request": encode_head({"op": "rm", "i": 1}, 0),
    "a request without a number": encode_head({"op": "ping"}, 0),
    "a negative number": encode_head({"op": "ping", "i": -1}, 0),
    "a get of nothing": encode_head({"op": "get", "i": 1, "c": bytes(32), "o": 0, "n": 0}, 0),
    "a get of a terabyte": encode_head({"op": "get", "i": 1, "c": bytes(32), "o": 0, "n": 1 << 40}, 0),
    "a get with a path for a name": encode_head({"op": "get", "i": 1, "c": "../../etc/passwd", "o": 0, "n": 1}, 0),
    "a get with a payload": encode_head({"op": "get", "i": 1, "c": bytes(32), "o": 0, "n": 1}, 10),
    "a put without a payload": encode_head({"op": "put", "i": 1, "c": bytes(32), "x": bytes(16)}, 0),
    "a put larger than a chunk": encode_head({"op": "put", "i": 1, "c": bytes(32), "x": bytes(16)}, CHUNK_SIZE + 1),
    "a put with a short name": encode_head({"op": "put", "i": 1, "c": bytes(31), "x": bytes(16)}, 10),
    "noise": bytes(range(256)) * 40,
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_garbage_from_a_known_peer_closes_its_connection_and_no_other(one, name):
    chunk_id = await put(one, some_bytes(5000))
    raw = await Raw(node(one).server.port).shake_hands()
    await raw.send(HOSTILE[name])
    assert await raw.is_closed()
    raw.close()
    assert await get(one, chunk_id, 5000) == some_bytes(5000)
    assert await everything_is_released(one)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", bytes(500), b"FLUFFY\x00\x01" + bytes(32) + b"\xff\xff"],
                         ids=["http", "zeros", "an identity of 64 KiB"])
async def test_garbage_instead_of_a_handshake_closes_the_connection(one, data):
    raw = Raw(node(one).server.port)
    await raw.send(data)
    assert await raw.is_closed()
    raw.close()
    assert node(one).server.connections == 0


async def test_speaking_before_the_handshake_is_over_closes_the_connection(one):
    raw = Raw(node(one).server.port)
    handshake = Handshake("dial", derive_key(SECRET, "data"), identity("raw"))
    hello = handshake.receive(await raw.loop.sock_recv(raw.socket, 4096))
    await raw.send(hello + encode_request(Ping(1)))
    assert await raw.is_closed()
    raw.close()


async def test_strangers_who_say_nothing_are_closed_and_cannot_keep_nodes_out(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "UNAUTHENTICATED_MAX", 8)
    async with data_nodes(tmp_path, 1) as nodes:
        silent = [Raw(node(nodes).server.port) for _ in range(30)]
        await asyncio.sleep(0.1)
        assert node(nodes).server.connections <= 8
        chunk_id = await put(nodes, some_bytes(5000))
        assert await get(nodes, chunk_id, 5000) == some_bytes(5000)
        for raw in silent:
            raw.close()


async def test_slow_connections_end_strangers_idle_peers_half_frames_and_those_who_do_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SWEEP_EVERY_S", 0.05)
    for name in ("HANDSHAKE_S", "IDLE_S", "FRAME_S", "SEND_STALL_S", "FRAME_S_PER_MIB"):
        monkeypatch.setattr(limits, name, 0.3)
    async with data_nodes(tmp_path, 1) as nodes:
        chunk_id = await put(nodes, some_bytes(CHUNK_SIZE))
        stranger = Raw(node(nodes).server.port)
        idle = await Raw(node(nodes).server.port).shake_hands()
        half = await Raw(node(nodes).server.port).shake_hands()
        await half.send(encode_request(PutChunk(1, chunk_id, bytes(16)), CHUNK_SIZE) + b"a few bytes")
        deaf = await Raw(node(nodes).server.port).shake_hands()
        for number in range(40):
            await deaf.send(encode_request(GetChunk(number, chunk_id, 0, CHUNK_SIZE)))
        assert await within(10, lambda: node(nodes).server.connections == 0)
        for raw in (stranger, idle, half, deaf):
            raw.close()
        assert await everything_is_released(nodes)


async def test_one_peer_cannot_take_all_memory(tmp_path):
    async with data_nodes(tmp_path, 1, buffers=4) as nodes:
        greedy = [await Raw(node(nodes).server.port).shake_hands() for _ in range(3)]
        for raw in greedy:  # three half puts hold three buffers
            await raw.send(encode_request(PutChunk(1, bytes(32), bytes(16)), CHUNK_SIZE) + b"x")
        chunk_id = await put(nodes, some_bytes(5000))
        assert await nodes.client.has_chunk(1, chunk_id, Deadline.after(SOON))
        for raw in greedy:
            raw.close()
        assert await everything_is_released(nodes)


async def test_one_connection_holds_no_more_than_its_share_of_memory_while_the_disk_is_slow(tmp_path):
    async with data_nodes(tmp_path, 1, buffers=12) as nodes:
        gate = threading.Event()
        node(nodes).store.put = lambda *arguments: gate.wait(10)
        raw = await Raw(node(nodes).server.port).shake_hands()
        put_frame = encode_request(PutChunk(1, bytes(32), bytes(16)), 1000) + bytes(1000)
        for _ in range(12):
            await raw.send(put_frame)
        free = [node(nodes).buffers.free_buffers]
        for _ in range(20):
            await asyncio.sleep(0.01)
            free.append(node(nodes).buffers.free_buffers)
        gate.set()
        for _ in range(3):
            assert (await raw.answer()).error is None
        raw.close()
        assert min(free) == 12 - limits.PAYLOADS_PER_CONNECTION_MAX == free[-1]


async def test_one_connection_has_a_bounded_number_of_requests_in_work(one):
    gate = threading.Event()
    node(one).store.length = lambda chunk_id: gate.wait(10)
    raw = await Raw(node(one).server.port).shake_hands()
    for number in range(3 * limits.REQUESTS_PER_CONNECTION_MAX):
        await raw.send(encode_request(HasChunk(number, bytes(32))))
    await asyncio.sleep(0.1)
    (connection,) = node(one).server._known
    in_work = len(connection.tasks)
    gate.set()
    assert in_work == limits.REQUESTS_PER_CONNECTION_MAX
    answers = b""
    while len(answers) < 3 * limits.REQUESTS_PER_CONNECTION_MAX * len(encode_answer(Answer(1, has=True))):
        answers += await raw.loop.sock_recv(raw.socket, 65536)
    raw.close()


async def test_a_filled_up_put_is_refused_for_its_hash(one):
    raw = await Raw(node(one).server.port).shake_hands()
    data = some_bytes(5000)
    await raw.send(encode_request(PutChunk(7, chunk_id_of(data), xxh3_of(data)), 5000) + data[:1000] + bytes(4000))
    answer = await raw.answer()
    assert answer.number == 7 and isinstance(answer.error, ChunkCorrupt)
    raw.close()


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


# --- the client against a server that does not keep to the protocol


@pytest.mark.parametrize("reply", [
    encode_answer(Answer(999, has=True)),
    encode_head({"i": 1, "x": bytes(16)}, 7) + b"toolong",
    encode_head({"i": 1}, 5) + b"bytes",
    encode_head({"i": 1, "e": 5, "m": "x"}, 0),
    struct.pack("<II", 0xFFFF, 0),
], ids=["an answer to nothing", "another size", "bytes without a hash", "an odd error", "a long header"])
async def test_an_odd_answer_breaks_the_connection_and_is_an_unreachable_peer(reply):
    async with odd_server(reply) as client:
        out = bytearray(5)
        with pytest.raises(PeerUnreachable):
            await client.get_chunk(1, chunk_id_of(b"x"), memoryview(out), Deadline.after(SOON))


async def test_a_request_given_up_while_its_answer_arrives_leaves_the_memory_and_the_connection_alone():
    rest = asyncio.Event()
    first = encode_answer(Answer(1, xxh3=bytes(16)), 1000) + bytes(500)
    second = b"x" * 500 + encode_answer(Answer(2, has=True))
    async with odd_server(first, rest, second) as client:
        out = bytearray(b"-" * 1000)
        async with asyncio.TaskGroup() as group:
            getting = group.create_task(client.get_chunk(1, chunk_id_of(b"x"), memoryview(out), Deadline.after(SOON)))
            assert await within(5, lambda: out[0] == 0)
            getting.cancel()
        rest.set()
        assert await client.has_chunk(1, chunk_id_of(b"x"), Deadline.after(SOON))
        assert out == bytes(500) + b"-" * 500


async def test_bytes_that_changed_on_the_way_are_not_given_out():
    async with odd_server(encode_answer(Answer(1, xxh3=bytes(16)), 5) + b"bytes") as client:
        with pytest.raises(FrameCorrupt):
            await client.get_chunk(1, chunk_id_of(b"x"), memoryview(bytearray(5)), Deadline.after(SOON))


class odd_server:
    """Shakes hands, waits for a request, sends `reply`; later, when told so and asked again, `more`; then nothing."""

    def __init__(self, reply, gate=None, more=b""):
        self.reply = reply
        self.gate = gate
        self.more = more

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.client = DataPortClient(lambda no: ("127.0.0.1", port), SECRET, identity("asker"))
        return self.client

    async def serve(self, reader, writer):
        handshake = Handshake("accept", derive_key(SECRET, "data"), identity("odd"))
        writer.write(handshake.start())
        while not handshake.done:
            writer.write(handshake.receive(await reader.read(4096)))
        await reader.read(4096)
        writer.write(self.reply)
        await writer.drain()
        if self.gate is not None:
            await self.gate.wait()
            await reader.read(4096)
            writer.write(self.more)
        await reader.read(1)
        writer.close()

    async def __aexit__(self, *exc):
        await self.client.close()
        self.server.close()
        await self.server.wait_closed()
        await asyncio.sleep(0.02)


# --- the messages

numbers = st.integers(0, 2**53 - 1)
ids = st.binary(min_size=32, max_size=32)
hashes = st.binary(min_size=16, max_size=16)
requests = st.one_of(
    st.builds(PutChunk, numbers, ids, hashes),
    st.builds(GetChunk, numbers, ids, numbers, st.integers(1, 64 * MIB)),
    st.builds(HasChunk, numbers, ids), st.builds(Ping, numbers))


@given(requests)
def test_requests_survive_the_wire(request):
    payload_bytes = 5 if isinstance(request, PutChunk) else 0
    encoded = encode_request(request, payload_bytes)
    assert len(encoded) <= PREFIX.size + CHUNK_HEADER_BYTES_MAX
    assert decode_request(decode_header(encoded[PREFIX.size:]), payload_bytes) == request


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(["op", "i", "c", "x", "o", "n", "e", "m", "h", "f"]),
                       st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5), ids, hashes, st.floats())),
       st.sampled_from([0, 5]))
def test_any_map_is_a_message_or_frame_corrupt(header, payload_bytes):
    for decode in (decode_request, decode_answer):
        try:
            decode(header, payload_bytes)
        except FrameCorrupt:
            pass


def test_golden_bytes_of_the_messages():
    """Other versions of Fluffy speak these."""
    chunk_id = bytes(range(32))
    golden = {
        PutChunk(1, chunk_id, bytes(16)): "84a26f70a3707574a16901a163c420" + chunk_id.hex() + "a178c410" + "00" * 16,
        GetChunk(2, chunk_id, 3, 4): "85a26f70a3676574a16902a163c420" + chunk_id.hex() + "a16f03a16e04",
        HasChunk(3, chunk_id): "83a26f70a3686173a16903a163c420" + chunk_id.hex(),
        Ping(4): "82a26f70a470696e67a16904",
    }
    for message, expected in golden.items():
        assert encode_request(message)[PREFIX.size:].hex() == expected
    assert encode_answer(Answer(5, ChunkNotFound("gone")))[8:].hex() == (
        "83a16905a165ad4368756e6b4e6f74466f756e64a16da4676f6e65")
    assert encode_answer(Answer(6, has=True, free_bytes=7))[8:].hex() == "83a16906a16801a16607"
