"""Several clusters of real processes and supernodes over them, for drills.

Every cluster has an address of its own (`tests.support.cluster`), every supernode too. A supernode is started as users
start it (`supernode.py --config FILE`), and joins the clusters by its configuration.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fluffy.client.api import AsyncFluffy
from fluffy.drivers.cluster_http import ClusterHttp
from tests.support import processes
from tests.support.cluster import POLL_S, READY_TIMEOUT_S, ROOT, Cluster, ClusterFailed, free_address

PORT = 7000
READY_S = 30.0


class Supernode:
    """One supernode process: started, killed, started again. `host`: its address; None: any that is free.

    `catalog`: as in its configuration.
    """

    def __init__(self, folder: Path, clusters: dict[str, Cluster], tokens: dict[str, str], host: str | None = None,
                 catalog: str = "sqlite") -> None:
        self.folder = folder
        self.host = host or free_address()
        self.url = f"http://{self.host}:{PORT}"
        self.state = folder / "state"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        lines = {}
        for name, cluster in clusters.items():
            (folder / f"{name}.token").write_text(tokens[name] + "\n")
            (folder / f"{name}.token").chmod(0o600)
            lines[name] = {"peers": cluster.urls(), "token_file": f"{name}.token"}
        (folder / "config.yaml").write_text(yaml.safe_dump({
            "cluster": {"name": "nobody", "replication": 1},
            "nodes": {"none": {"host": self.host, "http": PORT + 1, "raft": PORT + 2, "data": PORT + 3, "dir": "none"}},
            "supernode": {"host": self.host, "http": PORT, "dir": "state", "catalog": catalog,
                          "clusters": lines}}))

    def start(self) -> None:
        assert self._process is None
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "supernode.py"), "--config", str(self.folder / "config.yaml")],
                cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start_ready(self) -> None:
        self.start()
        wait_until(self._is_ready, READY_S, "the supernode is ready", self)

    def kill(self) -> None:
        """kill -9, at once."""
        process, self._process = self._process, None
        if process is not None:
            processes.kill_tree(process.pid)
            process.wait(10)

    def lose_state(self) -> None:
        """Delete the state folder, whatever is being written into it."""
        while self.state.exists():
            shutil.rmtree(self.state, ignore_errors=True)

    def ask(self, target: str, askers: dict[str, str], timeout_s: float = 10.0) -> dict[str, Any]:
        """GET of a small document; `askers`: a token by cluster. OSError when it does not answer or refuses."""
        document: dict[str, Any] = json.loads(self.get(target, askers, timeout_s)[1])
        return document

    def get(self, target: str, askers: dict[str, str], timeout_s: float = 10.0) -> tuple[dict[str, str], bytes]:
        named = ", ".join(f"{name}={token}" for name, token in askers.items())
        request = urllib.request.Request(self.url + target, headers={"Fluffy-Tokens": named} if named else {})
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}, answer.read()

    def _is_ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise ClusterFailed(f"the supernode has ended\n{self.log_tail()}")
        try:
            self.get("/readyz", {}, 2.0)
        except OSError:
            return False
        return True

    def log_tail(self) -> str:
        path = self.folder / "log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(line[:600] for line in lines if '"event":"request"' not in line)[-8000:]


@dataclass(slots=True)
class Land:
    """Clusters by name, their admins' tokens, and supernodes over all of them."""

    folder: Path
    clusters: dict[str, Cluster]
    askers: dict[str, str] = field(default_factory=dict)  # the admin's token of each
    joiners: dict[str, str] = field(default_factory=dict)  # the supernodes' token of each
    supernodes: list[Supernode] = field(default_factory=list)

    def add_supernode(self, host: str | None = None, catalog: str = "sqlite") -> Supernode:
        made = Supernode(self.folder / f"supernode-{len(self.supernodes)}", self.clusters, self.joiners, host, catalog)
        self.supernodes.append(made)
        return made

    def client_of(self, name: str) -> ClusterHttp:
        """What a supernode asks that cluster with; `close` it."""
        return ClusterHttp(name, self.clusters[name].urls(), lambda: self.joiners[name])

    def coverage(self, supernode: Supernode, query: str = "zq-nothing") -> dict[str, str]:
        """The state of each cluster as a search tells it; {} when there is no answer now."""
        try:
            found = supernode.ask(f"/v1/search?q={query}", self.askers)
        except OSError:
            return {}
        return {line["cluster"]: line["state"] for line in found["coverage"]}

    def wait_states(self, supernode: Supernode, wanted: dict[str, Iterable[str]], timeout_s: float) -> float:
        """Until each of these clusters is in one of its states; seconds it took."""
        def holds() -> bool:
            seen = self.coverage(supernode)
            return all(seen.get(name) in states for name, states in wanted.items())

        return wait_until(holds, timeout_s, f"coverage {wanted}, at last {self.coverage(supernode)}", supernode)

    def wait_fresh(self, supernode: Supernode, timeout_s: float, names: Sequence[str] = ()) -> float:
        return self.wait_states(supernode, dict.fromkeys(names or self.clusters, ("fresh",)), timeout_s)


@contextmanager
def land(folder: Path, *names: str, nodes: int = 1, ready_s: float = READY_TIMEOUT_S, **settings: Any,
         ) -> Iterator[Land]:
    """Started clusters of these names, ready to be joined. `settings`: of their configurations' cluster section."""
    with ExitStack() as stack:
        made = Land(folder, {name: stack.enter_context(Cluster(
            folder / name, nodes=nodes, cluster={"name": name, **settings})) for name in names})
        stack.callback(lambda: [supernode.kill() for supernode in made.supernodes])
        for cluster in made.clusters.values():
            cluster.start()
        for name, cluster in made.clusters.items():
            cluster.wait_ready(timeout_s=ready_s)
            made.askers[name] = cluster.token
            made.joiners[name] = asyncio.run(joiner(cluster))
        yield made


async def joiner(cluster: Cluster) -> str:
    """The token with which a supernode asks that cluster."""
    async with AsyncFluffy(cluster.urls(), cluster.token) as fluffy:
        return await fluffy.supernode_token("drill")


def wait_until(holds: Any, timeout_s: float, what: str, supernode: Supernode | None = None) -> float:
    """Seconds it took. Raises ClusterFailed."""
    began_s = time.monotonic()
    while not holds():
        if time.monotonic() - began_s > timeout_s:
            tail = "" if supernode is None else supernode.log_tail()
            raise ClusterFailed(f"not within {timeout_s} s: {what}\n{tail}")
        time.sleep(POLL_S)
    return time.monotonic() - began_s
