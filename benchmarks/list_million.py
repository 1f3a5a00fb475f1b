"""A bucket of a million keys, listed over the S3 door: the first page with and without groups, and the whole.

    python -m benchmarks.list_million [--keys 1000000] [--dir FOLDER]
"""

from __future__ import annotations

import argparse
import http.client
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

import uvloop

from benchmarks.figures_s3 import PAIR, signed
from benchmarks.load_million import LOAD_TIMEOUT_S, say
from tests.support.cluster import Cluster
from tests.support.loader import load_files

BUCKET = "admin"
FIRST_PAGE_MS = 30.0
KEYS_PER_S = 30_000
PROBES = 21
_NEXT = re.compile(rb"<NextContinuationToken>([^<]+)<")


class Lister:
    """Pages over one connection. The signature is made before the clock starts; nothing of the XML is built."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._connection = http.client.HTTPConnection(*address, timeout=60)
        self.waited_s = 0.0

    def page(self, **query: str | int) -> bytes:
        target = signed("GET", f"/{BUCKET}?{urlencode({'list-type': 2, **query})}")
        began_s = time.perf_counter()
        self._connection.request("GET", target, headers={"Host": "bench"})
        answer = self._connection.getresponse()
        body = answer.read()
        self.waited_s += time.perf_counter() - began_s
        if answer.status != 200:
            raise RuntimeError(f"a listing failed: {body[:300]!r}")
        return body

    def first_page_ms(self, **query: str | int) -> float:
        times_ms: list[float] = []
        for _ in range(PROBES):
            before_s = self.waited_s
            self.page(**query)
            times_ms.append((self.waited_s - before_s) * 1000)
        return statistics.median(times_ms)

    def whole(self) -> tuple[int, float]:
        """(keys, seconds of waiting for the door)."""
        self.waited_s = 0.0
        keys, token = 0, b""
        while True:
            body = self.page(**{"continuation-token": token.decode()} if token else {})
            keys += body.count(b"<Contents>")
            found = _NEXT.search(body)
            if found is None:
                return keys, self.waited_s
            token = found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--dir", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluffy-list-", dir=arguments.dir) as folder, \
            Cluster(Path(folder)) as cluster:
        cluster.start_ready()
        cluster.add_s3_key(*PAIR)
        leader = cluster.leader()
        uvloop.run(load_files(cluster.node_dir(leader) / "run" / "log.sock", arguments.keys, BUCKET, say))
        cluster.wait_until(lambda: _behind(cluster) == 0, LOAD_TIMEOUT_S, "all nodes have applied everything")
        lister = Lister(cluster.s3_address(leader))
        plain, groups = lister.first_page_ms(), lister.first_page_ms(delimiter="/")
        within = lister.first_page_ms(delimiter="/", prefix="d0000/")
        keys, seconds = lister.whole()
        cluster.stop()
    print(f"first page of {keys:,} keys: {plain:.1f} ms, with delimiter {groups:.1f} ms, in a folder {within:.1f} ms"
          f" (goal < {FIRST_PAGE_MS:.0f}); whole listing {keys / seconds:,.0f} keys/s (goal >= {KEYS_PER_S:,})")
    met = max(plain, groups, within) < FIRST_PAGE_MS and keys / seconds >= KEYS_PER_S and keys == arguments.keys
    print("all goals met" if met else "MISSED")
    sys.exit(0 if met else 1)


def _behind(cluster: Cluster) -> int:
    seqs = [int(cluster.json(name, "/v1/status")["seq"]) for name in cluster.names]
    return max(seqs) - min(seqs)


if __name__ == "__main__":
    main()
