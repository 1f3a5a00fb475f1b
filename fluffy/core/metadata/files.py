"""What every command about files needs: find one, check what the caller demands of it, give it a new generation."""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.errors import BucketNotFound, FileNotFound, FolderNotFound, IsFolder, PreconditionFailed
from fluffy.base.frozen import quickly_made
from fluffy.base.ids import UserNo
from fluffy.core.metadata import changes, quotas, tree, versioning, versions
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.locks import refuse_locked
from fluffy.core.metadata.outcomes import Accepted, Rejected
from fluffy.core.metadata.packing import unpack_etag
from fluffy.core.metadata.refusals import refuse_writer, refused
from fluffy.core.metadata.tree import Place, Tomb
from fluffy.core.metadata.versions import Content
from fluffy.core.metadata.working import Working

# If-Match: * demands only that the file is there.
ANY_ETAG = "*"
_ENTRY = "SELECT key, no, version_no, generation, size, etag, owner_no FROM entries"
# Half the time of `key IN (?, ?)`, which makes a table of the two.
_TWO_ENTRIES = f"{_ENTRY} WHERE parent = ?1 AND key = ?2 UNION ALL {_ENTRY} WHERE parent = ?1 AND key = ?3"


@quickly_made
@dataclass(frozen=True, slots=True)
class Current:
    """The row of `entries` of an existing file."""

    file_no: int
    version_no: int
    generation: int
    size: int
    etag: str
    owner_no: UserNo


def entry(work: Working, folder: Folder, name: str) -> Current | Rejected | None:
    """The file called `name`; None when there is nothing; Rejected when a folder of that name stands there."""
    current = None
    has_folder = False
    for key, file_no, version_no, generation, size, etag, owner_no in work.db.execute(
            _TWO_ENTRIES, (folder.no, name, name + "/")):
        if key != name:
            has_folder = True
        else:
            current = Current(file_no, version_no, generation, size, unpack_etag(etag), owner_no)
    # Both only where S3 put one beside the other; then the file hides the folder, as for readers.
    return refused(IsFolder) if has_folder and current is None else current


def refuse_precondition(current: Current | None, if_match: str | None, if_none_match: bool = False) -> Rejected | None:
    """None when the present file (None: there is none) is as the caller demands."""
    if if_none_match and current is not None:
        return refused(PreconditionFailed, "the file exists already", etag=current.etag,
                       generation=current.generation)
    if if_match is None:
        return None
    if current is None:
        return refused(PreconditionFailed, "the file does not exist", etag=None)
    if if_match not in (ANY_ETAG, current.etag):
        return refused(PreconditionFailed, "the file has changed meanwhile", etag=current.etag,
                       generation=current.generation)
    return None


def refuse_missing(place: Place) -> Rejected:
    """The folders above the place are not there, and nobody said that they should be made."""
    return refused(FolderNotFound if place.bucket else BucketNotFound, missing="/".join(place.missing))


def refuse_target(work: Working, user_no: UserNo, place: Place, *, parents: bool) -> Rejected | None:
    """None when the user may write at a place, whatever stands there and whoever holds a lock on it."""
    refusal = refuse_writer(work, user_no, place.bucket)
    if refusal is None and place.missing and not parents:
        refusal = refuse_missing(place)
    if refusal is None and place.bucket is None:
        refusal = tree.refuse_new_bucket(work, user_no, place.missing[0] if place.missing else place.name)
    return refusal


def existing(work: Working, user_no: UserNo, lock: bytes, text: str,
             if_match: str | None) -> tuple[Place, Folder, Current] | Rejected:
    """The file at a path with its bucket, for a command that changes it and needs it to be there."""
    place = tree.locate_file(work, text)
    if isinstance(place, Rejected):
        return place
    refusal = refuse_writer(work, user_no, place.bucket) or refuse_locked(work, user_no, lock, place.path)
    if refusal is not None:
        return refusal
    if place.bucket is None:
        return refused(BucketNotFound)
    if place.missing:
        return refused(FileNotFound, path="/" + place.path)
    current = entry(work, place.folder, place.name)
    if isinstance(current, Rejected):
        return current
    refusal = refuse_precondition(current, if_match)
    if refusal is not None:
        return refusal
    if current is None:
        return refused(FileNotFound, path="/" + place.path)
    return place, place.bucket, current


