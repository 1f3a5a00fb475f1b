"""What the SDK hands back about the past: generations, the trash, differences, the change feed. See `results`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from fluffy.client.results import Document, known_time, names_folder, number_in, rooted, text_in, time_of


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """One generation of a file that is still kept."""

    generation: int
    size: int
    etag: str
    blake3: str
    content_type: str
    owner: str
    modified: datetime | None
    is_current: bool
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class TrashItem:
    """Something deleted that can be had back until `expires`. `item` tells two of one path apart."""

    item: int
    path: str
    is_folder: bool
    size: int
    files: int
    generation: int
    owner: str
    deleted: datetime | None
    expires: datetime | None
    document: Document = field(repr=False)


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One path that is not the same at two moments. `change`: what the later moment shows of it."""

    path: str
    is_folder: bool
    change: str
    document: Document = field(repr=False)


@dataclass(slots=True)
class RestoredFolder:
    """What a folder's way back came to: files brought back, deleted (with `exact`), same already, and left alone.

    `conflicts` names some of the paths that stand in the way, `conflict_count` counts all.
    """

    restored: int = 0
    deleted: int = 0
    same: int = 0
    conflicts: list[str] = field(default_factory=list)
    conflict_count: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the change feed. `seq` is its position: the `since` of what comes after it."""

    seq: int
    at: datetime
    kind: str
    path: str
    generation: int
    size: int
    owner: str
    source: str
    document: Document = field(repr=False)


def version_of(document: Document) -> VersionInfo:
    return VersionInfo(
        generation=number_in(document, "generation"), size=number_in(document, "size"), etag=text_in(document, "etag"),
        blake3=text_in(document, "blake3", ""), content_type=text_in(document, "content_type", ""),
        owner=text_in(document, "owner", ""), modified=time_of(document.get("modified")),
        is_current=document.get("current") is True, document=document)


def trash_item_of(document: Document) -> TrashItem:
    return TrashItem(
        item=number_in(document, "item"), path=rooted(text_in(document, "path")), is_folder=names_folder(document),
        size=number_in(document, "size", 0), files=number_in(document, "files", 1),
        generation=number_in(document, "generation", 0), owner=text_in(document, "owner", ""),
        deleted=time_of(document.get("deleted")), expires=time_of(document.get("expires")), document=document)


def diff_line_of(document: Document) -> DiffLine:
    return DiffLine(path=rooted(text_in(document, "path")), is_folder=names_folder(document),
                    change=text_in(document, "change"), document=document)


def change_of(document: Document) -> Change:
    source = document.get("source")
    return Change(
        seq=number_in(document, "seq"), at=known_time(document, "at"), kind=text_in(document, "kind"),
        path=rooted(text_in(document, "path")), generation=number_in(document, "generation", 0),
        size=number_in(document, "size", 0), owner=text_in(document, "owner", ""),
        source=rooted(source) if isinstance(source, str) and source else "", document=document)
