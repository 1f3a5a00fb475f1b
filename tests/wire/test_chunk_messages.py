"""The data port's messages: their bytes, and that anything else is refused."""


import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.base.errors import (
    ChunkNotFound,
    FrameCorrupt,
)
from fluffy.base.units import MIB
from fluffy.wire.chunk_messages import (
    CHUNK_HEADER_BYTES_MAX,
    About,
    Answer,
    GetChunk,
    HasChunk,
    Ping,
    PutChunk,
    Urgency,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from fluffy.wire.frames import PREFIX, decode_header

numbers = st.integers(0, 2**53 - 1)
ids = st.binary(min_size=32, max_size=32)
hashes = st.binary(min_size=16, max_size=16)
requests = st.one_of(
    st.builds(PutChunk, numbers, ids, hashes),
    st.builds(GetChunk, numbers, ids, numbers, st.integers(1, 64 * MIB), st.sampled_from(Urgency)),
    st.builds(HasChunk, numbers, ids), st.builds(Ping, numbers), st.builds(About, numbers))
facts = st.dictionaries(st.text(max_size=20), st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.text(max_size=20)),
                        max_size=20)


@given(requests)
def test_requests_survive_the_wire(request):
    payload_bytes = 5 if isinstance(request, PutChunk) else 0
    encoded = encode_request(request, payload_bytes)
    assert len(encoded) <= PREFIX.size + CHUNK_HEADER_BYTES_MAX
    assert decode_request(decode_header(encoded[PREFIX.size:]), payload_bytes) == request


@given(facts)
def test_what_a_node_says_of_itself_survives_the_wire(said):
    encoded = encode_answer(Answer(1, about=said))
    assert decode_answer(decode_header(encoded[PREFIX.size:]), 0).about == said


@pytest.mark.parametrize("said", [[1], {"a": 1.5}, {"a": True}, {"a": None}, {"a": "x" * 65}, {"a" * 65: 1}, {1: 1},
                                  {str(number): number for number in range(33)}, {"a": 1 << 53}])
def test_what_no_node_would_say_of_itself_is_refused(said):
    with pytest.raises(FrameCorrupt):
        decode_answer({"i": 1, "b": said}, 0)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(["op", "i", "c", "x", "o", "n", "e", "m", "h", "f", "b"]),
                       st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5), ids, hashes, st.floats(),
                                 st.dictionaries(st.text(max_size=3), st.one_of(numbers, ids, st.booleans())))),
       st.sampled_from([0, 5]))
def test_any_map_is_a_message_or_frame_corrupt(header, payload_bytes):
    for decode in (decode_request, decode_answer):
        try:
            decode(header, payload_bytes)
        except FrameCorrupt:
            pass


def test_golden_bytes_of_the_messages():
    """Other versions of Fluffy speak these."""
    chunk_id = bytes(range(32))
    golden = {
        PutChunk(1, chunk_id, bytes(16)): "84a26f70a3707574a16901a163c420" + chunk_id.hex() + "a178c410" + "00" * 16,
        GetChunk(2, chunk_id, 3, 4): "85a26f70a3676574a16902a163c420" + chunk_id.hex() + "a16f03a16e04",
        GetChunk(2, chunk_id, 3, 4, Urgency.ENDANGERED):
            "86a26f70a3676574a16902a163c420" + chunk_id.hex() + "a16f03a16e04a16202",
        HasChunk(3, chunk_id): "83a26f70a3686173a16903a163c420" + chunk_id.hex(),
        Ping(4): "82a26f70a470696e67a16904",
        About(5): "82a26f70a561626f7574a16905",
    }
    for message, expected in golden.items():
        assert encode_request(message)[PREFIX.size:].hex() == expected
    assert encode_answer(Answer(5, ChunkNotFound("gone")))[8:].hex() == (
        "83a16905a165ad4368756e6b4e6f74466f756e64a16da4676f6e65")
    assert encode_answer(Answer(8, about={"level": 3, "version": "x"}))[8:].hex() == (
        "82a16908a16282a56c6576656c03a776657273696f6ea178")
    assert encode_answer(Answer(6, has=True, free_bytes=7))[8:].hex() == "83a16906a16801a16607"
