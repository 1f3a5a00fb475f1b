"""Looking back: what stood where at a moment of log time, as far as the kept versions and the trash know.

A name belonged to a thing from when it came there (`past_places`) until it left (`past_places`, `tombs`) or until now
(`entries`); a file had, at a moment, the version that was put before and replaced or deleted after it. What was purged
or has expired is not seen; tags and metadata are those of now, for they change in place.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fluffy.base.errors import QuerySyntax
from fluffy.base.ids import UserNo
from fluffy.base.paths import PATH_BYTES_MAX, RemotePath
from fluffy.core.metadata.model import DiffLine, DiffPage, Entry, FileVersion, Page
from fluffy.core.metadata.packing import unpack_etag
from fluffy.core.metadata.queries_files import owner_name, version_by_no
from fluffy.core.metadata.schema import CLUSTER_USER_NO, ROOT_NO

# Later than any moment: what stands there now.
NOW_MS = (1 << 63) - 1
# Names that one page of a diff, or one step of a restoration, looks at: about 0.2 s.
EXAMINED_MAX = 5_000
_KEYS = ("SELECT key FROM entries WHERE parent = ?1 AND key > ?2 UNION SELECT key FROM tombs WHERE parent = ?1 AND"
         " key > ?2 UNION SELECT key FROM past_places WHERE parent = ?1 AND key > ?2 ORDER BY key LIMIT ?3")
_KEYS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Thing:
    """What had a name at a moment. `version_no` 0: a folder."""

    no: int
    version_no: int


def thing_at(db: sqlite3.Connection, parent: int, key: str, moment_ms: int) -> Thing | None:
    """What stood under `key` in the folder with number `parent`; None: nothing, or nothing that is kept."""
    row = db.execute("SELECT no, version_no FROM entries WHERE parent = ? AND key = ?",
                     (parent, key)).fetchone()
    if row is not None:
        thing = _if_there(db, row[0], row[1], _came_last(db, row[0]), moment_ms)
        if thing is not None:
            return thing
    for no, generation in db.execute("SELECT no, generation FROM tombs WHERE parent = ? AND key = ? AND deleted_ms > ?"
                                     " ORDER BY deleted_ms DESC, no DESC", (parent, key, moment_ms)).fetchall():
        thing = _if_there(db, no, -1 if generation else 0, _came_last(db, no), moment_ms)
        if thing is not None:
            return thing
    for no, version_no, came_ms in db.execute(
            "SELECT no, version_no, came_ms FROM past_places WHERE parent = ? AND key = ? AND came_ms <= ?"
            " AND left_ms > ? ORDER BY place_no DESC", (parent, key, moment_ms, moment_ms)).fetchall():
        thing = _if_there(db, no, version_no, came_ms, moment_ms)
        if thing is not None:
            return thing
    return None


def _came_last(db: sqlite3.Connection, no: int) -> int | None:
    """When the thing came to where it is now; None: it was never moved."""
    came_ms: int | None = db.execute("SELECT max(next_ms) FROM past_places WHERE no = ?", (no,)).fetchone()[0]
    return came_ms


def _if_there(db: sqlite3.Connection, no: int, version_no: int, came_ms: int | None, moment_ms: int) -> Thing | None:
    """The thing, if it was there already. `version_no`: its last one there; 0: a folder; -1: only old ones."""
    if came_ms is not None and came_ms > moment_ms:
        return None
    if not version_no:
        if came_ms is None:
            (came_ms,) = db.execute("SELECT created_ms FROM folders WHERE folder_no = ?", (no,)).fetchone()
        return Thing(no, 0) if came_ms <= moment_ms else None
    row = db.execute("SELECT version_no FROM versions WHERE file_no = ? AND retired_ms IS NOT NULL AND retired_ms > ?"
                     " AND modified_ms <= ? ORDER BY generation DESC LIMIT 1", (no, moment_ms, moment_ms)).fetchone()
    if row is None and version_no > 0:
        row = db.execute("SELECT version_no FROM versions WHERE version_no = ? AND modified_ms <= ?"
                         " AND (retired_ms IS NULL OR retired_ms > ?)", (version_no, moment_ms, moment_ms)).fetchone()
    return None if row is None else Thing(no, row[0])


def folder_at(db: sqlite3.Connection, path: RemotePath, moment_ms: int) -> int | None:
    """The number of the folder that had the path at that moment."""
    no = ROOT_NO
    for segment in path.segments:
        thing = thing_at(db, no, segment + "/", moment_ms)
        if thing is None:
            return None
        no = thing.no
    return no


def file_at(db: sqlite3.Connection, path: RemotePath, moment_ms: int) -> FileVersion | None:
    """The file as it was at that moment, with its bytes or chunks."""
    if len(path.segments) < 2:
        return None
    parent = folder_at(db, path.parent, moment_ms)
    thing = None if parent is None else thing_at(db, parent, path.name, moment_ms)
    return None if thing is None else version_by_no(db, path, thing.version_no)


def list_at(db: sqlite3.Connection, path: RemotePath, at_ms: int, after: str | None, limit: int) -> Page:
    """A page of a folder as it was at `at_ms` of log time, in key order. A scan: run it in a thread."""
    folder_no = folder_at(db, path, at_ms)
    if folder_no is None:
        return Page((), None)
    prefix = path.text + "/" if path.segments else ""
    entries: list[Entry] = []
    for key in keys_after(db, folder_no, _checked(after or "")):
        thing = thing_at(db, folder_no, key, at_ms)
        if thing is None:
            continue
        if len(entries) == limit:
            last = entries[-1]
            return Page(tuple(entries), last.name + ("/" if last.kind == "folder" else ""))
        entries.append(_entry(db, prefix, key, thing))
    return Page(tuple(entries), None)


def _entry(db: sqlite3.Connection, prefix: str, key: str, thing: Thing) -> Entry:
    name = key.removesuffix("/")
    if not thing.version_no:
        row = db.execute("SELECT owner_no, created_ms FROM folders WHERE folder_no = ?", (thing.no,)).fetchone()
        owner_no, created_ms = row or (UserNo(CLUSTER_USER_NO), 0)  # removed since
        return Entry(name, prefix + name, "folder", 0, 0, "", "", owner_name(db, owner_no), created_ms)
    size, generation, etag, content_type, owner_no, modified_ms = db.execute(
        "SELECT size, generation, etag, content_type, owner_no, modified_ms FROM versions WHERE version_no = ?",
        (thing.version_no,)).fetchone()
    return Entry(name, prefix + name, "file", size, generation, unpack_etag(etag), content_type,
                 owner_name(db, owner_no), modified_ms)


def keys_after(db: sqlite3.Connection, folder_no: int, after: str) -> Iterator[str]:
    """All names that ever were in a folder and are still known, in key order."""
    while True:
        keys = [row[0] for row in db.execute(_KEYS, (folder_no, after, _KEYS_AT_ONCE))]
        yield from keys
        if len(keys) < _KEYS_AT_ONCE:
            return
        after = keys[-1]


@dataclass(frozen=True, slots=True)
class Pair:
    """One path at two moments; at least one is not None. `path`: below where the walk began, folders end in a slash."""

    path: str
    before: Thing | None
    after: Thing | None


def walk(db: sqlite3.Connection, before_no: int | None, after_no: int | None, *, from_ms: int, to_ms: int,
         after: str) -> Iterator[Pair | str]:
    """All paths below a folder that were or are there, parents first, in key order, beyond the cursor `after`.

    A bare str is a path at which nothing was found; it is given so that the caller can count what it looked at.
    `before_no`, `after_no`: the folder's number at the two moments, None: there was no such folder.
    """
    first, slash, rest = after.partition("/")
    folders = list(dict.fromkeys(no for no in (before_no, after_no) if no is not None))
    if slash:  # the cursor lies in that folder
        yield from _below(db, before_no, after_no, first + "/", from_ms=from_ms, to_ms=to_ms, after=rest)
    for key in _merged(db, folders, first + slash):
        was = None if before_no is None else thing_at(db, before_no, key, from_ms)
        now = None if after_no is None else thing_at(db, after_no, key, to_ms)
        if was is None and now is None:
            yield key
            continue
        yield Pair(key, was, now)
        if key.endswith("/"):
            yield from _below(db, before_no, after_no, key, from_ms=from_ms, to_ms=to_ms, after="")


def _below(db: sqlite3.Connection, before_no: int | None, after_no: int | None, key: str, *, from_ms: int, to_ms: int,
           after: str) -> Iterator[Pair | str]:
    was = None if before_no is None else thing_at(db, before_no, key, from_ms)
    now = None if after_no is None else thing_at(db, after_no, key, to_ms)
    if was is None and now is None:
        return
    for found in walk(db, None if was is None else was.no, None if now is None else now.no, from_ms=from_ms,
                      to_ms=to_ms, after=after):
        yield key + found if isinstance(found, str) else Pair(key + found.path, found.before, found.after)


def _merged(db: sqlite3.Connection, folders: list[int], after: str) -> list[str]:
    keys = {key for no in folders for key in keys_after(db, no, after)}
    return sorted(keys, key=lambda key: key.encode())


def diff(db: sqlite3.Connection, path: RemotePath, from_ms: int, to_ms: int | None, after: str | None,
         limit: int) -> DiffPage:
    """What changed below a folder between two moments of log time (`to_ms` None: until now). Run it in a thread.

    A page may be short and still have a cursor: it ends when it has looked at EXAMINED_MAX names.
    """
    end_ms = NOW_MS if to_ms is None else to_ms
    lines: list[DiffLine] = []
    prefix = path.text + "/" if path.segments else ""
    pairs = walk(db, folder_at(db, path, from_ms), folder_at(db, path, end_ms), from_ms=from_ms, to_ms=end_ms,
                 after=_checked(after or ""))
    for examined, found in enumerate(pairs, start=1):
        if isinstance(found, Pair):
            line = _line(db, prefix, found)
            if line is not None:
                lines.append(line)
        if len(lines) == limit or examined == EXAMINED_MAX:
            return DiffPage(tuple(lines), found if isinstance(found, str) else found.path)
    return DiffPage(tuple(lines), None)


def _line(db: sqlite3.Connection, prefix: str, pair: Pair) -> DiffLine | None:
    was, now = pair.before, pair.after
    is_folder = pair.path.endswith("/")
    if was is not None and now is not None and (is_folder or same_content(db, was, now)):
        return None
    change: Literal["created", "deleted", "changed"] = (
        "created" if was is None else "deleted" if now is None else "changed")
    old_generation, old_size = _size(db, was)
    new_generation, new_size = _size(db, now)
    return DiffLine(prefix + pair.path.removesuffix("/"), "folder" if is_folder else "file", change, old_generation,
                    new_generation, old_size, new_size)


def _size(db: sqlite3.Connection, thing: Thing | None) -> tuple[int, int]:
    if thing is None or not thing.version_no:
        return (0, 0)
    row: tuple[int, int] = db.execute("SELECT generation, size FROM versions WHERE version_no = ?",
                                      (thing.version_no,)).fetchone()
    return row


def same_content(db: sqlite3.Connection, one: Thing, other: Thing) -> bool:
    """Whether two files have the same bytes, as far as their hashes say."""
    if one.version_no == other.version_no:
        return True
    rows = [db.execute("SELECT size, blake3, etag, content_type FROM versions WHERE version_no = ?",
                       (thing.version_no,)).fetchone() for thing in (one, other)]
    return bool(rows[0] == rows[1])


def _checked(after: str) -> str:
    try:
        if len(after.encode()) <= PATH_BYTES_MAX + 1:
            return after
    except UnicodeEncodeError as error:
        raise QuerySyntax("a parameter is not valid UTF-8") from error
    raise QuerySyntax("'after' is not a cursor of this list")
