"""Five nodes, three copies: two are killed at once, for good, under load. All files get three copies again unasked.

    python -m tests.faults.two_dead                     (20,000 files, more than 2 GiB)
    python -m tests.faults.two_dead --leaders 3         (and the leader is killed three times during the repair)
    python -m tests.faults.two_dead --scale 0.02        (in short)

Printed: how long it took, how fast it went, what users felt before, during and after; and from the log itself, that no
job was done twice or leased to two nodes at a time.
"""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from fluffy.base.units import MIB, format_size
from tests.faults.drill import drill_main
from tests.faults.lease_audit import Audit, audit_log
from tests.faults.user_load import Users, body_of, percentile, size_of
from tests.support.cluster import Cluster, ClusterFailed

# A log that no checkpoint cuts is what the audit reads; one is made of 128 MiB of log too, so users rest.
CLUSTER = {"replication": 3, "write_quorum": 2, "chunk_size": "1MiB",
           "checkpoint": {"entries": 100_000_000, "every": "30d"},
           "repair": {"mode": "balanced", "down_after": "5s", "grace": "5s"}}
NODES = 5
FILES = 20_000
USERS = 6
REST_S = 0.06
LOADERS = 12
SPAN_S = 20.0
# From the kill on: an election, and readers that learn who is dead.
OUTAGE_S = 5.0
WHOLE_S = 1_800.0
# A busy machine says "later" now and then.
FILL_RESTS_S = (0.2, 1.0, 5.0, 15.0)
P99_TIMES_MAX = 2.0
COMPARED = 400


@dataclass(slots=True)
class Report:
    files: int = 0
    bytes: int = 0
    killed: tuple[str, ...] = ()
    leaders_killed: list[str] = field(default_factory=list)
    load_s: float = 0.0
    whole_s: float | None = None
    missing_at_first: int = 0
    missing_bytes: int = 0
    jobs_done: int = 0
    stolen: int = 0
    stuck: int = 0
    spans: dict[str, list[float]] = field(default_factory=dict)
    requests: int = 0
    retried: int = 0
    errors: list[str] = field(default_factory=list)
    compared: int = 0
    audit: Audit = field(default_factory=Audit)
    problems: list[str] = field(default_factory=list)

    def p99_ms(self, span: str) -> float:
        return percentile(self.spans.get(span, []), 0.99)

    def lines(self) -> list[str]:
        whole = "not reached" if self.whole_s is None else f"{self.whole_s:.1f} s"
        rate = self.missing_bytes / self.whole_s if self.whole_s else 0.0
        return [
            f"{self.files} files, {format_size(self.bytes)}, put in {self.load_s:.0f} s; killed at once: "
            f"{', '.join(self.killed)}" + (f"; leaders killed meanwhile: {', '.join(self.leaders_killed)}"
                                           if self.leaders_killed else ""),
            f"missing at first: {self.missing_at_first} copies, {format_size(self.missing_bytes)}; all there after "
            f"{whole} ({format_size(rate)}/s)",
            f"jobs done {self.jobs_done}, stolen {self.stolen}, stuck {self.stuck}",
            *[f"users {name:<7} {len(times):>6} requests, median {percentile(times, 0.5):>7.1f} ms, p99 "
              f"{percentile(times, 0.99):>8.1f} ms" for name, times in self.spans.items()],
            f"p99 during repair is {self.p99_ms('during') / max(self.p99_ms('before'), 0.1):.2f} times that before",
            f"requests {self.requests}, tried again {self.retried}, without success {len(self.errors)}",
            f"files compared: {self.compared}", *self.audit.lines(), *self.errors[:20], *self.problems[:20],
            *self.audit.problems[:20]]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.errors, self.errors[0]
        assert not self.problems, self.problems[0]
        assert not self.audit.problems, self.audit.problems[0]
        assert self.whole_s is not None and not self.stuck
        assert self.audit.done > 0, "no job was done: nothing was repaired by jobs"
        if not self.leaders_killed:
            assert self.p99_ms("during") <= P99_TIMES_MAX * slack * self.p99_ms("before"), "users felt the repair"


async def run(cluster: Cluster, rounds: int, seed: int, scale: float = 1.0, leaders: int = 0,
              span_s: float = SPAN_S) -> Report:
    """The cluster ends stopped: its log is read."""
    rng = random.Random(seed)
    report = Report()
    sizes = await _fill(cluster, rng, int(FILES * scale), report)
    victims = tuple(rng.sample(cluster.names, 2))
    living = [name for name in cluster.names if name not in victims]
    users = Users(cluster.urls(), cluster.token, sizes, seed, USERS, REST_S)
    async with asyncio.TaskGroup() as group:
        group.create_task(users.run())
        try:
            await asyncio.sleep(min(3.0, span_s / 4))  # everything is warm
            began_s = time.monotonic()
            await asyncio.sleep(span_s)
            killed_s = time.monotonic()
            await asyncio.to_thread(cluster.kill, *victims)
            report.killed = victims
            is_whole = asyncio.Event()
            hunt = group.create_task(_kill_leaders(cluster, living, leaders, report, is_whole))
            await _until_whole(cluster, living, killed_s, report)
            whole_s = time.monotonic()
            is_whole.set()
            await hunt  # whom it has killed it starts again
            await asyncio.sleep(span_s)
        finally:
            users.stop.set()
    _tell_users(report, users, began_s, killed_s, whole_s)
    await asyncio.to_thread(cluster.wait_ready, *living)
    await _compare(cluster, living, {**sizes, **users.written}, rng, report)
    await asyncio.to_thread(cluster.stop, *living)
    report.audit = await asyncio.to_thread(audit_log, cluster.node_dir(living[0]))
    return report


