"""Getting an object, or what is said of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from fluffy.base.errors import AccessDenied, QuerySyntax, RangeIllegal
from fluffy.core.metadata.model import FileVersion
from fluffy.core.metadata.own_meta import ACL, CONTENT_HEADERS, OWN, REDIRECT, SUM, SUM_TYPE, said
from fluffy.core.metadata.queries_objects import BucketFacts
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.native.files import SANDBOX, Nothing, Occupied, slice_of
from fluffy.gateways.s3.answers import shown_etag
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.lifecycle import expiration_headers
from fluffy.gateways.s3.naming import META_PREFIX
from fluffy.gateways.s3.parts import part_span, part_sums
from fluffy.gateways.s3.versions import missing, read_version, version_headers
from fluffy.wire.conditions import ReadConditions, evaluate, http_date, range_applies
from fluffy.wire.ranges import Span, content_range, parse_range, unsatisfied_range
from fluffy.wire.s3_checksums import ALGORITHMS, TYPE_HEADER, header_of
from fluffy.wire.s3_errors import S3Error

_OVERRIDES = {
    "response-content-type": "Content-Type", "response-content-language": "Content-Language",
    "response-expires": "Expires", "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition", "response-content-encoding": "Content-Encoding"}
_SHOWN = {name: "-".join(part.capitalize() for part in name.split("-")) for name in CONTENT_HEADERS}


@dataclass(frozen=True, slots=True)
class Found:
    """A version that may be read by who asks."""

    facts: BucketFacts
    version: FileVersion


async def get_object(door: S3Door, call: S3Call) -> Answer:
    """GET and HEAD."""
    found = await find_version(door, call)
    version = found.version
    status = _checked(call, version)
    headers = version_head(door, call, found)
    if status == 304:
        return Answer(304, [(name, value) for name, value in headers if name not in ("Content-Length",)])
    status, span = _span_of(call, version, headers)
    headers.extend(_overrides(call, headers))
    length = 0 if span is None else span.count
    if call.method == "HEAD" or span is None:
        return Answer(status, headers, Nothing(), length)
    if version.inline is not None:
        return Answer(status, headers, slice_of(version.inline, span))
    desk = door.desk
    with ExitStack() as stack:
        stack.enter_context(desk.downloading)
        download = await desk.data_path().downloads.open(version, (span,), sends_files=call.sends_files)
        return Answer(status, headers, Occupied(download, stack.pop_all()), length)


async def find_version(door: S3Door, call: S3Call, *, has_bytes: bool = True) -> Found:
    """The version that the call means. Raises AccessDenied, S3Error: NoSuchBucket, NoSuchKey, NoSuchVersion.

    `has_bytes` False: only what is said of it.
    """
    facts = door.bucket_facts(call.bucket)
    denied: AccessDenied | None = None
    try:
        door.allow_public(call)
    except AccessDenied as error:
        denied = error
    try:
        version = await read_version(door, call, facts, has_bytes=has_bytes)
    except S3Error as error:  # there is a delete marker: who may not read does not hear of it
        raise denied or error from error
    if denied is not None and (version is None or version.meta.get(ACL) != "public-read"):
        raise denied
    if version is None:
        raise missing(call)
    return Found(facts, version)


def _checked(call: S3Call, version: FileVersion) -> int:
    """200 or 304. Raises S3Error: 412."""
    get = call.headers.get
    conditions = ReadConditions(get("if-match"), get("if-none-match"), get("if-modified-since"),
                                get("if-unmodified-since"))
    try:
        status = evaluate(conditions, etag=shown_etag(version), modified_s=version.modified_ms // 1000)
    except QuerySyntax as error:
        raise S3Error("InvalidArgument", 400, error.message) from error
    if status == 412:
        condition = "If-Match" if conditions.if_match is not None else "If-Unmodified-Since"
        raise S3Error("PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold",
                      Condition=condition)
    return status


def version_head(door: S3Door, call: S3Call, found: Found) -> Headers:
    """What every answer about a version says of it."""
    version = found.version
    headers: Headers = [
        ("ETag", f'"{shown_etag(version)}"'), ("Last-Modified", http_date(version.modified_ms // 1000)),
        ("Accept-Ranges", "bytes"), *SANDBOX, *version_headers(found.facts, version)]
    for name, shown in _SHOWN.items():
        if OWN + name in version.meta:
            headers.append((shown, version.meta[OWN + name]))
    if OWN + REDIRECT in version.meta:
        headers.append((REDIRECT, version.meta[OWN + REDIRECT]))
    headers.extend((META_PREFIX + name, text) for name, text in said(version.meta).items())
    if version.tags:
        headers.append(("x-amz-tagging-count", str(len(version.tags))))
    if "versionId" not in call.query:
        headers.extend(expiration_headers(found.facts, call.key, version.size, version.tags, version.modified_ms))
    return headers


def checksum_headers(version: FileVersion) -> Headers:
    """The checksums that are kept of a version."""
    found: Headers = [(header_of(algorithm), version.meta[SUM + algorithm]) for algorithm in ALGORITHMS
                      if SUM + algorithm in version.meta]
    return [*found, (TYPE_HEADER, version.meta[SUM_TYPE])] if found and SUM_TYPE in version.meta else found


def part_checksum_headers(version: FileVersion, number: int) -> Headers:
    """The checksum that is kept of one part."""
    sums = part_sums(version)
    if not sums:
        return []
    algorithm, text = sums[number - 1]
    return [(header_of(algorithm), text), (TYPE_HEADER, version.meta.get(SUM_TYPE, ""))]


def _span_of(call: S3Call, version: FileVersion, headers: Headers) -> tuple[int, Span | None]:
    """Status and bytes of the answer; says in `headers` what belongs to them. Raises S3Error."""
    headers.append(("Content-Type", version.content_type))
    asked, part = call.headers.get("range"), call.query.get("partNumber")
    wants_sums = call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    if part is not None:
        if asked is not None:
            raise S3Error("InvalidRequest", 400, "Cannot specify both Range header and partNumber query parameter")
        span, count = part_span(version, part)
        if count:
            headers.append(("x-amz-mp-parts-count", str(count)))
        if wants_sums:
            is_whole = span is None or span.count == version.size
            headers.extend(checksum_headers(version) if is_whole else part_checksum_headers(version, int(part)))
        if span is None:
            return 206 if count else 200, None
        headers.append(("Content-Range", content_range(span, version.size)))
        return 206, span
    spans = None
    if asked is not None and range_applies(call.headers.get("if-range"), etag=shown_etag(version),
                                           modified_s=version.modified_ms // 1000):
        try:
            spans = parse_range(asked, version.size)
        except RangeIllegal as error:
            raise S3Error("InvalidRange", 416, "The requested range is not satisfiable",
                          headers=[("Content-Range", unsatisfied_range(version.size))], RangeRequested=asked[:100],
                          ActualObjectSize=version.size) from error
    if spans is None or len(spans) > 1:  # S3 gives one range, or all
        if wants_sums:
            headers.extend(checksum_headers(version))
        return 200, Span(0, version.size) if version.size else None
    headers.append(("Content-Range", content_range(spans[0], version.size)))
    return 206, spans[0]


def _overrides(call: S3Call, headers: Headers) -> Headers:
    """What the query wants to hear instead; takes out of `headers` what that replaces. Raises S3Error."""
    found = {header: call.query[name] for name, header in _OVERRIDES.items() if name in call.query}
    if not found:
        return []
    if call.is_anonymous:
        raise S3Error("InvalidRequest", 400, "Request specific response headers cannot be used for anonymous GET"
                                             " requests.")
    for header, value in found.items():
        if any(character in value for character in "\r\n\0"):
            raise S3Error("InvalidArgument", 400, "a header is one line", ArgumentName=header)
    headers[:] = [(name, value) for name, value in headers if name not in found]
    return list(found.items())
