"""Sending a work file to the cluster, and asking the nodes what they hold. What is shared by both ways of restoring."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from fluffy.base.errors import FluffyError
from fluffy.base.ids import ChunkId
from fluffy.client.verbs.disaster_steps import NodeDoor, Rebuilder
from fluffy.core.metadata.rebuild_steps import ending_of, steps_of

ASKED_AT_ONCE = 1_000
# With every byte read; see the server's own bound.
READ_AT_ONCE = 16

OnProgress = Callable[[str, int, int | None], None]
"""(what is being done, how much is done, of how much)."""


async def send(cluster: Rebuilder, db: sqlite3.Connection, source: str, on_progress: OnProgress) -> int:
    """Fill the cluster; goes on where an interrupted one was. Returns how many steps there were."""
    total = sum(1 for _ in steps_of(db))
    rebuild_id, next_step = await cluster.begin_rebuild(source)
    for step in steps_of(db):
        if step.number >= next_step:
            await cluster.rebuild_step(rebuild_id, step)
        on_progress("restoring", step.number + 1, total)
    await cluster.end_rebuild(rebuild_id, total, ending_of(db))
    return total


async def find_chunks(cluster: Rebuilder, doors: Sequence[NodeDoor],
                      chunks: Callable[[], Iterable[tuple[ChunkId, int]]], total: int, *, reads: bool,
                      note: Callable[[NodeDoor, Sequence[ChunkId]], None],
                      on_progress: OnProgress) -> dict[str, FluffyError]:
    """Ask every node for all chunks, all nodes at once; `note` gets what each has. Returns who did not answer."""
    silent: dict[str, FluffyError] = {}
    done = 0

    async def ask(door: NodeDoor) -> None:
        nonlocal done
        ids = iter([chunk_id for chunk_id, _ in chunks()])
        try:
            for batch in _batches(ids, READ_AT_ONCE if reads else ASKED_AT_ONCE):
                note(door, await cluster.chunks_on(door, batch, reads=reads))
                done += len(batch)
                on_progress("looking for chunks", done, total * len(doors))
        except FluffyError as error:
            silent[door.name] = error

    async with asyncio.TaskGroup() as group:
        for door in doors:
            group.create_task(ask(door))
    return silent


def _batches(ids: Iterator[ChunkId], size: int) -> Iterator[list[ChunkId]]:
    while batch := list(islice(ids, size)):
        yield batch
