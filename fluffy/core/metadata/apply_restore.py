"""Bringing old content back: one generation of a file, or a folder as it was at a moment, batch by batch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fluffy.base.errors import FolderNotFound, NameIllegal, PreconditionFailed, RequestError, VersionNotFound
from fluffy.base.paths import PATH_BYTES_MAX, RemotePath, parse_path
from fluffy.core.metadata import files, queries_time, trash, tree, versions
from fluffy.core.metadata.commands_tree import RestoreFolderAt, RestoreVersion
from fluffy.core.metadata.files import Current
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.locks import refuse_locked
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.queries_time import NOW_MS, Pair
from fluffy.core.metadata.refusals import refuse_writer, refused
from fluffy.core.metadata.standing import Standing, standing_at, standing_in
from fluffy.core.metadata.tree import Place
from fluffy.core.metadata.working import Working

# What one command looks at and shares: about 0.1 s.
RESTORE_NAMES_MAX = 1_000
RESTORE_CHUNKS_MAX = 16_384
# An outcome has at most 16 KiB.
CONFLICTS_NAMED_MAX = 8


def restore_version(work: Working, command: RestoreVersion) -> Outcome:
    """Make a kept generation current again. facts: generation, created, modified_ms, restored (False: it was)."""
    place = tree.locate_file(work, command.path)
    if isinstance(place, Rejected):
        return place
    user_no = command.header.user_no
    refusal = (files.refuse_target(work, user_no, place, parents=True)
               or refuse_locked(work, user_no, command.lock, place.path))
    if refusal is not None:
        return refusal
    current = None if place.missing else files.entry(work, place.folder, place.name)
    if isinstance(current, Rejected):
        return current
    if command.expect is not None and command.expect != (0 if current is None else current.generation):
        return refused(PreconditionFailed, "the file has changed meanwhile",
                       etag=None if current is None else current.etag,
                       generation=0 if current is None else current.generation)
    refusal = files.refuse_precondition(current, command.if_match)
    if refusal is not None:
        return refusal
    if current is not None and current.generation == command.generation:
        return Accepted(work.seq, {"generation": current.generation, "created": False, "restored": False})
    version_no = _kept(work, place, current, command.generation)
    if version_no is None:
        return refused(VersionNotFound, path="/" + place.path, generation=command.generation)
    content = replace(versions.content_of(work, version_no), meta_version=0)
    refusal = files.refuse_growth(work, place, user_no, current, content.size)
    if refusal is not None:
        return refusal
    versions.share(work, content, work.keeping(place.bucket))
    stored = files.store(work, place, user_no, current, content)
    return Accepted(stored.seq, {**stored.facts, "restored": True})


def _kept(work: Working, place: Place, current: Current | None, generation: int) -> int | None:
    """The number of that generation of the file that stands at the place, or of the one deleted there last."""
    if current is not None:
        return versions.kept_number(work, current.file_no, generation)
    thing = trash.trashed_at(work, place.path, 0)
    if isinstance(thing, Rejected) or thing.is_folder:
        return None
    return versions.kept_number(work, thing.tomb.no, generation)


@dataclass(slots=True)
class _Tally:
    restored: int = 0
    deleted: int = 0
    same: int = 0
    chunks: int = 0
    conflicts: list[str] = field(default_factory=list)


def restore_folder_at(work: Working, command: RestoreFolderAt) -> Outcome:
    """One batch. facts: restored, deleted, same, conflicts (some of the paths), conflict_count, more, after."""
    path = _folder(work, command)
    if isinstance(path, Rejected):
        return path
    before_no = queries_time.folder_at(work.db, path, command.moment_ms)
    if before_no is None:
        return refused(FolderNotFound, f"there was no folder {path} then, or nothing of it is kept", path=str(path))
    found, more = _batch(work, command, path, before_no)
    tally = _Tally()
    after = command.after
    for pair in found:
        if isinstance(pair, Pair):
            refusal = _restore(work, command, path, pair, tally)
            if refusal is not None and after == command.after:
                return refusal
            if refusal is not None or tally.chunks > RESTORE_CHUNKS_MAX:
                more = True
                break
        after = pair if isinstance(pair, str) else pair.path
    return Accepted(work.seq, {
        "restored": tally.restored, "deleted": tally.deleted, "same": tally.same, "more": more, "after": after,
        "conflicts": tally.conflicts[:CONFLICTS_NAMED_MAX], "conflict_count": len(tally.conflicts)})


def _folder(work: Working, command: RestoreFolderAt) -> RemotePath | Rejected:
    """The folder's path, when the caller may write below it and the fields are in order."""
    try:
        path = parse_path(command.path)
        fits = len(command.after.encode()) <= PATH_BYTES_MAX + 1
    except NameIllegal as error:
        return refused(NameIllegal, error.message)
    except UnicodeEncodeError:
        fits = False
    if not fits or command.limit < 1:
        return refused(RequestError, "'after' is not a cursor, or 'limit' is not positive")
    if path.is_root:
        return refused(NameIllegal, "restore one bucket at a time")
    bucket = tree.folder_in(work, work.folders.root(), path.bucket)
    if bucket is None:
        return refused(FolderNotFound, f"the bucket {path.bucket} is not there; undelete it first", path=str(path))
    return (refuse_writer(work, command.header.user_no, bucket)
            or refuse_locked(work, command.header.user_no, command.lock, path.text, below=True) or path)


