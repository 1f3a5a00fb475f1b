"""What a dashboard shows while it is open, as server-sent events: once a second, whatever is new.

An event has the name of a route and its answer as data, so that there is one shape for what is asked and what is told:
`status`, `jobs`, and every other second `nodes`, for which each node is asked.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError, Unauthenticated
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.native.auth import token_hash_of
from fluffy.gateways.native.changes import EVENT_TYPE, KEEP_ALIVE_S, RETRY_MS
from fluffy.gateways.native.cluster import get_nodes, get_status
from fluffy.gateways.native.desk import REQUEST_TIMEOUT_S, UNKNOWN_TOKEN, Desk
from fluffy.gateways.native.errors import error_json
from fluffy.gateways.native.exchange import Call, to_json
from fluffy.gateways.native.jobs import list_jobs
from fluffy.gateways.native.table import Handler
from fluffy.services.downloads import BodyOut

EVERY_S = 1.0
NODES_EVERY = 2
JOBS_SHOWN = 100
# The page comes back by itself, so that a forgotten one is not for ever.
TURNS_MAX = 24 * 3600


async def watch(desk: Desk, call: Call) -> Answer:
    """GET /v1/live"""
    headers: Headers = [("Content-Type", EVENT_TYPE), ("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")]
    turns = call.number("turns", TURNS_MAX, TURNS_MAX, least=1)
    with ExitStack() as place:
        place.enter_context(desk.watching)
        body = _Watch(desk, call, turns, place.pop_all())
    return Answer(200, headers, body, is_endless=True)


class _Watch:
    """The body of one stream. Implements `http.exchange.BodyStream`. `event: error` is the last one."""

    def __init__(self, desk: Desk, call: Call, turns: int, place: ExitStack) -> None:
        self._desk = desk
        self._call = call
        self._turns = turns
        self._token_hash = token_hash_of(call.headers)
        self._place = place
        self._told: dict[str, bytes | None] = {}

    async def send(self, out: BodyOut) -> None:
        await out.write(b"retry: %d\n\n" % RETRY_MS)
        turn, silent = 0, 0.0
        try:
            while turn < self._turns and not self._desk.is_closing:
                news = await self._news(turn)
                silent = 0.0 if news else silent + EVERY_S
                if silent > KEEP_ALIVE_S:
                    news, silent = b": alive\n\n", 0.0
                if news:
                    await out.write(news)
                turn += 1
                await asyncio.sleep(EVERY_S)
        except FluffyError as error:
            document = to_json({"error": error_json(error, self._call.request_id)})
            await out.write(b"event: error\ndata: " + document + b"\n\n")

    def close(self) -> None:
        self._place.close()

    async def _news(self, turn: int) -> bytes:
        """The events of one turn. The user is asked for anew: a credential that was taken away ends here, too."""
        call, desk = self._call, self._desk
        call.deadline = Deadline.after(REQUEST_TIMEOUT_S)
        call.point = await desk.gate.point("local", None, call.deadline)
        user = desk.tokens.user_of(self._token_hash, call.point.seq)
        if user is None:
            raise Unauthenticated(UNKNOWN_TOKEN)
        call.user = user
        events = await self._event("status", get_status) + await self._event("jobs", list_jobs, limit=str(JOBS_SHOWN))
        return events if turn % NODES_EVERY else events + await self._event("nodes", get_nodes, ask="1")

    async def _event(self, name: str, handler: Handler, **query: str) -> bytes:
        """One event; nothing when it would say what the last one said. A question that fails now is asked again."""
        self._call.query = query
        try:
            answer = await handler(self._desk, self._call)
        except FluffyError as error:
            document: bytes | None = to_json({"error": error_json(error, self._call.request_id)})
        else:
            document = answer.body if isinstance(answer.body, bytes) else None
        if document is None or document == self._told.get(name):
            return b""
        self._told[name] = document
        return b"event: %b\ndata: %b\n\n" % (name.encode(), document)
