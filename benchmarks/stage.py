"""What every figure needs: a cluster, reference processes, and the CPU seconds of both."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support import processes
from tests.support.cluster import ROOT, Cluster

START_TIMEOUT_S = 30.0


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def reference(module: str, *arguments: str, ready: tuple[str, int] | Path | None = None) -> Iterator[int]:
    """Run a reference program until the block ends; yields its pid once it answers at `ready`."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL,
                               start_new_session=True)
    try:
        _wait_for(process, ready)
        yield process.pid
    finally:
        processes.kill_tree(process.pid)
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], ready: tuple[str, int] | Path | None) -> None:
    until_s = time.monotonic() + START_TIMEOUT_S
    while ready is not None:
        if process.poll() is not None or time.monotonic() > until_s:
            raise RuntimeError(f"the reference did not start: {process.args!r}")
        if isinstance(ready, Path):
            if ready.exists():
                return
        else:
            with socket.socket() as probe:
                if probe.connect_ex(ready) == 0:
                    return
        time.sleep(0.05)


def cpu_of_tree(pid: int) -> float:
    return sum(processes.usage(one).cpu_s for one in (pid, *processes.descendants(pid)))


def cpu_of_cluster(cluster: Cluster) -> Counter[str]:
    """CPU seconds by kind of process, over all nodes."""
    total: Counter[str] = Counter()
    for name in cluster.running:
        for pid, kind in cluster.pids(name).items():
            total[kind] += processes.usage(pid).cpu_s
    return total


def address(cluster: Cluster, name: str) -> tuple[str, int]:
    host, port = cluster.url(name).removeprefix("http://").rsplit(":", 1)
    return host, int(port)


def addresses(cluster: Cluster, names: Sequence[str]) -> list[tuple[str, int]]:
    return [address(cluster, name) for name in names]
