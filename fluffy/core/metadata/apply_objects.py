"""Objects, as the S3 door puts, copies and deletes them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fluffy.base.errors import FileNotFound, RequestError, VersionNotFound
from fluffy.base.object_keys import KEY_BYTES_MAX
from fluffy.core.metadata import file_body, files, object_history, objects, versioning, versions
from fluffy.core.metadata.commands_s3 import CopyObject, DeleteObjects, PutObject
from fluffy.core.metadata.file_body import ETAG_BYTES_MAX
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.packing import pack_texts
from fluffy.core.metadata.refusals import refuse_reader, refuse_writer, refused
from fluffy.core.metadata.tree import Place
from fluffy.core.metadata.working import Working

# S3's own bound for one request; about 30 microseconds each.
DELETE_KEYS_MAX = 1_000


def put_object(work: Working, command: PutObject) -> Outcome:
    """Make a new current version. facts: generation, created (there was no object), modified_ms."""
    place = objects.locate(work, command.path)
    if isinstance(place, Rejected):
        return place
    user_no = command.header.user_no
    refusal = objects.refuse_target(work, user_no, place, command.lock) or file_body.refuse_body(work, command)
    if refusal is not None:
        return refusal
    current = objects.entry(work, place)
    refusal = (files.refuse_precondition(current, command.if_match, command.if_none_match)
               or files.refuse_growth(work, place, user_no, current, command.size))
    if refusal is not None:
        return refusal
    manifest = file_body.take_manifest(work, command, place.bucket)
    if isinstance(manifest, Rejected):
        return manifest
    # The entity tag stays a text: a blob would mean that it is made of BLAKE3 (packing.py).
    content = versions.Content(command.size, command.blake3, command.etag, command.content_type,
                               pack_texts(command.meta), pack_texts(command.tags), manifest,
                               None if manifest is not None else command.inline or b"")
    home = objects.make_folders(work, place, user_no)
    return versioning.told(work, home, files.store(work, home, user_no, current, content))


def copy_object(work: Working, command: CopyObject) -> Outcome:
    """Copy a version. facts: generation, created, modified_ms, size, etag."""
    source, place = objects.locate(work, command.src), objects.locate(work, command.path)
    if isinstance(source, Rejected):
        return source
    if isinstance(place, Rejected):
        return place
    user_no = command.header.user_no
    assert source.bucket is not None
    refusal = (refuse_reader(work, user_no, source.bucket) or objects.refuse_target(work, user_no, place)
               or file_body.refuse_texts(content_type=command.content_type or "", meta=command.meta,
                                         tags=command.tags))
    if refusal is not None:
        return refusal
    version_no = _version_at(work, source, source.bucket, command.generation)
    if isinstance(version_no, Rejected):
        return version_no
    content = versions.content_of(work, version_no)
    there = objects.entry(work, place)
    refusal = (files.refuse_precondition(there, command.if_match, command.if_none_match)
               or files.refuse_growth(work, place, user_no, there, content.size))
    if refusal is not None:
        return refusal
    if command.meta is not None:
        content = replace(content, meta=pack_texts(command.meta))
    if command.tags is not None:
        content = replace(content, tags=pack_texts(command.tags))
    if command.content_type is not None:
        content = replace(content, content_type=command.content_type)
    versions.share(work, content, work.keeping(place.bucket))
    home = objects.make_folders(work, place, user_no)
    return versioning.told(work, home, files.store(work, home, user_no, there, replace(content, meta_version=0)))


def _version_at(work: Working, source: Place, bucket: Folder, generation: int) -> int | Rejected:
    """The number of a version of an object that is there, or was: what a delete marker hides can still be copied."""
    current = objects.entry(work, source)
    if current is not None:
        found = versions.number_of(work, current.file_no, current.version_no, current.generation, generation)
    else:
        file_no = object_history.home_of(work, source, bucket).file_no if generation else None
        if file_no is None:
            return refused(FileNotFound, path="/" + source.path)
        found = versions.kept_number(work, file_no, generation)
    return refused(VersionNotFound, path="/" + source.path, generation=generation) if found is None else found


def delete_objects(work: Working, command: DeleteObjects) -> Outcome:
    """Delete. facts: deleted (how many were there), refused ([place in `keys`, code] of each that could not be).

    Also markers ([place, id] of each delete marker made, 0: it is the `null` version), where the bucket has versions.
    """
    bucket = objects.bucket_at(work, command.bucket)
    if isinstance(bucket, Rejected):
        return bucket
    refusal = refuse_writer(work, command.header.user_no, bucket) or _refuse_lists(command)
    if refusal is not None:
        return refusal
    deleted = 0
    markers: list[list[int]] = []
    not_deleted: list[list[object]] = []
    for at, key in enumerate(command.keys):
        outcome = _delete(work, command, bucket, key, command.etags[at] if command.etags else "")
        if isinstance(outcome, Rejected):
            not_deleted.append([at, outcome.code])
            continue
        deleted += outcome.was_there
        if outcome.marker_id is not None:
            markers.append([at, outcome.marker_id])
    return Accepted(work.seq, {"deleted": deleted, "refused": not_deleted, **({"markers": markers} if markers else {})})


def _refuse_lists(command: DeleteObjects) -> Rejected | None:
    if len(command.keys) > DELETE_KEYS_MAX or len(command.etags) not in (0, len(command.keys)):
        return refused(RequestError, f"at most {DELETE_KEYS_MAX:,} objects are deleted at once")
    try:
        too_long = (any(len(key.encode()) > KEY_BYTES_MAX for key in command.keys)
                    or any(len(etag.encode()) > ETAG_BYTES_MAX for etag in command.etags))
    except UnicodeEncodeError:
        return refused(RequestError, "a key or an entity tag is not valid UTF-8")
    return refused(RequestError, "a key or an entity tag is too long") if too_long else None


@dataclass(frozen=True, slots=True)
class _Deleted:
    was_there: bool
    marker_id: int | None


def _delete(work: Working, command: DeleteObjects, bucket: Folder, key: str, etag: str) -> _Deleted | Rejected:
    place = objects.locate(work, f"{command.bucket}/{key}")
    if isinstance(place, Rejected):
        return place
    user_no = command.header.user_no
    refusal = objects.refuse_target(work, user_no, place)
    if refusal is not None:
        return refusal
    current = objects.entry(work, place)
    if current is None and etag:
        return refused(FileNotFound)
    refusal = files.refuse_precondition(current, etag or None)
    if refusal is not None:
        return refusal
    marker_id = object_history.delete(work, object_history.home_of(work, place, bucket), user_no)
    return _Deleted(current is not None, marker_id)
