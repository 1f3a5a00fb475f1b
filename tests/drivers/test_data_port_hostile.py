"""The data port and those who do not keep to its protocol: strangers, liars, and the slow."""

import asyncio
import socket
import struct
import threading

import msgpack
import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import (
    ChunkCorrupt,
    FrameCorrupt,
    PeerUnreachable,
)
from fluffy.base.hashing import chunk_id_of, xxh3_of
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
    encode_answer,
    encode_request,
)
from fluffy.wire.frames import PREFIX, decode_header, encode_head
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
    within,
)


@pytest.fixture
async def one(tmp_path):
    async with data_nodes(tmp_path, 1) as nodes:
        yield nodes


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
