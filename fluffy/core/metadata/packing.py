"""Small values inside rows, packed: replica lists, manifests, text maps, entity tags."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import msgpack

from fluffy.base.checks import invariant
from fluffy.base.ids import NodeNo

# 14 bits: a machine that joins every minute would need eleven days. See pack_nodes for the two bits not used.
NODE_NO_MAX = (1 << 14) - 1
# Longer ones stay as they are: nobody's hash.
_HEX_ETAG_CHARACTERS_MAX = 128
# A cluster has few distinct sets of nodes; each is packed and unpacked millions of times.
_NODE_SETS_CACHED = 4096


@lru_cache(maxsize=_NODE_SETS_CACHED)
def pack_nodes(nodes: tuple[NodeNo, ...]) -> bytes:
    """Two bytes for each node, ascending; the first has its top bit set and the second has not.

    So `instr(replicas, pack_nodes((n,)))` in SQL finds node n and never a pair of halves.
    """
    packed = bytearray()
    for node_no in nodes:
        invariant(0 < node_no <= NODE_NO_MAX, "node numbers are checked at genesis")
        packed += bytes((0x80 | node_no >> 7, node_no & 0x7F))
    return bytes(packed)


@lru_cache(maxsize=_NODE_SETS_CACHED)
def unpack_nodes(packed: bytes) -> tuple[NodeNo, ...]:
    return tuple(NodeNo((packed[i] & 0x7F) << 7 | packed[i + 1]) for i in range(0, len(packed), 2))


def pack_manifest(chunk_nos: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(chunk_nos)}Q", *chunk_nos)


def unpack_manifest(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // 8}Q", packed)


def pack_texts(texts: dict[str, str]) -> bytes | None:
    """None for an empty map, the common case. The order of keys is kept: it is the command's, the same everywhere."""
    if not texts:
        return None
    packed: bytes = msgpack.packb(texts)
    return packed


def unpack_texts(packed: bytes | None) -> dict[str, str]:
    if packed is None:
        return {}
    texts: dict[str, str] = msgpack.unpackb(packed)
    return texts


def pack_etag(etag: str) -> str | bytes:
    """Half the room for the usual entity tag, which is lower-case hex."""
    if not 0 < len(etag) <= _HEX_ETAG_CHARACTERS_MAX:
        return etag
    try:
        packed = bytes.fromhex(etag)
    except ValueError:
        return etag
    return packed if packed.hex() == etag else etag  # neither capitals nor spaces


def unpack_etag(packed: str | bytes) -> str:
    return packed.hex() if isinstance(packed, bytes) else packed


def s3_etag(packed: str | bytes) -> str:
    """As S3's clients see it: one that is made of BLAKE3 must not look like MD5, which they would compare with."""
    return f"{packed.hex()}-1" if isinstance(packed, bytes) else packed
