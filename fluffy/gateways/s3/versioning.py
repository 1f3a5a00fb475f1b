"""Whether a bucket gives its versions ids, and all versions that it has."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from fluffy.base.errors import NameIllegal
from fluffy.base.ids import UserNo
from fluffy.base.object_keys import object_path
from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries_object_versions
from fluffy.core.metadata.apply_cluster import TRASH_DAYS_MAX, VERSIONS_MAX
from fluffy.core.metadata.commands_s3 import SetBucketDocument
from fluffy.core.metadata.commands_tree import SetBucketRules
from fluffy.core.metadata.own_meta import packed_checksum
from fluffy.core.metadata.packing import s3_etag
from fluffy.core.metadata.queries_files import owner_name
from fluffy.core.metadata.queries_object_versions import VersionRow
from fluffy.core.metadata.queries_objects import BucketFacts
from fluffy.core.metadata.queries_versions import bucket_rules
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.exchange import Point
from fluffy.gateways.s3.answers import empty_answer, iso_ms, owner_nodes, xml_answer
from fluffy.gateways.s3.buckets import number
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.listing import PAGE_MAX, TEXT_BYTES_MAX, Encode, checksum_nodes, encoding_of, quote_key
from fluffy.gateways.s3.versions import parse_version_id, shown_id
from fluffy.wire.s3_documents import SMALL_BYTES_MAX, parse_versioning
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_xml import Node

# After a group, the walk goes on behind it. No key has a character above.
_LAST = chr(0x10FFFF)


async def get_versioning(door: S3Door, call: S3Call) -> Answer:
    """GET ?versioning"""
    facts = door.allow(call, Act.READ)
    return xml_answer("VersioningConfiguration", [("Status", facts.versioning or None)])


async def put_versioning(door: S3Door, call: S3Call) -> Answer:
    """PUT ?versioning

    From then on the bucket keeps what is replaced or deleted until somebody, or its lifecycle, ends it.
    """
    door.allow(call, Act.ADMINISTER)
    status = parse_versioning(await door.read_body(call, SMALL_BYTES_MAX))
    desk = door.desk
    rules = desk.reader.read(lambda db: bucket_rules(db, call.bucket))
    replication = None if rules is None else rules[0].replication
    await desk.propose(SetBucketRules(desk.header(call, "rules"), call.bucket, TRASH_DAYS_MAX, VERSIONS_MAX,
                                      replication))
    outcome = await desk.propose(SetBucketDocument(desk.header(call), call.bucket, "versioning", status.encode()))
    call.point = Point(outcome.seq)
    return empty_answer(200)


async def list_versions(door: S3Door, call: S3Call) -> Answer:
    """GET ?versions"""
    facts = door.allow(call, Act.READ)
    query = call.query
    prefix, delimiter, encode = query.get("prefix", ""), query.get("delimiter", ""), encoding_of(call)
    key_marker, id_marker = query.get("key-marker", ""), query.get("version-id-marker", "")
    limit = number(call, "max-keys", PAGE_MAX)
    if id_marker and not key_marker:
        raise S3Error("InvalidArgument", 400, "A version-id marker cannot be specified without a key marker.",
                      ArgumentName="version-id-marker")
    if id_marker:
        parse_version_id(id_marker)
    if any(len(text.encode()) > 2 * TEXT_BYTES_MAX for text in (prefix, delimiter, key_marker)):
        raise S3Error("KeyTooLongError", 400, "Your key is too long", MaxSizeAllowed=TEXT_BYTES_MAX)

    def look(db: sqlite3.Connection) -> tuple[list[VersionRow | str], dict[int, str]]:
        lines: list[VersionRow | str] = []
        for line in _lines(db, facts, call.bucket, prefix, delimiter, key_marker, id_marker):
            lines.append(line)
            if len(lines) > limit:
                break
        owners = sorted({line.owner_no for line in lines if isinstance(line, VersionRow)})
        return lines, {no: owner_name(db, UserNo(no)) for no in owners}

    lines, owners = await door.desk.reader.read_in_thread(look, call.deadline)
    page, is_cut = lines[:limit], 0 < limit < len(lines)
    last = page[-1] if page and is_cut else None
    return xml_answer("ListVersionsResult", [
        ("Name", call.bucket), ("Prefix", encode(prefix)), ("KeyMarker", encode(key_marker)),
        ("VersionIdMarker", id_marker),
        ("NextKeyMarker", None if last is None else encode(last if isinstance(last, str) else last.key)),
        ("NextVersionIdMarker", shown_id(last.version_id) if isinstance(last, VersionRow) else None),
        ("MaxKeys", limit), ("Delimiter", encode(delimiter) if delimiter else None),
        ("EncodingType", "url" if encode is quote_key else None), ("IsTruncated", is_cut),
        *(_node(line, encode, owners) for line in page if isinstance(line, VersionRow)),
        *(("CommonPrefixes", [("Prefix", encode(line))]) for line in page if isinstance(line, str))])


def _node(row: VersionRow, encode: Encode, owners: dict[int, str]) -> Node:
    owner: Node = ("Owner", owner_nodes(row.owner_no, owners.get(row.owner_no, "")))
    head: list[Node] = [("Key", encode(row.key)), ("VersionId", shown_id(row.version_id)), ("IsLatest", row.is_latest),
                        ("LastModified", iso_ms(row.modified_ms))]
    if row.is_marker:
        return "DeleteMarker", [*head, owner]
    return "Version", [*head, ("ETag", f'"{s3_etag(row.etag)}"'), *checksum_nodes(packed_checksum(row.meta)),
                       ("Size", row.size), ("StorageClass", "STANDARD"), owner]


def _lines(db: sqlite3.Connection, facts: BucketFacts, bucket: str, prefix: str, delimiter: str, key_marker: str,
           id_marker: str) -> Iterator[VersionRow | str]:
    """Versions, and groups of keys that share what is before the delimiter, behind the markers."""
    after = key_marker
    cut = key_marker.find(delimiter, len(prefix)) if delimiter and key_marker.startswith(prefix) else -1
    if id_marker and cut < 0:
        yield from _rest_of_key(db, facts, bucket, prefix, key_marker, id_marker)
    if cut >= 0:
        after = key_marker[:cut + len(delimiter)] + _LAST
    while True:
        for row in queries_object_versions.walk_versions(db, facts.bucket_no, prefix, after):
            if not facts.versioning and (not row.is_latest or row.is_marker):
                continue
            cut = row.key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                yield row
                continue
            group = row.key[:cut + len(delimiter)]
            yield group
            after = group + _LAST
            break
        else:
            return


def _rest_of_key(db: sqlite3.Connection, facts: BucketFacts, bucket: str, prefix: str, key: str,
                 version_id: str) -> list[VersionRow]:
    """The versions of one key that come after that id.

    The version of a marker may be gone since (who deletes versions page by page does that): then all of its key follow.
    """
    if not facts.versioning or not key.startswith(prefix):
        return []
    try:
        path = object_path(bucket, key)
    except NameIllegal:
        return []
    rows = queries_object_versions.versions_of(db, path)
    at = next((at for at, row in enumerate(rows) if shown_id(row.version_id) == version_id), -1)
    return rows[at + 1:]
