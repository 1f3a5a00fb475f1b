"""Listings of objects, Version 1 and 2: pages straight from the tree, in the order of keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from fluffy.core.metadata import queries_objects
from fluffy.core.metadata.packing import s3_etag
from fluffy.core.metadata.queries_files import owner_name
from fluffy.core.metadata.queries_objects import ObjectPage
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.s3.answers import iso_ms, owner_nodes
from fluffy.gateways.s3.buckets import number
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.errors import XML_TYPE
from fluffy.wire.s3_cursor import decode_cursor, encode_cursor
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_xml import DECLARATION, NAMESPACE, Node, escape, render_part

PAGE_MAX = 1_000
# What a key may be compared with; longer texts are no keys.
TEXT_BYTES_MAX = 1_024

Encode = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What both versions ask. `after`: the key or group behind which the page begins."""

    prefix: str
    delimiter: str
    after: str
    limit: int
    encode: Encode
    has_owners: bool


async def list_objects_v1(door: S3Door, call: S3Call) -> Answer:
    marker = call.query.get("marker", "")
    asked = _asked(call, marker, has_owners=True)
    page, shown = await _read(door, call, asked)
    head = [("Name", call.bucket), *_said(call, asked), ("Marker", asked.encode(marker)), ("MaxKeys", asked.limit),
            ("IsTruncated", page.next is not None)]
    if page.next is not None and asked.delimiter:
        head.append(("NextMarker", asked.encode(page.next)))
    return _answer(head, page, asked, shown)


async def list_objects_v2(door: S3Door, call: S3Call) -> Answer:
    token, start = call.query.get("continuation-token"), call.query.get("start-after", "")
    if call.query["list-type"] != "2":
        raise S3Error("InvalidArgument", 400, "Invalid List Type specified in Request", ArgumentName="list-type",
                      ArgumentValue=call.query["list-type"][:100])
    # An empty token is none, as clients send it that fill in what they have.
    asked = _asked(call, decode_cursor(token) if token else start,
                   has_owners=call.query.get("fetch-owner", "").lower() == "true")
    page, shown = await _read(door, call, asked)
    head: list[Node] = [("Name", call.bucket), *_said(call, asked), ("MaxKeys", asked.limit),
                        ("KeyCount", len(page.rows)), ("IsTruncated", page.next is not None)]
    if start:
        head.append(("StartAfter", asked.encode(start)))
    if token is not None:
        head.append(("ContinuationToken", token))
    if page.next is not None:
        head.append(("NextContinuationToken", encode_cursor(page.next)))
    return _answer(head, page, asked, shown)


def _asked(call: S3Call, after: str, *, has_owners: bool) -> _Asked:
    """Raises S3Error."""
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    for text in (prefix, delimiter, after):
        if len(text.encode()) > 2 * TEXT_BYTES_MAX:
            raise S3Error("KeyTooLongError", 400, "Your key is too long", MaxSizeAllowed=TEXT_BYTES_MAX)
    return _Asked(prefix, delimiter, after, number(call, "max-keys", PAGE_MAX), encoding_of(call), has_owners)


def encoding_of(call: S3Call) -> Encode:
    """How keys are written: as they are, or percent-encoded. Raises S3Error."""
    encoding = call.query.get("encoding-type")
    if encoding is None or encoding == "":
        return _plain
    if encoding != "url":
        raise S3Error("InvalidArgument", 400, "Invalid Encoding Method specified in Request",
                      ArgumentName="encoding-type", ArgumentValue=encoding[:100])
    return quote_key


def quote_key(text: str) -> str:
    return quote(text, safe="/-_.*")


def _plain(text: str) -> str:
    return text


def _said(call: S3Call, asked: _Asked) -> list[Node]:
    """What was asked, said again."""
    nodes: list[Node] = [("Prefix", asked.encode(asked.prefix))]
    if asked.delimiter:
        nodes.append(("Delimiter", asked.encode(asked.delimiter)))
    if asked.encode is quote_key:
        nodes.append(("EncodingType", "url"))
    return nodes


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a page shows of its objects besides what stands in the page.

    `owners`: by number. `checksums`: by version number (algorithm, kind).
    """

    owners: dict[int, str]
    checksums: dict[int, tuple[str, str]]


async def _read(door: S3Door, call: S3Call, asked: _Asked) -> tuple[ObjectPage, _Shown]:
    facts = door.allow_public(call)
    # Names are those that people log in with: not for whoever only sees the bucket because it is public.
    has_names = not call.is_anonymous and door.desk.sees(call.user, call.bucket)

    def look(db: sqlite3.Connection) -> tuple[ObjectPage, _Shown]:
        page = queries_objects.list_objects(
            db, facts.bucket_no, prefix=asked.prefix, delimiter=asked.delimiter, after=asked.after, limit=asked.limit)
        numbers = {row[4] for row in page.rows if len(row) > 1} if asked.has_owners else set()
        return page, _Shown({no: owner_name(db, no) if has_names else "" for no in sorted(numbers)},
                            queries_objects.page_checksums(db, page))

    return await door.desk.reader.read_in_thread(look, call.deadline)


def checksum_nodes(kept: tuple[str, str] | None) -> list[Node]:
    """What listings say of an object's checksum: which one there is, not the sum."""
    if kept is None:
        return []
    algorithm, kind = kept
    return [("ChecksumAlgorithm", algorithm.upper()), *([("ChecksumType", kind)] if kind else [])]


def _answer(head: Sequence[Node], page: ObjectPage, asked: _Asked, shown: _Shown) -> Answer:
    """A thousand lines are written by hand: a general writer takes four times as long."""
    encode = quote_key if asked.encode is quote_key else escape
    owners = {no: f"<Owner>{render_part(owner_nodes(no, name))}</Owner>" for no, name in shown.owners.items()}
    sums = {kept: render_part(checksum_nodes(kept)) for kept in sorted(set(shown.checksums.values()))}
    lines: list[str] = []
    groups: list[str] = []
    for row in page.rows:
        if len(row) == 1:
            groups.append(f"<CommonPrefixes><Prefix>{encode(row[0])}</Prefix></CommonPrefixes>")
            continue
        key, size, etag, modified_ms, owner_no, version_no = row
        owner = owners[owner_no] if owners else ""
        kept = shown.checksums.get(version_no)
        lines.append(f"<Contents><Key>{encode(key)}</Key><LastModified>{iso_ms(modified_ms)}</LastModified>"
                     f"<ETag>&quot;{escape(s3_etag(etag))}&quot;</ETag>{sums[kept] if kept else ''}"
                     f"<Size>{size}</Size>{owner}<StorageClass>STANDARD</StorageClass></Contents>")
    body = "".join((DECLARATION, f'<ListBucketResult xmlns="{NAMESPACE}">', render_part(head), *lines, *groups,
                    "</ListBucketResult>"))
    return Answer(200, [("Content-Type", XML_TYPE)], body.encode())
