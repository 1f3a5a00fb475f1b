"""Questions of the S3 door: objects of a bucket in key order, key pairs, what a bucket says of itself.

The order of keys is that of their bytes. A folder's key in `entries` ends in a slash, so a walk through the tree, each
folder in the order of `entries`, meets the objects in just that order; and an object whose key ends in a slash has the
empty name in its folder, so it comes first there.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any

from fluffy.core.metadata import own_meta
from fluffy.core.metadata.model import User
from fluffy.core.metadata.names import is_bucket_name
from fluffy.core.metadata.schema import ROOT_NO

_FOLDER = "SELECT no FROM entries WHERE parent = ? AND key = ?"
_ROWS = "SELECT key, size, etag, modified_ms, owner_no, version_no, no FROM entries"
_FROM = f"{_ROWS} WHERE parent = ? AND key >= ? ORDER BY key LIMIT ?"
_AFTER = f"{_ROWS} WHERE parent = ? AND key > ? ORDER BY key LIMIT ?"
# The same, with how many objects a folder holds in place of its number.
_SUMS = _ROWS.replace(", no ", ", CASE version_no WHEN 0 THEN (SELECT files FROM folders WHERE folder_no = no)"
                      " ELSE 0 END ")
_SUMS_FROM = f"{_SUMS} WHERE parent = ? AND key >= ? ORDER BY key LIMIT ?"
_SUMS_AFTER = f"{_SUMS} WHERE parent = ? AND key > ? ORDER BY key LIMIT ?"
# A walk that goes from group to group reads few rows where one begins, and twice as many each time after.
GROUP_STEP_ROWS = 4
STEP_ROWS_MAX = 1_024
# Fewer than the least number of parameters that any SQLite takes (999).
PAGE_STEP_ROWS = 500
_SURROGATES = range(0xD800, 0xE000)
_LAST_CHARACTER = 0x10FFFF

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """`sealed`: the secret, encrypted (services/s3_keys.py)."""

    access_key: str
    user: User
    sealed: bytes
    label: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """What the door needs to know of a bucket in one look.

    `acl`, `versioning`, `lifecycle`: the documents of these names; empty: there is none.
    """

    bucket_no: int
    owner: str
    owner_no: int
    created_ms: int
    acl: str
    versioning: str
    lifecycle: bytes

    @property
    def is_versioned(self) -> bool:
        return self.versioning == "Enabled"


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """A page of a bucket in key order.

    `rows`: (key, size, etag, modified_ms, owner_no, version_no) of objects, (prefix,) of groups, in order. `next`: the
    key or prefix after which the next page begins; None: this is the last one.
    """

    rows: list[Row]
    next: str | None


def key_pair(db: sqlite3.Connection, access_key: str) -> KeyPair | None:
    """The key pair, unless its user is disabled."""
    row = db.execute("SELECT k.access_key, u.user_no, u.name, u.role, k.sealed, k.label, k.created_ms FROM s3_keys k"
                     " JOIN users u USING (user_no) WHERE k.access_key = ? AND NOT u.disabled",
                     (access_key,)).fetchone()
    return None if row is None else KeyPair(row[0], User(row[1], row[2], row[3]), row[4], row[5], row[6])


def key_pairs(db: sqlite3.Connection, user: User) -> tuple[KeyPair, ...]:
    """A user's key pairs (at most KEYS_OF_USER_MAX), by access key."""
    rows = db.execute("SELECT access_key, sealed, label, created_ms FROM s3_keys WHERE user_no = ?"
                      " ORDER BY access_key", (user.user_no,))
    return tuple(KeyPair(row[0], user, *row[1:]) for row in rows)


def bucket_facts(db: sqlite3.Connection, bucket: str) -> BucketFacts | None:
    """None: there is no such bucket."""
    if not is_bucket_name(bucket):
        return None
    row = db.execute(
        "SELECT e.no, ifnull((SELECT name FROM users u WHERE u.user_no = f.owner_no), ''), f.owner_no, f.created_ms,"
        " ifnull((SELECT body FROM bucket_documents d WHERE d.bucket_no = e.no AND d.name = 'acl'), x''),"
        " ifnull((SELECT body FROM bucket_documents d WHERE d.bucket_no = e.no AND d.name = 'versioning'), x''),"
        " ifnull((SELECT body FROM bucket_documents d WHERE d.bucket_no = e.no AND d.name = 'lifecycle'), x'')"
        " FROM entries e JOIN folders f ON f.folder_no = e.no WHERE e.parent = ? AND e.key = ?",
        (ROOT_NO, bucket + "/")).fetchone()
    return None if row is None else BucketFacts(
        row[0], row[1], row[2], row[3], row[4].decode("utf-8", "replace"), row[5].decode("utf-8", "replace"),
        bytes(row[6]))


