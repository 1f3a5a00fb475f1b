"""Versions of objects deleted for good, what is said of one changed in place, what a lifecycle has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fluffy.base.errors import FileNotFound, RequestError, VersionNotFound
from fluffy.base.ids import UserNo
from fluffy.base.object_keys import KEY_BYTES_MAX
from fluffy.core.metadata import changes, file_body, object_history, objects
from fluffy.core.metadata.commands_object_versions import DeleteVersions, ExpireObjects, MarkObject
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.locks import refuse_locked
from fluffy.core.metadata.object_history import Home, Kept
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.own_meta import OWN
from fluffy.core.metadata.packing import pack_texts, unpack_texts
from fluffy.core.metadata.refusals import refuse_operator, refuse_term, refuse_writer, refused
from fluffy.core.metadata.versioning import is_stamped
from fluffy.core.metadata.working import Working

ITEMS_MAX = 1_000


def delete_versions(work: Working, command: DeleteVersions) -> Outcome:
    """facts: markers (places in `items` of those that were delete markers), refused ([place, code] of others)."""
    bucket = objects.bucket_at(work, command.bucket)
    if isinstance(bucket, Rejected):
        return bucket
    refusal = refuse_writer(work, command.header.user_no, bucket) or _refuse_items(command.items)
    if refusal is not None:
        return refusal
    markers: list[int] = []
    not_deleted: list[list[object]] = []
    is_changed = False
    for at, (key, version_no) in enumerate(command.items):
        home = _home(work, command.bucket, bucket, key)
        refusal = home if isinstance(home, Rejected) else refuse_locked(work, command.header.user_no, b"",
                                                                        home.place.path)
        if refusal is not None or isinstance(home, Rejected):
            not_deleted.append([at, "" if refusal is None else refusal.code])
            continue
        version = _kept(work, home, version_no)
        if version is None:
            continue
        object_history.remove(work, home, version)
        is_changed = True
        if version.is_marker:
            markers.append(at)
    if is_changed:
        work.seq += 1
    return Accepted(work.seq, {"markers": markers, "refused": not_deleted})


def expire_objects(work: Working, command: ExpireObjects) -> Outcome:
    """facts: expired (how many were)."""
    refusal = refuse_operator(work, command.header.user_no) or refuse_term(work, command.term)
    refusal = refusal or _refuse_items(command.items)
    if refusal is not None:
        return refusal
    bucket = objects.bucket_at(work, command.bucket)
    if isinstance(bucket, Rejected):
        return bucket
    expired = 0
    for key, version_no in command.items:
        home = _home(work, command.bucket, bucket, key)
        version = None if isinstance(home, Rejected) else _kept(work, home, version_no)
        if isinstance(home, Rejected) or version is None:
            continue
        if refuse_locked(work, command.header.user_no, b"", home.place.path) is not None:
            continue
        if version.is_current:
            object_history.delete(work, home, UserNo(bucket.owner_no))
        else:
            object_history.remove(work, home, version)
        expired += 1
    if expired:
        work.seq += 1
    return Accepted(work.seq, {"expired": expired})


def mark_object(work: Working, command: MarkObject) -> Outcome:
    """facts: generation, version_no."""
    place = objects.locate(work, command.path)
    if isinstance(place, Rejected):
        return place
    refusal = objects.refuse_target(work, command.header.user_no, place) or file_body.refuse_texts(
        meta=command.own, tags=command.tags)
    if refusal is None and any(not name.startswith(OWN) for name in command.own or {}):
        refusal = refused(RequestError, "that is metadata of users, which has a command of its own")
    if refusal is not None:
        return refusal
    assert place.bucket is not None
    home = object_history.home_of(work, place, place.bucket)
    version = _kept(work, home, command.version_no)
    if version is None or version.is_marker:
        return refused(FileNotFound if command.version_no == 0 else VersionNotFound, path="/" + place.path)
    (packed,) = work.db.execute("SELECT meta FROM versions WHERE version_no = ?", (version.version_no,)).fetchone()
    meta = {name: text for name, text in {**unpack_texts(packed), **(command.own or {})}.items()
            if text or not name.startswith(OWN)}
    refusal = file_body.refuse_texts(meta=meta)
    if refusal is not None:
        return refusal
    work.db.execute("UPDATE versions SET meta = ?, meta_version = meta_version + 1 WHERE version_no = ?",
                    (pack_texts(meta), version.version_no))
    if command.tags is not None:
        work.db.execute("UPDATE versions SET tags = ? WHERE version_no = ?",
                        (pack_texts(command.tags), version.version_no))
    if home.current is not None and version.is_current:
        changes.record(work, changes.FILE_CHANGED, place.path, generation=version.generation,
                       size=home.current.size, owner_no=home.current.owner_no)
    else:
        work.seq += 1
    return Accepted(work.seq, {"generation": version.generation, "version_no": version.version_no})


def _home(work: Working, bucket_name: str, bucket: Folder, key: str) -> Home | Rejected:
    place = objects.locate(work, f"{bucket_name}/{key}")
    return place if isinstance(place, Rejected) else object_history.home_of(work, place, bucket)


def _kept(work: Working, home: Home, version_no: int) -> Kept | None:
    """The version of that number, if it is one of this object; 0: the current one."""
    file_no = home.file_no
    if file_no is None:
        return None
    if version_no == 0:
        version_no = 0 if home.current is None else home.current.version_no
    row = work.db.execute(
        "SELECT version_no, generation, etag, ifnull(meta, x''), retired_ms FROM versions WHERE version_no = ? AND"
        " file_no = ? AND (retired_ms IS NULL OR expires_ms > 0)", (version_no, file_no)).fetchone()
    if row is None:
        return None
    return Kept(row[0], row[1], row[2], is_stamped(row[3]), row[4] is None)


def _refuse_items(items: tuple[tuple[str, int], ...]) -> Rejected | None:
    if len(items) > ITEMS_MAX:
        return refused(RequestError, f"at most {ITEMS_MAX:,} versions are deleted at once")
    try:
        is_long = any(len(key.encode()) > KEY_BYTES_MAX for key, _ in items)
    except UnicodeEncodeError:
        return refused(RequestError, "a key is not valid UTF-8")
    return refused(RequestError, "a key is too long") if is_long else None


HANDLERS: Mapping[int, Callable[[Working, Any], Outcome]] = {
    DeleteVersions.KIND: delete_versions,
    MarkObject.KIND: mark_object,
    ExpireObjects.KIND: expire_objects,
}