def _batch(work: Working, command: RestoreFolderAt, path: RemotePath,
           before_no: int) -> tuple[list[Pair | str], bool]:
    """What to look at; all of it is read before anything changes."""
    limit = min(command.limit, RESTORE_NAMES_MAX)
    batch: list[Pair | str] = []
    for found in queries_time.walk(work.db, before_no, queries_time.folder_at(work.db, path, NOW_MS),
                                   from_ms=command.moment_ms, to_ms=NOW_MS, after=command.after):
        if len(batch) == limit:
            return batch, True
        batch.append(found)
    return batch, False


def _restore(work: Working, command: RestoreFolderAt, path: RemotePath, pair: Pair, tally: _Tally) -> Rejected | None:
    """Bring one path back; what cannot be is a conflict. Rejected: the quota leaves no room."""
    whole = f"{path.text}/{pair.path}"
    if pair.before is None:
        if command.exact:
            there = standing_at(work, whole)
            if isinstance(there, Standing):
                trash.bury(work, there)
                tally.deleted += 1
        return None
    if not pair.before.version_no:
        _restore_folder(work, command, whole.removesuffix("/"), pair, tally)
        return None
    if pair.after is not None and queries_time.same_content(work.db, pair.before, pair.after):
        tally.same += 1
        return None
    place = tree.locate_file(work, whole)
    current = None if isinstance(place, Rejected) or place.missing else files.entry(work, place.folder, place.name)
    if isinstance(place, Rejected) or isinstance(current, Rejected):
        tally.conflicts.append("/" + whole)
        return None
    content = replace(versions.content_of(work, pair.before.version_no), meta_version=0)
    refusal = files.refuse_growth(work, place, command.header.user_no, current, content.size)
    if refusal is not None:
        return refusal
    versions.share(work, content, work.keeping(place.bucket))
    files.store(work, place, command.header.user_no, current, content)
    tally.restored += 1
    tally.chunks += content.chunks
    return None


def _restore_folder(work: Working, command: RestoreFolderAt, whole: str, pair: Pair, tally: _Tally) -> None:
    if pair.after is not None:
        return
    place = tree.locate_folder(work, whole)
    if isinstance(place, Rejected):
        tally.conflicts.append("/" + whole)
        return
    there = standing_in(work, place)
    if there is not None:
        if there.folder is None:
            tally.conflicts.append("/" + whole)
        return
    parent: Folder = tree.make_missing(work, place, command.header.user_no)
    tree.make_folder(work, parent, place.name, place.path, command.header.user_no)
