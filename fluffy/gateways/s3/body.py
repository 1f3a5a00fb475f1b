"""The body of a request to the S3 door: its framing taken off, everything that was said of it checked.

A body may come as it is, or in `aws-chunked` framing, with or without signatures, with checksums behind it. What the
services read is always the bytes alone. Hashes are computed where the services hash anyway, in their threads.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Mapping
from concurrent.futures import Executor

from fluffy.base.errors import BodyIncomplete
from fluffy.base.units import KIB
from fluffy.core.metadata.own_meta import SUM, SUM_TYPE
from fluffy.services.uploads import BodySource, Sealed
from fluffy.wire import s3_checksums
from fluffy.wire.s3_chunks import ChunkDecoder, ChunkMode
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_signature import PayloadKind, SigningKey

# What is left behind the last byte: the last chunk's head, trailers.
TAIL_BYTES = 8 * KIB
# Decoding moves the bytes, and hashes them where chunks are signed: longer than that a loop should not be away.
DECODE_IN_THREAD_BYTES = 256 * KIB
_MODES: Mapping[PayloadKind, ChunkMode] = {
    PayloadKind.SIGNED_CHUNKS: "signed",
    PayloadKind.SIGNED_CHUNKS_TRAILER: "signed-trailer",
    PayloadKind.UNSIGNED_CHUNKS_TRAILER: "unsigned-trailer",
}


class ChunkedBody:
    """Implements `services.uploads.BodySource` over a body in `aws-chunked` framing."""

    def __init__(self, raw: BodySource, decoder: ChunkDecoder, length: int, executor: Executor) -> None:
        self.length: int | None = length
        self._raw = raw
        self._decoder = decoder
        self._left = length
        self._executor = executor

    async def fill(self, out: memoryview) -> int:
        filled = 0
        out = out[:self._left]
        while filled < len(out):
            count = await self._raw.fill(out[filled:])
            if count == 0:
                self._decoder.finish()
                raise BodyIncomplete
            piece = out[filled:filled + count]
            if count >= DECODE_IN_THREAD_BYTES:
                loop = asyncio.get_running_loop()
                filled += await loop.run_in_executor(self._executor, self._decoder.strip, piece)
            else:
                filled += self._decoder.strip(piece)
        self._left -= filled
        if self._left == 0 and not self._decoder.is_done:
            await self._read_tail()
        return filled

    async def _read_tail(self) -> None:
        """What follows the last byte is a part of the body too: without it nothing of it counts."""
        tail = memoryview(bytearray(TAIL_BYTES))
        while count := await self._raw.fill(tail):
            self._decoder.feed(bytes(tail[:count]))
        self._decoder.finish()


def unframed(raw: BodySource, kind: PayloadKind, headers: Mapping[str, str], signing: SigningKey | None,
             executor: Executor) -> tuple[BodySource, ChunkDecoder | None]:
    """The body without framing, and what knows its trailers. Raises S3Error."""
    mode = _MODES.get(kind)
    if mode is None:
        return raw, None
    text = headers.get("x-amz-decoded-content-length")
    if text is None:
        raise S3Error("MissingContentLength", 411, "You must provide the x-amz-decoded-content-length header.")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise S3Error("InvalidArgument", 400, "x-amz-decoded-content-length is a number")
    names = tuple(name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip())
    if not kind.has_trailer:
        names = ()
    decoder = ChunkDecoder(mode, signing if kind.has_signed_chunks else None, int(text), names)
    return ChunkedBody(raw, decoder, int(text), executor), decoder


class Watch:
    """Implements `services.uploads.BodyWatch`: MD5, and whatever the request says about its body.

    `is_asked`: the client chose the checksum's algorithm.
    """

    def __init__(self, headers: Mapping[str, str], payload_sha256: str | None, decoder: ChunkDecoder | None) -> None:
        """`payload_sha256`: hex, of the whole body; None: nothing was said. Raises S3Error."""
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._promised_md5 = _content_md5(headers)
        self._promised_sha256 = payload_sha256
        self._sha256 = None if payload_sha256 is None else hashlib.sha256()
        self._decoder = decoder
        self._promised = _promised(headers)
        self.algorithm = _algorithm(headers, self._promised)
        self.is_asked = bool(self._promised) or "x-amz-sdk-checksum-algorithm" in headers or "x-amz-trailer" in headers
        self._checksum = None if self.algorithm == "sha256" and self._sha256 else s3_checksums.new(self.algorithm)
        self._besides: dict[str, s3_checksums.Hasher] = {}

    def use(self, algorithm: str) -> None:
        """Compute this checksum, before any byte came; for a body of which nothing else was said."""
        self.algorithm = algorithm
        self._checksum = None if algorithm == "sha256" and self._sha256 else s3_checksums.new(algorithm)

    def also(self, algorithm: str) -> None:
        """Compute this checksum besides, before any byte came."""
        if algorithm != self.algorithm:
            self._besides = {algorithm: s3_checksums.new(algorithm)}

    @property
    def is_promised(self) -> bool:
        """Whether the request says anything of the body that a change on its way would break."""
        return self._promised_md5 is not None or bool(self._promised)

    def update(self, data: memoryview) -> None:
        self._md5.update(data)
        if self._sha256 is not None:
            self._sha256.update(data)
        if self._checksum is not None:
            self._checksum.update(data)
        for hasher in self._besides.values():
            hasher.update(data)

    def seal(self) -> Sealed:
        """Raises S3Error."""
        self.check()
        return Sealed(self.md5.hex(), {SUM + self.algorithm: s3_checksums.encode(self.checksum),
                                       SUM_TYPE: s3_checksums.FULL_OBJECT})

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    @property
    def checksum(self) -> bytes:
        """By `algorithm`."""
        hasher = self._checksum or self._sha256
        assert hasher is not None
        return hasher.digest()

    @property
    def sums(self) -> dict[str, str]:
        """All checksums, in base64."""
        return {self.algorithm: s3_checksums.encode(self.checksum),
                **{algorithm: s3_checksums.encode(hasher.digest()) for algorithm, hasher in self._besides.items()}}

    def check(self) -> None:
        """The body has ended: raise S3Error for what does not hold."""
        if self._sha256 is not None and self._sha256.hexdigest() != self._promised_sha256:
            raise S3Error("XAmzContentSHA256Mismatch", 400, "The provided 'x-amz-content-sha256' header does not match"
                                                            " what was computed.",
                          ClientComputedContentSHA256=self._promised_sha256,
                          S3ComputedContentSHA256=self._sha256.hexdigest())
        if self._promised_md5 is not None and self._promised_md5 != self.md5:
            raise S3Error("BadDigest", 400, "The Content-MD5 you specified did not match what we received.",
                          ExpectedDigest=self._promised_md5.hex(), CalculatedDigest=self.md5.hex())
        promised = dict(self._promised)
        if self._decoder is not None:
            for name, value in self._decoder.trailers.items():
                if name == s3_checksums.header_of(self.algorithm):
                    promised[self.algorithm] = value
        for algorithm, text in promised.items():
            if s3_checksums.decode(algorithm, text) != self.checksum:
                raise S3Error("BadDigest", 400, f"The {algorithm.upper()} you specified did not match the calculated"
                                                " checksum.")


def _content_md5(headers: Mapping[str, str]) -> bytes | None:
    text = headers.get("content-md5")
    if text is None:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != hashlib.md5(usedforsecurity=False).digest_size:
        raise S3Error("InvalidDigest", 400, "The Content-MD5 you specified was invalid.", Content_MD5=text[:100])
    return digest


def _promised(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksum in the head, by algorithm; at most one. Raises S3Error."""
    found = {algorithm: headers[name] for algorithm in s3_checksums.ALGORITHMS
             if (name := s3_checksums.header_of(algorithm)) in headers}
    if len(found) > 1:
        raise S3Error("InvalidRequest", 400, "Expecting a single x-amz-checksum- header. Multiple checksum Types are"
                                             " not allowed.")
    for algorithm, text in found.items():
        s3_checksums.decode(algorithm, text)
    return found


def _algorithm(headers: Mapping[str, str], promised: Mapping[str, str]) -> str:
    """Which checksum is computed and kept. Raises S3Error."""
    said = headers.get("x-amz-sdk-checksum-algorithm")
    trailers = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",")]
    trailing = [algorithm for algorithm in s3_checksums.ALGORITHMS
                if s3_checksums.header_of(algorithm) in trailers]
    if len({*promised, *trailing}) > 1:
        raise S3Error("InvalidRequest", 400, "Expecting a single x-amz-checksum- header. Multiple checksum Types are"
                                             " not allowed.")
    for algorithm in (*promised, *trailing):
        if said is not None and s3_checksums.algorithm_of(said) != algorithm:
            raise S3Error("InvalidRequest", 400, "Value for x-amz-sdk-checksum-algorithm header is invalid.")
        return algorithm
    return s3_checksums.DEFAULT_ALGORITHM if said is None else s3_checksums.algorithm_of(said)
