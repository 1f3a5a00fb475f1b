"""The verbs on folders, and those that find files: listings, search, the change feed."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fluffy.base.paths import parse_path
from fluffy.client.pages import Pages
from fluffy.client.results import Entry, EntryPage, Lines, lines_of, number_in, page_of
from fluffy.client.results_history import Change, change_of
from fluffy.client.upload import remote_url
from fluffy.client.verbs.asking import PAGE_ENTRIES, Asking, LockToken, Moment, guards, moment_text

# The longest that the servers let a follower wait; well under what their connections idle.
FOLLOW_WAIT_S = 25
# What a wait may take on the way beyond itself.
FOLLOW_SLACK_S = 5.0


class FolderVerbs(Asking):
    """Folders, listings, search, changes."""

    async def mkdir(self, path: str, *, parents: bool = False, lock: LockToken | None = None) -> Mapping[str, Any]:
        """Make a folder (or, with one name, a bucket). `parents`: also those above, and no error when it is there."""
        return await self._write("PUT", _dir_url(path), headers=guards(lock=lock), parents=parents)

    async def rmdir(self, path: str, *, recursive: bool = False, purge: bool = False,
                    lock: LockToken | None = None) -> Mapping[str, Any]:
        """Remove an empty folder; with `recursive` one with all in it, to the trash, or with `purge` for good."""
        return await self._write("DELETE", _dir_url(path), headers=guards(lock=lock), recursive=recursive, purge=purge)

    async def ls_page(self, path: str = "/", *, after: str | None = None, limit: int = PAGE_ENTRIES,
                      at: Moment | None = None, labels: bool = False) -> EntryPage:
        """One page of what `ls` gives."""
        return page_of(await self._read(_dir_url(path), after=after, limit=limit, long=True, labels=labels,
                                        at=moment_text(at)), "entries")

    def ls(self, path: str = "/", *, at: Moment | None = None, labels: bool = False) -> AsyncIterator[Entry]:
        """A folder's files and folders in key order, page by page; `/` lists the buckets.

        `at`: as it was then; `labels`: of files also hash, metadata and tags.
        """
        moment = moment_text(at)
        return Pages(lambda after: self.ls_page(path, after=after, at=moment, labels=labels))

    async def list_page(self, user: str, *, after: str | None = None, limit: int = PAGE_ENTRIES) -> EntryPage:
        """One page of all files of a user."""
        return page_of(await self._read("/v1/files", owner=user, after=after, limit=limit), "entries")

    def list(self, user: str) -> AsyncIterator[Entry]:
        """All files of a user, page by page."""
        return Pages(lambda after: self.list_page(user, after=after))

    async def search_page(self, query: str = "", *, bucket: str | None = None, owner: str | None = None,
                          type: str | None = None, tag: str | None = None, min_size: int | str | None = None,
                          max_size: int | str | None = None, since: Moment | None = None, until: Moment | None = None,
                          after: str | None = None, limit: int = PAGE_ENTRIES) -> EntryPage:
        """One page of what `search` finds. `tag`: `key=value` or a key alone, several joined by `&`."""
        return page_of(await self._read(
            "/v1/search", q=query, bucket=bucket, owner=owner, type=type, tag=tag, min_size=min_size,
            max_size=max_size, since=moment_text(since), until=moment_text(until), after=after, limit=limit), "hits")

    def search(self, query: str = "", *, bucket: str | None = None, owner: str | None = None, type: str | None = None,
               tags: Mapping[str, str | None] | None = None, min_size: int | str | None = None,
               max_size: int | str | None = None, since: Moment | None = None,
               until: Moment | None = None) -> AsyncIterator[Entry]:
        """Files and folders whose name has the words and patterns (`*.pdf`) of `query`, page by page.

        `type`: a content type or its beginning (`image/`); `tags`: these keys with these values (None: any value);
        sizes in bytes or with a unit (`10MiB`); `since`, `until`: when they were last changed.
        """
        page = functools.partial(
            self.search_page, query, bucket=bucket, owner=owner, type=type, tag=_tag_text(tags), min_size=min_size,
            max_size=max_size, since=moment_text(since), until=moment_text(until))
        return Pages(lambda after: page(after=after))

    def changes(self, since: int = 0, *, follow: bool = False) -> AsyncIterator[Change]:
        """What happened after position `since` in the log, in order; with `follow` also what happens from now on.

        Raises HistoryCut when the feed does not reach back that far any more.
        """
        async def page(after: str | None) -> Lines[Change]:
            position = int(after or since)
            while True:
                document = await self._read(
                    "/v1/changes", answer_s=FOLLOW_WAIT_S + FOLLOW_SLACK_S if follow else None, since=position,
                    limit=PAGE_ENTRIES, wait_s=FOLLOW_WAIT_S if follow else None)
                found, position = lines_of(document, "changes", change_of).items, number_in(document, "next")
                if found or not follow:  # a follower waits on until there is something
                    return Lines(found, str(position) if follow or document.get("more") is True else None)
        return Pages(page)


def _dir_url(path: str) -> str:
    return remote_url("dirs", parse_path(path).text)


def _tag_text(tags: Mapping[str, str | None] | None) -> str | None:
    if not tags:
        return None
    return "&".join(key if value is None else f"{key}={value}" for key, value in tags.items())
