"""A chunk file with a flipped byte, a short one and a missing one: the reader gets the right bytes in the same request.

The bad copy must be in quarantine afterwards, and the copy made again without anybody asking.

    python -m tests.faults.bad_chunks --rounds 3
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from fluffy.core.metadata import queries
from tests.faults.drill import drill_main
from tests.support.cluster import Cluster
from tests.support.states import copy_state

HEAL_TIMEOUT_S = 40.0
FILE_BYTES = 3_000_000
CLUSTER = {"chunk_size": "1MiB"}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x10
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-70_001])


DAMAGES: dict[str, Callable[[Path], None]] = {"flipped": flip, "truncated": truncate, "removed": Path.unlink}


@dataclass(slots=True)
class Report:
    damaged: dict[str, int] = field(default_factory=dict)
    heal_s: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [f"damaged chunk files: {self.damaged}; every read right in the same request",
                f"all copies whole again after: worst {max(self.heal_s):.1f} s",
                f"problems: {len(self.problems)}", *self.problems]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems


async def run(cluster: Cluster, rounds: int, seed: int) -> Report:
    """The cluster is ready before and after."""
    report = Report()
    rng = random.Random(seed)
    for number in range(rounds):
        for kind, damage in DAMAGES.items():
            body = rng.randbytes(FILE_BYTES)
            await asyncio.to_thread(_damage_and_read, cluster, rng.choice(cluster.names), kind, damage,
                                    f"/v1/files/admin/bad{seed}-{number}-{kind}", body, report)
    return report


def chunk_files(cluster: Cluster, node: str) -> set[Path]:
    """The files of chunks by their documented place: chunks/ab/cd/<64 hex>."""
    folder = cluster.node_dir(node) / "chunks"
    return {path for path in folder.glob("??/??/*") if len(path.name) == 64}


def missing_copies(cluster: Cluster, node: str) -> int:
    """Chunks with too few copies, by the node's own metadata."""
    with closing(copy_state(cluster.node_dir(node))) as db:
        return queries.usage(db).missing_chunks


def _damage_and_read(cluster: Cluster, node: str, kind: str, damage: Callable[[Path], None], path: str, body: bytes,
                     report: Report) -> None:
    before = chunk_files(cluster, node)
    status, _, answer = cluster.request(node, "PUT", path, body)
    assert status == 201, (status, answer)
    cluster.wait_until(lambda: len(chunk_files(cluster, node) - before) == 3, 20.0, "three chunk files")
    new = chunk_files(cluster, node) - before
    for chunk in new:
        damage(chunk)
        report.damaged[kind] = report.damaged.get(kind, 0) + 1
    status, _, got = cluster.request(node, "GET", path, timeout_s=15.0)
    if status != 200 or got != body:
        report.problems.append(f"{kind} at {node}: status {status}, right bytes: {got == body}")
    if kind != "removed":
        _check_quarantine(cluster, node, kind, new, report)
    report.heal_s.append(cluster.wait_until(
        lambda: all(chunk.exists() for chunk in new) and missing_copies(cluster, node) == 0,
        HEAL_TIMEOUT_S, f"copies after {kind}"))
    status, _, got = cluster.request(node, "GET", path, timeout_s=15.0)
    if status != 200 or got != body:
        report.problems.append(f"{kind} at {node}, after healing: status {status}, right bytes: {got == body}")


def _check_quarantine(cluster: Cluster, node: str, kind: str, chunks: set[Path], report: Report) -> None:
    set_aside = {path.name for path in (cluster.node_dir(node) / "quarantine").rglob("*")}
    for chunk in chunks:
        if not any(name.startswith(chunk.name) for name in set_aside):
            report.problems.append(f"{kind} at {node}: {chunk.name[:16]} is not in quarantine")


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=3, cluster=CLUSTER)
