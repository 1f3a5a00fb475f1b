"""Files over HTTP: put, get, head, info.

A put is refused as early as it can be: before the body is read when the credential, the path, the right, a folder at
that path or the lack of a majority already decide. A get answers from one version, found once; its bytes come from
`services.downloads`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Awaitable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import NoReturn
from urllib.parse import quote

from fluffy.base.errors import (
    BucketNotFound,
    FileNotFound,
    IsFolder,
    PreconditionFailed,
    QuerySyntax,
    QuotaExceeded,
    RangeIllegal,
    Unavailable,
)
from fluffy.base.ids import UserNo
from fluffy.base.paths import RemotePath, parse_file_path, parse_path
from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries
from fluffy.core.metadata.model import FileVersion
from fluffy.core.metadata.own_meta import said
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.http.heads import render_lines
from fluffy.gateways.native.answers import LOOP_FILE_BYTES_MAX, moment_of, read_version
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.early import Early, room_for, with_use
from fluffy.gateways.native.exchange import Call, Point, json_answer
from fluffy.gateways.native.kept_headers import shown_to, shown_to_all
from fluffy.gateways.native.shapes import file_json, folder_json, stored_json
from fluffy.gateways.native.version_cache import CachedVersion
from fluffy.gateways.native.writing import order_of
from fluffy.services.downloads import BodyOut, Download
from fluffy.wire.conditions import ReadConditions, evaluate, http_date, range_applies
from fluffy.wire.ranges import Span, content_range, multipart_ranges, parse_range, unsatisfied_range

# A bucket keeps at most so many by its rule, in practice a hundred.
VERSIONS_COUNTED_MAX = 1_000
# A page opened from here must not act as a page of ours: its scripts do not run.
SANDBOX: Headers = [("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", "sandbox")]
_CONDITIONAL = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"})
# What may make the answer another one than the whole body.
_SPECIAL = _CONDITIONAL | {"range"}


def put_file(desk: Desk, call: Call) -> Awaitable[Answer]:
    """PUT /v1/files/{path}"""
    return store_file(desk, call)


async def store_file(desk: Desk, call: Call, **more: object) -> Answer:
    """Make the body the file's new version; `more` is answered too."""
    path = parse_file_path(call.tail)
    data = desk.data_path()
    desk.allow(call, Act.WRITE, path)
    order = order_of(call, path, desk.lock_of(call))
    header = desk.header(call)
    await desk.pulse.refuse_without_majority()
    is_large = call.body.length is None or call.body.length > data.settings.inline_max
    try:
        if is_large:
            with desk.uploading:
                order = replace(order, bytes_max=await room_for(
                    desk, call, header.request_id, lambda db: _early(db, path, call.user.user_no)))
                stored = await data.uploads.put(header, order, call.body)
        else:
            stored = await data.uploads.put(header, order, call.body)
    except Unavailable as error:
        raise desk.pulse.explain(error) from error
    except QuotaExceeded as error:
        raise with_use(desk, path.bucket, call.user.user_no, error) from error
    desk.gate.learned(stored.outcome.seq)
    call.point = Point(stored.outcome.seq)
    status = 201 if stored.outcome.facts["created"] else 200
    return json_answer({**stored_json(str(path), stored), **more}, status, [("ETag", f'"{stored.etag}"')])


