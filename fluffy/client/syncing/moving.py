"""Carry out a plan: many small files at once, few large ones, each step refusing what the plan did not foresee.

A step that is refused for good is noted and does not stop the others; when the cluster is out of reach, the rest is not
tried and the error is raised. What is done is remembered either way, so the next run has only the rest to do.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from blake3 import blake3

from fluffy.base.errors import FluffyError
from fluffy.base.hashing import etag_of
from fluffy.base.units import MIB
from fluffy.client.api import AsyncFluffy
from fluffy.client.retry import is_final
from fluffy.client.sources import local_failure
from fluffy.client.syncing import local_files
from fluffy.client.syncing.items import Act, Base, LocalFile, Phase, Plan, RemoteFile, Report, Step, marks_of

# Up to here a file is read, sent, got and written in one piece.
SMALL_BYTES = 1 * MIB
# A commit costs the cluster one round and one sync, which all that wait together share; half of what one door takes.
SMALL_AT_ONCE_MAX = 32
# Each of these may use several connections and buffers of its own.
LARGE_AT_ONCE_MAX = 4

OnStep = Callable[[str, int], None]
"""Called on the client's loop with (path, bytes moved) of each step that is done."""

LockFor = Callable[[str], str | None]
"""The token of the lock under which the remote path is changed; None: there is none."""


