"""What an object is called and said of, as headers: metadata, content headers, tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from fluffy.core.metadata.own_meta import ACL, CONTENT_HEADERS, KEPT_BYTES_MAX, OWN, REDIRECT
from fluffy.wire.s3_documents import OBJECT_TAGS_MAX, checked_tags
from fluffy.wire.s3_errors import S3Error

META_PREFIX = "x-amz-meta-"
# S3's own bounds.
META_BYTES_MAX = 2 * 1024
TAGGING_CHARS_MAX = 8 * 1024
DEFAULT_TYPE = "binary/octet-stream"
# Of headers that would change what is stored, and are not built.
_NOT_BUILT = (
    "x-amz-server-side-encryption-customer-algorithm", "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold",
    "x-amz-grant-full-control", "x-amz-grant-read", "x-amz-grant-read-acp", "x-amz-grant-write-acp",
    "x-amz-write-offset-bytes")
STORAGE_CLASSES = frozenset({"STANDARD", "REDUCED_REDUNDANCY"})
PRIVATE_ACLS = frozenset({"private", "bucket-owner-full-control", "bucket-owner-read", "aws-exec-read"})
_CONTENT_TYPE_BYTES_MAX = 256
# What can stand in a header: forms bring other characters too.
_META_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+\Z")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def refuse_unbuilt(headers: Mapping[str, str]) -> None:
    """Raise S3Error for a header whose wish would not be fulfilled."""
    for name in _NOT_BUILT:
        if name in headers:
            raise S3Error("NotImplemented", 501, f"{name} is not supported by this server", Header=name)
    if headers.get("x-amz-server-side-encryption", "AES256") != "AES256":
        raise S3Error("NotImplemented", 501, "x-amz-server-side-encryption is not supported by this server",
                      Header="x-amz-server-side-encryption")
    if "x-amz-server-side-encryption" in headers:
        raise S3Error("NotImplemented", 501, "x-amz-server-side-encryption is not supported by this server: encrypt the"
                                             " disks instead", Header="x-amz-server-side-encryption")
    if headers.get("x-amz-storage-class", "STANDARD") not in STORAGE_CLASSES:
        raise S3Error("InvalidStorageClass", 400, "The storage class you specified is not valid")


def content_type_of(headers: Mapping[str, str]) -> str:
    """Raises S3Error."""
    text = headers.get("content-type", "").strip()
    if len(text.encode("utf-8", "surrogateescape")) > _CONTENT_TYPE_BYTES_MAX:
        raise S3Error("InvalidArgument", 400, "the Content-Type is too long")
    return _valid(text, "content-type") or DEFAULT_TYPE


def meta_of(headers: Mapping[str, str]) -> dict[str, str]:
    """What is kept of the headers of a put: users' metadata, content headers, an ACL. Raises S3Error."""
    refuse_unbuilt(headers)
    meta = {_meta_name(name): _valid(text, name) for name, text in headers.items()
            if name.startswith(META_PREFIX) and len(name) > len(META_PREFIX)}
    if sum(len(name) + len(text.encode()) for name, text in meta.items()) > META_BYTES_MAX:
        raise S3Error("MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size",
                      MaxSizeAllowed=META_BYTES_MAX)
    for name in CONTENT_HEADERS:
        text = headers.get(name)
        if text is not None and name == "content-encoding":
            # Of the way here, not of the object.
            text = ",".join(part.strip() for part in text.split(",") if part.strip().lower() != "aws-chunked")
        if text:
            meta[OWN + name] = _valid(text, name)
    if REDIRECT in headers:
        meta[OWN + REDIRECT] = _valid(headers[REDIRECT], REDIRECT)
    if sum(len(text.encode()) for name, text in meta.items() if name.startswith(OWN)) > KEPT_BYTES_MAX:
        raise S3Error("MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size",
                      MaxSizeAllowed=KEPT_BYTES_MAX)
    acl = acl_of(headers)
    if acl:
        meta[ACL] = acl
    return meta


def acl_of(headers: Mapping[str, str]) -> str:
    """The canned ACL that opens an object to everybody; empty: it is private. Raises S3Error."""
    canned = headers.get("x-amz-acl", "private")
    if canned in PRIVATE_ACLS:
        return ""
    if canned == "public-read":
        return "public-read"
    if canned in ("public-read-write", "authenticated-read"):
        raise S3Error("NotImplemented", 501, f"the canned ACL {canned} is not supported by this server; grant rights in"
                                             " the bucket")
    raise S3Error("InvalidArgument", 400, "the canned ACL is not known", ArgumentName="x-amz-acl",
                  ArgumentValue=canned[:100])


def tags_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Of the header `x-amz-tagging`. Raises S3Error."""
    text = headers.get("x-amz-tagging", "")
    if not text:
        return {}
    try:
        if len(text) > TAGGING_CHARS_MAX:
            raise ValueError
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError as error:
        raise S3Error("InvalidArgument", 400, "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL"
                                              " query parameters without tag name duplicates.",
                      ArgumentName="x-amz-tagging") from error
    return checked_tags(pairs, tags_max=OBJECT_TAGS_MAX)


def _meta_name(header: str) -> str:
    name = header.removeprefix(META_PREFIX)
    if _META_NAME.match(name) is None:
        raise S3Error("InvalidArgument", 400, "the name of a metadata header has a character that headers cannot have",
                      ArgumentName=header[:100])
    return name


def _valid(text: str, name: str) -> str:
    if _CONTROLS.search(text) is not None:
        raise S3Error("InvalidArgument", 400, f"the header {name} has a control character", ArgumentName=name)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise S3Error("InvalidArgument", 400, f"the header {name} is not UTF-8", ArgumentName=name) from error
    return text
