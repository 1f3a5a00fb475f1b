"""Putting many small files into the metadata through the log, faster than the HTTP door would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from fluffy.base.deadline import Deadline
from fluffy.base.hashing import etag_of
from fluffy.base.ids import NodeNo, UserNo, new_request_id
from fluffy.core.metadata.commands import Header, PutFile
from fluffy.drivers.log_client import LogClient

PROPOSE_TIMEOUT_S = 30.0
ADMIN_NO = UserNo(1)
FILES_PER_FOLDER = 10_000


def put_command(path: str, content: bytes) -> PutFile:
    """A file small enough to live in the metadata, as a gateway would propose it."""
    digest = blake3(content).digest()
    return PutFile(
        Header(new_request_id(), time.time_ns() // 1_000_000, NodeNo(1), ADMIN_NO), path, len(content), digest,
        etag_of(digest), "application/octet-stream", {}, {}, content, (), ())


def file_path(number: int, folder: str) -> str:
    """Ten thousand files to a folder."""
    return f"{folder}/d{number // FILES_PER_FOLDER:04}/f{number:08}.txt"


def creations(count: int, folder: str, start: int = 0, content_bytes: int = 40) -> Iterator[PutFile]:
    for number in range(start, start + count):
        yield put_command(file_path(number, folder), b"%d " % number + bytes(content_bytes))


async def propose_all(socket_path: Path, commands: Iterator[PutFile], in_flight: int,
                      until_s: float = float("inf")) -> list[float]:
    """Keep `in_flight` proposals under way until the commands or the time (perf_counter) end; latencies in ms."""
    client = LogClient(socket_path)
    latencies_ms: list[float] = []

    async def one_after_another() -> None:
        for command in commands:
            began_s = time.perf_counter()
            await client.propose(command, Deadline.after(PROPOSE_TIMEOUT_S))
            now_s = time.perf_counter()
            latencies_ms.append((now_s - began_s) * 1000)
            if now_s >= until_s:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(one_after_another())
    await client.close()
    return latencies_ms


async def load_files(socket_path: Path, count: int, folder: str, say: Callable[[str], None], start: int = 0,
                     in_flight: int = 512, step: int = 50_000) -> None:
    """`count` files in `folder`, telling the rate now and then."""
    done = 0
    while done < count:
        part = min(step, count - done)
        began_s = time.perf_counter()
        await propose_all(socket_path, creations(part, folder, start + done), in_flight)
        done += part
        say(f"{done:,} of {count:,} files, {part / (time.perf_counter() - began_s):,.0f}/s")
