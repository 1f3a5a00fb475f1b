"""Questions about S3's multipart uploads."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from fluffy.base.ids import UserNo
from fluffy.core.metadata.packing import unpack_etag, unpack_texts

_COLUMNS = ("upload_no, upload_id, path, user_no,"
            " ifnull((SELECT name FROM users u WHERE u.user_no = s.user_no), ''), content_type, meta, tags, begun_ms")
_LIVING = f"SELECT {_COLUMNS} FROM uploads s WHERE is_object = 1 AND expires_ms > max((SELECT clock_ms FROM state), ?)"


@dataclass(frozen=True, slots=True)
class ObjectUpload:
    """A session. `meta`: also what the door keeps in it (names with `@`)."""

    no: int
    upload_id: bytes
    path: str
    user_no: UserNo
    owner: str
    content_type: str
    meta: dict[str, str]
    tags: dict[str, str]
    begun_ms: int

    @property
    def key(self) -> str:
        return self.path.partition("/")[2]


@dataclass(frozen=True, slots=True)
class ObjectPart:
    """`md5`: in hex. `sums`: checksums in base64, by algorithm."""

    number: int
    size: int
    md5: str
    stored_ms: int
    sums: dict[str, str]


def object_upload(db: sqlite3.Connection, upload_id: bytes, now_ms: int) -> ObjectUpload | None:
    """The living session of that name."""
    row = db.execute(f"{_LIVING} AND upload_id = ?", (now_ms, upload_id)).fetchone()
    return None if row is None else _upload(row)


def object_uploads(db: sqlite3.Connection, bucket: str, prefix: str, now_ms: int) -> list[ObjectUpload]:
    """All living sessions of a bucket for keys with that prefix (at most UPLOADS_MAX), by key and age. In a thread."""
    start = f"{bucket}/{prefix}"
    rows = db.execute(f"{_LIVING} AND path >= ? AND path < ? ORDER BY path, upload_no",
                      (now_ms, f"{bucket}/{prefix}", f"{bucket}0")).fetchall()
    return [_upload(row) for row in rows if row[2].startswith(start)]


def object_parts(db: sqlite3.Connection, upload_no: int, after: int, limit: int) -> tuple[ObjectPart, ...]:
    """Parts of a session by number, from the one after `after` on."""
    rows = db.execute("SELECT number, size, etag, stored_ms, sums FROM upload_parts WHERE upload_no = ? AND number > ?"
                      " ORDER BY number LIMIT ?", (upload_no, after, limit))
    return tuple(ObjectPart(number, size, unpack_etag(etag), stored_ms, unpack_texts(sums))
                 for number, size, etag, stored_ms, sums in rows)


def _upload(row: tuple[int, bytes, str, UserNo, str, str, bytes | None, bytes | None, int]) -> ObjectUpload:
    no, upload_id, path, user_no, owner, content_type, meta, tags, begun_ms = row
    return ObjectUpload(no, upload_id, path, user_no, owner, content_type, unpack_texts(meta), unpack_texts(tags),
                        begun_ms)
