"""The verbs that look and reach back: generations, restoring, the trash, differences between two moments."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from fluffy.base.errors import Unavailable
from fluffy.base.paths import parse_file_path, parse_path
from fluffy.client.pages import Pages
from fluffy.client.results import Lines, Stored, lines_of, number_in, stored_of, texts_in
from fluffy.client.results_history import (
    DiffLine,
    RestoredFolder,
    TrashItem,
    VersionInfo,
    diff_line_of,
    trash_item_of,
    version_of,
)
from fluffy.client.transport import Call
from fluffy.client.upload import remote_url
from fluffy.client.verbs.asking import (
    PAGE_ENTRIES,
    Asking,
    LockToken,
    Moment,
    given,
    guards,
    moment_text,
    told,
)


class HistoryVerbs(Asking):
    """The past of files and folders, as far as their bucket's rules keep it."""

    async def versions(self, path: str) -> list[VersionInfo]:
        """The generations of a file that are kept, newest first."""
        document = await self._read(remote_url("versions", parse_file_path(path).text))
        return [*lines_of(document, "versions", version_of).items]

    async def restore(self, path: str, generation: int, *, expect: int | None = None,
                      lock: LockToken | None = None) -> Stored:
        """Make an old generation the present one, as a new generation. `expect`: only if this one is present now."""
        document = told(path=str(parse_file_path(path)), generation=generation, expect=expect)
        return stored_of(await self._write("POST", "/v1/restore", document=document, headers=guards(lock=lock)))

    async def restore_at(self, path: str, at: Moment, *, exact: bool = False,
                         lock: LockToken | None = None) -> RestoredFolder:
        """Bring a folder (or file) back to how it was, step by step; what is there only now stays, unless `exact`.

        Each file is atomic by itself. Doing it again after a cut goes on: what is restored already counts as `same`.
        """
        found, after, moment = RestoredFolder(), None, moment_text(at)
        while True:
            document = await self._write(
                "POST", "/v1/restore", headers=guards(lock=lock),
                document=told(path=str(parse_path(path)), at=moment, exact=exact, after=after))
            if "etag" in document:  # it was a file
                return RestoredFolder(restored=int(document.get("restored") is True),
                                      same=int(document.get("restored") is not True))
            found.restored += number_in(document, "restored", 0)
            found.deleted += number_in(document, "deleted", 0)
            found.same += number_in(document, "same", 0)
            found.conflicts += texts_in(document, "conflicts")
            found.conflict_count += number_in(document, "conflict_count", 0)
            if document.get("more") is not True:
                return found
            if document.get("after") in (None, after):
                raise Unavailable("a peer's answer says that there is more, but not behind what")
            after = document["after"]

    async def trash_page(self, path: str | None = None, *, after: str | None = None,
                         limit: int = PAGE_ENTRIES) -> Lines[TrashItem]:
        """One page of what `trash` gives."""
        document = await self._read("/v1/trash", path=_path_or_none(path), after=after, limit=limit)
        return lines_of(document, "items", trash_item_of)

    def trash(self, path: str | None = None) -> AsyncIterator[TrashItem]:
        """What was deleted and can be had back, at or below `path` (default: everywhere), latest first."""
        return Pages(lambda after: self.trash_page(path, after=after))

    async def empty_trash(self, path: str | None = None) -> int:
        """Delete for good what is in the trash, at or below `path`; how many things that were."""
        purged = 0
        while True:
            document = await self._write("DELETE", "/v1/trash", path=_path_or_none(path))
            purged += number_in(document, "purged", 0)
            if document.get("more") is not True:
                return purged

    async def undelete(self, path: str, *, item: int | None = None, target: str | None = None,
                       lock: LockToken | None = None) -> Mapping[str, Any]:
        """Bring back what was deleted at `path` (of several the last, or `item`), to there or to `target`.

        Raises AlreadyExists when something stands there now.
        """
        document = told(path=str(parse_path(path)), item=item, target=_path_or_none(target))
        return await self._write("POST", "/v1/undelete", document=document, headers=guards(lock=lock))

    async def diff_page(self, path: str, from_: Moment, to: Moment | None = None, *, after: str | None = None,
                        limit: int = PAGE_ENTRIES) -> Lines[DiffLine]:
        """One page of what `diff` gives."""
        query = given(**{"from": moment_text(from_)}, to=moment_text(to), after=after, limit=limit)
        answer = await self._transport.ask(Call("GET", remote_url("diff", parse_path(path).text), query=query))
        return lines_of(answer.document, "lines", diff_line_of)

    def diff(self, path: str, from_: Moment, to: Moment | None = None) -> AsyncIterator[DiffLine]:
        """What is not the same below `path` at two moments (`to` None: now), in order of the paths."""
        first, last = moment_text(from_), moment_text(to)
        return Pages(lambda after: self.diff_page(path, first or "", last, after=after))


def _path_or_none(path: str | None) -> str | None:
    return None if path is None else str(parse_path(path))
