"""Questions about versions of objects: one by its id, all of a bucket in key order.

What S3 shows of a bucket that never had versions is the current objects, as `null`. Otherwise all stamped versions and
markers (versioning.py), and of the others the newest; what was deleted is found through the tombs, also in folders
that only shelter those.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from fluffy.base.paths import RemotePath
from fluffy.core.metadata import queries_files
from fluffy.core.metadata.model import FileVersion
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.metadata.versioning import is_stamped
from fluffy.core.metadata.versions import MARKER_ETAG

NULL_ID = 0
# A folder is read in steps of so many names.
STEP_ROWS = 500
# More versions of one object than a bucket keeps.
VERSIONS_OF_OBJECT_MAX = 20_000
_NAMES = ("SELECT key, no, version_no FROM entries WHERE parent = ? AND key > ?"
          " UNION ALL SELECT key, no, 0 FROM tombs WHERE parent = ? AND key > ? AND expires_ms IS NULL"
          " ORDER BY 1, 3 DESC, 2 DESC LIMIT ?")
_VERSIONS = ("SELECT version_no, generation, size, etag, modified_ms, owner_no, meta, retired_ms, tags FROM versions"
             " WHERE file_no = ? AND (retired_ms IS NULL OR expires_ms > 0) ORDER BY generation DESC LIMIT ?")


@dataclass(frozen=True, slots=True)
class VersionRow:
    """`etag` is packed. `version_id`: NULL_ID: the `null` version. `since_ms`: when it stopped being the newest.

    None: it is.
    """

    key: str
    version_no: int
    version_id: int
    generation: int
    size: int
    etag: str | bytes
    modified_ms: int
    owner_no: int
    meta: bytes | None
    is_marker: bool
    is_latest: bool
    since_ms: int | None
    tags: bytes | None


def versions_of(db: sqlite3.Connection, path: RemotePath) -> list[VersionRow]:
    """The versions of one object that S3 knows, newest first."""
    found = _file_no(db, path)
    return [] if found is None else list(_visible(db, path.text.partition("/")[2], found))


def version_by_id(db: sqlite3.Connection, path: RemotePath, version_id: int) -> VersionRow | None:
    """The version of that id; None: the object has none."""
    return next((row for row in versions_of(db, path) if row.version_id == version_id), None)


def whole_version(db: sqlite3.Connection, path: RemotePath, row: VersionRow, *,
                  size_max: int | None = None) -> FileVersion:
    """The version of a row that was read in the same look. `size_max`: as in `file_version`."""
    return queries_files.version_by_no(db, path, row.version_no, size_max=size_max)


def walk_versions(db: sqlite3.Connection, bucket_no: int, prefix: str, after: str) -> Iterator[VersionRow]:
    """All versions of objects with that prefix, by key from the one after `after` on, newest first. In a thread.

    A long walk, which the caller ends when it has enough.
    """
    at = prefix.rfind("/") + 1
    base = prefix[:at]
    folder_no: int | None = bucket_no
    for segment in base.split("/")[:-1]:
        folder_no = None if folder_no is None else _inside(db, folder_no, segment + "/")
    if folder_no is None or (after > base and not after.startswith(base)):
        return
    inside = after[at:] if after and after.startswith(base) else None
    for key, file_no in _walk(db, folder_no, base, prefix[at:], inside):
        yield from _visible(db, key, file_no)


def _walk(db: sqlite3.Connection, folder_no: int, base: str, name_prefix: str,
          after: str | None) -> Iterator[tuple[str, int]]:
    """(key, file number) below a folder. `after`: a place inside it, None: from its beginning."""
    query = _NAMES.replace(">", ">=")
    last, seen = max(name_prefix, "" if after is None else after.partition("/")[0]), None
    while True:
        rows = db.execute(query, (folder_no, last, folder_no, last, STEP_ROWS)).fetchall()
        for key, no, _ in rows:
            last = key
            if key == seen:
                continue  # older files that had the name
            seen = key
            if not key.startswith(name_prefix):
                return
            if key.endswith("/"):
                is_inside = after is not None and after.startswith(key)
                if after is None or is_inside or key > after:
                    yield from _walk(db, no, base + key, "", after[len(key):] if after and is_inside else None)
            elif after is None or key > after:
                yield base + key, no
        if len(rows) < STEP_ROWS:
            return
        query = _NAMES


def _inside(db: sqlite3.Connection, folder_no: int, key: str) -> int | None:
    """The folder of that key, also one that only shelters what was deleted in it."""
    row = db.execute("SELECT no FROM entries WHERE parent = ? AND key = ?", (folder_no, key)).fetchone()
    if row is None:
        row = db.execute("SELECT no FROM tombs WHERE parent = ? AND key = ? AND expires_ms IS NULL"
                         " ORDER BY deleted_ms DESC, no DESC LIMIT 1", (folder_no, key)).fetchone()
    return None if row is None else int(row[0])


def _file_no(db: sqlite3.Connection, path: RemotePath) -> int | None:
    folder_no: int | None = ROOT_NO
    for segment in path.segments[:-1]:
        folder_no = None if folder_no is None else _inside(db, folder_no, segment + "/")
    if folder_no is None:
        return None
    row = db.execute("SELECT no FROM entries WHERE parent = ? AND key = ?", (folder_no, path.name)).fetchone()
    if row is None:
        row = db.execute("SELECT no FROM tombs WHERE parent = ? AND key = ? AND expires_ms IS NULL"
                         " ORDER BY generation DESC, deleted_ms DESC, no DESC LIMIT 1",
                         (folder_no, path.name)).fetchone()
    return None if row is None else int(row[0])


def _visible(db: sqlite3.Connection, key: str, file_no: int) -> Iterator[VersionRow]:
    has_null = False
    newer_ms: int | None = None
    is_first = True
    for version_no, generation, size, etag, modified_ms, owner_no, meta, retired_ms, tags in db.execute(
            _VERSIONS, (file_no, VERSIONS_OF_OBJECT_MAX)):
        has_id = is_stamped(meta)
        if not has_id and has_null:
            continue
        has_null = has_null or not has_id
        is_marker = etag == MARKER_ETAG
        yield VersionRow(key, version_no, version_no if has_id else NULL_ID, generation, size, etag,
                         modified_ms, owner_no, meta, is_marker, is_first and (retired_ms is None or is_marker),
                         newer_ms if not is_first else None if retired_ms is None or is_marker else retired_ms,
                         tags)
        newer_ms = modified_ms
        is_first = False
