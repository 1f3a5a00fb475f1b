"""A client that uploads a large file in parts is killed (-9) in the middle and started again: it goes on where it was.

The clients talk to the nodes through counting relays, so what is sent twice is seen; in every second round a node is
killed together with the client. At the end the file is byte-equal through each node and nothing unfinished is left.

    python -m tests.faults.killed_client --rounds 4 --mib 1024
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from fluffy.base.units import MIB
from fluffy.client.parts import STREAMS
from tests.faults.drill import drill_main
from tests.support.cluster import HTTP_PORT, ROOT, Cluster
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy

PATH = "/admin/killed"
KILLS = 2
POLL_S = 0.02
FINISH_TIMEOUT_S = 600.0
# Heads, JSON and the look at what is there, of all clients of a round.
OVERHEAD_BYTES = 256 * 1024


@dataclass(slots=True)
class Report:
    rounds: int = 0
    kills: int = 0
    mib: int = 0
    again_bytes: list[int] = field(default_factory=list)
    allowed_bytes: int = 0
    compared: int = 0
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        again = ", ".join(f"{count / MIB:.1f}" for count in self.again_bytes)
        return [f"uploads of {self.mib} MiB: {self.rounds}, clients killed: {self.kills}",
                f"sent twice, MiB for each round: {again} (at most {self.allowed_bytes / MIB:.0f} for each kill)",
                f"compared through the nodes: {self.compared}", f"problems: {len(self.problems)}", *self.problems]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems


class _Round:
    """One upload and its clients."""

    def __init__(self, cluster: Cluster, source: Path, path: str, relays: list[CuttingProxy], report: Report) -> None:
        self._cluster = cluster
        self._source = source
        self._path = path
        self._relays = relays
        self._report = report
        self.part_size = 0

    async def start(self) -> asyncio.subprocess.Process:
        env = {**self._cluster.env, "FLUFFY_TOKEN": self._cluster.token,
               "FLUFFY_PEERS": ",".join(relay.address for relay in self._relays),
               "XDG_STATE_HOME": str(self._cluster.folder / "client-state")}
        return await asyncio.create_subprocess_exec(
            sys.executable, str(ROOT / "client.py"), "--config", str(self._cluster.config), "upload",
            str(self._source), self._path, env=env, cwd=self._cluster.folder, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT)

    async def stored_parts(self, node: str) -> int:
        """Parts that the cluster has by now."""
        told = await asyncio.to_thread(self._cluster.json, node, f"/v1/uploads?path={self._path}")
        uploads = told["uploads"]
        if len(uploads) > 1:
            self._report.problems.append(f"{len(uploads)} sessions for one upload")
        self.part_size = uploads[0]["part_size"] if uploads else self.part_size
        return int(uploads[0]["stored_parts"]) if uploads else 0

    async def kill_at(self, parts: int, node: str, victim: str | None) -> None:
        """Start a client, kill it when so many parts are stored; with it a node."""
        client = await self.start()
        while await self.stored_parts(node) < parts:
            if client.returncode is not None:
                output = await client.stdout.read() if client.stdout is not None else b""
                raise AssertionError(f"the client ended by itself: {output[-2000:]!r}")
            await asyncio.sleep(POLL_S)
        client.kill()
        if victim is not None:
            await asyncio.to_thread(self._cluster.kill, victim)
        await client.communicate()
        self._report.kills += 1

    async def finish(self) -> None:
        client = await self.start()
        async with asyncio.timeout(FINISH_TIMEOUT_S):
            output, _ = await client.communicate()
        if client.returncode != 0:
            self._report.problems.append(f"the last client exited {client.returncode}: {output[-2000:]!r}")


async def run(cluster: Cluster, rounds: int, seed: int, mib: int = 300) -> Report:
    """The cluster is ready before and after."""
    report, rng = Report(mib=mib), random.Random(seed)
    async with AsyncExitStack() as stack:
        relays = [await stack.enter_async_context(cutting_proxy(cluster.host, HTTP_PORT + number))
                  for number in range(len(cluster.names))]
        for number in range(rounds):
            source = cluster.folder / "source.bin"
            digest = await asyncio.to_thread(_make, source, mib, rng.randrange(2**32))
            sent_before = sum(relay.up_bytes for relay in relays)
            drill = _Round(cluster, source, f"{PATH}-{number}", relays, report)
            await _upload(cluster, drill, rng, with_node=number % 2 == 0)
            again = sum(relay.up_bytes for relay in relays) - sent_before - mib * MIB
            report.again_bytes.append(again)
            report.allowed_bytes = STREAMS * drill.part_size
            if again < 0:
                report.problems.append(f"{-again:,} bytes did not pass the relays: what was sent twice is not known")
            if again > KILLS * report.allowed_bytes + OVERHEAD_BYTES:
                report.problems.append(f"{again:,} bytes were sent again after {KILLS} kills")
            await asyncio.to_thread(_compare, cluster, f"{PATH}-{number}", digest, report)
            await asyncio.to_thread(source.unlink)
            report.rounds += 1
    return report


async def _upload(cluster: Cluster, drill: _Round, rng: random.Random, *, with_node: bool) -> None:
    parts = 0
    for kill in range(KILLS):
        parts += rng.randrange(3, 12)
        victim = cluster.names[kill] if with_node else None
        await drill.kill_at(parts, cluster.names[2], victim)
        if victim is not None:
            await asyncio.to_thread(cluster.start, victim)
            await asyncio.to_thread(cluster.wait_ready, victim)
    await drill.finish()


def _make(path: Path, mib: int, seed: int) -> str:
    rng, digest = random.Random(seed), hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(mib):
            block = rng.randbytes(MIB)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def _compare(cluster: Cluster, path: str, digest: str, report: Report) -> None:
    for node in cluster.names:
        status, headers, body = cluster.request(node, "GET", f"/v1/files{path}", timeout_s=FINISH_TIMEOUT_S)
        report.compared += 1
        if status != 200 or hashlib.sha256(body).hexdigest() != digest or headers["fluffy-generation"] != "1":
            report.problems.append(f"{path} through {node}: {status}, {len(body):,} bytes, or another content")
        if cluster.json(node, "/v1/uploads")["uploads"]:
            report.problems.append(f"{node} lists an unfinished upload")
    left = list((cluster.folder / "client-state" / "fluffy" / "uploads").iterdir())
    if left:
        report.problems.append(f"records are left: {left}")


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=4, arguments={"mib": (int, 1024, "size of the file")})
