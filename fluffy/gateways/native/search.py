"""Finding files by name, and following what changes."""

from __future__ import annotations

from functools import partial

from fluffy.base.deadline import Deadline
from fluffy.base.errors import HistoryCut, NotReady, QuerySyntax
from fluffy.core.access.policy import sees_bucket
from fluffy.core.metadata import queries
from fluffy.core.metadata.model import Change, Entry, Page
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.folders import page_answer, page_of
from fluffy.gateways.native.shapes import change_json

QUERY_CHARS_MAX = 256
# Pages of the scan that one request looks through when most hits are in other people's buckets.
SCAN_PAGES_MAX = 20
CHANGES_DEFAULT = 100
CHANGES_MAX = 1000
CHANGES_WAIT_MAX_S = 30


async def search_names(desk: Desk, call: Call) -> Answer:
    """GET /v1/search?q="""
    needle = call.query.get("q", "")
    if not needle or len(needle) > QUERY_CHARS_MAX:
        raise QuerySyntax(f"say what to look for: ?q=TEXT, 1 to {QUERY_CHARS_MAX} characters")
    bucket = call.query.get("bucket")
    limit, after = page_of(call)
    page = await _search(desk, call, needle, bucket, after, limit)
    return page_answer(page, "hits", long=True, q=needle)


async def _search(desk: Desk, call: Call, needle: str, bucket: str | None, after: str | None, limit: int) -> Page:
    """A page of hits that the user may see. It may be short while `after` says that there is more."""
    if bucket is None and call.user.role == "admin":
        return await desk.reader.read_in_thread(
            lambda db: queries.search_names(db, needle, after, limit), call.deadline)
    hits: list[Entry] = []
    visible: dict[str, bool] = {}
    for _ in range(SCAN_PAGES_MAX):
        page = await desk.reader.read_in_thread(
            partial(queries.search_names, needle=needle, after=after, limit=limit - len(hits)), call.deadline)
        hits += [entry for entry in page.entries if _wanted(desk, call, entry.path, bucket, visible)]
        after = page.after
        if after is None or len(hits) >= limit:
            break
    return Page(tuple(hits), after)


def _wanted(desk: Desk, call: Call, path: str, bucket: str | None, visible: dict[str, bool]) -> bool:
    its_bucket = path.partition("/")[0]
    if bucket is not None and its_bucket != bucket:
        return False
    if its_bucket not in visible:
        owner = desk.bucket_owner(its_bucket)
        visible[its_bucket] = owner is not None and sees_bucket(call.user, owner)
    return visible[its_bucket]


async def list_changes(desk: Desk, call: Call) -> Answer:
    """GET /v1/changes?since=SEQ"""
    since = call.number("since", 0, 2**62)
    limit = call.number("limit", CHANGES_DEFAULT, CHANGES_MAX, least=1)
    wait_s = call.number("wait_s", 0, CHANGES_WAIT_MAX_S)
    if wait_s and call.point.seq <= since:
        await _wait_for(desk, since + 1, wait_s)
    cut, changes = await desk.reader.read_in_thread(
        lambda db: (queries.changes_cut(db), queries.changes(db, since, limit)), call.deadline)
    if since < cut:
        raise HistoryCut(oldest=cut, seq=call.point.seq)
    shown = _visible_changes(desk, call, changes)
    last = changes[-1].seq if changes else since
    return json_answer({"changes": [change_json(change) for change in shown], "next": last,
                        "more": len(changes) == limit})


async def _wait_for(desk: Desk, seq: int, wait_s: int) -> None:
    try:
        desk.gate.learned(await desk.log.wait_seq(seq, Deadline.after(wait_s)))
    except NotReady:
        return  # nothing changed in time, and the answer says so by being empty


def _visible_changes(desk: Desk, call: Call, changes: tuple[Change, ...]) -> list[Change]:
    if call.user.role == "admin":
        return list(changes)
    visible: dict[str, bool] = {}
    return [change for change in changes if _wanted(desk, call, change.path, None, visible)]

