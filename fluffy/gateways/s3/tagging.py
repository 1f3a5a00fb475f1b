"""Tags of objects and of buckets."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries_objects
from fluffy.core.metadata.commands_object_versions import MarkObject
from fluffy.core.metadata.commands_s3 import SetBucketDocument
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.exchange import Point
from fluffy.gateways.s3.answers import empty_answer, xml_answer
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.versions import changed_version, found_version, version_headers
from fluffy.wire.s3_documents import BUCKET_TAGS_MAX, OBJECT_TAGS_MAX, SMALL_BYTES_MAX, parse_tagging, tagging_nodes
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_xml import render

TAGGING = "tagging"


async def get_object_tagging(door: S3Door, call: S3Call) -> Answer:
    """GET ?tagging"""
    facts = door.allow(call, Act.READ)
    version = await found_version(door, call, facts)
    return xml_answer("Tagging", tagging_nodes(version.tags), headers=version_headers(facts, version))


async def put_object_tagging(door: S3Door, call: S3Call) -> Answer:
    """PUT ?tagging"""
    door.allow(call, Act.WRITE)
    tags = parse_tagging(await door.read_body(call, SMALL_BYTES_MAX), tags_max=OBJECT_TAGS_MAX)
    return await _replace(door, call, tags, 200)


async def delete_object_tagging(door: S3Door, call: S3Call) -> Answer:
    """DELETE ?tagging"""
    door.allow(call, Act.WRITE)
    return await _replace(door, call, {}, 204)


async def _replace(door: S3Door, call: S3Call, tags: dict[str, str], status: int) -> Answer:
    facts, version = await changed_version(door, call)
    outcome = await door.desk.propose(MarkObject(door.desk.header(call), call.path.text, version.version_no, tags))
    call.point = Point(outcome.seq)
    return empty_answer(status, version_headers(facts, version))


async def get_bucket_tagging(door: S3Door, call: S3Call) -> Answer:
    """GET ?tagging on a bucket"""
    door.allow(call, Act.READ)
    document = door.desk.reader.read(lambda db: queries_objects.bucket_document(db, call.bucket, TAGGING))
    if document is None:
        raise S3Error("NoSuchTagSet", 404, "The TagSet does not exist", BucketName=call.bucket)
    return xml_answer("Tagging", tagging_nodes(parse_tagging(document, tags_max=BUCKET_TAGS_MAX)))


async def put_bucket_tagging(door: S3Door, call: S3Call) -> Answer:
    """PUT ?tagging on a bucket"""
    door.allow(call, Act.ADMINISTER)
    tags = parse_tagging(await door.read_body(call, SMALL_BYTES_MAX), tags_max=BUCKET_TAGS_MAX)
    return await set_document(door, call, TAGGING, render("Tagging", tagging_nodes(tags)), 204)


async def delete_bucket_tagging(door: S3Door, call: S3Call) -> Answer:
    """DELETE ?tagging on a bucket"""
    door.allow(call, Act.ADMINISTER)
    return await set_document(door, call, TAGGING, None, 204)


async def set_document(door: S3Door, call: S3Call, name: str, body: bytes | None, status: int) -> Answer:
    """Keep what a bucket says of itself, or take it away."""
    outcome = await door.desk.propose(SetBucketDocument(door.desk.header(call), call.bucket, name, body))
    call.point = Point(outcome.seq)
    return empty_answer(status)
