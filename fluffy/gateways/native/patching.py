"""Changing a part of a file over HTTP: append, overwrite a range, touch."""

from __future__ import annotations

import re
from contextlib import ExitStack

from fluffy.base.errors import BodyIncomplete, QuerySyntax, Unavailable
from fluffy.base.paths import parse_file_path
from fluffy.core.access.policy import Act
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.answers import version_answer
from fluffy.gateways.native.desk import DataPath, Desk
from fluffy.gateways.native.exchange import Call
from fluffy.gateways.native.files import store_file
from fluffy.gateways.native.tree import touch
from fluffy.gateways.native.writing import creates_only, order_of, refuse_creates_only
from fluffy.services.patches import Changed
from fluffy.services.uploads import PutOrder

# 15 digits: 1 PiB.
_RANGE = re.compile(r"bytes\s+(\d{1,15})-(\d{1,15})/(\*|\d{1,15})", re.ASCII)


async def append_or_touch(desk: Desk, call: Call) -> Answer:
    """POST /v1/files/{path}?append or ?touch"""
    appends, touches = call.flag("append"), call.flag("touch")
    if appends == touches:
        raise QuerySyntax("say what to do with the file: POST …?append adds the body to its end, POST …?touch gives it"
                          " a new time; to store a whole file use PUT")
    if touches:
        if call.body.length != 0:
            raise QuerySyntax("?touch takes no body")
        return await touch(desk, call)
    if creates_only(call):
        return await store_file(desk, call, offset=0)
    return await _change(desk, call, None)


async def patch_file(desk: Desk, call: Call) -> Answer:
    """PATCH /v1/files/{path} with Content-Range: bytes A-B/*"""
    refuse_creates_only(call)
    first, last = _range_of(call)
    if call.body.length not in (None, last - first + 1):
        raise QuerySyntax(f"Content-Range says {last - first + 1} bytes, and the body has {call.body.length}")
    return await _change(desk, call, (first, last))


def _range_of(call: Call) -> tuple[int, int]:
    """First and last byte. Raises QuerySyntax."""
    match = _RANGE.fullmatch(call.headers.get("content-range", "").strip())
    if match is None or int(match[2]) < int(match[1]) or (match[3] != "*" and int(match[3]) <= int(match[2])):
        raise QuerySyntax("a PATCH says which bytes it brings: Content-Range: bytes FIRST-LAST/*")
    return int(match[1]), int(match[2])


async def _change(desk: Desk, call: Call, span: tuple[int, int] | None) -> Answer:
    path = parse_file_path(call.tail)
    data = desk.data_path()
    desk.allow(call, Act.WRITE, path)
    order = order_of(call, path, desk.lock_of(call), is_whole=False)
    await desk.pulse.refuse_without_majority()
    with ExitStack() as place:
        if call.body.length is None or call.body.length > data.settings.inline_max:
            place.enter_context(desk.uploading)
        try:
            changed = await _change_with(data, desk, call, order, span)
        except Unavailable as error:
            raise desk.pulse.explain(error) from error
    desk.gate.learned(changed.outcome.seq)
    return await version_answer(desk, call, path, changed.outcome, offset=changed.offset)


async def _change_with(data: DataPath, desk: Desk, call: Call, order: PutOrder,
                       span: tuple[int, int] | None) -> Changed:
    header = desk.header(call)
    if span is None:
        return await data.patches.append(header, order, call.body)
    return await data.patches.overwrite(header, order, span[0], _Exact(call, span[1] - span[0] + 1))


class _Exact:
    """A body that must have exactly the bytes that Content-Range says. Implements `BodySource`."""

    def __init__(self, call: Call, length: int) -> None:
        self._body = call.body
        self._left = length
        self.length: int | None = length

    async def fill(self, out: memoryview) -> int:
        if self._left == 0:
            return 0
        count = await self._body.fill(out[:self._left])
        self._left -= count
        if self._left and count < len(out):
            raise BodyIncomplete("the body has fewer bytes than Content-Range says; nothing was stored")
        if self._left == 0 and self._body.length is None and await self._body.fill(memoryview(bytearray(1))):
            raise QuerySyntax("the body has more bytes than Content-Range says; nothing was stored")
        return count
