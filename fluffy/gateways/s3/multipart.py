"""Objects in parts: begin, put parts in any order and at once, put them together, abort (listings: multipart_lists).

A session and its parts live in the log, so any node goes on with it (docs/decisions/015); putting together names the
parts and moves no byte. A session ends by itself UPLOAD_LEASE_MS after its last part.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Unavailable, UploadNotFound
from fluffy.base.units import DAY_MS, GIB, KIB, MIB
from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries, queries_object_uploads
from fluffy.core.metadata.apply_uploads import UPLOAD_ID_BYTES
from fluffy.core.metadata.commands_object_uploads import BeginObject, CompleteObject, PutObjectPart
from fluffy.core.metadata.commands_uploads import AbortUpload
from fluffy.core.metadata.outcomes import Accepted
from fluffy.core.metadata.own_meta import PART_SUMS, PARTS, SUM, SUM_TYPE
from fluffy.core.metadata.queries_object_uploads import ObjectPart, ObjectUpload
from fluffy.core.metadata.upload_table import PARTS_MAX
from fluffy.gateways.http.exchange import Answer, Headers
from fluffy.gateways.native.exchange import Point
from fluffy.gateways.s3.answers import empty_answer, xml_answer
from fluffy.gateways.s3.body import Watch
from fluffy.gateways.s3.call import S3Call
from fluffy.gateways.s3.door import S3Door
from fluffy.gateways.s3.lifecycle import abort_headers
from fluffy.gateways.s3.naming import content_type_of, meta_of, tags_of
from fluffy.gateways.s3.parts import fitting, packed_parts
from fluffy.gateways.s3.versions import stored_headers
from fluffy.gateways.s3.writing import write_conditions
from fluffy.gateways.s3.writing_paths import object_path_of
from fluffy.ports import since_of
from fluffy.services.uploads import COMMIT_AFTER_CHUNKS_TIMEOUT_S, BodySource, Promise
from fluffy.wire import s3_checksums
from fluffy.wire.s3_documents import CHECKSUM_ELEMENTS, CompletedPart, parse_complete
from fluffy.wire.s3_errors import S3Error
from fluffy.wire.s3_xml import XML_BYTES_MAX, Node

# Every part renews it; what lives longer without one was forgotten.
UPLOAD_LEASE_MS = 7 * DAY_MS
PART_BYTES_MAX = 5 * GIB
# S3's rule for all parts but the last.
PART_BYTES_MIN = 5 * MIB
# What a client that asks us is told; S3's tell nothing.
PART_SIZE = 8 * MIB
# Above that a document is read in a thread.
LOOP_XML_BYTES_MAX = 64 * KIB
# More runs of different sizes than that are not kept: then the object's parts cannot be read one by one.
PARTS_TEXT_MAX = 2 * KIB
# In a session's metadata, until it is complete: `crc32/COMPOSITE`.
SESSION_SUM = "@upload-sum"


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a session's checksum is made by. `kind`: FULL_OBJECT or COMPOSITE."""

    algorithm: str
    kind: str
    is_asked: bool

    @property
    def headers(self) -> Headers:
        return [("x-amz-checksum-algorithm", self.algorithm.upper()), ("x-amz-checksum-type", self.kind)]


async def create_upload(door: S3Door, call: S3Call) -> Answer:
    """POST ?uploads"""
    facts = door.allow(call, Act.WRITE)
    path = object_path_of(call)
    checksum = _wanted_checksum(call)
    meta = {**meta_of(call.headers), SESSION_SUM: f"{checksum.algorithm}/{checksum.kind}/{int(checksum.is_asked)}"}
    upload_id = os.urandom(UPLOAD_ID_BYTES)
    outcome = await door.desk.propose(BeginObject(
        door.desk.header(call), upload_id, path.text, UPLOAD_LEASE_MS, PART_SIZE, None, content_type_of(call.headers),
        meta, tags_of(call.headers)))
    call.point = Point(outcome.seq)
    return xml_answer("InitiateMultipartUploadResult", [
        ("Bucket", call.bucket), ("Key", call.key), ("UploadId", outcome.facts["upload_id"].hex())],
        headers=[*(checksum.headers if checksum.is_asked else []),
                 *abort_headers(facts, call.key, door.desk.clock.now_ms())])


