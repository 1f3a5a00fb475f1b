"""The data path's pieces, each beside the bare system calls that do the same to the same bytes.

    python -m benchmarks.bench_data_path [--rounds 7] [--mib 256] [--dir FOLDER]

One line per piece: MiB/s of ours and of the bare reference (medians of the rounds, measured by turns, so that a noisy
neighbour hits both), and their ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import mmap
import multiprocessing
import os
import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from fluffy.base.deadline import Deadline
from fluffy.base.hashing import chunk_id_of, xxh3_of
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import MIB
from fluffy.drivers.buffers import BufferPool
from fluffy.drivers.chunk_files import ChunkFiles
from fluffy.drivers.data_port.client import DataPortClient
from fluffy.drivers.data_port.server import DataPortServer
from fluffy.ports import StoredChunk, VerifiedFile
from fluffy.wire.handshake import PeerIdentity

CHUNK = 8 * MIB
SECRET = b"b" * 32
DISTINCT = 4
WINDOW = 2
# As many chunks of one upload are on their way to a node's disk at once.
WRITERS = 4


def identity(name: str) -> PeerIdentity:
    return PeerIdentity(name, name, "bench")


def buffers(count: int) -> list[memoryview]:
    views = [memoryview(mmap.mmap(-1, CHUNK)) for _ in range(count)]
    for view in views:
        view[:] = os.urandom(CHUNK)
    return views


@contextmanager
def process(main: Callable[..., None], *arguments: object) -> Iterator[int]:
    """A server in a process of its own; gives the port it sends through its pipe."""
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=main, args=(theirs, *arguments), daemon=True)
    child.start()
    try:
        yield int(ours.recv())
    finally:
        child.terminate()
        child.join()


# --- writing a chunk


def write_bare(folder: Path, views: list[memoryview], count: int, threads: int) -> None:
    def write(number: int) -> None:
        fd = os.open(folder / f"unfinished-{number}", os.O_CREAT | os.O_WRONLY | os.O_DIRECT, 0o600)
        os.pwrite(fd, views[number % DISTINCT], 0)
        os.fdatasync(fd)
        os.close(fd)
        os.rename(folder / f"unfinished-{number}", folder / f"bare-{number}")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(count)))


def write_ours(store: ChunkFiles, chunks: list[tuple[ChunkId, bytes]], views: list[memoryview], count: int,
               threads: int) -> None:
    def write(number: int) -> None:
        # Another name each time, or the store would find the chunk and only check it.
        store.put(ChunkId(os.urandom(32)), chunks[number % DISTINCT][1], views[number % DISTINCT])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(count)))


def remove_written(bare: Path, store: ChunkFiles) -> None:
    for chunk in store.scan():
        store.delete(chunk.chunk_id)
    for path in bare.iterdir():
        path.unlink()


# --- sending a warm file


def receive_all(theirs: Connection) -> None:
    """Takes connections one after the other and drops what comes; answers one byte at the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    theirs.send(listener.getsockname()[1])
    view = memoryview(bytearray(4 * MIB))
    while True:
        connection, _ = listener.accept()
        while connection.recv_into(view):
            continue
        connection.close()


def sendfile(peer: socket.socket, fd: int, length: int) -> None:
    sent = 0
    while sent < length:
        sent += os.sendfile(peer.fileno(), fd, sent, length - sent)


