"""`make bench`: every promised figure beside its reference, as a table and as JSON.

    python -m benchmarks [--rounds 5] [--only log|large|small|s3] [--json FILE] [--compare] [--write-baseline]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import figures_http, figures_log, figures_s3
from benchmarks.quiet import ATTEMPTS_FACTOR, QuietRounds
from benchmarks.report import Figure, compare, table, write_baseline
from tests.support.cluster import Cluster

BASELINE = Path(__file__).parent / "baseline.json"
GROUPS = ("log", "small", "large", "s3")
# Three copies of what a round puts: purged bytes stay on the disks for an hour. Of S3: eight objects through two doors.
S3_ROUND_BYTES = 3 * 2 * 8 * figures_s3.OBJECT_BYTES
# What a node keeps free of a disk, with the small files and the reference's.
FREE_SHARE, OTHER_BYTES = 0.06, 8 << 30


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(arguments: argparse.Namespace, folder: Path, rounds: QuietRounds) -> list[Figure]:
    """All asked groups on one fresh cluster with the product's own settings."""
    figures: list[Figure] = []
    groups = arguments.only or GROUPS
    with Cluster(folder / "cluster", cluster={"repair": {"mode": "balanced", "down_after": "10s", "grace": "10m"}},
                 ) as cluster:
        cluster.start_ready()
        if "log" in groups:
            figures += figures_log.commits(cluster, folder, rounds, arguments.seconds, say)
        if "small" in groups:
            figures += figures_http.small(cluster, rounds, arguments.seconds, say)
        if "large" in groups:
            figures += figures_http.bulk(cluster, folder, rounds, arguments.mib << 20, say)
        if "s3" in groups:
            figures += figures_s3.objects(cluster, rounds, say)
        cluster.stop()
    return figures


def missing_bytes(folder: Path, groups: Sequence[str], rounds: int, large_bytes: int) -> int:
    """How much more room a run may need there than there is, when every round must be repeated."""
    each = ("large" in groups) * 3 * large_bytes + ("s3" in groups) * S3_ROUND_BYTES
    disk = shutil.disk_usage(folder)
    return int(ATTEMPTS_FACTOR * rounds * each + OTHER_BYTES + FREE_SHARE * disk.total) - disk.free


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="each figure is the median of so many")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement of small requests")
    parser.add_argument("--mib", type=int, default=1024, help="size of the large file")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds to wait for a quiet machine, each round")
    parser.add_argument("--only", action="append", choices=GROUPS)
    parser.add_argument("--json", type=Path, help="write all rounds there")
    parser.add_argument("--compare", action="store_true", help="fail on a regression against baseline.json")
    parser.add_argument("--tolerance", type=float, default=0.3, help="how much worse a ratio may be (0.3: 30 %%)")
    parser.add_argument("--write-baseline", action="store_true")
    parser.add_argument("--dir", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    missing = missing_bytes(arguments.dir or Path(tempfile.gettempdir()), arguments.only or GROUPS, arguments.rounds,
                            arguments.mib << 20)
    if missing > 0:
        say(f"if many rounds are repeated, {missing / (1 << 30):.0f} GiB of room will lack: choose another disk with "
            "--dir, a smaller --mib, or fewer --rounds")
    started_s = time.monotonic()
    rounds = QuietRounds(arguments.rounds, arguments.patience, say)
    with tempfile.TemporaryDirectory(prefix="fluffy-bench-", dir=arguments.dir) as folder:
        figures = measure(arguments, Path(folder), rounds)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {arguments.rounds} rounds, "
          f"{time.monotonic() - started_s:.0f} s; {rounds.summary()}\n")
    print(table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps({figure.name: figure.as_json() for figure in figures}, indent=2) + "\n")
    if arguments.write_baseline:
        write_baseline(figures, BASELINE)
    if arguments.compare and not compare(figures, BASELINE, arguments.tolerance, print):
        sys.exit(1)


if __name__ == "__main__":
    main()
