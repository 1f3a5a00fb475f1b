"""Signature Version 4: who signed a request, whether it is the one they signed, and for how long that counts.

    signed = parse_authorization(method, raw_path, raw_query, headers)    # None: nobody claims anything
    key = verify(signed, secret_of(signed.access_key), method=…, now_ms=…)  # raises unless all is well

Nothing here knows secrets or clocks. Signatures are compared in constant time.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache

from fluffy.base.units import DAY_MS, MINUTE_MS, SECOND_MS
from fluffy.wire.conditions import parse_http_date
from fluffy.wire.s3_canonical import SignedRequest, canonical_hash, query_pairs
from fluffy.wire.s3_errors import SignatureError

ALGORITHM = "AWS4-HMAC-SHA256"
# As S3 has it: clocks may differ by so much, and a presigned URL lives at most so long.
SKEW_MAX_MS = 15 * MINUTE_MS
PRESIGNED_MAX_S = 7 * DAY_MS // SECOND_MS
AUTHORIZATION_CHARS_MAX = 4096
SIGNED_HEADERS_MAX = 100
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_HEX_64 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_STAMP = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_ACCESS_KEY = re.compile(r"[A-Za-z0-9_.=@+-]{1,128}", re.ASCII)
_DATE = re.compile(r"\d{8}", re.ASCII)
_REGION = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)
_QUERY_NAMES = {name.encode(): name for name in (
    "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")}
# A presigned URL says nothing of its body, so a header about that may come along unsigned.
_UNSIGNED_ALLOWED = frozenset({"x-amz-content-sha256"})


class PayloadKind(Enum):
    """How a body is vouched for. HASHED: by its SHA-256 in the head. The others in `aws-chunked` framing, or not."""

    HASHED = "HASHED"
    UNSIGNED = "UNSIGNED-PAYLOAD"
    SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    SIGNED_CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    UNSIGNED_CHUNKS_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

    @property
    def is_chunked(self) -> bool:
        return self not in (PayloadKind.HASHED, PayloadKind.UNSIGNED)

    @property
    def has_signed_chunks(self) -> bool:
        return self in (PayloadKind.SIGNED_CHUNKS, PayloadKind.SIGNED_CHUNKS_TRAILER)

    @property
    def has_trailer(self) -> bool:
        return self in (PayloadKind.SIGNED_CHUNKS_TRAILER, PayloadKind.UNSIGNED_CHUNKS_TRAILER)


_PAYLOAD_WORDS = frozenset(kind.value for kind in PayloadKind if kind is not PayloadKind.HASHED)


@dataclass(frozen=True, slots=True)
class Signed:
    """What a request says of who signed it. `scope`: date, region, service. `payload`: what it says of its body.

    `expires_s`: of a presigned URL, how long it lives; None: signed in a header.
    """

    access_key: str
    scope: tuple[str, str, str]
    signed_headers: tuple[str, ...]
    signature: str
    amz_date: str
    payload: str
    expires_s: int | None = None

    @property
    def is_presigned(self) -> bool:
        return self.expires_s is not None

    @property
    def payload_kind(self) -> PayloadKind:
        return PayloadKind.HASHED if _HEX_64.fullmatch(self.payload) else PayloadKind(self.payload)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What the signatures of a body's chunks are made with: they go on where the request's own one ended."""

    key: bytes
    scope: str
    seed: str
    amz_date: str


def parse_authorization(method: str, raw_path: str, raw_query: str, headers: Mapping[str, str]) -> Signed | None:
    """Who the request claims to be from; None: it brings no signature at all. Raises S3Error.

    `raw_path`, `raw_query`: percent-encoded, as sent.
    """
    request = SignedRequest(method, raw_path, raw_query, headers)
    pairs = query_pairs(raw_query)
    in_query = any(name in _QUERY_NAMES for name, _ in pairs)
    header = headers.get("authorization", "").strip()
    if header and in_query:
        raise SignatureError("InvalidArgument", 400, "Only one auth mechanism allowed; only the X-Amz-Algorithm query"
                                                     " parameter or the Authorization header should be specified")
    if header:
        return _signed_in_header(request, header)
    return _signed_in_query(request, pairs) if in_query else None


