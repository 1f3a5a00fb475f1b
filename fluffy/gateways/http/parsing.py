"""Bytes of a client to requests: httptools' parser, made bounded and strict where it is not.

Sans-IO. What httptools leaves open and this closes: it gathers a header of any length (here: counted while it comes);
it takes a request that offers `Upgrade` for one without a body (here: the offer is ignored, as RFC 9110 allows, and the
body read); it accepts any number of headers and repeated ones. People paste `curl http://…/ü` without encoding it:
such bytes in the first line are percent-encoded rather than refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import httptools

from fluffy.base.errors import FluffyError, HeadersTooLarge, RequestMalformed
from fluffy.gateways.http.limits import (
    CHUNK_OVERHEAD_BYTES_MAX,
    CHUNK_OVERHEAD_FACTOR,
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    PARSE_STEP_BYTES,
    TARGET_BYTES_MAX,
)

# "PUT " and " HTTP/1.1" around the target.
LINE_BYTES_MAX = TARGET_BYTES_MAX + 64
# Saying one of these twice is an attempt to be understood in two ways. Others are lists (RFC 9110, 5.3), and so joined.
SINGLETONS = frozenset({
    "authorization", "content-length", "content-md5", "content-range", "content-type", "expect", "host",
    "if-modified-since", "if-range", "if-unmodified-since", "range", "transfer-encoding"})
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
# Of a method's name, or of the empty line that some clients send after a body.
_FIRST_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n")
# Lower-case texts of header names seen; bounded, because clients choose them.
_NAMES_MAX = 512
_names: dict[bytes, str] = {}


class Head(NamedTuple):
    """A request's head. `length`: of the body, None when it is chunked."""

    method: str
    target: str
    headers: Mapping[str, str]
    length: int | None
    is_http_1_0: bool
    keeps_alive: bool
    expects_continue: bool


class ParserSink(Protocol):
    """Who is told what the parser finds."""

    def on_head(self, head: Head) -> None: ...
    def on_body(self, data: bytes) -> None: ...
    def on_end(self) -> None: ...

    @property
    def has_enough(self) -> bool:
        """No further requests are wanted now."""