def bucket_document(db: sqlite3.Connection, bucket: str, name: str) -> bytes | None:
    """What was set of a bucket under a name; None: nothing, or no such bucket."""
    if not is_bucket_name(bucket):
        return None
    row = db.execute("SELECT body FROM bucket_documents JOIN entries ON no = bucket_no"
                     " WHERE parent = ? AND key = ? AND name = ?", (ROOT_NO, bucket + "/", name)).fetchone()
    return None if row is None else bytes(row[0])


def lifecycles(db: sqlite3.Connection) -> list[tuple[str, int, bytes | None, bytes]]:
    """(name, number, versioning, lifecycle) of the buckets that have one."""
    rows = db.execute(
        "SELECT e.key, e.no, (SELECT body FROM bucket_documents v WHERE v.bucket_no = e.no AND v.name = 'versioning'),"
        " d.body FROM bucket_documents d JOIN entries e ON e.no = d.bucket_no AND e.parent = ?"
        " WHERE d.name = 'lifecycle' ORDER BY e.key", (ROOT_NO,)).fetchall()
    return [(key.removesuffix("/"), no, versioning, body) for key, no, versioning, body in rows]


def list_objects(db: sqlite3.Connection, bucket_no: int, *, prefix: str, delimiter: str, after: str,
                 limit: int) -> ObjectPage:
    """A page of at most `limit` objects and groups with `prefix`, after the key (or group) `after`.

    Empty: from the start. A group stands for all keys with the same text up to the first `delimiter` after the
    prefix (empty: no groups).
    """
    at = prefix.rfind("/") + 1
    base, name_prefix = prefix[:at], prefix[at:]
    folder_no = _folder_at(db, bucket_no, base)
    if folder_no is None or limit <= 0 or (after > base and not after.startswith(base)):
        return ObjectPage([], None)
    inside = after[len(base):] if after.startswith(base) else ""
    place = _Place(folder_no, base, name_prefix)
    is_first = not after.startswith(base) or inside < name_prefix or not after
    if not is_first and not inside.startswith(name_prefix):
        return ObjectPage([], None)
    start = _Start(name_prefix, True) if is_first else _Start(inside, False)
    if delimiter == "/":
        return _page_of_folder(db, place, start, limit)
    if not delimiter:
        return _page_of_all(db, place, start, limit)
    return _page_of_groups(db, place, start, prefix, delimiter, limit)


def page_checksums(db: sqlite3.Connection, page: ObjectPage) -> dict[int, tuple[str, str]]:
    """(algorithm, kind) of the checksums that are kept of the page's objects, by version number."""
    numbers = [row[5] for row in page.rows if len(row) > 1]
    found: dict[int, tuple[str, str]] = {}
    for at in range(0, len(numbers), PAGE_STEP_ROWS):
        some = numbers[at:at + PAGE_STEP_ROWS]
        query = f"SELECT version_no, meta FROM versions WHERE version_no IN ({','.join('?' * len(some))})"
        for version_no, meta in db.execute(query, some):
            kept = own_meta.packed_checksum(meta)
            if kept is not None:
                found[version_no] = kept
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    """The deepest folder that a prefix names, and what is left of the prefix in it."""

    folder_no: int
    base: str
    name_prefix: str


@dataclass(frozen=True, slots=True)
class _Start:
    """Where to begin in a folder: a name, or a path below it."""

    text: str
    is_included: bool


def _folder_at(db: sqlite3.Connection, bucket_no: int, base: str) -> int | None:
    folder_no = bucket_no
    for segment in base.split("/")[:-1]:
        row = db.execute(_FOLDER, (folder_no, segment + "/")).fetchone()
        if row is None:
            return None
        folder_no = row[0]
    return folder_no


def _page(rows: list[Row], limit: int) -> ObjectPage:
    """Of one row more than the page, when there is one."""
    if len(rows) <= limit:
        return ObjectPage(rows, None)
    del rows[limit:]
    return ObjectPage(rows, rows[-1][0])


def _page_of_folder(db: sqlite3.Connection, place: _Place, start: _Start, limit: int) -> ObjectPage:
    """One folder, its folders as groups."""
    rows: list[Row] = []
    text, query = start.text, _SUMS_FROM if start.is_included else _SUMS_AFTER
    cut = text.find("/") + 1
    if cut:
        # Behind a group, or inside one: then it is shown when more of it follows.
        group, rest = text[:cut], text[cut:]
        text, query = group, _SUMS_AFTER
        child = db.execute(_FOLDER, (place.folder_no, group)).fetchone() if rest else None
        if child is not None:
            inside = _Place(child[0], "", "")
            if next(_walk(db, inside, _levels(db, inside, _Start(rest, False), 1)), None) is not None:
                rows.append((place.base + group,))
    base, prefix = place.base, place.name_prefix
    while len(rows) <= limit:
        step = limit + 1 - len(rows)
        found = db.execute(query, (place.folder_no, text, step)).fetchall()
        for key, size, etag, modified_ms, owner_no, version_no, files in found:
            if not key.startswith(prefix):
                return _page(rows, limit)
            if version_no:
                rows.append((base + key, size, etag, modified_ms, owner_no, version_no))
            elif files:
                rows.append((base + key,))
        if len(found) < step:
            break
        text, query = found[-1][0], _SUMS_AFTER
    return _page(rows, limit)


