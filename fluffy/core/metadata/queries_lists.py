"""Listings, page by page: a folder, all files of a user, names that contain a text.

Cursors are opaque to callers. The two lists over the whole tree are scans in primary-key order and belong in a thread;
their cursor is a place in that order, so a page costs what it skips, never what came before. The empty name, by which
S3 marks folders, is shown in none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from fluffy.base.errors import QuerySyntax
from fluffy.base.paths import PATH_BYTES_MAX, RemotePath
from fluffy.core.metadata.model import Entry, Page
from fluffy.core.metadata.packing import unpack_etag
from fluffy.core.metadata.queries_files import find_folder, owner_name
from fluffy.core.metadata.schema import ROOT_NO

_COLUMNS = "parent, key, version_no, size, generation, etag, content_type, owner_no, modified_ms"
_Row = tuple[Any, ...]


def list_folder(db: sqlite3.Connection, path: RemotePath, after: str | None, limit: int) -> Page:
    """A page of a folder in key order; of the root: the buckets. Empty when there is no such folder.

    The version is read before the entries: they are never older than it says.
    """
    folder_no = find_folder(db, path.segments)
    if folder_no is None:
        return Page((), None)
    _check_text(after or "")
    version = "" if folder_no == ROOT_NO else _version(db, folder_no)
    rows = db.execute(f"SELECT {_COLUMNS} FROM entries WHERE parent = ? AND key > ? ORDER BY key LIMIT ?",
                      (folder_no, after or "", limit + 1)).fetchall()
    prefix = path.text + "/" if path.segments else ""
    entries = _entries(db, rows[:limit], lambda _: prefix)
    return Page(entries, rows[limit - 1][1] if len(rows) > limit else None, version)


def _version(db: sqlite3.Connection, folder_no: int) -> str:
    """The folder and its last change: a path may lead to another folder later."""
    row = db.execute("SELECT listed FROM folders WHERE folder_no = ?", (folder_no,)).fetchone()
    return "" if row is None else f"{folder_no}-{row[0]}"


def list_owner(db: sqlite3.Connection, user_name: str, after: str | None, limit: int) -> Page:
    """All files (not folders) that a user owns, grouped by folder. A scan: run it in a thread."""
    parent, key = _parse_cursor(after)
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM entries WHERE (parent, key) > (?, ?) AND version_no != 0 AND key != ''"
        " AND owner_no = (SELECT user_no FROM users WHERE name = ?) ORDER BY parent, key", (parent, key, user_name))
    return _tree_page(db, rows, limit)


def search_names(db: sqlite3.Connection, needle: str, after: str | None, limit: int) -> Page:
    """Files and folders whose own name contains `needle`, whatever the case. A scan: run it in a thread."""
    if not needle or "/" in needle or "\0" in needle or len(needle) > PATH_BYTES_MAX:
        return Page((), None)  # no name has these
    _check_text(needle)
    parent, key = _parse_cursor(after)
    scan = f"SELECT {_COLUMNS} FROM entries WHERE (parent, key) > (?, ?) AND key != ''"
    rows: Iterable[_Row]
    if needle.isascii():
        # LIKE knows the case of ASCII only, which is all that is needed here, and it stays inside SQLite.
        escaped = needle.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        rows = db.execute(scan + r" AND key LIKE ? ESCAPE '\' ORDER BY parent, key",
                          (parent, key, f"%{escaped}%"))
    else:
        folded = needle.casefold()
        rows = (row for row in db.execute(scan + " ORDER BY parent, key", (parent, key)) if folded in row[1].casefold())
    return _tree_page(db, rows, limit)


def _tree_page(db: sqlite3.Connection, rows: Iterable[_Row], limit: int) -> Page:
    """The first `limit` of `rows` that do not lie in a deleted folder."""
    prefixes: dict[int, str | None] = {ROOT_NO: ""}
    shown: list[_Row] = []
    for row in rows:
        if _prefix(db, row[0], prefixes) is None:
            continue
        if len(shown) == limit:
            break
        shown.append(row)
    else:
        return Page(_entries(db, shown, lambda parent: prefixes[parent] or ""), None)
    return Page(_entries(db, shown, lambda parent: prefixes[parent] or ""), f"{shown[-1][0]}:{shown[-1][1]}")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QuerySyntax("a parameter is not valid UTF-8") from error


def _parse_cursor(after: str | None) -> tuple[int, str]:
    if after is None:
        return (ROOT_NO, "")
    _check_text(after)
    parent, colon, key = after.partition(":")
    # 18 digits fit into SQLite's integers.
    if not colon or not (parent.isascii() and parent.isdigit() and len(parent) <= 18):
        raise QuerySyntax("'after' is not a cursor of this list", after=after)
    return (int(parent), key)


def _prefix(db: sqlite3.Connection, folder_no: int, prefixes: dict[int, str | None]) -> str | None:
    """The path of a folder with a trailing slash, None in a deleted one; remembers every folder on the way up."""
    chain = []
    no = folder_no
    while no not in prefixes:
        parent, key, removed = db.execute("SELECT parent, key, removed FROM folders WHERE folder_no = ?",
                                          (no,)).fetchone()
        if removed:
            prefixes[no] = None
            break
        chain.append((no, key))
        no = parent
    prefix = prefixes[no]
    for no, key in reversed(chain):
        prefix = None if prefix is None else prefix + key
        prefixes[no] = prefix
    return prefix


def _entries(db: sqlite3.Connection, rows: Iterable[_Row], prefix_of: Callable[[int], str]) -> tuple[Entry, ...]:
    owners: dict[Any, str] = {}
    entries = []
    for parent, key, version_no, size, generation, etag, content_type, owner_no, modified_ms in rows:
        owner = owners.get(owner_no)
        if owner is None:
            owner = owners[owner_no] = owner_name(db, owner_no)
        name = key if version_no else key[:-1]
        entries.append(Entry(name, prefix_of(parent) + name, "file" if version_no else "folder", size, generation,
                             unpack_etag(etag), content_type, owner, modified_ms))
    return tuple(entries)
