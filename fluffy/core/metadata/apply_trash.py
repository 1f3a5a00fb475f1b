"""Deleting whole folders, and everything people do with the trash: undelete, purge, empty it."""

from __future__ import annotations

from fluffy.base.errors import (
    AlreadyExists,
    FileNotFound,
    IsFile,
    NameIllegal,
    PreconditionFailed,
    RequestError,
    VersionNotFound,
)
from fluffy.base.ids import UserNo
from fluffy.base.paths import PATH_BYTES_MAX, parse_path
from fluffy.core.metadata import changes, files, past_places, quotas, reaping, trash, tree, versions
from fluffy.core.metadata.commands_tree import DeleteFolder, EmptyTrash, PurgeVersion, Undelete
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.locks import refuse_locked
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.refusals import refuse_bucket_admin, refuse_writer, refused
from fluffy.core.metadata.standing import Standing, refuse_changer, standing_at, standing_in
from fluffy.core.metadata.trash import Trashed
from fluffy.core.metadata.tree import Place, Tomb
from fluffy.core.metadata.working import Working

# What one EmptyTrash purges, and how many things it looks at: others' trash is passed over.
EMPTY_ITEMS_MAX = 1_000
EMPTY_EXAMINED_MAX = 10_000


def delete_folder(work: Working, command: DeleteFolder) -> Outcome:
    """Put a folder into the trash with all it holds, or purge it. facts: files, bytes."""
    thing = standing_at(work, command.path.rstrip("/") + "/")
    if isinstance(thing, Rejected):
        found = standing_at(work, command.path.rstrip("/"))
        return refused(IsFile, path="/" + found.path) if isinstance(found, Standing) and found.file else thing
    user_no = command.header.user_no
    refusal = (refuse_changer(work, user_no, thing)
               or refuse_locked(work, user_no, command.lock, thing.path, below=True))
    if refusal is not None:
        return refusal
    assert thing.folder is not None
    facts = {"files": thing.folder.files, "bytes": thing.folder.bytes}
    if command.purge:
        trash.bury_folder(work, thing.parent, thing.bucket, thing.folder)
        reaping.condemn(work, thing.parent, thing.folder.key, thing.folder)
    else:
        trash.bury(work, thing)
    return Accepted(work.seq, facts)


def undelete(work: Working, command: Undelete) -> Outcome:
    """Bring something back from the trash. facts: kind, path, generation (of a file), files, bytes."""
    located = _located(work, command)
    if isinstance(located, Rejected):
        return located
    thing, place = located
    user_no = command.header.user_no
    is_bucket = thing.folder.no == 0
    rights = refuse_bucket_admin if is_bucket else refuse_writer
    refusal = (rights(work, user_no, thing.bucket)
               or (None if is_bucket else files.refuse_target(work, user_no, place, parents=True))
               or refuse_locked(work, user_no, command.lock, place.path, below=thing.is_folder))
    if refusal is not None:
        return refusal
    there = standing_in(work, place)
    if there is not None:
        kind = "file" if there.folder is None else "folder"
        return refused(AlreadyExists, f"a {kind} stands at /{there.path}; give another path to bring it back to",
                       path="/" + there.path, kind=kind,
                       generation=0 if there.file is None else there.file.generation)
    if thing.is_folder:
        return _undelete_folder(work, user_no, thing, place)
    return _undelete_file(work, user_no, thing, place)


def _located(work: Working, command: Undelete) -> tuple[Trashed, Place] | Rejected:
    """What is to come back, and where to."""
    try:
        path = parse_path(command.path)
    except NameIllegal as error:
        return refused(NameIllegal, error.message)
    if path.is_root:
        return refused(NameIllegal, "name what was deleted")
    thing = trash.trashed_at(work, path.text, command.item)
    if isinstance(thing, Rejected):
        return thing
    target = path.text if command.target is None else command.target
    place = tree.locate_folder(work, target) if thing.is_folder else tree.locate_file(work, target)
    if isinstance(place, Rejected):
        return place
    if (thing.folder.no == 0) != ("/" not in place.path):
        return refused(NameIllegal, "a bucket comes back as a bucket, and nothing else does", path="/" + place.path)
    reach = 1 + work.folders.get(thing.tomb.no).reach if thing.is_folder else 0
    if len(place.path.encode()) + reach > PATH_BYTES_MAX:
        return refused(NameIllegal, f"a path below /{place.path} would be longer than {PATH_BYTES_MAX} bytes")
    return thing, place


