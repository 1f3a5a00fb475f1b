"""A request on its way through a door, for the log lines and traces of all who work on it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Protocol

from fluffy.base.tracing import Span, Trace, are_spans_made, set_trace, start_span, traceparent_of
from fluffy.gateways.http.exchange import Answer


class Served(Protocol):
    method: str
    headers: Mapping[str, str]
    pattern: str


def begin_serving(call: Served, request_id: str) -> Span | None:
    """From here on this task works for that request, until its next one. To be ended by `end_serving`.

    Two functions and no context manager: a small answer would notice it.
    """
    came = Trace(request_id, traceparent_of(call.headers.get("traceparent")))
    if not are_spans_made():
        set_trace(came)
        return None
    span = start_span(call.method, came, "server")
    set_trace(span.trace)
    return span


def end_serving(span: Span | None, call: Served, answer: Answer | None) -> None:
    """The request is over; `answer` None: it was cancelled, or failed beyond an answer."""
    if span is None:
        return
    status = 0 if answer is None else answer.status
    error = "" if 0 < status < 500 else str(status or "Cancelled")
    span.end(error, name=f"{call.method} {call.pattern}", facts={
        "http.request.method": call.method, "http.route": call.pattern, "http.response.status_code": status})


async def serve(call: Served, request_id: str, answering: Awaitable[Answer]) -> Answer:
    """The same around the whole of it."""
    span = begin_serving(call, request_id)
    answer: Answer | None = None
    try:
        answer = await answering
    finally:
        end_serving(span, call, answer)
    return answer
