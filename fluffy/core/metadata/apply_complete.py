"""Completing an upload: its parts become one version, without touching a byte or a chunk.

What the parts refer to is counted already, so their manifests are only joined: the cost is one row for each part, not
for each chunk. Parts that were not named are freed bit by bit. The answer is kept, so that whoever lost it gets it
again, with any request id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

from blake3 import blake3

from fluffy.base.errors import DigestMismatch, PartsMissing, RequestError
from fluffy.base.hashing import etag_of
from fluffy.core.metadata import chunk_table, file_body, files, objects, upload_table, versioning
from fluffy.core.metadata.commands_object_uploads import CompleteObject
from fluffy.core.metadata.commands_uploads import CompleteUpload
from fluffy.core.metadata.file_body import BLAKE3_BYTES
from fluffy.core.metadata.locks import refuse_locked
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.packing import pack_etag, pack_texts, unpack_texts
from fluffy.core.metadata.refusals import refused
from fluffy.core.metadata.upload_rules import Target, refuse_stranger, refuse_unknown, target_of
from fluffy.core.metadata.upload_table import PARTS_MAX, PartRow, UploadRow
from fluffy.core.metadata.versions import Content
from fluffy.core.metadata.working import Working

# A refusal names so many numbers.
PARTS_NAMED_MAX = 50
FINGERPRINT_BYTES = 16
# Names in the metadata of an object's session that are about the session, and end with it.
SESSION_META = "@upload-"


@dataclass(frozen=True, slots=True)
class Whole:
    """The file that the parts make. `are_all`: the session has no others. `blake3`: empty when nobody knows it."""

    parts: tuple[PartRow, ...]
    are_all: bool
    size: int
    blake3: bytes
    etag: str

    @property
    def manifest(self) -> bytes:
        return b"".join(part.manifest for part in self.parts)


def complete(work: Working, command: CompleteUpload) -> Outcome:
    """Make the version. facts: generation, created, modified_ms, path, size, etag, blake3, chunks."""
    row = upload_table.living(work, command.upload_id)
    if row is None:
        return _again(work, command)
    user_no = command.header.user_no
    refusal = refuse_stranger(work, user_no, row.path, row.user_no) or _refuse_values(command, row)
    if refusal is not None:
        return refusal
    target = target_of(work, user_no, row.path, is_object=bool(row.is_object))
    if isinstance(target, Rejected):
        return target
    refusal = (refuse_locked(work, user_no, command.lock, target.place.path)
               or files.refuse_precondition(target.current, row.if_match, bool(row.if_none_match))
               or files.refuse_precondition(target.current, command.if_match, command.if_none_match))
    if refusal is not None:
        return refusal
    whole = _whole(work, row, command)
    if isinstance(whole, Rejected):
        return whole
    refusal = files.refuse_growth(work, target.place, user_no, target.current, whole.size)
    return refusal or _store(work, command, row, target, whole)


def _store(work: Working, command: CompleteUpload, row: UploadRow, target: Target, whole: Whole) -> Accepted:
    manifest = whole.manifest
    wanted = work.keeping(target.place.bucket).replication
    if wanted > row.wanted:
        chunk_table.want(work, manifest, wanted=wanted)
    # An object's entity tag stays a text: a blob would mean that it is made of BLAKE3.
    etag = whole.etag if row.is_object else pack_etag(whole.etag)
    content = Content(whole.size, whole.blake3, etag, row.content_type, pack_texts(_meta(command, row)), row.tags,
                      manifest or None, None if manifest else b"")
    place = objects.make_folders(work, target.place, command.header.user_no) if row.is_object else target.place
    stored = files.store(work, place, command.header.user_no, target.current, content)
    if row.is_object:
        stored = versioning.told(work, place, stored)
    upload_table.take_parts(work, row.no, [part.number for part in whole.parts], are_all=whole.are_all)
    upload_table.end(work, row.no)
    upload_table.sweep(work, chunks_max=upload_table.SWEEP_CHUNKS_BY_END)
    facts = {**stored.facts, "path": row.path, "size": whole.size, "etag": whole.etag, "blake3": whole.blake3,
             "chunks": content.chunks}
    upload_table.remember(work, row, _fingerprint(command), facts)
    return Accepted(work.seq, facts)


def _again(work: Working, command: CompleteUpload) -> Outcome:
    """The session is over: the first answer, if it was completed and this is the same complete."""
    done = upload_table.finished(work, command.upload_id)
    user_no = command.header.user_no
    if done is None or done.fingerprint != _fingerprint(command):
        return refuse_unknown(work, user_no, command.upload_id)
    return refuse_stranger(work, user_no, done.path, done.user_no) or Accepted(work.seq, done.facts)


def _fingerprint(command: CompleteUpload) -> bytes:
    """What the completer said that its file is made of."""
    hasher = blake2b(b"%b %d " % (command.blake3, -1 if command.size is None else command.size),
                     digest_size=FINGERPRINT_BYTES)
    for number, proof in command.parts:
        hasher.update(b"%d %d " % (number, len(proof)) + proof)
    return hasher.digest()


def _refuse_values(command: CompleteUpload, row: UploadRow) -> Rejected | None:
    if isinstance(command, CompleteObject) != bool(row.is_object):
        return refused(RequestError, "an upload is completed by the door that began it")
    if len(command.blake3) not in (0, BLAKE3_BYTES):
        return refused(RequestError, "the file's hash must have 32 bytes, or none")
    numbers = [number for number, _ in command.parts]
    if len(numbers) > PARTS_MAX or any(later <= number for number, later in pairwise(numbers)):
        return refused(RequestError, f"parts are named once each, by ascending numbers, at most {PARTS_MAX}")
    return file_body.refuse_texts(etag=command.etag, meta=_meta(command, row))


def _meta(command: CompleteUpload, row: UploadRow) -> dict[str, str]:
    added = command.added_meta if isinstance(command, CompleteObject) else None
    if added is None:
        return unpack_texts(row.meta)
    begun = {name: text for name, text in unpack_texts(row.meta).items() if not name.startswith(SESSION_META)}
    return {**begun, **added}


def _whole(work: Working, row: UploadRow, command: CompleteUpload) -> Whole | Rejected:
    """The named parts put together, if they are what was said."""
    there = {part.number: part for part in upload_table.parts(work, row.no)}
    wanted: Sequence[tuple[int, bytes]] = command.parts
    if not wanted:
        wanted = [(number, b"") for number in range(1, max(there, default=0) + 1)]
    if not wanted:
        return refused(PartsMissing, "the upload has no parts; an empty file has one part without bytes")
    wrong = [number for number, proof in wanted if not _is(there.get(number), proof)]
    if wrong:
        return refused(PartsMissing, f"{len(wrong)} of the parts are not there, or are others; send them again",
                       parts=wrong[:PARTS_NAMED_MAX], count=len(wrong))
    parts = tuple(there[number] for number, _ in wanted)
    size = sum(part.size for part in parts)
    for said in (command.size, row.size):
        if said is not None and said != size:
            return refused(PartsMissing, f"the parts have {size} bytes together, the file shall have {said}",
                           size=size, wanted=said)
    root = parts[0].blake3 if len(parts) == 1 else command.blake3
    if command.blake3 not in (b"", root):
        return refused(DigestMismatch, "the file's hash is not that of its only part")
    return Whole(parts, len(parts) == len(there), size, root, command.etag or _etag(root, parts))


def _is(part: PartRow | None, proof: bytes) -> bool:
    return part is not None and proof in (b"", part.blake3, part.etag)


def _etag(root: bytes, parts: Sequence[PartRow]) -> str:
    """As PUT would make it; without the file's hash one of the parts' hashes, which says so by its number of parts."""
    if root:
        return etag_of(root)
    return f"{etag_of(blake3(b''.join(part.blake3 for part in parts)).digest())}-{len(parts)}"
