"""The parser finds the same requests however the bytes are cut, and turns everything else into a refusal."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.errors import FluffyError, HeadersTooLarge, RequestMalformed
from fluffy.gateways.http.limits import HEAD_BYTES_MAX, HEADERS_MAX, PIPELINE_MAX, TARGET_BYTES_MAX
from fluffy.gateways.http.parsing import Head, RequestParser


class Recorder:
    """Notes what the parser finds."""

    def __init__(self, enough: int = 10**6) -> None:
        self.heads: list[Head] = []
        self.bodies: list[bytes] = []
        self.ended = 0
        self.enough = enough

    @property
    def has_enough(self) -> bool:
        return len(self.heads) >= self.enough

    def on_head(self, head: Head) -> None:
        assert self.ended == len(self.heads), "a request begins after the last one ended"
        self.heads.append(head)
        self.bodies.append(b"")

    def on_body(self, data: bytes) -> None:
        self.bodies[-1] += data

    def on_end(self) -> None:
        self.ended += 1
        assert self.ended == len(self.heads)


def parse(*parts: bytes) -> Recorder:
    recorder = Recorder()
    parser = RequestParser(recorder)
    for part in parts:
        assert parser.feed(part) == b""
    return recorder


THREE = (b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: a\r\nACCEPT:b \r\n\r\n"
         b"PUT /b HTTP/1.1\r\nhost: x\r\nContent-Length: 5\r\n\r\n12345"
         b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n")


def check_three(found: Recorder) -> None:
    assert [(head.method, head.target, head.length) for head in found.heads] == [
        ("GET", "/a?b=c", 0), ("PUT", "/b", 5), ("PUT", "/c", None)]
    assert found.bodies == [b"", b"12345", b"abcde"]
    assert found.ended == 3
    assert found.heads[0].headers == {"host": "x", "accept": "a, b"}
    assert "t" not in found.heads[2].headers, "a trailer is no header"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50])
def test_the_cuts_between_packets_do_not_matter(step: int) -> None:
    check_three(parse(*(THREE[at:at + step] for at in range(0, len(THREE), step))))


@given(st.lists(st.integers(0, len(THREE)), max_size=6))
def test_any_cuts_give_the_same_requests(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(THREE)]
    check_three(parse(*(THREE[first:last] for first, last in pairwise(edges))))


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_garbage_is_refused_and_nothing_else_happens(parts: list[bytes]) -> None:
    parser = RequestParser(Recorder())
    try:
        for part in parts:
            parser.feed(part)
    except FluffyError as error:
        assert error.http_status in (400, 431)


@given(st.integers(0, len(THREE) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_a_request_or_a_refusal(at: int, value: int) -> None:
    parser = RequestParser(Recorder())
    try:
        parser.feed(THREE[:at] + bytes([value]) + THREE[at + 1:])
    except FluffyError as error:
        assert error.http_status in (400, 431)


@pytest.mark.parametrize("wrong", [
    b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00\r\n\r\n", b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nFluffy-Min-Seq: 1\r\nFluffy-Min-Seq: 2\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_what_is_no_proper_request_is_refused(wrong: bytes) -> None:
    with pytest.raises(RequestMalformed):
        parse(wrong)


@pytest.mark.parametrize("step", [1000, 10**9])
@pytest.mark.parametrize("huge", [
    b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * (1 << 20) + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"b" * (1 << 20),
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
    b"GET /" + b"a" * (TARGET_BYTES_MAX + 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * (1 << 20)])
def test_a_huge_head_is_refused_before_it_is_gathered(huge: bytes, step: int) -> None:
    parser = RequestParser(Recorder())
    fed = 0
    with pytest.raises(HeadersTooLarge):
        for at in range(0, len(huge), step):
            parser.feed(huge[at:at + step])
            fed = at + step
    assert fed <= HEAD_BYTES_MAX + step


def test_as_many_headers_as_allowed_are_allowed() -> None:
    lines = b"".join(b"A%d: b\r\n" % number for number in range(HEADERS_MAX - 1))
    assert len(parse(b"GET / HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n").heads[0].headers) == HEADERS_MAX


def test_trailers_and_chunk_heads_without_end_are_refused() -> None:
    parser = RequestParser(Recorder())
    parser.feed(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ")
    with pytest.raises(RequestMalformed):
        for _ in range(1000):
            parser.feed(b"b" * 1000)


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n\r\n12345",
                                     b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"])
@pytest.mark.parametrize("step", [1, 10**9])
def test_an_offer_to_upgrade_does_not_lose_the_body(framing: bytes, step: int) -> None:
    """`curl --http2 -T file` offers h2c on an upload; llhttp alone would take the body for another protocol."""
    data = b"PUT /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" + framing
    found = parse(*(data[at:at + step] for at in range(0, len(data), step)))
    assert found.bodies == [b"12345"] and found.ended == 1


def test_an_offer_to_upgrade_without_a_body_is_an_ordinary_request() -> None:
    offer = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    found = parse(offer + b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [head.target for head in found.heads] == ["/a", "/b"] and found.ended == 2


def test_a_flood_of_pipelined_requests_is_left_unparsed() -> None:
    recorder = Recorder(enough=PIPELINE_MAX)
    flood = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000
    rest = RequestParser(recorder).feed(flood)
    assert len(recorder.heads) < PIPELINE_MAX + 200
    assert len(rest) > len(flood) * 0.9


@pytest.mark.parametrize("step", [1, 5, 10**9])
def test_an_address_that_was_pasted_without_encoding_is_encoded(step: int) -> None:
    data = "GET /ü/日本?q=ä HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    found = parse(*(data[at:at + step] for at in range(0, len(data), step)))
    assert [head.target for head in found.heads] == ["/%C3%BC/%E6%97%A5%E6%9C%AC?q=%C3%A4"]


def test_old_clients_and_polite_ones() -> None:
    found = parse(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n")
    assert [head.keeps_alive for head in found.heads] == [True, False]
    found = parse(b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n1")
    assert found.heads[0].expects_continue
