"""Looking back and bringing back: versions, restoring, the trash, folders as they were, what changed since."""

from __future__ import annotations

import sqlite3
from functools import partial

from fluffy.base.errors import (
    AccessDenied,
    FileNotFound,
    FolderNotFound,
    IsFolder,
    NameIllegal,
    QuerySyntax,
)
from fluffy.base.paths import RemotePath, parse_file_path, parse_path
from fluffy.core.access.policy import Act, sees_bucket, why_not
from fluffy.core.metadata import queries, queries_past
from fluffy.core.metadata.commands_tree import EmptyTrash, RestoreFolderAt, RestoreVersion, Undelete
from fluffy.core.metadata.model import Entry, Page, TrashItem
from fluffy.core.metadata.queries_time import folder_at
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.answers import moment_of, needed_moment, version_answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, Point, json_answer
from fluffy.gateways.native.folders import list_folder, page_answer, page_of
from fluffy.gateways.native.json_body import Fields, read_json
from fluffy.gateways.native.shapes import diff_line_json, trash_item_json, version_line_json
from fluffy.gateways.native.writing import creates_only, if_match_of
from fluffy.wire.times import parse_moment_ms

VERSIONS_DEFAULT = 1_000
# Each step purges up to 1,000 things or looks at 10,000: so much trash is emptied by one request at most.
EMPTY_STEPS_MAX = 200
# Pages of the trash that one request looks at for things its asker may see; 10,000 each.
TRASH_PAGES_MAX = 20


async def list_versions(desk: Desk, call: Call) -> Answer:
    """GET /v1/versions/{path}: newest first."""
    path = parse_file_path(call.tail)
    desk.allow(call, Act.READ, path)
    limit = call.number("limit", VERSIONS_DEFAULT, VERSIONS_DEFAULT, least=1)
    lines = await desk.reader.read_in_thread(lambda db: queries.versions(db, path, limit), call.deadline)
    if not lines:
        if desk.reader.read(lambda db: queries.kind_at(db, path)) == "folder":
            raise IsFolder(f"{path} is a folder; only files have versions", path=str(path))
        raise FileNotFound(f"there is no file at {path}, and nothing of one is kept", path=str(path))
    return json_answer({"path": str(path), "deleted": lines[0].retired_ms is not None,
                        "versions": [version_line_json(line) for line in lines]})


async def restore(desk: Desk, call: Call) -> Answer:
    """POST /v1/restore {path, generation, expect}, or of a folder or file {path, at, exact, after}"""
    fields = await read_json(call, "path", "generation", "expect", "at", "exact", "after")
    if fields.has("at"):
        return await _restore_then(desk, call, fields)
    path = parse_file_path(fields.text("path"))
    generation = fields.number("generation", 0)
    if generation == 0:
        raise QuerySyntax("say which generation, as GET /v1/versions lists them, or at= which time")
    return await _restore_version(desk, call, path, generation, fields.number_or_none("expect"))


async def _restore_version(desk: Desk, call: Call, path: RemotePath, generation: int, expect: int | None) -> Answer:
    desk.allow(call, Act.WRITE, path)
    desk.allow(call, Act.READ, path)
    if expect is None and creates_only(call):
        expect = 0
    outcome = await desk.propose(RestoreVersion(desk.header(call), path.text, generation, expect, desk.lock_of(call),
                                                if_match_of(call)))
    return await version_answer(desk, call, path, outcome, restored=outcome.facts["restored"], of=generation)


async def _restore_then(desk: Desk, call: Call, fields: Fields) -> Answer:
    """A folder as it was, one step; or the file that was there."""
    if fields.has("generation") or fields.has("expect"):
        raise QuerySyntax("say at= or generation=, not both")
    path = parse_path(fields.text("path"))
    if path.is_root:
        raise NameIllegal("restore one bucket at a time")
    moment_ms = parse_moment_ms(fields.text("at"), desk.clock.now_ms())
    desk.allow(call, Act.WRITE, path)
    desk.allow_then(call, path, moment_ms)
    file = await desk.reader.read_in_thread(lambda db: queries.file_at(db, path, moment_ms), call.deadline)
    if file is not None:
        return await _restore_version(desk, call, path, file.generation, None)
    outcome = await desk.propose(RestoreFolderAt(
        desk.header(call), path.text, moment_ms, fields.flag("exact"), fields.text_or_none("after") or "",
        lock=desk.lock_of(call)), is_large=True)
    call.point = Point(outcome.seq)
    return json_answer({"path": str(path), **outcome.facts})


async def list_trash(desk: Desk, call: Call) -> Answer:
    """GET /v1/trash?path=&limit=&after=: what the asker may see of it."""
    path = parse_path(call.query.get("path", ""))
    limit, after = page_of(call)
    if not path.is_root:
        desk.allow(call, Act.READ, path)
    items: list[TrashItem] = []
    visible: dict[str, bool] = {}
    for _ in range(TRASH_PAGES_MAX):
        find = partial(queries.trash, path=path, after=after, limit=limit - len(items))
        page = await desk.reader.read_in_thread(find, call.deadline)
        items += [item for item in page.items if _sees(desk, call, item, visible)]
        after = page.after
        if after is None or len(items) >= limit:
            break
    return json_answer({"items": [trash_item_json(item) for item in items], "after": after})


