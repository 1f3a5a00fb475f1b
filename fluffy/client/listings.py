"""Listings of folders that are kept, and checked against the folder's version before they are used.

The version is the same as long as the folder lists the same, and comes with each page of a listing. A kept listing thus
costs one small request and is never stale; one that changed between two of its pages is not kept.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from fluffy.client.api import AsyncFluffy
from fluffy.client.results import Entry, FileInfo

Info = dict[str, Any]


class Listings:
    """Folders that were listed. `kept`: where their lines are, which may forget some (fsspec's DirCache)."""

    def __init__(self, client: AsyncFluffy, kept: MutableMapping[str, list[Info]]) -> None:
        self._client = client
        self._kept = kept
        self._versions: dict[str, str] = {}

    async def of(self, path: str, *, refresh: bool = False) -> list[Info]:
        """The lines of a folder as it is now. Raises IsFile, FolderNotFound, …"""
        version, known = self._versions.get(path), self._known(path)
        if version is None or known is None or refresh:
            return await self._read(path)
        is_so_still = (await self._client.ls_page(path, limit=1)).version == version
        return known if is_so_still else await self._read(path)

    def forget(self, path: str | None = None) -> None:
        """This one, or all. Never needed for being right."""
        for one in tuple(self._versions) if path is None else (path,):
            self._kept.pop(one, None)
            self._versions.pop(one, None)

    def _known(self, path: str) -> list[Info] | None:
        try:
            return self._kept[path]
        except KeyError:
            return None

    async def _read(self, path: str) -> list[Info]:
        found: list[Info] = []
        versions: set[str | None] = set()
        after: str | None = None
        while True:
            page = await self._client.ls_page(path, after=after)
            versions.add(page.version)
            found += [entry_info(entry) for entry in page.entries]
            if page.after is None:
                break
            after = page.after
        self.forget(path)
        version = versions.pop() if len(versions) == 1 else None
        if version is not None:
            self._kept[path] = found
            self._versions[path] = version
        return found


def entry_info(entry: Entry) -> Info:
    """A line of a listing in fsspec's words."""
    if entry.is_folder:
        return {"name": entry.path, "type": "directory", "size": 0, "created": entry.modified, "mtime": entry.modified,
                "owner": entry.owner}
    return {"name": entry.path, "type": "file", "size": entry.size, "etag": entry.etag, "generation": entry.generation,
            "mtime": entry.modified, "content_type": entry.content_type, "owner": entry.owner}


def full_info(info: FileInfo) -> Info:
    """All that is known of a file or folder, in fsspec's words."""
    if info.is_folder:
        return {"name": info.path, "type": "directory", "size": 0, "created": info.modified, "mtime": info.modified,
                "owner": info.owner, "bytes": info.document.get("bytes", 0), "files": info.document.get("files", 0)}
    return {"name": info.path, "type": "file", "size": info.size, "etag": info.etag, "generation": info.generation,
            "mtime": info.modified, "content_type": info.content_type, "owner": info.owner,
            "blake3": info.blake3 or None, "meta": info.meta, "tags": info.tags}
