"""Rows of a cluster's tree on their way to a supernode, as JSON: short lists, because a million of them travel.

    [no, parent, key, size, generation, etag, content_type, owner, modified_ms]   and tags, when there are any

A row that does not fit this is the sender's fault and concerns that row only: it is set aside (`Reject`), and the rest
goes on. A page that is no page at all raises PageIllegal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from fluffy.base.hashing import xxh3_of
from fluffy.core.metadata.queries_federation import CatalogRow, FeedPiece, Place

# A catalog numbers its rows cluster * 2^40 + number.
NO_MAX = (1 << 40) - 1
_SIZE_MAX = (1 << 62) - 1
KEY_BYTES_MAX = 1025
_TEXT_BYTES_MAX = 4096
TAGS_MAX = 64
# A page has at most so many rows, places or walks (gateways/native/federation.py gives fewer).
PAGE_ROWS_MAX = 20_000
REJECT_CHARS_MAX = 2_000
_FIELDS = 9


class PageIllegal(ValueError):
    """What came is not a page of rows."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that is none: `reason`, and its beginning as it came."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class ParsedPiece:
    """A piece of the feed without the rows that are none."""

    piece: FeedPiece
    rejects: tuple[Reject, ...]


def row_json(row: CatalogRow) -> list[Any]:
    line: list[Any] = [row.no, row.parent, row.key, row.size, row.generation, row.etag, row.content_type, row.owner,
                       row.modified_ms]
    return [*line, dict(row.tags)] if row.tags else line


def parse_rows(value: Any) -> tuple[tuple[CatalogRow, ...], tuple[Reject, ...]]:
    """Rows, and what is none. Raises PageIllegal."""
    rows, rejects = [], []
    for item in _list(value, "rows"):
        try:
            rows.append(_row(item))
        except ValueError as error:
            rejects.append(Reject(str(error), repr(item)[:REJECT_CHARS_MAX]))
    return tuple(rows), tuple(rejects)


def piece_json(piece: FeedPiece) -> dict[str, Any]:
    return {"seq": piece.seq, "head": piece.head, "places": [list(place) for place in piece.places],
            "rows": [row_json(row) for row in piece.rows], "walks": list(piece.walks), "more": piece.more}


def parse_piece(document: Mapping[str, Any]) -> ParsedPiece:
    """Raises PageIllegal."""
    places = tuple(_place(item) for item in _list(document.get("places"), "places"))
    walks = tuple(_number(item, "walk", NO_MAX) for item in _list(document.get("walks"), "walks"))
    rows, rejects = parse_rows(document.get("rows"))
    try:
        seq, head = (_number(document.get(name), name, _SIZE_MAX) for name in ("seq", "head"))
    except ValueError as error:
        raise PageIllegal(str(error)) from error
    return ParsedPiece(FeedPiece(seq, head, places, rows, walks, document.get("more") is True), rejects)


def place_text(place: Place) -> str:
    """A place as a cursor: `PARENT:KEY`."""
    return f"{place[0]}:{place[1]}"


def parse_place(text: str) -> Place:
    """Raises ValueError."""
    number, colon, key = text.partition(":")
    if not (colon and number.isascii() and number.isdigit() and len(number) <= 13):
        raise ValueError("a place is written NUMBER:KEY")
    return _number(int(number), "place", NO_MAX), _text(key, "key", KEY_BYTES_MAX) if key else ""


def hash_of_rows(rows: Iterable[CatalogRow]) -> str:
    """The same for the same rows in the same order, at a cluster and at a supernode."""
    packer = msgpack.Packer()
    packed = b"".join(packer.pack((row.no, row.parent, row.key, row.size, row.generation, row.etag, row.content_type,
                                   row.owner, row.modified_ms, sorted(row.tags.items()))) for row in rows)
    return xxh3_of(packed).hex()


def _row(item: Any) -> CatalogRow:
    if not isinstance(item, list) or len(item) not in (_FIELDS, _FIELDS + 1):
        raise ValueError("a row is a list of nine or ten values")
    no, parent, key, size, generation, etag, content_type, owner, modified_ms = item[:_FIELDS]
    row = CatalogRow(
        _number(no, "no", NO_MAX), _number(parent, "parent", NO_MAX), _text(key, "key", KEY_BYTES_MAX),
        -1 if size == -1 and size is not True else _number(size, "size", _SIZE_MAX),
        _number(generation, "generation", _SIZE_MAX), _text(etag, "etag"), _text(content_type, "content type"),
        _text(owner, "owner"), _number(modified_ms, "time", _SIZE_MAX), _tags(item[_FIELDS:]))
    if not row.name or "/" in row.name or row.key.endswith("/") != row.is_folder:
        raise ValueError("the key does not fit what the row is")
    return row


def _tags(rest: list[Any]) -> dict[str, str]:
    if not rest:
        return {}
    (tags,) = rest
    if not isinstance(tags, dict) or len(tags) > TAGS_MAX:
        raise ValueError(f"tags are an object of at most {TAGS_MAX} texts")
    return {_text(key, "tag"): _text(value, "tag") for key, value in tags.items()}


def _place(item: Any) -> Place:
    if not isinstance(item, list) or len(item) != 2:
        raise PageIllegal("a place is a folder's number and a key")
    try:
        return _number(item[0], "place", NO_MAX), _text(item[1], "key", KEY_BYTES_MAX)
    except ValueError as error:
        raise PageIllegal(str(error)) from error


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > PAGE_ROWS_MAX:
        raise PageIllegal(f"{name} are a list of at most {PAGE_ROWS_MAX}")
    return value


def _number(value: Any, name: str, largest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
        raise ValueError(f"{name} is not a number from 0 to {largest}")
    return value


def _text(value: Any, name: str, bytes_max: int = _TEXT_BYTES_MAX) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{name} is not a text")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} is not valid UTF-8") from error
    if size > bytes_max:
        raise ValueError(f"{name} is longer than {bytes_max} bytes")
    return value
