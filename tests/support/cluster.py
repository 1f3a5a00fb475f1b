"""A whole cluster of real processes in a folder, for tests, fault drills and benchmarks.

Every cluster gets a loopback address of its own (127.x.y.z), so clusters of several test runs never meet. Nodes are
started as users start them (`server.py NAME --config FILE`), stopped, paused and killed by process id, and only those
that were started here.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.support import processes

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("one", "two", "three", "four", "five", "six", "seven")
HTTP_PORT, RAFT_PORT, DATA_PORT, S3_PORT = 7101, 7201, 7301, 7401
READY_TIMEOUT_S = 40.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.05


class ClusterFailed(AssertionError):
    """The cluster did not do in time what was waited for; carries the tails of the nodes' logs."""


def free_address() -> str:
    """A loopback address on which all ports of a cluster are free."""
    for _ in range(50):
        host = f"127.{random.randint(16, 250)}.{random.randint(0, 250)}.{random.randint(1, 250)}"
        with socket.socket() as probe:
            try:
                probe.bind((host, HTTP_PORT))
            except OSError:
                continue
        return host
    raise ClusterFailed("no free loopback address")


def _leave_in_order_on_sigterm() -> None:
    """A test run that is told to end (`timeout`, CI) unwinds, and so ends its nodes; by default it would leave them."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


class Surroundings:
    """What a node may have of its own: an address (None: the cluster's), words before its command, variables."""

    def host(self, name: str) -> str | None:
        return None

    def prefix(self, name: str) -> Sequence[str]:
        return ()

    def env(self, name: str) -> Mapping[str, str]:
        return {}


class Cluster:
    """`cluster` overrides keys of the config's section of that name. `around`: where its nodes live."""

    def __init__(self, folder: Path, nodes: int = 3, cluster: Mapping[str, Any] | None = None,
                 env: Mapping[str, str] | None = None, around: Surroundings | None = None) -> None:
        self.folder = folder
        self.names: tuple[str, ...] = NAMES[:nodes]
        self.around = around or Surroundings()
        self.host = free_address()
        self.config = folder / "config.yaml"
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._trees: dict[str, list[int]] = {}
        self._joined: dict[str, tuple[Path, str]] = {}  # name -> its own configuration, the member that let it in
        folder.mkdir(parents=True, exist_ok=True)
        _leave_in_order_on_sigterm()
        self._write_config(dict(cluster or {}))

    def _write_config(self, overrides: dict[str, Any]) -> None:
        repair = {"mode": "fast", "down_after": "4s", "grace": "5s", **overrides.pop("repair", {})}
        settings = {"name": "drill", "replication": min(3, len(self.names)), "secret_file": "drill.secret",
                    "admin_token_file": "admin.token", "supernodes": [], "workers": 1, "repair": repair, **overrides}
        nodes = {name: {"host": self.host_of(name), "http": HTTP_PORT + index, "raft": RAFT_PORT + index,
                        "data": DATA_PORT + index, "s3": S3_PORT + index, "dir": name, "zone": f"zone-{name}"}
                 for index, name in enumerate(self.names)}
        self.config.write_text(yaml.safe_dump({"cluster": settings, "nodes": nodes}, sort_keys=False))

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.kill_all()

    # -- processes

    def start(self, *names: str) -> None:
        """Start nodes (all by default); does not wait."""
        for name in names or self.names:
            assert name not in self._started, f"{name} runs already"
            with (self.folder / f"{name}.log").open("ab") as log:
                self._started[name] = subprocess.Popen(
                    [*self.around.prefix(name), sys.executable, str(ROOT / "server.py"), name, "--config",
                     *self._how(name)], cwd=self.folder, env={**self.env, **self.around.env(name)},
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _how(self, name: str) -> list[str]:
        config, through = self._joined.get(name, (self.config, ""))
        return [str(config), *(["--join", through] if through else [])]

    def add(self, name: str, through: str) -> None:
        """A machine that knows nothing but itself, the secret and one member; start it like any other."""
        settings = yaml.safe_load(self.config.read_text())["cluster"]
        settings |= {"secret_file": str(self.folder / "drill.secret"),
                     "admin_token_file": str(self.folder / "admin.token")}
        self.names = (*self.names, name)
        index = len(self.names) - 1
        node = {"host": self.host, "http": HTTP_PORT + index, "raft": RAFT_PORT + index, "data": DATA_PORT + index,
                "s3": S3_PORT + index, "dir": str(self.folder / name), "zone": f"zone-{name}"}
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"cluster": settings, "nodes": {name: node}}, sort_keys=False))
        self._joined[name] = path, self.url(through).removeprefix("http://")

    def start_ready(self, *names: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        self.start(*names)
        self.wait_ready(*(names or self.names), timeout_s=timeout_s)

    @property
    def running(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name in self._started)

    def pids(self, name: str) -> dict[int, str]:
        """Process ids of a node with their kinds, supervisor first."""
        top = self._started[name].pid
        return {pid: processes.kind_of(pid) for pid in (top, *processes.descendants(top))}

    def pid_of(self, name: str, kind: str) -> int:
        found = [pid for pid, its_kind in self.pids(name).items() if its_kind == kind]
        assert found, f"{name} has no {kind} process"
        return found[0]

    def kill(self, *names: str) -> None:
        """kill -9 of the supervisors and everything below them, as near to one instant as can be."""
        tops = [self._started.pop(name) for name in names]
        processes.signal_all([top.pid for top in tops], signal.SIGSTOP)
        trees = [processes.descendants(top.pid) for top in tops]
        processes.signal_all([pid for tree in trees for pid in tree] + [top.pid for top in tops], signal.SIGKILL)
        for top, tree in zip(tops, trees, strict=True):
            top.wait(STOP_TIMEOUT_S)
            self.wait_until(lambda tree=tree: not any(processes.alive(pid) for pid in tree), STOP_TIMEOUT_S, "killed")

    def kill_all(self) -> None:
        self.resume(*self.running)
        self.kill(*self.running)

    def stop(self, *names: str) -> list[int]:
        """SIGTERM, as an operator does; the exit codes."""
        codes = []
        tops = [self._started.pop(name) for name in names or self.running]
        for top in tops:
            top.terminate()
        for top in tops:
            try:
                codes.append(top.wait(STOP_TIMEOUT_S))
            except subprocess.TimeoutExpired as error:
                processes.kill_tree(top.pid)
                top.wait()
                raise self.failed("a node did not end on SIGTERM") from error
        return codes

    def exit_code(self, name: str, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for a node that should end by itself (a refused start)."""
        try:
            code = self._started[name].wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise self.failed(f"{name} did not end by itself") from error
        del self._started[name]
        return code

    def pause(self, *names: str) -> None:
        for name in names:
            processes.signal_all(list(self.pids(name)), signal.SIGSTOP)

    def resume(self, *names: str) -> None:
        for name in names:
            processes.signal_all(list(self.pids(name)), signal.SIGCONT)

    # -- asking

    def host_of(self, name: str) -> str:
        return self.around.host(name) or self.host

    def url(self, name: str) -> str:
        return f"http://{self.host_of(name)}:{HTTP_PORT + self.names.index(name)}"

    def s3_address(self, name: str) -> tuple[str, int]:
        """Where the S3 door of a node is."""
        return self.host, S3_PORT + self.names.index(name)

    def add_s3_key(self, access_key: str, secret: str) -> None:
        """Give the admin a key pair of S3."""
        status, _, body = self.request(self.leader(), "POST", "/v1/keys", json.dumps(
            {"access_key": access_key, "secret": secret}).encode())
        if status != 201:
            raise self.failed(f"no key pair: {status} {body!r}")

    def urls(self, names: Iterable[str] | None = None) -> list[str]:
        return [self.url(name) for name in (self.names if names is None else names)]

    @property
    def token(self) -> str:
        return (self.folder / "admin.token").read_text().strip()

    def node_dir(self, name: str) -> Path:
        return self.folder / name

    def request(self, name: str, method: str, path: str, body: bytes | None = None, timeout_s: float = 10.0,
                headers: Mapping[str, str] | None = None, token: str | None = "") -> tuple[int, dict[str, str], bytes]:
        """One plain request, whatever the status; OSError when the node cannot be reached. `token` None: send none."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token or self.token}"
        request = urllib.request.Request(self.url(name) + path, data=body, method=method, headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def json(self, name: str, path: str, timeout_s: float = 10.0) -> dict[str, Any]:
        status, _, body = self.request(name, "GET", path, timeout_s=timeout_s)
        if status != 200:
            raise ClusterFailed(f"GET {path} at {name} answered {status}: {body[:300]!r}")
        value: dict[str, Any] = json.loads(body)
        return value

    def is_ready(self, name: str) -> bool:
        try:
            return self.request(name, "GET", "/readyz", timeout_s=2.0, token=None)[0] == 200
        except OSError:
            return False

    def wait_ready(self, *names: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        self.wait_until(lambda: all(self.is_ready(name) for name in names or self.names), timeout_s,
                        f"ready: {', '.join(names or self.names)}")

    def leader(self, among: Sequence[str] | None = None, timeout_s: float = READY_TIMEOUT_S) -> str:
        """The leader that the asked nodes agree on; waits for one."""
        asked = among or self.running
        found: list[str] = []

        def agreed() -> bool:
            leaders = {self._leader_seen_by(name) for name in asked}
            found[:] = [leader for leader in leaders if leader is not None]
            return len(leaders) == 1 and len(found) == 1 and found[0] in self.running

        self.wait_until(agreed, timeout_s, "a leader")
        return found[0]

    def _leader_seen_by(self, name: str) -> str | None:
        try:
            leader: str | None = self.json(name, "/v1/status", timeout_s=3.0).get("leader")
        except (OSError, ClusterFailed):
            return None
        return leader

    # -- waiting

    def wait_until(self, holds: Callable[[], bool], timeout_s: float, what: str) -> float:
        """Seconds it took. Raises ClusterFailed with the logs' tails."""
        started_s = time.monotonic()
        while not holds():
            if time.monotonic() - started_s > timeout_s:
                raise self.failed(f"not within {timeout_s} s: {what}")
            time.sleep(POLL_S)
        return time.monotonic() - started_s

    def failed(self, what: str) -> ClusterFailed:
        tails = []
        for name in self.names:
            path = self.folder / f"{name}.log"
            lines = path.read_text(errors="replace").splitlines() if path.exists() else []
            lines = [line for line in lines if '"event":"request"' not in line][-25:]
            tails.append(f"--- {name}\n" + "\n".join(line[:600] for line in lines))
        return ClusterFailed(what + "\n" + "\n".join(tails))

    def log_lines(self, name: str, event: str) -> list[dict[str, Any]]:
        """The JSON log lines of one event."""
        found = []
        for line in (self.folder / f"{name}.log").read_text(errors="replace").splitlines():
            if f'"{event}"' in line and line.startswith("{"):
                found.append(json.loads(line))
        return [line for line in found if line.get("event") == event]
