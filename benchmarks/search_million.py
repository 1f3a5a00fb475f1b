"""Search among a million names: building the index, rare and common texts, and keeping up with creations.

Makes its own `meta.db` through the state machine, without a cluster, then runs the keeper's follower and the gateway's
reader on it.

    python -m benchmarks.search_million [--files 1000000] [--dir FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fluffy.base.deadline import Deadline
from fluffy.core.metadata import queries_search
from fluffy.core.metadata.commands import PutFile
from fluffy.core.metadata.commands_tree import Move
from fluffy.core.search.query import SearchQuery, parse_query
from fluffy.drivers.clock import SystemClock
from fluffy.drivers.search_index import SearchIndexFile
from fluffy.drivers.search_reader import SearchReader
from fluffy.services.search import FOLLOW_EVERY_S, SearchFollower
from tests.support.local_log import BornCluster, born_cluster, header

FILES_PER_FOLDER = 1_000
ENTRY_FILES = 1_000
CREATES_PER_S = 500
CREATE_S = 10
REPEATS = 20
PAGE = 100
KINDS = ("pdf", "jpg", "txt", "csv", "mp4")
WORDS = ("invoice", "report", "holiday", "contract", "backup", "letter", "draft", "photo")
GOALS = {"rare_ms": 50.0, "common_ms": 100.0, "lag_s": 2.0}
BUILD_ROWS_PER_S = 5_000


@dataclass(slots=True)
class Findings:
    """The worst of the medians; seconds, milliseconds, MiB."""

    files: int
    make_s: float = 0.0
    build_s: float = 0.0
    rows: int = 0
    index_mib: float = 0.0
    rare_ms: float = 0.0
    common_ms: float = 0.0
    lag_s: float = 0.0
    others_ms: dict[str, float] = field(default_factory=dict)
    move_rows: int = 0
    move_ms: float = 0.0

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.build_s

    def lines(self) -> list[str]:
        others = ", ".join(f"{name} {ms:.1f} ms" for name, ms in self.others_ms.items())
        return [
            f"{self.files:,} files put through the state machine in {self.make_s:.0f} s",
            f"index built: {self.rows:,} rows in {self.build_s:.0f} s, {self.rows_per_s:,.0f} rows/s "
            f"(goal >= {BUILD_ROWS_PER_S:,}); {self.index_mib:,.0f} MiB",
            f"rare text: {self.rare_ms:.1f} ms (goal < {GOALS['rare_ms']:.0f}); first page of a common one: "
            f"{self.common_ms:.1f} ms (goal < {GOALS['common_ms']:.0f})",
            f"others: {others}",
            f"under {CREATES_PER_S} creates/s the index was at most {self.lag_s:.2f} s behind "
            f"(goal <= {GOALS['lag_s']:.0f})",
            f"a folder of {self.move_rows:,} files moved: the index was level again after {self.move_ms:.0f} ms"]

    def missed(self) -> list[str]:
        found = {"rare_ms": self.rare_ms, "common_ms": self.common_ms, "lag_s": self.lag_s}
        missed = [f"{name}: {value:.2f}, goal {GOALS[name]}" for name, value in found.items() if value > GOALS[name]]
        return missed + ([f"build: {self.rows_per_s:,.0f} rows/s"] if self.rows_per_s < BUILD_ROWS_PER_S else [])


def file_path(number: int) -> str:
    word, kind = WORDS[number * 7 % len(WORDS)], KINDS[number * 3 % len(KINDS)]
    big = "big/" if number < 100_000 else ""
    return f"admin/{big}d{number // FILES_PER_FOLDER:04}/{word}-{2000 + number % 26}-{number:07x}.{kind}"


def put(number: int, tags: dict[str, str] | None = None) -> PutFile:
    return PutFile(header(), file_path(number), 1, bytes(32), "ee" * 16, "text/plain", {}, tags or {}, b"x", (), ())


def make(cluster: BornCluster, files: int) -> None:
    for start in range(0, files, ENTRY_FILES):
        cluster.log.apply_all([put(number, {"batch": "first"} if number % 1000 == 0 else None)
                               for number in range(start, min(files, start + ENTRY_FILES))])
        if start % 100_000 == 0:
            print(f"{start:,} files", file=sys.stderr, flush=True)


async def level(follower: SearchFollower, index: SearchIndexFile, cluster: BornCluster) -> None:
    while True:
        if not await follower.one_round():
            state = index.state()
            if state.building is None and state.seq == cluster.log.machine.seq:
                return


def timed(cluster: BornCluster, names: SearchReader, query: SearchQuery, via: str, least: int) -> float:
    """The median of REPEATS first pages, in ms."""
    times = []
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        found = cluster.reader.read(lambda db: names.search(db, query, None, None, PAGE, Deadline.after(30)))
        times.append((time.perf_counter() - began_s) * 1000)
        if found.via != via or len(found.page.entries) < least:
            raise RuntimeError(f"{query} found {len(found.page.entries)} by {found.via}")
    return statistics.median(times)


async def follow_creates(cluster: BornCluster, follower: SearchFollower, index: SearchIndexFile, first: int) -> float:
    """Create steadily beside the follower; the worst lag in seconds."""
    worst_s = 0.0
    number = first
    began_s = time.monotonic()
    ended = asyncio.Event()

    async def follow() -> None:
        while not ended.is_set():
            await follower.one_round()
            await asyncio.sleep(FOLLOW_EVERY_S)

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        while time.monotonic() - began_s < CREATE_S:
            due = first + int((time.monotonic() - began_s) * CREATES_PER_S)
            if due > number:
                cluster.log.apply_all([put(one) for one in range(number, due)])
                number = due
            seq = index.state().seq
            point = cluster.reader.read(lambda db, seq=seq: queries_search.feed_point(db, seq))
            if point.behind_at_ms is not None:
                worst_s = max(worst_s, time.time() - point.behind_at_ms / 1000)
            await asyncio.sleep(0.02)
        ended.set()
    return worst_s


async def measure(cluster: BornCluster, files: int, disk: ThreadPoolExecutor) -> Findings:
    findings = Findings(files)
    began_s = time.monotonic()
    make(cluster, files)
    findings.make_s = time.monotonic() - began_s
    index, names = SearchIndexFile(cluster.node_dir), SearchReader(cluster.node_dir)
    follower = SearchFollower(cluster.reader, index, SystemClock(), disk)
    began_s = time.monotonic()
    await level(follower, index, cluster)
    findings.build_s = time.monotonic() - began_s
    findings.rows = index.state().rows
    findings.index_mib = sum(path.stat().st_size for path in cluster.node_dir.glob("search.*.db*")) / (1 << 20)
    rare = [f"{number:07x}" for number in (files // 3, files // 2, files - 1)]
    findings.rare_ms = max(timed(cluster, names, parse_query(text), "index", 1) for text in rare)
    common = ("invoice", "pdf", "200", "oto", "report 2007", "*.csv")
    findings.common_ms = max(timed(cluster, names, parse_query(text), "index", min(PAGE, files // 200))
                             for text in common)
    findings.others_ms = {
        "two characters": timed(cluster, names, parse_query("re"), "scan", PAGE),
        "rare by two words": timed(cluster, names, parse_query(f"{rare[0][-4:]} {WORDS[0]}"), "index", 0),
        "nothing found": timed(cluster, names, parse_query("no such name"), "index", 0),
        "tag alone": timed(cluster, names, parse_query(tag="batch=first"), "index", min(PAGE, files // 1000)),
        "tag and text": timed(cluster, names, parse_query("pdf", tag="batch=first"), "index", 0)}
    findings.lag_s = await follow_creates(cluster, follower, index, files)
    await level(follower, index, cluster)
    findings.move_rows = min(files, 100_000)
    cluster.log.apply(Move(header(), "admin/big", "admin/bigger"))
    began_s = time.monotonic()
    await level(follower, index, cluster)
    findings.move_ms = (time.monotonic() - began_s) * 1000
    index.close()
    names.close()
    return findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluffy-search-", dir=arguments.dir) as folder, \
            born_cluster(Path(folder)) as cluster, ThreadPoolExecutor(1) as disk:
        findings = asyncio.run(measure(cluster, arguments.files, disk))
    print("\n".join(findings.lines()))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(findings), indent=2) + "\n")
    missed = findings.missed()
    print("all goals met" if not missed else "MISSED " + "; ".join(missed))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
