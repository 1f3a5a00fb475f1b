"""All operations of S3: who answers them, and which nobody does. docs/S3.md is made from this list."""

from __future__ import annotations

from fluffy.gateways.s3.acl import get_bucket_acl, get_object_acl, put_bucket_acl, put_object_acl
from fluffy.gateways.s3.attributes import get_object_attributes
from fluffy.gateways.s3.buckets import (
    create_bucket,
    delete_bucket,
    get_location,
    get_policy_status,
    get_request_payment,
    head_bucket,
    list_buckets,
)
from fluffy.gateways.s3.copying import copy_object
from fluffy.gateways.s3.cors import answer_headers, delete_cors, get_cors, preflight, put_cors
from fluffy.gateways.s3.deleting import delete_object, delete_objects
from fluffy.gateways.s3.lifecycle import delete_lifecycle, get_lifecycle, put_lifecycle
from fluffy.gateways.s3.listing import list_objects_v1, list_objects_v2
from fluffy.gateways.s3.multipart import abort_upload, complete_upload, create_upload, upload_part
from fluffy.gateways.s3.multipart_lists import list_parts, list_uploads
from fluffy.gateways.s3.operation import Level, MoreHeaders, Operation
from fluffy.gateways.s3.part_copies import upload_part_copy
from fluffy.gateways.s3.post_form import post_object
from fluffy.gateways.s3.reading import get_object
from fluffy.gateways.s3.tagging import (
    delete_bucket_tagging,
    delete_object_tagging,
    get_bucket_tagging,
    get_object_tagging,
    put_bucket_tagging,
    put_object_tagging,
)
from fluffy.gateways.s3.versioning import get_versioning, list_versions, put_versioning
from fluffy.gateways.s3.writing import put_object

_BUILT: tuple[Operation, ...] = (
    Operation("ListBuckets", "GET", "service", list_buckets, is_read=True),
    Operation("CreateBucket", "PUT", "bucket", create_bucket),
    Operation("HeadBucket", "HEAD", "bucket", head_bucket, is_read=True),
    Operation("DeleteBucket", "DELETE", "bucket", delete_bucket),
    Operation("GetBucketLocation", "GET", "bucket", get_location, ("location",), is_read=True),
    Operation("GetBucketPolicyStatus", "GET", "bucket", get_policy_status, ("policyStatus",), is_read=True),
    Operation("GetBucketRequestPayment", "GET", "bucket", get_request_payment, ("requestPayment",), is_read=True),
    Operation("GetBucketVersioning", "GET", "bucket", get_versioning, ("versioning",), is_read=True),
    Operation("PutBucketVersioning", "PUT", "bucket", put_versioning, ("versioning",)),
    Operation("ListObjectVersions", "GET", "bucket", list_versions, ("versions",), is_read=True),
    Operation("GetBucketTagging", "GET", "bucket", get_bucket_tagging, ("tagging",), is_read=True),
    Operation("PutBucketTagging", "PUT", "bucket", put_bucket_tagging, ("tagging",)),
    Operation("DeleteBucketTagging", "DELETE", "bucket", delete_bucket_tagging, ("tagging",)),
    Operation("GetBucketAcl", "GET", "bucket", get_bucket_acl, ("acl",), is_read=True),
    Operation("PutBucketAcl", "PUT", "bucket", put_bucket_acl, ("acl",), note="private and public-read"),
    Operation("GetBucketCors", "GET", "bucket", get_cors, ("cors",), is_read=True),
    Operation("PutBucketCors", "PUT", "bucket", put_cors, ("cors",)),
    Operation("DeleteBucketCors", "DELETE", "bucket", delete_cors, ("cors",)),
    Operation("PreflightBucket", "OPTIONS", "bucket", preflight, is_read=True, is_signed=False, note="CORS"),
    Operation("PreflightObject", "OPTIONS", "object", preflight, is_read=True, is_signed=False, note="CORS"),
    Operation("GetBucketLifecycleConfiguration", "GET", "bucket", get_lifecycle, ("lifecycle",), is_read=True),
    Operation("PutBucketLifecycleConfiguration", "PUT", "bucket", put_lifecycle, ("lifecycle",),
              note="expiration of objects, versions, markers and uploads; no transitions"),
    Operation("DeleteBucketLifecycle", "DELETE", "bucket", delete_lifecycle, ("lifecycle",)),
    Operation("ListObjects", "GET", "bucket", list_objects_v1, is_read=True),
    Operation("ListObjectsV2", "GET", "bucket", list_objects_v2, ("list-type",), is_read=True),
    Operation("DeleteObjects", "POST", "bucket", delete_objects, ("delete",)),
    Operation("PostObject", "POST", "bucket", post_object, is_signed=False, note="forms with a signed policy"),
    Operation("PutObject", "PUT", "object", put_object),
    Operation("CopyObject", "PUT", "object", copy_object, header="x-amz-copy-source"),
    Operation("GetObject", "GET", "object", get_object, is_read=True),
    Operation("HeadObject", "HEAD", "object", get_object, is_read=True),
    Operation("DeleteObject", "DELETE", "object", delete_object),
    Operation("GetObjectTagging", "GET", "object", get_object_tagging, ("tagging",), is_read=True),
    Operation("PutObjectTagging", "PUT", "object", put_object_tagging, ("tagging",)),
    Operation("DeleteObjectTagging", "DELETE", "object", delete_object_tagging, ("tagging",)),
    Operation("GetObjectAcl", "GET", "object", get_object_acl, ("acl",), is_read=True),
    Operation("PutObjectAcl", "PUT", "object", put_object_acl, ("acl",), note="private and public-read"),
    Operation("GetObjectAttributes", "GET", "object", get_object_attributes, ("attributes",), is_read=True),
    Operation("CreateMultipartUpload", "POST", "object", create_upload, ("uploads",)),
    Operation("UploadPart", "PUT", "object", upload_part, ("partNumber", "uploadId")),
    Operation("UploadPartCopy", "PUT", "object", upload_part_copy, ("partNumber", "uploadId"), "x-amz-copy-source"),
    Operation("ListParts", "GET", "object", list_parts, ("uploadId",), is_read=True),
    Operation("ListMultipartUploads", "GET", "bucket", list_uploads, ("uploads",), is_read=True),
    Operation("CompleteMultipartUpload", "POST", "object", complete_upload, ("uploadId",),
              sums_are_of_object=True),
    Operation("AbortMultipartUpload", "DELETE", "object", abort_upload, ("uploadId",)),
)


