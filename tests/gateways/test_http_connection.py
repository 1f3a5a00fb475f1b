"""What one connection does with clients that are slow, rude, gone, or simply fast: over real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from fluffy.gateways.http import patience, server
from fluffy.gateways.http.body import Body, BodyPipe
from fluffy.gateways.http.connection import Connection, DirectReceiver
from fluffy.gateways.http.patience import Owed, Patience
from tests.support.local_log import ADMIN_TOKEN
from tests.support.memory_chunks import MemoryChunks
from tests.support.native_door import CHUNK_SIZE, Door, running_door
from tests.support.raw_http import RawClient, head_of
from tests.support.tls import self_signed

TARGET = "/v1/files/admin/f"


@asynccontextmanager
async def connected(door: Door) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(door.host, door.port) as client:
        yield client


async def until(holds: Callable[[], bool]) -> None:
    """Wait, at most five seconds, until something outside of this task has happened."""
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def put_head(size: int, target: str = TARGET, **headers: str) -> bytes:
    return head_of("PUT", target, ADMIN_TOKEN, Content_Length=str(size), **headers)


def get_head(target: str = TARGET, **headers: str) -> bytes:
    return head_of("GET", target, ADMIN_TOKEN, **headers)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every patience is a fraction of a second."""
    monkeypatch.setattr(server, "SWEEP_EVERY_S", 0.03)
    monkeypatch.setattr(patience, "_SPANS", {owed: (0.3, least) for owed, (_, least) in patience._SPANS.items()})


# Many requests on one connection

async def test_pipelined_requests_are_answered_in_order(door: Door) -> None:
    async with connected(door) as client:
        other = TARGET + "2"
        await client.send(put_head(3) + b"abc" + get_head() + put_head(2, other) + b"de" + get_head(other))
        bodies = [await client.answer() for _ in range(4)]
    assert [(answer.status, answer.body) for answer in bodies[1::2]] == [(200, b"abc"), (200, b"de")]


async def test_hundreds_of_pipelined_requests_all_get_their_answer(door: Door) -> None:
    async with connected(door) as client:
        await client.send(get_head("/healthz") * 500)
        for _ in range(500):
            assert (await client.answer()).status == 200


@pytest.mark.parametrize("size", [2 * CHUNK_SIZE, 5 * CHUNK_SIZE + 1])
async def test_a_connection_goes_on_after_a_large_body(door: Door, size: int) -> None:
    body = os.urandom(size)
    async with connected(door) as client:
        for _ in range(3):
            await client.send(put_head(size), body, get_head())
            assert (await client.answer()).status in (200, 201)
            assert (await client.answer()).body == body


async def test_a_next_request_right_behind_a_large_body_is_not_lost(door: Door) -> None:
    size = 3 * CHUNK_SIZE
    async with connected(door) as client:
        await client.send(put_head(size) + os.urandom(size) + get_head("/healthz"))
        assert (await client.answer()).status == 201
        assert (await client.answer()).status == 200


async def test_a_body_that_dribbles_in_is_put_together(door: Door) -> None:
    body = os.urandom(CHUNK_SIZE + 5000)
    async with connected(door) as client:
        await client.send(put_head(len(body)))
        for at in range(0, len(body), 7001):
            await client.send(body[at:at + 7001])
            await asyncio.sleep(0.001)
        assert (await client.answer()).status == 201
    assert (await door.get("/admin/f"))[1] == body


async def test_old_clients_are_answered_and_closed(door: Door) -> None:
    async with connected(door) as client:
        await client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.is_closed()


# Expect: 100-continue

async def test_a_polite_client_is_told_to_go_on_once_the_request_is_allowed(door: Door) -> None:
    async with connected(door) as client:
        await client.send(put_head(2000, Expect="100-continue"))
        assert await client.reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"x" * 2000)
        assert (await client.answer()).status == 201


@pytest.mark.parametrize(("head", "status"), [
    (head_of("PUT", TARGET, None, Content_Length="10", Expect="100-continue"), 401),
    (put_head(10, "/v1/files/admin/../f", Expect="100-continue"), 400),
    (put_head(10**18, Expect="100-continue"), 413)])
async def test_a_polite_client_is_refused_before_it_sends_its_body(door: Door, head: bytes, status: int) -> None:
    async with connected(door) as client:
        await client.send(head)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        client.writer.write_eof()
        await until(lambda: door.server.connections == 0)


# Clients that go away

@pytest.mark.parametrize("size", [500, 4 * CHUNK_SIZE])
async def test_an_upload_that_is_cut_leaves_nothing(door: Door, size: int) -> None:
    async with connected(door) as client:
        await client.send(put_head(size), b"x" * (size - 10))
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.05)
    assert door.files() == 0
    assert door.desk.uploading.taken == 0


