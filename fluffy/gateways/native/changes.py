"""The change feed over HTTP: page by page, or as a stream of server-sent events that lives until somebody ends it.

Who asks sees what is in the buckets that they may read. A move between two buckets of which one is hidden looks, from
the other, like what it is there: something came, or something went.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded, FluffyError, HistoryCut, NotReady, QuerySyntax, Unauthenticated
from fluffy.core.metadata import queries
from fluffy.core.metadata.model import Change, ClusterState, User
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.native.auth import token_hash_of
from fluffy.gateways.native.desk import REQUEST_TIMEOUT_S, Desk
from fluffy.gateways.native.errors import error_json
from fluffy.gateways.native.exchange import Call, json_answer, to_json
from fluffy.gateways.native.shapes import change_json
from fluffy.services.downloads import BodyOut
from fluffy.services.waiting import wait_for_seq

CHANGES_DEFAULT = 100
CHANGES_MAX = 1000
CHANGES_WAIT_MAX_S = 30
EVENT_TYPE = "text/event-stream"
# What proxies and clients take for a dead line is mostly 30 s and more.
KEEP_ALIVE_S = 15.0
# How often a stream that has nothing to tell looks whether it should end.
LOOK_EVERY_S = 1.0
# A client that lost its line comes back after this long, with the id of the last event that it saw.
RETRY_MS = 1000
# What a move looks like for one who sees only where it went: there is something, list it.
_CAME = {"file-moved": "file-put", "folder-moved": "folder-undeleted"}
_WENT = {"file-moved": "file-deleted", "folder-moved": "folder-deleted"}


async def list_changes(desk: Desk, call: Call) -> Answer:
    """GET /v1/changes?since=SEQ, or with `Accept: text/event-stream` all that comes from there on."""
    if EVENT_TYPE in call.headers.get("accept", ""):
        return _stream(desk, call)
    since = call.number("since", 0, 2**62)
    limit = call.number("limit", CHANGES_DEFAULT, CHANGES_MAX, least=1)
    wait_s = call.number("wait_s", 0, CHANGES_WAIT_MAX_S)
    deadline = Deadline.after(wait_s)
    while call.point.seq <= since and not deadline.passed and not desk.is_closing:
        if await wait_a_moment(desk, since + 1, deadline):
            break
    changes, following, state = await _read(desk, since, limit)
    shown = visible_changes(changes, _sight_of(desk, call.user))
    return json_answer({"changes": [change_json(change) for change in shown], "next": following,
                        "more": len(changes) == limit, "epoch": str(state.cluster_uuid), "at_seq": state.seq})


async def _read(desk: Desk, since: int, limit: int) -> tuple[tuple[Change, ...], int, ClusterState]:
    """Changes after `since`, and the position after which to ask next. Raises HistoryCut.

    Not every position has a row: freeing an old generation changes no name.
    """
    cut, state, changes = await desk.reader.read_in_thread(
        lambda db: (queries.changes_cut(db), queries.cluster_state(db), queries.changes(db, since, limit)),
        Deadline.after(REQUEST_TIMEOUT_S))
    if state is None:
        raise NotReady
    if since < cut:
        raise HistoryCut(oldest=cut, seq=state.seq)
    return changes, changes[-1].seq if len(changes) == limit else max(since, state.seq), state


async def wait_a_moment(desk: Desk, seq: int, deadline: Deadline) -> bool:
    """Wait a moment for `seq`; whether it has come."""
    try:
        desk.gate.learned(await wait_for_seq(desk.log, seq, deadline.at_most(LOOK_EVERY_S)))
    except (NotReady, DeadlineExceeded):
        return False
    return True


def visible_changes(changes: tuple[Change, ...], sees: Callable[[str], bool]) -> list[Change]:
    """What somebody may know of the changes. `sees`: whether of what is at a path."""
    shown = []
    for change in changes:
        is_visible, source_is = sees(change.path), not change.source or sees(change.source)
        if is_visible and source_is:
            shown.append(change)
        elif is_visible:
            shown.append(replace(change, kind=_CAME.get(change.kind, change.kind), source=""))
        elif change.source and source_is and change.kind in _WENT:
            shown.append(replace(change, kind=_WENT[change.kind], path=change.source, source="", size=0))
    return shown


def _sight_of(desk: Desk, user: User) -> Callable[[str], bool]:
    """What a user sees now; asked once for each bucket."""
    if user.role == "admin":
        return lambda path: True
    visible: dict[str, bool] = {}

    def sees(path: str) -> bool:
        bucket = path.partition("/")[0]
        if bucket not in visible:
            visible[bucket] = desk.sees(user, bucket)
        return visible[bucket]

    return sees


# The stream

def _stream(desk: Desk, call: Call) -> Answer:
    if "limit" in call.query or "wait_s" in call.query:
        raise QuerySyntax("a stream of events has no limit and no wait_s; it goes on until it is closed")
    since = call.number("since", 0, 2**62)
    last_seen = call.headers.get("last-event-id", "")
    if last_seen.isascii() and last_seen.isdigit() and len(last_seen) <= 18:
        since = int(last_seen)
    headers: Headers = [("Content-Type", EVENT_TYPE), ("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")]
    with ExitStack() as place:
        place.enter_context(desk.streaming)
        body = _Events(desk, call, token_hash_of(call.headers), since, place.pop_all())
    return Answer(200, headers, body, is_endless=True)


class _Events:
    """The body of one stream. Implements `http.exchange.BodyStream`.

    An event's id is its seq, with which a client goes on at any node. `event: change` carries a change; `event: error`
    an error as every answer has it, and is the last one; keep-alives carry the position only.
    """

    def __init__(self, desk: Desk, call: Call, token_hash: bytes, since: int, place: ExitStack) -> None:
        self._desk = desk
        self._request_id = call.request_id
        self._token_hash = token_hash
        self._since = since
        self._place = place

    async def send(self, out: BodyOut) -> None:
        await out.write(b"retry: %d\n\n" % RETRY_MS)
        try:
            while not self._desk.is_closing:
                await self._send_news(out)
        except FluffyError as error:
            document = to_json({"error": error_json(error, self._request_id)})
            await out.write(b"event: error\ndata: " + document + b"\n\n")
            return
        await out.write(b": this node is stopping; go on at another one\n\n")

    def close(self) -> None:
        self._place.close()

    async def _send_news(self, out: BodyOut) -> None:
        """What is new, or a keep-alive after some silence."""
        changes, following, _ = await _read(self._desk, self._since, CHANGES_MAX)
        # Asked anew each time: a right or a credential that was taken away ends here, too.
        user = self._desk.tokens.user_of(self._token_hash, max(self._since, self._desk.gate.seq))
        if user is None:
            raise Unauthenticated("that token is not known to this cluster (any more)")
        events = [_event(change) for change in visible_changes(changes, _sight_of(self._desk, user))]
        self._since = following
        if events:
            await out.write(b"".join([*events, b"id: %d\n\n" % following]))
            return
        silent_until_s = time.monotonic() + KEEP_ALIVE_S
        while not self._desk.is_closing:
            if await wait_a_moment(self._desk, self._since + 1, Deadline.after(LOOK_EVERY_S)):
                return
            if time.monotonic() >= silent_until_s:
                await out.write(b": alive\nid: %d\n\n" % self._since)
                return


def _event(change: Change) -> bytes:
    return b"id: %d\nevent: change\ndata: %b\n\n" % (change.seq, to_json(change_json(change)))
