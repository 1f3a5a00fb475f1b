"""A request on its way through a door, for the log lines and traces of all who work on it."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from fluffy.base.tracing import Span, Trace, are_spans_made, set_trace, start_span, traceparent_of
from fluffy.gateways.http.exchange import Answer


class Served(Protocol):
    method: str
    headers: Mapping[str, str]
    pattern: str


class Serving:
    """`with Serving(call, request_id) as served`: what is done inside is done for that request.

    `answer` is to be set to its answer. The task's next request takes the place of this one in its log lines.
    """

    __slots__ = ("_call", "_span", "answer")

    def __init__(self, call: Served, request_id: str) -> None:
        self._call = call
        self._span: Span | None = None
        self.answer: Answer | None = None
        came = Trace(request_id, traceparent_of(call.headers.get("traceparent")))
        if are_spans_made():
            self._span = start_span(call.method, came, "server")
            came = self._span.trace
        set_trace(came)

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None,
                 _where: TracebackType | None) -> None:
        if self._span is None:
            return
        call, status = self._call, 0 if self.answer is None else self.answer.status
        error = "" if 0 < status < 500 else str(status or "Cancelled")
        self._span.end(error, name=f"{call.method} {call.pattern}", facts={
            "http.request.method": call.method, "http.route": call.pattern, "http.response.status_code": status})
