"""Two clusters of real processes and a supernode that keeps a bucket of one in the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster import ROOT, Cluster, free_address

PORT = 7000
LARGE = 64 << 20
GROWTH_MAX = 40 << 20
PATIENCE_S = 60.0


class Supernode:
    """The process, as an operator starts it; `kill` ends it in the middle of anything."""

    def __init__(self, folder: Path, clusters: dict[str, Cluster]) -> None:
        self.folder = folder
        self.host = free_address()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        for name, cluster in clusters.items():
            (folder / f"{name}.token").write_text(_token_for_supernode(cluster))
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump({
            "cluster": {"name": "none"},
            "supernode": {
                "host": self.host, "http": PORT, "dir": "state",
                "clusters": {name: {"peers": cluster.urls(), "token_file": f"{name}.token"}
                             for name, cluster in clusters.items()},
                "mirrors": {"docs": {
                    "from": "alpha:/docs", "to": "beta:/docs",
                    "from_token_file": str(clusters["alpha"].folder / "admin.token"),
                    "to_token_file": str(clusters["beta"].folder / "admin.token")}}}}))

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "supernode.py"), "--config", str(self.config)], cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(10)

    def peak_bytes(self) -> int:
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    def ask(self, target: str) -> bytes:
        token = (self.folder / "state.keep/operator.token").read_text().strip()
        request = urllib.request.Request(f"http://{self.host}:{PORT}{target}",
                                         headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: bytes = answer.read()
        return found

    def mirror(self) -> dict[str, Any]:
        [found] = json.loads(self.ask("/v1/mirrors"))["mirrors"]
        return dict(found)

    def is_level(self) -> bool:
        try:
            return bool(self.mirror()["state"] == "level")
        except OSError:
            return False


def _token_for_supernode(cluster: Cluster) -> str:
    for path, document in (("/v1/admin/users", {"name": "supernode", "role": "supernode"}),
                           ("/v1/tokens", {"label": "test", "user": "supernode"})):
        status, _, body = cluster.request("one", "POST", path, json.dumps(document).encode())
        assert status in (200, 201), body
    return str(json.loads(body)["token"])


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[dict[str, Cluster]]:
    with (Cluster(tmp_path / "alpha", 1, {"name": "alpha"}) as alpha,
          Cluster(tmp_path / "beta", 1, {"name": "beta"}) as beta):
        for cluster in (alpha, beta):
            cluster.start()
        for cluster in (alpha, beta):
            cluster.wait_ready()
        yield {"alpha": alpha, "beta": beta}


def put(cluster: Cluster, name: str, body: bytes) -> None:
    status, _, told = cluster.request("one", "PUT", f"/v1/files/docs/{name}", body, timeout_s=60)
    assert status in (200, 201), told


def tree(cluster: Cluster, folder: str = "docs") -> dict[str, Any]:
    """path -> hash of a file, '' of a folder; None: the cluster says there is none."""
    status, _, body = cluster.request("one", "GET", f"/v1/dirs/{folder}?limit=1000&labels=1")
    if status != 200:
        return {}
    found: dict[str, Any] = {}
    for entry in json.loads(body)["entries"]:
        found[entry["path"]] = entry.get("blake3", "")
        if entry["kind"] != "file":
            found |= tree(cluster, entry["path"].strip("/"))
    return found


def test_a_bucket_is_kept_in_another_cluster_through_kills(tmp_path: Path, clusters: dict[str, Cluster]) -> None:
    alpha, beta = clusters["alpha"], clusters["beta"]
    for number in range(40):
        put(alpha, f"d{number % 4}/f{number}", b"x" * number)
    supernode = Supernode(tmp_path / "supernode", clusters)

    def same() -> bool:
        return bool(tree(beta)) and tree(alpha) == tree(beta)

    def wait(holds: Callable[[], bool], what: str) -> float:
        try:
            return alpha.wait_until(holds, PATIENCE_S, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{(supernode.folder / 'log').read_text()[-5000:]}") from error

    try:
        supernode.start()
        wait(lambda: len(tree(beta)) > 5, "the first files")
        supernode.kill()  # in the middle of the comparison
        supernode.start()
        wait(lambda: supernode.is_level() and same(), "all files")

        before = supernode.peak_bytes()
        put(alpha, "large", os.urandom(LARGE))
        wait(same, "the large file")
        assert supernode.peak_bytes() - before < GROWTH_MAX

        lags = []
        for number in range(5):
            started_s = time.monotonic()
            put(alpha, f"quick{number}", b"quick")
            wait(lambda number=number: f"/docs/quick{number}" in tree(beta), "a change")  # type: ignore[misc]
            lags.append(time.monotonic() - started_s)
        assert sorted(lags)[2] < 5, lags

        beta.kill("one")
        wait(lambda: supernode.mirror()["state"] == "stopped", "that it is told")
        assert "beta does not answer" in supernode.mirror()["error"]
        for number in range(20):
            put(alpha, f"d1/f{number}", b"newer %d" % number)
        status, _, _ = alpha.request("one", "DELETE", "/v1/dirs/docs/d2?recursive=1")
        assert status == 200
        supernode.kill()
        supernode.start()
        beta.start_ready()
        wait(lambda: supernode.is_level() and same(), "all of it, again")
        assert 'fluffy_supernode_mirror_level{mirror="docs",node="supernode"} 1' in supernode.ask("/metrics").decode()
    finally:
        supernode.kill()