def verify(signed: Signed, secret: str, *, method: str, raw_path: str, raw_query: str, headers: Mapping[str, str],
           now_ms: int) -> SigningKey:
    """Raise S3Error unless this is the request that was signed with `secret`, and its time is now."""
    key = derive_key(secret, signed.scope[0], signed.scope[1])
    scope = scope_text(signed.scope)
    request = SignedRequest(method, raw_path, raw_query, headers)
    pairs = query_pairs(raw_query)
    for joined_by in _joints(signed, request):
        digest = canonical_hash(request, signed.signed_headers, signed.payload, pairs, joined_by=joined_by)
        if is_same(sign(key, f"{ALGORITHM}\n{signed.amz_date}\n{scope}\n{digest}"), signed.signature):
            _check_time(signed, now_ms)
            return SigningKey(key, scope, signed.signature, signed.amz_date)
    raise SignatureError("SignatureDoesNotMatch", 403, "The request signature we calculated does not match the"
                                                       " signature you provided. Check your key and signing method.",
                         AWSAccessKeyId=signed.access_key)


def scope_text(scope: tuple[str, str, str]) -> str:
    return f"{scope[0]}/{scope[1]}/{scope[2]}/aws4_request"


@lru_cache(maxsize=1024)
def derive_key(secret: str, date: str, region: str) -> bytes:
    """The key that a secret gives for one day and region."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(), "sha256").hex()


def is_same(one: str, other: str) -> bool:
    """Whether two signatures are equal, in a time that tells nothing about where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape"))


def _check_time(signed: Signed, now_ms: int) -> None:
    at_ms = parse_stamp(signed.amz_date) or 0
    if signed.expires_s is None:
        refuse_skew(at_ms, now_ms, signed.amz_date)
    elif at_ms > now_ms + SKEW_MAX_MS:
        raise SignatureError("AccessDenied", 403, "Request is not valid yet", X_Amz_Date=signed.amz_date)
    elif now_ms >= at_ms + signed.expires_s * SECOND_MS:
        raise SignatureError("AccessDenied", 403, "Request has expired",
                             Expires=stamp(at_ms + signed.expires_s * SECOND_MS), ServerTime=stamp(now_ms))


def refuse_skew(at_ms: int, now_ms: int, said: str) -> None:
    """Raise SignatureError when a request was signed too long ago, or will be. `said`: the time as it came."""
    if abs(now_ms - at_ms) > SKEW_MAX_MS:
        raise SignatureError("RequestTimeTooSkewed", 403, "The difference between the request time and the server's"
                                                          " time is too large; set the clock.",
                             RequestTime=said, ServerTime=stamp(now_ms), MaxAllowedSkewMilliseconds=SKEW_MAX_MS)


def _joints(signed: Signed, request: SignedRequest) -> tuple[str, ...]:
    """How signers join the values of a header sent several times; a header with ", " in it may have been one."""
    if any(", " in request.headers.get(name, "") for name in signed.signed_headers):
        return ", ", ","
    return (", ",)


def _signed_in_header(request: SignedRequest, header: str) -> Signed:
    code = "AuthorizationHeaderMalformed"
    algorithm, _, rest = header.partition(" ")
    if algorithm == "AWS4-ECDSA-P256-SHA256":
        raise _version_4a()
    if algorithm != ALGORITHM:
        raise _unknown_scheme()
    fields = _authorization_fields(rest)
    access_key, scope = _credential(fields["Credential"], code)
    amz_date = _signed_at(request)
    if scope[0] != amz_date[:8]:
        raise SignatureError(code, 400, "the date of the credential is not that of the request")
    names = _signed_headers(fields["SignedHeaders"], code)
    signature = _signature(fields["Signature"], code)
    _refuse_unsigned(request, names)
    said = request.headers.get("x-amz-content-sha256")
    if said is None:
        raise SignatureError("InvalidRequest", 400, "Missing required header for this request: x-amz-content-sha256")
    return Signed(access_key, scope, names, signature, amz_date, _payload(said))


