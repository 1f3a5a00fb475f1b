"""Bytes through the supernode: reading with a cache, for who cannot reach the peers; writing what goes to several."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from fluffy.base.deadline import Deadline
from fluffy.base.errors import BodyIncomplete, ClusterUnreachable, FluffyError
from fluffy.base.units import KIB
from fluffy.gateways.http.exchange import Answer, BodyStream, Headers
from fluffy.gateways.native.exchange import Call
from fluffy.gateways.native.files import SANDBOX
from fluffy.gateways.supernode.desk import SupernodeDesk
from fluffy.gateways.supernode.places import Place, hidden, unseen
from fluffy.services.downloads import BodyOut
from fluffy.services.federation.file_cache import BLOCK_BYTES, BlockKey
from fluffy.services.uploads import BodySource
from fluffy.wire.conditions import ReadConditions, evaluate, http_date
from fluffy.wire.ranges import Span, content_range, parse_range
from fluffy.wire.times import parse_time_ms

BLOCK_S = 30.0
PIECE_BYTES = 256 * KIB
# What a client may say of a file that it writes.
CARRIED = ("content-type", "content-md5", "fluffy-blake3", "if-match", "if-none-match", "fluffy-lock")
UPLOAD_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One generation of a file of a cluster, as the cluster tells of it."""

    place: Place
    size: int
    generation: int
    etag: str
    content_type: str
    modified_ms: int
    tags: Mapping[str, str]
    meta: Mapping[str, str]

    def key(self, block: int) -> BlockKey:
        return BlockKey(self.place.cluster, self.place.path.text, self.generation, self.etag, block)


async def look_up(desk: SupernodeDesk, place: Place, deadline: Deadline, generation: str | None = None) -> RemoteFile:
    """Ask the file's cluster, as the asker. Raises FileNotFound for what the asker may not see."""
    client = desk.clusters.get(place.cluster).client
    query = f"?generation={quote(generation)}" if generation else ""
    try:
        found = await client.ask("GET", f"/v1/info{quote(str(place.path))}{query}", deadline,
                                 asker=place.asker.token_hash)
    except FluffyError as error:
        raise unseen(error, place) from error
    try:
        if found["kind"] != "file":
            raise hidden(place.cluster, place.path)
        return RemoteFile(place, int(found["size"]), int(found["generation"]), str(found["etag"]),
                          str(found["content_type"]), parse_time_ms(str(found["modified"])), _texts(found.get("tags")),
                          _texts(found.get("meta")))
    except (KeyError, TypeError, ValueError) as error:
        raise ClusterUnreachable(f"cluster {place.cluster} answers what makes no sense") from error


def read_answer(desk: SupernodeDesk, call: Call, file: RemoteFile) -> Answer:
    """The file's bytes, or the part of them that is asked for."""
    headers: Headers = [
        ("Content-Type", file.content_type), ("ETag", f'"{file.etag}"'), ("Accept-Ranges", "bytes"),
        ("Last-Modified", http_date(file.modified_ms // 1000)), ("Fluffy-Generation", str(file.generation)),
        ("Fluffy-Cluster", file.place.cluster), *SANDBOX]
    none_match = call.headers.get("if-none-match")
    if none_match is not None:
        conditions = ReadConditions(if_none_match=none_match)
        if evaluate(conditions, etag=file.etag, modified_s=file.modified_ms // 1000) == 304:
            return Answer(304, headers)
    span = Span(0, file.size) if file.size else None
    status, text = 200, call.headers.get("range")
    spans = parse_range(text, file.size) if text is not None else None
    if spans is not None and len(spans) == 1:
        span, status = spans[0], 206
        headers.append(("Content-Range", content_range(span, file.size)))
    if span is None:
        return Answer(status, headers)
    with ExitStack() as place:
        place.enter_context(desk.transfers)
        headers.append(("Fluffy-Cache", "hit" if _is_cached(desk, file, span) else "miss"))
        body: BodyStream = _Blocks(desk, file, span, place.pop_all())
    return Answer(status, headers, body, span.count)


def _is_cached(desk: SupernodeDesk, file: RemoteFile, span: Span) -> bool:
    return all(desk.cache.has(file.key(block))
               for block in range(span.start // BLOCK_BYTES, span.last // BLOCK_BYTES + 1))


class _Blocks:
    """A part of a file as blocks of the cache. Implements `http.exchange.BodyStream`."""

    def __init__(self, desk: SupernodeDesk, file: RemoteFile, span: Span, place: ExitStack) -> None:
        self._desk = desk
        self._file = file
        self._span = span
        self._place = place

    async def send(self, out: BodyOut) -> None:
        span = self._span
        for block in range(span.start // BLOCK_BYTES, span.last // BLOCK_BYTES + 1):
            data = await self._desk.cache.get(self._file.key(block), partial(self._fetch, block))
            begin = max(span.start - block * BLOCK_BYTES, 0)
            await out.write(memoryview(data)[begin:span.last + 1 - block * BLOCK_BYTES])

    def close(self) -> None:
        self._place.close()

    async def _fetch(self, block: int) -> bytes:
        file, first = self._file, block * BLOCK_BYTES
        last = min(first + BLOCK_BYTES, file.size) - 1
        client = self._desk.clusters.get(file.place.cluster).client
        data = bytearray()
        target = f"/v1/files{quote(str(file.place.path))}?generation={file.generation}"
        async for piece in client.read(target, Deadline.after(BLOCK_S), asker=file.place.asker.token_hash,
                                       headers={"Range": f"bytes={first}-{last}", "If-Match": f'"{file.etag}"'}):
            data += piece
            if len(data) > last - first + 1:
                break
        if len(data) != last - first + 1:
            raise ClusterUnreachable(f"cluster {file.place.cluster} sent {len(data)} bytes of {last - first + 1}")
        return bytes(data)


async def write(desk: SupernodeDesk, call: Call, place: Place, tags: str | None) -> Mapping[str, Any]:
    """Send the request's body to one cluster, as the asker. `tags`: instead of those that the client gave."""
    headers = {name: call.headers[name] for name in CARRIED if name in call.headers}
    headers |= {name: value for name, value in call.headers.items()
                if name.startswith(("fluffy-meta-", "fluffy-header-"))}
    told = tags if tags is not None else call.headers.get("fluffy-tags")
    if told is not None:
        headers["Fluffy-Tags"] = told
    if call.body.length is not None:
        headers["Content-Length"] = str(call.body.length)
    headers["Fluffy-Request-Id"] = call.request_id
    client = desk.clusters.get(place.cluster).client
    try:
        return await client.write(f"/v1/files{quote(str(place.path))}", _pieces(call.body), Deadline.after(UPLOAD_S),
                                  asker=place.asker.token_hash, headers=headers)
    except FluffyError as error:
        raise unseen(error, place) from error


def is_begun(call: Call) -> bool:
    """Whether some of the body was taken, so that it cannot be sent to somebody else."""
    return bool(getattr(call.body, "received", 0))


async def _pieces(body: BodySource) -> AsyncIterator[bytes]:
    """The body in pieces. A new buffer each: the last one may still be on its way."""
    left = body.length
    while left is None or left > 0:
        buffer = bytearray(PIECE_BYTES if left is None else min(left, PIECE_BYTES))
        count = await body.fill(memoryview(buffer))
        if left is not None:
            left -= count
            if count < len(buffer):
                raise BodyIncomplete
        yield bytes(memoryview(buffer)[:count])
        if count < len(buffer):
            return


def _texts(value: Any) -> dict[str, str]:
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, Mapping) else {}
