"""Freeing deleted folders: what one command put into the trash whole is taken apart in bounded steps.

A purged folder leaves the trash at once and waits in `reaping`. Each step takes names out of one such folder: files
are condemned (their versions are freed by `versions.sweep`), folders inside wait in turn, until the row itself goes.
"""

from __future__ import annotations

from fluffy.core.metadata import changes, tree, versions
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.metadata.working import Working


def condemn_expired(work: Working, *, limit: int) -> None:
    """Purge the folders in the trash whose time is over, oldest first."""
    rows = work.db.execute("SELECT parent, key, no FROM tombs WHERE expires_ms IS NOT NULL AND expires_ms <= ?"
                           " ORDER BY expires_ms, no LIMIT ?", (work.clock_ms, limit)).fetchall()
    for parent_no, key, no in rows:
        parent = work.folders.get(parent_no)
        condemn(work, parent, key, work.folders.get(no))


def condemn(work: Working, parent: Folder, key: str, folder: Folder) -> None:
    """Purge a folder that lies in the trash of `parent`, with all it holds, and tell the feed."""
    path = tree.path_in(work, parent, key)
    tree.remove_tomb(work, parent, key, folder.no)
    tree.drop_shelters(work, parent)
    if parent.no == ROOT_NO:
        work.db.execute("DELETE FROM grants WHERE bucket_no = ?", (folder.no,))
        work.accounts.drop_bucket(folder.no)
        work.rules.drop(folder.no)
    _wait(work, folder)
    changes.record(work, changes.FOLDER_PURGED, path, generation=0, size=0, owner_no=folder.owner_no)


def _wait(work: Working, folder: Folder) -> None:
    work.folders.touch(folder).parent = ROOT_NO
    folder.removed = 1
    work.db.execute("INSERT INTO reaping VALUES (?)", (folder.no,))


def reap(work: Working, *, limit: int) -> tuple[int, bool]:
    """Take up to `limit` names out of purged folders. Returns how many, and whether some are left."""
    done = 0
    while done < limit:
        row = work.db.execute("SELECT folder_no FROM reaping ORDER BY folder_no LIMIT 1").fetchone()
        if row is None:
            return done, False
        folder = work.folders.get(row[0])
        done += _reap_entries(work, folder, limit - done)
        done += _reap_tombs(work, folder, limit - done)
        if folder.entries or folder.tombs:
            continue
        work.db.execute("DELETE FROM reaping WHERE folder_no = ?", (folder.no,))
        work.folders.drop(folder)
        done += 1
    return done, work.db.execute("SELECT 1 FROM reaping LIMIT 1").fetchone() is not None


def _reap_entries(work: Working, folder: Folder, limit: int) -> int:
    rows = work.db.execute("SELECT key, no, version_no, generation FROM entries WHERE parent = ? ORDER BY key LIMIT ?",
                           (folder.no, limit)).fetchall()
    for _, no, version_no, generation in rows:
        if version_no:
            work.db.execute("UPDATE versions SET retired_ms = ?, expires_ms = 0 WHERE version_no = ?",
                            (max(1, work.clock_ms), version_no))
            versions.condemn(work, no, generation_max=generation)
        else:
            _wait(work, work.folders.get(no))
    if rows:
        work.db.execute("DELETE FROM entries WHERE parent = ? AND key <= ?", (folder.no, rows[-1][0]))
        work.folders.touch(folder).entries -= len(rows)
    return len(rows)


def _reap_tombs(work: Working, folder: Folder, limit: int) -> int:
    if not folder.tombs or limit <= 0:
        return 0
    rows = work.db.execute("SELECT key, no, generation FROM tombs WHERE parent = ? ORDER BY key, no LIMIT ?",
                           (folder.no, limit)).fetchall()
    for key, no, generation in rows:
        tree.remove_tomb(work, folder, key, no)
        if generation:
            versions.condemn(work, no, generation_max=generation)
        else:
            _wait(work, work.folders.get(no))
    return len(rows)
