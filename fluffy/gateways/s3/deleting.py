"""Deleting objects and versions of objects, one or many."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from fluffy.base.errors import NameIllegal, PreconditionFailed, error_for
from fluffy.base.object_keys import object_path
from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries_object_versions
from fluffy.core.metadata.commands_object_versions import DeleteVersions
from fluffy.core.metadata.commands_s3 import DeleteObjects
from fluffy.core.metadata.packing import s3_etag
from fluffy.core.metadata.queries_object_versions import NULL_ID, VersionRow
from fluffy.core.metadata.queries_objects import BucketFacts
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.native.exchange import Point
from fluffy.gateways.s3.answers import empty_answer, matched_etag, xml_answer
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.errors import s3_error
from fluffy.gateways.s3.multipart import LOOP_XML_BYTES_MAX
from fluffy.gateways.s3.versions import MARKER_HEADERS, NULL_VERSION, VERSION_HEADER, parse_version_id, shown_id
from fluffy.wire.s3_documents import DELETE_BYTES_MAX, parse_delete
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_xml import Node

# Conditions that S3 has for directory buckets only.
_UNCHECKED = ("x-amz-if-match-last-modified-time", "x-amz-if-match-size")


@dataclass(slots=True)
class _Item:
    """One thing to delete, and what became of it. `version_id`: as asked; None: the object as such.

    `marker_id`: of the delete marker that was made, or deleted.
    """

    key: str
    version_id: str | None
    etag: str
    error: S3Error | None = None
    marker_id: str | None = None


async def delete_object(door: S3Door, call: S3Call) -> Answer:
    """What is not there is deleted already, and so is what cannot be there."""
    facts = door.allow(call, Act.WRITE)
    for name in _UNCHECKED:
        if name in call.headers:
            raise S3Error("NotImplemented", 501, f"{name} is not supported by this server: use If-Match", Header=name)
    item = _Item(call.key, call.query.get("versionId"), matched_etag(call.headers.get("if-match")) or "")
    if item.version_id is not None:
        parse_version_id(item.version_id)
    await _delete(door, call, facts, [item])
    if item.error is not None:
        raise item.error
    headers: Headers = [] if item.marker_id is None else list(MARKER_HEADERS)
    shown = item.marker_id or item.version_id
    if item.marker_id is not None or (shown is not None and facts.versioning):
        headers.append((VERSION_HEADER, shown or NULL_VERSION))
    return empty_answer(204, headers)


async def delete_objects(door: S3Door, call: S3Call) -> Answer:
    """POST ?delete"""
    facts = door.allow(call, Act.WRITE)
    data = await door.read_body(call, DELETE_BYTES_MAX)
    if not call.watch.is_promised and "x-amz-trailer" not in call.headers:
        raise S3Error("InvalidRequest", 400, "Missing required header for this request: Content-MD5 OR"
                                             " x-amz-checksum-*")
    asked = parse_delete(data) if len(data) <= LOOP_XML_BYTES_MAX else await asyncio.to_thread(parse_delete, data)
    items = [_Item(key, version_id, etag or "") for key, version_id, etag in asked.objects]
    await _delete(door, call, facts, items)
    return xml_answer("DeleteResult", [_line(item) for item in items if item.error is not None or not asked.quiet])


def _line(item: _Item) -> Node:
    if item.error is not None:
        return "Error", [("Key", item.key), ("VersionId", item.version_id), ("Code", item.error.s3_code),
                         ("Message", item.error.message)]
    return "Deleted", [("Key", item.key), ("VersionId", item.version_id),
                       ("DeleteMarker", True if item.marker_id is not None else None),
                       ("DeleteMarkerVersionId", item.marker_id)]


async def _delete(door: S3Door, call: S3Call, facts: BucketFacts, items: Sequence[_Item]) -> None:
    """Delete what can be deleted, and note in the items what became of them."""
    if any(item.version_id is not None for item in items):
        # Whether the bucket has versions is asked of the newest state: it decides what is deleted for good.
        await door.desk.gate.point("strong", None, call.deadline)
        facts = door.bucket_facts(call.bucket)
    whole: list[_Item] = []
    versions: list[_Item] = []
    for item in items:
        if _can_be(call.bucket, item.key):
            # Where no version ever had an id, `null` is the object as such.
            is_whole = item.version_id is None or (item.version_id == shown_id(NULL_ID) and not facts.versioning)
            (whole if is_whole else versions).append(item)
    if whole:
        await _delete_objects(door, call, whole)
    if versions:
        await _delete_versions(door, call, versions)


async def _delete_objects(door: S3Door, call: S3Call, items: list[_Item]) -> None:
    etags = tuple(item.etag for item in items)
    outcome = await door.desk.propose(DeleteObjects(
        door.desk.header(call), call.bucket, tuple(item.key for item in items), etags if any(etags) else ()),
        is_large=True)
    call.point = Point(outcome.seq)
    for at, code in outcome.facts["refused"]:
        items[at].error = s3_error(error_for(code))
    for at, marker_id in outcome.facts.get("markers", ()):
        items[at].marker_id = shown_id(marker_id)


async def _delete_versions(door: S3Door, call: S3Call, items: list[_Item]) -> None:
    known: list[tuple[_Item, int]] = []
    for item in items:
        try:
            version_no = parse_version_id(item.version_id or "")
        except S3Error as error:
            item.error = error
            continue
        known.append((item, version_no))
    if any(version_no == NULL_ID for _, version_no in known):
        known = [(item, _null_no(door, call, item.key) if version_no == NULL_ID else version_no)
                 for item, version_no in known]
    known = await _as_expected(door, call, [(item, version_no) for item, version_no in known if version_no])
    if not known:
        return
    outcome = await door.desk.propose(DeleteVersions(
        door.desk.header(call), call.bucket, tuple((item.key, version_no) for item, version_no in known)),
        is_large=True)
    call.point = Point(outcome.seq)
    for at, code in outcome.facts["refused"]:
        known[at][0].error = s3_error(error_for(code))
    for at in outcome.facts["markers"]:
        known[at][0].marker_id = known[at][0].version_id


async def _as_expected(door: S3Door, call: S3Call, known: list[tuple[_Item, int]]) -> list[tuple[_Item, int]]:
    """Those whose version has the entity tag that was demanded; of the others the error is noted.

    What is read stays true until the deletion: versions never change.
    """
    keys = sorted({item.key for item, _ in known if item.etag})
    if not keys:
        return known

    def look(db: sqlite3.Connection) -> dict[tuple[str, int], VersionRow]:
        return {(key, row.version_no): row for key in keys
                for row in queries_object_versions.versions_of(db, object_path(call.bucket, key))}

    rows = await door.desk.reader.read_in_thread(look, call.deadline)
    for item, version_no in known:
        row = rows.get((item.key, version_no))
        if item.etag and row is not None and (row.is_marker or item.etag not in ("*", s3_etag(row.etag))):
            item.error = s3_error(PreconditionFailed())
    return [(item, version_no) for item, version_no in known if item.error is None]


def _null_no(door: S3Door, call: S3Call, key: str) -> int:
    """The number of the version without an id; 0: there is none."""
    path = object_path(call.bucket, key)

    def look(db: sqlite3.Connection) -> int:
        row = queries_object_versions.version_by_id(db, path, NULL_ID)
        return 0 if row is None else row.version_no

    return door.desk.reader.read(look)


def _can_be(bucket: str, key: str) -> bool:
    """Whether an object can have that key at all."""
    try:
        object_path(bucket, key)
    except NameIllegal:
        return False
    return True
