"""A backup taken apart into the steps of a rebuild; the same file gives the same steps, so a rebuild can go on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

from fluffy.base.units import KIB
from fluffy.core.metadata.rebuilt_tables import REBUILT

# A command of the log has at most 1 MiB; the largest rows (a version with 256 KiB of inline bytes) still fit on top.
STEP_BYTES = 512 * KIB
# Applied in one go: some 20 ms.
STEP_ROWS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Step:
    """`rows`: packed as RebuildRows wants them."""

    number: int
    table: str
    rows: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Ending:
    """What EndRebuild says, from the backup's own counters."""

    seq: int
    last_no: int
    clock_ms: int
    files: int
    file_bytes: int


def steps_of(db: sqlite3.Connection) -> Iterator[Step]:
    """All steps in order. Memory: one step."""
    number = 0
    packer = msgpack.Packer()
    for table in REBUILT:
        packed: list[bytes] = []
        size = 0
        for row in db.execute(f"SELECT * FROM {table} NOT INDEXED"):
            one: bytes = packer.pack(row)
            packed.append(one)
            size += len(one)
            if size >= STEP_BYTES or len(packed) >= STEP_ROWS_MAX:
                yield _step(packer, number, table, packed)
                number += 1
                packed, size = [], 0
        if packed:
            yield _step(packer, number, table, packed)
            number += 1


def _step(packer: Any, number: int, table: str, packed: list[bytes]) -> Step:
    head: bytes = packer.pack_array_header(len(packed))
    return Step(number, table, head + b"".join(packed), len(packed))


def ending_of(db: sqlite3.Connection) -> Ending:
    return Ending(*db.execute("SELECT seq, last_no, clock_ms, files, file_bytes FROM state").fetchone())
