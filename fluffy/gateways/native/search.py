"""Finding files by name."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fluffy.base.deadline import Deadline
from fluffy.base.errors import QuerySyntax
from fluffy.base.units import parse_size
from fluffy.core.metadata import queries
from fluffy.core.search.plan import SearchPage, SearchStatus
from fluffy.core.search.query import SearchQuery, parse_query
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, json_answer
from fluffy.gateways.native.folders import page_answer, page_of
from fluffy.wire.times import parse_moment_ms

# The index follows within some tenths of a second: who looks for what was just made waits that long.
INDEX_WAIT_S = 1.0
INDEX_POLL_S = 0.05


async def search_names(desk: Desk, call: Call) -> Answer:
    """GET /v1/search?q=; with `everywhere` a supernode answers instead, for the asker's own token."""
    query = query_of(call, desk.clock.now_ms())
    if call.flag("everywhere"):
        return json_answer(await _everywhere(desk, call))
    limit, after = page_of(call)
    await _wait_for_index(desk, call.point.seq)

    def find(db: sqlite3.Connection) -> tuple[SearchPage, SearchStatus]:
        page = desk.names.search(db, query, queries.readable_buckets(db, call.user), after, limit, call.deadline)
        return page, desk.names.status(db, desk.clock.now_ms())

    found, status = await desk.reader.read_in_thread(find, call.deadline)
    return page_answer(found.page, "hits", long=True, q=call.query.get("q", ""), via=found.via, reason=found.reason,
                       index=status_json(status))


async def _everywhere(desk: Desk, call: Call) -> Mapping[str, Any]:
    target = "/v1/search?" + urlencode({name: text for name, text in call.query.items() if name != "everywhere"})
    headers = {name: call.headers[name] for name in ("authorization", "fluffy-tokens") if name in call.headers}
    return await desk.supernodes.ask(target, headers, call.deadline)


def status_json(status: SearchStatus) -> dict[str, object]:
    """How fresh the index is: `behind` changes, the oldest of which `lag_s` ago."""
    return {"state": status.state, "rows": status.rows, "seq": status.seq, "behind": status.behind,
            "lag_s": status.lag_ms / 1000}


def query_of(call: Call, now_ms: int) -> SearchQuery:
    given = call.query.get
    since, until = given("since"), given("until")
    return parse_query(
        given("q", ""), content_type=given("type", ""), tag=given("tag", ""), owner=given("owner", ""),
        bucket=given("bucket", ""), min_size=_size(call, "min_size"), max_size=_size(call, "max_size"),
        since_ms=None if since is None else parse_moment_ms(since, now_ms),
        until_ms=None if until is None else parse_moment_ms(until, now_ms, is_end=True))


def _size(call: Call, name: str) -> int | None:
    text = call.query.get(name)
    if text is None:
        return None
    try:
        return parse_size(text)
    except ValueError as error:
        raise QuerySyntax(f"parameter {name}: {error}") from error


async def _wait_for_index(desk: Desk, seq: int) -> None:
    """Until the index knows what the asker may know, within INDEX_WAIT_S. An incomplete one is not waited for."""
    deadline = Deadline.after(INDEX_WAIT_S)
    while not deadline.passed:
        status = desk.reader.read(lambda db: desk.names.status(db, 0))
        if status.state != "ready" or status.seq >= seq:
            return
        await asyncio.sleep(INDEX_POLL_S)
