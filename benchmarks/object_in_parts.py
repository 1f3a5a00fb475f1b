"""An object of 5 GiB over the S3 door, in 640 parts by eight threads: how long completing takes, whose memory grows.

    python -m benchmarks.object_in_parts [--parts 640] [--threads 8] [--nodes 3] [--dir FOLDER]

Parts of 8 MiB go to all nodes in turn. Memory is that of every process of the cluster: what it has at most while the
first quarter of the parts comes in, and afterwards. Three copies of 5 GiB want 15 GiB of disk; they go with the folder.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import http_bulk
from benchmarks.figures_s3 import MIB, PAIR, signed
from fluffy.services.s3_keys import KeyPair
from tests.support.cluster import Cluster
from tests.support.processes import usage
from tests.support.s3_door import client

BUCKET, KEY = "admin", "object-in-parts"
PART_BYTES = 8 * MIB
COMPLETE_S = 2.0
# Buffers and caches fill while the first quarter comes in; an object that is held grows without end.
WARM_SHARE = 0.25
GROWTH_BYTES_MAX = 64 * MIB
SAMPLE_S = 0.5
PROBES = 16


@dataclass(slots=True)
class Memory:
    """The most that each kind of process had: while it got warm, and since then."""

    cluster: Cluster
    warm: dict[str, int] = field(default_factory=dict)
    later: dict[str, int] = field(default_factory=dict)
    is_warm: bool = False

    def look(self) -> None:
        most = self.later if self.is_warm else self.warm
        for name in self.cluster.running:
            for pid, kind in self.cluster.pids(name).items():
                most[kind] = max(most.get(kind, 0), usage(pid).rss_bytes)

    @contextmanager
    def watched(self) -> Iterator[None]:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(SAMPLE_S):
                self.look()
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @property
    def growth(self) -> int:
        return max(self.later[kind] - self.warm.get(kind, 0) for kind in self.later)

    def line(self) -> str:
        return ", ".join(f"{kind} {self.warm.get(kind, 0) / MIB:.0f} -> {most / MIB:.0f} MiB"
                         for kind, most in sorted(self.later.items()))


def put_parts(doors: list[tuple[str, int]], upload: str, bodies: list[http_bulk.Body], threads: int,
              memory: Memory) -> float:
    """Seconds."""
    done = itertools.count(1)

    def put(number: int) -> None:
        target = signed("PUT", f"/{BUCKET}/{KEY}?partNumber={number}&uploadId={upload}")
        http_bulk.upload(doors[number % len(doors)], target, "", bodies[number - 1])
        memory.is_warm = next(done) >= WARM_SHARE * len(bodies)
    began_s = time.perf_counter()
    with memory.watched(), ThreadPoolExecutor(threads) as pool:
        list(pool.map(put, range(1, len(bodies) + 1)))
    return time.perf_counter() - began_s


def complete(s3: Any, upload: str, parts: int) -> float:
    """Seconds. Raises RuntimeError unless it became what it should."""
    listed = s3.get_paginator("list_parts").paginate(Bucket=BUCKET, Key=KEY, UploadId=upload)
    named = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for page in listed for part in page["Parts"]]
    if len(named) != parts:
        raise RuntimeError(f"{len(named)} of {parts} parts are there")
    began_s = time.perf_counter()
    done = s3.complete_multipart_upload(Bucket=BUCKET, Key=KEY, UploadId=upload, MultipartUpload={"Parts": named})
    seconds = time.perf_counter() - began_s
    md5 = hashlib.md5(b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in named), usedforsecurity=False)
    if done["ETag"] != f'"{md5.hexdigest()}-{parts}"':
        raise RuntimeError(f"the object has the entity tag {done['ETag']}")
    return seconds


def check(s3: Any, bodies: list[http_bulk.Body]) -> None:
    """Raise RuntimeError unless the object is as long as its parts, and some of them are what was sent."""
    if s3.head_object(Bucket=BUCKET, Key=KEY)["ContentLength"] != sum(body.size for body in bodies):
        raise RuntimeError("the object has another length")
    for number in random.sample(range(1, len(bodies) + 1), min(PROBES, len(bodies))):
        got = s3.get_object(Bucket=BUCKET, Key=KEY, PartNumber=number)["Body"].read()
        if got != b"".join(itertools.chain.from_iterable(bodies[number - 1].blocks())):
            raise RuntimeError(f"part {number} has other bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=640)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--dir", type=Path)
    given = parser.parse_args()
    salt = random.getrandbits(60)
    first = http_bulk.Body(PART_BYTES, salt)
    bodies = [first, *(http_bulk.Body(PART_BYTES, salt + number, first) for number in range(1, given.parts))]
    with tempfile.TemporaryDirectory(prefix="fluffy-parts-", dir=given.dir) as folder, \
            Cluster(Path(folder), given.nodes) as cluster:
        cluster.start_ready()
        cluster.add_s3_key(*PAIR)
        doors = [cluster.s3_address(name) for name in cluster.names]
        s3 = client("http://{}:{}".format(*doors[0]), KeyPair(*PAIR), read_timeout=120)
        memory = Memory(cluster)
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key=KEY)["UploadId"]
        seconds = put_parts(doors, upload, bodies, given.threads, memory)
        size = sum(body.size for body in bodies)
        print(f"{given.parts} parts, {size / MIB / 1024:.2f} GiB by {given.threads} threads: {seconds:.1f} s,"
              f" {size / MIB / seconds:.0f} MiB/s", flush=True)
        complete_s = complete(s3, upload, given.parts)
        print(f"completed in {complete_s:.2f} s (goal < {COMPLETE_S:.0f})", flush=True)
        check(s3, bodies)
        memory.look()
        print(f"memory, first quarter -> after: {memory.line()}; growth {memory.growth / MIB:.0f} MiB"
              f" (goal < {GROWTH_BYTES_MAX / MIB:.0f})")
        cluster.stop()
    met = complete_s < COMPLETE_S and memory.growth < GROWTH_BYTES_MAX
    print("all goals met" if met else "MISSED")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
