"""Many small HTTP requests over keep-alive connections, with as little work on the client's side as Python allows.

One `asyncio.Protocol` per connection on uvloop; requests are bytes made beforehand; of an answer only the status and
the length are read. Used for the reference and for the product alike, so that the client's share is the same.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
HEAD_BYTES_MAX = 16 * 1024


@dataclass(slots=True)
class Result:
    """`latencies_ms` of the counted requests; `errors` are the first bytes of unexpected answers."""

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    errors: list[bytes] = field(default_factory=list)
    body_bytes: int = 0

    @property
    def per_s(self) -> float:
        return len(self.latencies_ms) / self.seconds

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class _Connection(asyncio.Protocol):
    """Sends one request after the other until the requests, or the time, end."""

    def __init__(self, requests: Iterator[bytes], until_s: float, result: Result) -> None:
        self._requests = requests
        self._until_s = until_s
        self._result = result
        self._buffer = b""
        self._sent_s = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self._send()

    def _send(self) -> None:
        request = next(self._requests, None) if time.perf_counter() < self._until_s else None
        if request is None:
            self._transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self._sent_s = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = LENGTH.search(self._buffer, 0, end + 2)
        body_bytes = int(length[1]) if length else 0
        if len(self._buffer) < end + 4 + body_bytes:
            return
        if self._buffer[9:10] == b"2":
            self._result.latencies_ms.append((time.perf_counter() - self._sent_s) * 1000)
            self._result.body_bytes += body_bytes
        elif len(self._result.errors) < 100:
            self._result.errors.append(self._buffer[:400])
        self._buffer = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self._result.errors.append(b"connection lost: " + repr(error).encode())
            self.done.set_result(None)


async def _drive(addresses: Sequence[tuple[str, int]], requests: Iterator[bytes], connections: int,
                 seconds: float) -> Result:
    result = Result()
    loop = asyncio.get_running_loop()
    started_s = time.perf_counter()
    until_s = started_s + seconds
    made: list[_Connection] = []
    for _, (host, port) in zip(range(connections), itertools.cycle(addresses), strict=False):
        _, protocol = await loop.create_connection(lambda: _Connection(requests, until_s, result), host, port)
        made.append(protocol)
    await asyncio.gather(*(connection.done for connection in made))
    result.seconds = time.perf_counter() - started_s
    return result


def drive(addresses: Sequence[tuple[str, int]], requests: Iterator[bytes], connections: int, seconds: float) -> Result:
    """Spread `connections` over the addresses and keep each busy for `seconds`, or until `requests` end."""
    return uvloop.run(_drive(addresses, requests, connections, seconds))


def request_bytes(method: str, host: str, path: str, token: str, body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\nContent-Type: application/octet-stream\r\n" if method == "PUT" else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{length}\r\n"
    return head.encode() + body


def puts(host: str, token: str, path_of: Callable[[int], str], body: bytes, start: int = 0) -> Iterator[bytes]:
    """Endless creations of distinct files with distinct bytes."""
    for number in itertools.count(start):
        stamp = number.to_bytes(8, "little")
        yield request_bytes("PUT", host, path_of(number), token, stamp + body[8:])


def gets(host: str, token: str, paths: Sequence[str]) -> Iterator[bytes]:
    """Endless reads of the given files in a scattered order."""
    ready = [request_bytes("GET", host, path, token) for path in paths]
    return (ready[number * 7919 % len(ready)] for number in itertools.count())
