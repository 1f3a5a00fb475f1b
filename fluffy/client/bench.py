"""How fast a user's own cluster is, from where the user stands: large and small files, listings, search, a failover.

(Repair: `bench_repair`.)

Everything happens in one folder of its own, which is purged at the end, also after Ctrl-C and after a failure. Figures
are of this machine, this network and this cluster together; what they ran on stands beside them.
"""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluffy import __version__
from fluffy.base.units import KIB, MIB
from fluffy.client.sync import Fluffy
from fluffy.wire.iptable import format_host

SMALL_BYTES = 4 * KIB
# Enough to keep three nodes busy, few enough that one client machine is not what is measured.
AT_ONCE = 8
LARGE_AT_ONCE = 2
LARGE_FILES = 4
SEARCHES = 20
# A node drains (15 s at most), hands over what it leads, and starts again: all of it is watched.
FAILOVER_WATCH_S = 25.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `better`: more or less of it."""

    name: str
    value: float
    unit: str
    better: str

    def json(self) -> dict[str, Any]:
        return {"value": round(self.value, 3), "unit": self.unit, "better": self.better}


def hardware(status: Mapping[str, Any]) -> dict[str, Any]:
    """What the figures belong to: this machine, and the cluster as its status tells it."""
    settings, log = status.get("settings") or {}, status.get("log") or {}
    return {
        "client": {"cpu": _cpu_name(), "cores": os.cpu_count(), "system": platform.platform(terse=True),
                   "python": platform.python_version(), "fluffy": __version__},
        "cluster": {"name": (status.get("cluster") or {}).get("name"), "nodes": len(status.get("nodes") or ()),
                    "fluffy": status.get("version"), "replication": settings.get("replication"),
                    "chunk_size": settings.get("chunk_size"), "fsync": log.get("fsync")}}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


@contextmanager
def bench_folder(client: Fluffy) -> Iterator[str]:
    """A folder of its own below the user's home, which is gone afterwards, whatever happens."""
    folder = f"/{client.whoami().user}/fluffy-bench-{secrets.token_hex(4)}"
    client.mkdir(folder, parents=True)
    try:
        yield folder
    finally:
        client.delete(folder, recursive=True, purge=True)


def measure(client: Fluffy, folder: str, *, large_bytes: int, small_files: int, tell: Callable[[str], None],
            ) -> Iterator[Figure]:
    """Figures as they come. `tell` hears what is measured next."""
    tell(f"{LARGE_FILES} files of {large_bytes // MIB} MiB")
    yield from _large(client, folder, large_bytes)
    tell(f"{small_files} files of {SMALL_BYTES // KIB} KiB, {AT_ONCE} at once")
    yield from _small(client, f"{folder}/small", small_files)
    tell("listing and search")
    began_s = time.perf_counter()
    entries = sum(1 for _ in client.ls(f"{folder}/small"))
    yield Figure("list", entries / (time.perf_counter() - began_s), "entries/s", "more")
    word = folder.rpartition("/")[2]
    times = [_timed(lambda: sum(1 for _ in client.search_page(f"*small-{word}*", limit=10).entries))
             for _ in range(SEARCHES)]
    yield Figure("search", _percentile(times, 50) * 1000, "ms (median)", "less")


def _large(client: Fluffy, folder: str, size: int) -> Iterator[Figure]:
    names = [f"{folder}/large-{number}" for number in range(LARGE_FILES)]
    took_s = put_large(client, names, size)
    total = sum(client.info(name).size for name in names)
    yield Figure("put_large", total / took_s / MIB, "MiB/s", "more")
    took_s = _all_at_once(lambda name: client.write_to(name, lambda block: None), names, LARGE_AT_ONCE)
    yield Figure("get_large", total / took_s / MIB, "MiB/s", "more")


def put_large(client: Fluffy, names: Sequence[str], size: int) -> float:
    """Seconds that it takes to write files of these names.

    Bytes of chance: neither a compressing disk nor chunks that are there already make it look faster.
    """
    bodies = [os.urandom(min(size, 8 * MIB)) for _ in names]

    def put(pair: tuple[str, bytes]) -> None:
        name, piece = pair
        salted = (number.to_bytes(8, "big") + piece[8:] for number in range(max(1, size // len(piece))))
        client.put(name, salted)
    return _all_at_once(put, zip(names, bodies, strict=True), LARGE_AT_ONCE)


def _small(client: Fluffy, folder: str, count: int) -> Iterator[Figure]:
    word = folder.rpartition("/")[0].rpartition("/")[2]
    names = [f"{folder}/small-{word}-{number}" for number in range(count)]
    for verb, call in (("put", lambda name: client.put(name, os.urandom(SMALL_BYTES))),
                       ("get", lambda name: client.get(name))):
        times: list[float] = []
        took_s = _all_at_once(lambda name, call=call, times=times: times.append(  # type: ignore[misc]
            _timed(lambda: call(name))), names, AT_ONCE)
        yield Figure(f"{verb}_small", count / took_s, "files/s", "more")
        yield Figure(f"{verb}_small_median", _percentile(times, 50) * 1000, "ms", "less")
        yield Figure(f"{verb}_small_p99", _percentile(times, 99) * 1000, "ms", "less")


def measure_failover(client: Fluffy, folder: str, tell: Callable[[str], None]) -> Figure:
    """The longest time without a finished write while the leader is restarted. Raises FluffyError."""
    status = client.status()
    leader, first = str(status["leader"]), client.peer
    node = next(node for node in status["nodes"] if node["name"] == leader)
    address = f"{format_host(str(node['host']))}:{node['http']}"
    tell(f"writing while the leader, node {leader}, restarts")
    client.use_peer(f"{first.partition('://')[0]}://{address}")  # only itself can it restart
    client.restart_node(leader)
    others = [peer for peer in client.peers if peer != client.peer]
    client.use_peer(others[0] if others else first)  # what is measured is the cluster, not this client's search for it
    until_s = time.monotonic() + FAILOVER_WATCH_S
    gap_s = 0.0
    while (began_s := time.monotonic()) < until_s:
        client.put(f"{folder}/failover", b"still there?")
        gap_s = max(gap_s, time.monotonic() - began_s)
    return Figure("failover_gap", gap_s * 1000, "ms", "less")


def _all_at_once(call: Callable[[Any], object], items: Iterable[Any], at_once: int) -> float:
    """Seconds that it takes to do all. The first failure ends it, and Ctrl-C: what has begun is finished."""
    began_s = time.perf_counter()
    with ThreadPoolExecutor(at_once, thread_name_prefix="bench") as pool:
        try:
            for _ in pool.map(call, items):
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return time.perf_counter() - began_s


def _timed(call: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s


def _percentile(times: list[float], percent: int) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
