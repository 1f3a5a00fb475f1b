"""Making one file of a mirror's target as the source's is now; whatever happens, nothing of others is lost.

Every write demands what was seen before it, so whoever writes at the same time (somebody, or a second supernode with
the same mirror) is never written over: it is looked at again instead.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode
from weakref import WeakValueDictionary

from blake3 import blake3
from cachetools import LRUCache

from fluffy.base.deadline import Deadline
from fluffy.base.errors import (
    AccessDenied,
    AlreadyExists,
    Conflict,
    IsFolder,
    NotFound,
    PreconditionFailed,
    UploadFinished,
    UploadNotFound,
)
from fluffy.core.federation.mirroring import MARK, Act, MirrorFile, decide, kept_name, mark_for, origin_of
from fluffy.services.federation.mirror_sides import Side
from fluffy.services.federation.mirror_store import Kept, MirrorStore, Sending
from fluffy.services.federation.part_sending import PART_BYTES, Shape, send_in_parts

log = logging.getLogger("fluffy.supernode")

LOOKS_MAX = 5
# A file may take this long, and a second more for each so many bytes.
COPY_S = 600.0
SLOW_BYTES_PER_S = 1_000_000
# Whoever writes the target's file again and again, after so many times within a day it is left to people.
ASIDES_MAX = 10
ASIDES_WITHIN_MS = 24 * 3600 * 1000
# Writes of our own that the target's feed has not told of yet.
OWN_MAX = 20_000


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
        self._own: LRUCache[tuple[str, str, int], bool] = LRUCache(OWN_MAX)

    def was_own(self, kind: str, path: str, generation: int) -> bool:
        """Whether the target's feed tells of a write of this mirror; asked once for each."""
        return self._own.pop((kind, path, generation), False)

    def _note_own(self, kind: str, path: str, said: Mapping[str, Any]) -> None:
        generation = said.get("generation")
        if isinstance(generation, int):
            self._own[kind, path, generation] = True

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
                        if act is not Act.CREATE and act is not Act.REPLACE:
                            await self._end_sending(path)  # of what it was once
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
            said = await self.target.ask("DELETE", f"/v1/files/{quote(self.target.path(path))}", if_match=copy.etag)
            self._note_own("file-deleted", path, said)
            self.counts.deleted += 1
        else:
            self._store.keep(self._mirror, Kept(path, path, now_ms))
        return True

    async def set_aside(self, path: str, copy: MirrorFile, now_ms: int) -> None:
        """Give what others wrote another name. Raises PreconditionFailed, AlreadyExists, Conflict."""
        if self._store.asides(self._mirror, path, now_ms - ASIDES_WITHIN_MS) >= ASIDES_MAX:
            raise Conflict(f"somebody writes /{self.target.path(path)} again and again (another mirror?): {ASIDES_MAX} "
                           "times within a day it was set aside; let one of the two stop")
        name = kept_name(path, copy)
        self._note_own("file-moved", name, await self.target.move(path, name, copy.etag))
        self._store.keep(self._mirror, Kept(path, name, now_ms))

    async def _move(self, model: MirrorFile, came_from: str, path: str) -> bool:
        """Move the copy along with its model, when it is one."""
        if await self.source.info(came_from) is not None:
            return False
        copy = await self.target.info(came_from)
        if copy is None or self.act(model, copy) not in (Act.NOTHING, Act.RELABEL) or copy.mark is None:
            return False
        try:
            self._note_own("file-moved", path, await self.target.move(came_from, path, copy.etag))
        except (AlreadyExists, NotFound, IsFolder):
            return False  # there is another way
        self.counts.moved += 1
        return True

    async def _copy(self, path: str, model: MirrorFile, copy: MirrorFile | None) -> None:
        """Send the bytes. What is told of them comes in the same step, so no half of it is ever seen."""
        fit = {key: text for key, text in model.said.items() if _fits_header(text)}
        mark = mark_for(model, self._origins[0], None, sent=fit)
        headers = {"Content-Type": model.content_type, "Fluffy-Tags": urlencode(model.tags),
                   "Content-Length": str(model.size), f"Fluffy-Meta-{MARK}": mark.text,
                   **{f"Fluffy-Meta-{key}": text for key, text in fit.items()},
                   **{f"Fluffy-Header-{key}": text for key, text in model.headers.items()},
                   **({"If-None-Match": "*"} if copy is None else {"If-Match": f'"{copy.etag}"'})}
        if model.blake3 is not None:
            headers["Fluffy-Blake3"] = model.blake3
        if model.size > PART_BYTES:
            await self._copy_in_parts(path, model, copy)
            return
        deadline = Deadline.after(COPY_S + model.size / SLOW_BYTES_PER_S)
        body = self._counted(self.source.read(path, model.generation, deadline))
        stored = await self.target.write(path, body, headers, deadline)
        self._note_own("file-put", path, stored)
        self.counts.copied += 1
        if fit != model.said or model.blake3 is None:
            content, etag = stored.get("blake3"), stored.get("etag")
            mark = mark_for(model, self._origins[0], content if isinstance(content, str) else None)
            await self._set_meta(path, model, mark.text, etag if isinstance(etag, str) else "")

    async def _copy_in_parts(self, path: str, model: MirrorFile, copy: MirrorFile | None) -> None:
        """So that what was cut goes on with the part in which it was, also after a kill."""
        mark = mark_for(model, self._origins[0], None)
        shape = Shape(model.size, model.blake3, model.content_type, model.tags, {**model.said, MARK: mark.text},
                      None if copy is None else copy.etag)
        wanted = blake3(json.dumps([model.generation, model.content, shape.document(path)]).encode()).hexdigest()
        before = self._store.sending(self._mirror, path)
        if before is not None and before.print != wanted:
            await self._end_sending(path)
        deadline = Deadline.after(COPY_S + model.size / SLOW_BYTES_PER_S)

        def read(start: int, count: int) -> AsyncIterator[bytes]:
            return self._counted(self.source.read(path, model.generation, deadline, (start, count)))

        stored = await send_in_parts(self.target, read, self.target.path(path), shape,
                                     _Memo(self._store, self._mirror, path, wanted), deadline)
        self._note_own("file-put", path, stored)
        self.counts.copied += 1
        if model.blake3 is None:
            etag, content = stored.get("etag"), stored.get("blake3")
            mark = mark_for(model, self._origins[0], content if isinstance(content, str) else f"etag:{etag}")
            await self._set_meta(path, model, mark.text, etag if isinstance(etag, str) else "")

    async def _end_sending(self, path: str) -> None:
        """Forget an upload that nobody will go on with; its parts are freed."""
        before = self._store.sending(self._mirror, path)
        if before is None:
            return
        try:
            await self.target.ask("DELETE", f"/v1/uploads/{before.upload_id}")
        except (UploadNotFound, UploadFinished, AccessDenied) as error:
            log.info("mirror.upload_was_over", extra={"path": path, "reason": error.message})
        self._store.end_sending(self._mirror, path)

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


@dataclass(frozen=True, slots=True)
class _Memo:
    """Which upload a file is being sent by. Implements `part_sending.Memo`, durably."""

    store: MirrorStore
    mirror: str
    path: str
    print: str

    def known(self) -> str | None:
        found = self.store.sending(self.mirror, self.path)
        return None if found is None or found.print != self.print else found.upload_id

    def begun(self, upload_id: str) -> None:
        self.store.begin_sending(self.mirror, self.path, Sending(upload_id, self.print))

    def ended(self) -> None:
        self.store.end_sending(self.mirror, self.path)


def _fits_header(text: str) -> bool:
    return bool(text) and text.isascii() and text == text.strip()
