"""A million files in the metadata: put there through the log, then looked at.

Measures how long a node takes from its start to /readyz, the memory of its processes, a page of 1,000 entries, and a
lookup (in the reader, and over HTTP with and without the barrier of a strong read).

    python -m benchmarks.load_million [--files 1000000] [--dir FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop

from benchmarks import http_load
from benchmarks.stage import address
from fluffy.base.paths import parse_path
from fluffy.core.metadata import queries
from fluffy.drivers.meta_reader import MetaReader
from tests.support.cluster import Cluster
from tests.support.loader import FILES_PER_FOLDER, file_path, load_files
from tests.support.processes import PAGE_BYTES, usage

MIB = 1 << 20
FOLDER = "admin/million"
PROBES = 200
GOALS = {"restart_s": 5.0, "log_mib": 250.0, "gateway_mib": 250.0, "page_ms": 20.0, "lookup_ms": 1.0}
LOAD_TIMEOUT_S = 120.0


@dataclass(slots=True)
class Findings:
    """Medians, but the worst of restarts and of memory (after loading, and after restart and probes). ms, s, MiB."""

    files: int
    load_s: float = 0.0
    database_mib: float = 0.0
    restart_s: float = 0.0
    cold_restart_s: float = 0.0
    memory_mib: dict[str, float] = field(default_factory=dict)
    own_memory_mib: dict[str, float] = field(default_factory=dict)
    page_ms: float = 0.0
    lookup_ms: float = 0.0
    get_strong_ms: float = 0.0
    get_local_ms: float = 0.0

    def lines(self) -> list[str]:
        return [
            f"{self.files:,} files through the log in {self.load_s:.0f} s ({self.files / self.load_s:,.0f}/s); "
            f"meta.db {self.database_mib:,.0f} MiB",
            f"from start to /readyz: one node {self.restart_s:.2f} s (goal < {GOALS['restart_s']}), "
            f"all three at once {self.cold_restart_s:.2f} s",
            f"memory, RSS: {_mib(self.memory_mib)}; of that not files of the page cache: {_mib(self.own_memory_mib)} "
            f"(goals: log < {GOALS['log_mib']:.0f}, gateway < {GOALS['gateway_mib']:.0f})",
            f"a page of 1,000 entries over HTTP: {self.page_ms:.1f} ms (goal < {GOALS['page_ms']:.0f})",
            f"a lookup: {self.lookup_ms * 1000:.0f} us in the reader (goal < 1 ms); GET over HTTP "
            f"{self.get_local_ms:.2f} ms local, {self.get_strong_ms:.2f} ms strong"]

    def missed(self) -> list[str]:
        found = {"restart_s": self.restart_s, "log_mib": self.memory_mib["log"],
                 "gateway_mib": self.memory_mib["gateway"], "page_ms": self.page_ms, "lookup_ms": self.lookup_ms}
        return [f"{name}: {value:.2f}, goal {GOALS[name]}" for name, value in found.items() if value > GOALS[name]]


def _mib(sizes: dict[str, float]) -> str:
    return ", ".join(f"{kind} {size:.0f} MiB" for kind, size in sorted(sizes.items()))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(cluster: Cluster, files: int) -> Findings:
    findings = Findings(files)
    leader = cluster.leader()
    started_s = time.monotonic()
    uvloop.run(load_files(cluster.node_dir(leader) / "run" / "log.sock", files, FOLDER, say))
    findings.load_s = time.monotonic() - started_s
    cluster.wait_until(lambda: _behind(cluster) == 0, LOAD_TIMEOUT_S, "all nodes have applied everything")
    findings.database_mib = (cluster.node_dir(leader) / "meta.db").stat().st_size / MIB
    _weigh(cluster, findings)
    findings.restart_s = max(_restart(cluster, name) for name in cluster.names)
    cluster.stop()
    started_s = time.monotonic()
    cluster.start_ready(timeout_s=LOAD_TIMEOUT_S)
    findings.cold_restart_s = time.monotonic() - started_s
    for name in cluster.names:
        _probe(cluster, name, files, findings)
    _weigh(cluster, findings)
    return findings


def _weigh(cluster: Cluster, findings: Findings) -> None:
    """Note the memory of all processes where it is more than what was seen before."""
    rss, own = findings.memory_mib, findings.own_memory_mib
    for pid, kind in ((pid, kind) for name in cluster.names for pid, kind in cluster.pids(name).items()):
        rss[kind] = max(rss.get(kind, 0.0), usage(pid).rss_bytes / MIB)
        own[kind] = max(own.get(kind, 0.0), _own_bytes(pid) / MIB)


def _behind(cluster: Cluster) -> int:
    seqs = [int(cluster.json(name, "/v1/status")["seq"]) for name in cluster.names]
    return max(seqs) - min(seqs)


def _restart(cluster: Cluster, name: str) -> float:
    """Seconds from the start of a killed node to its /readyz."""
    cluster.kill(name)
    started_s = time.monotonic()
    cluster.start_ready(name, timeout_s=LOAD_TIMEOUT_S)
    took_s = time.monotonic() - started_s
    say(f"{name} ready after {took_s:.2f} s")
    return took_s


def _own_bytes(pid: int) -> int:
    """RSS without the pages of files (statm: resident minus shared): mapped code and database belong to the cache."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * PAGE_BYTES


def _probe(cluster: Cluster, name: str, files: int, findings: Findings) -> None:
    server, token = address(cluster, name), cluster.token
    paths = [file_path(number * 7_919 % files, FOLDER) for number in range(PROBES)]
    folders = [f"{FOLDER}/d{number:04}" for number in range(max(1, files // FILES_PER_FOLDER))]

    def http(requests: list[bytes]) -> float:
        result = http_load.drive([server], iter(requests), 1, 60.0)
        if result.errors:
            raise RuntimeError(f"a probe failed: {result.errors[0]!r}")
        return result.percentile_ms(0.5)

    local = token + "\r\nFluffy-Consistency: local"
    pages = [http_load.request_bytes("GET", "x", f"/v1/dirs/{folder}?limit=1000", token) for folder in folders]
    findings.page_ms = max(findings.page_ms, http(pages))
    findings.get_strong_ms = max(findings.get_strong_ms, http(
        [http_load.request_bytes("GET", "x", f"/v1/files/{path}", token) for path in paths]))
    findings.get_local_ms = max(findings.get_local_ms, http(
        [http_load.request_bytes("GET", "x", f"/v1/files/{path}", local) for path in paths]))
    findings.lookup_ms = max(findings.lookup_ms, _lookups(cluster.node_dir(name), paths))


def _lookups(node_dir: Path, paths: list[str]) -> float:
    reader = MetaReader(node_dir)
    times_ms = [_timed(lambda path=path: reader.read(lambda db: queries.file_head(db, parse_path(path))))
                for path in paths]
    reader.close()
    return statistics.median(times_ms)


def _timed(call: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    if call() is None:
        raise RuntimeError("a file that was loaded is not there")
    return (time.perf_counter() - began_s) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluffy-million-", dir=arguments.dir) as folder, \
            Cluster(Path(folder)) as cluster:
        cluster.start_ready()
        findings = measure(cluster, arguments.files)
        cluster.stop()
    print("\n".join(findings.lines()))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(findings), indent=2) + "\n")
    missed = findings.missed()
    print("all goals met" if not missed else "MISSED " + "; ".join(missed))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
