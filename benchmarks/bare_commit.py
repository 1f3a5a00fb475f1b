"""Reference for the log: three processes that do the same bytes' work bare, without agreement, checks or meaning.

The first takes records from a unix socket, as many as came while the last batch was on its way, sends the batch to the
two others, appends it to a file with one fdatasync, and when one of the others has done the same, inserts the records
into an SQLite table in one transaction and answers. The others append, fdatasync, answer, insert. And its client.

    python -m benchmarks.bare_commit SOCKET FOLDER      (starts the two others itself)
    python -m benchmarks.bare_commit follow FOLDER      (one of them; prints its port)
"""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

LENGTH = struct.Struct("<I")
FOLLOWERS = 2


class Store:
    """A file and a table. Records are cut out of a batch only for the table."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / "journal", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o640)
        self._db = sqlite3.connect(folder / "table.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS records (id INTEGER PRIMARY KEY, name TEXT UNIQUE, bytes BLOB)")
        self._count = 0

    def append(self, batch: bytes) -> None:
        os.write(self._file, batch)
        os.fdatasync(self._file)

    def insert(self, batch: bytes) -> int:
        """How many records there were."""
        rows, start = [], 0
        while start < len(batch):
            (length,) = LENGTH.unpack_from(batch, start)
            start += LENGTH.size
            self._count += 1
            rows.append((f"name-{self._count:012}", batch[start:start + length]))
            start += length
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO records (name, bytes) VALUES (?, ?)", rows)
        self._db.execute("COMMIT")
        return len(rows)


def follow(folder: Path) -> None:
    store = Store(folder)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        print(listener.getsockname()[1], flush=True)
        connection, _ = listener.accept()
        stream = connection.makefile("rb")
        while head := stream.read(LENGTH.size):
            batch = stream.read(LENGTH.unpack(head)[0])
            store.append(batch)
            connection.sendall(b"k")
            store.insert(batch)


class _Leader:
    """One batch on its way at a time; what comes meanwhile waits and becomes the next."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._followers: list[asyncio.StreamWriter] = []
        self._acks = 0
        self._records: list[bytes] = []
        self._waiting: list[tuple[asyncio.Transport, int]] = []
        self._flying: tuple[bytes, list[tuple[asyncio.Transport, int]]] | None = None

    async def connect(self, ports: list[int], group: asyncio.TaskGroup) -> None:
        for port in ports:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            self._followers.append(writer)
            group.create_task(self._listen(reader))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        behind = 0
        while data := await reader.read(1024):
            behind += len(data)
            self._acks = max(self._acks, behind)
            self._land()

    def take(self, transport: asyncio.Transport, records: bytes, count: int) -> None:
        self._records.append(records)
        self._waiting.append((transport, count))
        if self._flying is None:
            self._flying = (b"", [])
            self._loop.call_soon(self._fly)

    def _fly(self) -> None:
        batch = b"".join(self._records)
        self._flying = (batch, self._waiting)
        self._records, self._waiting = [], []
        self._wanted = self._acks + 1
        for writer in self._followers:
            writer.write(LENGTH.pack(len(batch)) + batch)
        self._store.append(batch)
        self._land()

    def _land(self) -> None:
        if self._flying is None or not self._flying[0] or self._acks < self._wanted:
            return
        batch, waiting = self._flying
        self._store.insert(batch)
        for transport, count in waiting:
            if not transport.is_closing():  # its time is over, and it did not wait for this
                transport.write(b"k" * count)
        self._flying = None
        if self._records:
            self._flying = (b"", [])
            self._loop.call_soon(self._fly)


class _Server(asyncio.Protocol):
    def __init__(self, leader: _Leader) -> None:
        self._leader = leader
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        count, start = 0, 0
        while len(self._buffer) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer, start)
            if len(self._buffer) - start < LENGTH.size + length:
                break
            start += LENGTH.size + length
            count += 1
        if count:
            self._leader.take(self._transport, self._buffer[:start], count)
            self._buffer = self._buffer[start:]


async def lead(socket_path: str, folder: Path, ports: list[int]) -> None:
    leader = _Leader(Store(folder / "leader"))
    async with asyncio.TaskGroup() as group:
        await leader.connect(ports, group)
        server = await asyncio.get_running_loop().create_unix_server(lambda: _Server(leader), socket_path)
        await server.serve_forever()


class _Client(asyncio.Protocol):
    """Keeps `in_flight` records under way until the time is over."""

    def __init__(self, record: bytes, in_flight: int, until_s: float) -> None:
        self._frame = LENGTH.pack(len(record)) + record
        self._in_flight = in_flight
        self._until_s = until_s
        self.answered = 0
        self.latencies_ms: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._sent_s = time.perf_counter()
        self._transport.write(self._frame * self._in_flight)

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
    match sys.argv[1:]:
        case ["follow", folder]:
            follow(Path(folder))
        case [socket_path, folder]:
            others = [subprocess.Popen(
                [sys.executable, "-m", "benchmarks.bare_commit", "follow", f"{folder}/follower{number}"],
                stdout=subprocess.PIPE, text=True) for number in range(FOLLOWERS)]
            ports = [int(other.stdout.readline()) for other in others if other.stdout is not None]
            uvloop.run(lead(socket_path, Path(folder), ports))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
