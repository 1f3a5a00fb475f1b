"""The record at the end of every chunk file: its bytes for ever, and that no damage of it goes unseen."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fluffy.base.errors import ChunkCorrupt
from fluffy.base.hashing import chunk_id_of, xxh3_of
from fluffy.wire.chunk_record import (
    BLOCK_BYTES,
    RECORD_BYTES_MAX,
    TAIL_BYTES,
    ChunkRecord,
    decode_record,
    encode_record,
    record_bytes,
    record_of,
)


def decode(encoded, file_bytes, chunk_id):
    """As a reader of a file does it: the tail first, then as much as it says."""
    size = record_bytes(encoded[-TAIL_BYTES:])
    if size > len(encoded):
        raise ChunkCorrupt
    return decode_record(encoded[-size:], file_bytes, chunk_id)


def test_golden_bytes():
    """Disks are full of these."""
    record = record_of(chunk_id_of(b"chunk"), memoryview(b"chunk"))
    assert encode_record(record).hex() == GOLDEN


GOLDEN = (
    "b62c2b5a85eaa5bea79e0b74b79bb855464c4348554e4b01010000000000040005000000000000006b1d440ada61d0f4"
    "e4416c73bcbab3694f96875a3e5df3253075163ffe93cd4db62c2b5a85eaa5bea79e0b74b79bb8553e2d3649d2ba9a6c")


@given(st.integers(1, 3 * BLOCK_BYTES + 5))
def test_records_survive_the_disk(size):
    data = memoryview(bytes(size))
    record = record_of(chunk_id_of(data), data)
    encoded = encode_record(record)
    assert len(encoded) == record.encoded_bytes <= RECORD_BYTES_MAX
    assert decode(encoded, size + len(encoded), record.chunk_id) == record
    assert record.xxh3 == xxh3_of(data)
    assert [record.block_hash(number) for number in range(-(-size // BLOCK_BYTES))] == [
        xxh3_of(data[start:start + BLOCK_BYTES]) for start in range(0, size, BLOCK_BYTES)]


RECORD = record_of(chunk_id_of(bytes(2 * BLOCK_BYTES)), memoryview(bytes(2 * BLOCK_BYTES)))
ENCODED = encode_record(RECORD)


@given(st.integers(0, len(ENCODED) * 8 - 1))
def test_every_flipped_bit_is_seen(bit):
    damaged = bytearray(ENCODED)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ChunkCorrupt):
        decode(bytes(damaged), 2 * BLOCK_BYTES + len(ENCODED), RECORD.chunk_id)


@example(4095)
@example(4096)
@given(st.integers(-5000, 9000))
def test_only_files_of_the_right_size_are_accepted(more):
    file_bytes = 2 * BLOCK_BYTES + len(ENCODED) + more
    if 0 <= more < 4096:
        assert decode(ENCODED, file_bytes, RECORD.chunk_id) == RECORD
    else:
        with pytest.raises(ChunkCorrupt):
            decode(ENCODED, file_bytes, RECORD.chunk_id)


@given(st.binary(max_size=200))
def test_noise_is_no_record(noise):
    with pytest.raises(ChunkCorrupt):
        decode(noise, 1000, RECORD.chunk_id)


def test_another_chunks_record_is_refused():
    with pytest.raises(ChunkCorrupt):
        decode(ENCODED, 2 * BLOCK_BYTES + len(ENCODED), chunk_id_of(b"other"))


def test_an_impossible_length_is_refused_before_anything_is_read():
    huge = ChunkRecord(RECORD.chunk_id, 1 << 40, RECORD.xxh3, RECORD.blocks)
    with pytest.raises(ChunkCorrupt):
        record_bytes(encode_record(huge)[-TAIL_BYTES:])
