"""Questions about uploads in parts."""

from __future__ import annotations

import sqlite3

import msgpack

from fluffy.base.ids import UserNo
from fluffy.base.paths import RemotePath
from fluffy.core.metadata.model_uploads import FinishedUpload, Part, Upload
from fluffy.core.metadata.packing import unpack_etag

_UPLOAD = ("SELECT upload_no, upload_id, path, user_no,"
           " ifnull((SELECT name FROM users u WHERE u.user_no = s.user_no), ''), size, part_size, content_type,"
           " begun_ms, expires_ms, parts, bytes FROM uploads s")
# The log's clock stands still while nothing happens: a session is over when either clock says so.
_CLOCK = "max((SELECT clock_ms FROM state), ?)"


def upload(db: sqlite3.Connection, upload_id: bytes, now_ms: int) -> Upload | None:
    """The living session of that name."""
    row = db.execute(f"{_UPLOAD} WHERE upload_id = ? AND expires_ms > {_CLOCK}", (upload_id, now_ms)).fetchone()
    return None if row is None else Upload(*row)


def finished_upload(db: sqlite3.Connection, upload_id: bytes) -> FinishedUpload | None:
    """What became of a session that was completed lately."""
    row = db.execute("SELECT upload_id, path, user_no, finished_ms, facts FROM finished_uploads WHERE upload_id = ?",
                     (upload_id,)).fetchone()
    if row is None:
        return None
    name, path, user_no, finished_ms, facts = row
    return FinishedUpload(name, path, user_no, finished_ms, msgpack.unpackb(facts))


def upload_parts(db: sqlite3.Connection, upload_no: int, after: int, limit: int) -> tuple[Part, ...]:
    """Parts of a session by number, from the one after `after` on; -1 as limit: all (at most PARTS_MAX)."""
    rows = db.execute("SELECT number, size, blake3, etag, stored_ms FROM upload_parts WHERE upload_no = ?"
                      " AND number > ? ORDER BY number LIMIT ?", (upload_no, after, limit))
    return tuple(Part(number, size, blake3, unpack_etag(etag), stored_ms)
                 for number, size, blake3, etag, stored_ms in rows)


def uploads(db: sqlite3.Connection, path: RemotePath, now_ms: int, after: int, limit: int,
            user_no: UserNo | None = None) -> tuple[Upload, ...]:
    """Living sessions for a path and what is below it (the root: all), oldest first; `after`: the last `no` seen.

    `user_no`: only those that this user began.
    """
    conditions, values = ["upload_no > ?", f"expires_ms > {_CLOCK}"], [after, now_ms]
    if user_no is not None:
        conditions.append("user_no = ?")
        values.append(user_no)
    if path.is_root:
        rows = db.execute(f"{_UPLOAD} WHERE {' AND '.join(conditions)} ORDER BY upload_no LIMIT ?", (*values, limit))
    else:
        # '0' follows '/': everything that begins with 'x/' lies between 'x/' and 'x0'.
        rows = db.execute(f"{_UPLOAD} WHERE {' AND '.join(conditions)} AND (path = ? OR (path > ? AND path < ?))"
                          " ORDER BY upload_no LIMIT ?",
                          (*values, path.text, path.text + "/", path.text + "0", limit))
    return tuple(Upload(*row) for row in rows)


def has_ended_uploads(db: sqlite3.Connection) -> bool:
    """Whether the leader has something to end or to free."""
    row = db.execute("SELECT EXISTS (SELECT 1 FROM ended_uploads) OR EXISTS ("
                     "SELECT 1 FROM uploads WHERE expires_ms <= (SELECT clock_ms FROM state))").fetchone()
    return bool(row[0])
