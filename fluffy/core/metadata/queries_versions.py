"""Questions about old generations, the trash, and how buckets keep their files."""

from __future__ import annotations

import sqlite3

from fluffy.base.errors import QuerySyntax
from fluffy.base.paths import RemotePath
from fluffy.core.metadata.bucket_rules import Keeping, Rules, keeping
from fluffy.core.metadata.model import ClusterSettings, TrashItem, TrashPage, VersionLine
from fluffy.core.metadata.packing import unpack_etag
from fluffy.core.metadata.queries_files import find_folder, owner_name
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.metadata.versions import MARKER_ETAG

# What one page of the trash looks at: other buckets' trash is passed over.
EXAMINED_MAX = 10_000


def versions(db: sqlite3.Connection, path: RemotePath, limit: int) -> tuple[VersionLine, ...]:
    """The generations of a file that are kept, newest first, the current one (if there is one) first of all.

    Of a path at which nothing stands: those of the file that was deleted there last.
    """
    if len(path.segments) < 2:
        return ()
    folder_no = find_folder(db, path.segments[:-1], removed=True)
    if folder_no is None:
        return ()
    row = db.execute("SELECT no, version_no FROM entries WHERE parent = ? AND key = ?",
                     (folder_no, path.name)).fetchone()
    if row is None:
        row = db.execute("SELECT no, 0 FROM tombs WHERE parent = ? AND key = ?"
                         " ORDER BY deleted_ms DESC, no DESC LIMIT 1", (folder_no, path.name)).fetchone()
    if row is None:
        return ()
    columns = ("generation, size, blake3, etag, content_type, owner_no, modified_ms, retired_ms, expires_ms,"
               " meta_version")
    rows = db.execute(
        f"SELECT {columns} FROM versions WHERE version_no = ? UNION ALL SELECT {columns} FROM (SELECT {columns} FROM"
        " versions WHERE file_no = ? AND retired_ms IS NOT NULL AND expires_ms > 0 AND etag IS NOT ?"
        " ORDER BY generation DESC LIMIT ?)", (row[1], row[0], MARKER_ETAG, limit)).fetchall()
    return tuple(VersionLine(generation, size, blake3, unpack_etag(etag), content_type, owner_name(db, owner_no),
                             modified_ms, retired_ms, expires_ms, meta_version)
                 for (generation, size, blake3, etag, content_type, owner_no, modified_ms, retired_ms, expires_ms,
                      meta_version) in rows[:limit])


def trash(db: sqlite3.Connection, path: RemotePath, after: str | None, limit: int) -> TrashPage:
    """What lies in the trash at or below a path (the root: everywhere). A scan: run it in a thread.

    In no special order; a page may be short and still have a cursor. The caller keeps from the asker what is in
    buckets that the asker may not read.
    """
    cursor = after or "0"
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise QuerySyntax("'after' is not a cursor of the trash", after=after)
    rows = db.execute("SELECT parent, key, no, generation, deleted_ms, expires_ms FROM tombs WHERE no > ? ORDER BY no"
                      " LIMIT ?", (int(cursor), EXAMINED_MAX)).fetchall()
    homes: dict[int, str | None] = {ROOT_NO: ""}
    items: list[TrashItem] = []
    for position, (parent, key, no, generation, deleted_ms, expires_ms) in enumerate(rows):
        if not generation and expires_ms is None:
            continue  # only shelters the trash of its files
        home = _home(db, parent, homes)
        if home is None:
            continue
        item = _item(db, home + key.removesuffix("/"), no, generation, deleted_ms, expires_ms)
        if item is None or (path.segments and item.path != path.text and not item.path.startswith(path.text + "/")):
            continue
        items.append(item)
        if len(items) == limit and position + 1 < len(rows):
            return TrashPage(tuple(items), str(no))
    return TrashPage(tuple(items), str(rows[-1][2]) if len(rows) == EXAMINED_MAX else None)


def _item(db: sqlite3.Connection, path: str, no: int, generation: int, deleted_ms: int,
          expires_ms: int | None) -> TrashItem | None:
    if not generation:
        owner_no, files, size = db.execute("SELECT owner_no, files, bytes FROM folders WHERE folder_no = ?",
                                           (no,)).fetchone()
        return TrashItem(no, path, "folder", 0, size, files, owner_name(db, owner_no), deleted_ms, expires_ms or 0)
    row = db.execute("SELECT generation, size, owner_no, expires_ms FROM versions WHERE file_no = ?"
                     " AND retired_ms IS NOT NULL AND expires_ms > 0 AND etag IS NOT ? ORDER BY generation DESC"
                     " LIMIT 1", (no, MARKER_ETAG)).fetchone()
    if row is None:
        return None
    return TrashItem(no, path, "file", row[0], row[1], 1, owner_name(db, row[2]), deleted_ms, row[3])


def _home(db: sqlite3.Connection, folder_no: int, homes: dict[int, str | None]) -> str | None:
    """The path of a folder with a slash at its end; None when it lies in a deleted folder."""
    chain: list[tuple[int, str]] = []
    no = folder_no
    while no not in homes:
        parent, key, removed = db.execute("SELECT parent, key, removed FROM folders WHERE folder_no = ?",
                                          (no,)).fetchone()
        chain.append((no, key))
        if removed:
            row = db.execute("SELECT expires_ms FROM tombs WHERE no = ?", (no,)).fetchone()
            if row is None or row[0] is not None:
                homes[no] = None
                chain.pop()
                break
        no = parent
    prefix = homes[no]
    for no, key in reversed(chain):
        prefix = None if prefix is None else prefix + key
        homes[no] = prefix
    return prefix


def bucket_rules(db: sqlite3.Connection, bucket: str) -> tuple[Rules, Keeping] | None:
    """What a bucket says of itself, and what holds in it then; None: there is no such bucket."""
    bucket_no = find_folder(db, (bucket,))
    settings = db.execute("SELECT replication, write_quorum, chunk_size, inline_max, trash_days, versions_max"
                          " FROM cluster").fetchone()
    if bucket_no is None or settings is None:
        return None
    row = db.execute("SELECT trash_days, versions_max, replication FROM bucket_rules WHERE bucket_no = ?",
                     (bucket_no,)).fetchone()
    rules = Rules(None, None, None) if row is None else Rules(*row)
    return rules, keeping(rules, ClusterSettings(*settings))


def folder_sums(db: sqlite3.Connection, path: RemotePath) -> tuple[int, int] | None:
    """(files, bytes) of all that is below a folder, at once, whatever it holds; None: there is no such folder."""
    folder_no = find_folder(db, path.segments)
    if folder_no is None:
        return None
    if folder_no == ROOT_NO:
        row = db.execute("SELECT files, file_bytes FROM state").fetchone()
    else:
        row = db.execute("SELECT files, bytes FROM folders WHERE folder_no = ?", (folder_no,)).fetchone()
    return int(row[0]), int(row[1])