class Mover:
    """One run over one plan. `settled`, `gone`, `hashed`: what is to be remembered, also when the run breaks off."""

    def __init__(self, client: AsyncFluffy, here: Path, there: str, aside: Path, *, on_step: OnStep | None = None,
                 lock_for: LockFor | None = None) -> None:
        self.report = Report()
        self.settled: dict[str, Base] = {}
        self.gone: list[str] = []
        self.hashed: list[tuple[str, LocalFile, str, int]] = []
        self._client = client
        self._here = here
        self._there = there
        self._aside = aside
        self._on_step = on_step
        self._lock_for = lock_for
        self._written: list[Path] = []
        self._small = asyncio.Semaphore(SMALL_AT_ONCE_MAX)
        self._large = asyncio.Semaphore(LARGE_AT_ONCE_MAX)

    async def run(self, plan: Plan) -> None:
        """All phases, one after the other."""
        try:
            for phase in Phase:
                steps = [step for step in plan.steps if step.phase is phase]
                if phase in (Phase.CLEAR_FOLDERS, Phase.REMOVE_FOLDERS):
                    for step in steps:
                        await self._do(step)
                else:
                    await self._do_all(steps)
        finally:
            if self._written:
                await asyncio.to_thread(local_files.sync_files, self._written)

    async def _do_all(self, steps: Iterable[Step]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for step in steps:
                    slots = self._small if step.size <= SMALL_BYTES else self._large
                    await slots.acquire()
                    group.create_task(self._do(step, slots))
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None

    async def _do(self, step: Step, slots: asyncio.Semaphore | None = None) -> None:
        try:
            await self._act(step)
            if self._on_step is not None:
                self._on_step(step.path, step.size)
        except FluffyError as error:
            if not is_final(error):
                raise
            self.report.failed.append((step.path, error))
        finally:
            if slots is not None:
                slots.release()

    async def _act(self, step: Step) -> None:
        match step.act:
            case Act.SEND:
                await self._send(step)
            case Act.FETCH:
                await self._fetch(step)
            case Act.MARK_THERE | Act.MARK_HERE:
                await self._mark(step)
            case Act.DELETE_THERE | Act.DELETE_HERE:
                await self._delete(step)
            case _:
                await self._folder(step)

    def _local(self, path: str) -> Path:
        return self._here / path if path else self._here

    def _remote(self, path: str) -> str:
        return posixpath.join(self._there, path) if path else self._there

    def _lock(self, remote: str) -> str | None:
        return self._lock_for(remote) if self._lock_for is not None else None

    def _aside_of(self, step: Step) -> Path | None:
        return self._aside / (step.path or self._here.name) if step.keep else None

    async def _send(self, step: Step) -> None:
        here, there, local = step.here, step.there, self._local(step.path)
        assert here is not None
        meta = {**(there.meta if there is not None else {}), **marks_of(here)}
        tags = dict(there.tags) if there is not None else None
        source: bytes | Path
        began_ns, known = time.time_ns(), ""
        if here.size <= SMALL_BYTES:
            source, known = await asyncio.to_thread(local_files.read_whole, local, here)
        else:
            await asyncio.to_thread(local_files.look_again, local, here)
            source = local
        remote = self._remote(step.path)
        stored = await self._client.put(
            remote, source, meta=meta, tags=tags, headers=there.headers if there is not None else None,
            if_match=there.etag if there is not None else None, create_only=there is None, lock=self._lock(remote))
        if not known:
            # What was sent is what is stored; whether it is what is here now, a second look tells.
            await asyncio.to_thread(local_files.look_again, local, here)
        self._note(step.path, here, stored.blake3, stored.etag, began_ns)
        self.report.sent += 1
        self.report.bytes += here.size

    async def _fetch(self, step: Step) -> None:
        there, local, aside = step.there, self._local(step.path), self._aside_of(step)
        assert there is not None
        began_ns = time.time_ns()
        if there.size <= SMALL_BYTES:
            data = await self._client.get(self._remote(step.path), generation=there.generation) if there.size else b""
            known = there.blake3 or blake3(data).hexdigest()
            now = await asyncio.to_thread(local_files.put_in_place, local, data, there, step.here, aside)
        else:
            now, known = await self._fetch_large(step, there, local, aside)
        self._written.append(local)
        if aside is not None:
            self.report.kept += 1
            self.report.kept_in = str(self._aside)
        self._note(step.path, now, known, there.etag, began_ns)
        self.report.fetched += 1
        self.report.bytes += there.size

    async def _fetch_large(self, step: Step, there: RemoteFile, local: Path,
                           aside: Path | None) -> tuple[LocalFile, str]:
        # Named after the version, so that the next run goes on with the part of this one.
        beside = local_files.hidden_beside(local, blake3(f"{local.name}\0{there.etag}".encode()).hexdigest()[:16])

        def prepare() -> None:
            try:
                beside.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise local_failure(beside.parent, error) from error
            local_files.look_again(local, step.here)

        def place() -> LocalFile:
            try:
                try:
                    return local_files.move_in_place(beside, local, there, step.here, aside)
                finally:
                    beside.unlink(missing_ok=True)
            except OSError as error:
                raise local_failure(local, error) from error
        await asyncio.to_thread(prepare)
        fetched = await self._client.download(self._remote(step.path), beside, overwrite=True,
                                              generation=there.generation)
        now = await asyncio.to_thread(place)
        found = there.blake3 or fetched.blake3 or ""
        if not found:
            found = await asyncio.to_thread(local_files.hash_of, local, now)
        return now, found

    async def _mark(self, step: Step) -> None:
        here, there = step.here, step.there
        assert here is not None and there is not None
        if step.act is Act.MARK_THERE:
            remote = self._remote(step.path)
            await self._client.set_meta(remote, {**there.meta, **marks_of(here)}, if_match=there.etag,
                                        lock=self._lock(remote))
        else:
            await asyncio.to_thread(local_files.mark_in_place, self._local(step.path), there, here)
        self.report.marked += 1

    async def _delete(self, step: Step) -> None:
        if step.act is Act.DELETE_THERE:
            assert step.there is not None
            remote = self._remote(step.path)
            await self._client.delete(remote, if_match=step.there.etag, lock=self._lock(remote))
        else:
            assert step.here is not None
            aside = self._aside_of(step)
            await asyncio.to_thread(local_files.delete_in_place, self._local(step.path), step.here, aside)
            if aside is not None:
                self.report.kept += 1
                self.report.kept_in = str(self._aside)
        self.gone.append(step.path)
        self.report.deleted += 1

    async def _folder(self, step: Step) -> None:
        local, remote = self._local(step.path), self._remote(step.path)
        match step.act:
            case Act.MAKE_THERE:
                await self._client.mkdir(remote, parents=True, lock=self._lock(remote))
            case Act.REMOVE_THERE:
                await self._client.rmdir(remote, lock=self._lock(remote))
            case _:
                def change() -> None:
                    try:
                        if step.act is Act.MAKE_HERE:
                            local.mkdir(parents=True, exist_ok=True)
                        else:
                            os.rmdir(local)
                    except OSError as error:
                        raise local_failure(local, error) from error
                await asyncio.to_thread(change)
        self.report.folders += 1

    def _note(self, path: str, here: LocalFile, blake3_hex: str, etag: str, began_ns: int) -> None:
        self.settled[path] = Base(blake3_hex, etag or etag_of(bytes.fromhex(blake3_hex)))
        self.hashed.append((path, here, blake3_hex, began_ns))
