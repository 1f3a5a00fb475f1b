"""What every `NodeClient` does: the real data port and the one that other rooms' tests use in its place."""

from contextlib import asynccontextmanager

import pytest

from fluffy.base.deadline import Deadline
from fluffy.base.errors import ChunkCorrupt, ChunkNotFound, PeerUnreachable, RangeIllegal
from fluffy.base.hashing import chunk_id_of, xxh3_of
from tests.support.data_nodes import SOON, data_nodes, some_bytes
from tests.support.node_stores import node_stores


@asynccontextmanager
async def over_the_wire(folder):
    async with data_nodes(folder, 2) as nodes:
        async def end_node_2():
            await nodes.nodes[2].server.__aexit__(None, None, None)

        yield nodes.client, end_node_2, nodes.nodes[1].store


@asynccontextmanager
async def without_a_wire(folder):
    stores = node_stores(folder, 2)

    async def end_node_2():
        stores.away.add(2)

    yield stores, end_node_2, stores.stores[1]


@pytest.fixture(params=[over_the_wire, without_a_wire])
async def world(request, tmp_path):
    async with request.param(tmp_path) as world:
        yield world


def soon():
    return Deadline.after(SOON)


@pytest.mark.parametrize("size", [1, 300_000, 1_500_000])
async def test_what_was_put_is_had_and_got_whole_and_in_parts(world, size):
    client, _, _ = world
    data = some_bytes(size)
    chunk_id = chunk_id_of(data)
    assert not await client.has_chunk(1, chunk_id, soon())
    await client.put_chunk(1, chunk_id, xxh3_of(data), memoryview(bytearray(data)), soon())
    await client.put_chunk(1, chunk_id, xxh3_of(data), memoryview(bytearray(data)), soon())
    assert await client.has_chunk(1, chunk_id, soon())
    assert not await client.has_chunk(2, chunk_id, soon())
    for offset in {0, size // 3, size - 1}:
        out = bytearray(size - offset)
        assert await client.get_chunk(1, chunk_id, memoryview(out), soon(), offset=offset) == xxh3_of(out)
        assert out == data[offset:]


async def test_refusals(world):
    client, _, store = world
    data = some_bytes(5000)
    chunk_id = chunk_id_of(data)
    with pytest.raises(ChunkNotFound):
        await client.get_chunk(1, chunk_id, memoryview(bytearray(5)), soon())
    with pytest.raises(ChunkCorrupt):
        await client.put_chunk(1, chunk_id, bytes(16), memoryview(data), soon())
    await client.put_chunk(1, chunk_id, xxh3_of(data), memoryview(data), soon())
    with pytest.raises(RangeIllegal):
        await client.get_chunk(1, chunk_id, memoryview(bytearray(5)), soon(), offset=4996)
    path = store.path_of(chunk_id)
    path.write_bytes(b"?" + path.read_bytes()[1:])
    with pytest.raises(ChunkCorrupt):
        await client.get_chunk(1, chunk_id, memoryview(bytearray(5)), soon())


async def test_a_node_that_is_gone_is_unreachable_for_everything(world):
    client, end_node_2, _ = world
    assert (await client.ping(2, soon()))["free_bytes"] > 0
    await end_node_2()
    data = some_bytes(100)
    asks = [lambda: client.ping(2, soon()), lambda: client.has_chunk(2, chunk_id_of(data), soon()),
            lambda: client.get_chunk(2, chunk_id_of(data), memoryview(bytearray(5)), soon()),
            lambda: client.put_chunk(2, chunk_id_of(data), xxh3_of(data), memoryview(data), soon())]
    for ask in asks:
        with pytest.raises(PeerUnreachable):
            await ask()
    assert (await client.ping(1, soon()))["free_bytes"] > 0
