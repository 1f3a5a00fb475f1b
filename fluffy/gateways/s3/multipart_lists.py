"""What sessions there are in a bucket, and what parts in a session."""

from __future__ import annotations

from collections.abc import Iterator

from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries_object_uploads
from fluffy.core.metadata.queries_object_uploads import ObjectPart, ObjectUpload
from fluffy.core.metadata.upload_table import PARTS_MAX
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.s3.answers import iso_ms, owner_nodes, xml_answer
from fluffy.gateways.s3.buckets import number
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.listing import encoding_of, quote_key
from fluffy.gateways.s3.multipart import checksum_of, session_of
from fluffy.wire.s3_documents import CHECKSUM_ELEMENTS
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_xml import Node

PAGE_MAX = 1_000


async def list_parts(door: S3Door, call: S3Call) -> Answer:
    """GET ?uploadId"""
    door.allow(call, Act.WRITE)
    limit = number(call, "max-parts", PAGE_MAX)
    after = number(call, "part-number-marker", PARTS_MAX) if call.query.get("part-number-marker") else 0
    upload = await session_of(door, call)
    no, checksum = upload.no, checksum_of(upload)
    found = await door.desk.reader.read_in_thread(
        lambda db: queries_object_uploads.object_parts(db, no, after, limit + 1), call.deadline)
    page, is_cut = found[:limit], 0 < limit < len(found)
    owner = owner_nodes(upload.user_no, upload.owner)
    return xml_answer("ListPartsResult", [
        ("Bucket", call.bucket), ("Key", call.key), ("UploadId", upload.upload_id.hex()), ("Initiator", owner),
        ("Owner", owner), ("StorageClass", "STANDARD"), ("PartNumberMarker", after),
        ("NextPartNumberMarker", page[-1].number if page else after), ("MaxParts", limit), ("IsTruncated", is_cut),
        ("ChecksumAlgorithm", checksum.algorithm.upper() if checksum.is_asked else None),
        ("ChecksumType", checksum.kind if checksum.is_asked else None),
        *(_part_node(part) for part in page)])


def _part_node(part: ObjectPart) -> Node:
    return "Part", [("PartNumber", part.number), ("LastModified", iso_ms(part.stored_ms)),
                    ("ETag", f'"{part.md5}"'), ("Size", part.size),
                    *((CHECKSUM_ELEMENTS[algorithm], text) for algorithm, text in part.sums.items())]


async def list_uploads(door: S3Door, call: S3Call) -> Answer:
    """GET ?uploads on a bucket"""
    door.allow(call, Act.WRITE)
    query = call.query
    prefix, delimiter, encode = query.get("prefix", ""), query.get("delimiter", ""), encoding_of(call)
    key_marker, id_marker = query.get("key-marker", ""), query.get("upload-id-marker", "") if query.get(
        "key-marker") else ""
    limit = number(call, "max-uploads", PAGE_MAX)
    if len(prefix.encode()) > 1_024:
        raise S3Error("KeyTooLongError", 400, "Your key is too long")
    now_ms = door.desk.clock.now_ms()
    found = await door.desk.reader.read_in_thread(
        lambda db: queries_object_uploads.object_uploads(db, call.bucket, prefix, now_ms), call.deadline)
    lines: list[ObjectUpload | str] = []
    for line in _lines(_behind(found, key_marker, id_marker), prefix, delimiter):
        if isinstance(line, str) and key_marker.startswith(line):
            continue  # a group that an earlier page showed
        lines.append(line)
        if len(lines) > limit:
            break
    page, is_cut = lines[:limit], 0 < limit < len(lines)
    last = page[-1] if page and is_cut else None
    return xml_answer("ListMultipartUploadsResult", [
        ("Bucket", call.bucket), ("KeyMarker", encode(key_marker)), ("UploadIdMarker", id_marker),
        ("NextKeyMarker", None if last is None else encode(last if isinstance(last, str) else last.key)),
        ("NextUploadIdMarker", last.upload_id.hex() if isinstance(last, ObjectUpload) else None),
        ("Prefix", encode(prefix)), ("Delimiter", encode(delimiter) if delimiter else None),
        ("EncodingType", "url" if encode is quote_key else None), ("MaxUploads", limit), ("IsTruncated", is_cut),
        *(_upload_node(line, encode(line.key)) for line in page if isinstance(line, ObjectUpload)),
        *(("CommonPrefixes", [("Prefix", encode(line))]) for line in page if isinstance(line, str))])


def _behind(found: list[ObjectUpload], key: str, upload_id: str) -> Iterator[ObjectUpload]:
    """What comes after the markers; several uploads of one key stand in the order in which they began.

    The upload of a marker may have ended since (who ends uploads page by page does that): then all of its key follow.
    """
    since = next((upload.no for upload in found if upload.upload_id.hex() == upload_id and upload.key == key), 0)
    for upload in found:
        if not key or upload.key > key or (upload.key == key and upload_id and upload.no > since):
            yield upload


def _lines(uploads: Iterator[ObjectUpload], prefix: str, delimiter: str) -> Iterator[ObjectUpload | str]:
    """Uploads, and groups of those whose keys share what is before the delimiter."""
    last = ""
    for upload in uploads:
        cut = upload.key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            yield upload
            continue
        group = upload.key[:cut + len(delimiter)]
        if group != last:
            yield group
        last = group


def _upload_node(upload: ObjectUpload, key: str) -> Node:
    owner, checksum = owner_nodes(upload.user_no, upload.owner), checksum_of(upload)
    return "Upload", [("Key", key), ("UploadId", upload.upload_id.hex()), ("Initiator", owner), ("Owner", owner),
                      ("StorageClass", "STANDARD"), ("Initiated", iso_ms(upload.begun_ms)),
                      ("ChecksumAlgorithm", checksum.algorithm.upper() if checksum.is_asked else None),
                      ("ChecksumType", checksum.kind if checksum.is_asked else None)]
