"""References for large transfers: the same bytes' work, bare.

Upload: one process receives the body over loopback, hashes it once with BLAKE3 and sends each 8 MiB on over loopback
to three processes that write it with O_DIRECT, a file each, and fdatasync it; the answer leaves when all have.
Download: one process sends the files with sendfile. Blocking sockets and threads: about as fast as Python can be here.

    python -m benchmarks.bare_bulk receive HOST PORT FOLDER     (starts its three writers itself)
    python -m benchmarks.bare_bulk write FOLDER                 (a writer; prints its port)
    python -m benchmarks.bare_bulk send HOST PORT FOLDER SIZE   (makes its files first)
"""

from __future__ import annotations

import mmap
import os
import queue
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from blake3 import blake3

MIB = 1 << 20
CHUNK_BYTES = 8 * MIB
BUFFERS = 6
WRITER_BUFFERS = 3
WRITERS = 3
LENGTH = struct.Struct("<I")


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(16)
    return listener


def _receive_into(connection: socket.socket, view: memoryview) -> None:
    got = 0
    while got < len(view):
        count = connection.recv_into(view[got:])
        if count == 0:
            raise ConnectionError("the sender left")
        got += count


def _buffers(count: int) -> queue.Queue[memoryview]:
    """Page-aligned and already touched."""
    free: queue.Queue[memoryview] = queue.Queue()
    for _ in range(count):
        view = memoryview(mmap.mmap(-1, CHUNK_BYTES))
        view[::4096] = bytes(len(view[::4096]))
        free.put(view)
    return free


# -- a writer: receive a chunk, write it, say so


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with _listen("127.0.0.1", 0) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                _write_chunks(connection, folder)


def _write_chunks(connection: socket.socket, folder: Path) -> None:
    free, full = _buffers(WRITER_BUFFERS), queue.Queue[memoryview | None]()
    thread = threading.Thread(target=_write_files, args=(connection, folder, free, full))
    thread.start()
    head = bytearray(LENGTH.size)
    while True:
        _receive_into(connection, memoryview(head))
        (length,) = LENGTH.unpack(head)
        if length == 0:
            break
        view = free.get()
        _receive_into(connection, view[:length])
        full.put(view[:length])
    full.put(None)
    thread.join()


def _write_files(connection: socket.socket, folder: Path, free: queue.Queue[memoryview],
                 full: queue.Queue[memoryview | None]) -> None:
    number = 0
    while (view := full.get()) is not None:
        path = folder / f"chunk-{number}"
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_DIRECT, 0o640)
        os.pwrite(fd, view, 0)
        os.fdatasync(fd)
        os.close(fd)
        number += 1
        free.put(memoryview(view.obj))
        connection.sendall(b"k")


# -- the receiver: from the client, hashed, to three writers


class _Fan:
    """One writer's connection and its thread."""

    def __init__(self, port: int, free: queue.Queue[memoryview], left: dict[int, int], lock: threading.Lock) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.chunks: queue.Queue[memoryview | None] = queue.Queue()
        self._free, self._left, self._lock = free, left, lock
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        sent = 0
        while (view := self.chunks.get()) is not None:
            self.connection.sendall(LENGTH.pack(len(view)))
            self.connection.sendall(view)
            sent += 1
            self._done_with(view)
        answers = 0
        while answers < sent:
            answers += len(self.connection.recv(sent))
        self.connection.sendall(LENGTH.pack(0))
        self.connection.close()

    def _done_with(self, view: memoryview) -> None:
        whole = memoryview(view.obj)
        with self._lock:
            self._left[id(view.obj)] -= 1
            last = self._left[id(view.obj)] == 0
        if last:
            self._free.put(whole)


def receive(host: str, port: int, folder: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-m", "benchmarks.bare_bulk", "write", str(folder / f"w{number}")],
                                stdout=subprocess.PIPE, text=True) for number in range(WRITERS)]
    ports = [int(writer.stdout.readline()) for writer in writers if writer.stdout is not None]
    free = _buffers(BUFFERS)
    with _listen(host, port) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                _receive_body(connection, ports, free)


def _receive_body(connection: socket.socket, ports: list[int], free: queue.Queue[memoryview]) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(1)  # byte by byte: so no byte of the body is taken along
        if not more:
            return
        head += more
    left_bytes = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
    lock, left = threading.Lock(), dict[int, int]()
    fans = [_Fan(port, free, left, lock) for port in ports]
    hashing: queue.Queue[memoryview | None] = queue.Queue()
    hasher = threading.Thread(target=_hash_and_fan, args=(hashing, fans, left, lock))
    hasher.start()
    while left_bytes:
        view = free.get()[:min(CHUNK_BYTES, left_bytes)]
        _receive_into(connection, view)
        left_bytes -= len(view)
        hashing.put(view)
    hashing.put(None)
    hasher.join()
    for fan in fans:
        fan.thread.join()
    connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")


def _hash_and_fan(hashing: queue.Queue[memoryview | None], fans: list[_Fan], left: dict[int, int],
                  lock: threading.Lock) -> None:
    while (view := hashing.get()) is not None:
        blake3(view).digest()
        with lock:
            left[id(view.obj)] = len(fans)
        for fan in fans:
            fan.chunks.put(view)
    for fan in fans:
        fan.chunks.put(None)


# -- the sender


def send(host: str, port: int, folder: Path, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    count = size // CHUNK_BYTES
    for number in range(count):
        (folder / f"part-{number}").write_bytes(os.urandom(CHUNK_BYTES))
    with _listen(host, port) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                if not connection.recv(64 * 1024):
                    continue  # somebody only looked whether we are there
                connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {count * CHUNK_BYTES}\r\n\r\n".encode())
                for number in range(count):
                    with (folder / f"part-{number}").open("rb") as file:
                        sent = 0
                        while sent < CHUNK_BYTES:
                            sent += os.sendfile(connection.fileno(), file.fileno(), sent, CHUNK_BYTES - sent)


def main() -> None:
    match sys.argv[1:]:
        case ["write", folder]:
            write(Path(folder))
        case ["receive", host, port, folder]:
            receive(host, int(port), Path(folder))
        case ["send", host, port, folder, size]:
            send(host, int(port), Path(folder), int(size))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
