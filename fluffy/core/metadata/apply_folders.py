"""Folders and buckets: make, remove."""

from __future__ import annotations

from fluffy.base.errors import AlreadyExists, BucketNotFound, FolderNotEmpty, FolderNotFound, IsFile
from fluffy.core.metadata import changes, tree
from fluffy.core.metadata.commands import MakeFolder, RemoveFolder
from fluffy.core.metadata.locks import refuse_locked
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.refusals import refuse_bucket_admin, refuse_writer, refused
from fluffy.core.metadata.tree import Place
from fluffy.core.metadata.working import Working


def make_folder(work: Working, command: MakeFolder) -> Outcome:
    """Make a folder or bucket; its maker owns it. facts: created (False: it was there, and `parents` allowed that)."""
    place = tree.locate_folder(work, command.path)
    if isinstance(place, Rejected):
        return place
    user_no = command.header.user_no
    existing = None
    if not place.missing:
        existing = tree.folder_in(work, place.folder, place.name)
    bucket = place.bucket
    if "/" not in place.path:
        bucket = existing
    refusal = refuse_writer(work, user_no, bucket)
    if refusal is not None:
        return refusal
    if existing is not None:
        if command.parents:
            return Accepted(work.seq, {"created": False})
        return refused(AlreadyExists, path="/" + place.path)
    if place.missing and not command.parents:
        return _missing(place)
    if not place.missing and tree.has_file(work, place.folder, place.name):
        return refused(IsFile, path="/" + place.path)
    if bucket is None:
        refusal = tree.refuse_new_bucket(work, user_no, place.path.partition("/")[0])
    refusal = refusal or refuse_locked(work, user_no, command.lock, place.path)
    if refusal is not None:
        return refusal
    parent = tree.make_missing(work, place, user_no)
    tree.make_folder(work, parent, place.name, place.path, user_no)
    return Accepted(work.seq, {"created": True})


def remove_folder(work: Working, command: RemoveFolder) -> Outcome:
    """Remove an empty folder or bucket; what is in its trash can still be read and restored."""
    place = tree.locate_folder(work, command.path)
    if isinstance(place, Rejected):
        return place
    if place.missing:
        return _missing(place)
    is_bucket = "/" not in place.path
    folder = tree.folder_in(work, place.folder, place.name)
    user_no = command.header.user_no
    if is_bucket and folder is not None:
        refusal = refuse_bucket_admin(work, user_no, folder)
    else:
        refusal = refuse_writer(work, user_no, place.bucket)
    refusal = refusal or refuse_locked(work, user_no, command.lock, place.path, below=True)
    if refusal is not None:
        return refusal
    if folder is None:
        if not is_bucket and tree.has_file(work, place.folder, place.name):
            return refused(IsFile, path="/" + place.path)
        return refused(BucketNotFound if is_bucket else FolderNotFound, path="/" + place.path)
    if folder.entries:
        return refused(FolderNotEmpty, path="/" + place.path, entries=folder.entries)
    owner_no = folder.owner_no
    tree.remove_folder(work, place.folder, folder)
    changes.record(work, changes.BUCKET_REMOVED if is_bucket else changes.FOLDER_REMOVED, place.path, generation=0,
                   size=0, owner_no=owner_no)
    return Accepted(work.seq, {})


def _missing(place: Place) -> Rejected:
    return refused(FolderNotFound if place.bucket else BucketNotFound, missing="/".join(place.missing))
