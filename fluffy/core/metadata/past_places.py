"""Where things stood before they were moved: what looking back in time needs beside the kept versions.

A row says that something left a place and when it came to its next one (later than it left when it lay in the trash
in between), or that an empty folder was removed. Where it stands now says `entries` or `tombs`. Rows are dropped when
no kept version is as old.
"""

from __future__ import annotations

from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.working import Working


def record_file(work: Working, file_no: int, folder: Folder, name: str, *, version_no: int, left_ms: int) -> None:
    """A file that stood there until `left_ms` stands elsewhere, or there again, from now on."""
    _record(work, file_no, folder, name, version_no=version_no, made_ms=0, left_ms=left_ms)


def record_folder(work: Working, moved: Folder, folder: Folder, key: str, *, left_ms: int) -> None:
    """A folder that stood there until `left_ms` stands elsewhere, or there again, from now on."""
    _record(work, moved.no, folder, key, version_no=0, made_ms=moved.created_ms, left_ms=left_ms)


def _record(work: Working, no: int, folder: Folder, key: str, *, version_no: int, made_ms: int, left_ms: int) -> None:
    came_ms = work.db.execute("SELECT max(next_ms) FROM past_places WHERE no = ?", (no,)).fetchone()[0]
    work.db.execute("INSERT INTO past_places VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (work.next_no(), no, folder.no, key, version_no, made_ms if came_ms is None else came_ms, left_ms,
                     work.clock_ms))


def forget(work: Working, *, before_ms: int, limit: int) -> int:
    """Drop the oldest rows of moves that ended before `before_ms` of log time; returns how many."""
    rows = work.db.execute("SELECT place_no, next_ms FROM past_places ORDER BY place_no LIMIT ?", (limit,)).fetchall()
    old = [place_no for place_no, next_ms in rows if next_ms < before_ms]
    if old:
        work.db.execute("DELETE FROM past_places WHERE place_no <= ?", (old[-1],))
    return len(old)
