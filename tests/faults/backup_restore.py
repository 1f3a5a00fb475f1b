"""Backup, a new cluster on the old chunks, restore: the same tree digest; what has no bytes is named.

    python -m tests.faults.backup_restore --files 1000
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.disaster_tree import PASSWORD, Tree, client_of, differences, plant
from tests.faults.drill import drill_main
from tests.support.cluster import ROOT, Cluster


@dataclass(slots=True)
class Report:
    files: int = 0
    bytes: int = 0
    backup_bytes: int = 0
    plant_s: float = 0.0
    backup_s: float = 0.0
    restore_s: float = 0.0
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    taken_away: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    can_log_in: bool = False
    uuids: tuple[str, str] = ("", "")

    def lines(self) -> list[str]:
        return [
            f"files: {self.files:,} of {self.bytes:,} bytes; planting took {self.plant_s:.1f} s",
            f"backup: {self.backup_bytes:,} bytes in {self.backup_s:.1f} s; restore into a new cluster: "
            f"{self.restore_s:.1f} s, {self.files / max(0.01, self.restore_s):.0f} files/s",
            f"digest before: {self.before.get('digest', '')[:32]}",
            f"digest after:  {self.after.get('digest', '')[:32]}",
            f"files whose bytes were taken away: {len(self.taken_away)}; named: {len(self.named)}",
            f"wrong files: {len(self.wrong)}", *self.wrong[:10]]

    def verify(self, slack: float = 1.0) -> None:
        assert self.before["digest"] == self.after["digest"], "the digest of the tree is another one"
        assert not self.wrong, f"{len(self.wrong)} files are not as they were: {self.wrong[0]}"
        assert sorted(self.named) == sorted(self.taken_away), "not exactly the files without bytes were named"
        assert self.can_log_in, "a password of before does not work"
        assert self.uuids[0] != self.uuids[1], "the new cluster is the old one"


def fluffy(cluster: Cluster, *words: str, ok: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """The command line, as an operator uses it."""
    done = subprocess.run([sys.executable, str(ROOT / "client.py"), "--config", str(cluster.config), *words],
                          cwd=cluster.folder, env={**cluster.env, "XDG_STATE_HOME": str(cluster.folder / "state")},
                          capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode in ok, f"fluffy {' '.join(words)} ended with {done.returncode}: {done.stdout} {done.stderr}"
    return done


def uuid_of(cluster: Cluster) -> str:
    return str(cluster.json(cluster.running[0], "/v1/status")["cluster"]["uuid"])


def digest_of(cluster: Cluster) -> dict[str, Any]:
    with client_of(cluster) as client:
        return dict(client.tree_digest())


def log_in(cluster: Cluster) -> bool:
    """Whether bob's password of before works, and the token sees his bucket."""
    with client_of(cluster) as client:
        token = client.login("bob", PASSWORD).token
    with client_of(cluster, token) as bob:
        return bool(list(bob.ls("/bob")))


async def run(cluster: Cluster, rounds: int, seed: int, files: int = 120) -> Report:
    return await asyncio.to_thread(_run, cluster, seed, files)


def _run(cluster: Cluster, seed: int, files: int) -> Report:
    report = Report()
    began_s = time.monotonic()
    tree = plant(cluster, seed, files)
    report.files, report.bytes, report.plant_s = len(tree.files), tree.bytes, time.monotonic() - began_s
    report.before = digest_of(cluster)
    began_s = time.monotonic()
    fluffy(cluster, "admin", "backup", "tree.fluffy")
    report.backup_s = time.monotonic() - began_s
    backup = cluster.folder / "tree.fluffy"
    report.backup_bytes = backup.stat().st_size
    old_uuid = uuid_of(cluster)
    cluster.stop()
    with Cluster(cluster.folder / "new", nodes=len(cluster.names)) as new:
        report.taken_away = _carry_chunks(cluster, new, tree)
        shutil.copy(cluster.folder / "drill.secret", new.folder / "drill.secret")
        os.chmod(new.folder / "drill.secret", 0o600)
        for name in new.names:
            fluffy(new, "admin", "reset-node", name, "--yes")
        new.start_ready()
        began_s = time.monotonic()
        done = fluffy(new, "admin", "restore", str(backup), ok=(0, 1))
        report.restore_s = time.monotonic() - began_s
        report.named = [line.partition(" (generation")[0] for line in done.stdout.splitlines()
                        if "no node holds all of its bytes" in line]
        report.after = digest_of(new)
        report.uuids = (old_uuid, uuid_of(new))
        report.wrong = differences(new, tree, without=frozenset(report.taken_away))
        report.can_log_in = log_in(new)
        with client_of(new) as client:
            client.put("/alice/after", b"after")
    return report


def _carry_chunks(old: Cluster, new: Cluster, tree: Tree) -> list[str]:
    """Give each new node the chunks of an old one, but for those of one file; the paths that lost bytes."""
    from blake3 import blake3
    for old_name, new_name in zip(old.names, new.names, strict=True):
        shutil.copytree(old.node_dir(old_name) / "chunks", new.node_dir(new_name) / "chunks")
    victim = next((path for path, known in tree.files.items() if len(known.data) > 100_000), None)
    if victim is None:
        return []
    name = blake3(tree.files[victim].data).hexdigest()
    for folder in (new.node_dir(name) / "chunks" for name in new.names):
        _remove(folder, name)
    return [victim]


def _remove(folder: Path, name: str) -> None:
    (folder / name[:2] / name[2:4] / name).unlink(missing_ok=True)


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, arguments={"files": (int, 1000, "how many files the tree is made of")})
