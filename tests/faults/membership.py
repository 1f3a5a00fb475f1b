"""Machines join, get their share, are emptied and removed, a follower and then the leader; then all restart in turn.
All of it under load, without one failed request.

    python -m tests.faults.membership --rounds 1
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from tests.faults.checks import check_feed, check_files, settle
from tests.faults.drill import drill_main
from tests.faults.recorder import Load, Record
from tests.support.cluster import ROOT, Cluster

# Chunks of 64 KiB: a few megabytes make hundreds of them, and a share can be measured.
CLUSTER: dict[str, Any] = {"chunk_size": "64KiB", "election": "1s"}
FILES = 40
FILE_BYTES = 1 << 20
SHARE_TOLERANCE = 0.10
EMPTY_WAIT_S = 240.0
BALANCE_WAIT_S = 240.0
VOTE_WAIT_S = 60.0
# A machine that only knows itself is told everything else by the log.
NEWCOMERS = ("four", "five", "six", "seven")
ROLL = "import sys; from fluffy.apps.client import main; sys.argv = ['fluffy', *sys.argv[1:]]; main()"


@dataclass(slots=True)
class Report:
    record: Record
    told: list[str] = field(default_factory=list)
    gaps_s: dict[str, float] = field(default_factory=dict)
    shares: list[str] = field(default_factory=list)
    unbalanced: list[str] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)
    digest: str = ""
    files_read: int = 0

    def lines(self) -> list[str]:
        record = self.record
        return [
            *self.told, *self.shares,
            f"acknowledged writes: {record.acked}; open: {record.open_writes}; reads: {record.reads}; repeated "
            f"attempts: {record.retries}",
            "longest time without an acknowledged write: "
            + ", ".join(f"{what} {gap:.2f} s" for what, gap in self.gaps_s.items()),
            f"exit codes of removed nodes: {self.exit_codes}",
            f"files compared through every node: {self.files_read}; digest of all states: {self.digest[:16]}",
            f"violations: {len(record.violations)}", *record.violations]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.record.violations, self.record.violations
        assert all(code == 78 for code in self.exit_codes), self.exit_codes
        assert not self.unbalanced, self.unbalanced
        assert max(self.gaps_s.values()) < 5.0 * slack, self.gaps_s


@dataclass(slots=True)
class _Drill:
    cluster: Cluster
    load: Load
    report: Report

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """At any node, again while it says later."""
        end_s = time.monotonic() + 30.0
        while True:
            node = random.choice(self.cluster.running)
            try:
                status, _, data = self.cluster.request(
                    node, method, path, None if body is None else json.dumps(body).encode(), timeout_s=20.0)
            except OSError:
                status, data = 0, b""
            if status in (200, 202):
                found: dict[str, Any] = json.loads(data)
                return found
            if status not in (0, 503) or time.monotonic() > end_s:
                raise self.cluster.failed(f"{method} {path}: {status} {data[:300]!r}")
            time.sleep(0.5)

    def nodes(self) -> dict[str, dict[str, Any]]:
        return {node["name"]: node for node in self.ask("GET", "/v1/nodes")["nodes"]}

    def put_files(self, count: int, size: int) -> None:
        for number in range(count):
            body = random.Random(number).randbytes(size)
            self.cluster.wait_until(lambda number=number, body=body: self._put(number, body), 60.0,  # type: ignore[misc]
                                    f"file {number} is stored")

    def _put(self, number: int, body: bytes) -> bool:
        try:
            return self.cluster.request(self.cluster.running[0], "PUT", f"/v1/files/admin/share/{number}", body,
                                        30.0)[0] < 300
        except OSError:
            return False

    def join(self, name: str) -> None:
        began_s = time.monotonic()
        self.cluster.add(name, through=random.choice(self.cluster.running))
        self.cluster.start_ready(name)
        ready_s = time.monotonic() - began_s
        self.cluster.wait_until(lambda: self.nodes()[name]["voter"], VOTE_WAIT_S, f"a vote for {name}")
        self._asked_now(self.cluster.running)
        self.report.told.append(f"{name} joined: ready after {ready_s:.1f} s, its vote after "
                                f"{time.monotonic() - began_s:.1f} s")

    def _asked_now(self, names: tuple[str, ...]) -> None:
        self.load.ask_only(self.cluster.urls(names))

    def balance(self) -> None:
        """Until every node holds its share, within a tenth."""
        began_s = time.monotonic()
        counts: dict[str, int] = {}

        def is_fair() -> bool:
            counts.clear()
            counts.update({name: node["chunks"] for name, node in self.nodes().items()})
            mean = sum(counts.values()) / len(counts)
            return all(abs(count - mean) <= SHARE_TOLERANCE * mean for count in counts.values())

        while not is_fair():
            if time.monotonic() - began_s > BALANCE_WAIT_S:
                self.report.unbalanced.append(str(counts))
                break
            time.sleep(1.0)
        self.report.shares.append(f"chunks after {time.monotonic() - began_s:.1f} s: {counts}")

    def let_go(self, name: str) -> None:
        """Drain, verdict, remove; the node ends by itself."""
        began_s = time.monotonic()
        path = f"/v1/admin/nodes/{name}"
        told = self.ask("POST", f"{path}/drain", {})
        while not told["safe"]:
            if time.monotonic() - began_s > EMPTY_WAIT_S:
                raise self.cluster.failed(f"{name} is not empty after {EMPTY_WAIT_S} s: {told}")
            time.sleep(0.5)
            told = self.ask("GET", f"{path}/drain")
        empty_s = time.monotonic() - began_s
        self._asked_now(tuple(other for other in self.cluster.running if other != name))
        removed = self.ask("DELETE", path)
        while not removed["removed"]:
            if time.monotonic() - began_s > EMPTY_WAIT_S + VOTE_WAIT_S:
                raise self.cluster.failed(f"{name} is not removed: {removed}")
            time.sleep(0.5)
            removed = self.ask("DELETE", path)
        self.report.exit_codes.append(self.cluster.exit_code(name))
        self.report.told.append(f"{name} emptied after {empty_s:.1f} s ({told['verdict']}), gone after "
                                f"{time.monotonic() - began_s:.1f} s")

    def roll(self) -> None:
        env = self.cluster.env | {"FLUFFY_PEERS": ",".join(self.cluster.urls(self.cluster.running)),
                                  "FLUFFY_TOKEN": self.cluster.token}
        done = subprocess.run([sys.executable, "-c", ROLL, "admin", "rolling-restart", "-y"], env=env, cwd=ROOT,
                              capture_output=True, text=True, timeout=600)
        self.report.told += [f"rolling restart: {line}" for line in done.stdout.splitlines()]
        if done.returncode != 0:
            self.report.record.violation(f"rolling-restart failed: {done.stderr[-500:]}")


async def run(cluster: Cluster, rounds: int, seed: int, writers: int = 4, *, share: bool = True,
              files: int = FILES, short: bool = False) -> Report:
    """The cluster is ready before and after. `share`: wait until every node has its part of the chunks. `short`: one
    machine comes and the leader goes, no more.
    """
    random.seed(seed)
    size_max = 10_000 if files == 0 else 150_000  # without files nothing is to be in chunks
    async with Load(cluster.urls(), cluster.token, seed, writers=writers, readers=1, size_max=size_max) as load:
        report = Report(load.record)
        drill = _Drill(cluster, load, report)

        async def step(what: str, call: Any, *arguments: Any) -> None:
            began_s = time.monotonic()
            await asyncio.to_thread(call, *arguments)
            report.gaps_s[what] = load.record.longest_gap_s(began_s, time.monotonic())

        await step("upload", drill.put_files, files, FILE_BYTES)
        for number in range(rounds):
            first, second = NEWCOMERS[2 * number:2 * number + 2]
            await step(f"{first} joins", drill.join, first)
            if share:
                await step("balance", drill.balance)
            if short:
                leader = await asyncio.to_thread(cluster.leader)
                await step(f"leader {leader} goes", drill.let_go, leader)
                break
            leader = await asyncio.to_thread(cluster.leader)
            follower = next(name for name in cluster.running if name not in (leader, first))
            await step(f"follower {follower} goes", drill.let_go, follower)
            await step(f"{second} joins", drill.join, second)
            leader = await asyncio.to_thread(cluster.leader)
            await step(f"leader {leader} goes", drill.let_go, leader)
            await step("rolling restart", drill.roll)
        await load.until_acked(20)
    gone = {name for name in cluster.names if name not in cluster.running}
    report.digest = await asyncio.to_thread(settle, cluster)
    for node in cluster.running:
        await asyncio.to_thread(check_feed, load.record, cluster, node)
    report.files_read = await asyncio.to_thread(check_files, load.record, cluster, cluster.running)
    assert gone == set(cluster.names) - set(cluster.running)
    return report


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    drill_main(__doc__, run, rounds=1, cluster=CLUSTER)
