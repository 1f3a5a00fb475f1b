"""The image's start without a container engine: the wheel in an empty folder, by a user without rights, variables only.

    python -m tests.faults.wheel_start [--bound 5]

Builds the wheel, installs it into a fresh environment (its dependencies come from the package index), and starts three
nodes by the image's entry point `fluffy-server` with an empty environment but FLUFFY_*, each in an empty folder of its
own; as root, under a user id that owns nothing else. All must serve within the bound; a file goes in and comes out;
`fluffy-health` and SIGTERM work as the image uses them.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.cluster import ROOT, free_address

NAMES = ("one", "two", "three")
# Of the image.
USER = 10001
TOKEN = "a-token-of-the-operator-of-this-drill"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bound", type=float, default=5.0, help="seconds until all three serve")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluffy-wheel-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        programs = _install(folder)
        took_s = _drill(folder, programs)
    print(f"three nodes served after {took_s:.1f} s")
    if took_s > given.bound:
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


def _drill(folder: Path, programs: Path) -> float:
    address = free_address()
    hosts = {name: f"{address.rpartition('.')[0]}.{number}" for number, name in enumerate(NAMES, start=1)}
    common = {"PATH": f"{programs}:/usr/bin:/bin", "FLUFFY_CLUSTER_NAME": "alpha", "FLUFFY_CLUSTER_SECRET": "ab" * 32,
              "FLUFFY_ADMIN_TOKEN": TOKEN, "FLUFFY_TOKEN": TOKEN, "FLUFFY_CLUSTER_WORKERS": "1",
              "FLUFFY_NODES": " ".join(f"{name}={host}" for name, host in hosts.items())}
    nodes: list[subprocess.Popen[bytes]] = []
    began_s = time.monotonic()
    try:
        for name in NAMES:
            home = folder / name
            home.mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(home, USER, USER)
            with (folder / f"{name}.log").open("wb") as log:
                nodes.append(subprocess.Popen([str(programs / "fluffy-server")], env={**common, "FLUFFY_NODE": name},
                                              cwd=home, stdout=log, stderr=log, **_as_user()))
        for name in NAMES:
            while _run(folder / name, programs, {**common, "FLUFFY_NODE": name}, "fluffy-health", "--ready") != 0:
                if time.monotonic() - began_s > 120 or any(node.poll() is not None for node in nodes):
                    raise SystemExit((folder / f"{name}.log").read_text()[-2000:])
        took_s = time.monotonic() - began_s
        (folder / "one/f").write_text("hello")
        assert _run(folder / "one", programs, common, "fluffy", "upload", "f", "/admin/f") == 0
        assert _run(folder / "two", programs, common, "fluffy", "download", "/admin/f", "copy") == 0
        assert (folder / "two/copy").read_text() == "hello"
    finally:
        for node in nodes:
            node.send_signal(signal.SIGTERM)
        statuses = [node.wait(40) for node in nodes]
    assert statuses == [0, 0, 0], statuses
    assert _run(folder / "one", programs, {**common, "FLUFFY_NODE": "one"}, "fluffy-health") == 1
    return took_s


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


def _run(home: Path, programs: Path, environ: dict[str, str], program: str, *words: str) -> int:
    return subprocess.run([str(programs / program), *words], env={**environ, "HOME": str(home)}, cwd=home, check=False,
                          capture_output=True, timeout=60, **_as_user()).returncode


if __name__ == "__main__":
    main()
