"""A part of an object in parts that is a range of another object: its bytes go through this node, not the client.

They have to: the part's entity tag is their MD5. Chunks that are the same as the source's are not stored again.
"""

from __future__ import annotations

import asyncio
import re

from fluffy.base.checks import InvariantBroken
from fluffy.core.access.policy import Act
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.s3.answers import iso_ms, xml_answer
from fluffy.gateways.s3.body import Watch
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.copying import find_source, with_bytes
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.multipart import PART_BYTES_MAX, checksum_of, part_number, session_of, store_part
from fluffy.gateways.s3.versions import id_of
from fluffy.services.downloads import Download
from fluffy.services.groups import first_failure
from fluffy.wire import s3_checksums
from fluffy.wire.ranges import Span
from fluffy.wire.s3_documents import CHECKSUM_ELEMENTS
from fluffy.wire.s3_errors import S3Error

_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{1,15})\Z", re.ASCII)


async def upload_part_copy(door: S3Door, call: S3Call) -> Answer:
    """PUT ?partNumber&uploadId with x-amz-copy-source"""
    door.allow(call, Act.WRITE)
    number = part_number(call)
    source = await find_source(door, call)
    span = _span(call, source.version.size)
    upload = await session_of(door, call)
    version = await with_bytes(door, source)
    watch = Watch({}, None, None)
    watch.use(checksum_of(upload).algorithm)
    parts = () if span is None else (span,)
    with door.desk.downloading:
        download = await door.desk.data_path().downloads.open(version, parts, sends_files=False)
        try:
            pipe = Pipe(0 if span is None else span.count)
            try:
                async with asyncio.TaskGroup() as group:
                    feeding = group.create_task(_feed(download, pipe))
                    await store_part(door, call, upload, number, pipe, watch)
                    feeding.cancel()
            except BaseExceptionGroup as failures:
                raise first_failure(failures) from failures
        finally:
            download.close()
    headers: Headers = []
    if source.facts.versioning:
        headers.append(("x-amz-copy-source-version-id", id_of(version)))
    return xml_answer("CopyPartResult", [
        ("LastModified", iso_ms(door.desk.clock.now_ms())), ("ETag", f'"{watch.md5.hex()}"'),
        (CHECKSUM_ELEMENTS[watch.algorithm], s3_checksums.encode(watch.checksum))], headers=headers)


def _span(call: S3Call, size: int) -> Span | None:
    """Of `x-amz-copy-source-range`; None: no bytes. Raises S3Error."""
    text = call.headers.get("x-amz-copy-source-range")
    if text is None:
        span = Span(0, size) if size else None
    else:
        match = _RANGE.match(text)
        if match is None or int(match[2]) < int(match[1]):
            raise S3Error("InvalidArgument", 400, "The x-amz-copy-source-range value must be of the form"
                                                  " bytes=first-last where first and last are the zero-based offsets of"
                                                  " the first and last bytes to copy",
                          ArgumentName="x-amz-copy-source-range", ArgumentValue=text[:100])
        if int(match[2]) >= size:
            raise S3Error("InvalidRange", 416, f"Range specified is not valid for source object of size: {size}")
        span = Span(int(match[1]), int(match[2]) - int(match[1]) + 1)
    if span is not None and span.count > PART_BYTES_MAX:
        raise S3Error("InvalidRequest", 400, "The specified copy source is larger than the maximum allowable size for a"
                                             f" copy source: {PART_BYTES_MAX}")
    return span


async def _feed(download: Download, pipe: Pipe) -> None:
    await download.send(pipe)
    pipe.end()


class Pipe:
    """A body that is written on one side and read on the other, without memory of its own.

    Implements `services.downloads.BodyOut` and `services.uploads.BodySource`.
    """

    def __init__(self, length: int) -> None:
        self.length: int | None = length
        self._wanted = asyncio.Event()
        self._out = memoryview(b"")
        self._filled = 0
        self._done: asyncio.Future[int] | None = None
        self._has_ended = False

    async def fill(self, out: memoryview) -> int:
        if self._has_ended or not out:
            return 0
        self._out, self._filled = out, 0
        self._done = asyncio.get_running_loop().create_future()
        self._wanted.set()
        return await self._done

    async def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            await self._wanted.wait()
            count = min(len(view), len(self._out) - self._filled)
            self._out[self._filled:self._filled + count] = view[:count]
            self._filled += count
            view = view[count:]
            if self._filled == len(self._out):
                self._hand_over()

    async def send_file(self, file_descriptor: int, offset: int, count: int) -> asyncio.Future[None]:
        raise InvariantBroken("the download was opened without files")

    async def settle(self) -> None:
        """No files are ever in use."""

    def end(self) -> None:
        self._has_ended = True
        if self._done is not None and not self._done.done():
            self._hand_over()

    def _hand_over(self) -> None:
        self._wanted.clear()
        if self._done is not None and not self._done.done():
            self._done.set_result(self._filled)
