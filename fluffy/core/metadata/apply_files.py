"""Files: put a new generation, delete into the trash, purge."""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.errors import BucketNotFound, FileNotFound, FolderNotFound, IsFolder, PreconditionFailed
from fluffy.base.ids import UserNo
from fluffy.core.metadata import changes, file_body, tree, versions
from fluffy.core.metadata.commands import DeleteFile, PutFile
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.packing import pack_etag, unpack_etag
from fluffy.core.metadata.refusals import refuse_writer, refused
from fluffy.core.metadata.tree import Place, Tomb
from fluffy.core.metadata.working import Working

# If-Match: * demands only that the file is there.
ANY_ETAG = "*"


@dataclass(frozen=True, slots=True)
class Current:
    """The row of `entries` of an existing file."""

    file_no: int
    version_no: int
    generation: int
    size: int
    etag: str
    owner_no: UserNo


def put_file(work: Working, command: PutFile) -> Outcome:
    """Make a new current version. facts: generation, created (there was no current file), modified_ms."""
    place = tree.locate_file(work, command.path)
    if isinstance(place, Rejected):
        return place
    refusal = refuse_writer(work, command.header.user_no, place.bucket)
    if refusal is None and place.missing and not command.parents:
        refusal = _refuse_missing(place)
    refusal = refusal or file_body.refuse_body(work, command)
    if refusal is not None:
        return refusal
    current = None
    if not place.missing:
        found = _entry(work, place.folder, place.name)
        if isinstance(found, Rejected):
            return found
        current = found
    refusal = _refuse_precondition(current, command.if_match, command.if_none_match)
    if refusal is not None:
        return refusal
    if command.inline is not None or not command.chunks:
        return _put(work, command, place, current, None)
    uses = file_body.plan_chunks(work, command)
    if isinstance(uses, Rejected):
        return uses
    return _put(work, command, place, current, file_body.take_chunks(work, command, uses))


def _put(work: Working, command: PutFile, place: Place, current: Current | None, manifest: bytes | None) -> Outcome:
    user_no = command.header.user_no
    folder = tree.make_missing(work, place, user_no) if place.missing else place.folder
    if current is None:
        generation, owner_no = _insert(work, command, folder, place.name, manifest), user_no
    else:
        generation, owner_no = current.generation + 1, current.owner_no
        version_no = versions.add(work, command, file_no=current.file_no, generation=generation,
                                  owner_no=current.owner_no, manifest=manifest)
        work.db.execute(
            "UPDATE entries SET version_no = ?, generation = ?, size = ?, etag = ?, content_type = ?, modified_ms = ?"
            " WHERE parent = ? AND key = ?",
            (version_no, generation, command.size, pack_etag(command.etag), command.content_type, work.clock_ms,
             folder.no, place.name))
        work.file_bytes += command.size - current.size
        versions.retire(work, current.version_no)
        _keep_few(work, current.file_no, generation)
    changes.record(work, changes.FILE_PUT, place.path, generation=generation, size=command.size, owner_no=owner_no)
    return Accepted(work.seq, {"generation": generation, "created": current is None, "modified_ms": work.clock_ms})


def _insert(work: Working, command: PutFile, folder: Folder, name: str, manifest: bytes | None) -> int:
    """Add a file that is not there, going on where its tomb or the folder's floor ended; returns the generation."""
    tomb = tree.take_tomb(work, folder, name)
    file_no = work.next_no() if tomb is None else tomb.no
    generation = (folder.floor if tomb is None else tomb.generation) + 1
    owner_no = command.header.user_no
    version_no = versions.add(work, command, file_no=file_no, generation=generation, owner_no=owner_no,
                              manifest=manifest)
    work.db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (folder.no, name, file_no, version_no, generation, command.size, pack_etag(command.etag),
                     command.content_type, owner_no, work.clock_ms))
    work.folders.touch(folder).entries += 1
    work.files += 1
    work.file_bytes += command.size
    if tomb is not None:
        _keep_few(work, file_no, generation)
    return generation


