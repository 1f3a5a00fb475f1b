"""The five checksums that S3's clients may ask for: of an object, of a part, of an object made of parts.

On the wire a checksum is base64 of its bytes, big end first. An object made of parts has either a checksum of the whole
(FULL_OBJECT: only CRCs, because two of them can be joined knowing the length of the second) or a checksum of the parts'
checksums with their number behind it (COMPOSITE).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fluffy.base.checks import invariant
from fluffy.wire.s3_errors import S3Error

ALGORITHMS = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")
# What S3 takes when a client asks for none.
DEFAULT_ALGORITHM = "crc64nvme"
FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"
HEADER_PREFIX = "x-amz-checksum-"
TYPE_HEADER = "x-amz-checksum-type"

Bytes = bytes | bytearray | memoryview


class Hasher(Protocol):
    """Bytes in, in order; `digest` says what came until now."""

    def update(self, data: Bytes, /) -> None: ...
    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Crc:
    size: int
    run: Callable[[Bytes, int], int]
    combine: Callable[[int, int, int], int]


def _of_awscrt(name: str) -> Callable[..., int]:
    """A function of a large library, which is loaded at the first call: every process of a node starts without it."""

    def call(*arguments: Any) -> int:
        result: int = getattr(importlib.import_module("awscrt.checksums"), name)(*arguments)
        return result

    return call


_CRCS: Mapping[str, _Crc] = {
    "crc32": _Crc(4, zlib.crc32, _of_awscrt("combine_crc32")),
    "crc32c": _Crc(4, _of_awscrt("crc32c"), _of_awscrt("combine_crc32c")),
    "crc64nvme": _Crc(8, _of_awscrt("crc64nvme"), _of_awscrt("combine_crc64nvme")),
}
_HASHES: Mapping[str, Callable[[], Hasher]] = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}
SIZES: Mapping[str, int] = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}
invariant(tuple(SIZES) == ALGORITHMS, "every algorithm has a size")


class _CrcHasher:
    __slots__ = ("_crc", "_value")

    def __init__(self, crc: _Crc) -> None:
        self._crc = crc
        self._value = 0

    def update(self, data: Bytes, /) -> None:
        self._value = self._crc.run(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._crc.size, "big")


def new(algorithm: str) -> Hasher:
    crc = _CRCS.get(algorithm)
    return _HASHES[algorithm]() if crc is None else _CrcHasher(crc)


def digest_of(algorithm: str, data: Bytes) -> bytes:
    hasher = new(algorithm)
    hasher.update(data)
    return hasher.digest()


def header_of(algorithm: str) -> str:
    return HEADER_PREFIX + algorithm


def algorithm_of(text: str) -> str:
    """Of `x-amz-sdk-checksum-algorithm` and its like, in any case. Raises S3Error."""
    name = text.lower()
    if name not in SIZES:
        raise S3Error("InvalidRequest", 400, "Checksum algorithm provided is unsupported. Please try again with any of"
                                             " the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
    return name


def encode(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def decode(algorithm: str, text: str) -> bytes:
    """The bytes of a checksum as a header or a document has it. Raises S3Error."""
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != SIZES[algorithm]:
        raise S3Error("InvalidRequest", 400, f"Value for {header_of(algorithm)} header is invalid.")
    return digest


def decode_composite(algorithm: str, text: str) -> tuple[bytes, int | None]:
    """A checksum that may have the number of parts behind it (`AAAAAA==-3`). Raises S3Error."""
    value, dash, count = text.partition("-")
    if dash and not (count.isascii() and count.isdigit() and 1 <= len(count) <= 5):
        raise S3Error("InvalidRequest", 400, f"Value for {header_of(algorithm)} header is invalid.")
    return decode(algorithm, value), int(count) if dash else None


def can_be_full_object(algorithm: str) -> bool:
    """Whether the checksum of a whole can be made of its parts' checksums."""
    return algorithm in _CRCS


def default_type(algorithm: str) -> str:
    """What S3 takes for an upload in parts that names an algorithm only."""
    return FULL_OBJECT if algorithm == "crc64nvme" else COMPOSITE


def is_possible(algorithm: str, checksum_type: str) -> bool:
    if checksum_type == FULL_OBJECT:
        return can_be_full_object(algorithm)
    return checksum_type == COMPOSITE and algorithm != "crc64nvme"


def combined(algorithm: str, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The checksum of the whole, of (checksum, size) of its parts in order; only where `can_be_full_object`."""
    crc = _CRCS[algorithm]
    value = 0
    for digest, size in parts:
        value = crc.combine(value, int.from_bytes(digest, "big"), size)
    return value.to_bytes(crc.size, "big")


def composite(algorithm: str, digests: Iterable[bytes]) -> tuple[bytes, int]:
    """The checksum of the parts' checksums, and how many there are."""
    hasher = new(algorithm)
    count = 0
    for digest in digests:
        hasher.update(digest)
        count += 1
    return hasher.digest(), count
