"""Ranges mean the bytes that RFC 9110 says, and no header makes us send bytes that are not there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.errors import RangeIllegal
from fluffy.wire.ranges import RANGES_MAX, Span, content_range, multipart_ranges, parse_range, unsatisfied_range


@pytest.mark.parametrize(("header", "spans"), [
    ("bytes=0-0", [(0, 1)]), ("bytes=0-499", [(0, 100)]), ("bytes=99-", [(99, 1)]), ("bytes=-1", [(99, 1)]),
    ("bytes=-1000", [(0, 100)]), ("bytes=0-", [(0, 100)]), ("BYTES = 5-9", [(5, 5)]),
    ("bytes=0-1,4-5", [(0, 2), (4, 2)]), ("bytes= 0-1 , 4-5 ,", [(0, 2), (4, 2)]), ("bytes=0-1,200-", [(0, 2)]),
    ("bytes=4-5,0-1", [(4, 2), (0, 2)]),
])
def test_well_formed_ranges_of_a_hundred_bytes(header: str, spans: list[tuple[int, int]]) -> None:
    assert parse_range(header, 100) == tuple(Span(*span) for span in spans)


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=500-,600-700"])
def test_a_range_that_touches_no_byte_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(RangeIllegal) as raised:
        parse_range(header, 100)
    assert raised.value.facts == {"size": 100}
    assert unsatisfied_range(100) == "bytes */100"


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1", "bytes=0-0"])
def test_an_empty_file_has_no_range(header: str) -> None:
    with pytest.raises(RangeIllegal):
        parse_range(header, 0)


@pytest.mark.parametrize("header", [
    "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "lines=1-2", "bytes=1", "bytes=--1", "bytes=1-2-3",
    "bytes=0x1-2", "bytes=٣-٤", "bytes=" + "9" * 16 + "-", "bytes=0-1," * RANGES_MAX + "0-1", "bytes=0-99,0-0",
    "bytes=" + "0-1," * 4096,
])
def test_what_is_no_usable_range_means_the_whole_file(header: str) -> None:
    assert parse_range(header, 100) is None


@given(header=st.text(max_size=60) | st.text("bytes=0123456789-, ", max_size=60).map("bytes=".__add__),
       size=st.integers(0, 2000))
def test_no_header_reaches_beyond_the_file(header: str, size: int) -> None:
    try:
        spans = parse_range(header, size)
    except RangeIllegal:
        return
    for span in spans or ():
        assert span.start >= 0 and span.count > 0 and span.start + span.count <= size
    assert sum(span.count for span in spans or ()) <= size


@given(data=st.data(), size=st.integers(1, 5000))
def test_a_range_written_back_is_the_same_range(data: st.DataObject, size: int) -> None:
    start = data.draw(st.integers(0, size - 1))
    count = data.draw(st.integers(1, size - start))
    spans = parse_range(f"bytes={start}-{start + count - 1}", size)
    assert spans == (Span(start, count),)
    assert content_range(spans[0], size) == f"bytes {start}-{start + count - 1}/{size}"


def test_the_parts_of_a_multipart_answer_add_up_to_its_length() -> None:
    body = b"0123456789"
    parts = multipart_ranges((Span(0, 2), Span(5, 3)), 10, content_type="text/plain", boundary="0123456789abcdef")
    sent = b"".join(head + body[span.start:span.start + span.count]
                    for head, span in zip(parts.heads, parts.spans, strict=True)) + parts.tail
    assert len(sent) == parts.length
    assert sent == (b"--0123456789abcdef\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
                    b"\r\n--0123456789abcdef\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-7/10\r\n\r\n567"
                    b"\r\n--0123456789abcdef--\r\n")


def test_a_boundary_that_a_client_could_choose_is_not_taken() -> None:
    with pytest.raises(ValueError, match="hex"):
        multipart_ranges((Span(0, 1),), 1, content_type="a/b", boundary="x\r\nSet-Cookie: 1")
