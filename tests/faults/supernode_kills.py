"""A supernode is killed again and again while clusters change: its catalog is never wrong about how far it has read.

    python -m tests.faults.supernode_kills --rounds 50                 (50 kills, 20,000 files to begin with)
    python -m tests.faults.supernode_kills --rounds 5 --files 400      (in short)

Writers put, overwrite, tag, move and delete files and move folders in two clusters, all the time. After each kill -9
the catalog is opened as it lies there and compared with the clusters: whatever differs must stand at a place that the
cluster's own feed names behind the cursor. So no event was missed and the cursor is never beyond the rows. No place is
there twice, the counts are right, and the index finds every name as often as the rows have it: no event counted twice.
In the end the writers stop, the supernode becomes level, and both sides are equal in every row.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from fluffy.base.deadline import Deadline
from fluffy.core.metadata.queries_federation import CatalogRow, Place
from fluffy.core.search.plan import match_of
from fluffy.core.search.query import fold
from fluffy.drivers.catalog_sqlite_files import FILE_NAME, open_for_writing
from fluffy.drivers.catalog_sqlite_reading import clusters, rows
from fluffy.drivers.cluster_http import ClusterHttp
from fluffy.ports_federation import CatalogCluster
from tests.faults.drill import judge
from tests.support.supernodes import Land, Supernode, land

NAMES = ("alpha", "beta")
ROUNDS = 50
FILES = 20_000
WRITERS = 4
FOLDERS = 12
PAGE = 5_000
# From its start (every third time) or from when it answers until the kill: in the middle of opening, of the first
# build, of following, of catching up.
LIVES_S = (0.0, 2.5)
STARTS_S = (0.3, 3.0)
NAMES_EACH = 25
LEVEL_S = 60.0
SAMPLE = 300


@dataclass(slots=True)
class Report:
    kills: int = 0
    compared: int = 0
    during_build: int = 0
    behind: int = 0
    feed_places: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    rows_at_end: int = 0
    names_searched: int = 0
    began_anew: int = 0
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [f"{self.kills} kills, {self.compared} catalogs compared after them ({self.during_build} while being "
                f"built, {self.behind} rows behind, all at places that the feed named; it named {self.feed_places})",
                f"meanwhile {sum(self.writes.values())} changes: {dict(sorted(self.writes.items()))}",
                f"at the end {self.rows_at_end} rows equal, {self.names_searched} names searched, {self.began_anew} "
                "catalogs begun anew", *self.problems[:20]]

    def verify(self, slack: float = 1.0) -> None:
        del slack
        assert not self.problems, self.problems[0]
        assert self.kills and self.compared and self.rows_at_end


async def run(world: Land, *, rounds: int = ROUNDS, files: int = FILES, seed: int = 0) -> Report:
    rng, report = random.Random(seed), Report()
    clients = {name: world.client_of(name) for name in NAMES}
    supernode = world.add_supernode()
    stop = asyncio.Event()
    try:
        await asyncio.gather(*[_fill(world, name, files // len(NAMES)) for name in NAMES])
        async with asyncio.TaskGroup() as group:
            for number in range(WRITERS):
                name = NAMES[number % len(NAMES)]
                group.create_task(_write(world, name, number, random.Random(seed + number), stop, report))
            try:
                for _ in range(rounds):
                    if report.kills % 3 == 2:
                        supernode.start()
                        await asyncio.sleep(rng.uniform(*STARTS_S))
                    else:
                        await asyncio.to_thread(supernode.start_ready)
                        await asyncio.sleep(rng.uniform(*LIVES_S))
                    await asyncio.to_thread(supernode.kill)
                    report.kills += 1
                    await _judge(supernode, clients, report, must_be_level=False)
            finally:
                stop.set()
        await asyncio.to_thread(supernode.start_ready)
        await asyncio.to_thread(world.wait_fresh, supernode, LEVEL_S)
        await asyncio.sleep(1.5)  # whatever was acknowledged a moment ago is in the feed that is asked next
        await asyncio.to_thread(world.wait_fresh, supernode, LEVEL_S)
        report.began_anew = supernode.log_tail().count("catalog.begun_anew")
        await asyncio.to_thread(supernode.kill)
        await _judge(supernode, clients, report, must_be_level=True)
    finally:
        for client in clients.values():
            await client.close()
    return report


async def _judge(supernode: Supernode, clients: dict[str, ClusterHttp], report: Report, *, must_be_level: bool,
                 ) -> None:
    path = supernode.state / FILE_NAME
    if not path.exists():
        return  # killed before it made one
    with closing(open_for_writing(path)) as db:  # as the supernode does: what is not usable is made anew
        known = {one.name: one for one in clusters(db)}
        for name, client in clients.items():
            if name in known:
                await _compare(db, known[name], client, report, must_be_level=must_be_level)
            elif must_be_level:
                report.problems.append(f"{name} is not in the catalog")
        _check_index(db, report, thorough=must_be_level)


async def _compare(db: sqlite3.Connection, known: CatalogCluster, client: ClusterHttp, report: Report, *,
                   must_be_level: bool) -> None:
    mine = _by_place(_all_rows(db, known.number), report, known.name)
    counted = db.execute("SELECT count(*) FROM entries WHERE cluster_no = ?", (known.number,)).fetchone()[0]
    if counted != known.rows or counted != len(mine):
        report.problems.append(f"{known.name}: {counted} rows, {known.rows} counted, {len(mine)} places")
    theirs = _by_place(await _rows_of(client), report, known.name)
    named = await _places_behind(client, known)  # asked after the rows: what changed in between is named as well
    report.compared += 1
    report.feed_places += len(named)
    if known.building is not None:
        report.during_build += 1
    if must_be_level and named:
        report.problems.append(f"{known.name} is called fresh, and {len(named)} places are behind its cursor")
    for place in {**mine, **theirs}:
        if mine.get(place) == theirs.get(place):
            continue
        if place in named:
            report.behind += 1
        elif known.building is None or place <= known.building:
            # Of a tree that is being read, what is behind the place where the reading stands is not there yet.
            report.problems.append(f"{known.name} at {known.seq}: {place} is {mine.get(place)}, there "
                                   f"{theirs.get(place)}, and the feed does not name it")
    if must_be_level:
        report.rows_at_end += len(mine)


def _check_index(db: sqlite3.Connection, report: Report, *, thorough: bool) -> None:
    """Names of the rows against the index of trigrams: each is found as often as the rows have it."""
    names = [name for (name,) in db.execute("SELECT DISTINCT folded FROM entries ORDER BY folded")]
    rng = random.Random(1)
    for name in rng.sample(names, min(len(names), SAMPLE if thorough else 20)):
        if len(name) < 3:
            continue
        right = {no for (no,) in db.execute("SELECT row_no FROM entries WHERE instr(folded, ?)", (name,))}
        grams = tuple(dict.fromkeys(name[start:start + 3] for start in range(len(name) - 2)))
        found = [no for (no,) in db.execute("SELECT rowid FROM grams WHERE grams MATCH ?", (match_of(grams),))]
        report.names_searched += 1
        if not right <= set(found) or len(found) != len(set(found)):
            report.problems.append(f"{name}: the rows have it {len(right)} times, the index {len(found)} times")
    ghosts = db.execute("SELECT count(*) FROM (SELECT rowid FROM grams WHERE grams MATCH ?) WHERE rowid NOT IN"
                        " (SELECT row_no FROM entries)", (match_of(tuple(_GRAMS)),)).fetchone()[0]
    if ghosts:
        report.problems.append(f"{ghosts} entries of the index have no row")
    if (trouble := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        report.problems.append(f"the database is damaged: {trouble}")


_GRAMS = [fold("thing")[start:start + 3] for start in range(3)]


def _by_place(found: list[CatalogRow], report: Report, name: str) -> dict[Place, CatalogRow]:
    places: dict[Place, CatalogRow] = {}
    for row in found:
        if (row.parent, row.key) in places:
            report.problems.append(f"{name}: ({row.parent}, {row.key}) is there twice")
        places[row.parent, row.key] = row
    return places


def _all_rows(db: sqlite3.Connection, number: int) -> list[CatalogRow]:
    found: list[CatalogRow] = []
    after = (0, "")
    while page := rows(db, number, after, PAGE):
        found += page
        after = (page[-1].parent, page[-1].key)
    return found


async def _rows_of(client: ClusterHttp) -> list[CatalogRow]:
    """Page by page, while it changes: a row that moves meanwhile may be seen twice or not at all; the feed names it."""
    found: dict[Place, CatalogRow] = {}
    after: Place | None = (0, "")
    while after is not None:
        answer = await client.rows(after, Deadline.after(20))
        found.update({(row.parent, row.key): row for row in answer.rows})
        after = answer.after
    return list(found.values())


async def _places_behind(client: ClusterHttp, known: CatalogCluster) -> set[Place]:
    """All places that changed behind the cursor, up to now."""
    named: set[Place] = set()
    seq, more = known.seq, True
    while more:
        answer = await client.feed(seq, known.epoch, 0, Deadline.after(20))
        named.update(answer.piece.places)
        named.update((row.parent, row.key) for row in answer.piece.rows)
        seq, more = answer.piece.seq, answer.piece.more
    return named


async def _fill(world: Land, name: str, files: int) -> None:
    waiting = list(range(files))
    url = world.clusters[name].url("one")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {world.askers[name]}"}) as session:
        async def put() -> None:
            while waiting:
                number = waiting.pop()
                path = f"/v1/files/admin/d{number % FOLDERS}/thing-{number}"
                async with session.put(url + path, data=b"x") as answer:
                    assert answer.status == 201, await answer.text()

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(put())


async def _write(world: Land, name: str, number: int, rng: random.Random, stop: asyncio.Event, report: Report) -> None:
    """Changes of every kind in one cluster until told to stop; refusals (something moved) change nothing."""
    url = world.clusters[name].url("one")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {world.askers[name]}"}) as session:
        while not stop.is_set():
            folder = f"admin/d{rng.randrange(FOLDERS * 2)}"
            path = f"{folder}/thing-w{number}-{rng.randrange(NAMES_EACH)}"
            kind = rng.choice(("put", "put", "tags", "delete", "move", "folder"))
            method, target, document = "PUT", f"/v1/files/{path}", None
            if kind == "delete":
                method = "DELETE"
            elif kind == "tags":
                target, document = f"/v1/tags/{path}", {"turn": str(rng.randrange(9))}
            elif kind == "move":
                method, target = "POST", "/v1/move"
                document = {"src": f"/{path}", "dst": f"/admin/d{rng.randrange(FOLDERS)}/thing-m{number}-"
                                                      f"{rng.randrange(10**6)}"}
            elif kind == "folder":
                method, target = "POST", "/v1/move"
                document = {"src": f"/{folder}", "dst": f"/admin/d{rng.randrange(FOLDERS * 2)}"}
            body = b"y" * rng.randrange(40) if method == "PUT" and document is None else None
            async with session.request(method, url + target, json=document, data=body) as answer:
                await answer.read()
                report.writes[kind if answer.status < 300 else "refused"] += 1
                assert answer.status < 500, answer.status
            await asyncio.sleep(rng.uniform(0, 0.02))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--files", type=int, default=FILES, help="in both clusters together, before it begins")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    began_s = time.monotonic()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fluffy-drill-") as folder, land(
            Path(folder), *NAMES, replication=1, write_quorum=1) as world:
        report = asyncio.run(run(world, rounds=given.rounds, files=given.files, seed=given.seed))
    print("\n".join(report.lines()))
    print(f"took {time.monotonic() - began_s:.0f} s")
    judge(report)


if __name__ == "__main__":
    main()
