"""Deleting objects, one or many."""

from __future__ import annotations

from fluffy.base.errors import NameIllegal, error_for
from fluffy.base.object_keys import object_path
from fluffy.core.access.policy import Act
from fluffy.core.metadata.commands_s3 import DeleteObjects
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.exchange import Point
from fluffy.gateways.s3.answers import empty_answer, matched_etag, xml_answer
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.errors import s3_error
from fluffy.wire.s3_documents import DELETE_BYTES_MAX, parse_delete
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_xml import Node


async def delete_object(door: S3Door, call: S3Call) -> Answer:
    """What is not there is deleted already, and so is what cannot be there."""
    door.allow(call, Act.WRITE)
    etag = matched_etag(call.headers.get("if-match")) or ""
    if not _can_be(call.bucket, call.key):
        return empty_answer(204)
    refused = await _delete(door, call, (call.key,), (etag,) if etag else ())
    if refused:
        raise refused[0]
    return empty_answer(204)


async def delete_objects(door: S3Door, call: S3Call) -> Answer:
    """POST ?delete"""
    door.allow(call, Act.WRITE)
    data = await door.read_body(call, DELETE_BYTES_MAX)
    if not call.watch.is_promised and "x-amz-trailer" not in call.headers:
        raise S3Error("InvalidRequest", 400, "Missing required header for this request: Content-MD5 OR"
                                             " x-amz-checksum-*")
    asked = parse_delete(data)
    lines: list[Node] = []
    keys: list[tuple[str, str]] = []
    for key, version_id, etag in asked.objects:
        if version_id not in (None, "null"):
            error = S3Error("NoSuchVersion", 404, "The specified version does not exist.")
            lines.append(_error(key, error, version_id))
        else:
            keys.append((key, etag or ""))
    real = [(key, etag) for key, etag in keys if _can_be(call.bucket, key)]
    has_etags = any(etag for _, etag in real)
    refused = await _delete(door, call, tuple(key for key, _ in real),
                            tuple(etag for _, etag in real) if has_etags else ()) if real else {}
    failures = {real[at][0]: error for at, error in refused.items()}
    for key, _ in keys:
        failure = failures.get(key)
        if failure is not None:
            lines.append(_error(key, failure))
        elif not asked.quiet:
            lines.append(("Deleted", [("Key", key)]))
    return xml_answer("DeleteResult", lines)


async def _delete(door: S3Door, call: S3Call, keys: tuple[str, ...], etags: tuple[str, ...]) -> dict[int, S3Error]:
    """Delete; returns what could not be, by its place."""
    outcome = await door.desk.propose(DeleteObjects(door.desk.header(call), call.bucket, keys, etags), is_large=True)
    call.point = Point(outcome.seq)
    return {int(at): s3_error(error_for(code)) for at, code in outcome.facts["refused"]}


def _can_be(bucket: str, key: str) -> bool:
    """Whether an object can have that key at all."""
    try:
        object_path(bucket, key)
    except NameIllegal:
        return False
    return True


def _error(key: str, error: S3Error, version_id: str | None = None) -> Node:
    return "Error", [("Key", key), ("VersionId", version_id), ("Code", error.s3_code), ("Message", error.message)]
