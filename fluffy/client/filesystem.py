"""Fluffy as a file system of fsspec: `fluffy://BUCKET/FOLDER/FILE` for pandas, pyarrow, dask and all who speak fsspec.

What the cluster can do in one step is done in one step (moving and copying files and whole folders, deleting trees,
sums of folders). A listing that was had before is asked for again only if the folder has another version now, so what
somebody else changed is seen at once. Files are read as one generation and written so that they appear when closed.

`peers` and `token` are storage options; where they are missing the composition (`fluffy.apps.filesystem`, which is what
`fluffy://` leads to) finds them as the command line does.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import weakref
from collections.abc import Coroutine, Iterable
from concurrent.futures import wait
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

from fsspec.asyn import AsyncFileSystem, _run_coros_in_chunks, sync, sync_wrapper
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.compression import compr
from fsspec.core import get_compression
from fsspec.utils import isfilelike

from fluffy.base.errors import AlreadyExists, IsFile, PreconditionFailed, RangeIllegal
from fluffy.client.api import PATIENCE_S, AsyncFluffy
from fluffy.client.listings import Info, Listings, full_info
from fluffy.client.opened_sync import FluffyReader, FluffyTextWriter, FluffyWriter, PackedWriter
from fluffy.client.os_errors import as_os_errors

T = TypeVar("T")

# What a program may say of a file that it opens here; fsspec's own words (block_size, cache_type, …) mean nothing.
_READ_OPTIONS = frozenset({"generation", "at"})
_WRITE_OPTIONS = frozenset({"content_type", "meta", "tags", "headers", "if_match", "lock", "autocommit"})
# Enough to hide the round trips behind each other.
LISTINGS_AT_ONCE = 16
# A program that ends closes its connections; it does not wait longer for that.
CLOSE_S = 1.0


class FluffyFileSystem(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types
    """One user's access to one cluster, in fsspec's words. Safe for threads, and after pickling.

    `peers`, `token`, `ca_file`, `patience_s`, `consistency`: as for `AsyncFluffy`. `use_listings_cache`: keep listings
    (they are checked before they are used).
    """

    protocol: ClassVar[str] = "fluffy"
    root_marker = "/"

    def __init__(self, peers: str | Iterable[str] | None = None, token: str | None = None, *,
                 ca_file: str | None = None, patience_s: float = PATIENCE_S, consistency: str | None = None,
                 config: str | None = None, asynchronous: bool = False, loop: asyncio.AbstractEventLoop | None = None,
                 **options: Any) -> None:
        super().__init__(asynchronous=asynchronous, loop=loop, **options)
        found = self.place_of(peers, token, ca_file, config)
        self.client = AsyncFluffy(found[0], found[1], ca_file=found[2], patience_s=patience_s,
                                  consistency=consistency)
        self._listings = Listings(self.client, self.dircache)
        if not asynchronous:
            weakref.finalize(self, _close, self._loop, self.client)

    @classmethod
    def place_of(cls, peers: str | Iterable[str] | None, token: str | None, ca_file: str | None,
                 config: str | None) -> tuple[tuple[str, ...], str | None, Path | None]:
        """Where and as whom to connect. The composition knows more places to look."""
        if config is not None or not peers:
            raise ValueError("say which cluster: peers='HOST:PORT'")
        return ((peers,) if isinstance(peers, str) else tuple(peers), token,
                None if ca_file is None else Path(ca_file))

    @classmethod
    def _strip_protocol(cls, path: str | list[str]) -> str | list[str]:
        """Paths begin with a slash and do not end with one: `fluffy://b/f`, `fluffy:///b/f` and `/b/f/` are `/b/f`."""
        if isinstance(path, list):
            return [cast(str, cls._strip_protocol(one)) for one in path]
        return "/" + os.fspath(path).removeprefix("fluffy://").strip("/")

    async def close(self) -> None:
        """Close the connections (of an instance made with `asynchronous=True`; others do so by themselves)."""
        await self.client.close()

    # Looking

    async def _info(self, path: str, **_: Any) -> Info:
        path = self._path(path)
        if path == "/":
            return {"name": "/", "type": "directory", "size": 0}
        with as_os_errors(path):
            return full_info(await self.client.info(path))

    async def _ls(self, path: str, detail: bool = True, refresh: bool = False, **_: Any) -> list[Info] | list[str]:
        path = self._path(path)
        with as_os_errors(path):
            try:
                found = await self._listings.of(path, refresh=refresh)
            except IsFile:
                found = [full_info(await self.client.info(path))]
        return [dict(info) for info in found] if detail else [info["name"] for info in found]

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget kept listings: all, or this one and those above it. Never needed for being right."""
        if path is None:
            self._listings.forget()
        else:
            above = self._path(path)
            self._listings.forget(above)
            while above != "/":
                above = cast(str, self._parent(above))
                self._listings.forget(above)
        super().invalidate_cache(path)

    async def _du(self, path: str, total: bool = True, maxdepth: int | None = None, **more: Any) -> Any:
        """The folder's own sum, where only that is asked for."""
        if total and maxdepth is None and self._path(path) != "/":
            info = await self._info(path)
            return info["size"] if info["type"] == "file" else info["bytes"]
        found = await self._find(path, maxdepth=maxdepth, detail=True)
        sizes = {name: info["size"] for name, info in found.items()}
        return sum(sizes.values()) if total else sizes

    async def _find(self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False,
                    **_: Any) -> Any:
        """All files below a folder: its folders are listed level by level, many at once."""
        path = self._path(path)
        found: dict[str, Info] = {}
        if withdirs and await self._isdir(path):
            found[path] = await self._info(path)
        level, depth = [path], 0
        while level and depth != maxdepth:
            listings = await _run_coros_in_chunks([self._lines(folder) for folder in level], LISTINGS_AT_ONCE)
            infos = [info for listing in listings for info in listing]
            level = [info["name"] for info in infos if info["type"] == "directory"]
            found.update((info["name"], info) for info in infos if withdirs or info["type"] == "file")
            depth += 1
        names = sorted(found)
        return {name: found[name] for name in names} if detail else names

    async def _lines(self, folder: str) -> list[Info]:
        """Nothing, for what has gone since it was seen."""
        try:
            return cast(list[Info], await self._ls(folder))
        except FileNotFoundError:
            return []

    async def _checksum(self, path: str) -> int:
        """A number that changes with the bytes, and with nothing else."""
        return int.from_bytes(hashlib.sha256((await self._info(path)).get("etag", "").encode()).digest()[:16], "big")

    async def _ukey(self, path: str) -> str:
        """A text that is another one for each generation of each file."""
        info = await self._info(path)
        return hashlib.sha256(repr((info["name"], info.get("etag"), info.get("generation"))).encode()).hexdigest()

    async def _modified(self, path: str) -> datetime:
        return cast(datetime, (await self._info(path))["mtime"])

    async def _created(self, path: str) -> datetime:
        """When the folder was made; of a file: when the oldest generation that is kept was put."""
        info = await self._info(path)
        if info["type"] == "directory":
            return cast(datetime, info["created"])
        with as_os_errors(path):
            oldest = (await self.client.versions(self._path(path)))[-1]
        return oldest.modified or cast(datetime, info["mtime"])

    async def _sign(self, path: str, expiration: int = 100, **options: Any) -> str:
        with as_os_errors(path):
            signed = await self.client.sign(self._path(path), method=options.get("method", "GET"), ttl_s=expiration)
        return signed.url

    checksum, ukey, modified, created, sign = map(sync_wrapper, (_checksum, _ukey, _modified, _created, _sign))

    # Bytes

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        path = self._path(path)
        with as_os_errors(path):
            if not start and end is None:
                return await self.client.get(path)
            if (start or 0) < 0 or (end or 0) < 0:
                async with self.client.open(path) as file:
                    first, last, _step = slice(start, end).indices(file.size)
                    file.seek(first)
                    return await file.read(max(0, last - first))
            length = None if end is None else max(0, end - (start or 0))
            try:
                return await self.client.get(path, offset=start or 0, length=length)
            except RangeIllegal:
                return b""  # behind the end there is nothing, as in any slice

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        path = self._path(path)
        with as_os_errors(path):
            await self._create(self.client.put(path, value, create_only=mode == "create"), path)
        self.invalidate_cache(self._parent(path))

    async def _put_file(self, lpath: str, rpath: str, mode: str = "overwrite",
                        callback: Callback = DEFAULT_CALLBACK, **_: Any) -> None:
        rpath = self._path(rpath)
        if await asyncio.to_thread(os.path.isdir, lpath):
            await self._makedirs(rpath, exist_ok=True)
            return
        callback.set_size(await asyncio.to_thread(os.path.getsize, lpath))
        with as_os_errors(rpath):
            await self._create(self.client.put(
                rpath, Path(lpath), create_only=mode == "create",
                progress=lambda done, _total: callback.absolute_update(done)), rpath)
        self.invalidate_cache(self._parent(rpath))

    async def _create(self, put: Coroutine[Any, Any, object], path: str) -> None:
        try:
            await put
        except PreconditionFailed as error:  # the only condition we ever send with it
            raise AlreadyExists(f"there is a file at {path} already", path=path) from error

    async def _get_file(self, rpath: str, lpath: str, callback: Callback = DEFAULT_CALLBACK, **_: Any) -> None:
        rpath = self._path(rpath)

        def progress(done: int, total: int | None) -> None:
            callback.set_size(total)
            callback.absolute_update(done)
        if await self._isdir(rpath):
            await asyncio.to_thread(os.makedirs, lpath, exist_ok=True)
            return
        with as_os_errors(rpath):
            if isfilelike(lpath):
                await self.client.write_to(rpath, cast(Any, lpath).write, progress=progress)
            else:
                await asyncio.to_thread(os.makedirs, os.path.dirname(lpath) or ".", exist_ok=True)
                await self.client.download(rpath, lpath, overwrite=True, resume=False, progress=progress)

    def open(self, path: str, mode: str = "rb", block_size: int | None = None, cache_options: Any = None,
             compression: str | None = None, **options: Any) -> Any:
        """As fsspec's; but text and packed files, too, are stored when they are closed and left alone by a failure."""
        if "r" in mode:
            return super().open(path, mode, block_size, cache_options, compression, **options)
        text = {name: options.pop(name, None) for name in ("encoding", "errors", "newline")}
        file: FluffyWriter | PackedWriter = super().open(path, mode.replace("t", "").replace("b", "") + "b", **options)
        packing = get_compression(self._path(path), compression)
        if packing is not None:
            file = PackedWriter(cast(FluffyWriter, file), compr[packing](file, mode="w"))
        if "b" in mode:
            return file
        return FluffyTextWriter(file, text["encoding"] or "utf-8", text["errors"], text["newline"])

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, autocommit: bool = True,
              cache_options: Any = None, **options: Any) -> FluffyReader | FluffyWriter:
        """`block_size` and `cache_options` are for files that cache by themselves; ours read ahead by what is read."""
        path = self._path(path)
        caller = _Caller(self.loop, path)
        if mode == "rb":
            return FluffyReader(caller.run(self.open_async(path, "rb", **options)), caller)
        self.invalidate_cache(self._parent(path))
        return FluffyWriter(caller.run(self.open_async(path, mode, autocommit=autocommit, **options)), caller)

    async def open_async(self, path: str, mode: str = "rb", **options: Any) -> Any:
        """An `AsyncReader` or `AsyncWriter`: `await file.read(n)`, `await file.write(data)`, `await file.close()`.

        Options: `generation` or `at` for reading; `content_type`, `meta`, `tags`, `headers`, `if_match`,
        `lock` for writing.
        """
        if "b" not in mode or options.pop("compression", None):
            raise ValueError("an async file is opened for bytes, and nothing is unpacked")
        with as_os_errors(path):
            kept = {name: value for name, value in options.items()
                    if name in (_READ_OPTIONS if mode == "rb" else _WRITE_OPTIONS)}
            return await self.client.open(self._path(path), cast(Any, mode), **kept)

    async def _touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """An empty file; with `truncate` False what is there stays and gets the present time."""
        path = self._path(path)
        with as_os_errors(path):
            await (self.client.put(path, b"") if truncate else self.client.touch(path))
        self.invalidate_cache(self._parent(path))

    touch = sync_wrapper(_touch)

    # The tree

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        path = self._path(path)
        parent = cast(str, self._parent(path))
        with as_os_errors(path):
            if create_parents and parent != "/":
                await self.client.mkdir(parent, parents=True)
            await self.client.mkdir(path)
        self.invalidate_cache(parent)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        path = self._path(path)
        if not exist_ok:
            await self._mkdir(path)
        elif path != "/":
            with as_os_errors(path):
                await self.client.mkdir(path, parents=True)
            self.invalidate_cache(self._parent(path))

    async def _rmdir(self, path: str) -> None:
        path = self._path(path)
        with as_os_errors(path):
            await self.client.rmdir(path)
        self.invalidate_cache(path)

    rmdir = sync_wrapper(_rmdir)

    async def _rm_file(self, path: str, **_: Any) -> None:
        path = self._path(path)
        with as_os_errors(path):
            await self.client.delete(path)
        self.invalidate_cache(self._parent(path))

    async def _rm(self, path: str | list[str], recursive: bool = False, batch_size: int | None = None,
                  maxdepth: int | None = None, **_: Any) -> None:
        """Each thing in one step, to the trash. With `maxdepth` (which only fsspec knows) one by one."""
        if maxdepth is not None:
            await super()._rm(path, recursive=recursive, batch_size=batch_size, maxdepth=maxdepth)
            return
        for one in await self._expand_path(path):
            with as_os_errors(one):
                await self.client.delete(one, recursive=recursive)
            self.invalidate_cache(one)

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """One file; of a folder only the folder itself, since fsspec names what is in it one by one."""
        path1, path2 = self._path(path1), self._path(path2)
        if await self._isdir(path1):
            await self._makedirs(path2, exist_ok=True)
            return
        with as_os_errors(path1):
            await self.client.copy(path1, path2, overwrite=True)
        self.invalidate_cache(self._parent(path2))

    async def _mv_file(self, path1: str, path2: str) -> None:
        path1, path2 = self._path(path1), self._path(path2)
        with as_os_errors(path1):
            await self.client.move(path1, path2, overwrite=True)
        for path in (path1, path2):
            self.invalidate_cache(path)

    async def _mv(self, path1: str | list[str], path2: str | list[str], recursive: bool = False,
                  maxdepth: int | None = None, **_: Any) -> None:
        """Move files and whole folders, each in one step; into `path2` where that is a folder or ends in a slash."""
        if isinstance(path1, list) and isinstance(path2, list):
            for one, other in zip(path1, path2, strict=True):
                await self._mv_file(one, other)
            return
        into = isinstance(path2, str) and (path2.endswith("/") or await self._isdir(path2))
        sources = await self._expand_path(path1)
        if len(sources) > 1 and not into:
            raise NotADirectoryError(f"{path2} is no folder, and {len(sources)} things cannot have one name")
        for source in sources:
            target = self._path(cast(str, path2))
            await self._mv_file(source, f"{target}/{source.rpartition('/')[2]}" if into else target)

    mv = sync_wrapper(_mv)

    def _path(self, path: str) -> str:
        return cast(str, self._strip_protocol(path))


class _Caller:
    """From any thread to fsspec's loop, with our errors as Python's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, path: str) -> None:
        self._loop = loop
        self._path = path

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        async def translated() -> T:
            with as_os_errors(self._path):
                return await work
        return cast(T, sync(self._loop, translated))

    def leave(self, work: Coroutine[Any, Any, object]) -> None:
        if self._loop.is_closed():
            work.close()
        else:
            asyncio.run_coroutine_threadsafe(work, self._loop)


def _close(loop: asyncio.AbstractEventLoop, client: AsyncFluffy) -> None:
    """When the last reference is gone, or the program ends; in whatever thread that happens."""
    if loop.is_closed() or not loop.is_running():
        return
    closing = asyncio.run_coroutine_threadsafe(client.close(), loop)
    try:
        is_inside = asyncio.get_running_loop() is loop
    except RuntimeError:
        is_inside = False
    if not is_inside:
        wait((closing,), CLOSE_S)