@pytest.mark.parametrize("size", [500, 4 * CHUNK_SIZE])
async def test_a_client_that_stops_sending_but_listens_is_told(door: Door, size: int) -> None:
    async with connected(door) as client:
        await client.send(put_head(size), b"x" * (size - 10))
        client.writer.write_eof()
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (400, "BodyIncomplete")
        assert await client.is_closed()
    assert door.files() == 0


async def test_a_client_that_sends_all_before_it_listens_still_sees_the_refusal(door: Door) -> None:
    async with connected(door) as client:
        await client.send(put_head(8 << 20, "/v1/files/single"), *[b"x" * (1 << 20)] * 8)
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (400, "NameIllegal")


async def test_a_download_whose_reader_leaves_gives_everything_back(tmp_path: Path) -> None:
    for as_files in (False, True):
        async with running_door(tmp_path / str(as_files), chunks=MemoryChunks(as_files=as_files)) as door:
            await door.put("/admin/f", os.urandom(300 * CHUNK_SIZE))
            async with connected(door) as client:
                await client.send(get_head())
                await client.reader.readexactly(CHUNK_SIZE)
            await until(lambda door=door: not door.desk.downloading.taken and not door.chunks.held)


async def test_a_chunk_that_fails_midway_cuts_the_connection(door: Door) -> None:
    await door.put("/admin/f", os.urandom(20 * CHUNK_SIZE))
    door.chunks.bad.add(list(door.chunks.stored)[10])
    async with connected(door) as client:
        await client.send(get_head())
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert b"200 OK" in head
        got = 0
        try:
            while data := await client.reader.read(1 << 20):
                got += len(data)
        except ConnectionError:
            assert True
        assert got <= 10 * CHUNK_SIZE


# Clients that are slow (with patience shortened)

