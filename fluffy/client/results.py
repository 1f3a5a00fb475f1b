"""What the SDK hands back: frozen values read from a peer's JSON.

`document` is always the peer's whole answer, for what a newer server says and this client does not know yet. Times are
`datetime` in UTC. A peer's answer that lacks what it must have is another machine's fault: `Unavailable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fluffy.base.errors import Unavailable

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """An upload that is durable now. `created`: there was no file at the path before."""

    path: str
    generation: int
    size: int
    etag: str
    blake3: str
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A download that is on the local disk, verified. `stale_s`: age when served without a majority, else None."""

    path: str
    local: Path
    size: int
    etag: str
    blake3: str | None
    generation: int | None
    stale_s: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing. Folders have size 0, generation 0 and no etag. `path` begins with a slash."""

    name: str
    path: str
    is_folder: bool
    size: int
    generation: int
    etag: str
    content_type: str
    owner: str
    modified: datetime | None
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class FileInfo:
    """Everything about a file or a folder; the details (tags, chunks, replicas) are in `document`."""

    path: str
    is_folder: bool
    size: int
    generation: int
    etag: str
    blake3: str
    content_type: str
    owner: str
    modified: datetime | None
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class EntryPage:
    """`after` is the cursor of the next page; None on the last one."""

    entries: tuple[Entry, ...]
    after: str | None


def stored_of(document: Document) -> Stored:
    return Stored(path=_rooted(_text(document, "path")), generation=_number(document, "generation"),
                  size=_number(document, "size"), etag=_text(document, "etag"), blake3=_text(document, "blake3"),
                  document=document)


def info_of(document: Document) -> FileInfo:
    return FileInfo(
        path=_rooted(_text(document, "path")), is_folder=_is_folder(document), size=_number(document, "size", 0),
        generation=_number(document, "generation", 0), etag=_text(document, "etag", ""),
        blake3=_text(document, "blake3", ""), content_type=_text(document, "content_type", ""),
        owner=_text(document, "owner", ""), modified=_time(document.get("modified", document.get("created"))),
        document=document)


def entry_of(document: Document) -> Entry:
    path = _rooted(_text(document, "path"))
    name = _text(document, "name", path.rpartition("/")[2])
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        # Names become local files (`download -r`): one that leads elsewhere is an attack or a bug, never a file.
        raise Unavailable(f"a peer's answer has an entry with the illegal name {name!r}")
    return Entry(
        name=name, path=path, is_folder=_is_folder(document),
        size=_number(document, "size", 0), generation=_number(document, "generation", 0),
        etag=_text(document, "etag", ""), content_type=_text(document, "content_type", ""),
        owner=_text(document, "owner", ""), modified=_time(document.get("modified")), document=document)


def page_of(document: Document, key: str) -> EntryPage:
    """A page of a listing; its lines stand under `key`."""
    lines = document.get(key)
    after = document.get("after")
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise Unavailable(f"a peer's answer has no list {key!r}; is it another version of Fluffy?")
    return EntryPage(tuple(entry_of(line) for line in lines), after if isinstance(after, str) and after else None)


def _is_folder(document: Document) -> bool:
    return document.get("kind") in ("folder", "bucket")


def _rooted(path: str) -> str:
    return path if path.startswith("/") else "/" + path


def _text(document: Document, key: str, default: str | None = None) -> str:
    value = document.get(key, default)
    if isinstance(value, str):
        return value
    raise Unavailable(f"a peer's answer has no {key!r}; is it another version of Fluffy?")


def _number(document: Document, key: str, default: int | None = None) -> int:
    value = document.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Unavailable(f"a peer's answer has no {key!r}; is it another version of Fluffy?")


def _time(value: object) -> datetime | None:
    """ISO 8601, or milliseconds since 1970. None for what is no time."""
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value).astimezone(UTC)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None
