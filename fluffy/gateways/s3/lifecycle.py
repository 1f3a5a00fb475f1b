"""A bucket's lifecycle: kept here, carried out by the leader's keeper (services/keeper/lifecycle.py)."""

from __future__ import annotations

from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries_objects
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.errors import XML_TYPE
from fluffy.gateways.s3.tagging import set_document
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_lifecycle import LIFECYCLE_BYTES_MAX, parse_lifecycle, rendered

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
    rules = parse_lifecycle(await door.read_body(call, LIFECYCLE_BYTES_MAX))
    return await set_document(door, call, LIFECYCLE, rendered(rules), 200)


async def delete_lifecycle(door: S3Door, call: S3Call) -> Answer:
    """DELETE ?lifecycle"""
    door.allow(call, Act.ADMINISTER)
    return await set_document(door, call, LIFECYCLE, None, 204)
