"""One node loses its database, then its log: the first is made anew by itself, with the second it must not start.

    python -m tests.faults.lost_log
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.backup_restore import fluffy
from tests.faults.disaster_tree import client_of, differences, plant
from tests.faults.drill import drill_main
from tests.support.cluster import ROOT, Cluster
from tests.support.states import digest_of

BACK_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Report:
    anew_s: list[float] = field(default_factory=list)
    refused: int = 0
    join_s: float = 0.0
    chunks_before: int = 0
    chunks_after: int = 0
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [f"database deleted, damaged behind its first page, overwritten: serving again after {self.anew_s} s",
                f"without its log it refused to start ({self.refused}); readmitted with its chunks in "
                f"{self.join_s:.1f} s",
                f"chunks that count on it before and after: {self.chunks_before} {self.chunks_after}",
                f"wrong files: {len(self.wrong)}", *self.wrong[:10]]

    def verify(self, slack: float = 1.0) -> None:
        assert self.refused == 78, "a node that has forgotten its votes started"
        assert self.chunks_after >= self.chunks_before > 0, "its chunks do not count again"
        assert not self.wrong, self.wrong[0]


async def run(cluster: Cluster, rounds: int, seed: int, files: int = 40) -> Report:
    return await asyncio.to_thread(_run, cluster, seed, files)


def _run(cluster: Cluster, seed: int, files: int) -> Report:
    report = Report()
    tree = plant(cluster, seed, files)
    victim = next(name for name in cluster.names if name != cluster.leader())
    cluster.request(victim, "POST", "/v1/admin/checkpoint", b"", 60.0)
    with client_of(cluster) as client:
        client.put("/alice/behind the checkpoint", b"x")
    for damage in (_delete, _damage_inside, _overwrite):
        cluster.kill(victim)
        damage(cluster.node_dir(victim))
        began_s = time.monotonic()
        cluster.start_ready(victim)
        cluster.wait_until(lambda: _agrees(cluster, victim), BACK_TIMEOUT_S, f"{victim} says what the others say")
        report.anew_s.append(round(time.monotonic() - began_s, 1))
    report.chunks_before = _chunks(cluster, victim)
    cluster.kill(victim)
    _delete(cluster.node_dir(victim))
    for kind in ("log", "checkpoints"):
        shutil.rmtree(cluster.node_dir(victim) / kind)
    cluster.start(victim)
    report.refused = cluster.exit_code(victim)
    _readmit(cluster, victim, report)
    report.wrong = differences(cluster, tree)
    return report


def _readmit(cluster: Cluster, victim: str, report: Report) -> None:
    fluffy(cluster, "admin", "reset-node", victim, "--yes")
    fluffy(cluster, "recover", victim)
    other = next(name for name in cluster.names if name != victim)
    began_s = time.monotonic()
    with (cluster.folder / f"{victim}.log").open("ab") as log:
        cluster._started[victim] = subprocess.Popen(
            [sys.executable, str(ROOT / "server.py"), victim, "--config", str(cluster.config), "--join",
             cluster.url(other).removeprefix("http://")],
            cwd=cluster.folder, env=cluster.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True)
    cluster.wait_ready(victim, timeout_s=BACK_TIMEOUT_S)
    cluster.wait_until(lambda: _chunks(cluster, victim) >= report.chunks_before, BACK_TIMEOUT_S, "its chunks count")
    report.join_s = time.monotonic() - began_s
    report.chunks_after = _chunks(cluster, victim)


def _chunks(cluster: Cluster, name: str) -> int:
    nodes = cluster.json(cluster.running[0], "/v1/nodes")["nodes"]
    return next((int(node["chunks"]) for node in nodes if node["name"] == name), 0)


def _agrees(cluster: Cluster, victim: str) -> bool:
    states = {digest_of(cluster.node_dir(name)) for name in cluster.names}
    return len(states) == 1


def _delete(folder: Path) -> None:
    for path in folder.glob("meta*"):
        path.unlink()


def _damage_inside(folder: Path) -> None:
    """The file opens, and what is in it cannot be read."""
    path = (folder / "meta.db").resolve()
    size = path.stat().st_size
    with path.open("r+b") as file:
        for at in range(8192, size, 4096):
            file.seek(at)
            file.write(b"\x5a" * 4096)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _overwrite(folder: Path) -> None:
    path = (folder / "meta.db").resolve()
    path.write_bytes(b"not a database" * 1000)


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, arguments={"files": (int, 40, "how many files the tree is made of")})
