"""Making a folder of a mirror's target as the source's is now, page by page, both ends read side by side.

What the target has beside it is removed only if it came by the mirror: files by their mark, folders when the source
had them and nothing is left in them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import quote

from fluffy.base.errors import AlreadyExists, Conflict, FluffyError, FolderNotEmpty, IsFile, NotFound
from fluffy.core.federation.mirroring import Act
from fluffy.services.federation.mirror_files import MirrorFiles
from fluffy.services.federation.mirror_sides import Child, Listing
from fluffy.services.federation.mirror_store import MirrorStore, Todo, Work

FILES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Part:
    """What came of a page. `after`: where the next one begins; None: that was all. `more`: what is to be done then."""

    after: str | None
    more: list[Todo]


class MirrorTrees:
    def __init__(self, mirror: str, files: MirrorFiles, store: MirrorStore) -> None:
        self._mirror = mirror
        self._files = files
        self._source = files.source
        self._target = files.target
        self._store = store

    async def page(self, work: Work, now_ms: int) -> Part:
        """The next page of a folder. Raises what stands in its way."""
        path = work.path
        model = await self._listing_of_source(path, work.after)
        if model is not None and not work.after:
            await self._make_folder(path, now_ms)
        copy = await self._listing_of_target(path, work.after)
        part = _merge(model or Listing((), None), copy)
        failed = await self._files_of(path, part, now_ms)
        more = [Todo("file", name) for name in failed] + [Todo("tree", _join(path, name)) for name in part.folders]
        if part.after is None and model is None and path:
            await self._remove_folders(path)
        return Part(part.after, more)

    async def _listing_of_source(self, path: str, after: str) -> Listing | None:
        """None: there is no such folder. A bucket that cannot be read is none of these."""
        try:
            return await self._source.list(path, after)
        except (NotFound, IsFile):
            await self._source.check_bucket()
            return None

    async def _listing_of_target(self, path: str, after: str) -> Listing:
        try:
            return await self._target.list(path, after)
        except (NotFound, IsFile):
            return Listing((), None)

    async def move(self, came_from: str, path: str) -> None:
        """Move a folder along with its model when nothing is in the way; otherwise it is copied."""
        if (not self._store.knows_folder(self._mirror, came_from)
                or await self._listing_of_source(came_from, "") is not None
                or await self._listing_of_source(path, "") is None):
            return
        try:
            await self._target.move(came_from + "/", path + "/")
        except (NotFound, Conflict):
            return
        self._files.counts.moved += 1

    async def _make_folder(self, path: str, now_ms: int) -> None:
        """What stands there as a file makes way: removed if it came by the mirror, else set aside."""
        address = f"/v1/dirs/{quote(self._target.path(path))}?parents=1"
        try:
            await self._target.ask("PUT", address)
        except (IsFile, AlreadyExists):
            copy = await self._target.info(path) if path else None
            if copy is None:
                raise
            if self._files.act(None, copy) is Act.DELETE:
                await self._target.ask("DELETE", f"/v1/files/{quote(self._target.path(path))}", if_match=copy.etag)
            else:
                await self._files.set_aside(path, copy, now_ms)
            await self._target.ask("PUT", address)
        if path:
            self._store.know_folder(self._mirror, path)

    async def _files_of(self, path: str, part: _Pairs, now_ms: int) -> list[str]:
        """Make those alike that are not; the paths of those that could not be made so now."""
        failed: list[str] = []
        gate = asyncio.Semaphore(FILES_AT_ONCE)

        async def one(inside: str) -> None:
            async with gate:
                try:
                    await self._files.make_good(inside, "", now_ms)
                except FluffyError:
                    failed.append(inside)  # becomes work of its own, which tells why

        async with asyncio.TaskGroup() as group:
            for name, (model, copy) in part.files.items():
                if not self._is_alike(model, copy):
                    group.create_task(one(_join(path, name)))
        return failed

    def _is_alike(self, model: Child | None, copy: Child | None) -> bool:
        """Whether the two listings say so; when one does not say enough, it is looked at."""
        if any(child is not None and child.file is None for child in (model, copy)):
            return False
        act = self._files.act(None if model is None else model.file, None if copy is None else copy.file)
        self._files.counts.circles += act is Act.CIRCLE
        return act in (Act.NOTHING, Act.CIRCLE)

    async def _remove_folders(self, path: str) -> None:
        """A folder that the source has no more, if nothing is left in it, and then the same of those around it."""
        while path and self._store.knows_folder(self._mirror, path):
            if not await self._is_removed(path):
                return
            self._store.forget_folder(self._mirror, path)
            path = path.rpartition("/")[0]
            if path and await self._listing_of_source(path, "") is not None:
                return

    async def _is_removed(self, path: str) -> bool:
        try:
            await self._target.ask("DELETE", f"/v1/dirs/{quote(self._target.path(path))}")
        except FolderNotEmpty:
            return False
        except (NotFound, IsFile):
            return True
        return True


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The names of both sides up to `after` (None: the end)."""

    files: dict[str, tuple[Child | None, Child | None]]
    folders: list[str]
    after: str | None


def _merge(model: Listing, copy: Listing) -> _Pairs:
    """Both begin behind the same key; what the shorter page does not reach is left for the next."""
    ends = [end for end in (model.after, copy.after) if end is not None]
    end = min(ends) if ends else None
    files: dict[str, tuple[Child | None, Child | None]] = {}
    folders: dict[str, None] = {}
    for children, is_model in ((model.children, True), (copy.children, False)):
        for child in children:
            if end is not None and child.key > end:
                break
            if child.is_folder:
                folders[child.name] = None
            else:
                before = files.get(child.name, (None, None))
                files[child.name] = (child, before[1]) if is_model else (before[0], child)
    return _Pairs(files, list(folders), end)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
