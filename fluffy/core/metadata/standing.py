"""What stands at a path, whatever it is: for commands that take a file as well as a folder."""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.errors import BucketNotFound, FileNotFound, FolderNotFound, IsFile, IsFolder
from fluffy.base.ids import UserNo
from fluffy.core.metadata import tree
from fluffy.core.metadata.files import Current
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.outcomes import Rejected
from fluffy.core.metadata.packing import unpack_etag
from fluffy.core.metadata.refusals import refuse_bucket_admin, refuse_writer, refused
from fluffy.core.metadata.tree import Place
from fluffy.core.metadata.working import Working


@dataclass(frozen=True, slots=True)
class Standing:
    """A file or a folder in the tree. `bucket`: of a bucket itself. Exactly one of `file` and `folder` is not None."""

    path: str
    parent: Folder
    name: str
    bucket: Folder
    file: Current | None
    folder: Folder | None

    @property
    def is_bucket(self) -> bool:
        return self.folder is not None and self.folder.no == self.bucket.no

    @property
    def key(self) -> str:
        return self.name if self.folder is None else self.name + "/"

    @property
    def files(self) -> int:
        return 1 if self.folder is None else self.folder.files

    @property
    def bytes(self) -> int:
        if self.file is not None:
            return self.file.size
        return 0 if self.folder is None else self.folder.bytes


def standing_at(work: Working, text: str) -> Standing | Rejected:
    """The file or folder at a path; where both stand the file, unless the text ends in a slash."""
    place = tree.locate_folder(work, text)
    if isinstance(place, Rejected):
        return place
    if place.missing:
        return refused(FileNotFound if place.bucket else BucketNotFound, path="/" + place.path)
    current, folder = _both(work, place)
    if text.endswith("/"):
        current = None
    if current is not None:
        folder = None
    bucket = place.bucket or folder
    if bucket is None:
        return refused(BucketNotFound, path="/" + place.path)
    if current is None and folder is None:
        return refused(FolderNotFound if text.endswith("/") else FileNotFound, path="/" + place.path)
    return Standing(place.path, place.folder, place.name, bucket, current, folder)


def standing_in(work: Working, place: Place) -> Standing | None:
    """What stands at a place that was located; None: nothing."""
    if place.missing:
        return None
    current, folder = _both(work, place)
    bucket = place.bucket or folder
    if bucket is None or (current is None and folder is None):
        return None
    return Standing(place.path, place.folder, place.name, bucket, current, folder if current is None else None)


def _both(work: Working, place: Place) -> tuple[Current | None, Folder | None]:
    current = None
    folder = None
    for key, no, version_no, generation, size, etag, owner_no in work.db.execute(
            "SELECT key, no, version_no, generation, size, etag, owner_no FROM entries"
            " WHERE parent = ? AND key IN (?, ?)", (place.folder.no, place.name, place.name + "/")):
        if key == place.name:
            current = Current(no, version_no, generation, size, unpack_etag(etag), owner_no)
        else:
            folder = work.folders.get(no)
    return current, folder


def refuse_changer(work: Working, user_no: UserNo, thing: Standing) -> Rejected | None:
    """None when the user may take the thing away from where it stands."""
    if thing.is_bucket:
        return refuse_bucket_admin(work, user_no, thing.bucket)
    return refuse_writer(work, user_no, thing.bucket)


def refuse_other_kind(thing: Standing, *, wants_folder: bool) -> Rejected | None:
    """None when a folder shall take the place of a folder, or a file that of a file."""
    if (thing.folder is not None) == wants_folder:
        return None
    return refused(IsFile if wants_folder else IsFolder, path="/" + thing.path)
