"""What the SDK hands back: frozen values read from a peer's JSON.

`document` is always the peer's whole answer, for what a newer server says and this client does not know yet. Times are
`datetime` in UTC. A peer's answer that lacks what it must have is another machine's fault: `Unavailable`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from fluffy.base.errors import Unavailable

Document = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored:
    """A change of a file that is durable now.

    `blake3` is empty where it is not known (a file changed in parts); `offset`: where what was appended begins.
    """

    path: str
    generation: int
    size: int
    etag: str
    blake3: str
    offset: int | None
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

    @property
    def blake3(self) -> str:
        """The hash of a file that was listed with `labels`; empty when it is not known."""
        return text_in(self.document, "blake3", "")

    @property
    def meta(self) -> dict[str, str]:
        """Metadata of a file that was listed with `labels`."""
        return labels_in(self.document, "meta")

    @property
    def tags(self) -> dict[str, str]:
        """Tags of a file that was listed with `labels`."""
        return labels_in(self.document, "tags")


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

    @property
    def meta(self) -> dict[str, str]:
        return labels_in(self.document, "meta")

    @property
    def tags(self) -> dict[str, str]:
        return labels_in(self.document, "tags")

    @property
    def headers(self) -> dict[str, str]:
        """Those that are kept with the file (Cache-Control and its like), names in lower case."""
        return labels_in(self.document, "headers")


@dataclass(frozen=True, slots=True)
class EntryPage:
    """`after` is the cursor of the next page; None on the last one.

    `version`: of a folder, the same as long as nothing in its listing changed; None where it is not told.
    """

    entries: tuple[Entry, ...]
    after: str | None
    version: str | None = None

    @property
    def items(self) -> tuple[Entry, ...]:
        return self.entries


@dataclass(frozen=True, slots=True)
class Lines(Generic[T]):
    """One page of anything else; `after` as in EntryPage."""

    items: tuple[T, ...]
    after: str | None


def stored_of(document: Document) -> Stored:
    return Stored(path=rooted(text_in(document, "path")), generation=number_in(document, "generation"),
                  size=number_in(document, "size"), etag=text_in(document, "etag"),
                  blake3=text_in(document, "blake3", ""), offset=number_or_none(document, "offset"),
                  document=document)


def info_of(document: Document) -> FileInfo:
    return FileInfo(
        path=rooted(text_in(document, "path")), is_folder=names_folder(document), size=number_in(document, "size", 0),
        generation=number_in(document, "generation", 0), etag=text_in(document, "etag", ""),
        blake3=text_in(document, "blake3", ""), content_type=text_in(document, "content_type", ""),
        owner=text_in(document, "owner", ""), modified=time_of(document.get("modified", document.get("created"))),
        document=document)


def entry_of(document: Document) -> Entry:
    path = rooted(text_in(document, "path"))
    name = text_in(document, "name", path.rpartition("/")[2])
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        # Names become local files (`download -r`): one that leads elsewhere is an attack or a bug, never a file.
        raise Unavailable(f"a peer's answer has an entry with the illegal name {name!r}")
    return Entry(
        name=name, path=path, is_folder=names_folder(document),
        size=number_in(document, "size", 0), generation=number_in(document, "generation", 0),
        etag=text_in(document, "etag", ""), content_type=text_in(document, "content_type", ""),
        owner=text_in(document, "owner", ""), modified=time_of(document.get("modified")), document=document)


def page_of(document: Document, key: str) -> EntryPage:
    """A page of a listing; its lines stand under `key`."""
    page = lines_of(document, key, entry_of)
    version = document.get("version")
    return EntryPage(page.items, page.after, version if isinstance(version, str) and version else None)


def lines_of(document: Document, key: str, one_of: Callable[[Document], T]) -> Lines[T]:
    """A page of whatever `one_of` reads from the objects in the list under `key`."""
    lines, after = document.get(key), document.get("after")
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise Unavailable(f"a peer's answer has no list {key!r}; is it another version of Fluffy?")
    return Lines(tuple(one_of(line) for line in lines),
                 str(after) if isinstance(after, str | int) and after else None)


def names_folder(document: Document) -> bool:
    return document.get("kind") in ("folder", "bucket")


def rooted(path: str) -> str:
    return path if path.startswith("/") else "/" + path


def text_in(document: Document, key: str, default: str | None = None) -> str:
    value = document.get(key)
    if value is None and default is not None:
        return default
    if isinstance(value, str):
        return value
    raise Unavailable(f"a peer's answer has no {key!r}; is it another version of Fluffy?")


def number_in(document: Document, key: str, default: int | None = None) -> int:
    value = document.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Unavailable(f"a peer's answer has no {key!r}; is it another version of Fluffy?")


def time_of(value: object) -> datetime | None:
    """ISO 8601, or milliseconds since 1970. None for what is no time."""
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value).astimezone(UTC)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def labels_in(document: Document, key: str) -> dict[str, str]:
    """Names with their texts; empty when there are none."""
    found = document.get(key)
    return {str(name): str(text) for name, text in found.items()} if isinstance(found, Mapping) else {}


def known_time(document: Document, key: str) -> datetime:
    """A time that must be there."""
    found = time_of(document.get(key))
    if found is None:
        raise Unavailable(f"a peer's answer has no {key!r}; is it another version of Fluffy?")
    return found


def number_or_none(document: Document, key: str) -> int | None:
    value = document.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def texts_in(document: Document, key: str) -> tuple[str, ...]:
    """A list of texts; what is no text in it (an object with a name) gives its name or path."""
    found: list[str] = []
    lines = document.get(key)
    for line in lines if isinstance(lines, list) else []:
        said = line.get("name", line.get("path")) if isinstance(line, dict) else line
        if isinstance(said, str):
            found.append(said)
    return tuple(found)