async def _fill(cluster: Cluster, rng: random.Random, count: int, report: Report) -> dict[str, int]:
    sizes = {f"admin/data/d{number % 100}/f{number}": size_of(rng) for number in range(count)}
    waiting = list(sizes.items())
    began_s = time.monotonic()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {cluster.token}"}) as session:
        async def put(number: int) -> None:
            while waiting:
                path, size = waiting.pop()
                url = cluster.urls()[number % len(cluster.names)]
                for rest_s in (*FILL_RESTS_S, None):
                    async with session.put(f"{url}/v1/files/{path}", data=io.BytesIO(body_of(path, size)),
                                           headers={"Fluffy-Request-Id": f"fill-{path}"}) as answer:
                        if answer.status < 300:
                            break
                        if answer.status != 503 or rest_s is None:
                            raise ClusterFailed(f"PUT {path}: {answer.status} {(await answer.text())[:200]}")
                    await asyncio.sleep(rest_s)
        async with asyncio.TaskGroup() as group:
            for number in range(LOADERS):
                group.create_task(put(number))
    report.files, report.bytes, report.load_s = count, sum(sizes.values()), time.monotonic() - began_s
    return sizes


async def _repair_now(cluster: Cluster, living: Sequence[str]) -> dict[str, Any] | None:
    """What any living node says; None while none does."""
    for name in living:
        try:
            said: dict[str, Any] = (await asyncio.to_thread(cluster.json, name, "/v1/jobs?limit=1", 5.0))["repair"]
        except (OSError, ClusterFailed):
            continue
        return said if said["copies"] is not None else None
    return None


async def _until_whole(cluster: Cluster, living: Sequence[str], killed_s: float, report: Report) -> None:
    """All copies there, for good: what users add meanwhile has fewer copies for a moment."""
    told_s = killed_s
    while time.monotonic() < killed_s + WHOLE_S:
        await asyncio.sleep(0.5)
        said = await _repair_now(cluster, living)
        if said is None:
            continue
        copies = said["copies"]
        if copies["missing_copies"] > report.missing_at_first:
            report.missing_at_first, report.missing_bytes = copies["missing_copies"], copies["missing_bytes"]
        report.jobs_done, report.stolen, report.stuck = said["done"], said["stolen"], said["stuck"]
        if time.monotonic() - told_s > 10.0:
            told_s = time.monotonic()
            print(f"  {told_s - killed_s:5.0f} s: {copies['missing_copies']} copies missing, {said['queued']} jobs "
                  f"wait, {said['running']} run, {said['stuck']} stuck, left {said['left_s']} s", flush=True)
        if report.missing_at_first and not copies["missing_copies"] and not said["queued"] and not said["running"]:
            report.whole_s = time.monotonic() - killed_s
            return
    report.problems.append(f"not whole within {WHOLE_S:.0f} s: {said}")


async def _kill_leaders(cluster: Cluster, living: Sequence[str], count: int, report: Report,
                        is_whole: asyncio.Event) -> None:
    """One after another, as soon as jobs run; each is started again at once. Ends when all is whole."""
    while len(report.leaders_killed) < count and not is_whole.is_set():
        await asyncio.sleep(2.0)
        said = await _repair_now(cluster, living)
        if said is None or not (said["running"] or said["queued"]):
            continue
        leader = await asyncio.to_thread(cluster.leader, living)
        await asyncio.to_thread(cluster.kill, leader)
        report.leaders_killed.append(leader)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(cluster.start_ready, leader)


def _tell_users(report: Report, users: Users, began_s: float, killed_s: float, whole_s: float) -> None:
    report.spans = {
        "before": users.times_ms(began_s, killed_s), "outage": users.times_ms(killed_s, killed_s + OUTAGE_S),
        "during": users.times_ms(killed_s + OUTAGE_S, whole_s), "after": users.times_ms(whole_s, whole_s + 1e9)}
    report.requests = len(users.samples)
    report.retried = sum(sample.tries - 1 for sample in users.samples)
    report.errors = users.errors


async def _compare(cluster: Cluster, living: Sequence[str], sizes: dict[str, int], rng: random.Random,
                   report: Report) -> None:
    """Some of the files, and some of those written meanwhile, byte by byte through every living node."""
    for path in rng.sample(sorted(sizes), min(COMPARED, len(sizes))):
        name = living[report.compared % len(living)]
        status, _, body = await asyncio.to_thread(cluster.request, name, "GET", f"/v1/files/{path}", None, 30.0)
        report.compared += 1
        if status != 200 or body != body_of(path, sizes[path]):
            report.problems.append(f"{path} through {name}: {status}, {len(body)} bytes")


if __name__ == "__main__":
    print(f"users read and write files of up to {3 * MIB - 1} bytes", flush=True)
    drill_main(__doc__, run, rounds=1, nodes=NODES, cluster=CLUSTER, arguments={
        "scale": (float, 1.0, "share of the 20,000 files"), "leaders": (int, 0, "leaders killed during the repair")})
