"""Uploads in parts: begin, put a part, abort, expire. Completing is in `apply_complete`.

Who may write in the bucket may go on with a session there; while there is no bucket, only who began it. Rights, quotas
and what stands at the path are asked with every part, so that nobody sends gigabytes for nothing; locks and conditions
at the beginning and, for good, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fluffy.base.errors import RequestError, TooLarge
from fluffy.base.ids import UserNo
from fluffy.base.units import DAY_MS, SECOND_MS
from fluffy.core.metadata import apply_complete, chunk_table, file_body, files, quotas, upload_table
from fluffy.core.metadata.commands_object_uploads import BeginObject, CompleteObject, PutObjectPart
from fluffy.core.metadata.commands_uploads import AbortUpload, BeginUpload, CompleteUpload, ExpireUploads, PutPart
from fluffy.core.metadata.file_body import BLAKE3_BYTES, FILE_CHUNKS_MAX
from fluffy.core.metadata.locks import refuse_locked
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.packing import pack_etag, pack_manifest, pack_texts
from fluffy.core.metadata.refusals import refuse_operator, refuse_term, refused
from fluffy.core.metadata.upload_rules import Target, refuse_stranger, refuse_unknown, target_of
from fluffy.core.metadata.upload_table import PARTS_MAX, PartRow, UploadRow
from fluffy.core.metadata.versions import SWEEP_CHUNKS_MAX
from fluffy.core.metadata.working import Working

UPLOAD_ID_BYTES = 16
# Shorter, a part would still be on its way when its session ends; longer, forgotten bytes take room for ever.
LEASE_MIN_MS = SECOND_MS
LEASE_MAX_MS = 30 * DAY_MS
SIZE_MAX = (1 << 63) - 1
# One command ends at most so many sessions, whatever the leader asks.
EXPIRE_UPLOADS_MAX = 1_000


def begin(work: Working, command: BeginUpload) -> Outcome:
    """Open a session. facts: upload_id, part_size, expires_ms."""
    refusal = _refuse_values(work, command)
    if refusal is not None:
        return refusal
    user_no = command.header.user_no
    is_object = isinstance(command, BeginObject)
    target = target_of(work, user_no, command.path, is_object=is_object)
    if isinstance(target, Rejected):
        return target
    place = target.place
    refusal = (refuse_locked(work, user_no, command.lock, place.path)
               or files.refuse_precondition(target.current, command.if_match, command.if_none_match)
               or files.refuse_growth(work, place, user_no, target.current, command.size or 0))
    if refusal is None and upload_table.is_full(work, user_no):
        refusal = refused(TooLarge, f"a user has at most {upload_table.UPLOADS_OF_USER_MAX:,} unfinished uploads, all"
                                    f" together {upload_table.UPLOADS_MAX:,}; complete or abort some")
    if refusal is not None:
        return refusal
    upload_table.end_expired(work, limit=upload_table.SWEEP_UPLOADS_BY_BEGIN)
    bucket = place.bucket
    row = UploadRow(
        work.next_no(), command.upload_id, place.path, user_no, 0 if bucket is None else bucket.no,
        user_no if bucket is None else bucket.owner_no, command.lease_ms, work.clock_ms + command.lease_ms,
        work.clock_ms, command.part_size, command.size, command.content_type, pack_texts(command.meta),
        pack_texts(command.tags), command.if_match, int(command.if_none_match), work.keeping(bucket).replication,
        0, 0, 0, int(is_object))
    upload_table.insert(work, row)
    work.seq += 1
    return Accepted(work.seq, {"upload_id": row.upload_id, "part_size": row.part_size, "expires_ms": row.expires_ms})


def _refuse_values(work: Working, command: BeginUpload) -> Rejected | None:
    if len(command.upload_id) != UPLOAD_ID_BYTES:
        return refused(RequestError, f"an upload is named by {UPLOAD_ID_BYTES} bytes")
    if upload_table.is_known(work, command.upload_id):
        return refused(RequestError, "an upload of that name was begun already; choose another one")
    if not LEASE_MIN_MS <= command.lease_ms <= LEASE_MAX_MS:
        return refused(RequestError, f"an upload waits {LEASE_MIN_MS} to {LEASE_MAX_MS} ms for its next part")
    if not 0 < command.part_size <= SIZE_MAX or not 0 <= (command.size or 0) <= SIZE_MAX:
        return refused(RequestError, "the size of the file or of its parts is out of range")
    try:
        if command.if_match is not None and len(command.if_match.encode()) > file_body.ETAG_BYTES_MAX:
            return refused(RequestError, "that is no entity tag")
    except UnicodeEncodeError:
        return refused(RequestError, "a text is not valid UTF-8")
    return file_body.refuse_texts(content_type=command.content_type, meta=command.meta, tags=command.tags)


def put_part(work: Working, command: PutPart) -> Outcome:
    """Store a part, in the place of the one that had its number. facts: expires_ms, replaced."""
    user_no = command.header.user_no
    row = upload_table.living(work, command.upload_id)
    if row is None:
        return refuse_unknown(work, user_no, command.upload_id)
    refusal = refuse_stranger(work, user_no, row.path, row.user_no) or _refuse_part(command, row)
    if refusal is not None:
        return refusal
    target = target_of(work, user_no, row.path, is_object=bool(row.is_object))
    if isinstance(target, Rejected):
        return target
    old = upload_table.part(work, row.no, command.number)
    refusal = _refuse_holding(work, row, target, command, old)
    if refusal is not None:
        return refusal
    uses = file_body.plan_chunks(work, command)
    if isinstance(uses, Rejected):
        return uses
    wanted = work.keeping(target.place.bucket).replication
    manifest = pack_manifest(file_body.take_chunks(work, command, uses, wanted=wanted))
    if old is not None:
        chunk_table.release(work, old.manifest)
    upload_table.put_part(work, row.no, PartRow(
        command.number, command.size, command.blake3, pack_etag(command.etag), work.clock_ms, manifest,
        pack_texts(command.sums or {}) if isinstance(command, PutObjectPart) else None))
    row.parts += old is None
    row.chunks += len(command.chunks) - (0 if old is None else old.chunks)
    row.bytes += command.size - (0 if old is None else old.size)
    row.wanted = min(row.wanted, wanted)
    row.expires_ms = max(row.expires_ms, work.clock_ms + row.lease_ms)
    upload_table.save(work, row)
    work.seq += 1
    return Accepted(work.seq, {"expires_ms": row.expires_ms, "replaced": old is not None})


def _refuse_part(command: PutPart, row: UploadRow) -> Rejected | None:
    if isinstance(command, PutObjectPart) != bool(row.is_object):
        return refused(RequestError, "an upload goes on through the door that began it")
    if not 1 <= command.number <= PARTS_MAX:
        return refused(RequestError, f"parts have numbers from 1 to {PARTS_MAX}")
    if len(command.blake3) != BLAKE3_BYTES:
        return refused(RequestError, "the part's hash must have 32 bytes")
    sums = command.sums if isinstance(command, PutObjectPart) else None
    return file_body.refuse_texts(etag=command.etag, meta=sums) or file_body.refuse_chunks(command, command.size)


def _refuse_holding(work: Working, row: UploadRow, target: Target, command: PutPart,
                    old: PartRow | None) -> Rejected | None:
    """None when the session may hold this part too: what it is to be must fit into one file, and into the quotas.

    What unfinished sessions hold takes room on the disks, so it counts until they end. Also notes who pays.
    """
    bucket = target.place.bucket
    row.bucket_no, row.payer_no = (0, row.user_no) if bucket is None else (bucket.no, bucket.owner_no)
    if row.chunks + len(command.chunks) - (0 if old is None else old.chunks) > FILE_CHUNKS_MAX:
        return refused(TooLarge, f"a file may have at most {FILE_CHUNKS_MAX} chunks; use larger parts")
    size = row.bytes + command.size - (0 if old is None else old.size)
    accounts = [work.accounts.user(row.payer_no)] + ([] if bucket is None else [work.accounts.bucket(bucket.no)])
    if all(account.bytes_max is None and account.files_max is None for account in accounts):
        return None
    current = target.current
    return quotas.refuse_growth(work, bucket, UserNo(row.payer_no), files=1 if current is None else 0,
                                size=size - (0 if current is None else current.size),
                                held=upload_table.held_by_others(work, row))


def abort(work: Working, command: AbortUpload) -> Outcome:
    """End a session. facts: path, bytes (what it held)."""
    user_no = command.header.user_no
    row = upload_table.living(work, command.upload_id)
    if row is None:
        return refuse_unknown(work, user_no, command.upload_id)
    refusal = refuse_stranger(work, user_no, row.path, row.user_no)
    if refusal is not None:
        return refusal
    upload_table.end(work, row.no)
    upload_table.sweep(work, chunks_max=upload_table.SWEEP_CHUNKS_BY_END)
    work.seq += 1
    return Accepted(work.seq, {"path": row.path, "bytes": row.bytes})


def expire(work: Working, command: ExpireUploads) -> Outcome:
    """End sessions whose lease is over, and free what ended ones held. facts: ended, freed (parts), more."""
    refusal = refuse_operator(work, command.header.user_no) or refuse_term(work, command.term)
    if refusal is not None:
        return refusal
    limit = min(command.limit, EXPIRE_UPLOADS_MAX)
    ended = upload_table.end_expired(work, limit=limit)
    freed, more_parts = upload_table.sweep(work, chunks_max=SWEEP_CHUNKS_MAX)
    if ended or freed:
        work.seq += 1
    return Accepted(work.seq, {"ended": ended, "freed": freed, "more": more_parts or 0 < limit == ended})


HANDLERS: Mapping[int, Callable[[Working, Any], Outcome]] = {
    BeginUpload.KIND: begin,
    BeginObject.KIND: begin,
    PutPart.KIND: put_part,
    PutObjectPart.KIND: put_part,
    CompleteUpload.KIND: apply_complete.complete,
    CompleteObject.KIND: apply_complete.complete,
    AbortUpload.KIND: abort,
    ExpireUploads.KIND: expire,
}
