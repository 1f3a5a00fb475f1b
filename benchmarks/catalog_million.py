"""A catalog of ten clusters with a million entries: how fast it takes them in, and how fast it finds things.

    python -m benchmarks.catalog_million [--entries 1000000] [--catalog sqlite|postgresql|both]

Rows go through the driver as a follower sends them, 5,000 at a time; HTTP and the clusters are left out. Searches run
one after the other, each with another text.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from fluffy.base.deadline import Deadline
from fluffy.core.federation.tree import Sight
from fluffy.core.metadata.queries_federation import CatalogRow
from fluffy.core.search.query import SearchQuery, parse_query
from fluffy.ports_federation import Catalog
from tests.support.catalog_world import postgres_catalog, sqlite_catalog
from tests.support.postgres import running_postgres

CLUSTERS = 10
PIECE = 5_000
QUERIES = 200
WORDS = ("report", "invoice", "photo", "draft", "backup", "notes", "summer", "budget", "scan", "letter", "video")
TYPES = ("application/pdf", "image/png", "text/plain", "video/mp4")


def rows(rng: random.Random, entries: int) -> Iterator[list[CatalogRow]]:
    """A bucket, folders of a thousand files, in pieces."""
    made = [CatalogRow(1, 0, "bucket/", -1, 0, "", "", "admin", 0)]
    no, folder = 1, 1
    while no < entries:
        if no % 1000 == 1:
            no += 1
            folder = no
            made.append(CatalogRow(no, 1, f"folder-{no}/", -1, 0, "", "", "admin", 0))
        no += 1
        name = f"{rng.choice(WORDS)}-{rng.choice(WORDS)}-{rng.getrandbits(40):010x}"
        made.append(CatalogRow(no, folder, name, rng.randrange(1 << 24), 1, f"{no:032x}", rng.choice(TYPES), "admin",
                               1_700_000_000_000 + no * 1000, {"year": "2026"} if no % 50 == 0 else {}))
        if len(made) >= PIECE:
            yield made
            made = []
    if made:
        yield made


async def measure(kind: str, catalog: Catalog, entries: int) -> None:
    rng, names, began_s, count = random.Random(1), [], time.monotonic(), 0
    scope = {}
    for cluster in range(CLUSTERS):
        known = await catalog.begin(f"cluster-{cluster}", "e", 0)
        scope[known.number] = Sight(None)
        for piece in rows(rng, entries // CLUSTERS):
            await catalog.load(known.number, piece, (piece[-1].parent, piece[-1].key))
            names.append(rng.choice(piece).name)
            count += len(piece)
        await catalog.load(known.number, (), None)
    took_s = time.monotonic() - began_s
    print(f"{kind}: {count} entries in {took_s:.1f} s: {count / took_s:.0f} entries/s", flush=True)
    rare = [parse_query(rng.choice(names)[-8:-1]) for _ in range(QUERIES)]
    await timed(f"{kind}: rare substring", catalog, scope, rare)
    filtered = [parse_query(rng.choice(WORDS), content_type=rng.choice(TYPES), min_size=rng.randrange(1 << 23))
                for _ in range(QUERIES)]
    await timed(f"{kind}: word, type and size, a page of 100", catalog, scope, filtered)
    tagged = [parse_query(rng.choice(WORDS), tag="year=2026", content_type="image/") for _ in range(QUERIES)]
    await timed(f"{kind}: word, tag and type, a page of 100", catalog, scope, tagged)


async def timed(what: str, catalog: Catalog, scope: dict[int, Sight], queries: list[SearchQuery]) -> None:
    times, hits = [], 0
    for query in queries:
        began_s = time.perf_counter()
        page = await catalog.search(query, scope, None, 100, Deadline.after(60))
        times.append((time.perf_counter() - began_s) * 1000)
        hits += len(page.hits)
    times.sort()
    print(f"{what}: p50 {times[len(times) // 2]:.1f} ms, p99 {times[int(len(times) * 0.99) - 1]:.1f} ms, "
          f"{hits / len(queries):.1f} hits", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--catalog", choices=["sqlite", "postgresql", "both"], default="both")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        if chosen.catalog != "postgresql":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fluffy-catalog-"))
            async with sqlite_catalog(Path(folder)) as catalog:
                await measure("sqlite", catalog, chosen.entries)
        if chosen.catalog != "sqlite":
            url = stack.enter_context(running_postgres())
            async with postgres_catalog(url) as catalog:
                await measure("postgresql", catalog, chosen.entries)


if __name__ == "__main__":
    asyncio.run(main())
