"""Copying an object inside the cluster: no byte moves, and none is read but for a checksum of another kind."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import QuerySyntax
from fluffy.base.units import GIB
from fluffy.core.access.policy import Act
from fluffy.core.metadata.commands_s3 import CopyObject
from fluffy.core.metadata.model import FileVersion
from fluffy.core.metadata.own_meta import ACL, PART_SUMS, SUM, SUM_TYPE, of_bytes
from fluffy.core.metadata.queries_objects import BucketFacts
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.native.exchange import Point
from fluffy.gateways.s3.addressing import decoded
from fluffy.gateways.s3.answers import iso_ms, shown_etag, xml_answer
from fluffy.gateways.s3.body import DECODE_IN_THREAD_BYTES
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.naming import acl_of, content_type_of, meta_of, refuse_unbuilt, tags_of
from fluffy.gateways.s3.parts import fitting
from fluffy.gateways.s3.reading import checksum_headers, find_version
from fluffy.gateways.s3.versions import id_of, missing, read_version, stored_headers
from fluffy.gateways.s3.writing import write_conditions
from fluffy.gateways.s3.writing_paths import object_path_of
from fluffy.wire import s3_checksums
from fluffy.wire.conditions import ReadConditions, evaluate
from fluffy.wire.ranges import Span
from fluffy.wire.s3_checksums import algorithm_of
from fluffy.wire.s3_documents import CHECKSUM_ELEMENTS
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_xml import Node

COPY_BYTES_MAX = 5 * GIB


@dataclass(frozen=True, slots=True)
class Source:
    """A version that may be copied by who asks. `call`: for the object that it belongs to."""

    facts: BucketFacts
    call: S3Call
    version: FileVersion


async def copy_object(door: S3Door, call: S3Call) -> Answer:
    """PUT with x-amz-copy-source"""
    door.allow(call, Act.WRITE)
    path = object_path_of(call)
    source = await find_source(door, call)
    version = source.version
    if version.size > COPY_BYTES_MAX:
        raise S3Error("InvalidRequest", 400, "The specified copy source is larger than the maximum allowable size for a"
                                             f" copy source: {COPY_BYTES_MAX}")
    replaces_meta, replaces_tags = _directive(call, "x-amz-metadata-directive"), _directive(
        call, "x-amz-tagging-directive")
    refuse_unbuilt(call.headers)
    is_itself = (source.call.bucket, source.call.key) == (call.bucket, call.key)
    if is_itself and not replaces_meta and "versionId" not in source.call.query and not (
            "x-amz-storage-class" in call.headers or "x-amz-website-redirect-location" in call.headers):
        raise S3Error("InvalidRequest", 400, "This copy request is illegal because it is trying to copy an object to"
                                             " itself without changing the object's metadata, storage class, website"
                                             " redirect location or encryption attributes.")
    if_match, if_none_match = write_conditions(call)
    content_type, meta = None, None
    if replaces_meta:
        content_type, meta = content_type_of(call.headers), fitting({**meta_of(call.headers), **of_bytes(version.meta)})
    elif version.meta.get(ACL, "") != acl_of(call.headers):  # an ACL is never copied
        meta = {name: text for name, text in version.meta.items() if name != ACL}
        if acl_of(call.headers):
            meta[ACL] = acl_of(call.headers)
    sums = await _other_checksum(door, call, source)
    if sums:
        meta = {**{name: text for name, text in (version.meta if meta is None else meta).items()
                   if not name.startswith(SUM) and name != PART_SUMS}, **sums}
    outcome = await door.desk.propose(CopyObject(
        door.desk.header(call), f"{source.call.bucket}/{source.call.key}", version.generation, path.text,
        content_type, meta, tags_of(call.headers) if replaces_tags else None, if_match, if_none_match), is_large=True)
    call.point = Point(outcome.seq)
    headers: Headers = stored_headers(outcome.facts)
    if source.facts.versioning:
        headers.append(("x-amz-copy-source-version-id", id_of(version)))
    return xml_answer("CopyObjectResult", [
        ("LastModified", iso_ms(int(outcome.facts["modified_ms"]))), ("ETag", f'"{shown_etag(version)}"'),
        *checksum_nodes(version if meta is None else replace(version, meta=meta))], headers=headers)


async def _other_checksum(door: S3Door, call: S3Call, source: Source) -> dict[str, str]:
    """The checksum that the call wants and the source has not, as metadata keeps it: all bytes are read for it."""
    wanted = call.headers.get("x-amz-checksum-algorithm")
    algorithm = "" if wanted is None else algorithm_of(wanted)
    if not algorithm or SUM + algorithm in source.version.meta:
        return {}
    version = await with_bytes(door, source)
    summing = Summing(s3_checksums.new(algorithm), door.threads)
    with door.desk.downloading:
        download = await door.desk.data_path().downloads.open(
            version, (Span(0, version.size),) if version.size else (), sends_files=False)
        try:
            await download.send(summing)
        finally:
            download.close()
    return {SUM + algorithm: s3_checksums.encode(summing.hasher.digest()), SUM_TYPE: s3_checksums.FULL_OBJECT}


class Summing:
    """Takes bytes for their checksum alone. Implements `services.downloads.BodyOut`."""

    def __init__(self, hasher: s3_checksums.Hasher, executor: Executor) -> None:
        self.hasher = hasher
        self._executor = executor

    async def write(self, data: bytes | memoryview) -> None:
        if len(data) < DECODE_IN_THREAD_BYTES:
            self.hasher.update(data)
        else:
            await asyncio.get_running_loop().run_in_executor(self._executor, self.hasher.update, data)

    async def send_file(self, file_descriptor: int, offset: int, count: int) -> asyncio.Future[None]:
        raise InvariantBroken("the download was opened without files")

    async def settle(self) -> None:
        """No files are ever in use."""


async def with_bytes(door: S3Door, source: Source) -> FileVersion:
    """The source's version with its bytes or chunks. Raises S3Error when it is gone meanwhile."""
    # By its id: it may have been replaced meanwhile.
    source.call.query = {"versionId": id_of(source.version)}
    version = await read_version(door, source.call, source.facts)
    if version is None or version.version_no != source.version.version_no:
        raise missing(source.call)
    return version


