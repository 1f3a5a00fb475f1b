"""Folders in memory: where a path leads, and the counters that each new entry changes.

A put of a file needs its folder only to find the number and to count; reading and writing that row for each of a
thousand puts in one batch would cost more than the puts. Changed folders are written by `flush`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from fluffy.core.metadata.schema import ROOT_NO

# About 500 bytes each. Dropped as a whole, between transactions, when there are more.
FOLDERS_CACHED_MAX = 10_000
Document = bytes  # a class below has a field of that name
# Told from a document by what it is, not by what it says.
NOT_READ: Document = b"not read"


@dataclass(slots=True, eq=False)
class Folder:
    """One row of `folders` (schema.py has the meanings). Change it only through `FolderCache.touch`."""

    no: int
    parent: int
    key: str
    owner_no: int
    created_ms: int
    entries: int
    tombs: int
    floor: int
    removed: int
    files: int = 0
    bytes: int = 0
    top: int = 0
    reach: int = 0
    listed: int = 0
    changed: bool = False
    # The bucket's document `versioning`; NOT_READ until somebody asks (versioning.py).
    versioning: Document | None = NOT_READ


class FolderCache:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._by_no: dict[int, Folder] = {}
        self._changed: dict[int, Folder] = {}
        # Canonical path text -> (folder, its bucket). Only existing, not removed folders.
        self._by_path: dict[str, tuple[Folder, Folder]] = {}

    def get(self, folder_no: int) -> Folder:
        """The folder with that number, which exists."""
        folder = self._by_no.get(folder_no)
        if folder is None:
            row = self._db.execute("SELECT * FROM folders WHERE folder_no = ?", (folder_no,)).fetchone()
            folder = self._by_no[folder_no] = Folder(*row)
        return folder

    def root(self) -> Folder:
        return self.get(ROOT_NO)

    def touch(self, folder: Folder) -> Folder:
        """Note that the caller changes a field of `folder`."""
        if not folder.changed:
            folder.changed = True
            self._changed[folder.no] = folder
        return folder

    def count(self, folder: Folder, *, files: int, size: int, top: int = 0, reach: int = 0) -> None:
        """Files came into (or, negative, left) a folder: it and all folders above it hold so many more.

        `top`: the highest generation that came; `reach`: the longest path that came, seen from inside the folder.
        """
        while folder.no != ROOT_NO:  # every folder that is not in the trash lies below it; `state` has its sums
            if files or size or top > folder.top or reach > folder.reach:
                if not folder.changed:
                    self.touch(folder)
                folder.files += files
                folder.bytes += size
                if top > folder.top:
                    folder.top = top
                if reach > folder.reach:
                    folder.reach = reach
            reach += len(folder.key.encode())
            folder = self.get(folder.parent)

    def insert(self, folder: Folder) -> None:
        """Add a folder that was just made."""
        self._db.execute("INSERT INTO folders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                         (folder.no, folder.parent, folder.key, folder.owner_no, folder.created_ms, folder.entries,
                          folder.tombs, folder.floor, folder.removed, folder.files, folder.bytes, folder.top,
                          folder.reach, folder.listed))
        self._by_no[folder.no] = folder

    def drop(self, folder: Folder) -> None:
        """Delete the row of a removed folder that shelters nothing any more."""
        self._db.execute("DELETE FROM folders WHERE folder_no = ?", (folder.no,))
        self._db.execute("DELETE FROM implicit_folders WHERE folder_no = ?", (folder.no,))
        if folder.parent == ROOT_NO:
            self._db.execute("DELETE FROM bucket_documents WHERE bucket_no = ?", (folder.no,))
        del self._by_no[folder.no]
        self._changed.pop(folder.no, None)

    def at(self, path: str) -> tuple[Folder, Folder] | None:
        """(folder, its bucket) of a canonical path seen before; None: not known, look it up."""
        return self._by_path.get(path)

    def remember(self, path: str, folder: Folder, bucket: Folder) -> None:
        self._by_path[path] = (folder, bucket)

    def forget_paths(self) -> None:
        """A folder was removed or moved: paths may lead elsewhere now."""
        self._by_path.clear()

    def flush(self) -> None:
        """Write the changed folders; then, if there are too many, start afresh."""
        if self._changed:
            self._db.executemany(
                "UPDATE folders SET parent = ?, key = ?, owner_no = ?, created_ms = ?, entries = ?, tombs = ?,"
                " floor = ?, removed = ?, files = ?, bytes = ?, top = ?, reach = ?, listed = ?"
                " WHERE folder_no = ?", [
                    (folder.parent, folder.key, folder.owner_no, folder.created_ms, folder.entries, folder.tombs,
                     folder.floor, folder.removed, folder.files, folder.bytes, folder.top,
                     folder.reach, folder.listed, folder.no) for folder in self._changed.values()])
            for folder in self._changed.values():
                folder.changed = False
            self._changed.clear()
        if len(self._by_no) > FOLDERS_CACHED_MAX or len(self._by_path) > FOLDERS_CACHED_MAX:
            self._by_no.clear()
            self._by_path.clear()
