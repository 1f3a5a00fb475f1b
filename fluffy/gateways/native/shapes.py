"""How values look in JSON. Every handler uses these, so one thing has one shape everywhere.

Paths are written as people type them, with a leading slash; times as RFC 3339 in UTC; hashes and chunk ids in hex.
"""

from __future__ import annotations

from typing import Any

from fluffy.core.metadata.model import Change, Entry, FileVersion, FolderInfo
from fluffy.core.metadata.queries_labels import Labels
from fluffy.services.uploads import StoredFile
from fluffy.wire.conditions import rfc3339

Json = dict[str, Any]


def stored_json(path: str, stored: StoredFile) -> Json:
    """The answer to a put."""
    facts = stored.outcome.facts
    return {"path": path, "generation": facts["generation"], "size": stored.size, "etag": stored.etag,
            "blake3": stored.blake3.hex(), "chunks": stored.chunks, "modified": rfc3339(facts["modified_ms"])}


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
        line |= {"blake3": labels.blake3.hex(), "meta": labels.meta, "tags": labels.tags}
    return line


def file_json(version: FileVersion, node_names: dict[int, str]) -> Json:
    """Everything known about a file."""
    return {
        "path": "/" + version.path, "kind": "file", "owner": version.owner, "size": version.size,
        "generation": version.generation, "etag": version.etag, "blake3": version.blake3.hex(),
        "content_type": version.content_type, "modified": rfc3339(version.modified_ms), "meta": version.meta,
        "tags": version.tags, "inline": version.inline is not None, "lock": None,
        "chunks": [{"id": chunk.chunk_id.hex(), "length": chunk.length,
                    "replicas": [node_names.get(no, f"node {no}") for no in chunk.replicas]}
                   for chunk in version.chunks]}


def folder_json(info: FolderInfo) -> Json:
    is_bucket = "/" not in info.path.strip("/")
    return {"path": "/" + info.path.strip("/"), "kind": "bucket" if is_bucket else "folder", "owner": info.owner,
            "created": rfc3339(info.created_ms), "entries": info.entries}


def change_json(change: Change) -> Json:
    return {"seq": change.seq, "at": rfc3339(change.at_ms), "kind": change.kind, "path": "/" + change.path,
            "generation": change.generation, "size": change.size, "owner": change.owner}
