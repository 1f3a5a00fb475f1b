"""Commands of uploads in parts: begin a session, put parts in any order, complete or abort it. Kinds 60 to 69.

A session is a lease: it ends by itself `lease_ms` of log time after its last part. What its parts hold is in the
catalog from the moment that a part is put (chunks with references), so nothing is collected while the session lives,
and completing moves references instead of bytes. Feature level 2; the rules of `commands` hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.header import Header


@dataclass(frozen=True, slots=True)
class BeginUpload:
    """Open a session for the file at `path`; `upload_id` (16 random bytes) is how everybody names it.

    `size`: of the whole file, None: not said. `part_size`: what whoever goes on with the session should use. All that
    is said of the file here is what it gets when the session is completed; the conditions are asked now and then.
    """

    KIND: ClassVar[int] = 60
    header: Header
    upload_id: bytes
    path: str
    lease_ms: int
    part_size: int
    size: int | None
    content_type: str
    meta: dict[str, str]
    tags: dict[str, str]
    if_match: str | None = None
    if_none_match: bool = False
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class PutPart:
    """Part `number` (1 to PARTS_MAX) of a session, or another one in its place; its bytes are in chunks already.

    `chunks`, `replicas`: as in PutFile; both empty for a part without bytes. `blake3`: of the whole part. `etag`: what
    its writer knows it by.
    """

    KIND: ClassVar[int] = 61
    header: Header
    upload_id: bytes
    number: int
    size: int
    blake3: bytes
    etag: str
    chunks: tuple[tuple[ChunkId, int], ...]
    replicas: tuple[tuple[NodeNo, ...], ...]
    since_seq: int = 0  # as in PutFile


@dataclass(frozen=True, slots=True)
class CompleteUpload:
    """Make the parts one file: a new generation, as by PutFile. The same complete again gets the same answer.

    `parts`: numbers, ascending, each with what it must be: the part's BLAKE3, the 16 bytes of a hexadecimal etag, or
    empty for whatever it is. No parts named: all there are, which must be 1, 2, 3, … `size`, `blake3`: of the whole
    file, as its writer knows it; None and empty: not said. `etag`: empty: made of the hashes. `if_match` and
    `if_none_match` are asked together with those of the beginning.
    """

    KIND: ClassVar[int] = 62
    header: Header
    upload_id: bytes
    parts: tuple[tuple[int, bytes], ...]
    size: int | None = None
    blake3: bytes = b""
    etag: str = ""
    if_match: str | None = None
    if_none_match: bool = False
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class AbortUpload:
    """End a session; what its parts hold is given up."""

    KIND: ClassVar[int] = 63
    header: Header
    upload_id: bytes


@dataclass(frozen=True, slots=True)
class ExpireUploads:
    """Leader work: end up to `limit` sessions whose lease is over, and free parts of ended ones in bounded steps."""

    KIND: ClassVar[int] = 64
    header: Header
    term: int
    limit: int


UploadCommand = BeginUpload | PutPart | CompleteUpload | AbortUpload | ExpireUploads
UPLOAD_COMMANDS = (BeginUpload, PutPart, CompleteUpload, AbortUpload, ExpireUploads)
