"""Putting an object."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack
from dataclasses import replace

from fluffy.base.errors import Unavailable
from fluffy.base.paths import RemotePath
from fluffy.base.units import GIB
from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries
from fluffy.core.metadata.queries_objects import BucketFacts
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.native.early import Early, room_for
from fluffy.gateways.native.exchange import Point
from fluffy.gateways.s3.answers import empty_answer, matched_etag
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.lifecycle import expiration_headers
from fluffy.gateways.s3.naming import content_type_of, meta_of, tags_of
from fluffy.gateways.s3.versions import stored_headers
from fluffy.gateways.s3.writing_paths import object_path_of
from fluffy.services.uploads import PutOrder
from fluffy.wire.s3_checksums import FULL_OBJECT, TYPE_HEADER, encode, header_of
from fluffy.wire.s3_errors import S3Error

# S3's own bound for one put; larger objects come in parts.
PUT_BYTES_MAX = 5 * GIB


async def put_object(door: S3Door, call: S3Call) -> Answer:
    facts = door.allow(call, Act.WRITE)
    path = object_path_of(call)
    length = call.body.length
    if length is None:
        raise S3Error("MissingContentLength", 411, "You must provide the Content-Length HTTP header.")
    if length > PUT_BYTES_MAX:
        raise S3Error("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size",
                      ProposedSize=length, MaxSizeAllowed=PUT_BYTES_MAX)
    if_match, if_none_match = write_conditions(call)
    order = PutOrder(path.text, content_type_of(call.headers), meta_of(call.headers), tags_of(call.headers),
                     if_match=if_match, if_none_match=if_none_match, watch=call.watch)
    return await store_object(door, call, facts, order)


async def store_object(door: S3Door, call: S3Call, facts: BucketFacts, order: PutOrder) -> Answer:
    """Make the body the object's new version."""
    desk = door.desk
    data, header = desk.data_path(), desk.header(call)
    await desk.pulse.refuse_without_majority()
    with ExitStack() as place:
        length = call.body.length
        if length is None or length > data.settings.inline_max:
            place.enter_context(desk.uploading)
            path = call.path
            order = replace(order, bytes_max=await room_for(
                desk, call, header.request_id, lambda db: _room(db, path, call)))
        try:
            stored = await data.uploads.put(header, order, call.body)
        except Unavailable as error:
            raise desk.pulse.explain(error) from error
    desk.gate.learned(stored.outcome.seq)
    call.point = Point(stored.outcome.seq)
    watch = call.watch
    headers: Headers = [
        ("ETag", f'"{stored.etag}"'), (header_of(watch.algorithm), encode(watch.checksum)),
        (TYPE_HEADER, FULL_OBJECT),
        *stored_headers(stored.outcome.facts),
        *expiration_headers(facts, call.key, stored.size, order.tags, stored.outcome.facts["modified_ms"])]
    return empty_answer(200, headers)


def _room(db: sqlite3.Connection, path: RemotePath, call: S3Call) -> Early:
    left, present = queries.bytes_left(db, path.bucket, call.user.user_no), queries.file_head(db, path)
    return Early(None, left if left is None or present is None else left + present.size)


def write_conditions(call: S3Call) -> tuple[str | None, bool]:
    """(If-Match, whether there must be no object). Raises S3Error."""
    none_match = call.headers.get("if-none-match")
    if none_match is not None and none_match.strip() != "*":
        raise S3Error("NotImplemented", 501, "A header you provided implies functionality that is not implemented: of"
                                             " If-None-Match only * can be demanded of a write", Header="If-None-Match")
    if_match = matched_etag(call.headers.get("if-match"))
    if none_match is not None and if_match is not None:
        raise S3Error("InvalidRequest", 400, "If-Match and If-None-Match cannot both be demanded of a write")
    return if_match, none_match is not None
