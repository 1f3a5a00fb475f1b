"""Two of three nodes dead: every file is read and flagged stale, a write is refused soon and clearly.

One comes back: writes go on.

    python -m tests.faults.minority --rounds 3
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

from tests.faults.drill import drill_main
from tests.support.cluster import Cluster

REFUSAL_MAX_S = 3.0
SIZES = (0, 1, 5_000, 40_000, 700_000)


@dataclass(slots=True)
class Report:
    files: int = 0
    refused_s: list[float] = field(default_factory=list)
    sentences: set[str] = field(default_factory=set)
    back_s: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [f"files read through the last node, all flagged stale: {self.files}",
                f"a write refused after: worst {max(self.refused_s):.2f} s, saying {sorted(self.sentences)}",
                f"writes go on after the second node's return in: worst {max(self.back_s):.2f} s",
                f"problems: {len(self.problems)}", *self.problems]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems
        assert max(self.refused_s) < slack * REFUSAL_MAX_S, self.refused_s


async def run(cluster: Cluster, rounds: int, seed: int) -> Report:
    """Each round another survivor. The cluster is ready before and after."""
    report = Report()
    for number in range(rounds):
        await asyncio.to_thread(_round, cluster, cluster.names[number % 3], f"admin/minority{seed}-{number}", report)
    return report


def _round(cluster: Cluster, survivor: str, folder: str, report: Report) -> None:
    bodies = {f"/v1/files/{folder}/f{size}": bytes(i * 7 % 251 for i in range(size)) for size in SIZES}
    for path, body in bodies.items():
        status, _, answer = cluster.request(survivor, "PUT", path, body)
        assert status in (200, 201), (status, answer)
    others = [name for name in cluster.names if name != survivor]
    cluster.kill(*others)
    _read_all(cluster, survivor, bodies, report)
    _refused_write(cluster, survivor, f"/v1/files/{folder}/refused", report)
    started_s = time.monotonic()
    cluster.start(others[0])
    cluster.wait_until(lambda: _can_write(cluster, survivor, f"/v1/files/{folder}/again"), 30.0, "writes go on")
    report.back_s.append(time.monotonic() - started_s)
    cluster.start(others[1])
    cluster.wait_ready()
    _read_all(cluster, others[1], bodies, report, stale=False)
    status, _, _ = cluster.request(survivor, "GET", f"/v1/files/{folder}/refused")
    if status != 404:
        report.problems.append(f"the refused write is there: {status}")


def _read_all(cluster: Cluster, node: str, bodies: dict[str, bytes], report: Report, stale: bool = True) -> None:
    for path, body in bodies.items():
        status, headers, got = cluster.request(node, "GET", path, timeout_s=15.0)
        if status != 200 or got != body:
            report.problems.append(f"{path} at {node}: status {status}, {len(got)} of {len(body)} bytes")
        if (headers.get("fluffy-stale") == "true") != stale:
            report.problems.append(f"{path} at {node}: stale flag is {headers.get('fluffy-stale')}, expected {stale}")
        if stale and not headers.get("age", "").isdigit():
            report.problems.append(f"{path} at {node}: stale without an age")
        report.files += stale


def _refused_write(cluster: Cluster, node: str, path: str, report: Report) -> None:
    started_s = time.monotonic()
    status, headers, body = cluster.request(node, "PUT", path, b"x" * 100, timeout_s=15.0)
    report.refused_s.append(time.monotonic() - started_s)
    error = json.loads(body).get("error", {})
    report.sentences.add(str(error.get("message")))
    if status != 503 or "retry-after" not in headers or len(str(error.get("message", ""))) < 20:
        report.problems.append(f"refusal: status {status}, headers {headers}, body {body[:300]!r}")


def _can_write(cluster: Cluster, node: str, path: str) -> bool:
    try:
        return cluster.request(node, "PUT", path, b"again", timeout_s=5.0)[0] in (200, 201)
    except OSError:
        return False


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=3)
