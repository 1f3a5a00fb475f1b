"""The namespace: walking a path, making folders, and the tombs that keep generations growing.

A name that was deleted leaves a tomb while its trash is kept, so that the same path, made again, continues its
generations (promise P8: nothing old can look newer). When the trash is gone the tomb goes too, and leaves its
generation in `folders.floor`, from which all new names in that folder start: proof in one integer. A removed folder
with trash inside is a tomb itself and is revived, number and all, when it is made again.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.checks import InvariantBroken
from fluffy.base.errors import AlreadyExists, IsFile, NameIllegal
from fluffy.base.frozen import quickly_made
from fluffy.base.ids import UserNo
from fluffy.base.paths import PATH_BYTES_MAX, RemotePath, check_segment, parse_file_path, parse_path
from fluffy.core.metadata import changes, past_places
from fluffy.core.metadata.folder_cache import NOT_READ, Folder
from fluffy.core.metadata.outcomes import Rejected
from fluffy.core.metadata.refusals import refused
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.metadata.working import Working


@quickly_made
@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads. `folder`: the deepest folder on the way that exists (at least the root).

    `missing`: the folders below it that do not. `bucket`: None when even that one is missing. `path`: canonical.
    """

    path: str
    folder: Folder
    bucket: Folder | None
    missing: tuple[str, ...]
    name: str


@quickly_made
@dataclass(frozen=True, slots=True)
class Tomb:
    """A thing in the trash. `generation`: 0 for a folder."""

    no: int
    generation: int
    deleted_ms: int = 0


def locate_file(work: Working, text: str) -> Place | Rejected:
    """Check a file's path and find its folder. `name` is the file's; `missing` are folders still to be made."""
    parent_text, _, name = text.rpartition("/")
    known = work.folders.at(parent_text)
    try:
        if known is not None:
            if len(text) > PATH_BYTES_MAX or (not text.isascii() and len(text.encode()) > PATH_BYTES_MAX):
                raise NameIllegal(f"the path is longer than {PATH_BYTES_MAX} bytes")
            if name:
                check_segment(name)
                return Place(text, known[0], known[1], (), name)
        path = parse_file_path(text)
    except NameIllegal as error:
        return refused(NameIllegal, error.message)
    except UnicodeEncodeError:
        return refused(NameIllegal, "the path is not valid UTF-8")
    return _walk(work, path.segments[:-1], path)


def locate_folder(work: Working, text: str) -> Place | Rejected:
    """Check a folder's path and walk to its parent. `missing` are the parents that do not exist."""
    try:
        path = parse_path(text)
    except NameIllegal as error:
        return refused(NameIllegal, error.message)
    if path.is_root:
        return refused(NameIllegal, "the root is always there; name a bucket or a folder")
    return _walk(work, path.segments[:-1], path)


def _walk(work: Working, segments: tuple[str, ...], path: RemotePath) -> Place | Rejected:
    folder = work.folders.root()
    bucket: Folder | None = None
    walked = ""
    for depth, segment in enumerate(segments):
        walked = f"{walked}/{segment}" if walked else segment
        known = work.folders.at(walked)
        if known is not None:
            folder, bucket = known
            continue
        row = work.db.execute("SELECT no FROM entries WHERE parent = ? AND key = ?",
                              (folder.no, segment + "/")).fetchone()
        if row is None:
            if has_file(work, folder, segment):
                return refused(IsFile, f"/{walked} is a file, so nothing can be inside it", path="/" + walked)
            return Place(path.text, folder, bucket, segments[depth:], path.name)
        folder = work.folders.get(row[0])
        bucket = bucket or folder
        work.folders.remember(walked, folder, bucket)
    return Place(path.text, folder, bucket, (), path.name)


def has_file(work: Working, folder: Folder, name: str) -> bool:
    return work.db.execute("SELECT 1 FROM entries WHERE parent = ? AND key = ?",
                           (folder.no, name)).fetchone() is not None


def bucket_of(work: Working, path: str) -> Folder:
    """The bucket that a canonical path lies in, which exists."""
    bucket = folder_in(work, work.folders.root(), path.partition("/")[0])
    if bucket is None:
        raise InvariantBroken("the caller has found or made the bucket")
    return bucket


def folder_in(work: Working, folder: Folder, name: str) -> Folder | None:
    """The folder called `name` inside `folder`."""
    row = work.db.execute("SELECT no FROM entries WHERE parent = ? AND key = ?", (folder.no, name + "/")).fetchone()
    return None if row is None else work.folders.get(row[0])


def refuse_new_bucket(work: Working, user_no: UserNo, name: str) -> Rejected | None:
    """None when `user_no` may make a bucket of that name, which does not exist.

    While a removed bucket's trash is kept, its name is kept for its owner and the admins: making it again would show
    the trash.
    """
    tomb = tomb_at(work, work.folders.root(), name + "/")
    if tomb is None or work.folders.get(tomb.no).owner_no == user_no:
        return None
    user = work.user(user_no)
    if user is not None and user.role == "admin":
        return None
    return refused(AlreadyExists, f"a removed bucket {name} of somebody else still has trash; choose another name",
                   path="/" + name)


def make_missing(work: Working, place: Place, owner_no: UserNo) -> Folder:
    """Make the folders of `place.missing`; returns the last one, or `place.folder` when none was missing."""
    folder = place.folder
    bucket = place.bucket
    depth = place.path.count("/") - len(place.missing)
    walked = "/".join(place.path.split("/")[:depth])
    for segment in place.missing:
        walked = f"{walked}/{segment}" if walked else segment
        folder = make_folder(work, folder, segment, walked, owner_no)
        bucket = bucket or folder
        work.folders.remember(walked, folder, bucket)
    return folder


