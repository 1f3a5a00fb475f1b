"""Changing a part of a file, or only what is said about it: touch, append, patch, tags, metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from blake3 import blake3

from fluffy.base.errors import PreconditionFailed, RequestError
from fluffy.base.hashing import etag_of
from fluffy.core.metadata import changes, chunk_table, file_body, files, own_meta, tree, versions
from fluffy.core.metadata.commands_tree import AppendFile, PatchFile, SetMeta, SetTags, TouchFile
from fluffy.core.metadata.files import Current
from fluffy.core.metadata.locks import refuse_locked
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.packing import pack_etag, pack_manifest, pack_texts, unpack_manifest
from fluffy.core.metadata.refusals import refused
from fluffy.core.metadata.tree import Place
from fluffy.core.metadata.versions import Content
from fluffy.core.metadata.working import Working


def touch_file(work: Working, command: TouchFile) -> Outcome:
    """Make an empty file, or a new generation of the same bytes. facts: generation, created, modified_ms."""
    found = _target(work, command)
    if isinstance(found, Rejected):
        return found
    place, current = found
    user_no = command.header.user_no
    if current is None:
        refusal = files.refuse_growth(work, place, user_no, None, 0)
        return refusal or files.store(work, place, user_no, None, _inline(b"", ""))
    content = versions.content_of(work, current.version_no)
    versions.share(work, content, work.keeping(place.bucket))
    return files.store(work, place, user_no, current, content)


def append_file(work: Working, command: AppendFile) -> Outcome:
    """Add bytes to a file that lives in the metadata. facts: generation, created, modified_ms, size, etag."""
    found = _target(work, command)
    if isinstance(found, Rejected):
        return found
    place, current = found
    content = _inline(b"", command.content_type) if current is None else versions.content_of(work, current.version_no)
    size = content.size + len(command.data)
    refusal = file_body.refuse_texts(content_type=command.content_type)
    if refusal is None and (content.inline is None or size > work.settings.inline_max):
        refusal = refused(PreconditionFailed, "the file is, or would be, too large for the metadata", use="patch",
                          etag=None if current is None else current.etag,
                          generation=0 if current is None else current.generation)
    refusal = refusal or files.refuse_growth(work, place, command.header.user_no, current, size)
    if refusal is not None:
        return refusal
    data = (content.inline or b"") + command.data
    root = blake3(data).digest()
    content = replace(content, size=size, blake3=root, etag=pack_etag(etag_of(root)), inline=data,
                      meta=own_meta.of_other_bytes(content.meta))
    stored = files.store(work, place, command.header.user_no, current, content)
    return Accepted(stored.seq, {**stored.facts, "size": size, "etag": etag_of(root)})


def _target(work: Working, command: TouchFile | AppendFile) -> tuple[Place, Current | None] | Rejected:
    """Where to write, and what is there."""
    place = tree.locate_file(work, command.path)
    if isinstance(place, Rejected):
        return place
    user_no = command.header.user_no
    refusal = (files.refuse_target(work, user_no, place, parents=command.parents)
               or refuse_locked(work, user_no, command.lock, place.path))
    if refusal is not None:
        return refusal
    current = None if place.missing else files.entry(work, place.folder, place.name)
    if isinstance(current, Rejected):
        return current
    return files.refuse_precondition(current, command.if_match) or (place, current)


def _inline(data: bytes, content_type: str) -> Content:
    root = blake3(data).digest()
    return Content(len(data), root, pack_etag(etag_of(root)), content_type, None, None, None, data)


def patch_file(work: Working, command: PatchFile) -> Outcome:
    """A new generation that shares what it does not change.

    facts: generation, created (False), modified_ms, size, etag.
    """
    found = files.existing(work, command.header.user_no, command.lock, command.path, command.if_match)
    if isinstance(found, Rejected):
        return found
    place, bucket, current = found
    if command.base_generation != current.generation:
        return refused(PreconditionFailed, "the file has changed meanwhile", etag=current.etag,
                       generation=current.generation)
    base = versions.content_of(work, current.version_no)
    numbers = () if base.manifest is None else unpack_manifest(base.manifest)
    if not command.at <= len(numbers) or not command.drop <= len(numbers) - command.at:
        return refused(RequestError, f"the file has {len(numbers)} chunks, not those that the change replaces")
    if command.inline is not None and command.drop != len(numbers):
        return refused(RequestError, "bytes in the metadata replace all chunks or none")
    before, after = numbers[:command.at], numbers[command.at + command.drop:]
    refusal = (file_body.refuse_patch(work, command, kept_bytes=_bytes(work, before) + _bytes(work, after),
                                      kept_chunks=len(before) + len(after))
               or files.refuse_growth(work, place, command.header.user_no, current, command.size))
    if refusal is not None:
        return refusal
    uses = file_body.plan_chunks(work, command)
    if isinstance(uses, Rejected):
        return uses
    wanted = work.keeping(bucket).replication
    # New chunks first: the plan knows their rows as they are before anything is counted.
    manifest = pack_manifest([*before, *file_body.take_chunks(work, command, uses, wanted=wanted), *after])
    chunk_table.retain(work, pack_manifest([*before, *after]), wanted=wanted)
    content = replace(base, size=command.size, blake3=command.blake3, etag=pack_etag(command.etag),
                      manifest=manifest or None, inline=None if manifest else command.inline or b"",
                      meta=own_meta.of_other_bytes(base.meta))
    stored = files.store(work, place, command.header.user_no, current, content)
    return Accepted(stored.seq, {**stored.facts, "size": command.size, "etag": command.etag})


def _bytes(work: Working, chunk_nos: Sequence[int]) -> int:
    return sum(work.db.execute("SELECT length FROM chunks WHERE chunk_no = ?", (no,)).fetchone()[0]
               for no in chunk_nos)


def set_tags(work: Working, command: SetTags) -> Outcome:
    """Replace the tags in place. facts: generation, meta_version."""
    found = files.existing(work, command.header.user_no, command.lock, command.path, command.if_match)
    if isinstance(found, Rejected):
        return found
    refusal = file_body.refuse_texts(tags=command.tags)
    if refusal is not None:
        return refusal
    work.db.execute("UPDATE versions SET tags = ?, meta_version = meta_version + 1 WHERE version_no = ?",
                    (pack_texts(command.tags), found[2].version_no))
    return _changed(work, found[0], found[2])


def set_meta(work: Working, command: SetMeta) -> Outcome:
    """Replace the user metadata, and the content type unless it is None, in place. facts: generation, meta_version."""
    found = files.existing(work, command.header.user_no, command.lock, command.path, command.if_match)
    if isinstance(found, Rejected):
        return found
    refusal = file_body.refuse_texts(meta=command.meta, content_type=command.content_type or "")
    if refusal is not None:
        return refusal
    place, _, current = found
    (old,) = work.db.execute("SELECT meta FROM versions WHERE version_no = ?", (current.version_no,)).fetchone()
    work.db.execute("UPDATE versions SET meta = ?, meta_version = meta_version + 1 WHERE version_no = ?",
                    (pack_texts(own_meta.replaced(old, command.meta)), current.version_no))
    if command.content_type is not None:
        work.db.execute("UPDATE versions SET content_type = ? WHERE version_no = ?",
                        (command.content_type, current.version_no))
        work.db.execute("UPDATE entries SET content_type = ? WHERE parent = ? AND key = ?",
                        (command.content_type, place.folder.no, place.name))
    return _changed(work, place, current)


def _changed(work: Working, place: Place, current: Current) -> Accepted:
    work.relisted(place.folder)
    changes.record(work, changes.FILE_CHANGED, place.path, generation=current.generation, size=current.size,
                   owner_no=current.owner_no)
    (meta_version,) = work.db.execute("SELECT meta_version FROM versions WHERE version_no = ?",
                                      (current.version_no,)).fetchone()
    return Accepted(work.seq, {"generation": current.generation, "meta_version": meta_version})
