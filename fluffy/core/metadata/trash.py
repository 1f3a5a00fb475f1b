"""The trash: putting things in whole, finding them there.

A deleted file is a tomb beside its folder's entries. A deleted folder is one too, with everything below it left as it
was: nobody can reach it by a path any more. It is freed bit by bit (`reaping`) when its time is over.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.errors import FileNotFound, FolderNotFound
from fluffy.base.units import DAY_MS
from fluffy.core.metadata import changes, files, tree
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.outcomes import Rejected
from fluffy.core.metadata.refusals import refused
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.metadata.standing import Standing
from fluffy.core.metadata.tree import Tomb
from fluffy.core.metadata.working import Working


def bury(work: Working, thing: Standing) -> None:
    """Put a file or a folder into the trash and tell the feed."""
    if thing.folder is not None:
        bury_folder(work, thing.parent, thing.bucket, thing.folder)
        changes.record(work, changes.FOLDER_DELETED, thing.path, generation=0, size=0, owner_no=thing.folder.owner_no)
    elif thing.file is not None:
        files.bury(work, thing.parent, thing.bucket, thing.name, thing.file)
        changes.record(work, changes.FILE_DELETED, thing.path, generation=thing.file.generation, size=0,
                       owner_no=thing.file.owner_no)


def bury_folder(work: Working, parent: Folder, bucket: Folder, folder: Folder) -> None:
    """Put a folder into the trash with all it holds, without looking at that."""
    work.db.execute("DELETE FROM entries WHERE parent = ? AND key = ?", (parent.no, folder.key))
    work.relisted(parent).entries -= 1
    parent.floor = max(parent.floor, folder.floor, folder.top)
    files.count(work, parent, bucket, files=-folder.files, size=-folder.bytes)
    work.folders.touch(folder).removed = 1
    expires_ms = work.clock_ms + work.keeping(bucket).trash_days * DAY_MS
    tree.add_tomb(work, parent, folder.key, Tomb(folder.no, 0), expires_ms=expires_ms)
    work.folders.forget_paths()


@dataclass(frozen=True, slots=True)
class Trashed:
    """Something in the trash. `folder`: where it lay, perhaps removed itself. `bucket`: perhaps removed."""

    path: str
    folder: Folder
    bucket: Folder
    key: str
    tomb: Tomb
    is_folder: bool


def trashed_at(work: Working, path: str, item: int) -> Trashed | Rejected:
    """What was deleted at a canonical path: the one with number `item`, or for 0 the last one deleted."""
    folder = work.folders.root()
    segments = path.split("/")
    bucket: Folder | None = None
    for segment in segments[:-1]:
        inside = tree.folder_in(work, folder, segment)
        if inside is None:
            tomb = tree.tomb_at(work, folder, segment + "/")
            if tomb is None:
                return refused(FileNotFound, f"nothing of /{path} is in the trash; when a folder above it was deleted,"
                                             " undelete that one first", path="/" + path)
            inside = work.folders.get(tomb.no)
        folder = inside
        bucket = bucket or inside
    row = work.db.execute(
        "SELECT key, no, generation, deleted_ms, expires_ms IS NOT NULL FROM tombs WHERE parent = ? AND key IN (?, ?)"
        " AND (generation > 0 OR expires_ms IS NOT NULL) AND (? = 0 OR no = ?)"
        " ORDER BY deleted_ms DESC, no DESC LIMIT 1",
        (folder.no, segments[-1], segments[-1] + "/", item, item)).fetchone()
    if row is None:
        return refused(FileNotFound, f"nothing of /{path} is in the trash", path="/" + path)
    key, no, generation, deleted_ms, is_folder = row
    bucket = bucket or (work.folders.get(no) if is_folder else None)
    if bucket is None:
        return refused(FolderNotFound)
    return Trashed(path, folder, bucket, key, Tomb(no, generation, deleted_ms), bool(is_folder))


def home_of(work: Working, folder: Folder) -> tuple[str, Folder] | None:
    """(path, bucket) of a folder that something in the trash lay in.

    None when the folder, or one above it, is itself in the trash with all it holds, or is being freed.
    """
    parts: list[str] = []
    bucket = folder
    while folder.no != ROOT_NO:
        if folder.removed:
            row = work.db.execute("SELECT expires_ms FROM tombs WHERE no = ?", (folder.no,)).fetchone()
            if row is None or row[0] is not None:
                return None
        parts.append(folder.key.removesuffix("/"))
        bucket = folder
        folder = work.folders.get(folder.parent)
    return "/".join(reversed(parts)), bucket