def _missing(level: Level, *lines: tuple[str, str, str]) -> tuple[Operation, ...]:
    """Operations that nobody answers: (name, method, names in the query)."""
    return tuple(Operation(name, method, level, None, tuple(needs.split())) for name, method, needs in lines)


_NOT_BUILT: tuple[Operation, ...] = (
    *_missing(
        "bucket",
        ("GetBucketPolicy", "GET", "policy"), ("PutBucketPolicy", "PUT", "policy"),
        ("DeleteBucketPolicy", "DELETE", "policy"),
        ("GetBucketWebsite", "GET", "website"), ("PutBucketWebsite", "PUT", "website"),
        ("DeleteBucketWebsite", "DELETE", "website"),
        ("GetBucketEncryption", "GET", "encryption"), ("PutBucketEncryption", "PUT", "encryption"),
        ("DeleteBucketEncryption", "DELETE", "encryption"),
        ("GetBucketReplication", "GET", "replication"), ("PutBucketReplication", "PUT", "replication"),
        ("DeleteBucketReplication", "DELETE", "replication"),
        ("GetBucketLogging", "GET", "logging"), ("PutBucketLogging", "PUT", "logging"),
        ("GetBucketNotificationConfiguration", "GET", "notification"),
        ("PutBucketNotificationConfiguration", "PUT", "notification"),
        ("GetBucketAccelerateConfiguration", "GET", "accelerate"),
        ("PutBucketAccelerateConfiguration", "PUT", "accelerate"),
        ("PutBucketRequestPayment", "PUT", "requestPayment"),
        ("GetBucketInventoryConfiguration", "GET", "inventory"),
        ("PutBucketInventoryConfiguration", "PUT", "inventory"),
        ("DeleteBucketInventoryConfiguration", "DELETE", "inventory"),
        ("GetBucketAnalyticsConfiguration", "GET", "analytics"),
        ("PutBucketAnalyticsConfiguration", "PUT", "analytics"),
        ("DeleteBucketAnalyticsConfiguration", "DELETE", "analytics"),
        ("GetBucketMetricsConfiguration", "GET", "metrics"), ("PutBucketMetricsConfiguration", "PUT", "metrics"),
        ("DeleteBucketMetricsConfiguration", "DELETE", "metrics"),
        ("GetBucketIntelligentTieringConfiguration", "GET", "intelligent-tiering"),
        ("PutBucketIntelligentTieringConfiguration", "PUT", "intelligent-tiering"),
        ("DeleteBucketIntelligentTieringConfiguration", "DELETE", "intelligent-tiering"),
        ("GetBucketOwnershipControls", "GET", "ownershipControls"),
        ("PutBucketOwnershipControls", "PUT", "ownershipControls"),
        ("DeleteBucketOwnershipControls", "DELETE", "ownershipControls"),
        ("GetPublicAccessBlock", "GET", "publicAccessBlock"), ("PutPublicAccessBlock", "PUT", "publicAccessBlock"),
        ("DeletePublicAccessBlock", "DELETE", "publicAccessBlock"),
        ("GetObjectLockConfiguration", "GET", "object-lock"), ("PutObjectLockConfiguration", "PUT", "object-lock"),
        ("CreateSession", "GET", "session"),
        ("CreateBucketMetadataTableConfiguration", "POST", "metadataTable"),
        ("GetBucketMetadataTableConfiguration", "GET", "metadataTable"),
        ("DeleteBucketMetadataTableConfiguration", "DELETE", "metadataTable")),
    *_missing(
        "object",
        ("SelectObjectContent", "POST", "select select-type"), ("RestoreObject", "POST", "restore"),
        ("GetObjectTorrent", "GET", "torrent"),
        ("GetObjectLegalHold", "GET", "legal-hold"), ("PutObjectLegalHold", "PUT", "legal-hold"),
        ("GetObjectRetention", "GET", "retention"), ("PutObjectRetention", "PUT", "retention"),
        ("RenameObject", "PUT", "renameObject")),
)
OPERATIONS: tuple[Operation, ...] = (*_BUILT, *_NOT_BUILT)
MORE_HEADERS: tuple[MoreHeaders, ...] = (answer_headers,)
