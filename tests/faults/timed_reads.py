"""Readers that measure: whole files through given nodes, each answer's time noted and its bytes compared."""

from __future__ import annotations

import hashlib
import http.client
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.cluster import Cluster

TIMEOUT_S = 30.0
# Between two reads of one reader: the machine must not be what is measured.
REST_S = 0.02


@dataclass(slots=True)
class TimedReads:
    """One kind of file. `taken`: (began, milliseconds) of each right answer, by `time.monotonic`."""

    taken: list[tuple[float, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def between(self, from_s: float, to_s: float) -> list[float]:
        return sorted(ms for began_s, ms in self.taken if from_s <= began_s < to_s)


def p99(times_ms: Sequence[float]) -> float:
    """The 99th percentile of a sorted list."""
    return times_ms[min(len(times_ms) - 1, len(times_ms) * 99 // 100)] if times_ms else 0.0


class Readers:
    """A thread per node and kind, inside the context. `kinds`: name -> {path: its bytes' SHA-256}."""

    def __init__(self, cluster: Cluster, nodes: Sequence[str], kinds: Mapping[str, Mapping[str, bytes]], seed: int,
                 rest_s: float = REST_S) -> None:
        self.reads = {kind: TimedReads() for kind in kinds}
        self._stop = threading.Event()
        self._token = cluster.token
        self._rest_s = rest_s
        self._threads = [
            threading.Thread(target=self._run, args=(cluster.url(node), kind, dict(files), f"{seed}/{node}/{kind}"))
            for node in nodes for kind, files in kinds.items()]

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    def _run(self, url: str, kind: str, files: dict[str, bytes], seed: str) -> None:
        rng, paths, reads = random.Random(seed), sorted(files), self.reads[kind]
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
        while not self._stop.wait(self._rest_s):
            path = rng.choice(paths)
            began_s = time.monotonic()
            try:
                connection.request("GET", f"/v1/files/{path}", headers={"Authorization": f"Bearer {self._token}"})
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                reads.problems.append(f"{path} at {url}: {error!r}")
                continue
            took_ms = (time.monotonic() - began_s) * 1000
            if answer.status != 200 or hashlib.sha256(body).digest() != files[path]:
                reads.problems.append(f"{path} at {url}: status {answer.status}, or other bytes")
            else:
                reads.taken.append((began_s, took_ms))
        connection.close()


def upload(cluster: Cluster, node: str, prefix: str, count: int, size: int, rng: random.Random) -> dict[str, bytes]:
    """Files of random bytes under `prefix`; path -> SHA-256."""
    made = {}
    for number in range(count):
        body, path = rng.randbytes(size), f"{prefix}/{number}"
        put(cluster, node, path, body)
        made[path] = hashlib.sha256(body).digest()
    return made


def put(cluster: Cluster, node: str, path: str, body: bytes) -> None:
    """Upload, again while the cluster says "later": a crowded machine makes nodes suspect."""
    until_s = time.monotonic() + TIMEOUT_S
    while True:
        status, _, answer = cluster.request(node, "PUT", f"/v1/files/{path}", body, timeout_s=TIMEOUT_S)
        if status in (200, 201):
            return
        assert status == 503 and time.monotonic() < until_s, (status, answer)
        time.sleep(0.5)
