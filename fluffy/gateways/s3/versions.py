"""Versions of objects: their ids, the one that a request means, what answers say of them (docs/decisions/019).

The id of a version is its number in the state; `null` is the one that was put while the bucket gave no ids.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import partial
from typing import Any

from fluffy.core.metadata import queries, queries_object_versions
from fluffy.core.metadata.model import FileVersion
from fluffy.core.metadata.own_meta import STAMP
from fluffy.core.metadata.queries_object_versions import NULL_ID, VersionRow
from fluffy.core.metadata.queries_objects import BucketFacts
from fluffy.gateways.http.exchange import Headers
from fluffy.gateways.native.answers import LOOP_FILE_BYTES_MAX
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.writing_paths import object_path_of
from fluffy.wire.conditions import http_date
from fluffy.wire.s3_errors import S3Error

NULL_VERSION = "null"
VERSION_HEADER = "x-amz-version-id"
MARKER_HEADERS = [("x-amz-delete-marker", "true")]


def shown_id(version_id: int) -> str:
    return NULL_VERSION if version_id == NULL_ID else str(version_id)


def id_of(version: FileVersion) -> str:
    return shown_id(version.version_no if STAMP in version.meta else NULL_ID)


def version_headers(facts: BucketFacts, version: FileVersion) -> Headers:
    """The id of a version, in a bucket that gives ids or did."""
    return [(VERSION_HEADER, id_of(version))] if facts.versioning else []


def stored_headers(stored: Mapping[str, Any]) -> Headers:
    """The id of a version just made, of what the log said about it."""
    return [(VERSION_HEADER, shown_id(int(stored["version_no"])))] if "version_no" in stored else []


def wanted_version(call: S3Call) -> int | None:
    """The id that the call's `versionId` means; None: the current version. Raises S3Error."""
    text = call.query.get("versionId")
    return None if text is None else parse_version_id(text)


def parse_version_id(text: str) -> int:
    """Raises S3Error."""
    if text == NULL_VERSION:
        return NULL_ID
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and text[0] != "0"):
        raise S3Error("InvalidArgument", 400, "Invalid version id specified", ArgumentName="versionId",
                      ArgumentValue=text[:100])
    return int(text)


async def read_version(door: S3Door, call: S3Call, facts: BucketFacts, *, has_bytes: bool = True) -> FileVersion | None:
    """The version that the call means, with its bytes or chunks; None: there is none.

    Raises S3Error where a delete marker stands for it. `has_bytes` False: only what is said of it.
    """
    path, wanted = object_path_of(call), wanted_version(call)
    reader = door.desk.reader

    def look(db: sqlite3.Connection, size_max: int | None = None) -> FileVersion | VersionRow | None:
        if wanted is None or not facts.versioning:
            if wanted not in (None, NULL_ID):
                return None
            found = queries.file_version(db, path, size_max=size_max)
            if found is not None or not facts.versioning:
                return found
            rows = queries_object_versions.versions_of(db, path)
            return rows[0] if rows and rows[0].is_marker else None
        row = queries_object_versions.version_by_id(db, path, wanted)
        if row is None or row.is_marker:
            return row
        return queries_object_versions.whole_version(db, path, row, size_max=size_max)

    version = reader.read(partial(look, size_max=LOOP_FILE_BYTES_MAX if has_bytes else 0))
    if isinstance(version, VersionRow):
        raise _marked(call, wanted, version)
    if has_bytes and version is not None and version.size > LOOP_FILE_BYTES_MAX:
        version = await reader.read_in_thread(look, call.deadline)
        if isinstance(version, VersionRow):
            raise _marked(call, wanted, version)
    return version


async def found_version(door: S3Door, call: S3Call, facts: BucketFacts) -> FileVersion:
    """What is said of the version that the call means. Raises S3Error where there is none."""
    version = await read_version(door, call, facts, has_bytes=False)
    if version is None:
        raise missing(call)
    return version


async def changed_version(door: S3Door, call: S3Call) -> tuple[BucketFacts, FileVersion]:
    """The version that a change is about, as the newest state has it. Raises S3Error where there is none."""
    await door.desk.gate.point("strong", None, call.deadline)
    facts = door.bucket_facts(call.bucket)
    return facts, await found_version(door, call, facts)


def missing(call: S3Call) -> S3Error:
    """There is no such version, or no such object."""
    if "versionId" in call.query:
        return S3Error("NoSuchVersion", 404, "The specified version does not exist.", Key=call.key,
                       VersionId=call.query["versionId"])
    return S3Error("NoSuchKey", 404, "The specified key does not exist.", Key=call.key)


def _marked(call: S3Call, wanted: int | None, row: VersionRow) -> S3Error:
    headers = [*MARKER_HEADERS, (VERSION_HEADER, shown_id(row.version_id))]
    if wanted is None:
        return S3Error("NoSuchKey", 404, "The specified key does not exist.", headers=headers, Key=call.key)
    return S3Error("MethodNotAllowed", 405, "The specified method is not allowed against this resource.",
                   headers=[*headers, ("Allow", "DELETE"), ("Last-Modified", http_date(row.modified_ms // 1000))],
                   Method=call.method, ResourceType="DeleteMarker")
