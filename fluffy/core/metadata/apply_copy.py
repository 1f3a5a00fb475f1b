"""Copy a file or a folder: new rows that share the chunks, in one command, so that nobody sees half a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fluffy.base.errors import AlreadyExists, IntoItself, NameIllegal, TooLarge, VersionNotFound
from fluffy.base.ids import UserNo
from fluffy.base.paths import PATH_BYTES_MAX
from fluffy.core.metadata import file_body, files, quotas, trash, tree, versions
from fluffy.core.metadata.commands_tree import Copy
from fluffy.core.metadata.files import Current
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.locks import refuse_locked
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.packing import pack_texts
from fluffy.core.metadata.refusals import refuse_reader, refused
from fluffy.core.metadata.standing import Standing, refuse_changer, refuse_other_kind, standing_at, standing_in
from fluffy.core.metadata.tree import Place
from fluffy.core.metadata.versions import Content
from fluffy.core.metadata.working import Working

# One command, so one pause of the log: about 0.3 s (measured: 27 µs an entry). Larger folders are copied in parts.
COPY_ENTRIES_MAX = 10_000
COPY_CHUNKS_MAX = 16_384


def copy(work: Working, command: Copy) -> Outcome:
    """Copy what stands at `src` to `dst`. facts: kind, generation (of a file), files, bytes, created."""
    source = standing_at(work, command.src)
    if isinstance(source, Rejected):
        return source
    user_no = command.header.user_no
    refusal = (refuse_reader(work, user_no, source.bucket) or files.refuse_precondition(source.file, command.if_match)
               or file_body.refuse_texts(content_type=command.content_type or "", meta=command.meta,
                                         tags=command.tags))
    if refusal is not None:
        return refusal
    if source.file is not None:
        return _copy_file(work, command, source, source.file)
    assert source.folder is not None
    return _copy_folder(work, command, source, source.folder)


def _copy_file(work: Working, command: Copy, source: Standing, current: Current) -> Outcome:
    place = tree.locate_file(work, command.dst)
    if isinstance(place, Rejected):
        return place
    user_no = command.header.user_no
    version_no = versions.number_of(work, current.file_no, current.version_no, current.generation, command.generation)
    if version_no is None:
        return refused(VersionNotFound, path="/" + source.path, generation=command.generation)
    refusal = _refuse_place(work, command, place, below=False)
    if refusal is not None:
        return refusal
    target = standing_in(work, place)
    if target is not None:
        refusal = refuse_other_kind(target, wants_folder=False)
        if refusal is None and not command.overwrite:
            refusal = refused(AlreadyExists, path="/" + place.path)
    there = None if target is None else target.file
    content = versions.content_of(work, version_no)
    refusal = (refusal or files.refuse_precondition(there, command.if_dst_match)
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
    stored = files.store(work, place, user_no, there, replace(content, meta_version=0))
    return Accepted(stored.seq, {"kind": "file", "files": 1, "bytes": content.size, **stored.facts})


def _refuse_place(work: Working, command: Copy, place: Place, *, below: bool) -> Rejected | None:
    user_no = command.header.user_no
    return (files.refuse_target(work, user_no, place, parents=command.parents)
            or refuse_locked(work, user_no, command.lock, place.path, below=below))


@dataclass(frozen=True, slots=True)
class _Line:
    """An entry to copy. `path`: below the folder that is copied; `version_no` 0: a folder."""

    path: str
    version_no: int


def _copy_folder(work: Working, command: Copy, source: Standing, copied: Folder) -> Outcome:
    place = tree.locate_folder(work, command.dst)
    if isinstance(place, Rejected):
        return place
    user_no = command.header.user_no
    refusal = _refuse_place(work, command, place, below=True) or _refuse_folder(source, copied, place)
    if refusal is not None:
        return refusal
    target = standing_in(work, place)
    if target is not None:
        refusal = refuse_other_kind(target, wants_folder=True)
        if refusal is None and not command.overwrite:
            refusal = refused(AlreadyExists, path="/" + target.path)
        refusal = refusal or refuse_changer(work, user_no, target)
    refusal = refusal or quotas.refuse_growth(work, place.bucket, user_no, files=copied.files, size=copied.bytes)
    if refusal is not None:
        return refusal
    lines = _lines(work, copied)
    if isinstance(lines, Rejected):
        return lines
    if target is not None:
        trash.bury(work, target)
    parent = tree.make_missing(work, place, user_no) if place.missing else place.folder
    folder = tree.make_folder(work, parent, place.name, place.path, user_no)
    _write(work, folder, place.path, lines, user_no)
    return Accepted(work.seq, {"kind": "folder", "files": copied.files, "bytes": copied.bytes,
                               "created": target is None})


def _refuse_folder(source: Standing, copied: Folder, place: Place) -> Rejected | None:
    """None when the folder fits into one command, and the place lies neither in it nor around it."""
    if any(one == other or one.startswith(other + "/")
           for one, other in ((place.path, source.path), (source.path, place.path))):
        return refused(IntoItself, path="/" + source.path)
    if len(place.path.encode()) + 1 + copied.reach > PATH_BYTES_MAX:
        return refused(NameIllegal, f"a path below /{place.path} would be longer than {PATH_BYTES_MAX} bytes")
    return _refuse_large(copied.files) if copied.files > COPY_ENTRIES_MAX else None


def _refuse_large(entries: int) -> Rejected:
    return refused(TooLarge, f"a folder of more than {COPY_ENTRIES_MAX:,} entries or {COPY_CHUNKS_MAX:,} chunks cannot"
                             " be copied at once; copy the folders in it one by one", entries=entries,
                   entries_max=COPY_ENTRIES_MAX)


def _lines(work: Working, copied: Folder) -> list[_Line] | Rejected:
    """Everything below a folder, parents first; Rejected when it is too much for one command."""
    lines: list[_Line] = []
    waiting = [(copied.no, "")]
    chunks = 0
    while waiting:
        no, prefix = waiting.pop()
        rows = work.db.execute(
            "SELECT key, no, e.version_no, ifnull(length(manifest), 0) / 8 FROM entries e LEFT JOIN versions v"
            " ON v.version_no = e.version_no WHERE parent = ? ORDER BY key LIMIT ?",
            (no, COPY_ENTRIES_MAX + 1 - len(lines))).fetchall()
        for key, child_no, version_no, count in rows:
            chunks += count
            lines.append(_Line(prefix + key.removesuffix("/"), version_no))
            if not version_no:
                waiting.append((child_no, prefix + key))
        if len(lines) > COPY_ENTRIES_MAX or chunks > COPY_CHUNKS_MAX:
            return _refuse_large(len(lines))
    return lines


def _write(work: Working, folder: Folder, path: str, lines: Sequence[_Line], user_no: UserNo) -> None:
    bucket = tree.bucket_of(work, path)
    keeping = work.keeping(bucket)
    folders = {"": folder}
    for line in lines:
        above, _, name = line.path.rpartition("/")
        parent = folders[above]
        whole = f"{path}/{line.path}"
        if not line.version_no:
            folders[line.path] = tree.make_folder(work, parent, name, whole, user_no)
            continue
        content: Content = replace(versions.content_of(work, line.version_no), meta_version=0)
        versions.share(work, content, keeping)
        files.store(work, Place(whole, parent, bucket, (), name), user_no, None, content)
