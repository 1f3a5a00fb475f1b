"""All that people do to files and folders, many at once through all nodes, some of them killed: one order explains it.

    python -m tests.faults.linearizable --rounds 30

Every round makes a few small trees, each worked on by several clients at once; in its middle something is killed or
stopped: the leader, any node, a majority, all. Then each tree's history is judged (support/linearizability.py): there
must be one order of all operations, in which each lies between its call and its answer, that gives a plain model of the
tree the same answers: what was read and listed, what was refused and why.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import cycle

import aiohttp

from tests.faults.checks import settle
from tests.faults.drill import drill_main
from tests.faults.tree_clients import History, TreeClients
from tests.support.cluster import Cluster
from tests.support.linearizability import Judgement

# Small pieces stay in the metadata; three of the large ones do not fit there, so that appends cross over to chunks.
PIECE_BYTES = (64, 6_000)
CLUSTER = {"versions_max": 1_000}
CLIENTS = 5
IMPATIENCE = 0.05
REST_S = 0.01
BEFORE_S = 1.0
AFTER_S = 1.5
PAUSE_S = 2.5
PROBLEM_LINES_MAX = 60


@dataclass(slots=True)
class Report:
    rounds: int
    histories: list[History] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    judgements: Counter[Judgement] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    questions: int = 0
    judged_s: float = 0.0
    digest: str = ""

    @property
    def operations(self) -> int:
        return sum(len(history.operations) for history in self.histories)

    def lines(self) -> list[str]:
        done = {kind: count for kind, count in sorted(self.answers.items()) if " " not in kind}
        refused = Counter[str]()
        for answer, count in self.answers.items():
            if " " in answer:
                refused[answer.split(" ")[1]] += count
        return [
            f"{self.rounds} rounds: {', '.join(f'{name} {count}' for name, count in sorted(self.troubles.items()))}",
            f"{len(self.histories)} trees, {self.operations} operations, {sum(h.open for h in self.histories)} of them "
            f"open for ever; repeated attempts: {sum(h.retries for h in self.histories)}, "
            f"{sum(h.hasty for h in self.histories)} before the first was answered; stale answers: "
            f"{sum(h.stale for h in self.histories)}",
            f"done: {', '.join(f'{kind} {count}' for kind, count in done.items())}",
            f"refused: {', '.join(f'{code} {count}' for code, count in refused.most_common())}",
            f"judged: {', '.join(f'{judgement.value} {count}' for judgement, count in self.judgements.items())}; "
            f"{self.questions} questions to the model in {self.judged_s:.1f} s",
            f"digest of all states: {self.digest[:16]}", *self.problems[:PROBLEM_LINES_MAX]]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems[0]
        assert set(self.judgements) == {Judgement.LINEARIZABLE}, self.judgements


async def _kill(cluster: Cluster, *names: str) -> None:
    await asyncio.to_thread(cluster.kill, *names)
    await asyncio.sleep(AFTER_S)
    await asyncio.to_thread(cluster.start_ready, *names)


async def _kill_leader(cluster: Cluster, rng: random.Random) -> None:
    await _kill(cluster, await asyncio.to_thread(cluster.leader))


async def _kill_any(cluster: Cluster, rng: random.Random) -> None:
    await _kill(cluster, rng.choice(cluster.names))


async def _kill_majority(cluster: Cluster, rng: random.Random) -> None:
    await _kill(cluster, *rng.sample(cluster.names, len(cluster.names) // 2 + 1))


async def _kill_all(cluster: Cluster, rng: random.Random) -> None:
    await _kill(cluster, *cluster.names)


async def _pause_leader(cluster: Cluster, rng: random.Random) -> None:
    """It wakes up believing that it still leads."""
    leader = await asyncio.to_thread(cluster.leader)
    await asyncio.to_thread(cluster.pause, leader)
    try:
        await asyncio.sleep(PAUSE_S)
    finally:
        await asyncio.to_thread(cluster.resume, leader)


TROUBLES: dict[str, Callable[[Cluster, random.Random], Awaitable[None]]] = {
    "leader killed": _kill_leader, "leader paused": _pause_leader, "any killed": _kill_any,
    "majority killed": _kill_majority, "all killed": _kill_all}


async def run(cluster: Cluster, rounds: int, seed: int, trees: int = 3) -> Report:
    """The cluster is ready before and after."""
    rng = random.Random(seed)
    report = Report(rounds)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {cluster.token}"},
                                     connector=aiohttp.TCPConnector(limit=0)) as session:
        for number, (name, trouble) in zip(range(rounds), cycle(TROUBLES.items()), strict=False):
            report.troubles[name] += 1
            clients = [TreeClients(session, cluster.urls(), f"lin{seed}-{number}-{tree}", seed=seed, clients=CLIENTS,
                                   piece_bytes=PIECE_BYTES[tree % len(PIECE_BYTES)], impatience=IMPATIENCE,
                                   rest_s=REST_S) for tree in range(trees)]
            async with asyncio.TaskGroup() as group:
                for each in clients:
                    group.create_task(each.run())
                await asyncio.sleep(BEFORE_S)
                try:
                    await trouble(cluster, rng)
                    await asyncio.sleep(AFTER_S)
                finally:
                    for each in clients:
                        each.stop.set()
            await asyncio.to_thread(_judge, report, name, [each.history for each in clients])
    report.digest = await asyncio.to_thread(settle, cluster)
    return report


def _judge(report: Report, trouble: str, histories: list[History]) -> None:
    for history in histories:
        began_s = time.monotonic()
        verdict = history.judged()
        report.judged_s += time.monotonic() - began_s
        report.questions += verdict.questions
        report.judgements[verdict.judgement] += 1
        report.answers += history.answers()
        report.histories.append(history)
        report.problems += [f"{history.bucket} ({trouble}): {violation}" for violation in history.violations]
        if verdict.judgement is not Judgement.LINEARIZABLE:
            report.problems += [f"{history.bucket} ({trouble})", *verdict.lines()]


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=30, cluster=CLUSTER, arguments={"trees": (int, 3, "trees at once")})
