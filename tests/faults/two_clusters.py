"""Two clusters as a person starts them: what is put into one is found and read from the other.

    python -m tests.faults.two_clusters                        (two of three nodes, 50 files)
    python -m tests.faults.two_clusters --files 5 --nodes 1    (in short)

`fluffy up` twice, each with its supernode, and `fluffy admin federate` once: then beta's supernode knows alpha too.
Files are put into alpha; beta's client searches everywhere until it has found each: time from the acknowledged PUT.
Each is read twice through the supernode: the second time out of its cache, by its own counters. One is found and read
by the commands of the shell, with beta's configuration.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import yaml

from fluffy.client.api import AsyncFluffy
from tests.faults.drill import judge
from tests.faults.user_load import percentile
from tests.support.cluster import ROOT, ClusterFailed

FILES = 50
NODES = 3
FOUND_S = 1.0
GIVE_UP_S = 20.0
SIZE = 300_000
UP_S = 90.0
METRICS_S = 1.0


@dataclass(slots=True)
class Report:
    found_s: list[float] = field(default_factory=list)
    cold_ms: list[float] = field(default_factory=list)
    warm_ms: list[float] = field(default_factory=list)
    hits: int = 0
    misses_second: int = 0
    downloads: int = 0
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        found, cold, warm = sorted(self.found_s), sorted(self.cold_ms), sorted(self.warm_ms)
        return [f"{len(found)} files put into alpha and found by beta's client: median "
                f"{percentile(found, 0.5) * 1000:.0f} ms, slowest {max(found, default=0) * 1000:.0f} ms",
                f"{self.downloads} downloads, the first of each: median {percentile(cold, 0.5):.1f} ms; the second, "
                f"out of the cache: {percentile(warm, 0.5):.1f} ms; the counter of hits rose by {self.hits}, that of "
                f"misses during the second ones by {self.misses_second}", *self.problems[:20]]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems[0]
        assert self.downloads == 2 * len(self.found_s) > 0
        assert self.hits >= len(self.found_s) and self.misses_second == 0, "the second download was not the cache's"
        assert percentile(sorted(self.found_s), 0.5) < FOUND_S * slack


class Place:
    """A cluster that `fluffy up` made in a folder, with its supernode."""

    def __init__(self, folder: Path, name: str, nodes: int, home: Path) -> None:
        self.name = name
        self.folder = folder / name
        self.base = _free_base_port()
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home), "XDG_STATE_HOME": str(home / "state"),
                    "XDG_CONFIG_HOME": str(home / "config"), "FLUFFY_CONFIG": str(self.folder / "config.yaml")}
        self._nodes = nodes

    def up(self) -> None:
        self.fluffy("up", "--nodes", str(self._nodes), "--dir", str(self.folder), "--base-port", str(self.base),
                    "--name", self.name, "--detach")

    def down(self) -> None:
        if (self.folder / "config.yaml").exists():
            self.fluffy("down", "--dir", str(self.folder))

    def fluffy(self, *words: str) -> str:
        """A command as a person types it; what it printed. Raises ClusterFailed when it failed."""
        done = subprocess.run([sys.executable, "-c", "from fluffy.apps.client import main; main()", *words],
                              capture_output=True, text=True, timeout=UP_S, check=False, env=self.env, cwd=self.folder
                              if self.folder.exists() else "/", stdin=subprocess.DEVNULL)
        if done.returncode:
            raise ClusterFailed(f"{self.name}: fluffy {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    @property
    def token(self) -> str:
        named = yaml.safe_load((self.folder / "config.yaml").read_text())["cluster"].get("admin_token_file")
        return (self.folder / (named or "admin.token")).read_text().strip()

    @property
    def peers(self) -> list[str]:
        return [f"http://127.0.0.1:{self.base + 101 + node}" for node in range(self._nodes)]

    @property
    def supernode(self) -> str:
        return f"http://127.0.0.1:{self.base}"


def run(folder: Path, *, files: int = FILES, nodes: int = NODES, seed: int = 0) -> Report:
    (folder / "home").mkdir()
    alpha, beta = (Place(folder, name, nodes, folder / "home") for name in ("alpha", "beta"))
    report = Report()
    try:
        for place in (alpha, beta):
            place.up()
        alpha.fluffy("admin", "federate", beta.supernode)
        asyncio.run(_clients(alpha, beta, files, random.Random(seed), report))
        _shell(beta, report)
    finally:
        for place in (alpha, beta):
            place.down()
    return report


async def _clients(alpha: Place, beta: Place, files: int, rng: random.Random, report: Report) -> None:
    tokens = {"alpha": alpha.token, "beta": beta.token}
    async with (AsyncFluffy(alpha.peers, alpha.token) as near,
                AsyncFluffy(beta.peers, beta.token, cluster_tokens=tokens) as far,
                aiohttp.ClientSession(headers={"Fluffy-Tokens": f"alpha={alpha.token}"}) as session):
        await _known(far)
        stored = {}
        for number in range(files):
            name, data = f"zq-{number:04}-{rng.randrange(10**9)}", rng.randbytes(SIZE)
            await near.put(f"/admin/{name}", data)
            began_s = time.monotonic()
            while not (await far.search_everywhere_page(name))["hits"]:
                if time.monotonic() - began_s > GIVE_UP_S:
                    raise ClusterFailed(f"{name} is not found after {GIVE_UP_S} s")
                await asyncio.sleep(0.01)
            report.found_s.append(time.monotonic() - began_s)
            stored[f"{beta.supernode}/v1/files/alpha/admin/{name}?proxy=1"] = data
        for url, data in stored.items():
            report.cold_ms.append(await _download(session, url, data, "miss", report))
        hits, misses = await _counters(session, beta)
        for url, data in stored.items():
            report.warm_ms.append(await _download(session, url, data, "hit", report))
        hits_then, misses_then = await _counters(session, beta)
        report.hits, report.misses_second = hits_then - hits, misses_then - misses


async def _known(far: AsyncFluffy) -> None:
    """Until beta's supernode has read alpha once."""
    end_s = time.monotonic() + GIVE_UP_S
    while True:
        told = {line["cluster"]: line["state"] for line in (await far.search_everywhere_page("zq"))["coverage"]}
        if told == {"alpha": "fresh", "beta": "fresh"}:
            return
        if time.monotonic() > end_s:
            raise ClusterFailed(f"not both clusters are fresh: {told}")
        await asyncio.sleep(0.05)


