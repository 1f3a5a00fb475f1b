"""How fast missing copies are made, measured without taking one away from anybody.

In a bucket of its own that wants one copy less, files are written. Then the bucket wants the usual number, and each
file is copied in one step: the copies refer to the same chunks, which now lack one copy each, and repair makes it, at
its usual pace and with its usual manners. Bytes of chance: no chunk is one of somebody else's.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fluffy.base.errors import QuerySyntax
from fluffy.base.units import MIB
from fluffy.client.bench import LARGE_FILES, Figure, put_large
from fluffy.client.sync import Fluffy

LOOK_EVERY_S = 0.1
# A cluster that repairs nothing, or has other work that is more urgent, must not hold a user for ever. What was made
# until then is the figure.
WATCH_S = 120.0
# Of one file; the cluster's own.
COPIES_MAX = 5


@dataclass(frozen=True, slots=True)
class Copies:
    """`few` are written, `wanted` is what repair makes of them."""

    few: int
    wanted: int


def copies_of(status: Mapping[str, Any]) -> Copies:
    """Raises QuerySyntax where the cluster has no node on which a further copy could be made."""
    settings = status["settings"]
    replication, quorum = int(settings["replication"]), int(settings["write_quorum"])
    few = max(quorum, min(replication, COPIES_MAX) - 1)
    nodes = sum(node["state"] == "up" for node in status["nodes"])
    if few + 1 > min(nodes, COPIES_MAX):
        raise QuerySyntax(f"measuring repair takes {few + 1} nodes that are up, and there are {nodes}: leave --repair "
                          "out, or start more nodes")
    return Copies(few, few + 1)


@contextmanager
def bench_bucket(client: Fluffy, copies: int) -> Iterator[str]:
    """A bucket of its own whose files have so many copies; gone afterwards, whatever happens."""
    bucket = f"fluffy-bench-{secrets.token_hex(4)}"
    client.mkdir(f"/{bucket}")
    try:
        client.set_bucket(bucket, replication=copies)
        yield bucket
    finally:
        client.delete(f"/{bucket}", recursive=True, purge=True)


def measure_repair(client: Fluffy, copies: Copies, large_bytes: int, tell: Callable[[str], None]) -> Iterator[Figure]:
    """From the moment in which copies are missing until the last one is made, the time to notice it included."""
    tell(f"repair: one more copy of {LARGE_FILES} files of {large_bytes // MIB} MiB")
    with bench_bucket(client, copies.few) as bucket:
        names = [f"/{bucket}/large-{number}" for number in range(LARGE_FILES)]
        put_large(client, names, large_bytes)
        _watch(client, names, copies.few)
        client.set_bucket(bucket, replication=copies.wanted)
        before = _copied_bytes(client, names)
        began_s = time.perf_counter()
        for name in names:
            client.copy(name, f"{name}-again")
        _watch(client, names, copies.wanted)
        took_s = time.perf_counter() - began_s
        yield Figure("repair", (_copied_bytes(client, names) - before) / took_s / MIB, "MiB/s", "more")


def _watch(client: Fluffy, names: Sequence[str], copies: int) -> None:
    """Until each chunk has so many copies, or for as long as is bearable."""
    until_s = time.monotonic() + WATCH_S
    waiting = list(names)
    while waiting and time.monotonic() < until_s:
        waiting = [name for name in waiting
                   if any(len(chunk["replicas"]) < copies for chunk in client.info(name).document["chunks"])]
        if waiting:
            _rest()


def _copied_bytes(client: Fluffy, names: Sequence[str]) -> int:
    """Bytes on all disks together."""
    return sum(int(chunk["length"]) * len(chunk["replicas"])
               for name in names for chunk in client.info(name).document["chunks"])


def _rest() -> None:
    time.sleep(LOOK_EVERY_S)
