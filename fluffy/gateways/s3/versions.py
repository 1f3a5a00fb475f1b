"""Version ids: what the answers about one version of an object say of it."""

from __future__ import annotations

from fluffy.core.metadata.queries_objects import BucketFacts
from fluffy.gateways.http.exchange import Headers
from fluffy.gateways.s3.call import S3Call
from fluffy.wire.s3_errors import S3Error

NULL_VERSION = "null"


def version_headers(door: object, facts: BucketFacts, generation: int) -> Headers:
    """The version id of a generation, in a bucket that keeps versions."""
    return [("x-amz-version-id", str(generation))] if facts.is_versioned else []


def wanted_generation(call: S3Call, text: str | None = None) -> int | None:
    """The generation that the call's `versionId` (or `text`) means; None: the current one. Raises S3Error."""
    version_id = call.query.get("versionId") if text is None else text
    if version_id is None or version_id == NULL_VERSION:
        return None
    if not (version_id.isascii() and version_id.isdigit() and len(version_id) <= 18) or int(version_id) < 1:
        raise S3Error("InvalidArgument", 400, "Invalid version id specified", ArgumentName="versionId",
                      ArgumentValue=version_id[:100])
    return int(version_id)
