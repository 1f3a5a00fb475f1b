"""Making one file of a mirror's target as the source's is now; whatever happens, nothing of others is lost.

Every write demands what was seen before it, so whoever writes at the same time (somebody, or a second supernode with
the same mirror) is never written over: it is looked at again instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode
from weakref import WeakValueDictionary

from fluffy.base.deadline import Deadline
from fluffy.base.errors import AlreadyExists, Conflict, IsFolder, NotFound, PreconditionFailed
from fluffy.core.federation.mirroring import MARK, Act, MirrorFile, decide, kept_name, mark_for, origin_of
from fluffy.services.federation.mirror_sides import Side
from fluffy.services.federation.mirror_store import Kept, MirrorStore

LOOKS_MAX = 5
# A file may take this long, and a second more for each so many bytes.
COPY_S = 600.0
SLOW_BYTES_PER_S = 1_000_000


@dataclass(slots=True)
class MirrorCounts:
    """Since the start."""

    copied: int = 0
    copied_bytes: int = 0
    changed: int = 0
    moved: int = 0
    deleted: int = 0
    circles: int = 0


class MirrorFiles:
    """`origins` must be set, by `know`, before anything is done."""

    def __init__(self, mirror: str, source: Side, target: Side, store: MirrorStore) -> None:
        self.counts = MirrorCounts()
        self.source = source
        self.target = target
        self._mirror = mirror
        self._store = store
        self._origins = ("", "")
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def know(self, source_epoch: str, target_epoch: str) -> None:
        self._origins = (origin_of(source_epoch, self.source.bucket), origin_of(target_epoch, self.target.bucket))

    @property
    def is_ready(self) -> bool:
        return bool(self._origins[0])

    def act(self, model: MirrorFile | None, copy: MirrorFile | None) -> Act:
        return decide(model, copy, *self._origins)

    async def make_good(self, path: str, came_from: str, now_ms: int) -> None:
        """Both places of a file that was moved, the new one first: its bytes need not travel then."""
        await self._make_good(path, came_from, now_ms)
        if came_from and came_from != path:
            await self._make_good(came_from, "", now_ms)

    async def _make_good(self, path: str, came_from: str, now_ms: int) -> None:
        async with self._locks.setdefault(path, asyncio.Lock()):
            for _ in range(LOOKS_MAX):
                model, copy = await self.source.info(path), await self.target.info(path)
                act = self.act(model, copy)
                try:
                    if await self._do(act, path, came_from, model, copy, now_ms):
                        return
                except PreconditionFailed:
                    continue  # somebody was faster: look again
        raise Conflict(f"/{self.target.path(path)} changes all the time at the target")

    async def _do(self, act: Act, path: str, came_from: str, model: MirrorFile | None, copy: MirrorFile | None,
                  now_ms: int) -> bool:
        """Whether that was all; else look again."""
        if act is Act.NOTHING:
            return True
        if act is Act.CIRCLE:
            self.counts.circles += 1
            return True
        if model is None:
            await self.source.check_bucket()
            return await self._without_model(act, path, copy, now_ms)
        if act is Act.CREATE and came_from and await self._move(model, came_from, path):
            return False
        if act is Act.ASIDE and copy is not None:
            await self.set_aside(path, copy, now_ms)
            return False
        if act is Act.RELABEL and copy is not None:
            await self._relabel(path, model, copy)
        else:
            await self._copy(path, model, copy)
        return True

    async def _without_model(self, act: Act, path: str, copy: MirrorFile | None, now_ms: int) -> bool:
        if copy is None:
            return True
        if act is Act.DELETE:
            await self.target.ask("DELETE", f"/v1/files/{quote(self.target.path(path))}", if_match=copy.etag)
            self.counts.deleted += 1
        else:
            self._store.keep(self._mirror, Kept(path, path, now_ms))
        return True

    async def set_aside(self, path: str, copy: MirrorFile, now_ms: int) -> None:
        """Give what others wrote another name. Raises PreconditionFailed, AlreadyExists."""
        name = kept_name(path, copy)
        await self.target.move(path, name, copy.etag)
        self._store.keep(self._mirror, Kept(path, name, now_ms))

    async def _move(self, model: MirrorFile, came_from: str, path: str) -> bool:
        """Move the copy along with its model, when it is one."""
        if await self.source.info(came_from) is not None:
            return False
        copy = await self.target.info(came_from)
        if copy is None or self.act(model, copy) not in (Act.NOTHING, Act.RELABEL) or copy.mark is None:
            return False
        try:
            await self.target.move(came_from, path, copy.etag)
        except (AlreadyExists, NotFound, IsFolder):
            return False  # there is another way
        self.counts.moved += 1
        return True

    async def _copy(self, path: str, model: MirrorFile, copy: MirrorFile | None) -> None:
        """Stream the bytes. What is told of them comes in the same step, so no half of it is ever seen."""
        fit = {key: text for key, text in model.said.items() if _fits_header(text)}
        mark = mark_for(model, self._origins[0], None, sent=fit)
        headers = {"Content-Type": model.content_type, "Fluffy-Tags": urlencode(model.tags),
                   "Content-Length": str(model.size), f"Fluffy-Meta-{MARK}": mark.text,
                   **{f"Fluffy-Meta-{key}": text for key, text in fit.items()},
                   **{f"Fluffy-Header-{key}": text for key, text in model.headers.items()},
                   **({"If-None-Match": "*"} if copy is None else {"If-Match": f'"{copy.etag}"'})}
        if model.blake3 is not None:
            headers["Fluffy-Blake3"] = model.blake3
        deadline = Deadline.after(COPY_S + model.size / SLOW_BYTES_PER_S)
        body = self._counted(self.source.read(path, model.generation, deadline))
        stored = await self.target.write(path, body, headers, deadline)
        self.counts.copied += 1
        if fit != model.said or model.blake3 is None:
            content, etag = stored.get("blake3"), stored.get("etag")
            mark = mark_for(model, self._origins[0], content if isinstance(content, str) else None)
            await self._set_meta(path, model, mark.text, etag if isinstance(etag, str) else "")

    async def _counted(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for block in body:
            self.counts.copied_bytes += len(block)
            yield block

    async def _relabel(self, path: str, model: MirrorFile, copy: MirrorFile) -> None:
        """Metadata with the mark first, which says that the present tags are the mirror's as well."""
        mark = mark_for(model, self._origins[0], copy.content, old_tags=copy.tags)
        await self._set_meta(path, model, mark.text, copy.etag)
        if dict(copy.tags) != dict(model.tags):
            await self.target.ask("PUT", f"/v1/tags/{quote(self.target.path(path))}", if_match=copy.etag,
                                  document={"tags": dict(model.tags)})
        self.counts.changed += 1

    async def _set_meta(self, path: str, model: MirrorFile, mark: str, etag: str) -> None:
        await self.target.ask("PUT", f"/v1/meta/{quote(self.target.path(path))}", if_match=etag, document={
            "meta": {**model.said, MARK: mark}, "content_type": model.content_type})


def _fits_header(text: str) -> bool:
    return bool(text) and text.isascii() and text == text.strip()
