"""What a chunk file says about itself, so that any part of it can be checked without any other source.

    data (length bytes) | zeros | xxh3-128 of each 256 KiB block of the data (16 bytes each) | tail (80 bytes)

    tail: magic (8) | u32le version | u32le block_bytes | u64le length | chunk id (32) | xxh3-128 of the data (16)
          | u64le xxh3-64 of the block hashes and of the tail up to here

The data stands first, so that its offset in the file is its offset in the chunk (sendfile, O_DIRECT); the record stands
at the very end. The zeros bring files written with O_DIRECT to whole 4 KiB pages; others have none. Block hashes let
a reader of 1 KiB check 256 KiB instead of the whole chunk.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import xxhash

from fluffy.base.checks import invariant
from fluffy.base.errors import ChunkCorrupt
from fluffy.base.hashing import XXH3_BYTES, xxh3_of
from fluffy.base.ids import CHUNK_ID_BYTES, ChunkId
from fluffy.base.units import KIB
from fluffy.wire.frames import CHUNK_PAYLOAD_BYTES_MAX

MAGIC = b"FLCHUNK\x01"
VERSION = 1
# Small enough to stay in a core's second cache between read and hash, large enough that a hash call is no cost.
BLOCK_BYTES = 256 * KIB
_TAIL = struct.Struct(f"<8sIIQ{CHUNK_ID_BYTES}s{XXH3_BYTES}sQ")
TAIL_BYTES = _TAIL.size
RECORD_BYTES_MAX = -(-CHUNK_PAYLOAD_BYTES_MAX // BLOCK_BYTES) * XXH3_BYTES + TAIL_BYTES
# Padding fills up to whole pages, so it is always less than one.
PAGE_BYTES = 4 * KIB
invariant(TAIL_BYTES == 80, "the tail is what the format says")


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """The decoded record: `blocks` holds one 16-byte hash per block, in order."""

    chunk_id: ChunkId
    length: int
    xxh3: bytes
    blocks: bytes

    def block_hash(self, number: int) -> bytes:
        return self.blocks[number * XXH3_BYTES:(number + 1) * XXH3_BYTES]

    @property
    def encoded_bytes(self) -> int:
        return len(self.blocks) + TAIL_BYTES


def blocks_of(length: int) -> int:
    return -(-length // BLOCK_BYTES)


def record_of(chunk_id: ChunkId, data: memoryview) -> ChunkRecord:
    """Hash `data` block by block; one pass over memory for both hashes, since a block is still in the cache."""
    whole = xxhash.xxh3_128()
    blocks = bytearray()
    for start in range(0, len(data), BLOCK_BYTES):
        block = data[start:start + BLOCK_BYTES]
        whole.update(block)
        blocks += xxh3_of(block)
    return ChunkRecord(chunk_id, len(data), whole.digest(), bytes(blocks))


def encode_record(record: ChunkRecord) -> bytes:
    head = _TAIL.pack(MAGIC, VERSION, BLOCK_BYTES, record.length, record.chunk_id, record.xxh3, 0)[:-8]
    body = record.blocks + head
    return body + xxhash.xxh3_64_intdigest(body).to_bytes(8, "little")


def record_bytes(tail: bytes) -> int:
    """How many bytes at the end of the file the record takes, from its last 80. Raises ChunkCorrupt."""
    if len(tail) != TAIL_BYTES:
        raise ChunkCorrupt("the chunk file is too short to be one")
    magic, version, block_bytes, length, _, _, _ = _TAIL.unpack(tail)
    if magic != MAGIC or version != VERSION or block_bytes != BLOCK_BYTES:
        raise ChunkCorrupt("the chunk file has no record at its end")
    if not 0 < length <= CHUNK_PAYLOAD_BYTES_MAX:
        raise ChunkCorrupt("the chunk file's record has an impossible length")
    return blocks_of(length) * XXH3_BYTES + TAIL_BYTES


def decode_record(encoded: bytes, file_bytes: int, chunk_id: ChunkId) -> ChunkRecord:
    """The record from exactly its bytes; checked against itself, the file's size and the expected chunk."""
    body, checksum = encoded[:-8], encoded[-8:]
    if xxhash.xxh3_64_intdigest(body) != int.from_bytes(checksum, "little"):
        raise ChunkCorrupt("the chunk file's record is damaged")
    _, _, _, length, named, xxh3, _ = _TAIL.unpack(encoded[-TAIL_BYTES:])
    if named != chunk_id:
        raise ChunkCorrupt("the chunk file holds another chunk")
    if not 0 <= file_bytes - length - len(encoded) < PAGE_BYTES:
        raise ChunkCorrupt("the chunk file has another size than its record says")
    return ChunkRecord(chunk_id, length, xxh3, encoded[:-TAIL_BYTES])