def _undelete_folder(work: Working, user_no: UserNo, thing: Trashed, place: Place) -> Outcome:
    folder = work.folders.get(thing.tomb.no)
    bucket = folder if thing.folder.no == 0 else place.bucket
    refusal = quotas.refuse_growth(work, bucket, user_no, files=folder.files, size=folder.bytes)
    if refusal is not None:
        return refusal
    parent = tree.make_missing(work, place, user_no) if place.missing else place.folder
    past_places.record_folder(work, folder, thing.folder, thing.key, left_ms=thing.tomb.deleted_ms)
    _take_out(work, thing)
    key = place.name + "/"
    work.folders.touch(folder).removed = 0
    folder.parent = parent.no
    folder.key = key
    folder.floor = max(folder.floor, parent.floor)
    work.db.execute("INSERT INTO entries VALUES (?, ?, ?, 0, 0, 0, '', '', ?, ?)",
                    (parent.no, key, folder.no, folder.owner_no, folder.created_ms))
    work.relisted(parent).entries += 1
    files.count(work, parent, bucket or tree.bucket_of(work, place.path), files=folder.files, size=folder.bytes,
                top=folder.top, reach=len(key.encode()) + folder.reach)
    work.folders.forget_paths()
    changes.record(work, changes.FOLDER_UNDELETED, place.path, generation=0, size=0, owner_no=folder.owner_no,
                   source=thing.path)
    return Accepted(work.seq, {"kind": "folder", "path": place.path, "files": folder.files, "bytes": folder.bytes})


def _take_out(work: Working, thing: Trashed) -> None:
    tree.remove_tomb(work, thing.folder, thing.key, thing.tomb.no)
    thing.folder.floor = max(thing.folder.floor, thing.tomb.generation)
    tree.drop_shelters(work, thing.folder)


def _undelete_file(work: Working, user_no: UserNo, thing: Trashed, place: Place) -> Outcome:
    kept = versions.kept_generation(work, thing.tomb.no)
    if kept is None:
        return refused(FileNotFound, f"nothing of /{thing.path} is kept any more", path="/" + thing.path)
    version_no, generation = kept
    content = versions.content_of(work, version_no)
    refusal = files.refuse_growth(work, place, user_no, None, content.size)
    if refusal is not None:
        return refusal
    parent = tree.make_missing(work, place, user_no) if place.missing else place.folder
    newest = tree.tomb_at(work, parent, place.name)
    if newest is None or newest.no != thing.tomb.no or newest.generation != generation:
        generation = 1 + max(thing.tomb.generation, parent.floor, 0 if newest is None else newest.generation)
    past_places.record_file(work, thing.tomb.no, thing.folder, thing.key, version_no=version_no,
                            left_ms=thing.tomb.deleted_ms)
    _take_out(work, thing)
    work.db.execute("UPDATE versions SET retired_ms = NULL, expires_ms = NULL, generation = ? WHERE version_no = ?",
                    (generation, version_no))
    work.db.execute("INSERT INTO entries SELECT ?, ?, file_no, version_no, generation, size, etag, content_type,"
                    " owner_no, modified_ms FROM versions WHERE version_no = ?", (parent.no, place.name, version_no))
    work.relisted(parent).entries += 1
    bucket = place.bucket or tree.bucket_of(work, place.path)
    files.count(work, parent, bucket, files=1, size=content.size, top=generation, reach=len(place.name.encode()))
    (owner_no,) = work.db.execute("SELECT owner_no FROM versions WHERE version_no = ?", (version_no,)).fetchone()
    changes.record(work, changes.FILE_PUT, place.path, generation=generation, size=content.size, owner_no=owner_no)
    return Accepted(work.seq, {"kind": "file", "path": place.path, "generation": generation, "files": 1,
                               "bytes": content.size})