@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("beginning", [b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: "])
async def test_a_head_that_does_not_come_in_time_ends_the_connection(door: Door, beginning: bytes) -> None:
    async with connected(door) as client:
        await client.send(beginning)
        if beginning:
            assert (await client.answer(timeout_s=3)).status == 408
        assert await client.is_closed(3)


@pytest.mark.usefixtures("hurried")
async def test_a_head_that_dribbles_in_ends_the_connection(door: Door) -> None:
    async with connected(door) as client:
        await client.send(b"GET / HTTP/1.1\r\nA: ")
        answer = asyncio.get_running_loop().create_task(client.answer(timeout_s=3))
        while not answer.done():
            await client.send(b"a")
            await asyncio.sleep(0.02)
        assert (await answer).status == 408


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("size", [500, 4 * CHUNK_SIZE])
async def test_a_body_that_stalls_is_refused_and_leaves_nothing(door: Door, size: int) -> None:
    async with connected(door) as client:
        await client.send(put_head(size), b"x" * (size // 2))
        answer = await client.answer(timeout_s=3)
        assert (answer.status, answer.error["code"]) == (408, "ClientTooSlow")
        assert await client.is_closed(3)
    assert door.files() == 0


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("as_files", [False, True])
async def test_a_reader_that_takes_nothing_loses_its_connection(
        tmp_path: Path, as_files: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluffy.gateways.http.sending.STALL_TIMEOUT_S", 0.3)
    async with running_door(tmp_path, chunks=MemoryChunks(as_files=as_files)) as door:
        await door.put("/admin/f", os.urandom(300 * CHUNK_SIZE))
        with socket.create_connection((door.host, door.port)) as silent:
            silent.sendall(get_head())
            await until(lambda: door.desk.downloading.taken == 1)
            await until(lambda: door.desk.downloading.taken == 0)


@pytest.mark.usefixtures("hurried")
async def test_a_client_that_asks_and_never_reads_loses_its_connection(door: Door) -> None:
    await door.put("/admin/f", bytes(500))
    with socket.create_connection((door.host, door.port)) as silent:
        silent.setblocking(False)
        try:
            for _ in range(2000):
                silent.send(get_head() * 50)
                await asyncio.sleep(0)
        except BlockingIOError:
            assert door.server.connections >= 1
        await until(lambda: door.server.connections <= 1)  # the other one is the test's own client


@pytest.mark.usefixtures("hurried")
async def test_an_idle_connection_is_closed_quietly(door: Door) -> None:
    async with connected(door) as client:
        await client.send(get_head("/healthz"))
        assert (await client.answer()).status == 200
        assert await client.is_closed(3)


def test_patience_counts_each_wait_by_itself() -> None:
    wait = Patience()
    assert not wait.is_over(Owed.HEAD, 1, 0, 0.0)
    assert not wait.is_over(Owed.HEAD, 1, 5000, 9.0)
    assert wait.is_over(Owed.HEAD, 1, 9000, 10.0), "bytes of a head do not extend its time"
    assert not wait.is_over(Owed.HEAD, 2, 0, 10.0), "another request has its own time"
    assert not wait.is_over(Owed.BODY, 2, 0, 50.0)
    assert not wait.is_over(Owed.BODY, 2, 4096, 70.0), "a body that moves has as long as it needs"
    assert not wait.is_over(Owed.BODY, 2, 8191, 89.0)
    assert wait.is_over(Owed.BODY, 2, 8191, 90.0), "a dribble is no movement"
    assert not wait.is_over(Owed.NOTHING, 2, 0, 10**9)


# A full house, and an ending one

async def test_too_many_connections_are_told_so(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door.server, "_connections_max", 3)
    clients = [await RawClient.connect(door.host, door.port) for _ in range(4)]
    answer = await clients[3].answer()
    assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "Overloaded", "1")
    assert await clients[3].is_closed()
    await clients[0].send(get_head("/healthz"))
    assert (await clients[0].answer()).status == 200
    for client in clients:
        await client.__aexit__()


async def test_too_many_requests_at_once_are_told_so(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door.desk.requests, "_places", 2)
    async with connected(door) as first, connected(door) as second, connected(door) as third:
        for client in (first, second):
            await client.send(put_head(3))
        await asyncio.sleep(0.05)
        await third.send(get_head())
        answer = await third.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        async with connected(door) as probe:
            await probe.send(get_head("/healthz"))
            assert (await probe.answer()).status == 200, "a busy house is alive"
        for client in (first, second):
            await client.send(b"abc")
            assert (await client.answer()).status in (200, 201)


async def test_small_uploads_take_no_places_from_large_ones(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door.desk.uploading, "_places", 1)
    async with connected(door) as large, connected(door) as other, connected(door) as small:
        await large.send(put_head(CHUNK_SIZE), b"x")
        await until(lambda: door.desk.uploading.taken == 1)
        await other.send(put_head(CHUNK_SIZE, TARGET + "2", Expect="100-continue"))
        assert (await other.answer()).status == 503
        await small.send(put_head(3, TARGET + "3") + b"abc")
        assert (await small.answer()).status == 201


async def test_draining_finishes_what_has_begun_and_takes_nothing_new(door: Door) -> None:
    async with connected(door) as busy, connected(door) as idle:
        await busy.send(put_head(3), b"a")
        await asyncio.sleep(0.05)
        draining = asyncio.get_running_loop().create_task(door.server.drain(5))
        assert await idle.is_closed(2)
        await busy.send(b"bc")
        answer = await busy.answer()
        assert (answer.status, answer.headers["connection"]) == (201, "close")
        await draining
    assert (await door.cluster.log.barrier(None)) >= 1  # type: ignore[arg-type]
    assert door.files() == 1


async def test_a_stored_header_cannot_smuggle_in_a_line(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await door.put("/admin/f", b"1")
    monkeypatch.setattr("fluffy.gateways.native.files._headers_of", lambda version: [("A", "b\r\nSet-Cookie: c")])
    async with connected(door) as client:
        await client.send(get_head())
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (500, "InternalError")
        assert "set-cookie" not in answer.headers


async def test_draining_cuts_what_does_not_end(door: Door) -> None:
    async with connected(door) as client:
        await client.send(put_head(3), b"a")
        await asyncio.sleep(0.05)
        await door.server.drain(0.1)
        assert await client.is_closed(2)
    assert door.files() == 0


# TLS

async def test_the_same_over_tls(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    trusting = ssl.create_default_context(cafile=str(certificate.cert))
    body = os.urandom(10 * CHUNK_SIZE + 3)
    async with running_door(tmp_path, chunks=MemoryChunks(as_files=True), tls=context) as door:
        url = f"https://127.0.0.1:{door.port}{TARGET}"
        for _ in range(2):
            async with door.client.put(url, data=body, ssl=trusting) as put:
                assert put.status in (200, 201)
            async with door.client.get(url, ssl=trusting) as got:
                assert await got.read() == body


async def test_a_reader_that_was_cancelled_leaves_no_empty_room_to_read_into() -> None:
    """Found by random faults: its memory was filled between the cancelling and its end, and the next read had none."""
    paused: list[Body] = []

    class Asked:
        def body_satisfied(self, body: Body) -> None:
            paused.append(body)

    body = Body(cast(BodyPipe, None), 100, expects_continue=False)
    receiver = DirectReceiver(cast(Connection, Asked()), body)
    reader = receiver.begin(memoryview(bytearray(10)))
    reader.cancel()
    assert len(receiver.get_buffer(-1)) == 10
    receiver.buffer_updated(10)
    assert paused == [body] and not receiver.is_awaited