def _wanted_checksum(call: S3Call) -> Checksum:
    """Raises S3Error."""
    algorithm, kind = call.headers.get("x-amz-checksum-algorithm"), call.headers.get("x-amz-checksum-type")
    if algorithm is None:
        if kind is not None:
            raise S3Error("InvalidRequest", 400, "The x-amz-checksum-type header can only be used with the"
                                                 " x-amz-checksum-algorithm header.")
        return Checksum(s3_checksums.DEFAULT_ALGORITHM, s3_checksums.FULL_OBJECT, False)
    name = s3_checksums.algorithm_of(algorithm)
    kind = s3_checksums.default_type(name) if kind is None else kind.upper()
    if not s3_checksums.is_possible(name, kind):
        raise S3Error("InvalidRequest", 400, f"The {kind[:20]} checksum type cannot be used with the {name} checksum"
                                             " algorithm.")
    return Checksum(name, kind, True)


def checksum_of(upload: ObjectUpload) -> Checksum:
    algorithm, kind, is_asked = upload.meta[SESSION_SUM].split("/")
    return Checksum(algorithm, kind, is_asked == "1")


async def upload_part(door: S3Door, call: S3Call) -> Answer:
    """PUT ?partNumber&uploadId"""
    door.allow(call, Act.WRITE)
    number = part_number(call)
    if call.body.length is None:
        raise S3Error("MissingContentLength", 411, "You must provide the Content-Length HTTP header.")
    if call.body.length > PART_BYTES_MAX:
        raise S3Error("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size",
                      ProposedSize=call.body.length, MaxSizeAllowed=PART_BYTES_MAX)
    upload = await session_of(door, call)
    expected = checksum_of(upload)
    if call.watch.is_asked and expected.is_asked and call.watch.algorithm != expected.algorithm:
        raise S3Error("InvalidRequest", 400, f"Checksum Type mismatch occurred, expected checksum Type:"
                                             f" {expected.algorithm}, actual checksum Type: {call.watch.algorithm}")
    if call.watch.is_asked:
        call.watch.also(expected.algorithm)  # where nobody chose one for the whole, it has S3's own
    else:
        call.watch.use(expected.algorithm)
    await store_part(door, call, upload, number, call.body, call.watch)
    return empty_answer(200, [
        ("ETag", f'"{call.watch.md5.hex()}"'),
        (s3_checksums.header_of(call.watch.algorithm), s3_checksums.encode(call.watch.checksum))])


async def store_part(door: S3Door, call: S3Call, upload: ObjectUpload, number: int, body: BodySource,
                     watch: Watch) -> None:
    """Make the body a part of the session. Raises S3Error and what the log says."""
    desk = door.desk
    header, uploads = desk.header(call), desk.data_path().uploads
    await desk.pulse.refuse_without_majority()
    with desk.uploading:
        try:
            stored = await uploads.store(Promise(bytes_max=_room(door, call), watch=watch), body)
            watch.check()
            command = PutObjectPart(
                header, upload.upload_id, number, stored.size, stored.blake3, watch.md5.hex(),
                tuple((chunk.chunk_id, chunk.length) for chunk in stored.chunks),
                tuple(chunk.replicas for chunk in stored.chunks), since_of(stored.chunks),
                watch.sums)
            outcome = await desk.log.propose(command, Deadline.after(COMMIT_AFTER_CHUNKS_TIMEOUT_S))
        except Unavailable as error:
            raise desk.pulse.explain(error) from error
    _learn(door, call, outcome)


def _room(door: S3Door, call: S3Call) -> int | None:
    """How much the quotas leave at most, as far as this node knows; the log decides."""
    path = call.path

    def look(db: sqlite3.Connection) -> int | None:
        left = queries.bytes_left(db, path.bucket, call.user.user_no)
        present = None if left is None else queries.file_head(db, path)
        return left if left is None or present is None else left + present.size

    return door.desk.reader.read(look)


async def complete_upload(door: S3Door, call: S3Call) -> Answer:
    """POST ?uploadId"""
    door.allow(call, Act.WRITE)
    upload_id = upload_id_of(call)
    data = await door.read_body(call, XML_BYTES_MAX)
    named = parse_complete(data) if len(data) <= LOOP_XML_BYTES_MAX else await asyncio.to_thread(parse_complete, data)
    if_match, if_none_match = write_conditions(call)
    proofs = tuple((part.number, _md5_bytes(part)) for part in named)
    try:
        upload = await session_of(door, call)
    except UploadNotFound:
        # Perhaps it is complete, and its answer was lost: the log knows.
        outcome = await _propose(door, call, CompleteObject(door.desk.header(call), upload_id, proofs))
        return _completed(door, call, outcome, [], stored_headers(outcome.facts))
    whole = await _whole_of(door, call, upload, named)
    outcome = await _propose(door, call, CompleteObject(
        door.desk.header(call), upload_id, proofs, None, b"", whole.etag, if_match, if_none_match, b"",
        whole.meta))
    return _completed(door, call, outcome, whole.nodes,
                      stored_headers(outcome.facts))


