"""A request on its way through a door, for the log lines and traces of all who work on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from fluffy.base.tracing import NO_TRACE, Trace, set_trace, start_span, traceparent_of
from fluffy.gateways.http.exchange import Answer


class Served(Protocol):
    method: str
    headers: Mapping[str, str]
    pattern: str


@dataclass(slots=True)
class Serving:
    answer: Answer | None = None


@contextmanager
def serving(call: Served, request_id: str) -> Iterator[Serving]:
    """What is done inside is done for that request; `answer` is to be set to its answer."""
    came = Trace(request_id, traceparent_of(call.headers.get("traceparent")))
    span = start_span(call.method, came, "server")
    set_trace(span.trace)
    served = Serving()
    try:
        yield served
    finally:
        status = 0 if served.answer is None else served.answer.status
        span.end("" if 0 < status < 500 else str(status or "Cancelled"), name=f"{call.method} {call.pattern}", facts={
            "http.request.method": call.method, "http.route": call.pattern, "http.response.status_code": status})
        set_trace(NO_TRACE)
