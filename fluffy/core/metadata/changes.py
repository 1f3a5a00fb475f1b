"""The change feed: one row for every accepted change to a name, the same on every node.

Search indexes, the supernode and followers of all kinds read it from any position. It is bounded: a follower that
fell behind `state.changes_cut` must take a snapshot.

A follower's rules: `file-put` shows (path, generation); `file-deleted` hides it if what it shows is not newer;
`file-purged` says that generations up to this one cannot come back. `file-moved` is (source, any generation) hidden and
(path, generation) shown; `file-changed`: tags, metadata or content type of (path, generation) are others now.
`folder-moved`: everything below `source` is below `path` now. `folder-deleted` hides the folder (or bucket) and all
below it; `folder-undeleted` shows it again at `path` (`source`: where it was deleted): list it. `folder-purged`: it
cannot come back.
"""

from __future__ import annotations

import sqlite3

from fluffy.core.metadata.working import Working

KINDS = ("file-put", "file-deleted", "file-purged", "folder-made", "folder-removed", "bucket-made", "bucket-removed",
         "file-moved", "file-changed", "folder-moved", "folder-deleted", "folder-undeleted", "folder-purged")
(FILE_PUT, FILE_DELETED, FILE_PURGED, FOLDER_MADE, FOLDER_REMOVED, BUCKET_MADE, BUCKET_REMOVED,
 FILE_MOVED, FILE_CHANGED, FOLDER_MOVED, FOLDER_DELETED, FOLDER_UNDELETED, FOLDER_PURGED) = range(len(KINDS))
# What tells of a file; the others tell of folders.
FILE_KINDS = frozenset({FILE_PUT, FILE_DELETED, FILE_PURGED, FILE_MOVED, FILE_CHANGED})

# About 80 bytes a row: 40 MB. At 500 changes a second a follower may be away for a quarter of an hour.
CHANGES_MAX = 500_000
# One cut for this many changes: the cost of each is spread, and the right edge of the table is left alone.
CUT_BATCH = 1_000


def record(work: Working, kind: int, path: str, *, generation: int, size: int, owner_no: int,
           source: str = "") -> None:
    """Count a change and append it to the feed; drops the oldest rows when it grew too long."""
    work.seq += 1
    work.feed.append((work.seq, work.clock_ms, kind, path, generation, size, owner_no, source))
    if work.seq - work.changes_cut >= CHANGES_MAX + CUT_BATCH:
        _cut(work)


def _cut(work: Working) -> None:
    work.write_feed()
    work.changes_cut = work.seq - CHANGES_MAX
    work.db.execute("DELETE FROM changes WHERE seq <= ?", (work.changes_cut,))


def changes_cut(db: sqlite3.Connection) -> int:
    """Changes with seq at or below this are no longer in the feed."""
    return int(db.execute("SELECT changes_cut FROM state").fetchone()[0])
