"""Reference for the log: one process that appends what arrives to a file, one fdatasync per turn, and answers.

No agreement, no copies, no state: what group commit costs at least, over the same kind of socket. And its client.

    python -m benchmarks.bare_commit SOCKET FILE
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

LENGTH = struct.Struct("<I")


class _Server(asyncio.Protocol):
    """Collects the records of all connections of one turn of the loop; `_flush` makes them durable together."""

    waiting: list[tuple[asyncio.Transport, int]] = []  # noqa: RUF012 - shared by all connections on purpose
    records: list[bytes] = []  # noqa: RUF012
    scheduled = False
    file = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        count, start = 0, 0
        while len(self._buffer) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer, start)
            if len(self._buffer) - start < LENGTH.size + length:
                break
            _Server.records.append(self._buffer[start:start + LENGTH.size + length])
            start += LENGTH.size + length
            count += 1
        self._buffer = self._buffer[start:]
        _Server.waiting.append((self._transport, count))
        if not _Server.scheduled:
            _Server.scheduled = True
            asyncio.get_running_loop().call_soon(_flush)


def _flush() -> None:
    os.write(_Server.file, b"".join(_Server.records))
    os.fdatasync(_Server.file)
    for transport, count in _Server.waiting:
        transport.write(b"k" * count)
    _Server.waiting.clear()
    _Server.records.clear()
    _Server.scheduled = False


async def _serve(path: str) -> None:
    server = await asyncio.get_running_loop().create_unix_server(_Server, path)
    await server.serve_forever()


class _Client(asyncio.Protocol):
    """Keeps `in_flight` records under way until `total` are answered."""

    def __init__(self, record: bytes, in_flight: int, until_s: float) -> None:
        self._frame = LENGTH.pack(len(record)) + record
        self._in_flight = in_flight
        self._until_s = until_s
        self.answered = 0
        self.latencies_ms: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self._sent_s = time.perf_counter()
        transport.write(self._frame * self._in_flight)

    def data_received(self, data: bytes) -> None:
        now_s = time.perf_counter()
        self.answered += len(data)
        if self._in_flight == 1:
            self.latencies_ms.append((now_s - self._sent_s) * 1000)
        if now_s >= self._until_s:
            if not self.done.done():
                self.done.set_result(None)
            return
        self._sent_s = now_s
        self._transport.write(self._frame * len(data))


async def drive(socket_path: Path, record: bytes, in_flight: int, seconds: float) -> tuple[float, list[float]]:
    """(records per second, latencies when one is in flight)."""
    started_s = time.perf_counter()
    transport, client = await asyncio.get_running_loop().create_unix_connection(
        lambda: _Client(record, in_flight, started_s + seconds), str(socket_path))
    await client.done
    transport.close()
    return client.answered / (time.perf_counter() - started_s), client.latencies_ms


def main() -> None:
    _Server.file = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o640)
    uvloop.run(_serve(sys.argv[1]))


if __name__ == "__main__":
    main()
