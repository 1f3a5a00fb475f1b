"""What every drill's command line shares: a cluster in a temporary folder, arguments, a report, an exit code."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.support.cluster import Cluster


class DrillReport(Protocol):
    def lines(self) -> list[str]: ...
    def verify(self) -> None: ...


def drill_main(text: str | None, run: Callable[..., Awaitable[DrillReport]], *, rounds: int,
               cluster: Mapping[str, Any] | None = None) -> None:
    """Parse arguments, run the drill, print its report; exits 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="keep the cluster's folder here (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluffy-drill-") as temporary:
        folder = arguments.dir or Path(temporary)
        print(f"seed {arguments.seed}, {arguments.nodes} nodes in {folder}", flush=True)
        started_s = time.monotonic()
        with Cluster(folder, nodes=arguments.nodes, cluster=cluster) as drilled:
            drilled.start_ready()
            report = asyncio.run(_run(run, drilled, arguments))
        print("\n".join(report.lines()))
        print(f"took {time.monotonic() - started_s:.0f} s")
        try:
            report.verify()
        except AssertionError as error:
            print(f"BROKEN: {error}")
            sys.exit(1)
    print("promises kept")


async def _run(run: Callable[..., Awaitable[DrillReport]], cluster: Cluster,
               arguments: argparse.Namespace) -> DrillReport:
    return await run(cluster, rounds=arguments.rounds, seed=arguments.seed)
