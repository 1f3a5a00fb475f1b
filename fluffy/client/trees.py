"""Whole folders, in and out and away: many transfers at once, each with all that a single one has.

A tree is no transaction: each file is atomic by itself. A file that is refused does not stop the others, it is named in
the result; when the cluster is out of reach, the rest is not tried and the error is raised.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fluffy.base.errors import FluffyError, LocalFileFailed
from fluffy.base.paths import parse_path
from fluffy.client.api import AsyncFluffy
from fluffy.client.results import number_in
from fluffy.client.retry import is_final
from fluffy.client.sources import local_failure
from fluffy.client.verbs.asking import LockToken

# Enough to hide a commit's round trips behind each other; a quarter of what one gateway takes from everybody.
TRANSFERS_MAX = 8

OnFile = Callable[[str, int], None]
"""Called on the client's loop with (remote path, size) of each file that is done."""


@dataclass(slots=True)
class TreeResult:
    files: int = 0
    bytes: int = 0
    failures: list[tuple[str, FluffyError]] = field(default_factory=list)


async def put_tree(client: AsyncFluffy, local: Path, remote: str, on_file: OnFile | None = None, *,
                   lock: LockToken | None = None) -> TreeResult:
    """Upload what is in the local folder to the remote folder `remote`, which is made when missing.

    Links to files are followed, links to folders are not (they may lead in circles); sockets and devices are named as
    failures.
    """
    result = TreeResult()
    top = str(parse_path(remote))
    await client.mkdir(top, parents=True, lock=lock)
    async with _Crew(result) as crew:
        async for folder, names in _local_folders(local):
            relative = folder.relative_to(local).as_posix()
            target = top if relative == "." else posixpath.join(top, relative)
            if not names:
                await crew.give(target, partial(_mkdir, client, target, lock))
            for name in names:
                source, path = folder / name, posixpath.join(target, name)
                await crew.give(path, partial(_put, client, source, path, lock, result, on_file))
    return result


async def get_tree(client: AsyncFluffy, remote: str, local: Path, *, overwrite: bool = False,
                   on_file: OnFile | None = None) -> TreeResult:
    """Download the remote folder with all in it into the local folder `local`, which is made when missing."""
    result = TreeResult()
    async with _Crew(result) as crew:
        waiting = [(str(parse_path(remote)), local)]
        while waiting:
            path, folder = waiting.pop()
            await asyncio.to_thread(_make_local, folder)
            async for entry in client.ls(path):
                target = folder / entry.name
                if entry.is_folder:
                    waiting.append((entry.path, target))
                else:
                    await crew.give(entry.path, partial(
                        _get, client, entry.path, target, overwrite, result, on_file))
    return result


async def delete_tree(client: AsyncFluffy, remote: str, *, purge: bool = False,
                      lock: LockToken | None = None) -> TreeResult:
    """Delete a folder with all in it, in one step."""
    document = await client.delete(remote, purge=purge, recursive=True, lock=lock)
    return TreeResult(files=number_in(document, "files", 0), bytes=number_in(document, "bytes", 0))


class _Crew:
    """Runs jobs, `TRANSFERS_MAX` at once; a final refusal is noted in the result, anything else ends the whole."""

    def __init__(self, result: TreeResult) -> None:
        self._result = result
        self._slots = asyncio.Semaphore(TRANSFERS_MAX)
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> _Crew:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            await self._group.__aexit__(kind, error, None)
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None

    async def give(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        """Start `job` as soon as a slot is free."""
        await self._slots.acquire()
        self._group.create_task(self._run(name, job))

    async def _run(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except FluffyError as error:
            if not is_final(error):
                raise
            self._result.failures.append((name, error))
        finally:
            self._slots.release()


async def _put(client: AsyncFluffy, source: Path, path: str, lock: LockToken | None, result: TreeResult,
               on_file: OnFile | None) -> None:
    if not await asyncio.to_thread(source.is_file):
        raise LocalFileFailed(f"{source} is neither a file nor a folder", local=str(source))
    stored = await client.put(path, source, lock=lock)
    _count(result, stored.path, stored.size, on_file)


async def _mkdir(client: AsyncFluffy, path: str, lock: LockToken | None) -> None:
    await client.mkdir(path, parents=True, lock=lock)


async def _get(client: AsyncFluffy, path: str, target: Path, overwrite: bool, result: TreeResult,
               on_file: OnFile | None) -> None:
    fetched = await client.download(path, target, overwrite=overwrite)
    _count(result, fetched.path, fetched.size, on_file)


def _count(result: TreeResult, path: str, size: int, on_file: OnFile | None) -> None:
    result.files += 1
    result.bytes += size
    if on_file is not None:
        on_file(path, size)


async def _local_folders(top: Path) -> AsyncIterator[tuple[Path, list[str]]]:
    """Each folder below `top` with the names of what is in it and no folder; sorted, listed in a thread."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        folders, names = await asyncio.to_thread(_scan, folder)
        waiting += [folder / name for name in reversed(folders)]
        if names or not folders:
            yield folder, names


def _scan(folder: Path) -> tuple[list[str], list[str]]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
            folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            links = {entry.name for entry in entries if entry.is_symlink() and entry.is_dir()}
    except OSError as error:
        raise local_failure(folder, error) from error
    return folders, [entry.name for entry in entries if entry.name not in links and entry.name not in set(folders)]


def _make_local(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise local_failure(folder, error) from error
