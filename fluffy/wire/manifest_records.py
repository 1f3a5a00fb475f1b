"""Manifests as bytes: segment files of framed records, each with its own checksum.

    segment   "FLMANIF1" | record (a head) | record | …
    record    u32le length of the body | u32le checksum of the body | body
    body      msgpack array: kind, then the fields of the kind in order (core/metadata/manifest.py)

    0 head    cluster uuid, series, number, seq, at_ms, building: null or [folder number, key]
    1 mark    seq, at_ms, building
    2 file    seq, parent, key, path, no, version_no, generation, size, blake3, etag, content_type, owner_no,
              modified_ms, meta_version, is_current, meta, tags, chunks: [[chunk_no, id, length], …],
              inline: bytes or null
    3 folder  seq, parent, key, path, no, owner_no, created_ms
    4 gone    seq, parent, key
    5 user    seq, no, name, role, created_ms, password, disabled, files_max, bytes_max
    6 bucket  seq, no, owner_no, trash_days, versions_max, replication, files_max, bytes_max,
              grants: [[user_no, right], …]
    7 anew    seq, parent
    8 files   seq, parent, path, rows: [[key, no, version_no, generation, size, blake3, etag, content_type, owner_no,
              modified_ms, meta_version, meta, tags, inline], …]; meta, tags: a msgpack map as bytes, or null

The checksum is the lower half of the xxh3-64, a tenth of the work of the CRC-32 that stands in older records; both are
taken. A record that a later version made longer is read as far as it is known; one of an unknown kind is left out.
After a damaged record the next good one is searched for, so a bad sector costs the records in it and no more.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import xxhash

from fluffy.base.errors import FrameCorrupt
from fluffy.base.ids import CHUNK_ID_BYTES, ChunkId
from fluffy.base.units import MIB
from fluffy.core.metadata.manifest import (
    AnewManifest,
    BucketManifest,
    FileManifest,
    FilesManifest,
    FolderManifest,
    GoneManifest,
    HeadManifest,
    Manifest,
    MarkManifest,
    UserManifest,
)

MAGIC = b"FLMANIF1"
# 16,384 chunks at some 45 bytes, 256 KiB inline, texts.
RECORD_BYTES_MAX = 2 * MIB
_FRAME = struct.Struct("<II")
HEAD, MARK, FILE, FOLDER, GONE, USER, BUCKET, ANEW, FILES = range(9)


def encode_manifest(record: Manifest | HeadManifest) -> bytes:
    """One framed record."""
    body: bytes = msgpack.packb(_values(record))
    return _FRAME.pack(len(body), _checksum(body)) + body


def _checksum(body: bytes | memoryview) -> int:
    return xxhash.xxh3_64_intdigest(body) & 0xFFFFFFFF


def _values(record: Manifest | HeadManifest) -> tuple[Any, ...]:
    match record:
        case FileManifest():
            return (FILE, record.seq, record.parent, record.key, record.path, record.no, record.version_no,
                    record.generation, record.size, record.blake3, record.etag, record.content_type, record.owner_no,
                    record.modified_ms, record.meta_version, record.is_current, dict(record.meta), dict(record.tags),
                    record.chunks, record.inline)
        case FilesManifest(seq, parent, path, rows):
            return FILES, seq, parent, path, rows
        case FolderManifest(seq, parent, key, path, no, owner_no, created_ms):
            return FOLDER, seq, parent, key, path, no, owner_no, created_ms
        case GoneManifest(seq, parent, key):
            return GONE, seq, parent, key
        case AnewManifest(seq, parent):
            return ANEW, seq, parent
        case UserManifest():
            return (USER, record.seq, record.no, record.name, record.role, record.created_ms, record.password,
                    record.disabled, record.files_max, record.bytes_max)
        case BucketManifest():
            return (BUCKET, record.seq, record.no, record.owner_no, record.trash_days, record.versions_max,
                    record.replication, record.files_max, record.bytes_max, record.grants)
        case MarkManifest(seq, at_ms, building):
            return MARK, seq, at_ms, building
        case HeadManifest(cluster_uuid, series, number, mark):
            return HEAD, cluster_uuid, series, number, mark.seq, mark.at_ms, mark.building


def decode_body(body: bytes | memoryview) -> Manifest | HeadManifest | None:
    """The record of a body whose checksum was right; None for a kind of a later version. Raises FrameCorrupt."""
    return next(iter(decode_records(body)), None)


def decode_records(body: bytes | memoryview) -> Sequence[Manifest | HeadManifest]:
    """The same, with many files of one record as a FileManifest for each."""
    try:
        values = msgpack.unpackb(body, use_list=False, max_ext_len=0)
        if values[0] == FILES:
            return _files(*values[1:5])
        record = _record(values[0], values[1:])
        return () if record is None else (record,)
    except (ValueError, TypeError, IndexError, KeyError, msgpack.UnpackException, RecursionError) as error:
        raise FrameCorrupt("a manifest is not one") from error


def _record(kind: int, values: tuple[Any, ...]) -> Manifest | HeadManifest | None:
    match kind:
        case 0:
            uuid, series, number, seq, at_ms, building = values[:6]
            return HeadManifest(_text(uuid), _int(series), _int(number),
                                MarkManifest(_int(seq), _int(at_ms), _place(building)))
        case 1:
            seq, at_ms, building = values[:3]
            return MarkManifest(_int(seq), _int(at_ms), _place(building))
        case 2:
            return _file(values)
        case 3:
            seq, parent, key, path, no, owner_no, created_ms = values[:7]
            return FolderManifest(_int(seq), _int(parent), _text(key), _text(path), _int(no), _int(owner_no),
                                  _int(created_ms))
        case 4:
            seq, parent, key = values[:3]
            return GoneManifest(_int(seq), _int(parent), _text(key))
        case 5:
            seq, no, name, role, created_ms, password, disabled, files_max, bytes_max = values[:9]
            return UserManifest(_int(seq), _int(no), _text(name), _text(role), _int(created_ms),
                                None if password is None else _bytes(password), bool(disabled),
                                _limit(files_max), _limit(bytes_max))
        case 6:
            seq, no, owner_no, trash_days, versions_max, replication, files_max, bytes_max, grants = values[:9]
            return BucketManifest(_int(seq), _int(no), _int(owner_no), _limit(trash_days), _limit(versions_max),
                                  _limit(replication), _limit(files_max), _limit(bytes_max),
                                  tuple((_int(user_no), _int(right)) for user_no, right in grants))
        case 7:
            seq, parent = values[:2]
            return AnewManifest(_int(seq), _int(parent))
    return None


def _file(values: tuple[Any, ...]) -> FileManifest:
    (seq, parent, key, path, no, version_no, generation, size, root, etag, content_type, owner_no, modified_ms,
     meta_version, is_current, meta, tags, chunks, inline) = values[:19]
    parts = tuple((_int(chunk_no), _chunk_id(chunk_id), _int(length)) for chunk_no, chunk_id, length in chunks)
    return FileManifest(
        _int(seq), _int(parent), _text(key), _text(path), _int(no), _int(version_no), _int(generation), _int(size),
        _bytes(root), etag if type(etag) is bytes else _text(etag), _text(content_type), _int(owner_no),
        _int(modified_ms), _int(meta_version), bool(is_current), _texts(meta), _texts(tags), parts,
        None if inline is None else _bytes(inline))


def _files(seq: Any, parent: Any, path: Any, rows: Any) -> list[Manifest | HeadManifest]:
    found: list[Manifest | HeadManifest] = []
    for (key, no, version_no, generation, size, root, etag, content_type, owner_no, modified_ms, meta_version, meta,
         tags, inline) in rows:
        found.append(_file((
            seq, parent, key, _text(path) + _text(key), no, version_no, generation, size, root, etag, content_type,
            owner_no, modified_ms, meta_version, True, _unpacked(meta), _unpacked(tags), (), _bytes(inline))))
    return found


def _unpacked(texts: Any) -> Any:
    return {} if texts is None else msgpack.unpackb(_bytes(texts), max_ext_len=0)


@dataclass(slots=True)
class Damage:
    """What a reader of segments passed over, in bytes and places."""

    bytes: int = 0
    places: int = 0


def read_segment(data: bytes | memoryview, damage: Damage) -> Iterator[tuple[int, Manifest | HeadManifest]]:
    """(offset of its end, record) of every good record of a segment, in order; the rest is counted in `damage`."""
    view = memoryview(data)
    at = len(MAGIC) if bytes(view[:len(MAGIC)]) == MAGIC else _next_record(view, 0, damage)
    while at < len(view):
        found = _at(view, at)
        if found is None:
            at = _next_record(view, at + 1, damage)
            continue
        end, records = found
        at = end
        for record in records:
            yield end, record


def _at(view: memoryview, at: int) -> tuple[int, Sequence[Manifest | HeadManifest]] | None:
    """(end, what it says) of the record at an offset; None: there is none, or a damaged one."""
    if len(view) - at < _FRAME.size:
        return None
    length, checksum = _FRAME.unpack_from(view, at)
    end = at + _FRAME.size + length
    if not 0 < length <= RECORD_BYTES_MAX or end > len(view):
        return None
    body = view[at + _FRAME.size:end]
    if _checksum(body) != checksum and zlib.crc32(body) != checksum:
        return None
    try:
        return end, decode_records(body)
    except FrameCorrupt:
        return None


def _next_record(view: memoryview, start: int, damage: Damage) -> int:
    """Where the next good record begins, at or after an offset; the end when there is none."""
    damage.places += 1
    at = start
    while at < len(view) and _at(view, at) is None:
        at += 1
    damage.bytes += at - start + 1
    return at


def _int(value: Any) -> int:
    if type(value) is int and 0 <= value < 1 << 63:
        return value
    raise TypeError(value)


def _limit(value: Any) -> int | None:
    return None if value is None else _int(value)


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    raise TypeError(value)


def _bytes(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    raise TypeError(value)


def _chunk_id(value: Any) -> ChunkId:
    if len(_bytes(value)) != CHUNK_ID_BYTES:
        raise TypeError(value)
    return ChunkId(value)


def _texts(value: Any) -> dict[str, str]:
    return {_text(key): _text(text) for key, text in value.items()} if type(value) is dict else _texts_wrong(value)


def _texts_wrong(value: Any) -> dict[str, str]:
    raise TypeError(value)


def _place(value: Any) -> tuple[int, str] | None:
    if value is None:
        return None
    parent, key = value
    return _int(parent), _text(key)