@dataclass(frozen=True, slots=True)
class _Whole:
    """What the named parts make. `meta`: what the object's metadata gets of that; `nodes`: for the answer."""

    etag: str
    meta: dict[str, str]
    nodes: list[Node]


async def _whole_of(door: S3Door, call: S3Call, upload: ObjectUpload, named: Sequence[CompletedPart]) -> _Whole:
    """Raises S3Error for parts that are not there, not those that are named, or too small."""
    there = await _parts_of(door, call, upload)
    if not all(_fits(there.get(part.number), part) for part in named):
        # One of them came a moment ago, perhaps, by another node: only the newest state may say that it did not.
        await door.desk.gate.point("strong", None, call.deadline)
        there = await _parts_of(door, call, upload)
    parts = [_checked(there.get(part.number), part) for part in named]
    for part in parts[:-1]:
        if part.size < PART_BYTES_MIN:
            raise S3Error("EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size",
                          ProposedSize=part.size, MinSizeAllowed=PART_BYTES_MIN, PartNumber=part.number, ETag=part.md5)
    size = sum(part.size for part in parts)
    said = call.headers.get("x-amz-mp-object-size")
    if said is not None and said != str(size):
        raise S3Error("InvalidRequest", 400, "The provided 'x-amz-mp-object-size' header value does not match what was"
                                             " computed")
    md5 = hashlib.md5(b"".join(bytes.fromhex(part.md5) for part in parts), usedforsecurity=False).hexdigest()
    meta, nodes = _checksum_of_whole(call, checksum_of(upload), parts)
    packed = packed_parts([part.size for part in parts])
    if len(packed) <= PARTS_TEXT_MAX:
        meta = _with_part_sums(upload, {**meta, PARTS: packed}, parts)
    return _Whole(f"{md5}-{len(parts)}", meta, nodes)


def _with_part_sums(upload: ObjectUpload, meta: dict[str, str], parts: list[ObjectPart]) -> dict[str, str]:
    """And the checksums of the parts, where a client asked for them and there is room."""
    checksum = checksum_of(upload)
    if not checksum.is_asked or any(checksum.algorithm not in part.sums for part in parts):
        return meta
    sums = ",".join(part.sums[checksum.algorithm] for part in parts)
    return meta if PART_SUMS not in fitting({**upload.meta, **meta, PART_SUMS: sums}) else {**meta, PART_SUMS: sums}


async def _parts_of(door: S3Door, call: S3Call, upload: ObjectUpload) -> dict[int, ObjectPart]:
    """By number, as this node knows them."""
    no = upload.no
    stored = await door.desk.reader.read_in_thread(
        lambda db: queries_object_uploads.object_parts(db, no, 0, PARTS_MAX), call.deadline)
    return {part.number: part for part in stored}


def _fits(part: ObjectPart | None, named: CompletedPart) -> bool:
    return part is not None and named.etag.lower() == part.md5 and all(
        part.sums.get(algorithm, text) == text for algorithm, text in named.checksums.items())


def _checked(part: ObjectPart | None, named: CompletedPart) -> ObjectPart:
    if part is None or not _fits(part, named):
        raise S3Error("InvalidPart", 400, "One or more of the specified parts could not be found. The part might not"
                                          " have been uploaded, or the specified entity tag might not have matched the"
                                          " part's entity tag.", PartNumber=named.number, ETag=named.etag[:100])
    return part


def _checksum_of_whole(call: S3Call, checksum: Checksum, parts: list[ObjectPart]) -> tuple[dict[str, str], list[Node]]:
    """What is kept of it, and what is answered. Raises S3Error when the client says another one."""
    algorithm = checksum.algorithm
    _check_other_promises(call, checksum, parts)
    if any(algorithm not in part.sums for part in parts):
        return {}, []
    sums = [s3_checksums.decode(algorithm, part.sums[algorithm]) for part in parts]
    if checksum.kind == s3_checksums.FULL_OBJECT:
        digest = s3_checksums.combined(algorithm, zip(sums, (part.size for part in parts), strict=True))
        text = s3_checksums.encode(digest)
    else:
        digest, count = s3_checksums.composite(algorithm, sums)
        text = f"{s3_checksums.encode(digest)}-{count}"
    said = call.headers.get(s3_checksums.header_of(algorithm))
    if said is not None and s3_checksums.decode_composite(algorithm, said)[0] != digest:
        raise S3Error("BadDigest", 400, f"The {algorithm} you specified did not match the calculated checksum.")
    return ({SUM + algorithm: text, SUM_TYPE: checksum.kind},
            [(CHECKSUM_ELEMENTS[algorithm], text), ("ChecksumType", checksum.kind)])