def refuse_growth(work: Working, place: Place, user_no: UserNo, current: Current | None, size: int) -> Rejected | None:
    """None when the quotas leave room for `size` bytes in the place of what stands there."""
    return quotas.refuse_growth(work, place.bucket, user_no, files=1 if current is None else 0,
                                size=size - (0 if current is None else current.size))


def store(work: Working, place: Place, user_no: UserNo, current: Current | None, content: Content) -> Accepted:
    """Make `content` the new current version at a place where that is allowed; its chunks are counted already.

    Missing folders are made. facts: generation, created (there was no file), modified_ms.
    """
    folder = tree.make_missing(work, place, user_no) if place.missing else place.folder
    bucket = place.bucket or tree.bucket_of(work, place.path)
    content = versioning.stamped(work, bucket, content)
    if current is None:
        generation, owner_no = _insert(work, folder, bucket, place.name, user_no, content), user_no
    else:
        generation, owner_no = current.generation + 1, current.owner_no
        version_no = versions.add(work, content, file_no=current.file_no, generation=generation, owner_no=owner_no)
        work.db.execute(
            "UPDATE entries SET version_no = ?, generation = ?, size = ?, etag = ?, content_type = ?, modified_ms = ?"
            " WHERE parent = ? AND key = ?",
            (version_no, generation, content.size, content.etag, content.content_type, work.clock_ms, folder.no,
             place.name))
        work.relisted(folder)
        keeping = work.keeping(bucket)
        versions.retire(work, current.version_no, keeping)
        versions.keep_few(work, current.file_no, generation, keeping)
    count(work, folder, bucket, files=1 if current is None else 0,
          size=content.size - (0 if current is None else current.size), top=generation, reach=len(place.name.encode()))
    changes.record(work, changes.FILE_PUT, place.path, generation=generation, size=content.size, owner_no=owner_no)
    return Accepted(work.seq, {"generation": generation, "created": current is None, "modified_ms": work.clock_ms})


def _insert(work: Working, folder: Folder, bucket: Folder, name: str, owner_no: UserNo, content: Content) -> int:
    """Add a file that is not there, going on where its tomb or the folder's floor ended; returns the generation."""
    tomb = tree.take_tomb(work, folder, name)
    file_no = work.next_no() if tomb is None else tomb.no
    generation = max(folder.floor, 0 if tomb is None else tomb.generation) + 1
    version_no = versions.add(work, content, file_no=file_no, generation=generation, owner_no=owner_no)
    work.db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (folder.no, name, file_no, version_no, generation, content.size, content.etag,
                     content.content_type, owner_no, work.clock_ms))
    work.relisted(folder).entries += 1
    if tomb is not None:
        versions.keep_few(work, file_no, generation, work.keeping(bucket))
    return generation


def bury(work: Working, folder: Folder, bucket: Folder, name: str, current: Current) -> Tomb:
    """Take a file out of the tree and into the trash. The caller tells the feed."""
    work.db.execute("DELETE FROM entries WHERE parent = ? AND key = ?", (folder.no, name))
    work.relisted(folder).entries -= 1
    count(work, folder, bucket, files=-1, size=-current.size)
    versions.retire(work, current.version_no, work.keeping(bucket))
    tomb = Tomb(current.file_no, current.generation, work.clock_ms)
    tree.add_tomb(work, folder, name, tomb)
    return tomb


def count(work: Working, folder: Folder, bucket: Folder, *, files: int, size: int, top: int = 0,
          reach: int = 0) -> None:
    """Files came (or, negative, went): the sums of all folders above, of the bucket, its owner and the cluster."""
    work.folders.count(folder, files=files, size=size, top=top, reach=reach)
    quotas.count(work, bucket, files=files, size=size)