def _authorization_fields(text: str) -> dict[str, str]:
    if len(text) > AUTHORIZATION_CHARS_MAX:
        raise SignatureError("AuthorizationHeaderMalformed", 400, "the Authorization header is too long")
    fields: dict[str, str] = {}
    for item in text.split(","):
        name, equals, value = item.strip().partition("=")
        if not equals or name in fields:
            raise SignatureError("AuthorizationHeaderMalformed", 400, "the Authorization header is not like"
                                                          " Credential=…, SignedHeaders=…, Signature=…")
        fields[name] = value.strip()
    if sorted(fields) != ["Credential", "Signature", "SignedHeaders"]:
        raise SignatureError("AuthorizationHeaderMalformed", 400, "the Authorization header has a Credential,"
                                                                  " SignedHeaders and a Signature, once each")
    return fields


def _signed_in_query(request: SignedRequest, pairs: tuple[tuple[bytes, bytes], ...]) -> Signed:
    code = "AuthorizationQueryParametersError"
    fields = _query_fields(pairs)
    if fields["X-Amz-Algorithm"] == "AWS4-ECDSA-P256-SHA256":
        raise _version_4a()
    if fields["X-Amz-Algorithm"] != ALGORITHM:
        raise SignatureError(code, 400, f"X-Amz-Algorithm only supports {ALGORITHM}")
    access_key, scope = _credential(fields["X-Amz-Credential"], code)
    amz_date, expires = fields["X-Amz-Date"], fields["X-Amz-Expires"]
    if parse_stamp(amz_date) is None:
        raise SignatureError(code, 400, "X-Amz-Date must be in the ISO8601 Long Format yyyyMMdd'T'HHmmss'Z'")
    if scope[0] != amz_date[:8]:
        raise SignatureError(code, 400, "the date of the credential is not that of X-Amz-Date")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 9):
        raise SignatureError(code, 400, "X-Amz-Expires should be a number")
    expires_s = int(expires)
    if expires_s > PRESIGNED_MAX_S:
        raise SignatureError(code, 400, "X-Amz-Expires must be less than a week (in seconds); that is, the given"
                                        f" X-Amz-Expires must be at most {PRESIGNED_MAX_S} seconds")
    names = _signed_headers(fields["X-Amz-SignedHeaders"], code)
    signature = _signature(fields["X-Amz-Signature"], code)
    _refuse_unsigned(request, names, allowed=_UNSIGNED_ALLOWED)
    said = request.headers.get("x-amz-content-sha256") if "x-amz-content-sha256" in names else None
    return Signed(access_key, scope, names, signature, amz_date,
                  PayloadKind.UNSIGNED.value if said is None else _payload(said), expires_s)


