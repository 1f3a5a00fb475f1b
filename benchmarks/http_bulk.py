"""One large upload or download over a plain blocking socket: the client costs one copy and nothing else."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from blake3 import blake3

MIB = 1 << 20
STAMP_EVERY = 8 * MIB
RECEIVE_BYTES = 1 * MIB
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Transfer:
    seconds: float
    body_bytes: int

    @property
    def mib_per_s(self) -> float:
        return self.body_bytes / MIB / self.seconds


class Body:
    """`size` bytes of which every 8 MiB differ from all others ever sent: nothing can be stored only once.

    `like`: another one, whose chance may be shared; many bodies are few bytes of memory then.
    """

    def __init__(self, size: int, salt: int, like: Body | None = None) -> None:
        self.size = size
        self._salt = salt
        self._block = memoryview(bytearray(os.urandom(STAMP_EVERY))) if like is None else like._block

    def blocks(self) -> list[tuple[bytes, memoryview]]:
        """(stamp, rest) for each 8 MiB; the stamp replaces the block's first 16 bytes."""
        found = []
        for number, start in enumerate(range(0, self.size, STAMP_EVERY)):
            length = min(STAMP_EVERY, self.size - start)
            stamp = self._salt.to_bytes(8, "little") + number.to_bytes(8, "little")
            found.append((stamp, self._block[16:length]))
        return found

    def blake3(self) -> bytes:
        hasher = blake3()
        for stamp, rest in self.blocks():
            hasher.update(stamp)
            hasher.update(rest)
        return hasher.digest()


def _connect(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address, TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _read_head(connection: socket.socket) -> tuple[int, int, bytes]:
    """(status, content length, bytes of the body that came along)."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(64 * 1024)
        if not more:
            raise ConnectionError(f"the connection ended in the head of the answer: {data[:300]!r}")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    lengths = [int(line.split(":", 1)[1]) for line in lines if line.lower().startswith("content-length:")]
    return int(lines[0].split(" ", 2)[1]), lengths[0] if lengths else 0, rest


def _credential(token: str) -> str:
    return f"Authorization: Bearer {token}\r\n" if token else ""


def upload(address: tuple[str, int], path: str, token: str, body: Body,
           headers: Mapping[str, str] | None = None) -> Transfer:
    """PUT `body`; the time runs from the connection to the whole answer. `token` empty: the path is signed."""
    more = "".join(f"{name}: {text}\r\n" for name, text in (headers or {}).items())
    started_s = time.perf_counter()
    with _connect(address) as connection:
        connection.sendall((f"PUT {path} HTTP/1.1\r\nHost: bench\r\n{_credential(token)}"
                            f"{more}Content-Length: {body.size}\r\n\r\n").encode())
        for stamp, rest in body.blocks():
            connection.sendall(stamp)
            connection.sendall(rest)
        status, length, rest_of_answer = _read_head(connection)
        while len(rest_of_answer) < length:
            rest_of_answer += connection.recv(64 * 1024)
    if status not in (200, 201):
        raise RuntimeError(f"PUT {path}: {status} {rest_of_answer[:300]!r}")
    return Transfer(time.perf_counter() - started_s, body.size)


def download(address: tuple[str, int], path: str, token: str, check: bytes | None = None) -> Transfer:
    """GET and drop the bytes; with `check` (a BLAKE3) they are hashed, which then costs time."""
    started_s = time.perf_counter()
    buffer = memoryview(bytearray(RECEIVE_BYTES))
    hasher = blake3()
    with _connect(address) as connection:
        connection.sendall((f"GET {path} HTTP/1.1\r\nHost: bench\r\n{_credential(token)}\r\n").encode())
        status, length, first = _read_head(connection)
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {first[:300]!r}")
        got = len(first)
        if check is not None:
            hasher.update(first)
        while got < length:
            count = connection.recv_into(buffer)
            if count == 0:
                raise ConnectionError(f"the body ended after {got} of {length} bytes")
            if check is not None:
                hasher.update(buffer[:count])
            got += count
    if check is not None and hasher.digest() != check:
        raise RuntimeError(f"GET {path}: wrong bytes")
    return Transfer(time.perf_counter() - started_s, got)
