"""A client with files of many chunks: what it put comes back whole through any node; what it deleted is gone."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

ATTEMPT_TIMEOUT_S = 30.0
REST_S = 0.3
RETRY_REST_S = 0.1


@dataclass(slots=True)
class BigRecord:
    """`files`: path -> SHA-256 of the acknowledged bytes. `open`: paths whose last write has no known outcome."""

    files: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    writes: int = 0
    reads: int = 0
    retries: int = 0
    refused_full: int = 0


class BigFiles:
    """One client. `sizes`: least and most bytes; `kept_max`: files at a time."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str], folder: str, *, seed: int,
                 sizes: tuple[int, int], kept_max: int, give_up_s: float) -> None:
        self.record = BigRecord()
        self.stop = asyncio.Event()
        self._session = session
        self._urls = urls
        self._folder = folder
        self._rng = random.Random(f"{seed}/{folder}")
        self._seed = seed
        self._sizes = sizes
        self._kept_max = kept_max
        self._give_up_s = give_up_s
        self._number = 0

    async def run(self) -> None:
        while not self.stop.is_set():
            settled = sorted(path for path in self.record.files if path not in self.record.open)
            if settled and self._rng.random() < 0.5:
                await self._read(self._rng.choice(settled))
            elif len(settled) >= self._kept_max:
                await self._delete(self._rng.choice(settled))
            else:
                await self._put()
            await asyncio.sleep(REST_S * self._rng.random())

    async def _put(self) -> None:
        self._number += 1
        path = f"{self._folder}/f{self._number}"
        body = random.Random(f"{self._seed}/{path}").randbytes(self._rng.randrange(*self._sizes))
        status = await self._write("PUT", path, body)
        if status in (200, 201):
            self.record.files[path] = hashlib.sha256(body).hexdigest()
            self.record.writes += 1
        elif status is None:
            self.record.open.add(path)

    async def _delete(self, path: str) -> None:
        status = await self._write("DELETE", path, None)
        if status in (200, 204):
            del self.record.files[path]
            self.record.gone.add(path)
        elif status is None:
            self.record.open.add(path)
        else:
            self.record.violations.append(f"DELETE {path}: {status}")

    async def _write(self, method: str, path: str, body: bytes | None) -> int | None:
        """The status of the answer; None: no outcome is known although it was tried for long."""
        until_s = time.monotonic() + self._give_up_s
        while time.monotonic() < until_s:
            try:
                async with self._session.request(
                        method, f"{self._rng.choice(self._urls)}/v1/files/{path}",
                        data=None if body is None else io.BytesIO(body),
                        headers={"Fluffy-Request-Id": f"{method}-{self._seed}-{path}"},
                        timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S, sock_connect=1.0)) as answer:
                    text = await answer.read()
                    if answer.status < 300 or answer.status == 404:
                        return answer.status
                    if answer.status == 507:
                        self.record.refused_full += 1
                    elif answer.status not in (503, 429, 408):
                        self.record.violations.append(f"{method} {path}: {answer.status} {text[:200]!r}")
                        return answer.status
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass  # a node in trouble
            self.record.retries += 1
            await asyncio.sleep(RETRY_REST_S)
        return None

    async def _read(self, path: str) -> None:
        until_s = time.monotonic() + self._give_up_s
        while time.monotonic() < until_s:
            problem = await self.read_once(path, self._rng.choice(self._urls))
            if problem == "":
                self.record.reads += 1
                return
            if problem is not None:
                self.record.violations.append(f"GET {path}: {problem}")
                return
            self.record.retries += 1
            await asyncio.sleep(RETRY_REST_S)
        self.record.violations.append(f"GET {path}: no answer although retried for {self._give_up_s:.0f} s")

    async def read_once(self, path: str, url: str) -> str | None:
        """Empty: right bytes. A sentence: what is wrong. None: try again."""
        try:
            async with self._session.get(f"{url}/v1/files/{path}", timeout=aiohttp.ClientTimeout(
                    total=ATTEMPT_TIMEOUT_S, sock_connect=1.0)) as answer:
                body = await answer.read()
                if answer.status == 200:
                    is_right = hashlib.sha256(body).hexdigest() == self.record.files[path]
                    return "" if is_right else f"{len(body)} bytes that nobody wrote"
                if answer.status == 404 and answer.headers.get("Fluffy-Stale") != "true":
                    return "not found, but it was acknowledged"
                return None if answer.status in (503, 404, 429) else f"status {answer.status}: {body[:200]!r}"
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