def purge_version(work: Working, command: PurgeVersion) -> Outcome:
    """Free one old generation for good. facts: generation."""
    try:
        path = parse_path(command.path)
    except NameIllegal as error:
        return refused(NameIllegal, error.message)
    thing = standing_at(work, path.text)
    if isinstance(thing, Standing) and thing.file is not None:
        bucket, file_no = thing.bucket, thing.file.file_no
        if command.generation == thing.file.generation:
            return refused(PreconditionFailed, "that is the current generation; delete the file first",
                           generation=thing.file.generation, etag=thing.file.etag)
    else:
        trashed = trash.trashed_at(work, path.text, 0) if not path.is_root else refused(FileNotFound)
        if isinstance(trashed, Rejected):
            return trashed
        bucket, file_no = trashed.bucket, trashed.tomb.no
    user_no = command.header.user_no
    refusal = refuse_writer(work, user_no, bucket) or refuse_locked(work, user_no, command.lock, path.text)
    if refusal is not None:
        return refusal
    if versions.kept_number(work, file_no, command.generation) is None:
        return refused(VersionNotFound, path="/" + path.text)
    work.db.execute("UPDATE versions SET expires_ms = 0 WHERE file_no = ? AND generation = ?"
                    " AND retired_ms IS NOT NULL", (file_no, command.generation))
    versions.sweep(work, expires_ms_max=versions.CONDEMNED_MS, versions_max=versions.SWEEP_VERSIONS_BY_UPDATE,
                   chunks_max=versions.SWEEP_CHUNKS_BY_UPDATE)
    work.seq += 1
    return Accepted(work.seq, {"generation": command.generation})


def empty_trash(work: Working, command: EmptyTrash) -> Outcome:
    """Purge what is in the trash, batch by batch. facts: purged, more, after."""
    scope = _scope(work, command)
    if isinstance(scope, Rejected):
        return scope
    after = command.after or "0"
    if not (after.isascii() and after.isdigit() and len(after) <= 18) or command.limit < 1:
        return refused(RequestError, "'after' is not a cursor of the trash, or 'limit' is not positive")
    rows = work.db.execute(
        "SELECT parent, key, no, generation, deleted_ms, expires_ms IS NOT NULL FROM tombs WHERE no > ? ORDER BY no"
        " LIMIT ?", (int(after), EMPTY_EXAMINED_MAX)).fetchall()
    purged = 0
    last = int(after)
    for parent_no, key, no, generation, deleted_ms, is_tree in rows:
        if purged >= min(command.limit, EMPTY_ITEMS_MAX):
            return _emptied(work, purged, more=True, after=last)
        last = no
        if generation or is_tree:
            purged += _purge(work, command, scope, work.folders.get(parent_no), key, Tomb(no, generation, deleted_ms))
    return _emptied(work, purged, more=len(rows) == EMPTY_EXAMINED_MAX, after=last)


def _emptied(work: Working, purged: int, *, more: bool, after: int) -> Accepted:
    if purged:
        versions.sweep(work, expires_ms_max=versions.CONDEMNED_MS, versions_max=versions.SWEEP_VERSIONS_BY_PURGE,
                       chunks_max=versions.SWEEP_CHUNKS_MAX)
    return Accepted(work.seq, {"purged": purged, "more": more, "after": str(after)})


def _scope(work: Working, command: EmptyTrash) -> str | Rejected:
    """The path below which to purge; '' is everywhere."""
    try:
        path = parse_path(command.path).text
    except NameIllegal as error:
        return refused(NameIllegal, error.message)
    if work.user(command.header.user_no) is None:
        return refuse_writer(work, command.header.user_no, None) or path
    if path:
        bucket = tree.folder_in(work, work.folders.root(), path.partition("/")[0])
        if bucket is not None:
            return refuse_writer(work, command.header.user_no, bucket) or path
    return path


def _purge(work: Working, command: EmptyTrash, scope: str, folder: Folder, key: str, tomb: Tomb) -> int:
    """Purge one thing in the trash if it is in scope and the caller may; returns how many it was."""
    home = trash.home_of(work, folder)
    if home is None:
        return 0  # goes with the deleted folder that it lies in
    above, bucket = home
    name = key.removesuffix("/")
    path = f"{above}/{name}" if above else name
    if scope and path != scope and not path.startswith(scope + "/"):
        return 0
    if not above:
        bucket = work.folders.get(tomb.no)
        refusal = refuse_bucket_admin(work, command.header.user_no, bucket)
    else:
        refusal = refuse_writer(work, command.header.user_no, bucket)
    if refusal is not None:
        return 0
    if not tomb.generation:
        reaping.condemn(work, folder, key, work.folders.get(tomb.no))
        return 1
    (owner_no,) = work.db.execute("SELECT owner_no FROM versions WHERE file_no = ? AND retired_ms IS NOT NULL"
                                  " ORDER BY generation DESC LIMIT 1", (tomb.no,)).fetchone()
    tree.drop_tomb(work, folder, key, tomb)
    versions.condemn(work, tomb.no, generation_max=tomb.generation)
    changes.record(work, changes.FILE_PURGED, path, generation=tomb.generation, size=0, owner_no=owner_no)
    return 1