def checksum_nodes(version: FileVersion) -> list[Node]:
    """The checksums of a version as elements."""
    names = {f"x-amz-checksum-{algorithm}": element for algorithm, element in CHECKSUM_ELEMENTS.items()}
    return [(names.get(name, "ChecksumType"), text) for name, text in checksum_headers(version)]


async def find_source(door: S3Door, call: S3Call) -> Source:
    """What `x-amz-copy-source` means, its conditions checked. Raises S3Error, AccessDenied."""
    text, _, query = call.headers["x-amz-copy-source"].partition("?")
    bucket, slash, key = decoded(text).removeprefix("/").partition("/")
    if not bucket or not slash or not key:
        raise S3Error("InvalidArgument", 400, "Copy Source must mention the source bucket and key:"
                                              " sourcebucket/sourcekey", ArgumentName="x-amz-copy-source",
                      ArgumentValue=text[:1000])
    source = S3Call("GET", call.target, call.headers, call.body, call.remote, False)
    source.bucket, source.key = bucket, key
    source.user, source.access_key, source.deadline = call.user, call.access_key, call.deadline
    if query:
        name, _, value = query.partition("=")
        if name != "versionId":
            raise S3Error("InvalidArgument", 400, "Unsupported copy source parameter.",
                          ArgumentName="x-amz-copy-source")
        source.query = {"versionId": decoded(value)}
    # The newest state: a copy is a change, and what it copies may have been put a moment ago through another node.
    call.point = source.point = await door.desk.gate.point("strong", None, call.deadline)
    door.expect_owner(call, bucket, "x-amz-source-expected-bucket-owner")
    try:
        found = await find_version(door, source, has_bytes=False)
    except S3Error as error:
        if error.status != 405:
            raise
        raise S3Error("InvalidRequest", 400, "The source of a copy request may not specifically refer to a delete"
                                             " marker by version id.") from error
    _check_conditions(call, found.version)
    return Source(found.facts, source, found.version)


def _check_conditions(call: S3Call, version: FileVersion) -> None:
    """Raises S3Error: 412, also where a read would be answered 304."""
    get = call.headers.get
    conditions = ReadConditions(
        get("x-amz-copy-source-if-match"), get("x-amz-copy-source-if-none-match"),
        get("x-amz-copy-source-if-modified-since"), get("x-amz-copy-source-if-unmodified-since"))
    try:
        status = evaluate(conditions, etag=shown_etag(version), modified_s=version.modified_ms // 1000)
    except QuerySyntax as error:
        raise S3Error("InvalidArgument", 400, error.message) from error
    if status != 200:
        raise S3Error("PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold",
                      Condition="x-amz-copy-source-If-…")


def _directive(call: S3Call, name: str) -> bool:
    """Whether the headers of the call replace what the source says. Raises S3Error."""
    text = call.headers.get(name, "COPY").upper()
    if text not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", 400, f"Unknown {name.removeprefix('x-amz-')}.", ArgumentName=name,
                      ArgumentValue=text[:100])
    return text == "REPLACE"
