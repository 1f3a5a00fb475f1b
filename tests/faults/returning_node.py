"""A node is away while files are deleted and updated; within a minute of its return its disk is what the catalog says.

From its first answer on, the returned node is asked for files that were deleted (never served again) and updated (only
the new bytes).

    python -m tests.faults.returning_node --files 1000
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

from fluffy.core.metadata import queries
from tests.faults.bad_chunks import chunk_files, missing_copies
from tests.faults.drill import drill_main
from tests.faults.timed_reads import put
from tests.support.cluster import Cluster
from tests.support.states import copy_state

FILE_BYTES = 20_000
# Nothing is kept of what is deleted and replaced: its chunks must go.
CLUSTER = {"trash_days": 0, "versions_max": 1, "repair": {"mode": "fast", "down_after": "4s", "grace": "1h"}}
KEEPER_OPTIONS = "--forget-grace 1s --tidy-every 1s"
WITHIN_S = 60.0
CLIENTS = 8


@dataclass(slots=True)
class Report:
    away_changes: int = 0
    exact_s: list[float] = field(default_factory=list)
    before_files: int = 0
    after_files: int = 0
    asked: int = 0
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [f"deletes and updates while the node was away: {self.away_changes}",
                f"chunk files on its disk: {self.before_files} when it left, {self.after_files} at the end; exactly "
                f"what the catalog says after: worst {max(self.exact_s):.1f} s from its start",
                f"requests for deleted and updated files to the returned node: {self.asked}",
                f"problems: {len(self.problems)}", *self.problems[:10]]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems[:10]
        assert max(self.exact_s) <= slack * WITHIN_S, self.exact_s


async def run(cluster: Cluster, rounds: int, seed: int, files: int = 1_000) -> Report:
    """The cluster is ready before and after. `files`: deleted, and as many updated."""
    report = Report()
    for number in range(rounds):
        await asyncio.to_thread(_round, cluster, random.Random(f"{seed}/{number}"), f"admin/away{seed}-{number}", files,
                                report)
    return report


def _round(cluster: Cluster, rng: random.Random, folder: str, files: int, report: Report) -> None:
    leader = cluster.leader()
    away = rng.choice([name for name in cluster.names if name != leader])
    others = [name for name in cluster.names if name != away]
    doomed = [f"{folder}/doomed{number}" for number in range(files)]
    updated = [f"{folder}/updated{number}" for number in range(files)]
    kept = [f"{folder}/kept{number}" for number in range(files // 10)]
    _for_all([*doomed, *updated, *kept], lambda path, number: put(
        cluster, cluster.names[number % 3], path, _body(path, "old")))
    cluster.wait_until(lambda: missing_copies(cluster, leader) == 0, 60.0, "all copies of the files")
    report.before_files = len(chunk_files(cluster, away))
    cluster.kill(away)
    _for_all(doomed, lambda path, number: _delete(cluster, others[number % 2], path))
    _for_all(updated, lambda path, number: put(cluster, others[number % 2], path, _body(path, "new")))
    report.away_changes += 2 * files
    started_s = time.monotonic()
    cluster.start(away)
    with _Asking(cluster, away, doomed, updated, rng.randrange(1 << 30), report):
        cluster.wait_until(lambda: _is_exact(cluster, away, leader), 2 * WITHIN_S, "the disk is what the catalog says")
        report.exact_s.append(time.monotonic() - started_s)
    report.after_files = len(chunk_files(cluster, away))
    for path in rng.sample(kept, min(20, len(kept))):
        if cluster.request(away, "GET", f"/v1/files/{path}")[2] != _body(path, "old"):
            report.problems.append(f"{path} is not what it was")


def _for_all(paths: Sequence[str], act: Callable[[str, int], None]) -> None:
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(act, paths, range(len(paths))))


def _body(path: str, word: str) -> bytes:
    head = f"{path} {word} ".encode()
    return head + random.Random(head).randbytes(FILE_BYTES - len(head))


def _delete(cluster: Cluster, node: str, path: str) -> None:
    status, _, answer = cluster.request(node, "DELETE", f"/v1/files/{path}", timeout_s=30.0)
    assert status in (200, 204), (status, answer)


def _is_exact(cluster: Cluster, node: str, leader: str) -> bool:
    """The node's chunk files are those that the catalog counts there, and every chunk of a file has all its copies."""
    with closing(copy_state(cluster.node_dir(leader))) as db:
        node_no = next(member.record.node_no for member in queries.members(db) if member.record.name == node)
        counted = {chunk_id.hex() for chunk_id in queries.chunks_of_node(db, node_no, None, 1_000_000)}
        missing = queries.usage(db).missing_chunks
        (unreferenced,) = db.execute("SELECT count(*) FROM chunks WHERE refs = 0 AND copies > 0").fetchone()
    return missing == 0 and unreferenced == 0 and {path.name for path in chunk_files(cluster, node)} == counted


class _Asking:
    """A client that asks the returned node, from its first answer on, for what must be gone or new."""

    def __init__(self, cluster: Cluster, node: str, doomed: list[str], updated: list[str], seed: int,
                 report: Report) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(cluster, node, doomed, updated, seed, report))

    def __enter__(self) -> _Asking:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(30.0)

    def _run(self, cluster: Cluster, node: str, doomed: list[str], updated: list[str], seed: int,
             report: Report) -> None:
        rng = random.Random(seed)
        while not self._stop.wait(0.002):
            path, gone = (rng.choice(doomed), True) if rng.random() < 0.5 else (rng.choice(updated), False)
            try:
                status, headers, body = cluster.request(node, "GET", f"/v1/files/{path}", timeout_s=10.0)
            except OSError:
                continue  # not up yet
            if status >= 500 or headers.get("fluffy-stale") == "true":
                continue
            report.asked += 1
            if gone and status != 404:
                report.problems.append(f"{path} was deleted and answers {status}")
            if not gone and (status != 200 or body != _body(path, "new")):
                report.problems.append(f"{path} was updated and answers {status} with "
                                       f"{'old' if body == _body(path, 'old') else 'other'} bytes")


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, cluster=CLUSTER, env={"FLUFFY_KEEPER_OPTIONS": KEEPER_OPTIONS},
               arguments={"files": (int, 1_000, "files that are deleted, and as many that are updated")})
