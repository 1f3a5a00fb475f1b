"""Changing the tree over HTTP: move, copy, delete, touch, tags, metadata. Each is one command: all or nothing."""

from __future__ import annotations

from fluffy.base.errors import IsFolder, PreconditionFailed, QuerySyntax
from fluffy.base.hashing import EMPTY_ROOT, etag_of
from fluffy.base.paths import RemotePath, parse_file_path, parse_path
from fluffy.core.access.policy import Act
from fluffy.core.metadata.commands import DeleteFile, PutFile, RemoveFolder
from fluffy.core.metadata.commands_tree import Copy, DeleteFolder, Move, PurgeVersion, SetMeta, SetTags, TouchFile
from fluffy.gateways.http.exchange import Answer
from fluffy.gateways.native.answers import version_answer
from fluffy.gateways.native.desk import Desk
from fluffy.gateways.native.exchange import Call, Point, json_answer
from fluffy.gateways.native.folders import folder_path
from fluffy.gateways.native.json_body import Fields, read_json, read_object
from fluffy.gateways.native.writing import (
    checked_meta,
    checked_tags,
    checked_type,
    creates_only,
    guess_type,
    if_match_of,
    one_tag,
    refuse_creates_only,
)


async def move(desk: Desk, call: Call) -> Answer:
    """POST /v1/move {src, dst, overwrite, parents, if_match, if_dst_match}"""
    refuse_creates_only(call)
    fields = await read_json(call, "src", "dst", "overwrite", "parents", "if_match", "if_dst_match")
    src, dst = parse_path(fields.text("src")), parse_path(fields.text("dst"))
    for path in (src, dst):
        desk.allow(call, _act_on(path), path)
    outcome = await desk.propose(Move(
        desk.header(call), _with_slash(src, fields.text("src")), _with_slash(dst, fields.text("dst")),
        fields.flag("overwrite"), fields.flag("parents", default=True), _tag(fields, "if_match") or if_match_of(call),
        _tag(fields, "if_dst_match"), desk.lock_of(call)))
    call.point = Point(outcome.seq)
    return json_answer({"path": str(dst), "src": str(src), **outcome.facts})


async def copy(desk: Desk, call: Call) -> Answer:
    """POST /v1/copy {src, dst, overwrite, parents, generation, meta, tags, content_type, if_match, if_dst_match}"""
    refuse_creates_only(call)
    fields = await read_json(call, "src", "dst", "overwrite", "parents", "generation", "meta", "tags", "content_type",
                             "if_match", "if_dst_match")
    src, dst = parse_path(fields.text("src")), parse_path(fields.text("dst"))
    desk.allow(call, Act.READ, src)
    desk.allow(call, Act.WRITE, dst)
    meta, tags, content_type = (fields.texts_or_none("meta"), fields.texts_or_none("tags"),
                                fields.text_or_none("content_type"))
    outcome = await desk.propose(Copy(
        desk.header(call), _with_slash(src, fields.text("src")), _with_slash(dst, fields.text("dst")),
        fields.number("generation", 0), fields.flag("overwrite"), fields.flag("parents", default=True),
        _tag(fields, "if_match") or if_match_of(call), _tag(fields, "if_dst_match"),
        None if meta is None else checked_meta(meta), None if tags is None else checked_tags(tags),
        None if content_type is None else checked_type(content_type), desk.lock_of(call)),
        is_large=True)
    if outcome.facts["kind"] == "file":
        return await version_answer(desk, call, dst, outcome, src=str(src), kind="file")
    call.point = Point(outcome.seq)
    return json_answer({"path": str(dst), "src": str(src), **outcome.facts}, 201 if outcome.facts["created"] else 200)


