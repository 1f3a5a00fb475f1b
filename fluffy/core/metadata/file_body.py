"""Is what a PutFile brings whole and safe? Checks first; then its chunks are counted."""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.errors import ChunksMissing, NodeNotFound, RequestError, TooLarge
from fluffy.base.ids import CHUNK_ID_BYTES, ChunkId, NodeNo
from fluffy.base.units import KIB, MIB
from fluffy.core.metadata import chunk_table, drop_table
from fluffy.core.metadata.chunk_table import ChunkRow
from fluffy.core.metadata.commands import PutFile
from fluffy.core.metadata.commands_s3 import PutObject
from fluffy.core.metadata.commands_tree import PatchFile
from fluffy.core.metadata.commands_uploads import PutPart
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.outcomes import Rejected
from fluffy.core.metadata.packing import pack_manifest
from fluffy.core.metadata.refusals import refused
from fluffy.core.metadata.working import Working

BLAKE3_BYTES = 32
# The data port's largest payload.
CHUNK_BYTES_MAX = 64 * MIB
# 128 GiB in chunks of 8 MiB, 1 TiB in the largest ones; 16,384 rows take about 0.3 s to apply, the longest pause
# that one command may cause, and their ids fit into one command of 1 MiB.
FILE_CHUNKS_MAX = 16_384
# Inline bytes are in every node's log, database and checkpoint.
INLINE_BYTES_MAX = 256 * KIB
ETAG_BYTES_MAX = 128
CONTENT_TYPE_BYTES_MAX = 256
# AWS allows 2 KiB of user metadata and 10 tags; people's own tools keep times and modes there too.
TEXTS_MAX = 64
TEXTS_BYTES_MAX = 8 * KIB
# A refusal names so many missing chunks; the writer sends all it has again anyway.
MISSING_NAMED_MAX = 50


@dataclass(slots=True)
class ChunkUse:
    """One distinct chunk of a put. `row`: what the catalog knew of it; `nodes`: copies after the put, ascending."""

    length: int
    count: int
    nodes: tuple[NodeNo, ...]
    row: ChunkRow | None = None


Uses = dict[ChunkId, ChunkUse]
# Commands that name chunks and who has fsynced them.
Chunked = PutFile | PatchFile | PutPart


def refuse_body(work: Working, command: PutFile) -> Rejected | None:
    """None when sizes, bounds and texts of the command are in order."""
    # An object of several chunks has MD5 instead, and each chunk its own hash.
    if len(command.blake3) != BLAKE3_BYTES and (command.blake3 or not isinstance(command, PutObject)):
        return refused(RequestError, "the file's hash must have 32 bytes")
    texts = refuse_texts(etag=command.etag, content_type=command.content_type, meta=command.meta, tags=command.tags)
    if texts is not None:
        return texts
    return _refuse_bytes(work, command, command.size)


def refuse_patch(work: Working, command: PatchFile, *, kept_bytes: int, kept_chunks: int) -> Rejected | None:
    """None when what a PatchFile brings is in order and fits to what it keeps of its base."""
    if len(command.blake3) not in (0, BLAKE3_BYTES):
        return refused(RequestError, "the file's hash must have 32 bytes, or none")
    if kept_bytes > command.size:
        return refused(RequestError, "the chunks are not as long as the file's size")
    if kept_chunks + len(command.chunks) > FILE_CHUNKS_MAX:
        return refused(TooLarge, f"a file may have at most {FILE_CHUNKS_MAX} chunks; use larger chunks")
    return refuse_texts(etag=command.etag) or _refuse_bytes(work, command, command.size - kept_bytes)


def _refuse_bytes(work: Working, command: PutFile | PatchFile, size: int) -> Rejected | None:
    """None when the bytes that the command itself brings are well described, and `size` of them."""
    if command.inline is not None:
        if command.chunks or command.replicas:
            return refused(RequestError, "a file's bytes are either inline or in chunks, not both")
        if len(command.inline) != size:
            return refused(RequestError, "the inline bytes are not as many as the file's size")
        if size > work.settings.inline_max:
            return refused(TooLarge, f"files above {work.settings.inline_max} bytes are stored in chunks")
        return None
    return refuse_chunks(command, size)


