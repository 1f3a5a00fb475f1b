"""Chunk files of one node rot at random places: readers get right bytes always, a scrub finds and heals all of it.

Bytes are flipped in data and in records, files are cut or overwritten. Readers read on through that node all the time.
In the end every corrupted file was set aside once, every chunk has its copies, and the drill itself compares each chunk
file of the node with its name.

    python -m tests.faults.bit_rot --bad 200
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from fluffy.base.hashing import chunk_id_of
from fluffy.core.metadata import queries
from fluffy.wire.chunk_record import TAIL_BYTES
from tests.faults.bad_chunks import chunk_files, missing_copies
from tests.faults.drill import drill_main
from tests.faults.timed_reads import Readers, upload
from tests.support.cluster import Cluster
from tests.support.states import copy_state

FILE_BYTES = 150_000
CLUSTER = {"chunk_size": "64KiB", "cache_size": "0"}
HEAL_TIMEOUT_S = 120.0


def flip_data(path: Path, rng: random.Random) -> None:
    _flip(path, rng.randrange(60_000 if path.stat().st_size > 64_000 else 10_000))


def flip_record(path: Path, rng: random.Random) -> None:
    _flip(path, path.stat().st_size - 1 - rng.randrange(TAIL_BYTES))


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def overwrite(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(path.stat().st_size))


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x20]))


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (flip_data, flip_data, flip_record, cut, overwrite)


@dataclass(slots=True)
class Report:
    rotted: int = 0
    quarantined: int = 0
    found_by_scrub: int = 0
    reads: int = 0
    compared: int = 0
    scrub_s: list[float] = field(default_factory=list)
    healed_s: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [f"chunk files corrupted: {self.rotted}; set aside: {self.quarantined}, of which the scrub found "
                f"{self.found_by_scrub}, the rest readers",
                f"reads through the node meanwhile: {self.reads}, all right",
                f"the scrub took {max(self.scrub_s):.1f} s; all copies whole again {max(self.healed_s):.1f} s after it "
                f"was asked for; chunk files compared with their names afterwards: {self.compared}",
                f"problems: {len(self.problems)}", *self.problems[:10]]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.problems, self.problems[:10]
        assert self.quarantined == self.rotted, f"{self.rotted} corrupted, {self.quarantined} set aside"
        assert 0 < self.found_by_scrub <= self.rotted


async def run(cluster: Cluster, rounds: int, seed: int, bad: int = 200) -> Report:
    """The cluster is ready before and after."""
    report = Report()
    for number in range(rounds):
        await asyncio.to_thread(_round, cluster, random.Random(f"{seed}/{number}"), f"admin/rot{seed}-{number}", bad,
                                report)
    return report


def _round(cluster: Cluster, rng: random.Random, folder: str, bad: int, report: Report) -> None:
    node = rng.choice(cluster.names)
    made = upload(cluster, node, folder, bad // 2, FILE_BYTES, rng)
    cluster.wait_until(lambda: missing_copies(cluster, node) == 0, 30.0, "all copies of the new files")
    rotten = rng.sample(sorted(chunk_files(cluster, node)), bad)
    before, bad_before = _quarantined(cluster, node), _scrubbed(cluster, node)
    # What the drill corrupts is read again from the disk and not from what memory still holds.
    with Readers(cluster, [node], {"files": made}, rng.randrange(1 << 30), rest_s=0.1) as readers:
        for path in rotten:
            rng.choice(DAMAGES)(path, rng)
        report.rotted += bad
        time.sleep(0.5)
        asked_s = time.monotonic()
        status, _, answer = cluster.request(node, "POST", "/v1/admin/scrub", b"")
        assert status in (200, 202), (status, answer)
        report.scrub_s.append(cluster.wait_until(lambda: _is_scrubbed(cluster, node), HEAL_TIMEOUT_S, "the scrub ends"))
        cluster.wait_until(lambda: missing_copies(cluster, node) == 0 and all(path.exists() for path in rotten),
                           HEAL_TIMEOUT_S, "every copy is made again")
        report.healed_s.append(time.monotonic() - asked_s)
    for reads in readers.reads.values():
        report.reads += len(reads.taken)
        report.problems += reads.problems
    report.quarantined += _quarantined(cluster, node) - before
    report.found_by_scrub += _scrubbed(cluster, node) - bad_before
    _compare(cluster, node, report)


def _is_scrubbed(cluster: Cluster, node: str) -> bool:
    with closing(copy_state(cluster.node_dir(node))) as db:
        wishes = queries.scrub_wishes(db)
    return bool(wishes) and all(wish.done_ms >= wish.asked_ms for wish in wishes)


def _scrubbed(cluster: Cluster, node: str) -> int:
    cluster.wait_until(lambda: cluster.json(node, "/v1/status")["keeper"] is not None, 10.0, "the keeper's word")
    time.sleep(1.2)  # its word is of the last second
    return int(cluster.json(node, "/v1/status")["keeper"]["scrub"]["bad_since_start"])


def _quarantined(cluster: Cluster, node: str) -> int:
    return len(cluster.json(node, "/v1/admin/quarantine")["quarantine"])


def _compare(cluster: Cluster, node: str, report: Report) -> None:
    """Each chunk file's data, by the documented form, against its name; and the files against the catalog."""
    with closing(copy_state(cluster.node_dir(node))) as db:
        node_no = next(member.record.node_no for member in queries.members(db) if member.record.name == node)
        counted = {chunk_id.hex() for chunk_id in queries.chunks_of_node(db, node_no, None, 1_000_000)}
        lengths = {row[0].hex(): row[1] for row in db.execute("SELECT chunk_id, length FROM chunks")}
    files = {path.name: path for path in chunk_files(cluster, node)}
    if set(files) != counted:
        report.problems.append(f"{len(files)} chunk files at {node}, the catalog counts {len(counted)}")
    for name, path in files.items():
        report.compared += 1
        if chunk_id_of(memoryview(path.read_bytes()[:lengths.get(name, 0)])).hex() != name:
            report.problems.append(f"{name[:16]} at {node} is still not what its name says")


if __name__ == "__main__":
    drill_main(__doc__, run, rounds=1, cluster=CLUSTER,
               arguments={"bad": (int, 200, "chunk files that are corrupted")})