async def get_file(desk: Desk, call: Call) -> Answer:
    """GET and HEAD /v1/files/{path}"""
    data = desk.data_path()
    found = _found_before(desk, call) or await _lookup(desk, call)
    version = found.version
    if (version.inline and not call.query and not version.meta and call.method == "GET"
            and _SPECIAL.isdisjoint(call.headers)):  # most reads of small files, and the shortest way
        return Answer(200, [], version.inline, prepared=found.whole_lines)
    conditions = _conditions_of(call)
    status = 200 if conditions is None else evaluate(
        conditions, etag=version.etag, modified_s=version.modified_ms // 1000)
    if status == 304:
        return Answer(304, [], prepared=found.lines)
    if status == 412:
        raise PreconditionFailed(etag=version.etag, generation=version.generation)
    headers = _headers_for(call, found)
    status, parts, length = _parts_of(call, conditions, version, headers)
    if call.method == "HEAD" or length == 0:
        return Answer(status, headers, Nothing(), length, prepared=found.lines)
    if version.inline is not None and len(parts) == 1:
        return Answer(status, headers, slice_of(version.inline, parts[0]), prepared=found.lines)
    with ExitStack() as stack:
        stack.enter_context(desk.downloading)
        download = await data.downloads.open(version, parts, sends_files=call.sends_files)
        return Answer(status, headers, Occupied(download, stack.pop_all()), length, prepared=found.lines)


def _early(db: sqlite3.Connection, path: RemotePath, user_no: UserNo) -> Early:
    """What speaks against a file at `path`: a folder, or the quotas; what it has now makes way for the new body."""
    if queries.kind_at(db, path) == "folder":
        return Early(IsFolder(f"{path} is a folder; choose another name for the file", path=str(path)), None)
    left, present = queries.bytes_left(db, path.bucket, user_no), queries.file_head(db, path)
    return Early(None, left if left is None or present is None else left + present.size)


def _found_before(desk: Desk, call: Call) -> CachedVersion | None:
    """The version to send, from memory, when nothing has changed. Raises AccessDenied."""
    found = None if call.query else desk.versions.get(call.tail, call.point.seq)
    if found is not None:
        desk.allow(call, Act.READ, found.path)
    return found


async def _lookup(desk: Desk, call: Call) -> CachedVersion:
    """The version to send. Raises FileNotFound, IsFolder, AccessDenied."""
    path = parse_file_path(call.tail)
    moment_ms = moment_of(desk, call, "at")
    if moment_ms is None:
        desk.allow(call, Act.READ, path)
        version = await _find_version(desk, call, path)
    else:
        version = await _find_version_then(desk, call, path, moment_ms)
    lines = render_lines(_headers_of(version))
    found = CachedVersion(call.point.seq, path, version, lines,
                          lines + render_lines([("Content-Type", version.content_type)]))
    if not call.query:
        desk.versions.put(call.tail, found)
    return found


async def get_info(desk: Desk, call: Call) -> Answer:
    """GET /v1/info/{path}"""
    path = parse_path(call.tail)
    desk.allow(call, Act.READ, path)
    wants_folder = not path.is_root and "generation" not in call.query
    folder = _folder_info(desk, path) if wants_folder else None
    if folder is None and wants_folder and path.is_bucket:
        raise BucketNotFound(f"there is no bucket {path}", path=str(path))
    if folder is not None:
        return folder
    try:
        return await _file_info(desk, call, parse_file_path(call.tail))
    except IsFolder as error:  # it came there since the first look
        folder = _folder_info(desk, path) if wants_folder else None
        if folder is None:
            raise FileNotFound(f"there is no file at {path}", path=str(path)) from error
        return folder


def _folder_info(desk: Desk, path: RemotePath) -> Answer | None:
    """The answer about a folder, from one look: it may move away at any time. None: there is no folder."""
    now_ms = desk.clock.now_ms()
    info, sums, locks = desk.reader.read(lambda db: (
        queries.folder_info(db, path), queries.folder_sums(db, path), queries.locks_at(db, path, now_ms)))
    return None if info is None or sums is None else json_answer(folder_json(info, sums, locks))


async def _file_info(desk: Desk, call: Call, path: RemotePath) -> Answer:
    """The answer about a file, from one look, too. Raises FileNotFound, IsFolder."""
    generation = _generation_of(call)
    now_ms = desk.clock.now_ms()

    def look(db: sqlite3.Connection, size_max: int | None = None) -> tuple[FileVersion | None, Answer | None]:
        version = queries.file_version(db, path, generation, size_max=size_max)
        if version is None:
            return None, None
        nodes = {int(record.node_no): record for record in queries.node_records(db)}
        kept = len(queries.versions(db, path, VERSIONS_COUNTED_MAX))
        return version, json_answer(file_json(version, nodes, queries.locks_at(db, path, now_ms), kept))

    version, answer = desk.reader.read(partial(look, size_max=LOOP_FILE_BYTES_MAX))
    if version is not None and version.size > LOOP_FILE_BYTES_MAX:
        version, answer = await desk.reader.read_in_thread(look, call.deadline)
    if answer is None:
        _refuse_missing(desk, path, generation)
    return answer


def _generation_of(call: Call) -> int | None:
    """The one that is asked for; None: the current one."""
    return call.number("generation", 0, 2**62, least=1) or None


async def _find_version(desk: Desk, call: Call, path: RemotePath) -> FileVersion:
    """The version that is asked for. Raises FileNotFound, IsFolder."""
    generation = _generation_of(call)
    version = await read_version(desk, call, path, generation)
    if version is None:
        _refuse_missing(desk, path, generation)
    return version


def _refuse_missing(desk: Desk, path: RemotePath, generation: int | None) -> NoReturn:
    """Say why there is no such version."""
    if generation is not None:
        raise FileNotFound(f"there is no generation {generation} of {path}", path=str(path), generation=generation)
    if desk.reader.read(lambda db: queries.kind_at(db, path)) == "folder":
        raise IsFolder(f"{path} is a folder; list it with GET /v1/dirs{quote(str(path))}", path=str(path))
    raise FileNotFound(f"there is no file at {path}", path=str(path))


async def _find_version_then(desk: Desk, call: Call, path: RemotePath, moment_ms: int) -> FileVersion:
    """The version that was there at a moment. Raises FileNotFound, AccessDenied, QuerySyntax."""
    if "generation" in call.query:
        raise QuerySyntax("say at= or generation=, not both")
    desk.allow_then(call, path, moment_ms)
    version = await desk.reader.read_in_thread(lambda db: queries.file_at(db, path, moment_ms), call.deadline)
    if version is None:
        raise FileNotFound(f"there was no file at {path} then, or nothing of it is kept", path=str(path))
    return version


def _parts_of(call: Call, conditions: ReadConditions | None, version: FileVersion,
              headers: Headers) -> tuple[int, tuple[Span | bytes, ...], int]:
    """Status, parts and length of the body; adds Content-Type and Content-Range. Raises RangeIllegal."""
    asked = call.headers.get("range")
    spans: tuple[Span, ...] | None = None
    if_range = None if conditions is None else conditions.if_range
    if asked is not None and call.method == "GET" and range_applies(
            if_range, etag=version.etag, modified_s=version.modified_ms // 1000):
        try:
            spans = parse_range(asked, version.size)
        except RangeIllegal as error:
            error.facts["content_range"] = unsatisfied_range(version.size)
            raise
    if spans is None:
        headers.append(("Content-Type", version.content_type))
        whole = (Span(0, version.size),) if version.size else ()
        return 200, whole, version.size
    if len(spans) == 1:
        headers.append(("Content-Type", version.content_type))
        headers.append(("Content-Range", content_range(spans[0], version.size)))
        return 206, spans, spans[0].count
    several = multipart_ranges(spans, version.size, content_type=version.content_type, boundary=os.urandom(16).hex())
    headers.append(("Content-Type", several.content_type))
    parts: list[Span | bytes] = []
    for head, span in zip(several.heads, several.spans, strict=True):
        parts += [head, span]
    return 206, (*parts, several.tail), several.length


def _headers_of(version: FileVersion) -> Headers:
    headers = [("ETag", f'"{version.etag}"'), ("Last-Modified", http_date(version.modified_ms // 1000)),
               ("Accept-Ranges", "bytes"), ("Fluffy-Generation", str(version.generation)), *SANDBOX]
    if version.blake3:
        headers.append(("Fluffy-Blake3", version.blake3.hex()))
    headers.extend((f"Fluffy-Meta-{key}", value) for key, value in said(version.meta).items())
    headers.extend(shown_to_all(version.meta))
    if version.tags:
        headers.append(("Fluffy-Tags", "&".join(
            f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in version.tags.items())))
    return headers


def _headers_for(call: Call, found: CachedVersion) -> Headers:
    """What depends on who asks."""
    headers = shown_to(found.version.meta, call.headers.get("accept-encoding", "")) if found.version.meta else []
    if call.query and call.flag("download"):
        headers = [(name, text) for name, text in headers if name != "Content-Disposition"]
        headers.append(("Content-Disposition", f"attachment; filename*=UTF-8''{quote(found.path.name, safe='')}"))
    return headers


def _conditions_of(call: Call) -> ReadConditions | None:
    """The conditional headers; None when there is none."""
    get = call.headers.get
    if _CONDITIONAL.isdisjoint(call.headers):
        return None
    return ReadConditions(get("if-match"), get("if-none-match"), get("if-modified-since"), get("if-unmodified-since"),
                          get("if-range"))


def slice_of(data: bytes, span: Span | bytes) -> bytes:
    if isinstance(span, bytes) or span.count == len(data):
        return span if isinstance(span, bytes) else data
    return data[span.start:span.start + span.count]


class Nothing:
    """The body of a HEAD answer: it has a length, and no bytes."""

    async def send(self, out: BodyOut) -> None:
        """Send nothing."""

    def close(self) -> None:
        """Nothing is held."""


class Occupied:
    """A download that keeps its place among the downloads until it is closed."""

    def __init__(self, download: Download, place: ExitStack) -> None:
        self._download = download
        self._place = place

    async def send(self, out: BodyOut) -> None:
        await self._download.send(out)

    def close(self) -> None:
        self._download.close()
        self._place.close()