def refuse_chunks(command: Chunked, size: int) -> Rejected | None:
    """None when the chunks of the command are well described, and have `size` bytes together."""
    if len(command.replicas) != len(command.chunks):
        return refused(RequestError, "every chunk needs a list of nodes that hold it")
    if len(command.chunks) > FILE_CHUNKS_MAX:
        return refused(TooLarge, f"a file may have at most {FILE_CHUNKS_MAX} chunks; use larger chunks")
    for chunk_id, length in command.chunks:
        if len(chunk_id) != CHUNK_ID_BYTES or not 0 < length <= CHUNK_BYTES_MAX:
            return refused(RequestError, f"a chunk has an id of 32 bytes and 1 to {CHUNK_BYTES_MAX} bytes")
    if sum(length for _, length in command.chunks) != size:
        return refused(RequestError, "the chunks are not as long as the file's size")
    return None


def refuse_texts(*, etag: str = "", content_type: str = "", meta: dict[str, str] | None = None,
                 tags: dict[str, str] | None = None) -> Rejected | None:
    """None when what a version says of its file is short enough; None stands for what is not said."""
    try:
        if len(etag.encode()) > ETAG_BYTES_MAX or len(content_type.encode()) > CONTENT_TYPE_BYTES_MAX:
            return refused(TooLarge, "the entity tag or content type is too long")
        for texts in (meta, tags):
            if texts and (len(texts) > TEXTS_MAX or _texts_bytes(texts) > TEXTS_BYTES_MAX):
                return refused(TooLarge, f"at most {TEXTS_MAX} tags or metadata fields of together"
                                         f" {TEXTS_BYTES_MAX} bytes are allowed")
    except UnicodeEncodeError:
        return refused(RequestError, "a text is not valid UTF-8")
    return None


def _texts_bytes(texts: dict[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in texts.items())


def plan_chunks(work: Working, command: Chunked) -> Uses | Rejected:
    """Every distinct chunk with its copies, counting what the catalog knows and what the command brings.

    Refused when a node is unknown, a length contradicts the catalog, or a chunk has fewer copies than the write
    quorum: then the writer relied on copies that were dropped meanwhile.
    """
    uses: Uses = {}
    for (chunk_id, length), claimed in zip(command.chunks, command.replicas, strict=True):
        for node_no in claimed:
            if node_no not in work.nodes:
                return refused(NodeNotFound, node_no=node_no)
        nodes = drop_table.believed(work, chunk_id, claimed, since_seq=command.since_seq)
        use = uses.get(chunk_id)
        if use is None:
            uses[chunk_id] = ChunkUse(length, 1, merged((), nodes))
        elif use.length == length:
            use.count += 1
            use.nodes = merged(use.nodes, nodes)
        else:
            return refused(RequestError, "one chunk is listed with two lengths", chunk=chunk_id.hex())
    for chunk_id, row in chunk_table.load(work, list(uses)).items():
        use = uses[chunk_id]
        if use.length != row.length:
            return refused(RequestError, "a chunk is known with another length", chunk=chunk_id.hex())
        use.row = row
        use.nodes = merged(tuple(node for node in row.nodes if node in work.nodes), use.nodes)
    quorum = work.settings.write_quorum
    short = [chunk_id.hex() for chunk_id, use in uses.items() if len(use.nodes) < quorum]
    if short:
        return refused(ChunksMissing, chunks=short[:MISSING_NAMED_MAX], count=len(short))
    return uses


def take_manifest(work: Working, command: PutFile, bucket: Folder | None) -> bytes | Rejected | None:
    """The manifest of a put, its chunks counted; None: the bytes are inline. The last check: nothing changed before.

    `bucket` None: one that is to be made.
    """
    if command.inline is not None or not command.chunks:
        return None
    uses = plan_chunks(work, command)
    if isinstance(uses, Rejected):
        return uses
    return pack_manifest(take_chunks(work, command, uses, wanted=work.keeping(bucket).replication))


def merged(known: tuple[NodeNo, ...], more: tuple[NodeNo, ...]) -> tuple[NodeNo, ...]:
    """The union, ascending."""
    if known == more:
        return known
    return tuple(sorted({*known, *more}))


def take_chunks(work: Working, command: Chunked, uses: Uses, *, wanted: int) -> list[int]:
    """Count the references of a put that was found good; returns the chunks' numbers in order."""
    numbers: dict[ChunkId, int] = {}
    for chunk_id, use in uses.items():
        if use.row is None:
            numbers[chunk_id] = chunk_table.insert(work, chunk_id, length=use.length, refs=use.count, nodes=use.nodes,
                                                   wanted=wanted)
        else:
            chunk_table.save(work, use.row, refs=use.row.refs + use.count, nodes=use.nodes, wanted=wanted)
            numbers[chunk_id] = use.row.no
    return [numbers[chunk_id] for chunk_id, _ in command.chunks]
