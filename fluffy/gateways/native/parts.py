"""Uploads in parts over HTTP: begin, put parts in any order and at once, look what is there, complete, abort.

A part's request may come to any node, also to one that has not applied the beginning yet: a session that is not known
here is looked up once more behind a barrier before anybody is told that it does not exist. To complete and to abort
are left to the log as they are: it alone knows whether that is a repetition.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from fluffy.base.errors import AccessDenied, QuerySyntax, QuotaExceeded, Unavailable, UploadFinished, UploadNotFound
from fluffy.base.ids import UserNo
from fluffy.base.paths import parse_file_path, parse_path
from fluffy.core.access.policy import Act
from fluffy.core.metadata import queries
from fluffy.core.metadata.apply_uploads import UPLOAD_ID_BYTES
from fluffy.core.metadata.model_uploads import FinishedUpload, Part, Upload
from fluffy.core.metadata.outcomes import Accepted
from fluffy.core.metadata.upload_table import PARTS_MAX
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.early import Early, room_for, with_use
from fluffy.gateways.native.exchange import Call, Point, json_answer
from fluffy.gateways.native.json_body import Fields, read_json
from fluffy.gateways.native.kept_headers import checked_headers
from fluffy.gateways.native.shapes import Json, known_hex
from fluffy.gateways.native.writing import (
    check_framing,
    checked_meta,
    checked_tags,
    checked_type,
    creates_only,
    digest_of,
    guess_type,
    if_match_of,
    one_tag,
)
from fluffy.services.part_uploads import CompleteOrder, PartUploads
from fluffy.services.uploads import Promise, PutOrder
from fluffy.wire.conditions import rfc3339

PAGE_UPLOADS_DEFAULT = 100
PAGE_UPLOADS_MAX = 1_000
# So many parts are a millisecond to read; more are read in a thread.
LOOP_PARTS_MAX = 500
HASH_BYTES = 32
ETAG_BYTES = 16
_ROOT = parse_path("/")


async def begin(desk: Desk, call: Call) -> Answer:
    """POST /v1/uploads"""
    service = _service(desk)
    fields = await read_json(call, "path", "size", "part_size", "content_type", "meta", "headers", "tags",
                             "if_match", "create_only")
    path = parse_file_path(fields.text("path"))
    desk.allow(call, Act.WRITE, path)
    content_type, if_match = fields.text_or_none("content_type"), fields.text_or_none("if_match")
    order = PutOrder(
        path.text, checked_type(content_type) if content_type else guess_type(path.name),
        {**checked_meta(fields.texts_or_none("meta") or {}), **checked_headers(fields.texts_or_none("headers") or {})},
        checked_tags(fields.texts_or_none("tags") or {}),
        if_match=one_tag(if_match) if if_match else if_match_of(call),
        if_none_match=fields.flag("create_only") or creates_only(call), lock=desk.lock_of(call))
    await desk.pulse.refuse_without_majority()
    try:
        begun = await service.begin(desk.header(call), order, size=fields.number_or_none("size"),
                                       part_size=fields.number_or_none("part_size"))
    except Unavailable as error:
        raise desk.pulse.explain(error) from error
    _learn(desk, call, begun.outcome)
    return json_answer({"id": begun.upload_id.hex(), "path": str(path), "part_size": begun.part_size,
                        "expires": rfc3339(begun.expires_ms)}, 201)


async def put_part(desk: Desk, call: Call) -> Answer:
    """PUT /v1/uploads/{id}/parts/{n}"""
    service = _service(desk)
    number = _part_number(call.params["n"])
    check_framing(call)
    md5, root = digest_of(call, "content-md5", 16), digest_of(call, "fluffy-blake3", HASH_BYTES)
    found = await _session(desk, call)
    if isinstance(found, FinishedUpload):
        raise _finished(found)
    header = desk.header(call)
    await desk.pulse.refuse_without_majority()
    with desk.uploading:
        try:
            room = await room_for(desk, call, header.request_id, lambda db: Early(None, _room(db, found, number)))
            promise = Promise(md5, root, bytes_max=room)
            stored = await service.put_part(header, found.upload_id, number, promise, call.body)
        except Unavailable as error:
            raise desk.pulse.explain(error) from error
        except QuotaExceeded as error:
            raise with_use(desk, parse_file_path(found.path).bucket, found.user_no, error) from error
    _learn(desk, call, stored.outcome)
    return json_answer({"n": number, "size": stored.size, "blake3": stored.blake3.hex(), "etag": stored.etag,
                        "expires": rfc3339(stored.outcome.facts["expires_ms"])}, 200, [("ETag", f'"{stored.etag}"')])


async def get_upload(desk: Desk, call: Call) -> Answer:
    """GET /v1/uploads/{id}"""
    found = await _session(desk, call)
    if isinstance(found, FinishedUpload):
        return json_answer({"id": found.upload_id.hex(), "path": "/" + found.path, "state": "complete",
                            "finished": rfc3339(found.finished_ms), "file": _file_json(found.facts)})
    no = found.no

    def query(db: sqlite3.Connection) -> tuple[Part, ...]:
        return queries.upload_parts(db, no, 0, PARTS_MAX)

    if found.parts <= LOOP_PARTS_MAX:
        parts = desk.reader.read(query)
    else:
        parts = await desk.reader.read_in_thread(query, call.deadline)
    return json_answer({**_upload_json(found), "parts": [
        {"n": part.number, "size": part.size, "blake3": part.blake3.hex(), "etag": part.etag,
         "stored": rfc3339(part.stored_ms)} for part in parts]})


async def list_uploads(desk: Desk, call: Call) -> Answer:
    """GET /v1/uploads; without a path those that the user began, for admins all."""
    path = parse_path(call.query.get("path", "/"))
    user_no: UserNo | None = None
    if not path.is_root:
        desk.allow(call, Act.WRITE, path)
    elif call.user.role != "admin":
        user_no = call.user.user_no
    limit = call.number("limit", PAGE_UPLOADS_DEFAULT, PAGE_UPLOADS_MAX, least=1)
    after = call.number("after", 0, 2**62)
    now_ms = desk.clock.now_ms()
    page = await desk.reader.read_in_thread(
        lambda db: queries.uploads(db, path, now_ms, after, limit, user_no), call.deadline)
    return json_answer({"uploads": [_upload_json(upload) for upload in page],
                        "after": str(page[-1].no) if len(page) == limit else None})


async def complete(desk: Desk, call: Call) -> Answer:
    """POST /v1/uploads/{id}/complete"""
    service = _service(desk)
    fields = await read_json(call, "parts", "size", "blake3")
    order = CompleteOrder(
        _upload_id(call), _named_parts(fields.values.get("parts")), fields.number_or_none("size"),
        _hash(fields.text_or_none("blake3"), HASH_BYTES), if_match=if_match_of(call), if_none_match=creates_only(call),
        lock=desk.lock_of(call))
    await desk.pulse.refuse_without_majority()
    try:
        outcome = await service.complete(desk.header(call), order)
    except Unavailable as error:
        raise desk.pulse.explain(error) from error
    _learn(desk, call, outcome)
    return json_answer(_file_json(outcome.facts), 201 if outcome.facts["created"] else 200,
                       [("ETag", f'"{outcome.facts["etag"]}"')])


async def abort(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/uploads/{id}"""
    service = _service(desk)
    upload_id = _upload_id(call)
    await desk.pulse.refuse_without_majority()
    try:
        outcome = await service.abort(desk.header(call), upload_id)
    except Unavailable as error:
        raise desk.pulse.explain(error) from error
    _learn(desk, call, outcome)
    return json_answer({"id": upload_id.hex(), "path": "/" + outcome.facts["path"],
                        "freed": outcome.facts["bytes"]})


