"""Heads of answers as bytes, and the small texts around them."""

from __future__ import annotations

import time
from http import HTTPStatus

from fluffy.base.checks import invariant
from fluffy.gateways.http.exchange import Headers
from fluffy.wire.conditions import http_date

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}
# These have no body and say no length.
BODILESS = frozenset({204, 304})


class DateLine:
    """The `Date` header, made once a second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def text(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = f"Date: {http_date(second)}\r\n"
        return self._text


def render_head(status: int, headers: Headers, length: int, connection: str | None, date: str) -> bytes:
    """Status line and headers. `connection`: `close`, `keep-alive`, or None where HTTP/1.1's own rule holds."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    if status not in BODILESS:
        lines.append(f"Content-Length: {length}\r\n")
    if connection is not None:
        lines.append(f"Connection: {connection}\r\n")
    text = f"{_STATUS_LINES[status]}{date}{''.join(lines)}\r\n"
    # No stored name or value may smuggle in a line of its own.
    breaks = len(lines) + 3
    invariant(text.count("\n") == breaks == text.count("\r") and "\0" not in text, "a header value is one line")
    return text.encode("utf-8", "surrogateescape")
