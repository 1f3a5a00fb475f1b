"""The data port's messages: their bytes, and that anything else is refused."""


from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.base.errors import (
    ChunkNotFound,
    FrameCorrupt,
)
from fluffy.base.units import MIB
from fluffy.wire.chunk_messages import (
    CHUNK_HEADER_BYTES_MAX,
    Answer,
    GetChunk,
    HasChunk,
    Ping,
    PutChunk,
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
    st.builds(GetChunk, numbers, ids, numbers, st.integers(1, 64 * MIB)),
    st.builds(HasChunk, numbers, ids), st.builds(Ping, numbers))


@given(requests)
def test_requests_survive_the_wire(request):
    payload_bytes = 5 if isinstance(request, PutChunk) else 0
    encoded = encode_request(request, payload_bytes)
    assert len(encoded) <= PREFIX.size + CHUNK_HEADER_BYTES_MAX
    assert decode_request(decode_header(encoded[PREFIX.size:]), payload_bytes) == request


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(["op", "i", "c", "x", "o", "n", "e", "m", "h", "f"]),
                       st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5), ids, hashes, st.floats())),
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
        HasChunk(3, chunk_id): "83a26f70a3686173a16903a163c420" + chunk_id.hex(),
        Ping(4): "82a26f70a470696e67a16904",
    }
    for message, expected in golden.items():
        assert encode_request(message)[PREFIX.size:].hex() == expected
    assert encode_answer(Answer(5, ChunkNotFound("gone")))[8:].hex() == (
        "83a16905a165ad4368756e6b4e6f74466f756e64a16da4676f6e65")
    assert encode_answer(Answer(6, has=True, free_bytes=7))[8:].hex() == "83a16906a16801a16607"
