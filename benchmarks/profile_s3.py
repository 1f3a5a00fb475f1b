"""Where the CPU seconds of a GiB go, through the S3 door and through the native one: what of it are hashes.

    python -m benchmarks.profile_s3 [--objects 8] [--rounds 3]

S3 demands an MD5 of every byte, and every object has a checksum too; a client that signs its payload wants a SHA-256 on
top. BLAKE3 is ours: of each byte once where it comes in, and once more where it is stored or read. What each of them
costs is measured here alone, in the same minutes; what the doors cost is the CPU time of all processes of the cluster.
So the rest that is left when the hashes are taken off can be compared between the doors. Objects of 64 MiB, one after
the other: CPU time does not depend on who waits for whom.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from benchmarks import http_bulk
from benchmarks.figures_s3 import MIB, OBJECT_BYTES, PAIR, signed
from benchmarks.stage import address, cpu_of_cluster
from fluffy.wire import s3_checksums
from tests.support.cluster import Cluster

GIB = 1024 * MIB
HASHED_BYTES = 256 * MIB
PIECE_BYTES = 8 * MIB
BUCKET = "profile"
# Nodes that nobody asks anything take less than that in a step.
SETTLE_STEP_S, IDLE_CPU_S, SETTLE_STEPS_MAX = 0.2, 0.04, 25
# What S3 wants computed of a put, and what a client's signature adds.
OF_PUT = ("md5", "crc64nvme")
OF_SIGNED_PUT = (*OF_PUT, "sha256")
# The part of the difference between the doors that must be hashes that S3 demands, else something else shows up.
EXPLAINED_MIN = 0.8


@dataclass(slots=True)
class Way:
    """One way to move an object. `hashes`: those that the native door does not compute. `per_gib_s`: of each round."""

    name: str
    native: str
    hashes: tuple[str, ...]
    move: Callable[[str, http_bulk.Body], object]
    per_gib_s: list[float]


def hash_costs() -> dict[str, float]:
    """CPU seconds per GiB of each hash, alone on one core, in pieces as the gateway has them."""
    piece = memoryview(os.urandom(PIECE_BYTES))
    kinds: dict[str, Callable[[], object]] = {
        "md5": lambda: hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256, "blake3": blake3,
        **{name: lambda name=name: s3_checksums.new(name) for name in ("crc32", "crc32c", "crc64nvme")}}
    found: dict[str, float] = {}
    for name, make in kinds.items():
        hasher = make()
        began_s = time.thread_time()
        for _ in range(HASHED_BYTES // PIECE_BYTES):
            hasher.update(piece)  # type: ignore[attr-defined]
        found[name] = (time.thread_time() - began_s) * GIB / HASHED_BYTES
    return found


def ways(cluster: Cluster) -> list[Way]:
    node = cluster.leader()
    native, s3 = address(cluster, node), cluster.s3_address(node)

    def put(name: str, body: http_bulk.Body) -> object:
        return http_bulk.upload(native, f"/v1/files/{BUCKET}/native-{name}", cluster.token, body)

    def s3_put(name: str, body: http_bulk.Body) -> object:
        return http_bulk.upload(s3, signed("PUT", f"/{BUCKET}/s3-{name}"), "", body)

    def s3_put_signed(name: str, body: http_bulk.Body) -> object:
        digest = hashlib.sha256()
        for piece in itertools.chain.from_iterable(body.blocks()):
            digest.update(piece)
        said = {"x-amz-content-sha256": digest.hexdigest()}
        return http_bulk.upload(s3, signed("PUT", f"/{BUCKET}/signed-{name}", said), "", body, said)

    def get(name: str, _: http_bulk.Body) -> object:
        return http_bulk.download(native, f"/v1/files/{BUCKET}/native-{name}", cluster.token)

    def s3_get(name: str, _: http_bulk.Body) -> object:
        return http_bulk.download(s3, signed("GET", f"/{BUCKET}/s3-{name}"), "")

    return [Way("native PUT", "", (), put, []), Way("S3 PUT", "native PUT", OF_PUT, s3_put, []),
            Way("S3 PUT, signed payload", "native PUT", OF_SIGNED_PUT, s3_put_signed, []),
            Way("native GET", "", (), get, []), Way("S3 GET", "native GET", (), s3_get, [])]


def rounds(cluster: Cluster, count: int, objects: int) -> Iterator[list[Way]]:
    """After every round what was measured so far. The ways take turns, so that who else is busy disturbs all alike."""
    found, salt = ways(cluster), random.getrandbits(60)
    for number in range(count):
        spent_s = [0.0] * len(found)
        before_s = settled_cpu_s(cluster)
        for object_no, (at, way) in itertools.product(range(objects), enumerate(found)):
            way.move(f"{number}-{object_no}", http_bulk.Body(OBJECT_BYTES, salt + 1000 * number + 10 * object_no + at))
            now_s = settled_cpu_s(cluster)
            spent_s[at] += now_s - before_s
            before_s = now_s
        for way, seconds in zip(found, spent_s, strict=True):
            way.per_gib_s.append(seconds * GIB / (objects * OBJECT_BYTES))
        yield found


def settled_cpu_s(cluster: Cluster) -> float:
    """CPU seconds of all processes, once what an answer leaves to be done (the last copies) is done too."""
    before_s = sum(cpu_of_cluster(cluster).values())
    for _ in range(SETTLE_STEPS_MAX):
        time.sleep(SETTLE_STEP_S)
        now_s = sum(cpu_of_cluster(cluster).values())
        if now_s - before_s <= IDLE_CPU_S:
            return now_s
        before_s = now_s
    return before_s


def table(found: list[Way], costs: dict[str, float]) -> tuple[str, bool]:
    """The shares, and whether what S3 costs more are the hashes that it demands."""
    medians = {way.name: statistics.median(way.per_gib_s) for way in found}
    lines = ["hashes, CPU s/GiB on one core: " + ", ".join(f"{name} {cost:.2f}" for name, cost in costs.items()), ""]
    is_explained = True
    for way in found:
        total = medians[way.name]
        parts = [f"{name} {costs[name]:.2f} ({costs[name] / total:.0%})" for name in (*way.hashes, "blake3")]
        line = f"{way.name}: {total:.2f} CPU s/GiB; of it {', '.join(parts)}"
        if way.native:
            more, hashes = total - medians[way.native], sum(costs[name] for name in way.hashes)
            line += f"; {more:+.2f} to {way.native}, hashes of S3 are {hashes:.2f}"
            # A tenth of the native cost is what two measurements of the same thing differ by.
            is_explained &= more - hashes <= max((1 - EXPLAINED_MIN) * more, 0.1 * medians[way.native])
        lines.append(line)
    return "\n".join(lines), is_explained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluffy-profile-") as folder, Cluster(Path(folder)) as cluster:
        cluster.start_ready()
        cluster.add_s3_key(*PAIR)
        cluster.request(cluster.leader(), "PUT", f"/v1/dirs/{BUCKET}")
        costs = hash_costs()
        for found in rounds(cluster, arguments.rounds, arguments.objects):
            text, is_explained = table(found, costs)
        cluster.stop()
    print(text)
    print("what S3 costs more are its hashes" if is_explained else "SOMETHING ELSE than S3's hashes shows up")
    sys.exit(0 if is_explained else 1)


if __name__ == "__main__":
    main()
