"""What goes wrong, on real processes, cables, disks and clocks; each trouble has a beginning, a node, and an end.

A trouble that damages bytes (rot, torn files) always has the same victim in one run: a bad disk. Two bad disks at once
may hold the only copies of something, and no store survives that.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluffy.base.units import KIB
from tests.faults.ground import Ground
from tests.support import processes
from tests.support.cluster import Cluster
from tests.support.disks import chunk_files

# A dying disk; a healthy one here writes hundreds of MiB a second.
SLOW_BYTES_PER_S = 300 * KIB
# Locks of the load last an hour by log time, which follows the fastest clock.
CLOCK_JUMP_S = 600
FILES_HURT_MAX = 12
READY_TIMEOUT_S = 60.0
KINDS = ("log", "gateway", "keeper")


@dataclass(slots=True)
class Field:
    """The cluster, its ground, and who is in trouble now. `bad_disk`: the node whose disk lies."""

    cluster: Cluster
    ground: Ground
    rng: random.Random
    bad_disk: str
    busy: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)

    def free(self) -> list[str]:
        return [name for name in self.cluster.names if name not in self.busy]


Act = Callable[[Field, str], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Trouble:
    """`takes_out`: the node cannot be reckoned with meanwhile. `needs`: what the ground must have."""

    name: str
    begin: Act
    end: Act
    weight: int
    takes_out: bool
    needs: str = ""


async def _nothing(field: Field, node: str) -> None:
    """It has no end of its own."""


async def _kill(field: Field, node: str) -> None:
    await asyncio.to_thread(field.cluster.kill, node)
    field.down.add(node)


async def _kill_torn(field: Field, node: str) -> None:
    """Power fails in the middle of an append: half a record at the end of the log, half a chunk in `incoming`."""
    await _kill(field, node)
    segments = sorted((field.cluster.node_dir(node) / "log").glob("*"), key=lambda path: path.stat().st_mtime)
    files = [path for path in segments if path.is_file() and path.stat().st_size]
    if files:
        with files[-1].open("ab") as segment:
            segment.write(field.rng.randbytes(field.rng.randrange(1, 200)))


async def _start(field: Field, node: str) -> None:
    field.cluster.start(node)
    field.down.discard(node)
    for _ in range(int(READY_TIMEOUT_S)):
        if await asyncio.to_thread(field.cluster.is_ready, node):
            return
        await asyncio.sleep(1.0)
    # The others may be in trouble too; the calm at the end is where every node must be ready.


async def _kill_process(field: Field, node: str) -> None:
    kind = field.rng.choice(KINDS)
    pids = [pid for pid, its_kind in field.cluster.pids(node).items() if its_kind == kind]
    processes.signal_all(pids, signal.SIGKILL)


async def _pause(field: Field, node: str) -> None:
    await asyncio.to_thread(field.cluster.pause, node)


async def _resume(field: Field, node: str) -> None:
    await asyncio.to_thread(field.cluster.resume, node)


async def _cut(field: Field, node: str) -> None:
    assert field.ground.lan is not None
    field.ground.lan.cut(node)


async def _join(field: Field, node: str) -> None:
    assert field.ground.lan is not None
    field.ground.lan.join(node)


async def _deafen(field: Field, node: str) -> None:
    """It hears nothing of one other node, which hears it."""
    assert field.ground.lan is not None
    mouth = field.rng.choice([name for name in field.cluster.names if name != node])
    field.ground.lan.deafen(node, mouth)


async def _hear(field: Field, node: str) -> None:
    assert field.ground.lan is not None
    for mouth in field.cluster.names:
        field.ground.lan.hear(node, mouth)


async def _slow(field: Field, node: str) -> None:
    assert field.ground.disks is not None
    field.ground.disks.slow(node, field.cluster.pids(node), SLOW_BYTES_PER_S)


async def _hasten(field: Field, node: str) -> None:
    assert field.ground.disks is not None
    field.ground.disks.hasten(node)


async def _fill(field: Field, node: str) -> None:
    assert field.ground.disks is not None
    await asyncio.to_thread(field.ground.disks.fill, node)


async def _empty(field: Field, node: str) -> None:
    assert field.ground.disks is not None
    await asyncio.to_thread(field.ground.disks.empty, node)


async def _jump(field: Field, node: str) -> None:
    field.ground.clocks.jump(node, field.rng.uniform(-CLOCK_JUMP_S, CLOCK_JUMP_S))


async def _rot(field: Field, node: str) -> None:
    """Bytes change on the disk, and nothing says so."""
    for path in _some_chunks(field):
        try:
            with path.open("r+b") as file:
                file.seek(field.rng.randrange(max(1, path.stat().st_size)))
                byte = file.read(1)
                file.seek(-len(byte), 1)
                file.write(bytes(value ^ 0x5A for value in byte))
        except FileNotFoundError:
            continue  # dropped meanwhile


async def _tear(field: Field, node: str) -> None:
    """Files end too early, are empty, or are gone."""
    for path in _some_chunks(field):
        try:
            match field.rng.randrange(3):
                case 0:
                    path.unlink()
                case 1:
                    path.write_bytes(b"")
                case _:
                    with path.open("r+b") as file:
                        file.truncate(path.stat().st_size // 2)
        except FileNotFoundError:
            continue


def _some_chunks(field: Field) -> list[Path]:
    files = chunk_files(field.cluster.node_dir(field.bad_disk))
    return field.rng.sample(files, min(len(files), field.rng.randrange(1, FILES_HURT_MAX + 1)))


TROUBLES: tuple[Trouble, ...] = (
    Trouble("node killed", _kill, _start, 4, True),
    Trouble("node killed in the middle of an append", _kill_torn, _start, 2, True),
    Trouble("process killed", _kill_process, _nothing, 3, True),
    Trouble("node stopped (SIGSTOP)", _pause, _resume, 3, True),
    Trouble("network cut", _cut, _join, 3, True, "lan"),
    Trouble("network one way", _deafen, _hear, 3, True, "lan"),
    Trouble("disk slow", _slow, _hasten, 2, True, "slow"),
    Trouble("disk full", _fill, _empty, 2, True, "disks"),
    Trouble("bit rot", _rot, _nothing, 2, False),
    Trouble("torn files", _tear, _nothing, 2, False),
    Trouble("clock jumps", _jump, _nothing, 2, False),
)


def possible(ground: Ground) -> list[Trouble]:
    """The troubles that this machine can give."""
    there = {"": True, "lan": ground.lan is not None, "disks": ground.disks is not None, "slow": ground.can_slow}
    return [trouble for trouble in TROUBLES if there[trouble.needs]]
