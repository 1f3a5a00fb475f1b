"""The image's start without a container engine: the wheel in an empty folder, by a user without rights, variables only.

    python -m tests.faults.wheel_start [--bound 5] [--rounds 5]

Builds the wheel, installs it into a fresh environment (its dependencies come from the package index), and starts three
nodes by the image's entry point `fluffy-server` with an empty environment but FLUFFY_*, each in an empty folder of its
own; as root, under a user id that owns nothing else. All must serve within the bound (`/readyz` says 200 at each); a
file goes in and comes out; `fluffy-health` and SIGTERM work as the image uses them; then the same nodes, which have a
cluster now, start once more. With several rounds, each in new folders, the medians count.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

from tests.support.cluster import ROOT, free_address

NAMES = ("one", "two", "three")
# Of the image.
USER = 10001
TOKEN = "a-token-of-the-operator-of-this-drill"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bound", type=float, default=5.0, help="seconds until all three serve")
    parser.add_argument("--rounds", type=int, default=1, help="so many new clusters, one after the other")
    given = parser.parse_args()
    births_s, restarts_s = [], []
    with tempfile.TemporaryDirectory(prefix="fluffy-wheel-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        programs = _install(folder)
        for number in range(given.rounds):
            home = folder / f"round-{number}"
            home.mkdir()
            nodes = Nodes(home, programs)
            births_s.append(_birth(nodes))
            restarts_s.append(_restart(nodes))
            print(f"three nodes served after {births_s[-1]:.1f} s; started again after {restarts_s[-1]:.1f} s")
    print(f"median of {given.rounds}: born and serving {median(births_s):.1f} s, again {median(restarts_s):.1f} s")
    if median(births_s) > given.bound:
        print(f"BROKEN: that is more than {given.bound:g} s")
        sys.exit(1)
    print("promises kept")


def _install(folder: Path) -> Path:
    """Where the programs of the installed wheel are."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True)
    subprocess.run([_python(), "-m", "venv", str(folder / "venv")], check=True)
    wheel = next(folder.glob("*.whl"))
    subprocess.run([str(folder / "venv/bin/pip"), "install", "--quiet", str(wheel)], check=True)
    return folder / "venv/bin"


class Nodes:
    """Three nodes with an environment of nothing but variables of ours; each has an empty folder."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.programs = programs
        address = free_address().rpartition(".")[0]
        self.urls = {name: f"http://{address}.{number}:7101" for number, name in enumerate(NAMES, start=1)}
        self.common = {
            "PATH": f"{programs}:/usr/bin:/bin", "FLUFFY_CLUSTER_NAME": "alpha", "FLUFFY_CLUSTER_SECRET": "ab" * 32,
            "FLUFFY_ADMIN_TOKEN": TOKEN, "FLUFFY_TOKEN": TOKEN, "FLUFFY_CLUSTER_WORKERS": "1",
            "FLUFFY_NODES": " ".join(f"{name}={address}.{number}" for number, name in enumerate(NAMES, start=1))}
        self._running: list[subprocess.Popen[bytes]] = []
        for name in NAMES:
            (folder / name).mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(folder / name, USER, USER)

    def start(self) -> float:
        """Seconds until all three are ready."""
        began_s = time.monotonic()
        for name in NAMES:
            with (self.folder / f"{name}.log").open("ab") as log:
                self._running.append(subprocess.Popen(
                    [str(self.programs / "fluffy-server")], env={**self.common, "FLUFFY_NODE": name},
                    cwd=self.folder / name, stdout=log, stderr=log, **_as_user()))
        for name in NAMES:
            while not _is_ready(self.urls[name]):
                if time.monotonic() - began_s > 120 or any(node.poll() is not None for node in self._running):
                    raise SystemExit((self.folder / f"{name}.log").read_text()[-2000:])
                time.sleep(0.02)
        return time.monotonic() - began_s

    def stop(self) -> None:
        for node in self._running:
            node.send_signal(signal.SIGTERM)
        statuses = [node.wait(40) for node in self._running]
        self._running.clear()
        assert not any(statuses), statuses

    def run(self, name: str, program: str, *words: str) -> int:
        """The exit code of a program of the wheel, in the folder of a node."""
        home = self.folder / name
        return subprocess.run([str(self.programs / program), *words], cwd=home, check=False, capture_output=True,
                              env={**self.common, "HOME": str(home), "FLUFFY_NODE": name}, timeout=60,
                              **_as_user()).returncode


def _birth(nodes: Nodes) -> float:
    try:
        took_s = nodes.start()
        assert [nodes.run(name, "fluffy-health", "--ready") for name in NAMES] == [0, 0, 0]
        (nodes.folder / "one/f").write_text("hello")
        assert nodes.run("one", "fluffy", "upload", "f", "/admin/f") == 0
        assert nodes.run("two", "fluffy", "download", "/admin/f", "copy") == 0
        assert (nodes.folder / "two/copy").read_text() == "hello"
    finally:
        nodes.stop()
    assert nodes.run("one", "fluffy-health") == 1
    return took_s


def _restart(nodes: Nodes) -> float:
    try:
        took_s = nodes.start()
        assert nodes.run("three", "fluffy", "download", "/admin/f", "copy") == 0
    finally:
        nodes.stop()
    return took_s


def _is_ready(url: str) -> bool:
    """Asked from here: a program for each question would take the processor from the nodes that start."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _python() -> str:
    """An interpreter that the user may run: this one may lie in the home of root."""
    for found in (sys.executable, "/usr/bin/python3.11", "/usr/bin/python3"):
        try:
            if subprocess.run([found, "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"],
                              check=False, capture_output=True, cwd="/", **_as_user()).returncode == 0:
                return found
        except OSError:
            continue
    raise SystemExit("no Python >= 3.11 with venv that a user without rights may run")


def _as_user() -> dict[str, Any]:
    return {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}


if __name__ == "__main__":
    main()