async def _session(desk: Desk, call: Call) -> Upload | FinishedUpload:
    """The session of the address, which the user may go on with. Raises UploadNotFound, AccessDenied."""
    upload_id = _upload_id(call)
    now_ms = desk.clock.now_ms()

    def query(db: sqlite3.Connection) -> Upload | FinishedUpload | None:
        return queries.upload(db, upload_id, now_ms) or queries.finished_upload(db, upload_id)

    found = desk.reader.read(query)
    if found is None:
        await desk.gate.point("strong", None, call.deadline)
        found = desk.reader.read(query)
    if found is None:
        raise UploadNotFound
    path = parse_file_path(found.path)
    desk.allow(call, Act.WRITE, path)
    if desk.standing(call.user, path.bucket) is None and call.user.role != "admin" and (
            found.user_no != call.user.user_no):
        raise AccessDenied("somebody else began that upload")
    return found


def _room(db: sqlite3.Connection, upload: Upload, number: int) -> int | None:
    """How large the part may be for all that the quotas leave; None: any size."""
    path = parse_file_path(upload.path)
    left = queries.bytes_left(db, path.bucket, upload.user_no)
    if left is None:
        return None
    present = queries.file_head(db, path)
    replaced = sum(part.size for part in queries.upload_parts(db, upload.no, number - 1, 1) if part.number == number)
    return max(0, left + (0 if present is None else present.size) - upload.bytes + replaced)


