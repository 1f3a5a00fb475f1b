"""The two hashes of the data path.

BLAKE3 names a chunk and a file, and is computed once, where bytes enter. xxh3-128 guards each later hop and the
copy on disk; it is ten times cheaper, which is why every byte served can be checked (promise P5). Both release
the GIL on large buffers; callers hash more than 256 KiB in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import xxhash
from blake3 import blake3

from fluffy.base.ids import ChunkId

XXH3_BYTES = 16
BLAKE3_BYTES = 32
# Of no bytes at all.
EMPTY_ROOT = blake3(b"").digest()


def chunk_id_of(data: bytes | bytearray | memoryview) -> ChunkId:
    return ChunkId(blake3(data).digest())


def xxh3_of(data: bytes | bytearray | memoryview) -> bytes:
    return xxhash.xxh3_128_digest(data)


def etag_of(file_blake3: bytes) -> str:
    """The entity tag of a file written by the native door: the first half of its BLAKE3, in hex, without quotes."""
    return file_blake3[:16].hex()


def etag_of_chunks(chunks: Sequence[tuple[bytes, int]]) -> str:
    """The entity tag of a file that nobody has hashed whole: it stands for its chunks (id, length) in order."""
    packed = b"".join(chunk_id + length.to_bytes(8, "little") for chunk_id, length in chunks)
    return blake3(b"chunks\x00" + packed).digest(BLAKE3_BYTES // 2).hex()
