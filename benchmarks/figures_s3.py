"""Figures of the S3 door: objects of 64 MiB by eight threads, beside the same through the native API.

The rest of the native speed is what S3 wants computed: MD5 of every byte, and a CRC. Presigned URLs, so that the
client's share is the same for both: one copy of the bytes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks import http_bulk
from benchmarks.quiet import QuietRounds
from benchmarks.report import Figure
from benchmarks.stage import address
from tests.support.cluster import Cluster

MIB = 1 << 20
OBJECT_BYTES = 64 * MIB
THREADS = 8
BUCKET = "bench-objects"
PAIR = ("BENCHKEY", "bench-secret")

Say = Callable[[str], None]


def signed(method: str, target: str, headers: Mapping[str, str] | None = None) -> str:
    """A target with a signature in it, for the host that http_bulk says. `headers`: those that it is for."""
    request = AWSRequest(method, f"http://bench{target}", headers=headers)
    S3SigV4QueryAuth(Credentials(*PAIR), "s3", "us-east-1", expires=3600).add_auth(request)
    return request.url.removeprefix("http://bench")


def objects(cluster: Cluster, rounds: QuietRounds, say: Say) -> list[Figure]:
    """PUT and GET of 64 MiB by eight threads, through both doors of one node in turn."""
    upload = Figure("S3 PUT 64 MiB x8", "MiB/s", True, 0.7, "the same bytes through the native API, same node")
    download = Figure("S3 GET 64 MiB x8", "MiB/s", True, 0.7, "the same through the native API")
    node = cluster.leader()
    native, s3 = address(cluster, node), cluster.s3_address(node)
    cluster.add_s3_key(*PAIR)
    cluster.request(node, "PUT", f"/v1/dirs/{BUCKET}")
    salt = random.getrandbits(60)
    with ThreadPoolExecutor(THREADS) as pool:
        for number in rounds.run():
            names = [f"{number}-{thread}" for thread in range(THREADS)]
            one, other = ([http_bulk.Body(OBJECT_BYTES, salt + 100 * number + 50 * door + thread)
                           for thread in range(THREADS)] for door in range(2))
            upload.bare.append(_speed(pool, lambda name, body: http_bulk.upload(
                native, f"/v1/files/admin/bench/{name}", cluster.token, body), names, one))
            upload.ours.append(_speed(pool, lambda name, body: http_bulk.upload(
                s3, signed("PUT", f"/{BUCKET}/{name}"), "", body), names, other))
            download.bare.append(_speed(pool, lambda name, body: http_bulk.download(
                native, f"/v1/files/admin/bench/{name}", cluster.token), names, one))
            download.ours.append(_speed(pool, lambda name, body: http_bulk.download(
                s3, signed("GET", f"/{BUCKET}/{name}"), ""), names, other))
            for name in names:
                cluster.request(node, "DELETE", f"/v1/files/admin/bench/{name}?purge=1")
                cluster.request(node, "DELETE", f"/v1/files/{BUCKET}/{name}?purge=1")
            say(f"s3, round {number + 1}: PUT {upload.ours[-1]:.0f} ({upload.bare[-1]:.0f}) MiB/s, "
                f"GET {download.ours[-1]:.0f} ({download.bare[-1]:.0f}) MiB/s; native in brackets")
    return rounds.keep([upload, download])


def _speed(pool: ThreadPoolExecutor, transfer: Callable[[str, http_bulk.Body], http_bulk.Transfer], names: list[str],
           bodies: list[http_bulk.Body]) -> float:
    """MiB/s of all threads together."""
    began_s = time.perf_counter()
    moved = sum(done.body_bytes for done in pool.map(transfer, names, bodies))
    return moved / MIB / (time.perf_counter() - began_s)
