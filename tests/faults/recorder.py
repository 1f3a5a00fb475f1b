"""Load with a memory: clients that write, and a record against which the cluster's state is checked afterwards.

Each key belongs to one client, which does one thing to it at a time, so the truth about a key is a simple list of
operations. Every write carries a request id and is repeated with it, at other nodes, until its outcome is known.
A body tells which operation made it. From that follow the checks: no acknowledged operation is missing from the change
feed, none is there twice, the order is right, and readers never see anything older than what was acknowledged before
they asked.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import aiohttp

ATTEMPT_TIMEOUT_S = 5.0
# A write whose outcome is not known after this long is left open: both outcomes are then allowed.
GIVE_UP_S = 45.0
RETRY_REST_S = 0.04
# Inline, just above inline_max, and a chunk of some size.
SIZES = (0, 1, 300, 4_000, 12_000, 20_000, 150_000)
SIZE_WEIGHTS = (1, 1, 6, 6, 3, 3, 1)
KEYS_PER_CLIENT = 12


def body_of(key: str, number: int, size: int) -> bytes:
    head = f"{key}#{number}#".encode()
    filler = (f"{number * 2654435761 % 2**32:08x}" * (size // 8 + 1)).encode()[:size]
    return head + filler


@dataclass(slots=True)
class Operation:
    """`acked_s` is None while, or when never, answered. `generation` is what the answer to a put said."""

    kind: str
    number: int
    size: int
    started_s: float
    acked_s: float | None = None
    generation: int | None = None


@dataclass(slots=True)
class Key:
    path: str
    operations: list[Operation] = field(default_factory=list)

    @property
    def acked_number(self) -> int:
        return max((op.number for op in self.operations if op.acked_s is not None), default=0)

    @property
    def exists(self) -> bool:
        return bool(self.operations) and self.operations[-1].kind == "put"


@dataclass(slots=True)
class Record:
    """What happened. `violations` must stay empty; `retries` counts repeated attempts, `stale` stale answers."""

    keys: dict[str, Key] = field(default_factory=dict)
    acks_s: list[float] = field(default_factory=list)
    write_ms: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    reads: int = 0
    retries: int = 0
    open_writes: int = 0

    @property
    def acked(self) -> int:
        return len(self.acks_s)

    def violation(self, text: str) -> None:
        if len(self.violations) < 50:
            self.violations.append(text)

    def check_read(self, key: Key, status: int, body: bytes, oldest: int) -> None:
        """An answer must show an operation not older than `oldest`, the newest acknowledged before it was asked."""
        if status == 404:
            seen = [0] if oldest == 0 else []
            seen += [op.number for op in key.operations if op.kind == "delete" and op.number >= oldest]
            if not seen:
                self.violation(f"GET {key.path}: not found, though #{oldest} was acknowledged")
            return
        number = int(body.split(b"#", 2)[1])
        operation = next((op for op in key.operations if op.number == number), None)
        if operation is None or body != body_of(key.path, number, operation.size):
            self.violation(f"GET {key.path}: bytes that nobody wrote: {body[:80]!r}")
        elif number < oldest:
            self.violation(f"GET {key.path}: #{number}, though #{oldest} was acknowledged before")

    def longest_gap_s(self, from_s: float, to_s: float) -> float:
        """The longest time without an acknowledged write within a span."""
        times = [from_s, *sorted(at for at in self.acks_s if from_s < at < to_s), to_s]
        return max(after - before for before, after in pairwise(times))


class Load:
    """`writers` clients and `readers` readers against the nodes at `urls`, until `stop` is called.

    `give_up_s`: after so long the outcome of a write stays open; a third of it is what a reader waits. `rest_s`:
    between two writes of one client. `size_max`: no body is longer. `disks_fill`: a refusal with 507 is no answer, and
    is tried again.
    """

    def __init__(self, urls: Sequence[str], token: str, seed: int, writers: int = 8, readers: int = 1,
                 prefix: str = "admin/load", give_up_s: float = GIVE_UP_S, rest_s: float = 0.0,
                 disks_fill: bool = False, size_max: int = max(SIZES)) -> None:
        self.record = Record()
        self._urls = list(urls)
        self._token = token
        self._seed = seed
        self._writers = writers
        self._readers = readers
        self._prefix = prefix
        self._size_max = size_max
        self._give_up_s = give_up_s
        self._rest_s = rest_s
        self._tried_again = (503, 507) if disks_fill else (503,)
        self._stopping = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> Load:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S, sock_connect=1.0),
            connector=aiohttp.TCPConnector(limit=0))
        self._group = await asyncio.TaskGroup().__aenter__()
        for number in range(self._writers):
            self._group.create_task(self._write_on(number))
        for number in range(self._readers):
            self._group.create_task(self._read_on(number))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._stopping.set()
        assert self._group is not None
        await self._group.__aexit__(None, None, None)
        await self._session.close()

    def ask_only(self, urls: Sequence[str]) -> None:
        """From now on these nodes are asked. May be called from another thread."""
        self._urls = list(urls)

    async def until_acked(self, more: int, timeout_s: float = 30.0) -> None:
        """Wait for `more` further acknowledged writes."""
        goal = self.record.acked + more
        async with asyncio.timeout(timeout_s):
            while self.record.acked < goal:  # noqa: ASYNC110 - a count, seen within 20 ms, is all that is wanted
                await asyncio.sleep(0.02)

    # -- writing

    async def _write_on(self, client: int) -> None:
        rng = random.Random(f"{self._seed}/{client}")
        keys = [Key(f"{self._prefix}/c{client}/k{number}") for number in range(KEYS_PER_CLIENT)]
        self.record.keys.update({key.path: key for key in keys})
        open_keys: set[str] = set()
        count = 0
        while not self._stopping.is_set():
            await asyncio.sleep(self._rest_s * 2 * rng.random())
            key = rng.choice(keys)
            if key.path in open_keys:
                await asyncio.sleep(0.001)
                continue
            count += 1
            kind = "delete" if key.exists and rng.random() < 0.3 else "put"
            size = min(rng.choices(SIZES, SIZE_WEIGHTS)[0], self._size_max)
            operation = Operation(kind, len(key.operations) + 1, size, time.monotonic())
            key.operations.append(operation)
            if not await self._write(key, operation, f"{self._prefix}-{self._seed}-{client}-{count}", rng):
                self.record.open_writes += 1
                open_keys.add(key.path)
                if len(open_keys) == len(keys):
                    self.record.violation(f"client {client}: no outcome for any of its keys")
                    return

    async def _write(self, key: Key, operation: Operation, request_id: str, rng: random.Random) -> bool:
        """Repeat with the same id until the outcome is known. False when it is not."""
        body = body_of(key.path, operation.number, operation.size) if operation.kind == "put" else None
        method = "PUT" if body is not None else "DELETE"
        url = rng.choice(self._urls)
        while time.monotonic() < operation.started_s + self._give_up_s:
            try:
                async with self._session.request(
                        method, f"{url}/v1/files/{key.path}", data=body,
                        headers={"Fluffy-Request-Id": request_id}) as answer:
                    text = await answer.text()
                    if answer.status in (200, 201, 204):
                        self._acked(operation, (await answer.json())["generation"] if method == "PUT" else None)
                        return True
                    if answer.status not in self._tried_again:
                        self.record.violation(f"{method} {key.path} #{operation.number}: {answer.status} {text[:200]}")
                        return False
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass  # the node is being killed: that is what this load is for
            self.record.retries += 1
            url = rng.choice(self._urls)
            await asyncio.sleep(RETRY_REST_S)
        return False

    def _acked(self, operation: Operation, generation: int | None) -> None:
        operation.acked_s = time.monotonic()
        operation.generation = generation
        self.record.acks_s.append(operation.acked_s)
        self.record.write_ms.append((operation.acked_s - operation.started_s) * 1000)

    # -- reading

    async def _read_on(self, reader: int) -> None:
        rng = random.Random(f"{self._seed}/reader{reader}")
        while not self._stopping.is_set():
            written = [key for key in self.record.keys.values() if key.operations]
            if written:
                await self._read(rng.choice(written), rng)
            await asyncio.sleep(0.005)

    async def _read(self, key: Key, rng: random.Random) -> None:
        """One read with retries; whatever it sees must not be older than what was acknowledged before."""
        started_s = time.monotonic()
        oldest = key.acked_number
        while time.monotonic() < started_s + self._give_up_s / 3:
            try:
                async with self._session.get(f"{rng.choice(self._urls)}/v1/files/{key.path}") as answer:
                    body = await answer.read()
                    if answer.status in (200, 404):
                        self.record.reads += 1
                        stale = answer.headers.get("Fluffy-Stale") == "true"
                        self.record.check_read(key, answer.status, body, 0 if stale else oldest)
                        return
                    if answer.status != 503:
                        self.record.violation(f"GET {key.path}: {answer.status} {body[:200]!r}")
                        return
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass  # a retrying reader: only its last word counts
            self.record.retries += 1
            await asyncio.sleep(RETRY_REST_S)
        self.record.violation(f"GET {key.path}: no answer although retried for {self._give_up_s / 3:.0f} s")