def _query_fields(pairs: tuple[tuple[bytes, bytes], ...]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in pairs:
        known = _QUERY_NAMES.get(name)
        if known is not None:
            if known in fields:
                raise SignatureError("AuthorizationQueryParametersError", 400, f"{known} is given twice")
            fields[known] = value.decode("utf-8", "replace")
    for known in _QUERY_NAMES.values():
        if known not in fields:
            raise SignatureError("AuthorizationQueryParametersError", 400,
                                 f"Query-string authentication requires {', '.join(_QUERY_NAMES.values())};"
                                 f" {known} is missing")
    return fields


def _payload(text: str) -> str:
    """Of the header `x-amz-content-sha256`. Raises S3Error."""
    if _HEX_64.fullmatch(text) is not None or text in _PAYLOAD_WORDS:
        return text
    if text.startswith("STREAMING-AWS4-ECDSA"):
        raise _version_4a()
    raise SignatureError("InvalidArgument", 400, f"x-amz-content-sha256 must be {', '.join(sorted(_PAYLOAD_WORDS))}, or"
                                                 " a valid sha256 value.",
                         ArgumentName="x-amz-content-sha256", ArgumentValue=text[:100])


def parse_credential(text: str) -> tuple[str, tuple[str, str, str]]:
    """(access key, scope) of the credential in a form. Raises S3Error."""
    return _credential(text, "InvalidArgument")


def _credential(text: str, code: str) -> tuple[str, tuple[str, str, str]]:
    parts = text.split("/")
    if len(parts) != 5 or _ACCESS_KEY.fullmatch(parts[0]) is None or _DATE.fullmatch(parts[1]) is None:
        raise SignatureError(code, 400, "the credential is like ACCESS_KEY/YYYYMMDD/REGION/s3/aws4_request")
    access_key, date, region, service, end = parts
    if service != "s3" or end != "aws4_request" or _REGION.fullmatch(region) is None:
        raise SignatureError(code, 400, 'the credential\'s scope ends in a region, "s3" and "aws4_request"')
    return access_key, (date, region, service)


def _signed_headers(text: str, code: str) -> tuple[str, ...]:
    names = tuple(text.split(";"))
    if len(names) > SIGNED_HEADERS_MAX or any(_HEADER_NAME.fullmatch(name) is None for name in names):
        raise SignatureError(code, 400, "SignedHeaders are names of headers in lower case, with ; between them")
    if list(names) != sorted(set(names)):
        raise SignatureError(code, 400, "SignedHeaders are sorted, each once")
    if "host" not in names:
        raise SignatureError(code, 400, "SignedHeaders must have the host header")
    return names


def _refuse_unsigned(request: SignedRequest, signed: tuple[str, ...], allowed: frozenset[str] = frozenset()) -> None:
    """Headers that change what a request means must not be put in by others on its way."""
    for name in request.headers:
        if name.startswith("x-amz-") and name not in signed and name not in allowed:
            raise SignatureError("AccessDenied", 403, "There were headers present in the request which were not signed",
                          HeadersNotSigned=name)


def _signature(text: str, code: str) -> str:
    if not text:
        raise SignatureError(code, 400, "the signature is empty")
    if _HEX_64.fullmatch(text) is None:
        # Not the right one, whatever it was to be.
        raise SignatureError("SignatureDoesNotMatch", 403, "a signature has 64 hexadecimal digits in lower case")
    return text


def _signed_at(request: SignedRequest) -> str:
    """The time stamp of a request signed in a header."""
    text = request.headers.get("x-amz-date")
    if text is None:
        text = request.headers.get("date", "")
        at_s = parse_http_date(text)
        if at_s is not None:
            text = stamp(at_s * SECOND_MS)
    if parse_stamp(text) is None:
        raise SignatureError("AccessDenied", 403, "AWS authentication requires a valid Date or x-amz-date header")
    return text


def parse_stamp(text: str) -> int | None:
    """`20130524T000000Z` in milliseconds since 1970; None: no such time."""
    if _STAMP.fullmatch(text) is None:
        return None
    try:
        moment = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) * SECOND_MS


def stamp(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // SECOND_MS, UTC).strftime("%Y%m%dT%H%M%SZ")


def _version_4a() -> SignatureError:
    return SignatureError("NotImplemented", 501, "Signatures of Version 4A are not supported by this server."
                                                 f" Please use {ALGORITHM}.")


def _unknown_scheme() -> SignatureError:
    return SignatureError("InvalidRequest", 400, "The authorization mechanism you have provided is not supported."
                                                 f" Please use {ALGORITHM}, which is Signature Version 4.")