def _check_other_promises(call: S3Call, checksum: Checksum, parts: list[ObjectPart]) -> None:
    """Raise S3Error for a checksum of the whole that is not of the session's kind, and not of the parts' either."""
    for algorithm in s3_checksums.ALGORITHMS:
        said = call.headers.get(s3_checksums.header_of(algorithm))
        if said is None or algorithm == checksum.algorithm:
            continue
        digest, _ = s3_checksums.decode_composite(algorithm, said)
        if checksum.is_asked or any(algorithm not in part.sums for part in parts):
            raise S3Error("InvalidRequest", 400, f"The upload was created using the {checksum.algorithm} checksum"
                                                 f" mode. The complete request must use the same checksum mode, not"
                                                 f" {algorithm}.")
        sums = [s3_checksums.decode(algorithm, part.sums[algorithm]) for part in parts]
        possible = [s3_checksums.composite(algorithm, sums)[0]]
        if s3_checksums.can_be_full_object(algorithm):
            possible.append(s3_checksums.combined(algorithm, zip(sums, (part.size for part in parts), strict=True)))
        if digest not in possible:
            raise S3Error("BadDigest", 400, f"The {algorithm} you specified did not match the calculated checksum.")


def _completed(door: S3Door, call: S3Call, outcome: Accepted, nodes: list[Node], headers: Headers) -> Answer:
    host = call.headers.get("host", "")
    return xml_answer("CompleteMultipartUploadResult", [
        ("Location", f"{door.desk.scheme}://{host}{call.raw_path}"), ("Bucket", call.bucket), ("Key", call.key),
        ("ETag", f'"{outcome.facts["etag"]}"'), *nodes], headers=headers)


async def abort_upload(door: S3Door, call: S3Call) -> Answer:
    """DELETE ?uploadId"""
    door.allow(call, Act.WRITE)
    upload = await session_of(door, call)
    outcome = await door.desk.propose(AbortUpload(door.desk.header(call), upload.upload_id))
    call.point = Point(outcome.seq)
    return empty_answer(204)


async def session_of(door: S3Door, call: S3Call) -> ObjectUpload:
    """The session that the call names, which must be for its object. Raises UploadNotFound."""
    upload_id, path, desk = upload_id_of(call), object_path_of(call), door.desk
    now_ms = desk.clock.now_ms()

    def look(db: sqlite3.Connection) -> ObjectUpload | None:
        return queries_object_uploads.object_upload(db, upload_id, now_ms)

    found = desk.reader.read(look)
    if found is None:  # begun a moment ago, at another node
        await desk.gate.point("strong", None, call.deadline)
        found = desk.reader.read(look)
    if found is None or found.path != path.text:
        raise UploadNotFound
    return found


def upload_id_of(call: S3Call) -> bytes:
    """Raises UploadNotFound for what cannot be one."""
    text = call.query.get("uploadId", "")
    try:
        upload_id = bytes.fromhex(text)
    except ValueError:
        upload_id = b""
    if len(upload_id) != UPLOAD_ID_BYTES or upload_id.hex() != text:
        raise UploadNotFound
    return upload_id


def part_number(call: S3Call) -> int:
    """Raises S3Error."""
    text = call.query.get("partNumber", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= PARTS_MAX):
        raise S3Error("InvalidArgument", 400, f"Part number must be an integer between 1 and {PARTS_MAX}, inclusive",
                      ArgumentName="partNumber", ArgumentValue=text[:100])
    return int(text)


def _md5_bytes(part: CompletedPart) -> bytes:
    try:
        digest = bytes.fromhex(part.etag)
    except ValueError:
        digest = b""
    if len(digest) != hashlib.md5(usedforsecurity=False).digest_size:
        raise S3Error("InvalidPart", 400, "One or more of the specified parts could not be found. The part might not"
                                          " have been uploaded, or the specified entity tag might not have matched the"
                                          " part's entity tag.", PartNumber=part.number, ETag=part.etag[:100])
    return digest


async def _propose(door: S3Door, call: S3Call, command: CompleteObject) -> Accepted:
    desk = door.desk
    await desk.pulse.refuse_without_majority()
    try:
        outcome = await desk.log.propose(command, Deadline.after(COMMIT_AFTER_CHUNKS_TIMEOUT_S))
    except Unavailable as error:
        raise desk.pulse.explain(error) from error
    _learn(door, call, outcome)
    return outcome


def _learn(door: S3Door, call: S3Call, outcome: Accepted) -> None:
    door.desk.gate.learned(outcome.seq)
    call.point = Point(outcome.seq)
