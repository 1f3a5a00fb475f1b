"""How values look in JSON. Every handler uses these, so one thing has one shape everywhere.

Paths are written as people type them, with a leading slash; times as RFC 3339 in UTC; hashes and chunk ids in hex.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluffy.core.metadata.commands import NodeRecord
from fluffy.core.metadata.model import (
    Change,
    DiffLine,
    Entry,
    FileVersion,
    FolderInfo,
    TrashItem,
    VersionLine,
)
from fluffy.core.metadata.model_people import Lock
from fluffy.core.metadata.own_meta import checksum, headers, said
from fluffy.core.metadata.queries_labels import Labels
from fluffy.services.uploads import StoredFile
from fluffy.wire.conditions import rfc3339

Json = dict[str, Any]


def stored_json(path: str, stored: StoredFile) -> Json:
    """The answer to a put."""
    facts = stored.outcome.facts
    return {"path": path, "generation": facts["generation"], "size": stored.size, "etag": stored.etag,
            "blake3": stored.blake3.hex(), "chunks": stored.chunks, "modified": rfc3339(facts["modified_ms"])}


def version_json(version: FileVersion) -> Json:
    """The same of a version that was made otherwise. `blake3` is null when nobody has hashed it whole."""
    return {"path": "/" + version.path, "generation": version.generation, "size": version.size, "etag": version.etag,
            "blake3": known_hex(version.blake3), "chunks": len(version.chunks),
            "modified": rfc3339(version.modified_ms)}


def known_hex(digest: bytes) -> str | None:
    """A hash in hex; None for an empty one, which means that it is not known."""
    return digest.hex() if digest else None


def version_line_json(line: VersionLine) -> Json:
    """A line of a file's history. `replaced`, `expires`: null for the current one."""
    return {"generation": line.generation, "size": line.size, "etag": line.etag, "blake3": known_hex(line.blake3),
            "content_type": line.content_type, "modified": rfc3339(line.modified_ms), "owner": line.owner,
            "current": line.retired_ms is None, "replaced": _time(line.retired_ms), "expires": _time(line.expires_ms),
            "meta_version": line.meta_version}


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)


def trash_item_json(item: TrashItem) -> Json:
    return {"item": item.item, "path": "/" + item.path, "kind": item.kind, "generation": item.generation,
            "size": item.size, "files": item.files, "owner": item.owner, "deleted": rfc3339(item.deleted_ms),
            "expires": rfc3339(item.expires_ms)}


_CHANGES = {"created": "added", "deleted": "removed", "changed": "changed"}


def diff_line_json(line: DiffLine) -> Json:
    return {"path": "/" + line.path, "kind": line.kind, "change": _CHANGES[line.change],
            "from_generation": line.from_generation, "to_generation": line.to_generation,
            "from_size": line.from_size, "to_size": line.to_size}


def held_lock_json(lock: Lock) -> Json:
    """A lock as others see it: without its token."""
    return {"path": "/" + lock.path, "mode": lock.mode, "holder": lock.holder, "note": lock.note,
            "acquired": rfc3339(lock.acquired_ms), "expires": rfc3339(lock.expires_ms), "fence": lock.fence}


def entry_json(entry: Entry, *, long: bool) -> Json:
    """A line of a listing; `long` adds what `ls -l` and programs want."""
    line: Json = {"name": entry.name, "path": "/" + entry.path, "kind": entry.kind, "size": entry.size,
                  "modified": rfc3339(entry.modified_ms)}
    if long:
        line |= {"owner": entry.owner}
        if entry.kind == "file":
            line |= {"generation": entry.generation, "etag": entry.etag, "content_type": entry.content_type}
    return line


def labelled_json(entry: Entry, labels: Labels | None) -> Json:
    """A line with all that a program needs to compare a tree with another; labels of another generation stay away."""
    line = entry_json(entry, long=True)
    if labels is not None and labels.generation == entry.generation:
        line |= {"blake3": known_hex(labels.blake3), "meta": said(labels.meta), "headers": headers(labels.meta),
                 "tags": labels.tags}
    return line


def file_json(version: FileVersion, nodes: Mapping[int, NodeRecord], locks: tuple[Lock, ...], versions: int) -> Json:
    """Everything known about a file. `versions`: how many generations are kept; `lock`: the first that covers it.

    `zones` of a chunk: of each node in `replicas`, in the same order.
    """
    return {
        "path": "/" + version.path, "kind": "file", "owner": version.owner, "size": version.size,
        "generation": version.generation, "etag": version.etag, "blake3": known_hex(version.blake3),
        "content_type": version.content_type, "modified": rfc3339(version.modified_ms), "meta": said(version.meta),
        "headers": headers(version.meta), "checksum": _checksum_json(version),
        "tags": version.tags, "meta_version": version.meta_version, "inline": version.inline is not None,
        "versions": versions, **_locks_json(locks),
        "chunks": [{"id": chunk.chunk_id.hex(), "length": chunk.length,
                    "replicas": [nodes[no].name if no in nodes else f"node {no}" for no in chunk.replicas],
                    "zones": [nodes[no].zone if no in nodes else "" for no in chunk.replicas]}
                   for chunk in version.chunks]}


def _checksum_json(version: FileVersion) -> Json | None:
    """The checksum that a client of the S3 door had made; null: there is none."""
    found = checksum(version.meta)
    return None if found is None else {"algorithm": found[0], "value": found[1], "type": found[2]}


def _locks_json(locks: tuple[Lock, ...]) -> Json:
    shown = [held_lock_json(lock) for lock in locks]
    return {"lock": shown[0] if shown else None, "locks": shown}


def folder_json(info: FolderInfo, sums: tuple[int, int], locks: tuple[Lock, ...]) -> Json:
    """`sums`: files and bytes of all that is below."""
    is_bucket = "/" not in info.path.strip("/")
    return {"path": "/" + info.path.strip("/"), "kind": "bucket" if is_bucket else "folder", "owner": info.owner,
            "created": rfc3339(info.created_ms), "entries": info.entries, "files": sums[0], "bytes": sums[1],
            **_locks_json(locks)}


def change_json(change: Change) -> Json:
    line: Json = {"seq": change.seq, "at": rfc3339(change.at_ms), "kind": change.kind, "path": "/" + change.path,
                  "generation": change.generation, "size": change.size, "owner": change.owner}
    return line | {"source": "/" + change.source} if change.source else line
