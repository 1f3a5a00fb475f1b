"""Look at both trees: what is here on the disk, and what is there in the cluster."""

from __future__ import annotations

import asyncio
import os
import posixpath
import stat
from collections.abc import Mapping
from pathlib import Path

from fluffy.base.errors import FluffyError, FolderNotFound, NameIllegal, NotFound
from fluffy.base.paths import check_segment, parse_path
from fluffy.client.api import AsyncFluffy
from fluffy.client.results import Entry, FileInfo
from fluffy.client.sinks import PART_SUFFIX
from fluffy.client.sources import local_failure
from fluffy.client.syncing.items import MODE_BITS, LocalFile, LocalTree, RemoteFile, RemoteTree

# Listings asked for at once: enough to hide the way to the cluster, few enough to leave the others their turn.
LISTINGS_MAX = 8
UNFINISHED = "an unfinished download"
FOLDER_LINK = "a link to a folder"
BROKEN_LINK = "a link that leads nowhere"
SPECIAL = "neither file nor folder"


def look_here(root: Path) -> LocalTree:
    """Everything at or below `root`, without following links to folders. Runs in a thread.

    Raises LocalFileFailed when the root itself cannot be looked at.
    """
    tree = LocalTree()
    try:
        status = root.stat()
    except FileNotFoundError:
        return LocalTree(is_there=False)
    except OSError as error:
        raise local_failure(root, error) from error
    if stat.S_ISREG(status.st_mode):
        tree.files[""] = local_file(status)
    elif stat.S_ISDIR(status.st_mode):
        _look_into(root, tree)
    else:
        tree.skipped[""] = SPECIAL
    return tree


def _look_into(root: Path, tree: LocalTree) -> None:
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    _look_at(entry, f"{folder}/{entry.name}" if folder else entry.name, tree, waiting)
        except OSError as error:
            if not folder:
                raise local_failure(root, error) from error
            tree.failed[folder] = local_failure(root / folder, error)


def _look_at(entry: os.DirEntry[str], path: str, tree: LocalTree, waiting: list[str]) -> None:
    try:
        entry.name.encode()
        check_segment(entry.name)
    except (UnicodeEncodeError, NameIllegal) as error:
        reason = error.message if isinstance(error, NameIllegal) else "the name is not valid UTF-8"
        tree.failed[os.fsencode(path).decode("utf-8", "backslashreplace")] = NameIllegal(reason, path=path)
        return
    try:
        if entry.is_symlink():
            _look_at_link(entry, path, tree)
        elif entry.is_dir(follow_symlinks=False):
            tree.folders.add(path)
            waiting.append(path)
        elif not entry.is_file(follow_symlinks=False):
            tree.skipped[path] = SPECIAL
        elif entry.name.endswith(PART_SUFFIX):
            tree.skipped[path] = UNFINISHED
        else:
            tree.files[path] = local_file(entry.stat(follow_symlinks=False))
    except OSError as error:
        tree.failed[path] = local_failure(entry.path, error)


def _look_at_link(entry: os.DirEntry[str], path: str, tree: LocalTree) -> None:
    """A link to a file stands for the file's bytes; one to a folder could lead in circles or out of the tree."""
    try:
        status = entry.stat()
    except OSError:
        tree.skipped[path] = BROKEN_LINK
        return
    if stat.S_ISDIR(status.st_mode):
        tree.skipped[path] = FOLDER_LINK
    elif stat.S_ISREG(status.st_mode):
        tree.files[path] = local_file(status, is_link=True)
    else:
        tree.skipped[path] = SPECIAL


def local_file(status: os.stat_result, *, is_link: bool = False) -> LocalFile:
    return LocalFile(status.st_size, status.st_mtime_ns, status.st_mode & MODE_BITS, status.st_ctime_ns, status.st_ino,
                     status.st_dev, is_link)


async def look_there(client: AsyncFluffy, root: str) -> RemoteTree:
    """Everything at or below the remote `root`. All or nothing: raises when a listing cannot be had."""
    tree = RemoteTree()
    if not parse_path(root).is_root:
        try:
            info = await client.info(root)
        except NotFound:
            return RemoteTree(is_there=False)
        if not info.is_folder:
            tree.files[""] = _file_of_info(info)
            return tree
    slots = asyncio.Semaphore(LISTINGS_MAX)
    try:
        async with asyncio.TaskGroup() as group:
            async def into(path: str) -> None:
                async with slots:
                    folders = await _list(client, root, path, tree)
                for folder in folders:
                    group.create_task(into(folder))
            group.create_task(into(""))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return tree


async def _list(client: AsyncFluffy, root: str, path: str, tree: RemoteTree) -> list[str]:
    """Note what is in one folder; the folders in it."""
    folders: list[str] = []
    after: str | None = None
    while True:
        try:
            page = await client.ls_page(posixpath.join(root, path), after=after, labels=True)
        except FolderNotFound:
            return []  # gone since its parent was listed
        for entry in page.entries:
            inner = f"{path}/{entry.name}" if path else entry.name
            if entry.is_folder:
                tree.folders.add(inner)
                folders.append(inner)
            elif entry.name.endswith(PART_SUFFIX):
                tree.skipped[inner] = UNFINISHED
            else:
                tree.files[inner] = _file_of_entry(entry)
        if page.after is None or page.after == after:
            return folders
        after = page.after


def _file_of_entry(entry: Entry) -> RemoteFile:
    return RemoteFile(entry.size, entry.etag, str(entry.document.get("blake3") or ""), entry.generation,
                      _texts(entry.document.get("meta")), _texts(entry.document.get("tags")),
                      _texts(entry.document.get("headers")))


def _file_of_info(info: FileInfo) -> RemoteFile:
    return RemoteFile(info.size, info.etag, info.blake3, info.generation, _texts(info.document.get("meta")),
                      _texts(info.document.get("tags")), _texts(info.document.get("headers")))


def _texts(value: object) -> Mapping[str, str]:
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, dict) else {}


async def look(client: AsyncFluffy, here: Path, there: str) -> tuple[LocalTree, RemoteTree]:
    """Both at once."""
    try:
        async with asyncio.TaskGroup() as group:
            local = group.create_task(asyncio.to_thread(look_here, here))
            remote = group.create_task(look_there(client, there))
    except BaseExceptionGroup as several:
        raise _first_error(several) from None
    return local.result(), remote.result()


def _first_error(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """A FluffyError before anything else: it is the one with a sentence."""
    return next((error for error in several.exceptions if isinstance(error, FluffyError)), several.exceptions[0])
