"""Frames come whole and in order however the stream is cut; a liar is found out by the first eight bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.errors import FrameCorrupt
from fluffy.wire.frames import PREFIX, Frame, FrameReader, encode_frame

FRAMES = st.lists(st.tuples(st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2),
                            st.binary(max_size=40)), max_size=8)


@given(FRAMES, st.lists(st.integers(1, 60), max_size=30))
def test_frames_come_whole_and_in_order_however_they_are_cut(sent: list[tuple[dict[str, int], bytes]],
                                                             sizes: list[int]) -> None:
    stream = b"".join(encode_frame(header, payload) for header, payload in sent)
    reader, got, due = FrameReader(), list[Frame](), list[int]()
    for header, payload in sent:
        due.append((due[-1] if due else 0) + len(encode_frame(header, payload)))
    at = 0
    for size in [*sizes, len(stream)]:
        got += reader.feed(stream[at:at + size])
        at = min(at + size, len(stream))
        assert len(got) == sum(end <= at for end in due), "a frame is there as soon as its last byte is"
    assert got == [Frame(header, payload) for header, payload in sent]


@pytest.mark.parametrize("prefix", [PREFIX.pack(0, 0), PREFIX.pack(65 * 1024, 0), PREFIX.pack(3, 101)])
@pytest.mark.parametrize("cut", [0, 5])
def test_who_announces_too_much_is_refused_before_anything_is_kept(prefix: bytes, cut: int) -> None:
    reader = FrameReader(payload_bytes_max=100)
    assert reader.feed(prefix[:cut]) == []
    with pytest.raises(FrameCorrupt):
        reader.feed(prefix[cut:])


@pytest.mark.parametrize("header", [b"\x91\x01", b"\x81\xc4\x01a\x01", b"\x81\x01\x01", b"\xc1", b"\xd9"])
def test_a_header_is_one_map_with_text_keys(header: bytes) -> None:
    with pytest.raises(FrameCorrupt):
        FrameReader().feed(PREFIX.pack(len(header), 0) + header)
