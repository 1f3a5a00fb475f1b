"""Uploads in parts: a session that anybody with the right may go on with, through any node, after any interruption.

A part is a body of its own: cut into chunks, stored, and named in the log at once, so that it outlives its connection,
its gateway and its client. Completing names the parts and moves no byte. Whatever is repeated happens once: a part put
again replaces itself, a complete gets its first answer.

The file's BLAKE3 cannot be made of its parts' (see uploads.py), and hashing 80 GiB again at the end is what nobody
would wait for. So it is what the client says at the end, or unknown. What is checked here: each part against the hash
that the client promised for it, the parts that the complete names against what is stored, and the sum of their sizes;
a file of one part has that part's hash. A client that hashed what it read, part by part and as a whole, has so said all
there is to check; readers compare what arrives with every chunk's own hash, and with the whole's where it is known.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from fluffy.base.checks import invariant
from fluffy.base.deadline import Deadline
from fluffy.base.errors import QuerySyntax
from fluffy.base.hashing import etag_of
from fluffy.base.units import DAY_MS, MIB
from fluffy.core.metadata.apply_uploads import LEASE_MAX_MS, LEASE_MIN_MS, UPLOAD_ID_BYTES
from fluffy.core.metadata.commands import Header
from fluffy.core.metadata.commands_uploads import AbortUpload, BeginUpload, CompleteUpload, PutPart
from fluffy.core.metadata.outcomes import Accepted
from fluffy.core.metadata.upload_table import PARTS_MAX
from fluffy.ports import MetadataLog, since_of
from fluffy.services.uploads import (
    COMMIT_AFTER_CHUNKS_TIMEOUT_S,
    COMMIT_TIMEOUT_S,
    FILE_CHUNKS_MAX,
    BodySource,
    Promise,
    PutOrder,
    Uploads,
)

# A laptop that was closed on Friday goes on on Monday; every part renews it.
UPLOAD_LEASE_MS = 4 * DAY_MS
invariant(LEASE_MIN_MS <= UPLOAD_LEASE_MS <= LEASE_MAX_MS, "the log takes our leases")
# Smaller parts would cost more requests and log entries than they save in repeated bytes.
PART_SIZE_MIN = 8 * MIB


@dataclass(frozen=True, slots=True)
class Begun:
    """A session. `part_size`: what its parts should have, but for the last; a multiple of the chunk size."""

    outcome: Accepted
    upload_id: bytes
    part_size: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part that is durable, whatever happens to its client now."""

    outcome: Accepted
    size: int
    blake3: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class CompleteOrder:
    """Which parts make the file: see CompleteUpload. No parts: all of them, without a gap."""

    upload_id: bytes
    parts: tuple[tuple[int, bytes], ...] = ()
    size: int | None = None
    blake3: bytes = b""
    etag: str = ""
    if_match: str | None = None
    if_none_match: bool = False
    lock: bytes = b""


class PartUploads:
    """Sessions of one gateway's users; it keeps nothing of them itself."""

    def __init__(self, log: MetadataLog, uploads: Uploads) -> None:
        self._log = log
        self._uploads = uploads

    async def begin(self, header: Header, order: PutOrder, *, size: int | None = None, part_size: int | None = None,
                    lease_ms: int = UPLOAD_LEASE_MS) -> Begun:
        """Open a session for the file of `order`, whose hashes are not looked at. Raises what the log answers.

        `size`: of the whole file, None: not known yet. `part_size`: wanted by the client. Raises TooLarge.
        """
        command = BeginUpload(
            header, os.urandom(UPLOAD_ID_BYTES), order.path, lease_ms, self.part_size_for(size, part_size), size,
            order.content_type, order.meta, order.tags, order.if_match, order.if_none_match, order.lock)
        outcome = await self._log.propose(command, Deadline.after(COMMIT_TIMEOUT_S))
        facts = outcome.facts
        return Begun(outcome, facts["upload_id"], facts["part_size"], facts["expires_ms"])

    def part_size_for(self, size: int | None, wanted: int | None) -> int:
        """A part size with which the file fits into a session. Raises TooLarge, QuerySyntax."""
        chunk_size = self._uploads.chunk_size
        size_max = FILE_CHUNKS_MAX * chunk_size
        if size is not None and size > size_max:
            raise self._uploads.too_large()
        if wanted is not None:
            if not 0 < wanted <= size_max or (size or 0) > wanted * PARTS_MAX:
                raise QuerySyntax(f"an upload has at most {PARTS_MAX:,} parts of at most {size_max:,} bytes")
            return wanted
        least = max(PART_SIZE_MIN, -(-(size_max if size is None else size) // PARTS_MAX))
        return -(-least // chunk_size) * chunk_size

    async def put_part(self, header: Header, upload_id: bytes, number: int, promise: Promise,
                       body: BodySource) -> StoredPart:
        """Store part `number`. Raises what `Uploads.store` raises, and what the log answers."""
        stored = await self._uploads.store(promise, body)
        etag = etag_of(stored.blake3)
        command = PutPart(
            header, upload_id, number, stored.size, stored.blake3, etag,
            tuple((chunk.chunk_id, chunk.length) for chunk in stored.chunks),
            tuple(chunk.replicas for chunk in stored.chunks), since_of(stored.chunks))
        outcome = await self._log.propose(command, Deadline.after(COMMIT_AFTER_CHUNKS_TIMEOUT_S))
        return StoredPart(outcome, stored.size, stored.blake3, etag)

    async def complete(self, header: Header, order: CompleteOrder) -> Accepted:
        """Make the file. facts: those of CompleteUpload; of the first time, when it was complete already."""
        command = CompleteUpload(header, order.upload_id, order.parts, order.size, order.blake3, order.etag,
                                 order.if_match, order.if_none_match, order.lock)
        return await self._log.propose(command, Deadline.after(COMMIT_AFTER_CHUNKS_TIMEOUT_S))

    async def abort(self, header: Header, upload_id: bytes) -> Accepted:
        """End a session; what its parts hold is freed. facts: path, bytes."""
        return await self._log.propose(AbortUpload(header, upload_id), Deadline.after(COMMIT_TIMEOUT_S))
