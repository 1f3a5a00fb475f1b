"""One synchronization, in two halves: `prepare` looks and plans and changes nothing, `carry_out` moves.

Between the halves a person may look at the plan, or say no to its deletions.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fluffy.base.errors import Conflict, FileNotFound, FluffyError, IsFile, IsFolder, LocalFileFailed
from fluffy.base.paths import parse_file_path, parse_path
from fluffy.client.api import AsyncFluffy
from fluffy.client.syncing import local_files
from fluffy.client.syncing.items import Base, LocalFile, LocalTree, Plan, RemoteTree, Report
from fluffy.client.syncing.looking import look
from fluffy.client.syncing.memory import SyncMemory
from fluffy.client.syncing.moving import LockFor, Mover, OnStep
from fluffy.client.syncing.plan import Compared, hashes_needed, plan_pull, plan_push, plan_sync

# Hashing is bound by the disk or by one core each; more threads than that only queue.
HASHERS_MAX = 4


class Way(enum.Enum):
    PUSH = "push"
    PULL = "pull"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class Task:
    """What to make the same: the file or folder `here` and its place `there`. `cluster`: its uuid."""

    here: Path
    there: str
    way: Way
    cluster: str
    delete: bool = False


@dataclass(slots=True)
class Prepared:
    """A plan and what it was made from. `hashed`: how many files had to be read for it."""

    task: Task
    plan: Plan
    same: int
    hashed: int
    skipped: dict[str, str] = field(default_factory=dict)
    failed: list[tuple[str, FluffyError]] = field(default_factory=list)
    seconds: float = 0.0


async def prepare(client: AsyncFluffy, memory: SyncMemory, task: Task) -> Prepared:
    """Look at both sides and plan. Raises when one side cannot be looked at, or is not what the other is."""
    began_s = time.monotonic()
    local, remote = await look(client, task.here, task.there)
    _check_kinds(task, local, remote)
    root = str(task.here)
    bases = await asyncio.to_thread(memory.bases_below, task.cluster, root, task.there)
    needed = hashes_needed(local, remote, bases)
    hashes = await asyncio.to_thread(memory.hashes_below, root, local.files)
    fresh = await _hash(task.here, {path: local.files[path] for path in needed if path not in hashes}, local)
    await asyncio.to_thread(memory.note_hashes, root, [(path, *rest) for path, rest in fresh.items()])
    hashes |= {path: found for path, (_, found, _) in fresh.items()}
    compared = Compared(local, remote, hashes, bases)
    match task.way:
        case Way.PUSH:
            plan = plan_push(compared, delete=task.delete)
        case Way.PULL:
            plan = plan_pull(compared, delete=task.delete)
        case Way.SYNC:
            plan = plan_sync(compared, delete=task.delete)
    await asyncio.to_thread(memory.tidy, root, needed)
    return Prepared(task, plan, len(plan.settled), len(fresh), {**remote.skipped, **local.skipped},
                    list(local.failed.items()), time.monotonic() - began_s)


def _check_kinds(task: Task, local: LocalTree, remote: RemoteTree) -> None:
    if not remote.is_there and task.way is Way.PULL:
        raise FileNotFound(f"there is nothing at {task.there}", path=task.there)
    if not local.is_there and (task.way is Way.PUSH or not remote.is_there):
        raise LocalFileFailed(f"there is no {task.here} on this machine", local=str(task.here))
    if "" in local.skipped:
        raise LocalFileFailed(f"{task.here} is {local.skipped['']}", local=str(task.here))
    if local.is_there and "" in local.files:
        parse_file_path(task.there)
    else:
        parse_path(task.there)
    if local.is_there and remote.is_there and ("" in local.files) != ("" in remote.files):
        if "" in local.files:
            raise IsFolder(f"{task.here} is a file, and {task.there} a folder", path=task.there)
        raise IsFile(f"{task.here} is a folder, and {task.there} a file", path=task.there)


Hashed = tuple[LocalFile, str, int]


async def _hash(root: Path, files: Mapping[str, LocalFile], local: LocalTree) -> dict[str, Hashed]:
    """Hash these files, several at once; one that cannot be read leaves `local.files` for `local.failed`."""
    found: dict[str, Hashed] = {}
    waiting = iter(files.items())  # shared: each file goes to one of the threads

    def work() -> None:
        for path, file in waiting:
            began_ns = time.time_ns()
            try:
                found[path] = (file, local_files.hash_of(root / path if path else root, file), began_ns)
            except LocalFileFailed as error:
                local.failed[path] = error
    if not files:
        return found
    await asyncio.gather(*(asyncio.to_thread(work) for _ in range(min(HASHERS_MAX, len(files)))))
    for path in local.failed:
        local.files.pop(path, None)
    return found


async def carry_out(client: AsyncFluffy, memory: SyncMemory, prepared: Prepared, state: Path,
                    *, on_step: OnStep | None = None, lock_for: LockFor | None = None) -> Report:
    """Do what the plan says. What is done is remembered also when this is cancelled or raises.

    `state`: the user's state folder, where local files are kept that would be lost otherwise. A report is given when
    every step was tried; failures are in it.
    """
    task, began_s = prepared.task, time.monotonic()
    aside = await asyncio.to_thread(local_files.new_aside_folder, state)
    mover = Mover(client, task.here, task.there, aside, on_step=on_step, lock_for=lock_for)
    report = mover.report
    report.same, report.hashed, report.skipped = prepared.same, prepared.hashed, prepared.skipped
    report.failed += prepared.failed
    report.failed += [(path, _conflict(reason, path)) for path, reason in prepared.plan.conflicts.items()]
    try:
        await mover.run(prepared.plan)
    finally:
        await asyncio.to_thread(_remember, memory, task, prepared.plan, mover)
        report.seconds = prepared.seconds + time.monotonic() - began_s
    return report


def _conflict(reason: str, path: str) -> FluffyError:
    return Conflict(reason, path=path)


def _remember(memory: SyncMemory, task: Task, plan: Plan, mover: Mover) -> None:
    known: dict[str, Base] = {**plan.settled, **mover.settled}
    memory.note_bases(task.cluster, str(task.here), task.there, known, [*plan.gone, *mover.gone])
    memory.note_hashes(str(task.here), mover.hashed)