def _sees(desk: Desk, call: Call, item: TrashItem, visible: dict[str, bool]) -> bool:
    """Whether the asker may know of something in the trash: by the bucket; of a removed bucket, by its owner."""
    bucket, slash, _ = item.path.partition("/")
    if call.user.role == "admin" or not slash:
        return call.user.role == "admin" or item.owner == call.user.name
    if bucket not in visible:
        standing = desk.standing(call.user, bucket) or desk.reader.read(
            lambda db: queries_past.standing_in_trash(db, bucket, call.user.user_no))
        visible[bucket] = standing is not None and sees_bucket(call.user, standing.owner, standing.granted)
    return visible[bucket]


async def empty_trash(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/trash?path=: for good; again, there is nothing left to purge."""
    path = parse_path(call.query.get("path", ""))
    if path.is_root:
        reason = why_not(call.user, Act.WRITE, bucket="", owner=call.user.name)
        if reason is not None:
            raise AccessDenied(reason)
    else:
        desk.allow(call, Act.WRITE, path)
        desk.allow(call, Act.READ, path)
    purged, after, more = 0, "", True
    for step in range(EMPTY_STEPS_MAX):
        outcome = await desk.propose(EmptyTrash(desk.header(call, f"trash {step}"), path.text, after), is_large=True)
        purged, after, more = purged + outcome.facts["purged"], outcome.facts["after"], outcome.facts["more"]
        call.point = Point(outcome.seq)
        if not more or call.deadline.passed:
            break
    return json_answer({"path": str(path), "purged": purged, "more": more})


async def undelete(desk: Desk, call: Call) -> Answer:
    """POST /v1/undelete {path, item, target}"""
    fields = await read_json(call, "path", "item", "target")
    path = parse_path(fields.text("path"))
    if path.is_root:
        raise NameIllegal("name what was deleted")
    target = fields.text_or_none("target")
    for place in (path, path if target is None else parse_path(target)):
        desk.allow(call, Act.WRITE, place)
    if not path.is_bucket:
        desk.allow(call, Act.READ, path)
    outcome = await desk.propose(Undelete(desk.header(call), path.text, fields.number("item", 0), target,
                                          desk.lock_of(call)))
    call.point = Point(outcome.seq)
    return json_answer({**outcome.facts, "path": "/" + outcome.facts["path"], "was": str(path)})


async def list_then_or_now(desk: Desk, call: Call) -> Answer:
    """GET /v1/dirs/{path}, with ?at=TIME as it was then."""
    moment_ms = moment_of(desk, call, "at")
    if moment_ms is None:
        return await list_folder(desk, call)
    path = parse_path(call.params.get("path", ""))
    limit, after = page_of(call)
    desk.allow_then(call, path, moment_ms)

    def find(db: sqlite3.Connection) -> tuple[Page, bool]:
        page = queries.list_at(db, path, moment_ms, after, limit)
        if path.is_root:
            page = Page(tuple(entry for entry in page.entries if _saw(db, call, entry, moment_ms)), page.after)
        return page, bool(page.entries) or path.is_root or folder_at(db, path, moment_ms) is not None

    page, was_there = await desk.reader.read_in_thread(find, call.deadline)
    if not was_there:
        raise FolderNotFound(f"there was no folder {path} then, or nothing of it is kept", path=str(path))
    return page_answer(page, "entries", long=call.flag("long"), path=str(path))


def _saw(db: sqlite3.Connection, call: Call, entry: Entry, moment_ms: int) -> bool:
    standing = queries_past.standing_then(db, entry.name, call.user.user_no, moment_ms)
    return standing is not None and sees_bucket(call.user, standing.owner, standing.granted)


async def diff(desk: Desk, call: Call) -> Answer:
    """GET /v1/diff/{path}?from=&to=: what was added, removed and changed below a folder between two moments."""
    path = parse_path(call.params.get("path", ""))
    limit, after = page_of(call)
    from_ms = needed_moment(desk, call, "from")
    to_ms = moment_of(desk, call, "to", is_end=True)
    if to_ms is not None and to_ms < from_ms:
        raise QuerySyntax("from= is later than to=")
    desk.allow_then(call, path, from_ms)
    if to_ms is None or path.is_root:
        desk.allow(call, Act.READ, path)
    else:
        desk.allow_then(call, path, to_ms)
    page = await desk.reader.read_in_thread(
        lambda db: queries.diff(db, path, from_ms, to_ms, after, limit), call.deadline)
    return json_answer({"path": str(path), "lines": [diff_line_json(line) for line in page.lines],
                        "after": page.after})