def make_folder(work: Working, parent: Folder, name: str, path: str, owner_no: UserNo) -> Folder:
    """Make one folder that does not exist in `parent`, or revive its tomb, and tell the feed."""
    key = name + "/"
    tomb = take_tomb(work, parent, key)
    if tomb is None:
        folder = Folder(no=work.next_no(), parent=parent.no, key=key, owner_no=owner_no, created_ms=work.clock_ms,
                        entries=0, tombs=0, floor=parent.floor, removed=0)
        work.folders.insert(folder)
    else:
        folder = work.folders.touch(work.folders.get(tomb.no))
        past_places.record_folder(work, folder, parent, key, left_ms=tomb.deleted_ms)
        folder.owner_no = owner_no
        folder.created_ms = work.clock_ms
        # At once, unlike the counters: RestoreFolderAt reads it from the table.
        work.db.execute("UPDATE folders SET created_ms = ? WHERE folder_no = ?", (work.clock_ms, folder.no))
        folder.removed = 0
    work.db.execute("INSERT INTO entries VALUES (?, ?, ?, 0, 0, 0, '', '', ?, ?)",
                    (parent.no, key, folder.no, owner_no, work.clock_ms))
    work.relisted(parent).entries += 1
    work.folders.count(parent, files=0, size=0, reach=len(key.encode()) + folder.reach)
    kind = changes.BUCKET_MADE if "/" not in path else changes.FOLDER_MADE
    changes.record(work, kind, path, generation=0, size=0, owner_no=owner_no)
    return folder


def remove_folder(work: Working, parent: Folder, folder: Folder) -> None:
    """Take an empty folder out of the tree; it stays as a tomb while there is trash inside.

    A bucket's grants and quota end here, so that whoever makes the name again begins anew.
    """
    if parent.no == ROOT_NO:
        work.db.execute("DELETE FROM grants WHERE bucket_no = ?", (folder.no,))
        work.db.execute("DELETE FROM bucket_documents WHERE bucket_no = ?", (folder.no,))
        folder.versioning = NOT_READ
        work.accounts.drop_bucket(folder.no)
    work.db.execute("DELETE FROM entries WHERE parent = ? AND key = ?", (parent.no, folder.key))
    work.relisted(parent).entries -= 1
    work.folders.forget_paths()
    if folder.tombs:
        work.folders.touch(folder).removed = 1
        add_tomb(work, parent, folder.key, Tomb(folder.no, 0))
    else:
        past_places.record_folder(work, folder, parent, folder.key, left_ms=work.clock_ms)
        parent.floor = max(parent.floor, folder.floor)
        work.folders.drop(folder)


def add_tomb(work: Working, folder: Folder, key: str, tomb: Tomb, *, expires_ms: int | None = None) -> None:
    """Put something into the trash, now. `expires_ms`: of a folder with all it holds."""
    work.db.execute("INSERT INTO tombs VALUES (?, ?, ?, ?, ?, ?)",
                    (folder.no, key, tomb.no, tomb.generation, work.clock_ms, expires_ms))
    work.folders.touch(folder).tombs += 1


def tomb_at(work: Working, folder: Folder, key: str) -> Tomb | None:
    """What a name goes on with when it is made again: its newest file, or the folder that shelters its trash.

    Never a folder that was deleted with what it holds: that one only comes back by Undelete.
    """
    if not folder.tombs:
        return None
    row = work.db.execute("SELECT no, generation, deleted_ms FROM tombs WHERE parent = ? AND key = ?"
                          " AND expires_ms IS NULL ORDER BY generation DESC, deleted_ms DESC, no DESC LIMIT 1",
                          (folder.no, key)).fetchone()
    return None if row is None else Tomb(*row)


def take_tomb(work: Working, folder: Folder, key: str) -> Tomb | None:
    """Remove and return the tomb of a name that is made again."""
    tomb = tomb_at(work, folder, key)
    if tomb is not None:
        remove_tomb(work, folder, key, tomb.no)
    return tomb


def remove_tomb(work: Working, folder: Folder, key: str, no: int) -> None:
    """Take a thing out of the trash; the caller knows where it goes."""
    work.db.execute("DELETE FROM tombs WHERE parent = ? AND key = ? AND no = ?", (folder.no, key, no))
    work.folders.touch(folder).tombs -= 1


def drop_tomb(work: Working, folder: Folder, key: str, tomb: Tomb) -> None:
    """Forget a thing in the trash for good, and with it every removed folder above that sheltered nothing else."""
    remove_tomb(work, folder, key, tomb.no)
    folder.floor = max(folder.floor, tomb.generation)
    drop_shelters(work, folder)


def drop_shelters(work: Working, folder: Folder) -> None:
    """Drop a folder that was kept only for the trash inside, when that is gone; then the one above, and so on."""
    while folder.removed and not folder.tombs and not folder.entries:  # ends at the root at the latest
        row = work.db.execute("SELECT expires_ms, deleted_ms FROM tombs WHERE no = ?", (folder.no,)).fetchone()
        if row is None or row[0] is not None:
            return  # deleted with all it held, or being freed: not a shelter
        parent = work.folders.touch(work.folders.get(folder.parent))
        past_places.record_folder(work, folder, parent, folder.key, left_ms=row[1])
        remove_tomb(work, parent, folder.key, folder.no)
        parent.floor = max(parent.floor, folder.floor)
        work.folders.drop(folder)
        folder = parent


def path_in(work: Working, folder: Folder, key: str) -> str:
    """The full path of a name in a folder, whether the folder is removed or not."""
    parts = [key.removesuffix("/")]
    while folder.key:  # the root has none
        parts.append(folder.key.removesuffix("/"))
        folder = work.folders.get(folder.parent)
    return "/".join(reversed(parts))
