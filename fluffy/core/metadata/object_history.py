"""Versions of objects that are deleted for good, and deletions that are versions themselves.

A delete marker is a version without bytes, retired from the start, whose entity tag is MARKER_ETAG. When the version
that was the newest is deleted for good, the one before it takes its place: as a new generation, because nothing old may
look newer to those who follow the tree (promise P8), but under its own number, which is its id for S3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fluffy.base.hashing import EMPTY_ROOT
from fluffy.base.ids import UserNo
from fluffy.core.metadata import changes, files, objects, tree, versions
from fluffy.core.metadata.files import Current
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.own_meta import STAMP
from fluffy.core.metadata.packing import pack_texts
from fluffy.core.metadata.tree import Place, Tomb
from fluffy.core.metadata.versioning import ENABLED, SUSPENDED, is_stamped, versioning_of
from fluffy.core.metadata.versions import MARKER_ETAG, Content
from fluffy.core.metadata.working import Working

# What one deletion of a version looks through to find the one before it.
LOOK_BACK_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A version that is kept."""

    version_no: int
    generation: int
    etag: str | bytes
    is_stamped: bool
    is_current: bool

    @property
    def is_marker(self) -> bool:
        return self.etag == MARKER_ETAG


@dataclass(slots=True)
class Home:
    """Where an object is, or was. `folder`: None when not even the trash knows it. `current` None: it is deleted."""

    place: Place
    bucket: Folder
    folder: Folder | None
    current: Current | None
    tomb: Tomb | None

    @property
    def file_no(self) -> int | None:
        if self.current is not None:
            return self.current.file_no
        return None if self.tomb is None else self.tomb.no


def home_of(work: Working, place: Place, bucket: Folder) -> Home:
    folder: Folder | None = place.folder
    for segment in place.missing:
        # A folder that only shelters what was deleted in it; one deleted with all it held is out of reach.
        tomb = None if folder is None else tree.tomb_at(work, folder, segment + "/")
        folder = None if tomb is None else work.folders.get(tomb.no)
    current = objects.entry(work, place)
    tomb = tree.tomb_at(work, folder, place.name) if current is None and folder is not None else None
    return Home(place, bucket, folder, current, tomb)


def kept(work: Working, file_no: int) -> Iterator[Kept]:
    """What is kept of a file, newest first."""
    for version_no, generation, etag, meta, retired_ms in work.db.execute(
            "SELECT version_no, generation, etag, meta, retired_ms FROM versions WHERE file_no = ? AND"
            " (retired_ms IS NULL OR expires_ms > 0) ORDER BY generation DESC LIMIT ?", (file_no, LOOK_BACK_MAX)):
        yield Kept(version_no, generation, etag, is_stamped(meta), retired_ms is None)


def visible(found: Iterator[Kept]) -> Iterator[Kept]:
    """Of what is kept, newest first, that which S3 knows: all with ids, and the newest without."""
    has_null = False
    for version in found:
        if version.is_stamped or not has_null:
            yield version
        has_null = has_null or not version.is_stamped


def delete(work: Working, home: Home, user_no: UserNo) -> int | None:
    """Delete an object as S3 does where no version is named.

    Returns the id of the delete marker (0: it is the `null` version); None: there is none.
    """
    versioning = versioning_of(work, home.bucket)
    if versioning in (ENABLED, SUSPENDED):
        marker_no = add_marker(work, home, user_no, with_id=versioning == ENABLED)
        return marker_no if versioning == ENABLED else 0
    current = home.current
    if current is not None:
        tomb = files.bury(work, home.place.folder, home.bucket, home.place.name, current)
        changes.record(work, changes.FILE_DELETED, home.place.path, generation=tomb.generation, size=0,
                       owner_no=current.owner_no)
        objects.drop_empty_folders(work, home.place.folder, home.bucket)
    return None


def add_marker(work: Working, home: Home, user_no: UserNo, *, with_id: bool) -> int:
    """Delete an object by a version that says so; returns its number."""
    place = objects.make_folders(work, home.place, user_no)
    folder = place.folder
    if home.current is not None:
        tomb = files.bury(work, folder, home.bucket, place.name, home.current)
    else:
        tomb = home.tomb or Tomb(work.next_no(), folder.floor)
        if home.tomb is None:
            tree.add_tomb(work, folder, place.name, tomb)
    generation = tomb.generation + 1
    content = Content(0, EMPTY_ROOT, MARKER_ETAG, "", pack_texts({STAMP: "1"} if with_id else {}), None,
                      None, b"")
    version_no = versions.add(work, content, file_no=tomb.no, generation=generation, owner_no=user_no)
    versions.retire(work, version_no, work.keeping(home.bucket))
    work.db.execute("UPDATE tombs SET generation = ?, deleted_ms = ? WHERE parent = ? AND key = ? AND no = ?",
                    (generation, work.clock_ms, folder.no, place.name, tomb.no))
    files.count(work, folder, home.bucket, files=0, size=0, top=generation)
    changes.record(work, changes.FILE_DELETED, place.path, generation=generation, size=0, owner_no=user_no)
    objects.drop_empty_folders(work, folder, home.bucket)
    return version_no


