"""Files: put a new generation, delete into the trash, purge."""

from __future__ import annotations

from fluffy.base.errors import BucketNotFound, FileNotFound
from fluffy.core.metadata import changes, file_body, files, tree, versions
from fluffy.core.metadata.commands import DeleteFile, PutFile
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.locks import refuse_locked
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.packing import pack_etag, pack_texts
from fluffy.core.metadata.refusals import refuse_writer, refused
from fluffy.core.metadata.tree import Tomb
from fluffy.core.metadata.versions import Content
from fluffy.core.metadata.working import Working


def put_file(work: Working, command: PutFile) -> Outcome:
    """Make a new current version. facts: generation, created (there was no current file), modified_ms."""
    place = tree.locate_file(work, command.path)
    if isinstance(place, Rejected):
        return place
    user_no = command.header.user_no
    refusal = (files.refuse_target(work, user_no, place, parents=command.parents)
               or refuse_locked(work, user_no, command.lock, place.path)
               or file_body.refuse_body(work, command))
    if refusal is not None:
        return refusal
    current = None
    if not place.missing:
        found = files.entry(work, place.folder, place.name)
        if isinstance(found, Rejected):
            return found
        current = found
    refusal = (files.refuse_precondition(current, command.if_match, command.if_none_match)
               or files.refuse_growth(work, place, user_no, current, command.size))
    if refusal is not None:
        return refusal
    manifest = file_body.take_manifest(work, command, place.bucket)
    if isinstance(manifest, Rejected):
        return manifest
    content = Content(command.size, command.blake3, pack_etag(command.etag), command.content_type,
                      pack_texts(command.meta), pack_texts(command.tags), manifest,
                      None if manifest is not None else command.inline or b"")
    return files.store(work, place, user_no, current, content)


def delete_file(work: Working, command: DeleteFile) -> Outcome:
    """Move a file to the trash, or purge it (also from the trash). facts: generation of what was deleted."""
    place = tree.locate_file(work, command.path)
    if isinstance(place, Rejected):
        return place
    refusal = refuse_writer(work, command.header.user_no, place.bucket)
    refusal = refusal or refuse_locked(work, command.header.user_no, command.lock, place.path)
    if refusal is not None:
        return refusal
    bucket = place.bucket
    if bucket is None or place.missing:
        return refused(FileNotFound, path="/" + place.path) if bucket else refused(BucketNotFound)
    found = files.entry(work, place.folder, place.name)
    if isinstance(found, Rejected):
        return found
    if found is None:
        tomb = tree.tomb_at(work, place.folder, place.name)
        if not command.purge or tomb is None or command.if_match is not None:
            return refused(FileNotFound, path="/" + place.path)
        return purge(work, place.folder, place.name, place.path, tomb)
    refusal = files.refuse_precondition(found, command.if_match)
    if refusal is not None:
        return refusal
    tomb = files.bury(work, place.folder, bucket, place.name, found)
    if command.purge:
        return purge(work, place.folder, place.name, place.path, tomb)
    changes.record(work, changes.FILE_DELETED, place.path, generation=tomb.generation, size=0,
                   owner_no=found.owner_no)
    return Accepted(work.seq, {"generation": tomb.generation})


def purge(work: Working, folder: Folder, key: str, path: str, tomb: Tomb) -> Outcome:
    """Condemn all versions of a deleted file; the path is free at once, the bytes follow."""
    (owner_no,) = work.db.execute("SELECT owner_no FROM versions WHERE file_no = ? AND retired_ms IS NOT NULL"
                                  " ORDER BY generation DESC LIMIT 1", (tomb.no,)).fetchone()
    tree.drop_tomb(work, folder, key, tomb)
    versions.condemn(work, tomb.no, generation_max=tomb.generation)
    versions.sweep(work, expires_ms_max=versions.CONDEMNED_MS, versions_max=versions.SWEEP_VERSIONS_BY_PURGE,
                   chunks_max=versions.SWEEP_CHUNKS_MAX)
    changes.record(work, changes.FILE_PURGED, path, generation=tomb.generation, size=0, owner_no=owner_no)
    return Accepted(work.seq, {"generation": tomb.generation})
