"""Many writers at one file: every line is there, whole and once; and who reads while it changes sees old or new.

    python -m tests.faults.whole_files --lines 100 --reads 1000

Twenty writers append lines to one file through all nodes, in order each; then the file must hold all lines, none twice,
none broken, every writer's in its order. Then one writer replaces a file again and again, small bodies and such of
several chunks, while others read it through all nodes: each read is one body as it was written, and none older than the
newest that was acknowledged when the read began.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count, cycle

import aiohttp

from tests.faults.drill import drill_main
from tests.support.cluster import Cluster

# Bodies of several chunks, so that a mixture would have seams to show.
CLUSTER = {"chunk_size": "256KiB"}
WRITERS = 20
READERS = 6
UPDATE_BYTES = (1_000, 20_000, 300_000, 1_500_000)
GIVE_UP_S = 60.0
RETRY_REST_S = 0.05
RETRIED = (429, 503)


@dataclass(slots=True)
class Report:
    lines_wanted: int
    lines_found: int = 0
    bytes_found: int = 0
    append_ms: list[float] = field(default_factory=list)
    appending_s: float = 0.0
    updates: int = 0
    reads: Counter[str] = field(default_factory=Counter)  # "during" and "new": of the update under way
    retries: int = 0
    violations: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [
            f"{WRITERS} writers through all nodes: {self.lines_found:,} of {self.lines_wanted:,} lines, each whole and "
            f"once, {self.bytes_found:,} bytes",
            f"an append: median {statistics.median(self.append_ms):.1f} ms, worst {max(self.append_ms):.0f} ms; "
            f"{self.lines_wanted / self.appending_s:.0f}/s; repeated attempts: {self.retries}",
            f"reads during {self.updates} updates: {self.reads['all']}, of them {self.reads['during']} while one was "
            f"under way, {self.reads['new']} of which saw it already",
            f"violations: {len(self.violations)}", *self.violations[:20]]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.violations, self.violations[:5]
        assert self.lines_found == self.lines_wanted
        assert self.reads["during"] > 0, "no read met an update"


class _Door:
    """Requests that are repeated, at other nodes, until there is an answer."""

    def __init__(self, session: aiohttp.ClientSession, urls: list[str], report: Report) -> None:
        self._session = session
        self._urls = urls
        self._report = report
        self._ids = count()

    async def ask(self, method: str, path: str, body: bytes | None, *, first: int) -> tuple[int, bytes]:
        """`first`: the number of the node that is asked first."""
        headers = {"Fluffy-Request-Id": f"whole-{next(self._ids)}"}
        urls = cycle(self._urls[first:] + self._urls[:first])
        until_s = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until_s:
            try:
                async with self._session.request(method, next(urls) + path, data=body, headers=headers) as answer:
                    content = await answer.read()
                    if answer.status not in RETRIED:
                        return answer.status, content
            except (aiohttp.ClientError, TimeoutError):
                pass  # counted below, and asked again: a busy machine may be slow
            self._report.retries += 1
            await asyncio.sleep(RETRY_REST_S)
        raise AssertionError(f"{method} {path}: no answer within {GIVE_UP_S:.0f} s")


def line_of(writer: int, number: int, size: int) -> bytes:
    head = b"%d %d " % (writer, number)
    return head + b"%d" % (writer % 10) * (size - len(head) - 1) + b"\n"


def check_lines(content: bytes, writers: int, lines: int, size: int) -> list[str]:
    """What is wrong with the file."""
    found = content.split(b"\n")
    wrong = [] if found.pop() == b"" else ["the last line has no end"]
    seen: dict[int, list[int]] = {writer: [] for writer in range(writers)}
    for line in found:
        parts = line.split(b" ")
        if len(parts) != 3 or not (parts[0].isdigit() and parts[1].isdigit()) or line + b"\n" != line_of(
                int(parts[0]), int(parts[1]), size):
            wrong.append(f"a line that nobody wrote: {line[:60]!r}")
        else:
            seen.setdefault(int(parts[0]), []).append(int(parts[1]))
    wrong += [f"writer {writer}: {len(numbers)} lines, not 0 to {lines - 1} in order: {numbers[:20]}"
              for writer, numbers in seen.items() if numbers != list(range(lines))]
    return wrong


async def _append_all(door: _Door, report: Report, path: str, lines: int, size: int, nodes: int) -> None:
    async def write(writer: int) -> None:
        for number in range(lines):
            began_s = time.monotonic()
            status, answer = await door.ask("POST", f"{path}?append", line_of(writer, number, size),
                                            first=(writer + number) % nodes)
            report.append_ms.append((time.monotonic() - began_s) * 1000)
            if status not in (200, 201):
                report.violations.append(f"append {writer}/{number}: {status} {answer[:200]!r}")

    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for writer in range(WRITERS):
            group.create_task(write(writer))
    report.appending_s = time.monotonic() - began_s
    for node in range(nodes):
        _, content = await door.ask("GET", path, None, first=node)
        report.violations += [f"node {node}: {problem}" for problem in check_lines(content, WRITERS, lines, size)]
        report.lines_found, report.bytes_found = content.count(b"\n"), len(content)


def update_of(number: int, rng: random.Random) -> bytes:
    """A body that says in every eight bytes which update it is."""
    size = rng.choice(UPDATE_BYTES) + rng.randrange(8) * 8
    return b"%07d " % number * (size // 8)


class _Updates:
    """One file that is replaced again and again. `acked`: the newest acknowledged; `begun`: the newest asked for."""

    def __init__(self, door: _Door, report: Report, path: str, seed: int, nodes: int) -> None:
        self._door = door
        self._report = report
        self._path = path
        self._rng = random.Random(seed)
        self._nodes = nodes
        self._sizes: dict[int, int] = {}
        self.acked = self.begun = -1
        self.done = False
        self._read = asyncio.Event()

    async def write(self, updates: int, reads_between: int) -> None:
        """Paced by the readers, so that each update has some."""
        for number in range(updates):
            body = update_of(number, self._rng)
            self._sizes[number] = len(body)
            self.begun = number
            status, answer = await self._door.ask("PUT", self._path, body, first=number % self._nodes)
            if status not in (200, 201):
                self._report.violations.append(f"update {number}: {status} {answer[:200]!r}")
            self.acked = number
            self._report.updates += 1
            goal = self._report.reads["all"] + reads_between
            while self._report.reads["all"] < goal:
                self._read.clear()
                await self._read.wait()
        self.done = True

    async def read(self, reader: int) -> None:
        for turn in count(reader):
            if self.done:
                return
            if self.acked < 0:
                await asyncio.sleep(0.01)
                continue
            oldest, under_way = self.acked, self.begun
            status, content = await self._door.ask("GET", self._path, None, first=turn % self._nodes)
            self._judge(status, content, oldest, under_way)
            self._read.set()

    def _judge(self, status: int, content: bytes, oldest: int, under_way: int) -> None:
        self._report.reads["all"] += 1
        self._report.reads["during"] += self.begun > oldest
        number = int(content[:7]) if status == 200 and content[:7].isdigit() else -1
        if content != b"%07d " % number * (len(content) // 8) or len(content) != self._sizes.get(number):
            self._report.violations.append(f"no body of one update: {status}, {len(content)} bytes, {content[:40]!r}")
        elif number < oldest:
            self._report.violations.append(f"saw update {number} though {oldest} was acknowledged before")
        else:
            self._report.reads["new"] += number > oldest and under_way > oldest


async def run(cluster: Cluster, rounds: int, seed: int, lines: int = 100, size: int = 60, reads: int = 1_000,
              updates: int = 100) -> Report:
    """`rounds`: files that are appended to, each by all writers, one after the other."""
    report = Report(WRITERS * lines)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {cluster.token}"},
                                     connector=aiohttp.TCPConnector(limit=0),
                                     timeout=aiohttp.ClientTimeout(total=30.0)) as session:
        door = _Door(session, cluster.urls(), report)
        nodes = len(cluster.names)
        for number in range(rounds):
            await _append_all(door, report, f"/v1/files/admin/whole-{seed}-{number}.log", lines, size, nodes)
        changing = _Updates(door, report, f"/v1/files/admin/changing-{seed}", seed, nodes)
        async with asyncio.TaskGroup() as group:
            for reader in range(READERS):
                group.create_task(changing.read(reader))
            group.create_task(changing.write(updates, -(-reads // updates)))
    return report


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, cluster=CLUSTER, arguments={
        "lines": (int, 100, "lines of each writer"), "size": (int, 60, "bytes of a line"),
        "reads": (int, 1_000, "reads during the updates, at least"), "updates": (int, 100, "updates")})
