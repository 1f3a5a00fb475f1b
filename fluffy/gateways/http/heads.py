"""Heads of answers as bytes, and the small texts around them."""

from __future__ import annotations

import time
from http import HTTPStatus

from fluffy.gateways.http.exchange import Answer, Headers
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


def render_lines(headers: Headers) -> bytes:
    """Header lines as bytes. Raises ValueError: no stored name or value may smuggle in a line of its own."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers) or "\0" in text:
        raise ValueError("a header value is one line")
    return text.encode("utf-8", "surrogateescape")


def render_head(answer: Answer, connection: str | None, date: str) -> bytes:
    """Status line and headers. `connection`: `close`, `keep-alive`, or None where HTTP/1.1's own rule holds."""
    status = answer.status
    length = "" if status in BODILESS or answer.is_endless else f"Content-Length: {answer.content_length}\r\n"
    last = "\r\n" if connection is None else f"Connection: {connection}\r\n\r\n"
    first = f"{_STATUS_LINES[status]}{date}{length}{answer.stamp}".encode()
    return b"".join((first, answer.prepared, render_lines(answer.headers) if answer.headers else b"", last.encode()))
