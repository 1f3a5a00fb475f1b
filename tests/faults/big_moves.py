"""Move a folder of a hundred thousand files to and fro: at once, and nobody ever sees a half.

    python -m tests.faults.big_moves --files 100000 --moves 100

While the folder moves, others ask through all nodes: what the folder above lists, what the folder lists at the one path
and at the other, its sums, a page and a file deep inside. Each answer must be that of a whole folder, or that there is
nothing; and where it is must fit to the moves that were acknowledged before the question or under way during it.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp

from tests.faults.drill import drill_main
from tests.support.cluster import Cluster
from tests.support.loader import FILES_PER_FOLDER, file_path, load_files

MOVE_MAX_MS = 50.0
READERS = 4
PAGE = 1_000
HOME = "admin/moving"
NAMES = ("here", "there")  # where the folder is after an even and an odd number of moves
RETRIED = (429, 503)
RETRY_REST_S = 0.05
TRIES_MAX = 100


@dataclass(slots=True)
class Report:
    files: int
    loaded_s: float = 0.0
    move_ms: list[float] = field(default_factory=list)
    empty_move_ms: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    during: int = 0  # answers to questions that a move met
    violations: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        moves, empty = sorted(self.move_ms), self.empty_move_ms
        return [
            f"{self.files:,} files loaded in {self.loaded_s:.0f} s",
            f"{len(moves)} moves of the folder at the API: median {statistics.median(moves):.1f} ms, 95 of 100 below "
            f"{moves[len(moves) * 95 // 100]:.1f} ms, worst {moves[-1]:.1f} ms",
            f"the same of an empty folder: median {statistics.median(empty):.1f} ms, worst {max(empty):.1f} ms",
            f"answers meanwhile: {self.answers.total()}, {self.during} of them to questions that a move met; "
            + ", ".join(f"{kind} {number}" for kind, number in sorted(self.answers.items())),
            f"violations: {len(self.violations)}", *self.violations[:20]]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.violations, self.violations[:5]
        assert self.during > 0, "no question met a move"
        assert statistics.median(self.move_ms) < slack * MOVE_MAX_MS, sorted(self.move_ms)


@dataclass(frozen=True, slots=True)
class Question:
    """One way to look. `right`: whether a whole folder answers so; `name`: at which path; None: at either."""

    kind: str
    target: str
    right: Callable[[Any], bool]
    name: int | None


def questions(files: int, rng: random.Random) -> list[Question]:
    """All ways to look, at both paths."""
    folders = -(-files // FILES_PER_FOLDER)
    number = rng.randrange(files)
    deep = file_path(number, "").strip("/")
    inside = deep.split("/")[0]
    page = min(PAGE, min(FILES_PER_FOLDER, files - int(inside[1:]) * FILES_PER_FOLDER))
    asked = [Question("above", f"/v1/dirs/{HOME}?limit=10",
                      lambda found: [line["name"] for line in found["entries"]] in ([NAMES[0]], [NAMES[1]]), None)]
    for name, text in enumerate(NAMES):
        place = f"{HOME}/{text}"
        asked += [
            Question("listing", f"/v1/dirs/{place}?limit={PAGE}", lambda found: len(found["entries"]) == folders, name),
            Question("page", f"/v1/dirs/{place}/{inside}?limit={PAGE}",
                     lambda found: len(found["entries"]) == page, name),
            Question("sums", f"/v1/info/{place}", lambda found: found["files"] == files, name),
            Question("file", f"/v1/files/{place}/{deep}", lambda found: found == number, name)]
    return asked


class _Moves:
    """Who moves, and who looks. `begun`, `acked`: how many moves were asked for, and answered."""

    def __init__(self, session: aiohttp.ClientSession, urls: list[str], report: Report, seed: int) -> None:
        self._session = session
        self._urls = urls
        self._report = report
        self._seed = seed
        self._looked = asyncio.Event()
        self.begun = self.acked = 0
        self.done = False

    async def move(self, src: str, dst: str, url: str) -> float:
        """Milliseconds of the move, which must succeed at once."""
        began_s = time.perf_counter()
        async with self._session.post(f"{url}/v1/move", json={"src": src, "dst": dst}) as answer:
            text = await answer.text()
        took_ms = (time.perf_counter() - began_s) * 1000
        if answer.status != 200:
            raise AssertionError(f"move {src} {dst}: {answer.status} {text[:300]}")
        return took_ms

    async def move_on(self, moves: int, looks_between: int) -> None:
        try:
            for number in range(moves):
                self.begun = number + 1
                src, dst = NAMES[number % 2], NAMES[1 - number % 2]
                self._report.move_ms.append(await self.move(f"{HOME}/{src}", f"{HOME}/{dst}",
                                                            self._urls[number % len(self._urls)]))
                self.acked = number + 1
                goal = self._report.answers.total() + looks_between
                while self._report.answers.total() < goal:
                    self._looked.clear()
                    await self._looked.wait()
        finally:
            self.done = True

    async def look_on(self, reader: int) -> None:
        rng = random.Random(f"{self._seed}/{reader}")
        for turn in count(reader):
            if self.done:
                return
            question = rng.choice(questions(self._report.files, rng))
            await self._look(question, self._urls[turn % len(self._urls)])
            self._looked.set()

    async def _look(self, question: Question, url: str) -> None:
        for _ in range(TRIES_MAX):
            oldest = self.acked
            async with self._session.get(url + question.target) as answer:
                body = await answer.read()
            if answer.status not in RETRIED and "Fluffy-Stale" not in answer.headers:
                self._judge(question, answer.status, body, oldest)
                return
            await asyncio.sleep(RETRY_REST_S)
        self._report.violations.append(f"{question.target}: no answer")

    def _judge(self, question: Question, status: int, body: bytes, oldest: int) -> None:
        report = self._report
        report.answers[question.kind] += 1
        report.during += self.begun > oldest
        said = f"{question.target}: {status} {body[:200]!r}"
        if status == 404 and question.name is not None:
            place = 1 - question.name
        elif status != 200:
            report.violations.append(said)
            return
        else:
            found = int(body.split()[0]) if question.kind == "file" else json.loads(body)
            if not question.right(found):
                report.violations.append(f"a half: {said}")
                return
            place = NAMES.index(found["entries"][0]["name"]) if question.name is None else question.name
        if place not in {moves % 2 for moves in range(oldest, self.begun + 1)}:
            report.violations.append(f"after {oldest} to {self.begun} moves: {said}")


async def run(cluster: Cluster, rounds: int, seed: int, files: int = 100_000, moves: int = 100,
              listings: int = 1_000) -> Report:
    """`rounds`: how often all of that is done with the same folder; an even number of moves brings it back."""
    report = Report(files)
    began_s = time.monotonic()
    leader = await asyncio.to_thread(cluster.leader)
    await load_files(cluster.node_dir(leader) / "run" / "log.sock", files, f"{HOME}/{NAMES[0]}", lambda _: None)
    report.loaded_s = time.monotonic() - began_s
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {cluster.token}"},
                                     connector=aiohttp.TCPConnector(limit=0),
                                     timeout=aiohttp.ClientTimeout(total=30.0)) as session:
        for number in range(rounds):
            moving = _Moves(session, cluster.urls(), report, seed + number)
            async with asyncio.TaskGroup() as group:
                for reader in range(READERS):
                    group.create_task(moving.look_on(reader))
                group.create_task(moving.move_on(moves - moves % 2, -(-listings // moves)))
        await _move_empty(session, cluster.urls(), report, seed)
    return report


async def _move_empty(session: aiohttp.ClientSession, urls: list[str], report: Report, seed: int) -> None:
    """What a move costs anyway."""
    async with session.put(f"{urls[0]}/v1/dirs/admin/empty/here?parents=1") as answer:
        assert answer.status in (200, 201), await answer.text()
    moving = _Moves(session, urls, report, seed)
    for number in range(20):
        src, dst = (f"admin/empty/{NAMES[(number + way) % 2]}" for way in (0, 1))
        report.empty_move_ms.append(await moving.move(src, dst, urls[number % len(urls)]))


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, arguments={
        "files": (int, 100_000, "files in the folder"), "moves": (int, 100, "moves"),
        "listings": (int, 1_000, "questions meanwhile, at least")})