def _page_of_all(db: sqlite3.Connection, place: _Place, start: _Start, limit: int) -> ObjectPage:
    walk = _walk(db, place, _levels(db, place, start, limit + 1))
    return _page(list(islice(walk, limit + 1)), limit)


def _page_of_groups(db: sqlite3.Connection, place: _Place, start: _Start, prefix: str, delimiter: str,
                    limit: int) -> ObjectPage:
    """With any delimiter: from the first key of a group the walk goes on behind the last one."""
    rows: list[Row] = []
    if not start.is_included:
        after = place.base + start.text
        cut = after.find(delimiter, len(prefix))
        if cut >= 0 and cut + len(delimiter) == len(after):
            behind = _behind(after)
            if behind is None or not behind.startswith(place.base):
                return ObjectPage([], None)
            start = _Start(behind[len(place.base):], True)
    levels = _levels(db, place, start, GROUP_STEP_ROWS)
    walk = _walk(db, place, levels)
    while len(rows) <= limit:
        row = next(walk, None)
        if row is None:
            break
        cut = row[0].find(delimiter, len(prefix))
        if cut < 0:
            rows.append(row)
            continue
        group = row[0][:cut + len(delimiter)]
        rows.append((group,))
        behind = _behind(group)
        if behind is None or not behind.startswith(place.base):
            break
        _skip(db, levels, behind)
    return _page(rows, limit)


def _behind(prefix: str) -> str | None:
    """The least text that follows all texts with this prefix; None: none does."""
    text = prefix.rstrip(chr(_LAST_CHARACTER))
    if not text:
        return None
    code = ord(text[-1]) + 1
    return text[:-1] + chr(_SURROGATES.stop if code in _SURROGATES else code)


def _walk(db: sqlite3.Connection, place: _Place, levels: list[_Level]) -> Iterator[Row]:
    """The objects below a folder in key order. Between two of them the caller may `_skip`."""
    step = levels[0].step_first
    while levels:
        level = levels[-1]
        if level.at == len(level.rows):
            if level.is_last:
                levels.pop()
            else:
                level.read(db, level.rows[-1][0], _AFTER)
            continue
        key, size, etag, modified_ms, owner_no, version_no, no = level.rows[level.at]
        level.at += 1
        if len(levels) == 1 and not key.startswith(place.name_prefix):
            return
        if version_no:
            yield level.base + key, size, etag, modified_ms, owner_no, version_no
        else:
            child = _Level(no, level.base + key, step)
            child.read(db, "", _FROM)
            levels.append(child)


def _skip(db: sqlite3.Connection, levels: list[_Level], behind: str) -> None:
    """Go on at the first key that is not less than `behind`, which lies below the first level's folder."""
    while not behind.startswith(levels[-1].base):
        levels.pop()
    level = levels[-1]
    text = behind[len(level.base):]
    level.at = bisect_left(level.rows, text, lo=level.at, key=itemgetter(0))
    if level.at == len(level.rows) and not level.is_last:
        # Long groups: what would be read behind the first of its rows is skipped as well.
        level.step = level.step_first
        level.read(db, text, _FROM)


def _levels(db: sqlite3.Connection, place: _Place, start: _Start, step: int) -> list[_Level]:
    """The folders on the way to where the walk begins, each behind the next one."""
    levels = [_Level(place.folder_no, place.base, step)]
    text = start.text
    while True:
        level = levels[-1]
        head, slash, rest = text.partition("/")
        if not slash:
            level.read(db, text, _FROM if start.is_included else _AFTER)
            return levels
        level.read(db, head + "/", _AFTER)
        row = db.execute(_FOLDER, (level.folder_no, head + "/")).fetchone()
        if row is None:
            return levels
        levels.append(_Level(row[0], f"{level.base}{head}/", step))
        text = rest


class _Level:
    """A folder that the walk is in: the rows of one step, and how far it is."""

    __slots__ = ("at", "base", "folder_no", "is_last", "rows", "step", "step_first")

    def __init__(self, folder_no: int, base: str, step: int) -> None:
        self.folder_no = folder_no
        self.base = base
        self.step = self.step_first = step
        self.rows: list[Row] = []
        self.at = 0
        self.is_last = False

    def read(self, db: sqlite3.Connection, text: str, query: str) -> None:
        self.rows = db.execute(query, (self.folder_no, text, self.step)).fetchall()
        self.at = 0
        self.is_last = len(self.rows) < self.step
        self.step = min(2 * self.step, STEP_ROWS_MAX)
