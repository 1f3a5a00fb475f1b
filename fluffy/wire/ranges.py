"""Byte ranges of HTTP (RFC 9110, section 14): which bytes of a file a reader asks for.

One range is answered with 206 and `Content-Range`; several with 206 and `multipart/byteranges`; none that touches the
file with 416. A header that is not a byte range at all is ignored, as the RFC allows, and the whole file is sent: so an
old or odd client still gets true bytes. The number of ranges is bounded, and ranges that together ask for more than
the file holds are answered with the file, so that a small request cannot make a large answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fluffy.base.errors import RangeIllegal

# A PDF reader asks for a handful; nobody seeks more places than this in one request.
RANGES_MAX = 64
HEADER_BYTES_MAX = 4096
# 15 digits: 1 PiB. More is no position in a file of ours, and int() of a long text is quadratic.
_SPEC = re.compile(r"(\d{0,15})-(\d{0,15})", re.ASCII)
_BOUNDARY = re.compile(r"[0-9a-f]{16,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """`count` bytes from `start`; never empty, never beyond the file."""

    start: int
    count: int

    @property
    def last(self) -> int:
        return self.start + self.count - 1


def parse_range(header: str, size: int) -> tuple[Span, ...] | None:
    """The spans that `Range: header` asks for in a file of `size` bytes, in the order asked.

    None: serve the whole file (not a byte range, or the ranges ask for more bytes than there are). Raises
    RangeIllegal when no range touches the file.
    """
    unit, equals, text = header.partition("=")
    if not equals or unit.strip().lower() != "bytes" or len(header) > HEADER_BYTES_MAX:
        return None
    specs = [spec.strip(" \t") for spec in text.split(",")]
    specs = [spec for spec in specs if spec]  # RFC 9110, 5.6.1: empty list members are allowed
    if not specs or len(specs) > RANGES_MAX:
        return None
    spans: list[Span] = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None or spec == "-":
            return None
        if match[1] and match[2] and int(match[2]) < int(match[1]):
            return None
        span = _span_of(match[1], match[2], size)
        if span is not None:
            spans.append(span)
    if not spans:
        raise RangeIllegal(f"the range lies outside the file, which has {size} bytes", size=size)
    if len(spans) > 1 and sum(span.count for span in spans) > size:
        return None
    return tuple(spans)


def content_range(span: Span, size: int) -> str:
    return f"bytes {span.start}-{span.last}/{size}"


def unsatisfied_range(size: int) -> str:
    return f"bytes */{size}"


@dataclass(frozen=True, slots=True)
class MultipartRanges:
    """A `multipart/byteranges` body: before each span its head, and the tail after the last."""

    content_type: str
    heads: tuple[bytes, ...]
    spans: tuple[Span, ...]
    tail: bytes

    @property
    def length(self) -> int:
        return (sum(len(head) for head in self.heads) + sum(span.count for span in self.spans)
                + len(self.tail))


def multipart_ranges(spans: tuple[Span, ...], size: int, *, content_type: str, boundary: str) -> MultipartRanges:
    """`boundary`: 16 to 64 hex digits, random, so that the file's bytes do not hold it by chance or by design."""
    if _BOUNDARY.fullmatch(boundary) is None:
        raise ValueError("a boundary is 16 to 64 hex digits")
    heads = []
    for number, span in enumerate(spans):
        heads.append((("" if number == 0 else "\r\n") + f"--{boundary}\r\nContent-Type: {content_type}\r\n"
                      f"Content-Range: {content_range(span, size)}\r\n\r\n").encode())
    return MultipartRanges(f"multipart/byteranges; boundary={boundary}", tuple(heads), spans,
                           f"\r\n--{boundary}--\r\n".encode())


def _span_of(first: str, last: str, size: int) -> Span | None:
    """One `first-last`, `first-` or `-suffix`; None when it touches no byte of the file."""
    if first == "":
        count = min(int(last), size)
        return Span(size - count, count) if count > 0 else None
    start = int(first)
    if start >= size:
        return None
    end = size if last == "" else min(int(last) + 1, size)
    return Span(start, end - start)
