"""`aws-chunked`: a body in chunks, each with its size, perhaps its signature, and at the end checksums in trailers.

    SIZE;chunk-signature=HEX \r\n  BYTES \r\n  …  0;chunk-signature=HEX \r\n  [NAME:VALUE \r\n …]  \r\n

Each signature covers its chunk and the signature before it, from the request's own on; the trailers have one too
(`x-amz-trailer-signature`). A decoder tells of every chunk that is wrong as soon as its bytes are there, and of a body
that ended early at the end: what it has given out counts only when it is done.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal, Protocol

from fluffy.base.units import GIB, KIB
from fluffy.wire.s3_errors import ChunkMalformed, SignatureError
from fluffy.wire.s3_signature import EMPTY_SHA256, SigningKey, is_same, sign

ChunkMode = Literal["unsigned-trailer", "signed", "signed-trailer"]

# `SIZE;chunk-signature=` and 64 digits are 90 bytes.
LINE_BYTES_MAX = 256
CHUNK_BYTES_MAX = 5 * GIB
TRAILER_BYTES_MAX = 8 * KIB
TRAILERS_MAX = 16
# S3 demands 8 KiB of all chunks but the last; a body of many tiny ones is somebody wasting our time.
SMALL_CHUNK_BYTES = 8 * KIB
SMALL_CHUNKS_MAX = 10_000
TRAILER_SIGNATURE = "x-amz-trailer-signature"
_HEAD = re.compile(rb"([0-9A-Fa-f]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?", re.ASCII)
_TRAILER = re.compile(r"([a-z0-9-]{1,64}):[ \t]*([\x21-\x7e]{1,256})[ \t]*", re.ASCII)


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...
    def hexdigest(self) -> str: ...


class ChunkDecoder:
    """Takes the framing off one body. `trailer_names`: those that the request announced (`x-amz-trailer`).

    After it raised it is of no use any more.
    """

    def __init__(self, mode: ChunkMode, signing: SigningKey | None, decoded_length: int,
                 trailer_names: tuple[str, ...] = ()) -> None:
        if (signing is None) != (mode == "unsigned-trailer"):
            raise ValueError("signed chunks are checked with a key, others without")
        self._mode = mode
        self._signing = signing
        self._expected = decoded_length
        self._trailer_names = trailer_names
        self._previous = "" if signing is None else signing.seed
        self._line = bytearray()  # a line that has not come to its end; at the end, all trailers
        self._left = 0  # bytes of the present chunk still to come
        self._after_chunk = 0  # bytes of the CRLF after a chunk still to come
        self._signature = ""  # of the present chunk
        self._hash: _Hash = hashlib.sha256()
        self._small_chunks = 0
        self._decoded = 0
        self._in_trailers = False
        self._is_sealed = False
        self.trailers: dict[str, str] = {}

    @property
    def is_done(self) -> bool:
        """The whole body came and all of it is as it should be (`finish` has said so)."""
        return self._is_sealed

    def feed(self, data: bytes | memoryview) -> list[memoryview]:
        """The decoded bytes in `data`, as views into it. Raises ChunkMalformed, SignatureError."""
        view, position = memoryview(data), 0
        pieces: list[memoryview] = []
        while position < len(view):
            if self._in_trailers:
                self._add_to_line(view[position:], TRAILER_BYTES_MAX)
                break
            if self._left:
                piece = view[position:position + self._left]
                position += len(piece)
                self._take(piece)
                pieces.append(piece)
            elif self._after_chunk:
                if view[position] != b"\r\n"[2 - self._after_chunk]:
                    raise _malformed("a chunk does not end where its size says")
                self._after_chunk -= 1
                position += 1
            else:
                position = self._read_head(view, position)
        return pieces

    def strip(self, view: memoryview) -> int:
        """Decode in place: the decoded bytes move to the beginning of `view`; returns how many they are."""
        filled = 0
        for piece in self.feed(view):
            view[filled:filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def finish(self) -> None:
        """The body has ended. Raises S3Error unless it was whole and its trailers hold."""
        if not self._in_trailers:
            raise ChunkMalformed("IncompleteBody", 400, "the body ended before its last chunk; nothing was stored")
        if self._decoded != self._expected:
            raise ChunkMalformed("IncompleteBody", 400, "You did not provide the number of bytes specified by the"
                                                        " x-amz-decoded-content-length header; nothing was stored")
        self._read_trailers()
        self._is_sealed = True

    def _read_head(self, view: memoryview, position: int) -> int:
        """Up to the end of the line that begins a chunk; returns where to go on."""
        some = bytes(view[position:position + LINE_BYTES_MAX])
        end = some.find(b"\n")
        if end < 0:
            self._add_to_line(some, LINE_BYTES_MAX)
            return position + len(some)
        self._add_to_line(some[:end + 1], LINE_BYTES_MAX)
        line = bytes(self._line)
        self._line.clear()
        if not line.endswith(b"\r\n"):
            raise _malformed("a line ends in CR and LF")
        self._begin_chunk(line[:-2])
        return position + end + 1

    def _begin_chunk(self, line: bytes) -> None:
        match = _HEAD.fullmatch(line)
        if match is None or (match[2] is None) != (self._signing is None):
            raise _malformed("a chunk begins with its size in hexadecimal digits, and its signature where it is signed")
        size = int(match[1], 16)
        if size > CHUNK_BYTES_MAX or self._decoded + size > self._expected:
            raise ChunkMalformed("IncompleteBody", 400, "the chunks have more bytes than x-amz-decoded-content-length"
                                                        " says; nothing was stored")
        self._signature = "" if match[2] is None else match[2].decode()
        if size == 0:
            self._verify_chunk()
            self._in_trailers = True
            return
        if size < SMALL_CHUNK_BYTES and self._decoded + size < self._expected:
            self._small_chunks += 1
            if self._small_chunks > SMALL_CHUNKS_MAX:
                raise ChunkMalformed("InvalidChunkSizeError", 403, "Only the last chunk is allowed to have a size less"
                                                                   f" than {SMALL_CHUNK_BYTES} bytes")
        self._left, self._after_chunk = size, 2

    def _take(self, piece: memoryview) -> None:
        self._left -= len(piece)
        self._decoded += len(piece)
        if self._signing is not None:
            self._hash.update(piece)
            if self._left == 0:
                self._verify_chunk()

    def _verify_chunk(self) -> None:
        signing = self._signing
        if signing is None:
            return
        text = (f"AWS4-HMAC-SHA256-PAYLOAD\n{signing.amz_date}\n{signing.scope}\n{self._previous}\n{EMPTY_SHA256}\n"
                f"{self._hash.hexdigest()}")
        if not is_same(sign(signing.key, text), self._signature):
            raise SignatureError("SignatureDoesNotMatch", 403, "the signature of a chunk is not the one that it has;"
                                                               " nothing was stored")
        self._previous = self._signature
        self._hash = hashlib.sha256()

    def _read_trailers(self) -> None:
        """What follows the last chunk. Empty lines are no matter: clients disagree about how many there are."""
        try:
            lines = bytes(self._line).decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise _bad_trailer("a trailer is not ASCII") from error
        if lines[-1] != "":
            raise _bad_trailer("the last line has no end")
        found = [line.removesuffix("\r") for line in lines if line not in ("", "\r")]
        if len(found) > TRAILERS_MAX:
            raise _bad_trailer(f"a body has at most {TRAILERS_MAX} trailers")
        canonical, signature = "", ""
        for line in found:
            match = _TRAILER.fullmatch(line)
            if match is None:
                raise _bad_trailer("a trailer is like name:value")
            name, value = match[1], match[2]
            if signature or name in self.trailers:
                raise _bad_trailer("a trailer stands twice, or after the signature of the trailers")
            if name == TRAILER_SIGNATURE:
                signature = value
                continue
            if name not in self._trailer_names:
                raise _bad_trailer(f"the trailer {name} was not announced in x-amz-trailer")
            self.trailers[name] = value
            canonical += f"{name}:{value}\n"
        self._check_trailers(canonical, signature)

    def _check_trailers(self, canonical: str, signature: str) -> None:
        missing = [name for name in self._trailer_names if name not in self.trailers]
        if missing:
            raise _bad_trailer(f"the trailer {missing[0]} was announced in x-amz-trailer and did not come")
        if self._mode != "signed-trailer":
            if signature:
                raise _bad_trailer("the trailers have a signature, and the request did not announce one")
            return
        signing = self._signing
        assert signing is not None
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256-TRAILER\n{signing.amz_date}\n{signing.scope}\n{self._previous}\n{digest}"
        if not is_same(sign(signing.key, text), signature):
            raise SignatureError("SignatureDoesNotMatch", 403, "the signature of the trailers is not the one that they"
                                                               " have; nothing was stored")

    def _add_to_line(self, data: bytes | memoryview, bytes_max: int) -> None:
        self._line += data
        if len(self._line) > bytes_max:
            raise _malformed("a line of the framing is too long")


def _malformed(message: str) -> ChunkMalformed:
    return ChunkMalformed("InvalidRequest", 400, f"the aws-chunked body is malformed: {message}; nothing was stored")


def _bad_trailer(message: str) -> ChunkMalformed:
    return ChunkMalformed("MalformedTrailerError", 400, f"what follows the aws-chunked body is malformed: {message};"
                                                        " nothing was stored")
