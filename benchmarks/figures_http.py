"""Figures of the HTTP door: large and small, up and down, each round beside its reference."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks import http_bulk, http_load
from benchmarks.quiet import QuietRounds
from benchmarks.report import Figure
from benchmarks.stage import address, addresses, cpu_of_cluster, cpu_of_tree, free_port, reference
from tests.support.cluster import Cluster

GIB = 1 << 30
SMALL_BYTES = 4096
CLIENTS = 64
READ_FILES = 2_000
REST_MAX_S = 30.0
REST_LOOK_S = 0.5
REST_CORES = 0.1

Say = Callable[[str], None]


def bulk(cluster: Cluster, folder: Path, rounds: QuietRounds, size: int, say: Say) -> list[Figure]:
    """PUT and GET of one large file at the leader's node; both references interleaved with ours."""
    upload = Figure("PUT large", "MiB/s", True, 0.6,
                    "one loopback receive, one BLAKE3, three O_DIRECT+fdatasync writers over loopback")
    download = Figure("GET large, warm", "MiB/s", True, 0.6, "bare sendfile over loopback")
    upload_cpu = Figure("PUT large, CPU", "s/GiB", False, None, "the same, all its processes")
    download_cpu = Figure("GET large, CPU", "s/GiB", False, None, "the same")
    node = cluster.leader()
    server = address(cluster, node)
    receiver, sender = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    with (reference("benchmarks.bare_bulk", "receive", receiver[0], str(receiver[1]), str(folder / "bare-put"),
                    ready=receiver) as receiver_pid,
          reference("benchmarks.bare_bulk", "send", sender[0], str(sender[1]), str(folder / "bare-get"), str(size),
                    ready=sender) as sender_pid):
        salt = random.getrandbits(60)
        warm_up = http_bulk.Body(size // 4, salt)
        http_bulk.upload(receiver, "/v1/files/admin/x", "none", warm_up)
        http_bulk.upload(server, "/v1/files/admin/bench/warm", cluster.token, warm_up)
        for number in rounds.run():
            body = http_bulk.Body(size, salt + number + 1)
            path = f"/v1/files/admin/bench/large-{number}"
            _one(upload, upload_cpu, size,
                 lambda body=body, path=path: http_bulk.upload(server, path, cluster.token, body),
                 lambda body=body: http_bulk.upload(receiver, "/v1/files/admin/x", "none", body),
                 lambda: sum(cpu_of_cluster(cluster).values()), lambda: cpu_of_tree(receiver_pid))
            http_bulk.download(server, path, cluster.token, check=body.blake3())
            http_bulk.download(sender, "/", "none")
            _one(download, download_cpu, size,
                 lambda path=path: http_bulk.download(server, path, cluster.token),
                 lambda: http_bulk.download(sender, "/", "none"),
                 lambda: sum(cpu_of_cluster(cluster).values()), lambda: cpu_of_tree(sender_pid))
            cluster.request(node, "DELETE", path + "?purge=1")
            say(f"large, round {number + 1}: PUT {upload.ours[-1]:.0f} ({upload.bare[-1]:.0f}) MiB/s, "
                f"GET {download.ours[-1]:.0f} ({download.bare[-1]:.0f}) MiB/s; reference in brackets")
    return rounds.keep([upload, upload_cpu, download, download_cpu])


def _one(speed: Figure, cpu: Figure, size: int, ours: Callable[[], http_bulk.Transfer],
         bare: Callable[[], http_bulk.Transfer], our_cpu_s: Callable[[], float],
         bare_cpu_s: Callable[[], float]) -> None:
    """One round: the reference, then ours."""
    before_s = bare_cpu_s()
    speed.bare.append(bare().mib_per_s)
    cpu.bare.append((bare_cpu_s() - before_s) * GIB / size)
    before_s = our_cpu_s()
    speed.ours.append(ours().mib_per_s)
    cpu.ours.append((our_cpu_s() - before_s) * GIB / size)


def small(cluster: Cluster, rounds: QuietRounds, seconds: float, say: Say) -> list[Figure]:
    """4 KiB files at 64 clients: through one node's gateway, and spread over all nodes."""
    text = "a bare aiohttp handler on uvloop that stores nothing"
    put = Figure("PUT 4 KiB x64, one node", "/s", True, 0.3, text)
    get = Figure("GET 4 KiB x64, one node", "/s", True, 0.6, text)
    put_all = Figure("PUT 4 KiB x64, three nodes", "/s", True, None, text)
    get_all = Figure("GET 4 KiB x64, three nodes", "/s", True, None, text)
    get_local = Figure("GET 4 KiB x64, local", "/s", True, None, text, note="Fluffy-Consistency: local, one node")
    node = cluster.leader()
    one, every = [address(cluster, node)], addresses(cluster, cluster.names)
    port = free_port()
    bare = [("127.0.0.1", port)]
    counter = itertools.count()
    with reference("benchmarks.bare_small", "127.0.0.1", str(port), ready=bare[0]):
        paths = _files_to_read(cluster, one)
        for number in rounds.run():
            bare_put = _puts("bench", bare, next(counter), "none", seconds)
            before = cpu_of_cluster(cluster)
            put.ours.append(_puts("bench", one, next(counter), cluster.token, seconds))
            put.note = _shares(before, cpu_of_cluster(cluster), put.ours[-1] * seconds)
            put_all.ours.append(_puts("bench", every, next(counter), cluster.token, seconds))
            _rest(cluster)
            bare_get = _gets(bare, "none", paths, seconds)
            before = cpu_of_cluster(cluster)
            get.ours.append(_gets(one, cluster.token, paths, seconds))
            get.note = _shares(before, cpu_of_cluster(cluster), get.ours[-1] * seconds)
            get_all.ours.append(_gets(every, cluster.token, paths, seconds))
            get_local.ours.append(_gets(one, cluster.token + "\r\nFluffy-Consistency: local", paths, seconds))
            for figure, value in ((put, bare_put), (put_all, bare_put), (get, bare_get), (get_all, bare_get),
                                  (get_local, bare_get)):
                figure.bare.append(value)
            say(f"small, round {number + 1}: PUT {put.ours[-1]:,.0f} / {put_all.ours[-1]:,.0f} ({bare_put:,.0f})/s, "
                f"GET {get.ours[-1]:,.0f} / {get_all.ours[-1]:,.0f} ({bare_get:,.0f})/s; one node / three (reference)")
    return rounds.keep([put, get, put_all, get_all, get_local])


def _rest(cluster: Cluster) -> None:
    """Wait until the keepers have done what the puts left to them (search index, manifests): it is no reading."""
    until_s = time.monotonic() + REST_MAX_S
    while time.monotonic() < until_s:
        before_s = cpu_of_cluster(cluster)["keeper"]
        time.sleep(REST_LOOK_S)
        if cpu_of_cluster(cluster)["keeper"] - before_s < REST_LOOK_S * REST_CORES:
            return


def _shares(before: Counter[str], after: Counter[str], requests: float) -> str:
    """Where the CPU time of a request went, over all nodes."""
    spent = {kind: (after[kind] - before[kind]) * 1e6 / requests for kind in after}
    return "CPU us per request: " + ", ".join(f"{kind} {us:.0f}" for kind, us in sorted(spent.items()) if us >= 0.5)


def _files_to_read(cluster: Cluster, to: list[tuple[str, int]]) -> list[str]:
    paths = [f"/v1/files/admin/bench/read/f{number}" for number in range(READ_FILES)]
    requests = (http_load.request_bytes("PUT", "bench", path, cluster.token, number.to_bytes(8, "little") * 512)
                for number, path in enumerate(paths))
    result = http_load.drive(to, requests, CLIENTS, 60.0)
    _no_errors(result)
    return paths


def _puts(host: str, to: list[tuple[str, int]], run: int, token: str, seconds: float) -> float:
    salt = random.getrandbits(40)
    requests = http_load.puts(host, token, lambda number: f"/v1/files/admin/bench/small{run}/{salt:x}-{number}",
                              bytes(SMALL_BYTES), start=salt << 20)
    result = http_load.drive(to, requests, CLIENTS, seconds)
    _no_errors(result)
    return result.per_s


def _gets(to: list[tuple[str, int]], token: str, paths: list[str], seconds: float) -> float:
    result = http_load.drive(to, http_load.gets("bench", token, paths), CLIENTS, seconds)
    _no_errors(result)
    if result.body_bytes != SMALL_BYTES * len(result.latencies_ms):
        raise RuntimeError("bodies of another length than asked for")
    return result.per_s


def _no_errors(result: http_load.Result) -> None:
    if result.errors:
        raise RuntimeError(f"{len(result.errors)} requests failed, the first: {result.errors[0]!r}")
