"""A walk through a remote tree: each folder before what is in it, as `find` and `tree` show it.

Each listing is a round trip through the cluster, so the folders that come next are asked for ahead, several at once.
A folder that went away meanwhile is an empty one.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from fluffy.base.errors import IsFile, NotFound
from fluffy.client.results import Entry
from fluffy.client.shell.session import Session
from fluffy.client.sync import Fluffy

# Deeper than paths of 1,024 bytes can be.
DEPTH_MAX = 600
# A listing waits for a majority's answer some milliseconds; eight of them fill that time and no peer's queue.
LISTINGS_AT_ONCE = 8
# Folders that turned out not to be next keep their listing until they are.
LISTINGS_AHEAD_MAX = 64


@dataclass(frozen=True, slots=True)
class Found:
    """Something on the way. `depth`: 1 for what is right in the folder; `is_last` of its siblings."""

    depth: int
    entry: Entry
    is_last: bool


def walk(session: Session, path: str, *, depth_max: int = DEPTH_MAX, at: str | None = None,
         folders_only: bool = False) -> Iterator[Found]:
    """All below the folder `path`. Raises IsFile or NotFound when there is none, before anything is found."""
    client = session.client
    first = _sheet(list(client.ls(path, at=at)), 1, folders_only) if depth_max > 0 else []
    with _Ahead(client, at) as ahead:
        waiting = first[::-1]
        while waiting:
            found = waiting.pop()
            yield found
            if found.entry.is_folder and found.depth < depth_max:
                below = ahead.listing(found.entry.path, waiting, depth_max)
                waiting += _sheet(below, found.depth + 1, folders_only)[::-1]


def _sheet(entries: list[Entry], depth: int, folders_only: bool) -> list[Found]:
    shown = [entry for entry in entries if entry.is_folder or not folders_only]
    return [Found(depth, entry, number == len(shown)) for number, entry in enumerate(shown, start=1)]


class _Ahead:
    """Listings that are under way or done, by path."""

    def __init__(self, client: Fluffy, at: str | None) -> None:
        self._client = client
        self._at = at
        self._threads = ThreadPoolExecutor(LISTINGS_AT_ONCE, "fluffy-listing")
        self._asked: dict[str, Future[list[Entry]]] = {}

    def __enter__(self) -> _Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def listing(self, path: str, waiting: list[Found], depth_max: int) -> list[Entry]:
        """What is in the folder; those on top of the stack `waiting` are asked for, too."""
        self._ask(path)
        for found in waiting[:-LISTINGS_AT_ONCE - 1:-1]:
            if len(self._asked) >= LISTINGS_AHEAD_MAX:
                break
            if found.entry.is_folder and found.depth < depth_max:
                self._ask(found.entry.path)
        return self._asked.pop(path).result()

    def _ask(self, path: str) -> None:
        if path not in self._asked:
            self._asked[path] = self._threads.submit(self._list, path)

    def _list(self, path: str) -> list[Entry]:
        try:
            return list(self._client.ls(path, at=self._at))
        except (NotFound, IsFile):
            return []