async def delete_file(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/files/{path}; ?purge=1 for good, ?recursive=1 also a folder, ?generation=N one old generation."""
    refuse_creates_only(call)
    if "generation" in call.query:
        return await _purge_generation(desk, call)
    is_recursive, purge, if_match = call.flag("recursive"), call.flag("purge"), if_match_of(call)
    path = parse_path(call.tail) if is_recursive else parse_file_path(call.tail)
    if is_recursive and (path.is_bucket or call.tail.endswith("/")):
        return await remove_folder(desk, call)
    desk.allow(call, Act.WRITE, path)
    lock = desk.lock_of(call)
    try:
        outcome = await desk.propose(DeleteFile(desk.header(call), path.text, purge, if_match, lock))
    except IsFolder as error:
        if is_recursive and if_match is None:
            return await _delete_folder(desk, call, path, purge=purge, part="folder")
        if not is_recursive:
            error.message = f"{path} is a folder; ?recursive=1 deletes it with all it holds"
        raise
    call.point = Point(outcome.seq)
    return json_answer({"path": str(path), "generation": outcome.facts["generation"], "purged": purge})


async def _purge_generation(desk: Desk, call: Call) -> Answer:
    path = parse_file_path(call.tail)
    generation = call.number("generation", 0, 2**62, least=1)
    if not call.flag("purge") or call.flag("recursive") or if_match_of(call) is not None:
        raise QuerySyntax("?generation=N goes with ?purge=1 alone: it frees one old generation for good")
    desk.allow(call, Act.WRITE, path)
    desk.allow(call, Act.READ, path)
    outcome = await desk.propose(PurgeVersion(desk.header(call), path.text, generation, desk.lock_of(call)))
    call.point = Point(outcome.seq)
    return json_answer({"path": str(path), "generation": generation, "purged": True})


async def remove_folder(desk: Desk, call: Call) -> Answer:
    """DELETE /v1/dirs/{path}: an empty one, or with ?recursive=1 with all it holds."""
    refuse_creates_only(call)
    path = folder_path(call)
    if if_match_of(call) is not None:
        raise QuerySyntax("If-Match is about a file; a folder has no entity tag")
    desk.allow(call, _act_on(path), path)
    purge = call.flag("purge")
    if call.flag("recursive"):
        return await _delete_folder(desk, call, path, purge=purge)
    if purge:
        raise QuerySyntax("?purge=1 of a folder goes with ?recursive=1: an empty one leaves nothing behind")
    outcome = await desk.propose(RemoveFolder(desk.header(call), path.text, desk.lock_of(call)))
    call.point = Point(outcome.seq)
    return json_answer({"path": str(path), "removed": True, "files": 0, "bytes": 0, "purged": False})


async def _delete_folder(desk: Desk, call: Call, path: RemotePath, *, purge: bool, part: str = "") -> Answer:
    outcome = await desk.propose(DeleteFolder(desk.header(call, part), path.text, purge, desk.lock_of(call)))
    call.point = Point(outcome.seq)
    return json_answer({"path": str(path), "removed": True, "purged": purge, **outcome.facts})


async def touch(desk: Desk, call: Call) -> Answer:
    """POST /v1/files/{path}?touch: an empty file, or a new generation of the same bytes, modified now."""
    path = parse_file_path(call.tail)
    desk.allow(call, Act.WRITE, path)
    if_match, lock = if_match_of(call), desk.lock_of(call)
    if if_match is None:
        # First as if nothing were there, so that a repeated request goes the same way as the first time.
        new = PutFile(desk.header(call), path.text, 0, EMPTY_ROOT, etag_of(EMPTY_ROOT), guess_type(path.name),
                      {}, {}, b"", (), (), if_none_match=True, lock=lock)
        try:
            return await version_answer(desk, call, path, await desk.propose(new))
        except PreconditionFailed:
            if creates_only(call):
                raise
    refuse_creates_only(call)
    command = TouchFile(desk.header(call, "touch"), path.text, if_match=if_match, lock=lock)
    return await version_answer(desk, call, path, await desk.propose(command))


async def set_tags(desk: Desk, call: Call) -> Answer:
    """PUT /v1/tags/{path} {"k": "v"} or {"tags": {"k": "v"}}: these instead of those that are there."""
    path = _changed_file(desk, call)
    fields = Fields(await read_object(call, needed=True))
    is_wrapped = isinstance(fields.values.get("tags"), dict) and len(fields.values) == 1
    tags = checked_tags((fields.texts_or_none("tags") or {}) if is_wrapped else fields.all_texts())
    outcome = await desk.propose(SetTags(desk.header(call), path.text, tags, if_match_of(call), desk.lock_of(call)))
    call.point = Point(outcome.seq)
    return json_answer({"path": str(path), "generation": outcome.facts["generation"],
                        "meta_version": outcome.facts["meta_version"], "tags": tags})


async def set_meta(desk: Desk, call: Call) -> Answer:
    """PUT /v1/meta/{path} {"k": "v"} or {"meta": {"k": "v"}, "content_type": T}: these instead of those there are."""
    path = _changed_file(desk, call)
    fields = Fields(await read_object(call, needed=True))
    is_wrapped = isinstance(fields.values.get("meta"), dict) and set(fields.values) <= {"meta", "content_type"}
    meta = checked_meta((fields.texts_or_none("meta") or {}) if is_wrapped else fields.all_texts())
    content_type = fields.text_or_none("content_type") if is_wrapped else None
    if content_type is not None:
        content_type = checked_type(content_type)
    outcome = await desk.propose(SetMeta(desk.header(call), path.text, meta, content_type, if_match_of(call),
                                         desk.lock_of(call)))
    call.point = Point(outcome.seq)
    answer = {"path": str(path), "generation": outcome.facts["generation"],
              "meta_version": outcome.facts["meta_version"], "meta": meta}
    return json_answer(answer if content_type is None else answer | {"content_type": content_type})


def _changed_file(desk: Desk, call: Call) -> RemotePath:
    path = parse_file_path(call.tail)
    desk.allow(call, Act.WRITE, path)
    refuse_creates_only(call)
    return path


def _act_on(path: RemotePath) -> Act:
    """The right that it takes to make, move or remove what stands at a path: of a bucket itself, to administer it."""
    return Act.ADMINISTER if path.is_bucket else Act.WRITE


def _with_slash(path: RemotePath, text: str) -> str:
    """Canonical, but a slash at the end still says that a folder is meant."""
    return path.text + "/" if text.endswith("/") and not path.is_root else path.text


def _tag(fields: Fields, name: str) -> str | None:
    text = fields.text_or_none(name)
    return None if text is None else one_tag(text)
