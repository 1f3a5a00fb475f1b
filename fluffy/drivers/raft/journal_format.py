"""The bytes of the log on disk: records in segment files.

    record:  u32 crc | u32 body_bytes | u8 kind | u64 a | u64 b | body        (little endian; crc over all after itself)

    SEGMENT   a = number of the segment, b = format version, body = salt (8) + u32 head_bytes; first in each file
    BATCH     a = number of the batch, body = salt; first in each write that one fsync made durable
    VOTE      a = current term, b = 1 when a vote was given in it, body = id of the node voted for
    COMMIT    a = commit index
    BASE      a = index of the first entry that still counts
    RESET     a = the same, and everything before this record is void (a snapshot was installed)
    ENTRY     a = index, b = term, body = command
    TRUNCATE  a = index from which on entries are void

The head (`head_bytes`) of a segment repeats the state, so that older segments can go; a segment gets its name only when
its head is durable. BATCH tells a torn write from damage: a batch is written only after the one before it was fsynced,
so bytes that do not parse *and* are followed by a later batch were destroyed after they had been promised. The salt is
random per segment, so that no user's bytes inside an entry can pass for a batch.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from fluffy.base.units import MIB

FORMAT_VERSION = 1
SALT_BYTES = 8
# One group of commands is at most 1 MiB (drivers/raft); the rest is room for the library's own entries.
ENTRY_BYTES_MAX = 4 * MIB
VOTE_BYTES_MAX = 1024

SEGMENT = 1
BATCH = 2
VOTE = 3
COMMIT = 4
BASE = 5
RESET = 6
ENTRY = 7
TRUNCATE = 8

RECORD = struct.Struct("<IIBQQ")
_AFTER_CRC = struct.Struct("<IBQQ")
_CRC_BYTES = 4
_HEAD_BODY = struct.Struct(f"<{SALT_BYTES}sI")


class Record(NamedTuple):
    """One record inside a buffer; the body lies at `body_start:end`."""

    kind: int
    a: int
    b: int
    body_start: int
    end: int


class Head(NamedTuple):
    """What the first record of a segment says. Nothing before `head_bytes` can be torn, for the name came after it."""

    number: int
    version: int
    salt: bytes
    head_bytes: int


def encode_record(kind: int, a: int, b: int = 0, body: bytes = b"") -> bytes:
    return record_head(kind, a, b, body) + body


def record_head(kind: int, a: int, b: int, body: bytes) -> bytes:
    """What a record has before its body, which is long in an entry and need not be copied."""
    after_crc = _AFTER_CRC.pack(len(body), kind, a, b)
    return zlib.crc32(body, zlib.crc32(after_crc)).to_bytes(_CRC_BYTES, "little") + after_crc


def encode_batch(number: int, salt: bytes) -> bytes:
    return encode_record(BATCH, number, 0, salt)


def encode_vote(term: int, vote: str | None) -> bytes:
    return encode_record(VOTE, term, 0 if vote is None else 1, (vote or "").encode())


def encode_head(number: int, salt: bytes, records: bytes) -> bytes:
    """The first bytes of a segment: its own record, then `records`, which repeat the state."""
    head_bytes = RECORD.size + _HEAD_BODY.size + len(records)
    return encode_record(SEGMENT, number, FORMAT_VERSION, _HEAD_BODY.pack(salt, head_bytes)) + records


def read_record(data: bytes, at: int) -> Record | None:
    """The record at `at`, or None when there is no whole, undamaged one."""
    body_start = at + RECORD.size
    if body_start > len(data):
        return None
    crc, body_bytes, kind, a, b = RECORD.unpack_from(data, at)
    end = body_start + body_bytes
    if body_bytes > ENTRY_BYTES_MAX or end > len(data):
        return None
    with memoryview(data) as view:
        if zlib.crc32(view[at + _CRC_BYTES:end]) != crc:
            return None
    return Record(kind, a, b, body_start, end)


def read_head(data: bytes) -> Head | None:
    """The head record of a segment, or None when it is damaged."""
    record = read_record(data, 0)
    if record is None or record.kind != SEGMENT or record.end - record.body_start != _HEAD_BODY.size:
        return None
    salt, head_bytes = _HEAD_BODY.unpack_from(data, record.body_start)
    return Head(record.a, record.b, salt, head_bytes)


def later_batch(data: bytes, start: int, salt: bytes, newest: int) -> int | None:
    """Where after `start` an undamaged batch with a number above `newest` begins, or None."""
    found = data.find(salt, start)
    while found != -1:
        at = found - RECORD.size
        record = read_record(data, at) if at >= start else None
        if record is not None and record.kind == BATCH and record.a > newest:
            return at
        found = data.find(salt, found + 1)
    return None
