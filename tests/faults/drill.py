"""What every drill's command line shares: a cluster in a temporary folder, arguments, a report, an exit code."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from tests.support.cluster import Cluster


class DrillReport(Protocol):
    def lines(self) -> list[str]: ...

    def verify(self, slack: float = 1.0) -> None:
        """AssertionError when a promise was broken. `slack` stretches promises about time, for busy machines."""


def judge(report: DrillReport) -> None:
    """The last line of every drill; exits 1 when a promise was broken."""
    try:
        report.verify()
    except AssertionError as error:
        print(f"BROKEN: {error}")
        sys.exit(1)
    print("promises kept")


def drill_main(text: str | None, run: Callable[..., Awaitable[DrillReport]], *, rounds: int, nodes: int = 3,
               cluster: Mapping[str, Any] | None = None,
               arguments: Mapping[str, tuple[Callable[[str], Any], Any, str]] | None = None,
               env: Mapping[str, str] | None = None,
               around: Callable[[Cluster], AbstractContextManager[object]] = nullcontext) -> None:
    """Parse arguments, run the drill, print its report; exits 1 when a promise was broken.

    `env`: of the nodes' processes. `arguments`: further ones of the drill by name, each with type, default and help.
    `around`: what must stand before the nodes start and until they have ended.
    """
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--nodes", type=int, default=nodes)
    parser.add_argument("--dir", type=Path, help="keep the cluster's folder here (default: a temporary one)")
    extra = dict(arguments or {})
    for name, (kind, default, meaning) in extra.items():
        parser.add_argument(f"--{name}", type=kind, default=default, help=meaning)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluffy-drill-") as temporary:
        folder = given.dir or Path(temporary)
        print(f"seed {given.seed}, {given.nodes} nodes in {folder}", flush=True)
        started_s = time.monotonic()
        drilled = Cluster(folder, nodes=given.nodes, cluster=cluster, env=env)
        with around(drilled), drilled:
            drilled.start_ready()
            report = asyncio.run(_run(run, drilled, given, tuple(name.replace("-", "_") for name in extra)))
        print("\n".join(report.lines()))
        print(f"took {time.monotonic() - started_s:.0f} s")
    judge(report)


async def _run(run: Callable[..., Awaitable[DrillReport]], cluster: Cluster, given: argparse.Namespace,
               extra: tuple[str, ...]) -> DrillReport:
    return await run(cluster, rounds=given.rounds, seed=given.seed, **{name: getattr(given, name) for name in extra})
