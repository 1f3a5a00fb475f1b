"""A source tree by `push` into a cluster of real nodes and by `pull` out of it, beside `cp -r` and `sync` of the tree.

Also what must hold: what comes out is what went in (`diff -r`), a second push moves nothing, and after changing ten
files it moves those ten. The commands run as a user runs them, each in a process of its own; the rates are of the
whole process, its start included.

    python -m benchmarks.push_tree [--tree FOLDER] [--nodes 3] [--rounds 3] [--dir FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.support.cluster import ROOT, Cluster

CHANGED = 10
# The library with its compiled files once: 4,195 files of Python 3.11. Installed packages are not it.
NOT_THE_LIBRARY = shutil.ignore_patterns("site-packages", "config-*", "*.opt-1.pyc", "*.opt-2.pyc")
COMMAND_TIMEOUT_S = 600.0


@dataclass(slots=True)
class Findings:
    """Seconds of each round; what did not hold in `broken`."""

    files: int = 0
    mib: float = 0.0
    nodes: int = 0
    copy_s: list[float] = field(default_factory=list)
    push_s: list[float] = field(default_factory=list)
    again_s: list[float] = field(default_factory=list)
    ten_s: list[float] = field(default_factory=list)
    pull_s: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        copied = statistics.median(self.copy_s)
        rows = [f"{self.files:,} files, {self.mib:,.1f} MiB, {self.nodes} nodes, {len(self.copy_s)} rounds (medians)",
                f"{'':<34} {'seconds':>8} {'files/s':>8} {'of cp':>7}"]
        for name, seconds in (("cp -r and sync", self.copy_s), ("push into an empty place", self.push_s),
                              ("push again: nothing moves", self.again_s),
                              (f"push after changing {CHANGED} files", self.ten_s), ("pull elsewhere", self.pull_s)):
            middle = statistics.median(seconds)
            rows.append(f"{name:<34} {middle:>8.2f} {self.files / middle:>8,.0f} {copied / middle:>6.0%}")
        return rows

    def expect(self, what: str, *, found: object, wanted: object) -> None:
        if found != wanted:
            self.broken.append(f"{what}: {found}, not {wanted}")


class Machine:
    """A user's machine: a folder to work in, and a memory of its own."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), "FLUFFY_CONFIG": str(cluster.config),
                     "FLUFFY_TOKEN": cluster.token, "XDG_STATE_HOME": str(folder / "state"),
                     "XDG_CONFIG_HOME": str(folder / "config")}

    def run(self, *arguments: str) -> tuple[float, dict[str, Any]]:
        """Seconds and the document of one command."""
        began_s = time.perf_counter()
        done = subprocess.run([sys.executable, str(ROOT / "client.py"), *arguments, "--json"], cwd=self.folder,
                              env=self._env, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
        seconds = time.perf_counter() - began_s
        if done.returncode:
            raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stdout[-2000:]!r} "
                               f"{done.stderr[-500:]!r}")
        return seconds, json.loads(done.stdout)


def copy_and_sync(tree: Path, target: Path) -> float:
    began_s = time.perf_counter()
    subprocess.run(["cp", "-r", str(tree), str(target)], check=True)
    os.sync()
    return time.perf_counter() - began_s


def differences(one: Path, other: Path) -> str:
    """What `diff -r` says; empty when both trees are the same."""
    return subprocess.run(["diff", "-r", str(one), str(other)], capture_output=True, text=True, check=False).stdout


def change(files: Iterable[Path], rng: random.Random) -> None:
    for file in files:
        file.write_bytes(file.read_bytes() + rng.randbytes(8))


def one_round(cluster: Cluster, tree: Path, folder: Path, number: int, findings: Findings) -> None:
    here, there = Machine(cluster, folder / f"here{number}"), Machine(cluster, folder / f"there{number}")
    findings.copy_s.append(copy_and_sync(tree, here.folder / "tree"))
    # Bytes of an earlier round would be stored already: every round's are its own.
    rng = random.Random(number)
    change((path for path in (here.folder / "tree").rglob("*") if path.is_file()), rng)
    place = f"/admin/round{number}"
    seconds, done = here.run("push", "tree", "--to", place)
    findings.push_s.append(seconds)
    findings.expect("push sent", found=done["sent"], wanted=findings.files)
    seconds, done = here.run("push", "tree")
    findings.again_s.append(seconds)
    findings.expect("a second push sent", found=(done["sent"], done["marked"]), wanted=(0, 0))
    changed = rng.sample(sorted(path for path in (here.folder / "tree").rglob("*") if path.is_file()), CHANGED)
    change(changed, rng)
    seconds, done = here.run("push", "tree")
    findings.ten_s.append(seconds)
    findings.expect(f"after changing {CHANGED}, push sent", found=done["sent"], wanted=CHANGED)
    os.sync()
    seconds, done = there.run("pull", "tree", "--from", place)
    findings.pull_s.append(seconds)
    findings.expect("pull fetched", found=done["fetched"], wanted=findings.files)
    findings.expect("diff -r said", found=differences(here.folder / "tree", there.folder / "tree")[:500], wanted="")


def measure(tree: Path, folder: Path, nodes: int, rounds: int) -> Findings:
    files = [path for path in tree.rglob("*") if path.is_file()]
    findings = Findings(len(files), sum(path.stat().st_size for path in files) / (1 << 20), nodes)
    with Cluster(folder / "cluster", nodes) as cluster:
        cluster.start_ready(*cluster.names)
        for number in range(rounds):
            one_round(cluster, tree, folder, number, findings)
    return findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, help="default: Python's standard library")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluffy-push-", dir=arguments.dir) as name:
        folder = Path(name)
        tree = folder / "tree"
        shutil.copytree(arguments.tree or sysconfig.get_path("stdlib"), tree, ignore=NOT_THE_LIBRARY)
        findings = measure(tree, folder, arguments.nodes, arguments.rounds)
    print("\n".join(findings.lines()))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(findings), indent=2) + "\n")
    print("all held" if not findings.broken else "BROKEN " + "; ".join(findings.broken))
    sys.exit(1 if findings.broken else 0)


if __name__ == "__main__":
    main()
