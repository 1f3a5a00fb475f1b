"""A supernode's state is deleted while clients search, and one of two supernodes is killed: nothing wrong is told.

    python -m tests.faults.lost_catalog --rounds 20 --files 20000      (20 deletions and 20 kills)
    python -m tests.faults.lost_catalog --rounds 2 --files 300         (in short)

Two clusters, two supernodes. Searchers ask both supernodes, and the clusters' own peers for a search everywhere, all
the time. Each answer is held against what is stored: no hit that is not there, and where a cluster is called fresh,
every hit that is. After each deletion the answers say `rebuilding` (or `unknown`) until all is there again, unasked.
When one supernode is killed, a search through the clusters' peers and through the SDK goes to the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from fluffy.base.errors import FluffyError
from fluffy.client.api import AsyncFluffy
from tests.faults.drill import judge
from tests.support.cluster import ClusterFailed, free_address
from tests.support.supernodes import PORT, Land, Supernode, land

NAMES = ("alpha", "beta")
ROUNDS = 20
FILES = 20_000
SEARCHERS = 3
GROUP = 50  # files that one search finds, in each cluster
BUILT_S = 120.0
# A peer that is gone is left at once; a busy machine needs longer than that.
OTHER_S = 10.0


@dataclass(slots=True)
class Report:
    deletions: int = 0
    kills: int = 0
    searches: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    rebuilt_s: list[float] = field(default_factory=list)
    other_s: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [f"{sum(self.searches.values())} searches: {dict(self.searches)}; clusters were called "
                f"{dict(self.states)}; no answer: {dict(self.refused)}",
                f"{self.deletions} times the state was deleted; all there again after at most "
                f"{max(self.rebuilt_s, default=0):.1f} s",
                f"{self.kills} times one of two supernodes was killed; a search went to the other after at most "
                f"{max(self.other_s, default=0):.2f} s", *self.problems[:20]]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems[0]
        assert self.deletions and self.kills and self.searches["supernode"]
        assert self.states["rebuilding"] + self.states["unknown"] > 0, "nobody saw that it was rebuilt"
        assert max(self.other_s) <= OTHER_S * slack


async def run(world: Land, *, rounds: int = ROUNDS, files: int = FILES, seed: int = 0) -> Report:
    """`world`: clusters whose configuration names the supernodes of `hosts`."""
    report, rng = Report(), random.Random(seed)
    groups = max(1, files // GROUP)
    await asyncio.gather(*[_fill(world, name, groups) for name in NAMES])
    for supernode in world.supernodes:
        await asyncio.to_thread(supernode.start_ready)
    for supernode in world.supernodes:
        await asyncio.to_thread(world.wait_fresh, supernode, BUILT_S)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(SEARCHERS):
            group.create_task(_search(world, number, groups, random.Random(seed + number), stop, report))
        try:
            for turn in range(rounds):
                victim = world.supernodes[turn % len(world.supernodes)]
                await _delete(world, victim, rng, report)
                await _kill(world, victim, groups, rng, report)
        finally:
            stop.set()
    return report


async def _delete(world: Land, victim: Supernode, rng: random.Random, report: Report) -> None:
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    await asyncio.to_thread(victim.lose_state)
    report.deletions += 1
    began_s = time.monotonic()
    # Before anybody noticed, it may still say fresh, and then all must be there: the searchers look.
    await asyncio.to_thread(_wait_begun_anew, victim, report.deletions)
    await asyncio.to_thread(world.wait_fresh, victim, BUILT_S)
    report.rebuilt_s.append(time.monotonic() - began_s)


def _wait_begun_anew(victim: Supernode, count: int) -> None:
    end_s = time.monotonic() + BUILT_S
    while not victim.state.exists():
        if time.monotonic() > end_s:
            raise ClusterFailed(f"deletion {count}: no catalog was begun anew\n{victim.log_tail()}")
        time.sleep(0.02)


async def _kill(world: Land, victim: Supernode, groups: int, rng: random.Random, report: Report) -> None:
    await asyncio.to_thread(victim.kill)
    report.kills += 1
    number = rng.randrange(groups)
    began_s = time.monotonic()
    for name in NAMES:
        cluster = world.clusters[name]
        async with AsyncFluffy(cluster.urls(), cluster.token, cluster_tokens=world.askers) as fluffy:
            try:
                _judge(await fluffy.search_everywhere_page(_text(number), limit=1000), number, "the SDK", report)
            except FluffyError as error:
                report.problems.append(f"the SDK at {name}, one supernode killed: {error.code} {error.message}")
        report.searches["sdk"] += 1
    report.other_s.append(time.monotonic() - began_s)
    await asyncio.to_thread(victim.start_ready)
    await asyncio.to_thread(world.wait_fresh, victim, BUILT_S)


async def _search(world: Land, number: int, groups: int, rng: random.Random, stop: asyncio.Event, report: Report,
                  ) -> None:
    """Everywhere there is a door. A supernode that is killed may not answer; what answers must be right."""
    named = ", ".join(f"{name}={token}" for name, token in world.askers.items())
    peers = [(world.clusters[name].url("one"), world.askers[name]) for name in NAMES]
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout, headers={"Fluffy-Tokens": named}) as session:
        turn = number
        while not stop.is_set():
            turn += 1
            group = rng.randrange(groups)
            doors = [(one.url, None, "supernode") for one in world.supernodes] + [
                (url, token, "peer") for url, token in peers]
            url, token, kind = doors[turn % len(doors)]
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            try:
                async with session.get(f"{url}/v1/search?everywhere=1&limit=1000&q={_text(group)}"
                                       if kind == "peer" else f"{url}/v1/search?limit=1000&q={_text(group)}",
                                       headers=headers) as answer:
                    body = await answer.read()
            except (OSError, aiohttp.ClientError, TimeoutError) as error:
                report.refused[f"{kind} {type(error).__name__}"] += 1
                await asyncio.sleep(0.05)
                continue
            if answer.status != 200:
                code = json.loads(body).get("error", {}).get("code", "?")
                report.refused[f"{kind} {answer.status} {code}"] += 1
                if answer.status not in (503, 429):
                    report.problems.append(f"{kind}: {answer.status} {body[:200]!r}")
                continue
            report.searches[kind] += 1
            _judge(json.loads(body), group, kind, report)


def _judge(found: Any, number: int, who: str, report: Report) -> None:
    hits = Counter((hit["cluster"], hit["path"]) for hit in found["hits"])
    if any(count > 1 for count in hits.values()):
        report.problems.append(f"{who}: a hit is there twice")
    told = {line["cluster"]: line["state"] for line in found["coverage"]}
    report.states.update(told.values())
    for cluster in NAMES:
        right = {(cluster, f"/admin/{_path(number, place)}") for place in range(GROUP)}
        mine = {hit for hit in hits if hit[0] == cluster}
        if not mine <= right:
            report.problems.append(f"{who}: {sorted(mine - right)[:3]} is not there")
        if told.get(cluster) in ("fresh", "stale", "behind") and mine != right:
            report.problems.append(f"{who}: {cluster} is called {told[cluster]} with {len(mine)} of {len(right)} hits "
                                   f"of {_text(number)}")


def _text(number: int) -> str:
    return f"g{number:05}x"


def _path(number: int, place: int) -> str:
    return f"d{place}/g{number:05}x-{place}"


async def _fill(world: Land, name: str, groups: int) -> None:
    waiting = [(number, place) for number in range(groups) for place in range(GROUP)]
    url = world.clusters[name].url("one")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {world.askers[name]}"}) as session:
        async def put() -> None:
            while waiting:
                path = _path(*waiting.pop())
                async with session.put(f"{url}/v1/files/admin/{path}", data=b"x") as answer:
                    assert answer.status == 201, await answer.text()

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(put())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--files", type=int, default=FILES, help="in each cluster")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    began_s = time.monotonic()
    print(f"seed {given.seed}", flush=True)
    hosts = [free_address(), free_address()]
    with tempfile.TemporaryDirectory(prefix="fluffy-drill-") as folder, land(
            Path(folder), *NAMES, replication=1, write_quorum=1,
            supernodes=[f"http://{host}:{PORT}" for host in hosts]) as world:
        for host in hosts:
            world.add_supernode(host)
        report = asyncio.run(run(world, rounds=given.rounds, files=given.files, seed=given.seed))
    print("\n".join(report.lines()))
    print(f"took {time.monotonic() - began_s:.0f} s")
    judge(report)


if __name__ == "__main__":
    main()
