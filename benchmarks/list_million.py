"""A bucket of a million keys, listed over the S3 door: the first page with and without groups, and the whole.

    python -m benchmarks.list_million [--keys 1000000] [--nodes 1] [--dir FOLDER]

A listing asks one node, so one is enough, and takes a million files in a few minutes; with --nodes 3 that is three
times the work. Besides the time of each answer its CPU time is told: on a busy machine only that says something.
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
from benchmarks.stage import cpu_of_cluster
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
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--dir", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluffy-list-", dir=arguments.dir) as folder, \
            Cluster(Path(folder), arguments.nodes) as cluster:
        cluster.start_ready()
        cluster.add_s3_key(*PAIR)
        leader = cluster.leader()
        uvloop.run(load_files(cluster.node_dir(leader) / "run" / "log.sock", arguments.keys, BUCKET, say))
        cluster.wait_until(lambda: _behind(cluster) == 0, LOAD_TIMEOUT_S, "all nodes have applied everything")
        lister = Lister(cluster.s3_address(leader))
        pages: dict[str, dict[str, str]] = {
            "all": {}, "groups of folders": {"delimiter": "/"}, "in a folder": {"delimiter": "/", "prefix": "d0000/"},
            "1,000 groups of ten": {"delimiter": "0.txt", "prefix": "d0000/"}}
        firsts = []
        for name, query in pages.items():
            before_s = sum(cpu_of_cluster(cluster).values())
            firsts.append(lister.first_page_ms(**query))
            cpu_ms = (sum(cpu_of_cluster(cluster).values()) - before_s) / PROBES * 1000
            print(f"first page, {name}: {firsts[-1]:.1f} ms, of CPU {cpu_ms:.1f} ms (goal < {FIRST_PAGE_MS:.0f})")
        before_s = sum(cpu_of_cluster(cluster).values())
        keys, seconds = lister.whole()
        cpu_s = sum(cpu_of_cluster(cluster).values()) - before_s
        cluster.stop()
    print(f"whole listing of {keys:,} keys: {keys / seconds:,.0f} keys/s, {keys / cpu_s:,.0f} per CPU second"
          f" (goal >= {KEYS_PER_S:,})")
    met = max(firsts) < FIRST_PAGE_MS and keys / seconds >= KEYS_PER_S and keys == arguments.keys
    print("all goals met" if met else "MISSED")
    sys.exit(0 if met else 1)


def _behind(cluster: Cluster) -> int:
    seqs = [int(cluster.json(name, "/v1/status")["seq"]) for name in cluster.names]
    return max(seqs) - min(seqs)


if __name__ == "__main__":
    main()
