"""What a writer of manifests asks of the state: what changed, everything bit by bit, and people and buckets.

All records of one answer are read in one transaction and carry its position. The feed is followed as an index of names
follows it (queries_search.py): what stands at a place now is what is written, whichever of several changes made it so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fluffy.base.ids import ChunkId
from fluffy.base.units import KIB, MIB
from fluffy.core.metadata.manifest import (
    AnewManifest,
    BucketManifest,
    ChunkPart,
    FileManifest,
    FilesManifest,
    FolderManifest,
    GoneManifest,
    Manifest,
    Place,
    UserManifest,
)
from fluffy.core.metadata.packing import unpack_manifest, unpack_texts
from fluffy.core.metadata.queries_search import (
    DEPTH_MAX,
    INDEXED_OF_ENTRY,
    KEY_MARKS,
    IndexChanges,
    Indexed,
    feed_places,
    lookups,
    trashed,
)
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.metadata.schema_people import SUBJECT_BUCKET, SUBJECT_USER
from fluffy.core.metadata.versions import MARKER_ETAG

_VERSION = ("v.version_no, v.generation, v.size, v.blake3, v.etag, v.content_type, v.owner_no, v.modified_ms,"
            " v.meta_version, v.meta, v.tags, v.manifest, v.inline")
_ENTRY = f"e.parent, e.key, e.no, e.owner_no, e.modified_ms, {_VERSION}"
_JOINED = f"SELECT {_ENTRY} FROM entries e LEFT JOIN versions v USING (version_no)"
# A row of `FilesManifest`, and what else may stand at a place.
_ROW = ("e.key, e.no, v.version_no, v.generation, v.size, v.blake3, v.etag, v.content_type, v.owner_no, v.modified_ms,"
        " v.meta_version, v.meta, v.tags, v.inline")
_AT_PLACES = (f"SELECT {_ROW}, v.manifest, {INDEXED_OF_ENTRY}, v.tags FROM entries e LEFT JOIN versions v"
              f" USING (version_no) WHERE e.parent = ? AND e.key IN ({KEY_MARKS})")
_META_AT, _TAGS_AT, _INLINE_AT, _MANIFEST_AT, _INDEXED_AT = 11, 12, 13, 14, 15
# Of bytes and texts of its files. A bad sector costs the files in one record, on this node.
FILES_BYTES = 64 * KIB
# Of a record without key and bytes.
RECORD_BYTES = 150
# In memory at once.
PART_BYTES_MAX = 16 * MIB
# A folder that comes back with more than this in it: everything is written anew, piece by piece.
WALK_ENTRIES_MAX = 5_000


@dataclass(frozen=True, slots=True)
class ManifestChanges:
    """What a part of the feed means. `seq` is the new cursor; `more`: the feed goes on.

    `anew`: the feed does not reach back to the cursor, or too much came back at once: write everything anew.
    `index`: what the same part of the feed means for an index of names, so that its rows are read once for both.
    """

    seq: int
    records: tuple[Manifest, ...] = ()
    more: bool = False
    anew: bool = False
    index: IndexChanges | None = None


def manifest_changes(db: sqlite3.Connection, since_seq: int, limit: int) -> ManifestChanges:
    """The next part of the feed: at most `limit` changes, fewer when so many small files would be PART_BYTES_MAX."""
    feed = feed_places(db, since_seq, min(limit, max(1, PART_BYTES_MAX // _inline_max(db))))
    if feed.cut:
        return ManifestChanges(feed.seq, anew=True)
    reader = _Reader(db)
    records: list[Manifest] = []
    entries: list[Indexed] = []
    missing = dict.fromkeys(feed.places)
    for words in lookups(feed.places):
        parent = words[0]
        assert isinstance(parent, int)
        rows = db.execute(_AT_PLACES, words).fetchall()
        for row in rows:
            del missing[parent, row[0]]
        records += reader.in_folder(parent, rows)
        entries += [Indexed._make(row[_INDEXED_AT:]) for row in rows if row[0]]
    index = IndexChanges(feed.seq, trashed(db, missing), tuple(entries), feed.walks, feed.more)
    records += [GoneManifest(reader.seq, parent, key) for parent, key in missing]
    for folder_no, at_seq in feed.undeleted:
        found = list(reader.below(folder_no, WALK_ENTRIES_MAX + 1))
        if len(found) > WALK_ENTRIES_MAX:
            return ManifestChanges(feed.seq, anew=True)
        records += found
        # After what it makes void, so that a write that is torn leaves the old word standing.
        folders = [folder_no, *(record.no for record in found if isinstance(record, FolderManifest))]
        records += [AnewManifest(at_seq, no) for no in folders]
    records += [AnewManifest(at_seq, folder_no) for folder_no, at_seq in feed.made]
    return ManifestChanges(feed.seq, tuple(records), feed.more, index=index)


def all_manifests(db: sqlite3.Connection, after: Place, limit: int) -> tuple[tuple[Manifest, ...], Place | None]:
    """A piece of everything in the order of places, and where the next one begins; None: that was all.

    What is in deleted folders too: they may come back. Of a file also the newest old generation that is kept.
    """
    reader = _Reader(db)
    records: list[Manifest] = []
    last: Place = after
    count = 0
    for row in db.execute(f"{_JOINED} WHERE (e.parent, e.key) > (?, ?) ORDER BY e.parent, e.key LIMIT ?",
                          (*after, limit)):
        count += 1
        last = (row[0], row[1])
        older = reader.older(row)
        if older is not None:
            records.append(older)
        records.append(reader.current(row))
    return tuple(records), last if count == limit else None


def people_manifests(db: sqlite3.Connection) -> tuple[Manifest, ...]:
    """All users and buckets."""
    (seq,) = db.execute("SELECT seq FROM state").fetchone()
    limits: dict[tuple[int, int], tuple[int | None, int | None]] = {
        (subject, no): (files_max, bytes_max) for subject, no, files_max, bytes_max in db.execute(
            "SELECT subject, no, files_max, bytes_max FROM accounts"
            " WHERE files_max IS NOT NULL OR bytes_max IS NOT NULL")}
    records: list[Manifest] = [
        UserManifest(seq, no, name, role, created_ms, password, bool(disabled),
                     *limits.get((SUBJECT_USER, no), (None, None)))
        for no, name, role, created_ms, password, disabled in db.execute(
            "SELECT user_no, name, role, created_ms, password, disabled FROM users ORDER BY user_no")]
    grants: dict[int, list[tuple[int, int]]] = {}
    for bucket_no, grantee_no, granted in db.execute(
            "SELECT bucket_no, grantee_no, granted FROM grants ORDER BY bucket_no, grantee_no"):
        grants.setdefault(bucket_no, []).append((grantee_no, granted))
    for no, owner_no, trash_days, versions_max, replication in db.execute(
            "SELECT f.folder_no, f.owner_no, r.trash_days, r.versions_max, r.replication FROM entries e"
            " JOIN folders f ON f.folder_no = e.no LEFT JOIN bucket_rules r ON r.bucket_no = e.no"
            " WHERE e.parent = ? AND e.version_no = 0 ORDER BY e.no", (ROOT_NO,)):
        records.append(BucketManifest(seq, no, owner_no, trash_days, versions_max, replication,
                                      *limits.get((SUBJECT_BUCKET, no), (None, None)), tuple(grants.get(no, ()))))
    return tuple(records)


def living_bytes(db: sqlite3.Connection) -> int:
    """About how many bytes manifests of what stands now are. A scan of all entries."""
    (living,) = db.execute("SELECT sum(? + length(key) + iif(size <= ?, size, 0)) FROM entries",
                           (RECORD_BYTES, _inline_max(db))).fetchone()
    return living or 0


def _inline_max(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT inline_max FROM cluster").fetchone()
    return 1 if row is None else max(1, row[0])


class _Reader:
    """Makes records of rows; for one read transaction. Remembers the paths of folders."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        (self.seq,) = db.execute("SELECT seq FROM state").fetchone()
        self._paths: dict[int, str] = {ROOT_NO: ""}

    def current(self, row: tuple[Any, ...]) -> Manifest:
        """What a row of `_ENTRY` says."""
        parent, key, no, owner_no, modified_ms, version_no = row[:6]
        path = self._path(parent) + key
        if version_no is None:
            return FolderManifest(self.seq, parent, key, path, no, owner_no, modified_ms)
        return self._file(parent, key, path, no, row[5:], is_current=True)

    def in_folder(self, parent: int, rows: list[tuple[Any, ...]]) -> Iterator[Manifest]:
        """What rows of `_AT_PLACES` of one folder say."""
        path = self._path(parent)
        small: list[tuple[Any, ...]] = []
        size = 0
        for row in rows:
            if row[_INLINE_AT] is not None:
                small.append(row[:_INLINE_AT + 1])
                size += len(row[_INLINE_AT]) + len(row[_META_AT] or b"") + len(row[_TAGS_AT] or b"")
                if size >= FILES_BYTES:
                    yield FilesManifest(self.seq, parent, path, tuple(small))
                    small, size = [], 0
                continue
            key, no, version_no = row[:3]
            if version_no is None:
                entry = Indexed._make(row[_INDEXED_AT:])
                yield FolderManifest(self.seq, parent, key, path + key, no, entry.owner_no, entry.modified_ms)
            else:
                version = (*row[2:_INLINE_AT], row[_MANIFEST_AT], None)
                yield self._file(parent, key, path + key, no, version, is_current=True)
        if small:
            yield FilesManifest(self.seq, parent, path, tuple(small))

    def older(self, row: tuple[Any, ...]) -> FileManifest | None:
        """The newest kept generation before the current one of a file; S3's delete markers are none."""
        parent, key, no, _, _, version_no, generation = row[:7]
        if version_no is None or generation <= 1:
            return None
        older = self._db.execute(
            f"SELECT {_VERSION} FROM versions v WHERE file_no = ? AND generation < ? AND retired_ms IS NOT NULL"
            " AND expires_ms > 0 AND etag != ? ORDER BY generation DESC LIMIT 1",
            (no, generation, MARKER_ETAG)).fetchone()
        if older is None:
            return None
        return self._file(parent, key, self._path(parent) + key, no, older, is_current=False)

    def below(self, folder_no: int, limit: int) -> Iterator[Manifest]:
        """Everything in a folder and in the folders in it, as far as `limit`."""
        waiting = [folder_no]
        left = limit
        while waiting and left > 0:
            folder_no = waiting.pop()
            for row in self._db.execute(f"{_JOINED} WHERE e.parent = ? ORDER BY e.key LIMIT ?",
                                        (folder_no, left)).fetchall():
                left -= 1
                if row[5] is None:
                    waiting.append(row[2])
                yield self.current(row)

    def _file(self, parent: int, key: str, path: str, no: int, version: tuple[Any, ...], *,
              is_current: bool) -> FileManifest:
        (version_no, generation, size, root, etag, content_type, owner_no, modified_ms, meta_version, meta, tags,
         manifest, inline) = version
        meta_texts: Mapping[str, str] = unpack_texts(meta)
        return FileManifest(self.seq, parent, key, path, no, version_no, generation, size, root, etag, content_type,
                            owner_no, modified_ms, meta_version, is_current, meta_texts, unpack_texts(tags),
                            () if manifest is None else self._chunks(manifest), inline)

    def _chunks(self, manifest: bytes) -> tuple[ChunkPart, ...]:
        parts: list[ChunkPart] = []
        for no in unpack_manifest(manifest):
            chunk_id, length = self._db.execute("SELECT chunk_id, length FROM chunks WHERE chunk_no = ?",
                                                (no,)).fetchone()
            parts.append((no, ChunkId(chunk_id), length))
        return tuple(parts)

    def _path(self, folder_no: int) -> str:
        """The path of a folder with a slash at its end, whether it is removed or not."""
        chain: list[tuple[int, str]] = []
        no = folder_no
        while no not in self._paths and len(chain) < DEPTH_MAX:
            row = self._db.execute("SELECT parent, key FROM folders WHERE folder_no = ?", (no,)).fetchone()
            if row is None:
                break
            chain.append((no, row[1]))
            no = row[0]
        path = self._paths.get(no, "")
        for no, key in reversed(chain):
            path += key
            self._paths[no] = path
        return path
