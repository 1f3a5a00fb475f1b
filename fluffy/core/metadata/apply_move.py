"""Move a file, a folder or a bucket: one row of `entries` gets another key, whatever lies below it.

Children refer to their folder by number, so their paths follow. What moves with it: history, trash, owners. What stays:
a floor under the generations of the place it left, so that nothing made there later looks older than what was there.
"""

from __future__ import annotations

from fluffy.base.errors import AlreadyExists, IntoItself, NameIllegal
from fluffy.base.paths import PATH_BYTES_MAX
from fluffy.core.metadata import changes, files, past_places, quotas, trash, tree
from fluffy.core.metadata.commands_tree import Move
from fluffy.core.metadata.files import Current
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.locks import refuse_locked
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.refusals import refused
from fluffy.core.metadata.standing import Standing, refuse_changer, refuse_other_kind, standing_at, standing_in
from fluffy.core.metadata.tree import Place
from fluffy.core.metadata.working import Working


def move(work: Working, command: Move) -> Outcome:
    """Give what stands at `src` the path `dst`. facts: kind, generation (of a file), files, bytes, replaced."""
    source = standing_at(work, command.src)
    if isinstance(source, Rejected):
        return source
    place = _place(work, source, command.dst)
    if isinstance(place, Rejected):
        return place
    user_no = command.header.user_no
    is_folder = source.folder is not None
    refusal = (refuse_changer(work, user_no, source)
               or refuse_locked(work, user_no, command.lock, source.path, place.path, below=is_folder)
               or (None if source.is_bucket else files.refuse_target(work, user_no, place,
                                                                              parents=command.parents))
               or files.refuse_precondition(source.file, command.if_match)
               or _refuse_nesting(source, place))
    if refusal is not None:
        return refusal
    target = standing_in(work, place)
    refusal = (_refuse_target(work, command, source, target) or files.refuse_precondition(
        None if target is None else target.file, command.if_dst_match))
    if refusal is None and (place.bucket is None or place.bucket.no != source.bucket.no) and not source.is_bucket:
        refusal = quotas.refuse_growth(work, place.bucket, user_no, files=source.files, size=source.bytes,
                                       leaving=source.bucket)
    if refusal is not None:
        return refusal
    if target is not None:
        trash.bury(work, target)
    folder = tree.make_missing(work, place, user_no) if place.missing else place.folder
    facts = {"files": source.files, "bytes": source.bytes, "replaced": target is not None}
    if source.folder is not None:
        _move_folder(work, source, source.folder, folder, place)
        return Accepted(work.seq, {"kind": "folder", **facts})
    assert source.file is not None
    generation = _move_file(work, source, source.file, folder, place)
    return Accepted(work.seq, {"kind": "file", "generation": generation, **facts})


def _place(work: Working, source: Standing, text: str) -> Place | Rejected:
    place = tree.locate_folder(work, text) if source.folder is not None else tree.locate_file(work, text)
    if isinstance(place, Rejected):
        return place
    if source.is_bucket != ("/" not in place.path):
        return refused(NameIllegal, "a bucket can only be renamed, and a folder cannot become a bucket; make the bucket"
                                    " and move into it", path="/" + place.path)
    reach = 0 if source.folder is None else 1 + source.folder.reach
    if len(place.path.encode()) + reach > PATH_BYTES_MAX:
        return refused(NameIllegal, f"a path below /{place.path} would be longer than {PATH_BYTES_MAX} bytes")
    return place


def _refuse_nesting(source: Standing, place: Place) -> Rejected | None:
    """None unless one path lies in the other."""
    inside = place.path.startswith(source.path + "/") and source.folder is not None
    if inside or place.path == source.path:
        return refused(IntoItself, path="/" + source.path)
    return None


def _refuse_target(work: Working, command: Move, source: Standing, target: Standing | None) -> Rejected | None:
    if target is None:
        return None
    refusal = refuse_other_kind(target, wants_folder=source.folder is not None)
    if refusal is not None:
        return refusal
    if not command.overwrite:
        return refused(AlreadyExists, path="/" + target.path)
    if source.path.startswith(target.path + "/"):
        return refused(IntoItself, path="/" + source.path)
    return refuse_changer(work, command.header.user_no, target)


def _move_file(work: Working, source: Standing, current: Current, folder: Folder, place: Place) -> int:
    """Returns the generation at the new place: its own, or the next one there when that was used already."""
    tomb = tree.tomb_at(work, folder, place.name)
    generation = max(current.generation, max(folder.floor, 0 if tomb is None else tomb.generation) + 1)
    if generation != current.generation:
        work.db.execute("UPDATE versions SET generation = ? WHERE version_no = ?", (generation, current.version_no))
    work.db.execute("UPDATE entries SET parent = ?, key = ?, generation = ? WHERE parent = ? AND key = ?",
                    (folder.no, place.name, generation, source.parent.no, source.name))
    work.relisted(source.parent).entries -= 1
    source.parent.floor = max(source.parent.floor, current.generation)
    work.relisted(folder).entries += 1
    bucket = place.bucket or tree.bucket_of(work, place.path)
    files.count(work, source.parent, source.bucket, files=-1, size=-current.size)
    files.count(work, folder, bucket, files=1, size=current.size, top=generation, reach=len(place.name.encode()))
    past_places.record_file(work, current.file_no, source.parent, source.name, version_no=current.version_no,
                            left_ms=work.clock_ms)
    changes.record(work, changes.FILE_MOVED, place.path, generation=generation, size=current.size,
                   owner_no=current.owner_no, source=source.path)
    return generation


def _move_folder(work: Working, source: Standing, moved: Folder, folder: Folder, place: Place) -> None:
    key = place.name + "/"
    work.db.execute("UPDATE entries SET parent = ?, key = ? WHERE parent = ? AND key = ?",
                    (folder.no, key, source.parent.no, moved.key))
    work.relisted(source.parent).entries -= 1
    source.parent.floor = max(source.parent.floor, moved.floor, moved.top)
    work.relisted(folder).entries += 1
    past_places.record_folder(work, moved, source.parent, moved.key, left_ms=work.clock_ms)
    work.folders.touch(moved).parent = folder.no
    moved.key = key
    moved.floor = max(moved.floor, folder.floor)
    work.folders.forget_paths()
    if not source.is_bucket:
        bucket = place.bucket or tree.bucket_of(work, place.path)
        files.count(work, source.parent, source.bucket, files=-moved.files, size=-moved.bytes)
        files.count(work, folder, bucket, files=moved.files, size=moved.bytes, top=moved.top,
                    reach=len(key.encode()) + moved.reach)
    changes.record(work, changes.FOLDER_MOVED, place.path, generation=0, size=0, owner_no=moved.owner_no,
                   source=source.path)