def send_bare(port: int, paths: list[Path], count: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as peer:
        for number in range(count):
            fd = os.open(paths[number % DISTINCT], os.O_RDONLY)
            sendfile(peer, fd, CHUNK)
            os.close(fd)


def send_ours(port: int, store: ChunkFiles, chunks: list[tuple[ChunkId, bytes]], count: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as peer:
        for number in range(count):
            file = store.open_verified(chunks[number % DISTINCT][0], 0, CHUNK)
            sendfile(peer, file.fd, CHUNK)
            file.close()


# --- between nodes


class MemoryStore:
    """A store without a disk: what a put brings is checked, what a get asks is always the same."""

    def __init__(self) -> None:
        data = os.urandom(CHUNK)
        self._xxh3 = xxh3_of(data)
        self._file = os.memfd_create("chunk")
        os.write(self._file, data)

    def put(self, chunk_id: ChunkId, xxh3: bytes, data: memoryview) -> None:
        if xxh3_of(data) != xxh3:
            raise ValueError("other bytes")

    def read(self, chunk_id: ChunkId, offset: int, out: memoryview) -> bytes:
        raise NotImplementedError

    def open_if_cached(self, chunk_id: ChunkId, offset: int, length: int) -> VerifiedFile | None:
        return VerifiedFile(os.dup(self._file), offset, length, self._xxh3)

    def open_verified(self, chunk_id: ChunkId, offset: int, length: int) -> VerifiedFile:
        raise NotImplementedError

    def length(self, chunk_id: ChunkId) -> int:
        return CHUNK

    def xxh3(self, chunk_id: ChunkId) -> bytes:
        return self._xxh3

    def delete(self, chunk_id: ChunkId, unless_touched_since_ms: int | None = None,
               unless_touched_until_ms: int | None = None) -> bool:
        return False

    def quarantine(self, chunk_id: ChunkId, reason: str) -> None:
        raise NotImplementedError

    def scan(self) -> Iterator[StoredChunk]:
        return iter(())

    def free_bytes(self) -> int:
        return 1 << 40


def serve_ours(theirs: Connection) -> None:
    async def main() -> None:
        with ThreadPoolExecutor(4) as threads:
            async with DataPortServer(MemoryStore(), "127.0.0.1", 0, SECRET, identity("server"),
                                      buffers=BufferPool(CHUNK, 8), threads=threads) as server:
                theirs.send(server.port)
                await asyncio.Event().wait()

    uvloop.run(main())


def serve_bare(theirs: Connection) -> None:
    """Chunks in (first byte 1: receive and hash one, answer a byte) or out (2: send one)."""
    listener = socket.create_server(("127.0.0.1", 0))
    theirs.send(listener.getsockname()[1])
    view = buffers(1)[0]
    while True:
        connection, _ = listener.accept()
        while (order := connection.recv(1)) != b"":
            if order == b"1":
                receive(connection, view)
                xxh3_of(view)
                connection.send(b"!")
            else:
                connection.sendall(view)
        connection.close()


def receive(connection: socket.socket, view: memoryview) -> None:
    got = 0
    while got < CHUNK:
        got += connection.recv_into(view[got:])


def port_bare(port: int, put: bool, views: list[memoryview], count: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as peer:
        for number in range(count):
            peer.send(b"1" if put else b"2")
            if put:
                peer.sendall(views[number % len(views)])
                peer.recv(1)
            else:
                receive(peer, views[0])
                xxh3_of(views[0])


def port_ours(port: int, put: bool, chunks: list[tuple[ChunkId, bytes]], views: list[memoryview], count: int,
              window: int) -> None:
    async def main() -> None:
        client = DataPortClient(lambda node: ("127.0.0.1", port), SECRET, identity("client"))
        deadline = Deadline.after(60)

        async def work(mine: int) -> None:
            for _ in range(count // window):
                chunk_id, xxh3 = chunks[mine]
                if put:
                    await client.put_chunk(NodeNo(1), chunk_id, xxh3, views[mine], deadline)
                else:
                    await client.get_chunk(NodeNo(1), chunk_id, views[mine], deadline)

        async with asyncio.TaskGroup() as group:
            for mine in range(window):
                group.create_task(work(mine))
        await client.close()

    uvloop.run(main())


# --- the table


class Piece:
    def __init__(self, name: str, ours: Callable[[], object], bare: Callable[[], object],
                 clean: Callable[[], object] = lambda: None) -> None:
        self.name = name
        self._clean = clean
        self._runs = {"ours": ours, "bare": bare}
        self.seconds: dict[str, list[float]] = {"ours": [], "bare": []}

    def round(self) -> None:
        for kind, run in self._runs.items():
            began_s = time.perf_counter()
            run()
            self.seconds[kind].append(time.perf_counter() - began_s)
            self._clean()

    def line(self, mib: int) -> str:
        ours, bare = (mib / statistics.median(self.seconds[kind]) for kind in ("ours", "bare"))
        return f"{self.name:<50} {ours:7.0f} {bare:7.0f} MiB/s   {ours / bare:5.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--dir", type=Path)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fluffy-data-path-", dir=arguments.dir))
    try:
        measure(folder, arguments.rounds, arguments.mib * MIB // CHUNK)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, rounds: int, count: int) -> None:
    views, targets = buffers(DISTINCT), buffers(WINDOW)
    chunks = [(chunk_id_of(view), xxh3_of(view)) for view in views]
    store, warm = ChunkFiles(folder / "written"), ChunkFiles(folder / "warm")
    bare = folder / "bare"
    bare.mkdir()
    for (chunk_id, xxh3), view in zip(chunks, views, strict=True):
        warm.put(chunk_id, xxh3, view)
        warm.open_verified(chunk_id, 0, CHUNK).close()
    paths = [warm.path_of(chunk_id) for chunk_id, _ in chunks]
    with process(receive_all) as sink, process(serve_ours) as server, process(serve_bare) as echo:
        pieces = [
            Piece(f"store, fsynced, {threads} at once / O_DIRECT + fdatasync",
                  partial(write_ours, store, chunks, views, count, threads),
                  partial(write_bare, bare, views, count, threads), partial(remove_written, bare, store))
            for threads in (1, WRITERS)]
        pieces += [
            Piece("check and send a warm chunk / sendfile", partial(send_ours, sink, warm, chunks, count),
                  partial(send_bare, sink, paths, count))]
        for put in (True, False):
            for window in (1, WINDOW):
                pieces.append(Piece(
                    f"{'put to' if put else 'get from'} a node, {window} at once / sockets + hash",
                    partial(port_ours, server, put, chunks, views if put else targets, count, window),
                    partial(port_bare, echo, put, views if put else targets, count)))
        for _ in range(rounds):
            for piece in pieces:
                piece.round()
    print(f"{'piece / reference':<50}    ours    bare           ratio   (8 MiB chunks, median of {rounds})")
    for piece in pieces:
        print(piece.line(count * CHUNK // MIB))


if __name__ == "__main__":
    main()