async def _download(session: aiohttp.ClientSession, url: str, data: bytes, wanted: str, report: Report) -> float:
    """Milliseconds it took."""
    began_s = time.perf_counter()
    async with session.get(url) as answer:
        body = await answer.read()
    took_ms = (time.perf_counter() - began_s) * 1000
    report.downloads += 1
    said = answer.headers.get("Fluffy-Cache")
    if answer.status != 200 or body != data or said != wanted:
        report.problems.append(f"{url}: {answer.status}, {len(body)} bytes, cache {said}")
    return took_ms


async def _counters(session: aiohttp.ClientSession, beta: Place) -> tuple[int, int]:
    """Hits and misses of the cache. A page of metrics may be a moment old: asked when it is new."""
    await asyncio.sleep(METRICS_S)
    async with session.get(f"{beta.supernode}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    hits, misses = (next(line for line in lines if line.startswith(f"fluffy_supernode_cache_{what}"))
                    for what in ("hits", "misses"))
    return int(float(hits.split()[-1])), int(float(misses.split()[-1]))


def _shell(beta: Place, report: Report) -> None:
    """With beta's configuration, as a person would."""
    found = beta.fluffy("search", "zq-0000", "--everywhere")
    line = next((word for word in found.split() if word.startswith("alpha:/admin/zq-0000")), None)
    if line is None:
        report.problems.append(f"the shell of beta found: {found!r}")
        return
    target = beta.folder / "fetched"
    beta.fluffy("download", line, str(target))
    if not target.is_file() or target.stat().st_size != SIZE:
        report.problems.append(f"the shell of beta did not download {line}")


def _free_base_port() -> int:
    for _ in range(50):
        base = random.randrange(10_000, 28_000)
        if all(_is_free(base + offset + node) for offset in (0, 101, 201, 301, 401) for node in range(NODES)):
            return base
    raise ClusterFailed("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--nodes", type=int, default=NODES, help="of each cluster")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fluffy-drill-") as folder:
        report = run(Path(folder), files=given.files, nodes=given.nodes, seed=given.seed)
    print("\n".join(report.lines()))
    judge(report)


if __name__ == "__main__":
    main()