def remove(work: Working, home: Home, version: Kept) -> None:
    """Let a kept version be freed now; the visible one before it takes its place where it was the newest."""
    file_no = home.file_no
    assert file_no is not None
    newest = next(visible(kept(work, file_no)), None)
    before = _before(work, file_no, version) if newest == version else None
    # With a `null` version go those that it had replaced, which would show again otherwise.
    gone = [version] if version.is_stamped else [
        other for other in kept(work, file_no) if not other.is_stamped and other.generation <= version.generation]
    work.db.executemany("UPDATE versions SET retired_ms = ifnull(retired_ms, ?), expires_ms = 0 WHERE version_no = ?",
                        [(max(1, work.clock_ms), other.version_no) for other in gone])
    if home.current is not None and version.is_current:
        if before is None or before.is_marker:
            _bury(work, home, home.current)
        else:
            _replace(work, home, home.current, before)
    elif home.current is None and version.is_marker and before is not None and not before.is_marker:
        _bring_back(work, home, before)
    versions.sweep(work, expires_ms_max=versions.CONDEMNED_MS, versions_max=versions.SWEEP_VERSIONS_BY_UPDATE,
                   chunks_max=versions.SWEEP_CHUNKS_BY_UPDATE)


def _before(work: Working, file_no: int, version: Kept) -> Kept | None:
    """The visible version that comes after `version` when looking back."""
    found = visible(kept(work, file_no))
    for other in found:
        if other.version_no == version.version_no:
            return next(found, None)
    return None


def _bury(work: Working, home: Home, current: Current) -> None:
    folder, name = home.place.folder, home.place.name
    work.db.execute("DELETE FROM entries WHERE parent = ? AND key = ?", (folder.no, name))
    work.relisted(folder).entries -= 1
    files.count(work, folder, home.bucket, files=-1, size=-current.size)
    tree.add_tomb(work, folder, name, Tomb(current.file_no, current.generation, work.clock_ms))
    changes.record(work, changes.FILE_DELETED, home.place.path, generation=current.generation, size=0,
                   owner_no=current.owner_no)
    objects.drop_empty_folders(work, folder, home.bucket)


def _replace(work: Working, home: Home, current: Current, before: Kept) -> None:
    """Make an older version the current one again, as a new generation: nothing old may look newer (promise P8)."""
    folder, generation = home.place.folder, current.generation + 1
    size = _revive(work, before, generation)
    work.db.execute("DELETE FROM entries WHERE parent = ? AND key = ?", (folder.no, home.place.name))
    _insert_entry(work, folder, home.place.name, before)
    work.relisted(folder)
    files.count(work, folder, home.bucket, files=0, size=size - current.size, top=generation)
    changes.record(work, changes.FILE_PUT, home.place.path, generation=generation, size=size,
                   owner_no=current.owner_no)


def _bring_back(work: Working, home: Home, before: Kept) -> None:
    """The marker that hid an object is gone."""
    tomb = home.tomb
    assert tomb is not None
    (owner_no,) = work.db.execute("SELECT owner_no FROM versions WHERE version_no = ?", (before.version_no,)).fetchone()
    place = objects.make_folders(work, home.place, owner_no)
    folder, generation = place.folder, tomb.generation + 1
    size = _revive(work, before, generation)
    tree.remove_tomb(work, folder, place.name, tomb.no)
    _insert_entry(work, folder, place.name, before)
    work.relisted(folder).entries += 1
    files.count(work, folder, home.bucket, files=1, size=size, top=generation, reach=len(place.name.encode()))
    changes.record(work, changes.FILE_PUT, place.path, generation=generation, size=size, owner_no=owner_no)


def _revive(work: Working, before: Kept, generation: int) -> int:
    """The version is current again; returns its size."""
    work.db.execute("UPDATE versions SET retired_ms = NULL, expires_ms = NULL, generation = ? WHERE version_no = ?",
                    (generation, before.version_no))
    (size,) = work.db.execute("SELECT size FROM versions WHERE version_no = ?", (before.version_no,)).fetchone()
    return int(size)


def _insert_entry(work: Working, folder: Folder, name: str, version: Kept) -> None:
    work.db.execute("INSERT INTO entries SELECT ?, ?, file_no, version_no, generation, size, etag, content_type,"
                    " owner_no, modified_ms FROM versions WHERE version_no = ?", (folder.no, name, version.version_no))
