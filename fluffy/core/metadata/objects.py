"""Where objects stand: like files, but beside a folder of their name, and with folders that live as long as they do."""

from __future__ import annotations

from fluffy.base.errors import BucketNotFound, NameIllegal
from fluffy.base.ids import UserNo
from fluffy.base.object_keys import parse_object_path
from fluffy.core.metadata import changes, tree
from fluffy.core.metadata.files import Current
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.locks import refuse_locked
from fluffy.core.metadata.outcomes import Rejected
from fluffy.core.metadata.packing import s3_etag
from fluffy.core.metadata.refusals import refuse_writer, refused
from fluffy.core.metadata.tree import Place
from fluffy.core.metadata.working import Working


def locate(work: Working, text: str) -> Place | Rejected:
    """Check an object's path and find its folder; `missing` are folders still to be made. The bucket must be there.

    The paths that `work.folders` remembers are not used: what is no path for people must not get among them.
    """
    try:
        path = parse_object_path(text)
    except NameIllegal as error:
        return refused(NameIllegal, error.message)
    segments = path.segments[:-1]
    bucket = tree.folder_in(work, work.folders.root(), segments[0])
    if bucket is None:
        return refused(BucketNotFound, path="/" + segments[0])
    folder = bucket
    for depth, segment in enumerate(segments[1:], start=1):
        child = tree.folder_in(work, folder, segment)
        if child is None:
            return Place(path.text, folder, bucket, segments[depth:], path.name)
        folder = child
    return Place(path.text, folder, bucket, (), path.name)


def bucket_at(work: Working, name: str) -> Folder | Rejected:
    """The bucket of that name, for a command about several objects in it."""
    try:
        bucket = parse_object_path(name + "/x").bucket
    except NameIllegal as error:
        return refused(NameIllegal, error.message)
    found = tree.folder_in(work, work.folders.root(), bucket) if bucket == name else None
    return refused(BucketNotFound, path="/" + bucket) if found is None else found


def refuse_target(work: Working, user_no: UserNo, place: Place, lock: bytes = b"") -> Rejected | None:
    """None when the user may write at a place."""
    return refuse_writer(work, user_no, place.bucket) or refuse_locked(work, user_no, lock, place.path)


def entry(work: Working, place: Place) -> Current | None:
    """The object at a place, its etag as S3 shows it; a folder of its name does not count."""
    if place.missing:
        return None
    row = work.db.execute(
        "SELECT no, version_no, generation, size, etag, owner_no FROM entries WHERE parent = ? AND key = ?",
        (place.folder.no, place.name)).fetchone()
    return None if row is None else Current(row[0], row[1], row[2], row[3], s3_etag(row[4]), row[5])


def make_folders(work: Working, place: Place, user_no: UserNo) -> Place:
    """Make what is missing, to vanish again with its last object; returns the place in it."""
    if not place.missing:
        return place
    segments = place.path.split("/")
    depth = len(segments) - 1 - len(place.missing)
    walked = "/".join(segments[:depth])
    folder = place.folder
    for segment in place.missing:
        walked = f"{walked}/{segment}"
        folder = tree.make_folder(work, folder, segment, walked, user_no)
        work.db.execute("INSERT OR IGNORE INTO implicit_folders VALUES (?)", (folder.no,))
    return Place(place.path, folder, place.bucket, (), place.name)


def drop_empty_folders(work: Working, folder: Folder, bucket: Folder) -> None:
    """Take away a folder that came with an object, and those above it, as far as nothing is left in them."""
    while folder.no != bucket.no and not folder.entries:
        gone = work.db.execute("DELETE FROM implicit_folders WHERE folder_no = ?", (folder.no,)).rowcount
        if not gone:
            return
        parent, owner_no = work.folders.get(folder.parent), folder.owner_no
        path = tree.path_in(work, parent, folder.key)
        tree.remove_folder(work, parent, folder)
        changes.record(work, changes.FOLDER_REMOVED, path, generation=0, size=0, owner_no=owner_no)
        folder = parent
