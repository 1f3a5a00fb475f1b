"""Many simulated clusters, one seed each: `python -m fluffy.sim.run --seeds 2000`.

Prints one line for each broken promise, with the seed that breaks it again; then a count, and how often the rare paths
were taken. Exit code 1 when anything was broken. To look at one seed: `--start SEED --seeds 1 --trace FILE`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fluffy.sim.cluster import Result, simulate
from fluffy.sim.member import Stock
from fluffy.sim.rare import GROWING_PATHS, RARE_PATHS

PROGRESS_EVERY = 100


def results(seeds: range, jobs: int, stock: Stock | None = None, *, grows: bool = False) -> Iterator[Result]:
    """The result of each seed, in order; on `jobs` processors."""
    run = partial(simulate, stock=stock, grows=grows)
    if jobs == 1:
        yield from map(run, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(run, seeds, chunksize=4)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    seeds = range(options.start, options.start + options.seeds)
    stock: Stock | None = "transport" if options.transport else "journal" if options.journal else None
    rare = RARE_PATHS + (GROWING_PATHS if options.grows else ())
    began_s = time.monotonic()
    if options.trace is not None:
        with options.trace.open("w") as file:
            found = _report((simulate(seed, stock=stock, trace_file=file, grows=options.grows) for seed in seeds), rare)
    else:
        found = _report(results(seeds, options.jobs, stock, grows=options.grows), rare)
    print(f"{len(seeds)} seeds, {found} of them with violations, {time.monotonic() - began_s:.0f} s")
    return 1 if found else 0


def _report(found: Iterator[Result], rare: tuple[str, ...]) -> int:
    """Print violations as they come; gives the number of seeds that had any."""
    broken = 0
    counters: Counter[str] = Counter()
    acked = reads = events = 0
    simulated_s = 0.0
    for done, result in enumerate(found, start=1):
        for violation in result.violations:
            print(f"seed {result.seed}: {violation}", flush=True)
        broken += bool(result.violations)
        counters += result.counters
        acked += result.writes_acked
        reads += result.reads
        events += result.events
        simulated_s += result.simulated_s
        if done % PROGRESS_EVERY == 0:
            print(f"{done} seeds", file=sys.stderr, flush=True)
    print(f"{acked} acknowledged writes, {reads} reads, {events} events in {simulated_s:.0f} simulated seconds")
    print("rare paths: " + ", ".join(f"{name} {counters[name]}" for name in rare))
    return broken


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fluffy.sim.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes at once")
    parser.add_argument("--trace", type=Path, help="write every event here")
    parser.add_argument("--grows", action="store_true", help="machines join, vote, are removed and go meanwhile")
    stock = parser.add_mutually_exclusive_group()
    stock.add_argument("--transport", choices=["stock"], help="put the library's own message handling back")
    stock.add_argument("--journal", choices=["stock"], help="put the library's own journal back")
    return parser


if __name__ == "__main__":
    sys.exit(main())
