"""Users as a drill measures them: readers and writers of files of all sizes, each request timed from its first try.

A request that fails is tried again at the other nodes, those that failed lately last, and after a rest at all of them
again: as the SDK does. Its time goes on. What never succeeds is an error.
"""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from fluffy.base.units import KIB, MIB
from fluffy.client.peers import DOWN_FOR_S

ATTEMPT_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 0.5
GIVE_UP_S = 60.0
RETRY_REST_S = 0.05
# (share in a hundred, least, most): in the metadata, one chunk, several chunks.
MIX: tuple[tuple[int, int, int], ...] = ((60, 1, 12 * KIB), (35, 20 * KIB, 200 * KIB), (5, MIB, 3 * MIB - 400 * KIB))


def size_of(rng: random.Random) -> int:
    [(_, least, most)] = rng.choices(MIX, [share for share, _, _ in MIX])
    return rng.randrange(least, most)


def body_of(path: str, size: int) -> bytes:
    """Bytes that only this file has, and that do not compress or share chunks with others."""
    return random.Random(path).randbytes(size)


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. Times are monotonic seconds."""

    began_s: float
    took_s: float
    kind: str
    tries: int


@dataclass(slots=True)
class Users:
    """`count` users until `stop` is set. `sizes`: the files that readers ask for."""

    urls: Sequence[str]
    token: str
    sizes: dict[str, int]
    seed: int
    count: int
    rest_s: float = 0.02
    samples: list[Sample] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    written: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        async with aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {self.token}"}, connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)) as session, \
                asyncio.TaskGroup() as group:
            for number in range(self.count):
                group.create_task(self._act(session, number))

    async def _act(self, session: aiohttp.ClientSession, number: int) -> None:
        rng = random.Random(f"{self.seed}/{number}")
        down_until: dict[str, float] = {}
        paths = sorted(self.sizes)
        made = 0
        while not self.stop.is_set():
            if rng.random() < 0.7:
                path = rng.choice(paths)
                await self._request(session, rng, down_until, "GET", path, self.sizes[path], None)
            else:
                made += 1
                path, size = f"admin/users/u{number}/f{made}", size_of(rng)
                if await self._request(session, rng, down_until, "PUT", path, size, body_of(path, size)):
                    self.written[path] = size
            await asyncio.sleep(self.rest_s * 2 * rng.random())

    async def _request(self, session: aiohttp.ClientSession, rng: random.Random, down_until: dict[str, float],
                       method: str, path: str, size: int, body: bytes | None) -> bool:
        began_s, tries, said = time.monotonic(), 0, ""
        left: list[str] = []
        while time.monotonic() < began_s + GIVE_UP_S:
            if not left:
                if tries:
                    await asyncio.sleep(RETRY_REST_S)
                left = self._order(rng, down_until)
            url = left.pop(0)
            tries += 1
            try:
                async with session.request(method, f"{url}/v1/files/{path}",
                                           data=None if body is None else io.BytesIO(body),
                                           headers={"Fluffy-Request-Id": f"u-{self.seed}-{path}"}) as answer:
                    got = await answer.read()
                    said = f"{answer.status} {got[:120]!r}" if answer.status >= 300 else ""
                    if method == "GET" and answer.status == 200 and (
                            len(got) != size or got != body_of(path, size)):
                        self.errors.append(f"GET {path}: other bytes than were put")
                        return False
                    if not said:
                        self.samples.append(Sample(began_s, time.monotonic() - began_s, method, tries))
                        return True
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                said = type(error).__name__
                down_until[url] = time.monotonic() + DOWN_FOR_S
        self.errors.append(f"{method} {path}: no success within {GIVE_UP_S:.0f} s, last: {said}")
        return False

    def _order(self, rng: random.Random, down_until: dict[str, float]) -> list[str]:
        now_s = time.monotonic()
        return sorted(rng.sample(self.urls, len(self.urls)), key=lambda url: down_until.get(url, 0.0) > now_s)

    def times_ms(self, from_s: float, to_s: float) -> list[float]:
        """Of the requests that began in a span, ascending."""
        return sorted(sample.took_s * 1000 for sample in self.samples if from_s <= sample.began_s < to_s)


def percentile(ascending: Sequence[float], share: float) -> float:
    """0.0 for no values at all."""
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))] if ascending else 0.0
