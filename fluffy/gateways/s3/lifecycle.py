"""A bucket's lifecycle: kept here, carried out by the leader's keeper (services/keeper/lifecycle.py)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries_objects
from fluffy.core.metadata.queries_objects import BucketFacts
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.errors import XML_TYPE
from fluffy.gateways.s3.tagging import set_document
from fluffy.wire.conditions import http_date
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_lifecycle import LIFECYCLE_BYTES_MAX, Rule, abort, expiry, named, parse_lifecycle, rendered

LIFECYCLE = "lifecycle"


async def get_lifecycle(door: S3Door, call: S3Call) -> Answer:
    """GET ?lifecycle"""
    door.allow(call, Act.READ)
    document = door.desk.reader.read(lambda db: queries_objects.bucket_document(db, call.bucket, LIFECYCLE))
    if document is None:
        raise S3Error("NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist",
                      BucketName=call.bucket)
    return Answer(200, [("Content-Type", XML_TYPE)], document)


async def put_lifecycle(door: S3Door, call: S3Call) -> Answer:
    """PUT ?lifecycle"""
    door.allow(call, Act.ADMINISTER)
    rules = named(parse_lifecycle(await door.read_body(call, LIFECYCLE_BYTES_MAX)), lambda: os.urandom(18).hex())
    return await set_document(door, call, LIFECYCLE, rendered(rules), 200)


async def delete_lifecycle(door: S3Door, call: S3Call) -> Answer:
    """DELETE ?lifecycle"""
    door.allow(call, Act.ADMINISTER)
    return await set_document(door, call, LIFECYCLE, None, 204)


def expiration_headers(facts: BucketFacts, key: str, size: int, tags: Mapping[str, str], since_ms: int) -> Headers:
    """When the newest version of an object will be over."""
    if not facts.lifecycle:
        return []
    found = expiry(_rules_of(facts.lifecycle), key, size, tags, since_ms)
    return [] if found is None else [("x-amz-expiration", f'expiry-date="{http_date(found[0] // 1000)}", rule-id="'
                                                          f'{quote(found[1], safe="")}"')]


def abort_headers(facts: BucketFacts, key: str, begun_ms: int) -> Headers:
    """When an upload in parts will be given up."""
    found = abort(_rules_of(facts.lifecycle), key, begun_ms) if facts.lifecycle else None
    return [] if found is None else [("x-amz-abort-date", http_date(found[0] // 1000)),
                                     ("x-amz-abort-rule-id", quote(found[1], safe=""))]


@lru_cache(maxsize=256)
def _rules_of(document: bytes) -> tuple[Rule, ...]:
    return parse_lifecycle(document)