class RequestParser:
    """One connection's parser. After it raised, the connection is of no use for reading any more."""

    __slots__ = ("_body_bytes", "_error", "_fed_bytes", "_head_bytes", "_header_count", "_headers", "_in_body",
                 "_in_head", "_left", "_line", "_muted", "_parser", "_resync", "_sink", "_target")

    def __init__(self, sink: ParserSink) -> None:
        self._sink = sink
        self._line = b""  # a first line that has not come to its end
        self._error: FluffyError | None = None
        self._muted = False
        self.renew()

    def renew(self) -> None:
        """Begin afresh, with the next request: the rest of the present one was taken elsewhere."""
        self._parser = httptools.HttpRequestParser(self)
        self._resync: bytes | None = None
        self._in_head = False
        self._in_body = False
        self._left: int | None = 0
        self._head_bytes = 0
        self._target = b""
        self._headers: dict[str, str] = {}
        self._header_count = 0
        self._fed_bytes = 0
        self._body_bytes = 0

    @property
    def has_begun(self) -> bool:
        """A head has begun and not ended."""
        return self._in_head or bool(self._line)

    def feed(self, data: bytes) -> bytes:
        """Parse; returns what is left over because the sink has enough. Raises RequestMalformed, HeadersTooLarge."""
        if not self._in_head and not self._in_body:
            data = self._first_line(self._line + data if self._line else data)
        position, size = 0, len(data)
        if size <= PARSE_STEP_BYTES and not self._in_body and not self._sink.has_enough:
            position = self._feed_step(data)  # mostly the whole of a small request
        view = memoryview(data)
        while position < size:
            if not self._in_body and self._sink.has_enough:
                return data[position:]
            step = PARSE_STEP_BYTES
            if self._in_body:
                step = size if self._left is None else min(self._left, size)
            position += self._feed_step(view[position:position + step])
        return b""

    def _first_line(self, data: bytes) -> bytes:
        """Wait for the end of the first line, and make it ASCII."""
        self._line = b""
        if data and data[0] not in _FIRST_BYTES:
            raise RequestMalformed("this is not HTTP; if it is TLS: this port speaks plain HTTP")
        end = data.find(b"\n")
        if end > LINE_BYTES_MAX or (end < 0 and len(data) > LINE_BYTES_MAX):
            raise HeadersTooLarge(f"the address in the request's first line is longer than {TARGET_BYTES_MAX} bytes")
        if end < 0:
            self._line = data
            return b""
        if data.isascii() or data[:end].isascii():
            return data
        return _NOT_ASCII.sub(lambda match: b"%%%02X" % match[0][0], data[:end]) + data[end:]

    def _feed_step(self, step: bytes | memoryview) -> int:
        """Feed one step; returns how much of it was used."""
        self._fed_bytes += len(step)
        used = len(step)
        try:
            self._parser.feed_data(step)
        except httptools.HttpParserUpgrade as offer:
            used = int(offer.args[0])
            self._ignore_upgrade()
        except httptools.HttpParserError as error:
            raise self._error or RequestMalformed(f"this is not a valid HTTP request: {error}") from error
        if self._error is not None:
            raise self._error
        if self._in_head:
            self._head_bytes += len(step)
            if self._head_bytes > HEAD_BYTES_MAX:
                raise HeadersTooLarge(f"the request's headers are longer than {HEAD_BYTES_MAX} bytes")
        elif self._left is None and (self._fed_bytes - self._body_bytes
                                     > CHUNK_OVERHEAD_BYTES_MAX + CHUNK_OVERHEAD_FACTOR * self._body_bytes):
            raise RequestMalformed("the chunked body has more framing than bytes")
        return used

    def _ignore_upgrade(self) -> None:
        """Go on as if the client had not offered another protocol: a new parser, told only how the body is framed."""
        head = self._resync
        if head is None:
            raise RequestMalformed("this server does not do that kind of request")
        self._resync = None
        self._parser = httptools.HttpRequestParser(self)
        self._muted = True
        self._parser.feed_data(head)
        self._muted = False
        if not self._in_body:
            self._sink.on_end()

    # What httptools calls

    def on_message_begin(self) -> None:
        if self._muted:
            return
        self._in_head = True
        self._head_bytes = 0
        self._target = b""
        self._headers = {}
        self._header_count = 0

    def on_url(self, part: bytes) -> None:
        if not self._muted:
            self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._muted or not self._in_head:  # not in the head: a trailer, which nobody reads
            return
        self._header_count += 1
        if self._header_count > HEADERS_MAX:
            self._error = HeadersTooLarge(f"the request has more than {HEADERS_MAX} headers")
            return
        text = str(value.rstrip(b" \t"), "utf-8", "surrogateescape")
        key = _names.get(name) or _name_of(name)
        if key in self._headers:
            if key in SINGLETONS or key.startswith("fluffy-"):
                self._error = RequestMalformed(f"the header {key} is given twice")
                return
            text = f"{self._headers[key]}, {text}"
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        if self._muted or self._error is not None:
            return
        parser, headers = self._parser, self._headers
        self._in_head = False
        is_old = parser.get_http_version() == "1.0"
        if len(self._target) > TARGET_BYTES_MAX:
            self._error = HeadersTooLarge(f"the address is longer than {TARGET_BYTES_MAX} bytes")
            return
        if "host" not in headers and not is_old:
            self._error = RequestMalformed("the Host header is missing")
            return
        left: int | None = 0
        if "transfer-encoding" in headers:
            left = None
        elif "content-length" in headers:
            left = int(headers["content-length"])
        self._left = left
        self._in_body = left != 0
        self._fed_bytes = self._body_bytes = 0
        method = parser.get_method().decode("ascii")
        if parser.should_upgrade() and method != "CONNECT":
            framing = b"Transfer-Encoding: chunked" if self._left is None else b"Content-Length: %d" % self._left
            self._resync = b"PUT / HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % framing
        self._sink.on_head(Head(
            method, self._target.decode("ascii"), headers, left, is_old, parser.should_keep_alive(),
            "expect" in headers and not is_old and headers["expect"].lower() == "100-continue"))

    def on_body(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._left is not None:
            self._left -= len(data)
        self._sink.on_body(data)

    def on_message_complete(self) -> None:
        if self._muted or self._error is not None or self._resync is not None:
            return
        self._in_body = False
        self._left = 0
        self._sink.on_end()


def _name_of(name: bytes) -> str:
    text = name.decode("ascii", "replace").lower()
    if len(_names) >= _NAMES_MAX:
        _names.clear()
    _names[name] = text
    return text
