"""Disks that fill up: one, then all. Files are placed elsewhere, then refused with a sentence; nothing is harmed.

Every node's folder is a small disk of its own (an ext4 in a file), so this drill must be allowed to mount (root).

    python -m tests.faults.disk_full

First another program takes all the room of one disk: uploads go on with all their copies, on the other nodes. Then
there is room again, and uploads fill all disks: they are refused with 507, small files and deletes still work. All that
was stored comes back whole through every node; no database is damaged; and when room is made, uploads go on.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field

from fluffy.base.units import MIB
from tests.faults.calm import Calm, check_copies
from tests.faults.drill import drill_main
from tests.support.cluster import Cluster
from tests.support.disks import Disks, empty, fill

NODES = 4
CLUSTER = {"replication": 3, "write_quorum": 2, "chunk_size": "2MiB"}
DISK_BYTES = 288 * MIB
FILE_BYTES = 12 * MIB
SMALL_BYTES = 3 * MIB
WHILE_ONE_IS_FULL = 5
FILES_MAX = 80
READY_S = 60.0


@dataclass(slots=True)
class Report:
    one_full: str = ""
    placed: dict[str, int] = field(default_factory=dict)
    through_the_full_one: list[int] = field(default_factory=list)
    stored: int = 0
    refusals: set[str] = field(default_factory=set)
    deleted: int = 0
    copies: int = 0
    again: bool = False
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [
            f"disk of {self.one_full} full: copies of {WHILE_ONE_IS_FULL} new files went to {self.placed}; asked "
            f"through the full node itself: {self.through_the_full_one}",
            f"all disks of {DISK_BYTES >> 20} MiB full: {self.stored} files of {FILE_BYTES >> 20} MiB stored, then "
            f"refused with: {sorted(self.refusals)}",
            f"deleted meanwhile: {self.deleted}; copies looked at on their disks: {self.copies}; room made, uploads go "
            f"on: {self.again}", f"problems: {len(self.problems)}", *self.problems]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems
        assert self.one_full not in self.placed and len(self.placed) == NODES - 1, self.placed
        assert self.stored and self.refusals and self.deleted and self.again, "the disks did not fill up"


class SmallDisks(Disks):
    """One for each node of the drill."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__({name: cluster.node_dir(name) for name in cluster.names}, DISK_BYTES, cluster.folder)


async def run(cluster: Cluster, rounds: int, seed: int) -> Report:
    report = Report()
    bodies: dict[str, bytes] = {}
    await asyncio.to_thread(_fill_one, cluster, bodies, report)
    await asyncio.to_thread(_fill_all, cluster, bodies, report)
    await asyncio.to_thread(_look_at_everything, cluster, bodies, report)
    await asyncio.to_thread(_make_room, cluster, report)
    return report


def _put(cluster: Cluster, node: str, name: str, size: int, bodies: dict[str, bytes]) -> tuple[int, str]:
    path, body = f"/v1/files/admin/full/{name}", os.urandom(size)
    status, _, answer = cluster.request(node, "PUT", path, body, timeout_s=60.0)
    if status == 201:
        bodies[path] = body
        return status, ""
    if cluster.request(node, "GET", path)[0] != 404:
        return status, f"{path} was refused, but something is there"
    return status, json.loads(answer)["error"]["message"]


def _fill_one(cluster: Cluster, bodies: dict[str, bytes], report: Report) -> None:
    """Another program takes everything; the node may even lose its voice."""
    full, others = cluster.names[-1], cluster.names[:-1]
    report.one_full = full
    fill(cluster.node_dir(full))
    for number in range(WHILE_ONE_IS_FULL):
        node = others[number % len(others)]
        status, said = _put(cluster, node, f"one{number}", SMALL_BYTES, bodies)
        if status != 201:
            report.problems.append(f"while only {full} is full, {node} refuses: {status} {said}")
            continue
        for chunk in cluster.json(node, f"/v1/info/admin/full/one{number}")["chunks"]:
            for holder in chunk["replicas"]:
                report.placed[holder] = report.placed.get(holder, 0) + 1
    try:
        report.through_the_full_one.append(_put(cluster, full, "one-through", SMALL_BYTES, bodies)[0])
    except OSError:
        report.through_the_full_one.append(0)
    empty(cluster.node_dir(full))
    cluster.wait_until(lambda: cluster.is_ready(full), READY_S, f"{full} is ready again when it has room")


def _fill_all(cluster: Cluster, bodies: dict[str, bytes], report: Report) -> None:
    """Uploads themselves fill the disks; the reserve stays for the log and the names."""
    node = cluster.names[0]
    for number in range(FILES_MAX):
        status, said = _put(cluster, cluster.names[number % NODES], f"f{number}", FILE_BYTES, bodies)
        if status == 201:
            report.stored += 1
            continue
        report.refusals.add(f"{status} {said}")
        if status != 507 or "room" not in said:
            report.problems.append(f"refused with {status}: {said}")
        break
    status, said = _put(cluster, node, "small", 1000, bodies)
    if status != 201:
        report.problems.append(f"a small file while the disks are full of chunks: {status} {said}")
    for path in sorted(bodies)[:3]:
        status = cluster.request(node, "DELETE", f"{path}?purge=1")[0]
        if status == 200:
            del bodies[path]
            report.deleted += 1
        else:
            report.problems.append(f"DELETE {path} while the disks are full: {status}")


def _look_at_everything(cluster: Cluster, bodies: dict[str, bytes], report: Report) -> None:
    for path, body in bodies.items():
        for name in cluster.names:
            status, _, got = cluster.request(name, "GET", path, timeout_s=60.0)
            if status != 200 or got != body:
                report.problems.append(f"{path} through {name}: {status}")
    calm = Calm()
    check_copies(cluster, calm)
    report.copies = calm.copies_seen
    report.problems += calm.copies_bad
    for name in cluster.names:
        with closing(sqlite3.connect(f"file:{cluster.node_dir(name) / 'meta.db'}?mode=ro", uri=True)) as db:
            [[said]] = db.execute("PRAGMA quick_check(1)").fetchall()
        if said != "ok":
            report.problems.append(f"the database of {name}: {said}")


def _make_room(cluster: Cluster, report: Report) -> None:
    """What was purged frees its room on the disks (the drill's nodes wait seconds for that, not an hour)."""
    kept: dict[str, bytes] = {}
    cluster.wait_until(lambda: _put(cluster, cluster.names[1], "again", SMALL_BYTES, kept)[0] == 201, READY_S,
                       "uploads go on after a purge")
    report.again = True


# Room comes back as soon as nobody needs a chunk, not an hour later.
ENV = {"FLUFFY_KEEPER_OPTIONS": "--forget-grace 1s --tidy-every 1s"}

if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, nodes=NODES, cluster=CLUSTER, around=SmallDisks, env=ENV)
