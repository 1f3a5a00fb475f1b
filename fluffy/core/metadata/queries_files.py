"""Questions about one path: what stands there, its versions, its folder."""

from __future__ import annotations

import sqlite3
from typing import Any, Literal

from fluffy.base.ids import UserNo
from fluffy.base.paths import RemotePath
from fluffy.core.metadata.model import FileVersion, FolderInfo
from fluffy.core.metadata.packing import unpack_etag, unpack_manifest, unpack_texts
from fluffy.core.metadata.queries_chunks import chunk_refs
from fluffy.core.metadata.schema import ROOT_NO

# SQLite's largest integer; a number beyond it comes from a request, not from us.
GENERATION_MAX = (1 << 63) - 1
_HEAD = ("SELECT generation, size, blake3, etag, content_type,"
         " ifnull((SELECT name FROM users WHERE user_no = owner_no), ''), modified_ms, meta, tags,"
         " meta_version")
_WHOLE_QUERY = _HEAD + ", manifest, inline FROM versions WHERE version_no = ?"
_HEAD_QUERY = _HEAD + " FROM versions WHERE version_no = ?"


def file_version(db: sqlite3.Connection, path: RemotePath, generation: int | None = None, *,
                 size_max: int | None = None) -> FileVersion | None:
    """The current version of a file, or a kept older or deleted one; None when there is none.

    `size_max`: of a larger file only the head, as from `file_head`; a long manifest takes milliseconds to read.
    """
    version_no = version_no_of(db, path, generation)
    return None if version_no is None else version_by_no(db, path, version_no, size_max=size_max)


def version_by_no(db: sqlite3.Connection, path: RemotePath, version_no: int, *,
                  size_max: int | None = None) -> FileVersion:
    """A version that exists, by its number, as that of the file at `path`."""
    row = db.execute(_WHOLE_QUERY, (version_no,)).fetchone()
    if row[10] is None or (size_max is not None and row[1] > size_max):
        return _version(path, version_no, row, row[11], ())
    return _version(path, version_no, row, None, chunk_refs(db, unpack_manifest(row[10])))


def file_head(db: sqlite3.Connection, path: RemotePath, generation: int | None = None) -> FileVersion | None:
    """Like `file_version` without the bytes: `inline` is None and `chunks` empty, whatever the size."""
    version_no = version_no_of(db, path, generation)
    if version_no is None:
        return None
    return head_by_no(db, path, version_no)


def head_by_no(db: sqlite3.Connection, path: RemotePath, version_no: int) -> FileVersion:
    """Like `version_by_no` without the bytes."""
    return _version(path, version_no, db.execute(_HEAD_QUERY, (version_no,)).fetchone(), None, ())


def _version(path: RemotePath, version_no: int, row: tuple[Any, ...], inline: bytes | None,
             chunks: tuple[Any, ...]) -> FileVersion:
    generation, size, blake3, etag, content_type, owner, modified_ms, meta, tags, meta_version = row[:10]
    return FileVersion(path.text, generation, size, blake3, unpack_etag(etag), content_type, owner, modified_ms,
                       unpack_texts(meta), unpack_texts(tags), inline, chunks, meta_version, isinstance(etag, str),
                       version_no)


def version_no_of(db: sqlite3.Connection, path: RemotePath, generation: int | None) -> int | None:
    if len(path.segments) < 2 or (generation is not None and not 0 < generation <= GENERATION_MAX):
        return None
    folder_no = find_folder(db, path.segments[:-1], removed=generation is not None)
    if folder_no is None:
        return None
    row = db.execute("SELECT no, version_no, generation FROM entries WHERE parent = ? AND key = ?",
                     (folder_no, path.name)).fetchone()
    if generation is None or (row is not None and row[2] == generation):
        return None if row is None else int(row[1])
    if row is None:
        row = (None,)
    old = db.execute("SELECT version_no FROM versions WHERE file_no = ? AND generation = ? AND retired_ms IS NOT NULL",
                     (row[0], generation)).fetchone()
    # Then what was deleted there: several files may have had the path, the last one deleted is meant.
    old = old or db.execute(
        "SELECT version_no FROM tombs t JOIN versions v ON v.file_no = t.no AND v.generation = ?"
        " AND retired_ms IS NOT NULL WHERE parent = ? AND key = ? ORDER BY deleted_ms DESC, t.no DESC LIMIT 1",
        (generation, folder_no, path.name)).fetchone()
    return None if old is None else int(old[0])


def find_folder(db: sqlite3.Connection, segments: tuple[str, ...], *, removed: bool = False) -> int | None:
    """The number of a folder; with `removed` also of one that only shelters trash. None: there is no such folder."""
    folder_no = ROOT_NO
    for segment in segments:
        key = segment + "/"
        row = db.execute("SELECT no FROM entries WHERE parent = ? AND key = ?", (folder_no, key)).fetchone()
        if row is None and removed:
            row = db.execute("SELECT no FROM tombs WHERE parent = ? AND key = ?"
                             " ORDER BY deleted_ms DESC, no DESC LIMIT 1", (folder_no, key)).fetchone()
        if row is None:
            return None
        folder_no = row[0]
    return folder_no


def kind_at(db: sqlite3.Connection, path: RemotePath) -> Literal["file", "folder"] | None:
    """What stands at the path. The root is a folder; a file hides a folder of the same name."""
    if path.is_root:
        return "folder"
    parent_no = find_folder(db, path.segments[:-1])
    if parent_no is None:
        return None
    row = db.execute("SELECT version_no FROM entries WHERE parent = ? AND key IN (?, ?) ORDER BY key LIMIT 1",
                     (parent_no, path.name, path.name + "/")).fetchone()
    if row is None:
        return None
    return "file" if row[0] else "folder"


def folder_info(db: sqlite3.Connection, path: RemotePath) -> FolderInfo | None:
    """A folder or bucket, or the root (owned by nobody); None when there is none."""
    folder_no = find_folder(db, path.segments)
    if folder_no is None:
        return None
    owner_no, created_ms, entries = db.execute(
        "SELECT owner_no, created_ms, entries FROM folders WHERE folder_no = ?", (folder_no,)).fetchone()
    return FolderInfo(path.text, owner_name(db, owner_no), created_ms, entries)


def buckets(db: sqlite3.Connection) -> tuple[FolderInfo, ...]:
    """All buckets, by name."""
    rows = db.execute("SELECT e.key, ifnull(name, ''), f.created_ms, f.entries FROM entries e"
                      " JOIN folders f ON f.folder_no = e.no LEFT JOIN users u ON u.user_no = f.owner_no"
                      " WHERE e.parent = ? ORDER BY e.key", (ROOT_NO,))
    return tuple(FolderInfo(key.removesuffix("/"), owner, created_ms, entries)
                 for key, owner, created_ms, entries in rows)


def owner_name(db: sqlite3.Connection, user_no: UserNo) -> str:
    """The user's name; empty for the cluster itself."""
    row = db.execute("SELECT name FROM users WHERE user_no = ?", (user_no,)).fetchone()
    return "" if row is None else str(row[0])
