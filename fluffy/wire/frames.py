"""The frame of every private connection: unix sockets to the log, and the data port between nodes.

    u32le header_bytes | u32le payload_bytes | header: one msgpack map with str keys | payload: raw bytes

Lengths are checked against the bounds of the connection before a byte of the body is read, so a liar costs 8 bytes.
The header is msgpack with limits and no extension types: nothing in it can run code.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import msgpack

from fluffy.base.errors import FrameCorrupt
from fluffy.base.units import MIB
from fluffy.wire.packer import KeptPacker

PREFIX = struct.Struct("<II")
HEADER_BYTES_MAX = 64 * 1024
# A group of commands is at most 1 MiB (drivers/raft); a snapshot part 1 MiB; a chunk travels whole.
LOG_PAYLOAD_BYTES_MAX = 2 * MIB
CHUNK_PAYLOAD_BYTES_MAX = 64 * MIB


_packer = KeptPacker()


class Frame(NamedTuple):
    header: dict[str, Any]
    payload: bytes


def encode_frame(header: dict[str, Any], payload: bytes | bytearray | memoryview = b"") -> bytes:
    """The whole frame as one bytes object; for large payloads use `encode_head` and send the payload apart."""
    return encode_head(header, len(payload)) + bytes(payload)


def encode_head(header: dict[str, Any], payload_bytes: int) -> bytes:
    """Prefix and header of a frame whose payload of `payload_bytes` the caller sends next."""
    packed = _packer.pack(header)
    if len(packed) > HEADER_BYTES_MAX:
        raise ValueError(f"frame header of {len(packed)} bytes exceeds {HEADER_BYTES_MAX}")
    return PREFIX.pack(len(packed), payload_bytes) + packed


def decode_prefix(data: bytes | bytearray | memoryview, payload_bytes_max: int, at: int = 0) -> tuple[int, int]:
    """(header_bytes, payload_bytes) from the 8 bytes at `at`. Raises FrameCorrupt beyond the bounds."""
    header_bytes, payload_bytes = PREFIX.unpack_from(data, at)
    if not 0 < header_bytes <= HEADER_BYTES_MAX or payload_bytes > payload_bytes_max:
        raise FrameCorrupt("a frame announced more bytes than this connection allows")
    return header_bytes, payload_bytes


def decode_header(data: bytes | bytearray | memoryview) -> dict[str, Any]:
    """The msgpack map of a header. Raises FrameCorrupt for anything else."""
    try:
        header = msgpack.unpackb(data, raw=False, strict_map_key=True, max_ext_len=0)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise FrameCorrupt("a frame header is not msgpack") from error
    if not isinstance(header, dict):
        raise FrameCorrupt("a frame header is not a map")
    for key in header:
        if not isinstance(key, str):
            raise FrameCorrupt("a frame header has a key that is no text")
    return header


class FrameReader:
    """Cuts a byte stream into frames; for small ones (the log's sockets). The data port reads payloads in place."""

    def __init__(self, payload_bytes_max: int = LOG_PAYLOAD_BYTES_MAX) -> None:
        self._payload_bytes_max = payload_bytes_max
        self._rest = bytearray()  # of a frame that has not come whole
        self._rest_needs = PREFIX.size

    def feed(self, data: bytes) -> list[Frame]:
        """Whole frames that `data` completed, in order. Raises FrameCorrupt; then the connection must be closed."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._rest_needs:
                return []
            data, self._rest = bytes(self._rest), bytearray()
        frames: list[Frame] = []
        start, end, size = 0, PREFIX.size, len(data)
        while size >= end:
            header_bytes, payload_bytes = decode_prefix(data, self._payload_bytes_max, start)
            header_end = start + PREFIX.size + header_bytes
            end = header_end + payload_bytes
            if size < end:
                break
            frames.append(Frame(decode_header(data[start + PREFIX.size:header_end]), data[header_end:end]))
            start, end = end, end + PREFIX.size
        if start < size:
            self._rest += data[start:]
            self._rest_needs = end - start
        return frames
