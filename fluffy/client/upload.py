"""One upload: stream a body to a peer, and persist with the same request id until the cluster has answered.

A broken upload starts again from its first byte (uploads in parts come later); the request id sees to it that a
commit whose answer was lost is found, not repeated. What the cluster says it stored is compared with what was sent.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from fluffy.base.errors import FluffyError, RequestError, TransferCorrupt, Unavailable
from fluffy.base.paths import parse_file_path
from fluffy.base.units import MIB
from fluffy.client.retry import Persistence
from fluffy.client.sources import Body, Source
from fluffy.client.transport import STALL_S, Call, StallGuard, Transport, read_document

Progress = Callable[[int, int | None], None]
"""Called with (bytes so far, bytes in all or None), on the client's loop. Falls back when a transfer starts again."""

# What is still on its way to the disks of the quorum when the last byte has left us, at the pace of an old hard disk.
SLOW_DISK_BYTES_PER_S = 64 * MIB
COMMIT_MAX_S = 60.0
# Each cut after bytes had flowed costs the whole body again: so often a line does not break by accident.
CUTS_MAX = 10


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """What goes along with the bytes. `if_match`: only over the version with this etag; `create_only`: over none.

    `headers`: those that the cluster keeps with a file (Cache-Control and its like).
    """

    content_type: str | None = None
    meta: Mapping[str, str] | None = None
    tags: Mapping[str, str] | None = None
    if_match: str | None = None
    create_only: bool = False
    request_id: str | None = None
    lock: str | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """How the bytes get into the file. `whole`: they become all of it, so the answer names their hash."""

    method: str = "PUT"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    whole: bool = True


REPLACE = Way()
APPEND = Way("POST", {"append": "1"}, whole=False)


def remote_url(door: str, path: str) -> str:
    """`/v1/files/` and the percent-encoded path."""
    return f"/v1/{door}/{quote(path, safe='/')}" if path else f"/v1/{door}/"


def new_request_id() -> str:
    return uuid.uuid4().hex


async def upload(transport: Transport, path: str, source: Source, options: UploadOptions,
                 progress: Progress | None = None, way: Way = REPLACE) -> dict[str, Any]:
    """Store `source` at `path`; the cluster's answer as it is. Raises its refusal, or the local failure."""
    return await send(transport, _call_for(path, source, options, way), source, progress, whole=way.whole)


async def send(transport: Transport, call: Call, source: Source, progress: Progress | None = None, *,
               whole: bool) -> dict[str, Any]:
    """Make `call` with the bytes of `source` as its body. `whole`: the answer names the BLAKE3 of those bytes."""
    cuts = 0

    async def once(peer: str, patience: Persistence) -> dict[str, Any]:
        nonlocal cuts
        body = await source.open()
        try:
            return await _send(_Sending(transport, source, body, progress, patience.answer_s, whole), peer, call)
        except FluffyError as error:
            cuts += body.sent_bytes > 0
            if body.sent_bytes and not (source.repeatable and cuts < CUTS_MAX):
                error.facts["retry"] = "never"
            raise
        finally:
            await body.close()
    return await transport.persist(once)


@dataclass(frozen=True, slots=True)
class _Sending:
    """One attempt. `answer_s`: how long a commit may take that has nothing left to write; `whole`: see Way."""

    transport: Transport
    source: Source
    body: Body
    progress: Progress | None
    answer_s: float
    whole: bool
    raised: list[Exception] = field(default_factory=list)

    def tell(self) -> None:
        """Tell the caller's `progress`. What that raises is the caller's, not the network's."""
        if self.progress is None:
            return
        try:
            self.progress(self.body.sent_bytes, self.source.size)
        except Exception as error:
            self.raised.append(error)
            raise

    async def blocks(self, stall: StallGuard) -> AsyncIterator[bytes]:
        """The body's blocks; each one asked for proves that the one before it has left."""
        async for block in self.body:
            stall.moved()
            yield block
            self.tell()
        stall.moved(seconds=min(COMMIT_MAX_S, self.answer_s + self.body.sent_bytes / SLOW_DISK_BYTES_PER_S))


async def _send(sending: _Sending, peer: str, call: Call) -> dict[str, Any]:
    body, is_empty = sending.body, sending.source.size == 0
    stall = StallGuard(sending.answer_s if is_empty else STALL_S)
    data = b"" if is_empty else sending.blocks(stall)
    try:
        async with sending.transport.open(peer, call, stall, body=data) as response:
            document = await read_document(response, peer)
    except FluffyError:
        for failure in (body.failure, *sending.raised):
            if failure is not None:
                raise failure from None
        raise
    if sending.whole:
        _check_stored(document, await body.digest(), body.sent_bytes, peer)
    return document


def _check_stored(document: Mapping[str, Any], digest: bytes, sent_bytes: int, peer: str) -> None:
    """The answer must be about the bytes that were sent: TCP's own checksum misses one error in 65,536."""
    stored = document.get("blake3")
    if not isinstance(stored, str):
        raise Unavailable(f"what answers at {peer} is not a Fluffy peer")
    if stored.lower() != digest.hex():
        raise TransferCorrupt(
            f"the cluster stored other bytes than the {sent_bytes} that were sent; upload the file again",
            retry="never", sent=digest.hex(), stored=stored)


def _call_for(path: str, source: Source, options: UploadOptions, way: Way) -> Call:
    headers: dict[str, str] = dict(way.headers)
    if options.content_type is not None:
        headers["Content-Type"] = options.content_type
    if source.size is not None:
        headers["Content-Length"] = str(source.size)
    if source.promised is not None:
        headers["Fluffy-Blake3"] = source.promised.hex()
    if options.if_match is not None:
        headers["If-Match"] = quoted(options.if_match)
    if options.create_only:
        headers["If-None-Match"] = "*"
    if options.lock is not None:
        headers["Fluffy-Lock"] = options.lock
    for key, value in (options.meta or {}).items():
        headers[f"Fluffy-Meta-{key}"] = value
    for key, value in (options.headers or {}).items():
        headers[f"Fluffy-Header-{key}"] = value
    if options.tags:
        headers["Fluffy-Tags"] = urlencode(options.tags, quote_via=quote)
    for name, value in headers.items():
        if not (name + value).isprintable():
            raise RequestError(f"the header {name!r} has a control character")
    return Call(way.method, remote_url("files", parse_file_path(path).text), query=way.query, headers=headers,
                request_id=options.request_id or new_request_id())


def quoted(etag: str) -> str:
    """An entity tag as headers want it."""
    return etag if etag.startswith(('"', "W/")) or etag == "*" else f'"{etag}"'
