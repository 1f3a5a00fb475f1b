"""Folders and listings over HTTP."""

from __future__ import annotations

import sqlite3

from fluffy.base.errors import AccessDenied, FolderNotFound, IsFile, NameIllegal, QuerySyntax
from fluffy.base.paths import RemotePath, parse_path
from fluffy.core.access.policy import Act, sees_bucket
from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import MakeFolder
from fluffy.core.metadata.model import Entry, Page
from fluffy.core.metadata.queries_labels import labels_of
from fluffy.core.metadata.rights import Right
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, Point, json_answer
from fluffy.gateways.native.shapes import entry_json, labelled_json

PAGE_ENTRIES_DEFAULT = 100
PAGE_ENTRIES_MAX = 1000
# A page of this many entries is under a millisecond; longer ones are read in a thread.
LOOP_ENTRIES_MAX = 100


async def make_folder(desk: Desk, call: Call) -> Answer:
    """PUT /v1/dirs/{path}"""
    path = folder_path(call)
    desk.allow(call, Act.WRITE, path)
    parents = call.flag("parents")
    outcome = await desk.propose(MakeFolder(desk.header(call), path.text, parents, desk.lock_of(call)))
    call.point = Point(outcome.seq)
    created = bool(outcome.facts.get("created", True))
    return json_answer({"path": str(path), "created": created}, 201 if created else 200)


async def list_folder(desk: Desk, call: Call) -> Answer:
    """GET /v1/dirs/{path}; the root lists the buckets that the user may read."""
    path = parse_path(call.params.get("path", ""))
    limit, after = page_of(call)
    if path.is_root:
        page = await _visible_buckets(desk, call, after, limit)
    else:
        desk.allow(call, Act.READ, path)
        page = await _read_page(desk, call, path, after, limit)
    if call.flag("labels"):
        labels = await desk.reader.read_in_thread(lambda db: labels_of(db, path, page), call.deadline)
        return json_answer({"path": str(path), "after": page.after, "version": page.version or None,
                            "entries": [labelled_json(entry, labels.get(entry.name)) for entry in page.entries]})
    return page_answer(page, "entries", long=call.flag("long"), path=str(path), version=page.version or None)


async def list_owner(desk: Desk, call: Call) -> Answer:
    """GET /v1/files?owner=NAME"""
    owner = call.query.get("owner")
    if not owner:
        raise QuerySyntax("say whose files: ?owner=NAME")
    if call.user.role != "admin" and owner != call.user.name:
        raise AccessDenied(f"user {call.user.name} may not list the files of {owner}")
    limit, after = page_of(call)
    page = await desk.reader.read_in_thread(lambda db: queries.list_owner(db, owner, after, limit), call.deadline)
    return page_answer(page, "entries", long=True, owner=owner)


def page_of(call: Call) -> tuple[int, str | None]:
    """`limit` and `after` of a listing."""
    return call.number("limit", PAGE_ENTRIES_DEFAULT, PAGE_ENTRIES_MAX, least=1), call.query.get("after") or None


def page_answer(page: Page, key: str, *, long: bool, **more: object) -> Answer:
    return json_answer({**more, key: [entry_json(entry, long=long) for entry in page.entries], "after": page.after})


async def _read_page(desk: Desk, call: Call, path: RemotePath, after: str | None, limit: int) -> Page:
    """Raises FolderNotFound, IsFile. Looked at at one moment: a folder that moves away is never an empty one."""
    def query(db: sqlite3.Connection) -> Page:
        page = queries.list_folder(db, path, after, limit)
        if not page.entries and not path.is_root:
            _check_is_folder(db, path)
        return page

    if limit <= LOOP_ENTRIES_MAX:
        return desk.reader.read(query)
    return await desk.reader.read_in_thread(query, call.deadline)


async def _visible_buckets(desk: Desk, call: Call, after: str | None, limit: int) -> Page:
    """A page of buckets, without those that the user may not read."""
    root = RemotePath(())
    if call.user.role == "admin":
        return await _read_page(desk, call, root, after, limit)
    granted = desk.reader.read(lambda db: queries.granted_buckets(db, call.user.user_no))
    visible: list[Entry] = []
    while len(visible) < limit:
        page = await _read_page(desk, call, root, after, PAGE_ENTRIES_MAX)
        visible += [entry for entry in page.entries
                    if sees_bucket(call.user, entry.owner, granted.get(entry.name, Right.NONE))]
        after = page.after
        if after is None:
            break
    if len(visible) > limit or (after is not None and visible):
        return Page(tuple(visible[:limit]), visible[:limit][-1].name)
    return Page(tuple(visible), None)


def _check_is_folder(db: sqlite3.Connection, path: RemotePath) -> None:
    kind = queries.kind_at(db, path)
    if kind == "file":
        raise IsFile(f"{path} is a file; get it with GET /v1/files{path}", path=str(path))
    if kind is None:
        raise FolderNotFound(f"there is no folder at {path}", path=str(path))


def folder_path(call: Call) -> RemotePath:
    """The path of the address, which is not the root. Raises NameIllegal."""
    path = parse_path(call.tail)
    if path.is_root:
        raise NameIllegal("name the folder: /v1/dirs/BUCKET or /v1/dirs/BUCKET/FOLDER")
    return path