def _service(desk: Desk) -> PartUploads:
    return PartUploads(desk.log, desk.data_path().uploads)


def _finished(found: FinishedUpload) -> UploadFinished:
    return UploadFinished(path="/" + found.path, generation=found.facts["generation"])


def _learn(desk: Desk, call: Call, outcome: Accepted) -> None:
    desk.gate.learned(outcome.seq)
    call.point = Point(outcome.seq)


def _upload_json(upload: Upload) -> Json:
    return {"id": upload.upload_id.hex(), "path": "/" + upload.path, "state": "open", "owner": upload.owner,
            "size": upload.size, "part_size": upload.part_size, "content_type": upload.content_type,
            "stored_parts": upload.parts, "stored_bytes": upload.bytes, "begun": rfc3339(upload.begun_ms),
            "expires": rfc3339(upload.expires_ms)}


def _file_json(facts: dict[str, Any]) -> Json:
    """The answer of a PUT."""
    return {"path": "/" + facts["path"], "generation": facts["generation"], "size": facts["size"],
            "etag": facts["etag"], "blake3": known_hex(facts["blake3"]), "chunks": facts["chunks"],
            "modified": rfc3339(facts["modified_ms"])}


def _upload_id(call: Call) -> bytes:
    """Raises UploadNotFound for what cannot be one."""
    text = call.params["id"]
    try:
        upload_id = bytes.fromhex(text)
    except ValueError:
        upload_id = b""
    if len(upload_id) != UPLOAD_ID_BYTES or len(text) != 2 * UPLOAD_ID_BYTES:
        raise UploadNotFound
    return upload_id


def _part_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= PARTS_MAX):
        raise QuerySyntax(f"parts have numbers from 1 to {PARTS_MAX:,}, not {text[:40]!r}")
    return int(text)


def _named_parts(value: Any) -> tuple[tuple[int, bytes], ...]:
    """`[1, 2]`, or `[{"n": 1, "blake3": "…"}]` (or `etag`), ascending. Raises QuerySyntax."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > PARTS_MAX:
        raise QuerySyntax(f"field parts is a list of at most {PARTS_MAX:,} parts")
    named: list[tuple[int, bytes]] = []
    for item in value:
        fields = Fields(item if isinstance(item, dict) else {"n": item})
        number = fields.number_or_none("n")
        if number is None or not 1 <= number <= PARTS_MAX or (named and number <= named[-1][0]):
            raise QuerySyntax(f"field parts names parts by n, from 1 to {PARTS_MAX:,}, ascending")
        named.append((number, _hash(fields.text_or_none("blake3"), HASH_BYTES)
                      or _hash(fields.text_or_none("etag"), ETAG_BYTES)))
    return tuple(named)


def _hash(text: str | None, size: int) -> bytes:
    """Of hex; empty for None. Raises QuerySyntax."""
    if text is None:
        return b""
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != size:
        raise QuerySyntax(f"a hash is written in {2 * size} hexadecimal digits")
    return digest
