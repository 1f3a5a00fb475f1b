"""Signature Version 2: what boto3 signs URLs and forms by unless it is told otherwise, and old tools everything.

HMAC-SHA1 over the method, the date (or when a URL ends), the headers of S3, and the address with those names of the
query that made another request of it in those days. What a signer left out (pages of a listing, the body) whoever
carries the URL may choose; nothing of that gives more than the right that was signed for.

boto3 puts the headers of S3 that it signed into the query of a URL, where they count as headers.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from fluffy.base.units import SECOND_MS
from fluffy.wire.conditions import parse_http_date
from fluffy.wire.s3_errors import SignatureError
from fluffy.wire.s3_signature import PRESIGNED_MAX_S, SKEW_MAX_MS, PayloadKind, parse_stamp, refuse_skew

SCHEME = "AWS"
QUERY_NAMES = ("AWSAccessKeyId", "Signature", "Expires")
SIGNATURE_BYTES = 20
# Of the query of a URL, besides the headers of S3.
HOISTED = ("content-type", "content-md5")
_ACCESS_KEY = re.compile(r"[A-Za-z0-9_.=@+-]{1,128}", re.ASCII)
_HEX_64 = re.compile(r"[0-9a-f]{64}", re.ASCII)
SIGNED_NAMES = frozenset({
    "accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle", "location",
    "logging", "metrics", "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment",
    "response-cache-control", "response-content-disposition", "response-content-encoding",
    "response-content-language", "response-content-type", "response-expires", "restore", "select", "select-type",
    "storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website"})


@dataclass(frozen=True, slots=True)
class SignedV2:
    """What a request says of who signed it. `expires_s`: of a URL, when it ends, since 1970; None: in a header."""

    access_key: str
    signature: str
    expires_s: int | None
    payload: str

    @property
    def is_presigned(self) -> bool:
        return self.expires_s is not None

    @property
    def payload_kind(self) -> PayloadKind:
        return PayloadKind.HASHED if _HEX_64.fullmatch(self.payload) else PayloadKind(self.payload)


def in_header(header: str, headers: Mapping[str, str]) -> SignedV2:
    """Of `AWS KEY:SIGNATURE`. Raises SignatureError."""
    access_key, colon, signature = header.removeprefix(SCHEME).strip().partition(":")
    if not colon:
        raise SignatureError("InvalidArgument", 400, "AWS authorization header is invalid.  Expected"
                                                     " AwsAccessKeyId:signature", ArgumentName="Authorization")
    _signed_at(headers)
    return SignedV2(_checked(access_key), _decodable(signature), None, _payload(headers))


def in_query(fields: Mapping[str, str], headers: Mapping[str, str]) -> SignedV2:
    """Raises SignatureError. `fields`: of the query."""
    if any(name not in fields for name in QUERY_NAMES):
        raise SignatureError("AccessDenied", 403, "Query-string authentication requires the Signature, Expires and"
                                                  " AWSAccessKeyId parameters")
    expires = fields["Expires"]
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
        raise SignatureError("AccessDenied", 403, "Invalid date (should be seconds since epoch)")
    # A plus that nobody encoded.
    signature = fields["Signature"].replace(" ", "+")
    return SignedV2(_checked(fields["AWSAccessKeyId"]), _decodable(signature), int(expires), _payload(headers))


def verify_v2(signed: SignedV2, secret: str, *, method: str, resource: str, raw_query: str,
              headers: Mapping[str, str], now_ms: int) -> None:
    """Raise SignatureError unless this is the request that was signed with `secret`, and its time is now.

    `resource`: the path as sent, behind the bucket's name where the host named it. A bucket alone is signed with a
    slash behind it, with which not all send it.
    """
    fields = [field.partition("=") for field in raw_query.split("&") if field]
    said = {**{name: unquote(value) for name, _, value in fields if name.startswith("x-amz-") or name in HOISTED},
            **headers}
    if signed.expires_s is not None:
        date = str(signed.expires_s)
    else:
        date = "" if "x-amz-date" in headers else headers.get("date", "")
    covered = sorted((name, f"{name}{equals}{unquote(value)}") for name, equals, value in fields
                     if name in SIGNED_NAMES)
    places = (resource, resource + "/") if resource.count("/") == 1 else (resource,)
    for joined_by, place in itertools.product((", ", ","), places):
        target = place + ("?" + "&".join(text for _, text in covered) if covered else "")
        lines = "".join(f"{name}:{said[name].strip().replace(', ', joined_by)}\n" for name in sorted(said)
                        if name.startswith("x-amz-"))
        text = (f"{method}\n{said.get('content-md5', '')}\n{said.get('content-type', '')}\n{date}\n{lines}{target}")
        if is_signed(text, secret, signed.signature):
            _check_time(signed, headers, now_ms)
            return
    raise SignatureError("SignatureDoesNotMatch", 403, "The request signature we calculated does not match the"
                                                       " signature you provided. Check your key and signing method.",
                         AWSAccessKeyId=signed.access_key)


def is_signed(text: str, secret: str, signature: str) -> bool:
    """Whether `signature` (base64) is that of the text. In a time that tells nothing about where it differs."""
    digest = hmac.digest(secret.encode(), text.encode("utf-8", "surrogateescape"), "sha1")
    return hmac.compare_digest(digest, _decoded(signature))


def _check_time(signed: SignedV2, headers: Mapping[str, str], now_ms: int) -> None:
    if signed.expires_s is not None:
        if now_ms >= signed.expires_s * SECOND_MS:
            raise SignatureError("AccessDenied", 403, "Request has expired", Expires=signed.expires_s)
        if signed.expires_s * SECOND_MS > now_ms + PRESIGNED_MAX_S * SECOND_MS + SKEW_MAX_MS:
            raise SignatureError("AccessDenied", 403, f"a presigned URL counts for at most {PRESIGNED_MAX_S} seconds",
                                 Expires=signed.expires_s)
        return
    refuse_skew(_signed_at(headers), now_ms, headers.get("x-amz-date") or headers.get("date", ""))


def _signed_at(headers: Mapping[str, str]) -> int:
    """Milliseconds since 1970. Raises SignatureError: it is not said when."""
    text = headers.get("x-amz-date") or headers.get("date", "")
    at_ms, at_s = parse_stamp(text), parse_http_date(text)
    if at_ms is None and at_s is None:
        raise SignatureError("AccessDenied", 403, "AWS authentication requires a valid Date or x-amz-date header")
    return at_ms if at_ms is not None else (at_s or 0) * SECOND_MS


def _payload(headers: Mapping[str, str]) -> str:
    """How the body comes: as it is, or with checksums behind it, which this version does not sign."""
    said = headers.get("x-amz-content-sha256")
    chunked = PayloadKind.UNSIGNED_CHUNKS_TRAILER.value
    if said == chunked or (said is None and "x-amz-trailer" in headers
                           and "aws-chunked" in headers.get("content-encoding", "").lower()):
        return chunked
    if said is not None and said.startswith("STREAMING-"):
        raise SignatureError("InvalidRequest", 400, "a body in signed chunks wants a signature of AWS4-HMAC-SHA256")
    return said if said is not None and _HEX_64.fullmatch(said) else PayloadKind.UNSIGNED.value


def _checked(access_key: str) -> str:
    if _ACCESS_KEY.fullmatch(access_key) is None:
        raise SignatureError("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our"
                                                        " records.")
    return access_key


def _decodable(signature: str) -> str:
    if len(_decoded(signature)) != SIGNATURE_BYTES:
        raise SignatureError("SignatureDoesNotMatch", 403, "a signature of Version 2 is 20 bytes in base64")
    return signature


def _decoded(signature: str) -> bytes:
    try:
        return base64.b64decode(signature.encode("ascii", "replace"), validate=True)
    except (binascii.Error, ValueError):
        return b""
