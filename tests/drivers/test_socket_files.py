"""Files to sockets: in order, without the loop, and never through a descriptor that has been closed."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from fluffy.drivers.socket_files import FileSender

SIZE = 8 << 20


@dataclass
class Pipe:
    sender: FileSender
    reader: socket.socket
    threads: ThreadPoolExecutor


class Quiet(asyncio.Protocol):
    """The sending side's protocol; nothing comes."""


@asynccontextmanager
async def piped(stall_s: float = 5.0) -> AsyncIterator[Pipe]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(Quiet, sock=ours)
    with ThreadPoolExecutor(1) as threads, theirs:
        yield Pipe(FileSender(transport, threads, stall_s), theirs, threads)
        transport.abort()
        await asyncio.sleep(0)


def file_of(data: bytes) -> int:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return os.dup(file.fileno())


async def read(pipe: Pipe, count: int) -> bytes:
    def all_of_it() -> bytes:
        data = b""
        while len(data) < count and (part := pipe.reader.recv(1 << 20)):
            data += part
        return data
    return await asyncio.to_thread(all_of_it)


async def test_parts_arrive_in_the_order_in_which_they_were_pushed() -> None:
    bodies = [os.urandom(SIZE), os.urandom(10), os.urandom(SIZE)]
    files = [file_of(b"head" + body) for body in bodies]
    async with piped() as pipe:
        sent = [pipe.sender.push(file, 4, len(body)) for file, body in zip(files, bodies, strict=True)]
        assert await read(pipe, sum(map(len, bodies))) == b"".join(bodies)
        await asyncio.gather(*sent)
        again = pipe.sender.push(files[1], 4, 10)
        assert await read(pipe, 10) == bodies[1]
        await again
        await pipe.sender.close()
    for file in files:
        os.close(file)


async def test_a_reader_that_is_gone_fails_this_part_and_those_behind_it() -> None:
    file = file_of(bytes(SIZE))
    async with piped() as pipe:
        sent = [pipe.sender.push(file, 0, SIZE) for _ in range(2)]
        pipe.reader.close()
        for part in sent:
            with pytest.raises(ConnectionError):
                await part
        await pipe.sender.close()
    os.close(file)


async def test_a_reader_that_takes_nothing_fails_after_its_time() -> None:
    file = file_of(bytes(SIZE))
    async with piped(stall_s=0.1) as pipe:
        with pytest.raises(ConnectionError):
            await pipe.sender.push(file, 0, SIZE)
        await pipe.sender.close()
    os.close(file)


async def test_a_file_that_ends_early_is_no_whole_answer() -> None:
    file = file_of(b"short")
    async with piped() as pipe:
        with pytest.raises(ConnectionError):
            await pipe.sender.push(file, 0, 100)
        await pipe.sender.close()
    os.close(file)


async def test_closing_waits_for_the_thread_however_often_it_is_cancelled() -> None:
    file = file_of(bytes(SIZE))
    async with piped() as pipe:
        sent = pipe.sender.push(file, 0, SIZE)
        await asyncio.sleep(0.05)
        closing = asyncio.get_running_loop().create_task(pipe.sender.close())
        for _ in range(3):
            await asyncio.sleep(0.01)
            closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        idle = pipe.threads.submit(lambda: True)
        assert idle.result(0.1), "the only thread is free"
        with pytest.raises(ConnectionError):
            await sent
    os.close(file)
