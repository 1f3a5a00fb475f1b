"""Random faults on real processes, cables, disks and clocks, several at once, while clients do all that clients do.

    python -m tests.faults.random_faults --minutes 30 --seed 7 --report docs/FAULTS.md

Writers, readers, clients of files of many chunks, and clients of small trees (every verb, locks and quotas too) work
through all nodes; a node, a process, a cable, a disk or a clock fails, is mended, and the next ones do. In the end all
is calm, and then: no acknowledged write is lost, each tree's history has one order that explains it, every file has all
its copies, whole on their disks, no job is left or stuck, all states are equal, and what was deleted is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from fluffy import __version__
from fluffy.base.units import KIB, MIB
from tests.faults.big_files import BigFiles
from tests.faults.calm import WHOLE_S, Calm, calm_down, check_everything, mend
from tests.faults.drill import judge
from tests.faults.ground import Ground
from tests.faults.recorder import Load, Record
from tests.faults.tree_clients import History, TreeClients
from tests.faults.troubles import Field, Trouble, possible
from tests.support.cluster import NAMES, Cluster, ClusterFailed
from tests.support.linearizability import Judgement

NODES = 5
# Chunks small enough that a run of minutes makes many; two of three copies make a write safe.
CLUSTER = {"replication": 3, "write_quorum": 2, "chunk_size": "256KiB", "versions_max": 1_000,
           "repair": {"mode": "balanced", "down_after": "4s", "grace": "6s"}}
WRITERS, READERS, BIG_CLIENTS, TREE_CLIENTS = 5, 2, 2, 4
BIG_BYTES = (300 * KIB, 4 * MIB)
BIG_KEPT_MAX = 12
GIVE_UP_S = 150.0
TREE_ROUND_S = 15.0
# At most so many nodes out at a time, so that files stay readable; now and then a majority goes for some seconds.
OUT_MAX = 2
TROUBLES_MAX = 3
HOLD_S = (2.0, 12.0)
PAUSE_S = (0.3, 2.5)
MAJORITY_SHARE = 0.06
MAJORITY_HOLD_S = (1.0, 4.0)
PROBLEM_LINES_MAX = 40


@dataclass(slots=True)
class Report:
    seed: int
    minutes: float
    lacking: tuple[str, ...]
    record: Record
    big: list[BigFiles] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    judgements: Counter[Judgement] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    calm: Calm = field(default_factory=Calm)
    problems: list[str] = field(default_factory=list)

    def all_problems(self) -> list[str]:
        found = [*self.problems, *self.record.violations, *self.calm.problems, *self.calm.copies_bad]
        for client in self.big:
            found += client.record.violations
        for history in self.histories:
            found += [f"{history.bucket}: {violation}" for violation in history.violations]
        return found

    def lines(self) -> list[str]:
        record, calm = self.record, self.calm
        operations = sum(len(history.operations) for history in self.histories)
        lines = [f"{number} × {name}" for name, number in sorted(self.troubles.items())]
        big = [client.record for client in self.big]
        judged = ", ".join(f"{judgement.value} {count}" for judgement, count in self.judgements.items())
        whole = "not reached" if calm.whole_s is None else f"after {calm.whole_s:.0f} s"
        scrubbed = "not ended" if calm.scrub_s is None else f"in {calm.scrub_s:.0f} s"
        return [
            f"troubles: {sum(self.troubles.values())}, up to {self.most_at_once} at once: {', '.join(lines)}",
            *[f"left out, this machine cannot: {what}" for what in self.lacking],
            f"small files: {record.acked} acknowledged writes, {record.open_writes} open, {record.reads} reads,"
            f" {record.retries} repeated attempts",
            f"large files: {sum(each.writes for each in big)} written, {sum(each.reads for each in big)} read, "
            f"{sum(len(each.gone) for each in big)} deleted, {sum(each.retries for each in big)} repeated attempts, "
            f"{sum(each.refused_full for each in big)} of them refused by a full disk (507)",
            f"trees: {len(self.histories)} with {operations} operations, {sum(h.open for h in self.histories)} open, "
            f"{sum(h.stale for h in self.histories)} stale answers; judged: {judged}",
            f"calm: ready after {calm.ready_s:.0f} s, scrubbed {scrubbed}, all copies there and no job left {whole}; "
            f"jobs done {calm.jobs_done}, stolen {calm.stolen}, left {calm.jobs_left}, stuck {calm.jobs_stuck}",
            f"compared: {calm.files_read} small and {calm.big_files_read} large reads through every node; "
            f"{calm.copies_seen} counted copies on their disks, {len(calm.copies_bad)} bad; files beside them: "
            f"{calm.files_uncounted} not counted, {calm.files_unknown} unknown to the catalog",
            f"digest of all states: {calm.digest[:16]}", f"violations: {len(self.all_problems())}",
            *self.all_problems()[:PROBLEM_LINES_MAX]]

    def verify(self, slack: float = 1.0) -> None:
        problems = self.all_problems()
        assert not problems, problems[0]
        assert set(self.judgements) <= {Judgement.LINEARIZABLE}, self.judgements
        assert self.calm.whole_s is not None and not self.calm.jobs_stuck
        assert self.record.acked > 0 and self.histories

    def markdown(self) -> str:
        kept = not self.all_problems()
        return "\n".join([
            "# A run with random faults", "",
            f"`python -m tests.faults.random_faults --minutes {self.minutes:g} --seed {self.seed}`, version "
            f"{__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {NODES} nodes, three copies, quorum two.",
            "", f"**{'All promises kept.' if kept else 'BROKEN.'}**", "", *[f"- {line}" for line in self.lines()], ""])


class Storm:
    """Lets troubles happen, one after another and at the same time, until `stop` is set; then all have ended."""

    def __init__(self, fields: Field, troubles: list[Trouble], report: Report) -> None:
        self.stop = asyncio.Event()
        self._field = fields
        self._troubles = troubles
        self._report = report
        self._running = 0

    async def run(self) -> None:
        rng = self._field.rng
        async with asyncio.TaskGroup() as group:
            while not self.stop.is_set():
                await self._rest(rng.uniform(*PAUSE_S))
                if rng.random() < MAJORITY_SHARE and not self._field.busy:
                    await self._majority()
                elif self._running < TROUBLES_MAX:
                    self._begin_one(group)

    def _begin_one(self, group: asyncio.TaskGroup) -> None:
        rng, fields = self._field.rng, self._field
        [trouble] = rng.choices(self._troubles, [each.weight for each in self._troubles])
        free = fields.free()
        if not free or (trouble.takes_out and len(fields.busy) >= OUT_MAX):
            return
        node = rng.choice(free)
        if trouble.takes_out:
            fields.busy.add(node)
        self._running += 1
        self._report.most_at_once = max(self._report.most_at_once, self._running)
        group.create_task(self._happen(trouble, node, rng.uniform(*HOLD_S)))

    async def _happen(self, trouble: Trouble, node: str, hold_s: float) -> None:
        self._report.troubles[trouble.name] += 1
        try:
            await trouble.begin(self._field, node)
            if trouble.takes_out:
                await self._rest(hold_s)
                await trouble.end(self._field, node)
        finally:
            self._running -= 1
            self._field.busy.discard(node)

    async def _majority(self) -> None:
        """So many killed at one instant that nothing can be written; sometimes all."""
        names = self._field.cluster.names
        count = self._field.rng.choice((len(names) // 2 + 1, len(names)))
        victims = self._field.rng.sample(names, count)
        self._report.troubles["majority killed" if count < len(names) else "all killed"] += 1
        await asyncio.to_thread(self._field.cluster.kill, *victims)
        await self._rest(self._field.rng.uniform(*MAJORITY_HOLD_S))
        await asyncio.to_thread(self._field.cluster.start_ready, *victims, timeout_s=90.0)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            return


async def run(cluster: Cluster, ground: Ground, *, seed: int, minutes: float, whole_s: float = WHOLE_S) -> Report:
    """The cluster is ready before and after."""
    rng = random.Random(seed)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {cluster.token}"},
                                     connector=aiohttp.TCPConnector(limit=0)) as session:
        load = Load(cluster.urls(), cluster.token, seed, writers=WRITERS, readers=READERS, give_up_s=GIVE_UP_S,
                    rest_s=0.02, disks_fill=True)
        report = Report(seed, minutes, ground.lacking, load.record)
        report.big = [BigFiles(session, cluster.urls(), f"admin/big{number}", seed=seed, sizes=BIG_BYTES,
                               kept_max=BIG_KEPT_MAX, give_up_s=GIVE_UP_S) for number in range(BIG_CLIENTS)]
        field_ = Field(cluster, ground, rng, bad_disk=rng.choice(cluster.names))
        storm = Storm(field_, possible(ground), report)
        async with load, asyncio.TaskGroup() as group:
            for client in report.big:
                group.create_task(client.run())
            group.create_task(storm.run())
            await _trees(report, session, cluster, seed, time.monotonic() + minutes * 60)
            storm.stop.set()
            for client in report.big:
                client.stop.set()
        await asyncio.to_thread(mend, field_)
        try:
            await calm_down(cluster, report.calm, whole_s)
            await check_everything(cluster, report.calm, load.record, report.big)
        except ClusterFailed as error:
            report.problems.append(str(error))
    return report


async def _trees(report: Report, session: aiohttp.ClientSession, cluster: Cluster, seed: int, until_s: float) -> None:
    """One small tree after another, each judged when its clients have ended."""
    number = 0
    while time.monotonic() < until_s:
        clients = TreeClients(session, cluster.urls(), f"tree{seed}-{number}", seed=seed, clients=TREE_CLIENTS,
                              piece_bytes=(64, 6_000)[number % 2], impatience=0.03, rest_s=0.03, patience_s=GIVE_UP_S)
        number += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(clients.run())
            await asyncio.sleep(min(TREE_ROUND_S, max(0.0, until_s - time.monotonic())))
            clients.stop.set()
        verdict = await asyncio.to_thread(clients.history.judged)
        report.histories.append(clients.history)
        report.judgements[verdict.judgement] += 1
        if verdict.judgement is not Judgement.LINEARIZABLE:
            report.problems += [f"{clients.history.bucket}: {verdict.judgement.value}", *verdict.lines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--dir", type=Path, help="keep the nodes' logs here (default: a temporary folder)")
    parser.add_argument("--report", type=Path, help="write what was seen into this Markdown file too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluffy-faults-") as temporary, ExitStack() as stack:
        folder = given.dir or Path(temporary)
        print(f"seed {given.seed}, {given.minutes:g} minutes, {NODES} nodes in {folder}", flush=True)
        ground = Ground(folder, NAMES[:NODES])
        cluster = Cluster(folder, nodes=NODES, cluster=CLUSTER, around=ground)
        stack.enter_context(ground)
        stack.enter_context(cluster)
        cluster.start_ready()
        report = asyncio.run(run(cluster, ground, seed=given.seed, minutes=given.minutes))
    print("\n".join(report.lines()))
    if given.report is not None:
        given.report.parent.mkdir(parents=True, exist_ok=True)
        given.report.write_text(report.markdown(), encoding="utf-8")
    judge(report)


if __name__ == "__main__":
    main()