def _keep_few(work: Working, file_no: int, generation: int) -> None:
    """Condemn what `versions_max` does not keep beside the new generation, and pay for freeing it bit by bit."""
    versions.condemn(work, file_no, generation_max=generation - work.settings.versions_max)
    versions.sweep(work, retired_ms_max=versions.CONDEMNED_MS, versions_max=versions.SWEEP_VERSIONS_BY_UPDATE,
                   chunks_max=versions.SWEEP_CHUNKS_BY_UPDATE)


def delete_file(work: Working, command: DeleteFile) -> Outcome:
    """Move a file to the trash, or purge it (also from the trash). facts: generation of what was deleted."""
    place = tree.locate_file(work, command.path)
    if isinstance(place, Rejected):
        return place
    refusal = refuse_writer(work, command.header.user_no, place.bucket)
    if refusal is None and place.missing:
        refusal = refused(FileNotFound, path="/" + place.path) if place.bucket else refused(BucketNotFound)
    if refusal is not None:
        return refusal
    found = _entry(work, place.folder, place.name)
    if isinstance(found, Rejected):
        return found
    if found is None:
        tomb = tree.tomb_at(work, place.folder, place.name)
        if not command.purge or tomb is None or command.if_match is not None:
            return refused(FileNotFound, path="/" + place.path)
        return _purge(work, place, tomb)
    refusal = _refuse_precondition(found, command.if_match, False)
    if refusal is not None:
        return refusal
    work.db.execute("DELETE FROM entries WHERE parent = ? AND key = ?", (place.folder.no, place.name))
    work.folders.touch(place.folder).entries -= 1
    work.files -= 1
    work.file_bytes -= found.size
    versions.retire(work, found.version_no)
    tomb = Tomb(found.file_no, found.generation)
    tree.add_tomb(work, place.folder, place.name, tomb)
    if command.purge:
        return _purge(work, place, tomb)
    changes.record(work, changes.FILE_DELETED, place.path, generation=tomb.generation, size=0,
                   owner_no=found.owner_no)
    return Accepted(work.seq, {"generation": tomb.generation})


def _purge(work: Working, place: Place, tomb: Tomb) -> Outcome:
    """Condemn all versions of a deleted file; the path is free at once, the bytes follow."""
    (owner_no,) = work.db.execute("SELECT owner_no FROM versions WHERE file_no = ? AND generation = ?"
                                  " AND retired_ms IS NOT NULL", (tomb.no, tomb.generation)).fetchone()
    tree.drop_tomb(work, place.folder, place.name)
    versions.condemn(work, tomb.no, generation_max=tomb.generation)
    versions.sweep(work, retired_ms_max=versions.CONDEMNED_MS, versions_max=versions.SWEEP_VERSIONS_BY_PURGE,
                   chunks_max=versions.SWEEP_CHUNKS_MAX)
    changes.record(work, changes.FILE_PURGED, place.path, generation=tomb.generation, size=0, owner_no=owner_no)
    return Accepted(work.seq, {"generation": tomb.generation})


def _refuse_missing(place: Place) -> Rejected:
    return refused(FolderNotFound if place.bucket else BucketNotFound, missing="/".join(place.missing))


def _entry(work: Working, folder: Folder, name: str) -> Current | Rejected | None:
    """The file called `name`; None when there is nothing; Rejected when a folder of that name stands there."""
    current = None
    for key, file_no, version_no, generation, size, etag, owner_no in work.db.execute(
            "SELECT key, no, version_no, generation, size, etag, owner_no FROM entries"
            " WHERE parent = ? AND key IN (?, ?)", (folder.no, name, name + "/")):
        if key != name:
            return refused(IsFolder)
        current = Current(file_no, version_no, generation, size, unpack_etag(etag), owner_no)
    return current


def _refuse_precondition(current: Current | None, if_match: str | None, if_none_match: bool) -> Rejected | None:
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
