"""For whom something is done: the request id and the trace that a request came with, through all processes.

The door sets it when a request comes; whatever is done for that request finds it (a context variable, which tasks and
threads inherit) and passes it on to the log and to other nodes. Log lines carry the request id by themselves
(drivers/logs.py). Spans, with beginning and end, exist only when a tracer is installed (drivers/tracing.py); without
one each costs a function call.

A traceparent is W3C's: `00-TRACE-SPAN-FLAGS`, in hex.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, NamedTuple, Protocol

# As long as the clients' own request ids may be.
REQUEST_ID_CHARS_MAX = 128
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Trace(NamedTuple):
    """`traceparent` is empty when nobody traces."""

    request_id: str = ""
    traceparent: str = ""

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]


# A name of this process and a number: nothing depends on these ids being secret, and the kernel need not be asked.
_ids_of = os.urandom(4).hex()
_id_numbers = itertools.count(1)
NO_TRACE = Trace()
_current: ContextVar[Trace] = ContextVar("fluffy_trace", default=NO_TRACE)


NO_FACTS: Mapping[str, str | int] = {}


class Span(Protocol):
    """`trace`: what is done inside belongs to it."""

    trace: Trace

    def end(self, error: str = "", *, name: str = "", facts: Mapping[str, str | int] = NO_FACTS) -> None:
        """Over; `error`: the code of what went wrong; `name`: a better one, known meanwhile. Called once."""


Side = Literal["server", "client"]
StartSpan = Callable[[str, Trace, Side], Span]


@dataclass(slots=True)
class _NoSpan:
    trace: Trace

    def end(self, error: str = "", *, name: str = "", facts: Mapping[str, str | int] = NO_FACTS) -> None:
        return


def _no_span(_name: str, trace: Trace, _side: Side) -> Span:
    return _NoSpan(trace)


_start: StartSpan = _no_span


def install(start: StartSpan | None) -> None:
    """From now on spans are made by `start`; None: they are not made."""
    global _start
    _start = _no_span if start is None else start


def are_spans_made() -> bool:
    """Whether a tracer is installed. Where every microsecond counts, nothing is prepared for it without one."""
    return _start is not _no_span


def start_span(name: str, trace: Trace, side: Side) -> Span:
    """Begin a span below `trace`; the caller ends it."""
    return _start(name, trace, side)


def current_trace() -> Trace:
    return _current.get()


def set_trace(trace: Trace) -> None:
    """From here on this task works for that request."""
    _current.set(trace)


class Asking:
    """`with Asking(name) as trace`: a span around what another process is asked for; `trace`: what to tell it."""

    __slots__ = ("_before", "_name", "_span")

    def __init__(self, name: str) -> None:
        self._name = name
        self._span: Span | None = None

    def __enter__(self) -> Trace:
        self._before = _current.get()
        if not are_spans_made():
            return self._before
        self._span = _start(self._name, self._before, "client")
        _current.set(self._span.trace)
        return self._span.trace

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None,
                 _where: TracebackType | None) -> None:
        if self._span is not None:
            _current.set(self._before)
            self._span.end("" if kind is None else kind.__name__)


def new_request_text() -> str:
    """An id for a request that came without one, for logs and errors: 16 hex digits."""
    return f"{_ids_of}{next(_id_numbers) & 0xFFFFFFFF:08x}"


def request_text(said: str | None) -> str:
    """The client's id when it is fit to be repeated, else one of ours."""
    return said if said is not None and is_request_text(said) else new_request_text()


def to_wire(trace: Trace) -> dict[str, str]:
    """Fields of a frame's header; empty for nobody's work."""
    fields = {"q": trace.request_id} if trace.request_id else {}
    return fields | {"p": trace.traceparent} if trace.traceparent else fields


def from_wire(request_id: object, traceparent: object) -> Trace:
    """What `to_wire` said; what cannot be one counts as absent, because nothing depends on it."""
    return Trace(request_id if isinstance(request_id, str) and is_request_text(request_id) else "",
                 traceparent if isinstance(traceparent, str) and _is_traceparent(traceparent) else "")


def traceparent_of(header: str | None) -> str:
    """The header's value when it is one of W3C's first version, else empty."""
    return header if header is not None and _is_traceparent(header) else ""


def is_request_text(text: str) -> bool:
    """Whether the text of an id can stand in a header and a log line."""
    return 0 < len(text) <= REQUEST_ID_CHARS_MAX and text.isascii() and text.isprintable()


def _is_traceparent(text: str) -> bool:
    return _TRACEPARENT.fullmatch(text) is not None
