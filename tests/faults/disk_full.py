"""A disk that fills up during uploads: refused with a sentence, nothing half there, what was stored still served.

Every node's folder is a small file system of its own in memory, so this drill must be allowed to mount one (root).

    python -m tests.faults.disk_full
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from dataclasses import dataclass, field

from tests.faults.drill import drill_main
from tests.support.cluster import Cluster

DISK_MIB = 160
FILE_BYTES = 12 << 20
FILES_MAX = 40


@dataclass(slots=True)
class Report:
    stored: int = 0
    refusals: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [f"files of {FILE_BYTES >> 20} MiB that fitted on disks of {DISK_MIB} MiB: {self.stored}",
                f"refused with: {sorted(self.refusals)}", f"problems: {len(self.problems)}", *self.problems]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems
        assert self.stored and self.refusals, "the disks did not fill up"


async def run(cluster: Cluster, rounds: int, seed: int) -> Report:
    report = Report()
    await asyncio.to_thread(_fill, cluster, report)
    return report


def _fill(cluster: Cluster, report: Report) -> None:
    node = cluster.names[0]
    bodies: dict[str, bytes] = {}
    for number in range(FILES_MAX):
        path, body = f"/v1/files/admin/full/f{number}", os.urandom(FILE_BYTES)
        status, _, answer = cluster.request(node, "PUT", path, body, timeout_s=60.0)
        if status == 201:
            bodies[path] = body
            continue
        report.refusals.add(f"{status} {json.loads(answer)['error']['message']}")
        if status not in (503, 507):
            report.problems.append(f"refused with {status}: {answer[:300]!r}")
        if cluster.request(node, "GET", path)[0] != 404:
            report.problems.append(f"{path} was refused, but something is there")
        break
    report.stored = len(bodies)
    for path, body in bodies.items():
        for name in cluster.names:
            status, _, got = cluster.request(name, "GET", path, timeout_s=60.0)
            if status != 200 or got != body:
                report.problems.append(f"{path} through {name}: {status}")
    status, _, answer = cluster.request(node, "PUT", "/v1/files/admin/full/small", b"metadata still has its reserve")
    if status != 201:
        report.problems.append(f"a small file while the disks are full of chunks: {status} {answer[:300]!r}")


class SmallDisks:
    """Mounts a file system in memory at each node's folder, and takes them away at the end."""

    def __init__(self, cluster: Cluster) -> None:
        self._places = [cluster.node_dir(name) for name in cluster.names]

    def __enter__(self) -> None:
        for place in self._places:
            place.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(place)], check=True)

    def __exit__(self, *exc: object) -> None:
        for place in self._places:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, around=SmallDisks)
