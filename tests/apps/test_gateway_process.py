"""The gateway process by itself: alive from the first moment, honest while it cannot work, gone when told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import HTTP_PORT, ROOT, Cluster

PATIENCE_S = 30.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A configuration and nothing running."""
    cluster = Cluster(tmp_path, nodes=1)
    (tmp_path / "one" / "run").mkdir(parents=True)
    (tmp_path / "drill.secret").write_text("ab" * 32)
    (tmp_path / "drill.secret").chmod(0o600)
    yield cluster


def start(cluster: Cluster, *extra: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "fluffy.apps.gateway_process", "one", "--config", str(cluster.config), *extra],
        cwd=cluster.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE)


def ask(cluster: Cluster, path: str, token: str | None = None) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(cluster.url("one") + path)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def wait_alive(cluster: Cluster) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        try:
            if ask(cluster, "/healthz")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the gateway did not come up")


def test_without_a_log_it_is_alive_but_not_ready_and_ends_on_sigterm(cluster: Cluster) -> None:
    with start(cluster, "--data-port") as process:
        try:
            wait_alive(cluster)
            status, value = ask(cluster, "/readyz")
            assert (status, value["error"]["code"]) == (503, "NotReady")  # type: ignore[index]
            status, value = ask(cluster, "/v1/dirs/", token="anything")
            assert (status, value["error"]["code"]) == (503, "NotReady")  # type: ignore[index]
            assert ask(cluster, "/v1/dirs/")[0] == 401
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


def test_a_port_that_is_taken_is_a_refused_start(cluster: Cluster) -> None:
    with socket.socket() as other:
        other.bind((cluster.host, HTTP_PORT))
        other.listen()
        with start(cluster) as process:
            _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 78
    assert f"{cluster.host}:{HTTP_PORT}".encode() in errors
