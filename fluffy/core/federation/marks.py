"""Marks: what an entry has that people filter by (type, tags, owner), as small numbers that an index can hold.

Beside the characters of its name an index keeps each entry's marks, so a word and a filter meet inside the index and
not in the rows. Numbers are hashes: two different things may share one, so an index gives candidates, never less than
what fits, and `SearchQuery.fits` decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from zlib import crc32

from fluffy.core.metadata.queries_federation import CatalogRow
from fluffy.core.search.query import SearchQuery, Tag

# Private characters that hardly any name has: three of them write one mark.
_FIRST_CHARACTER = 0xE000
_CHARACTERS = 6400
# Small enough for six bytes in SQLite. Bit 0 says: a file.
_BITS = 47
FILE_BIT = 1


def marks_of_row(row: CatalogRow) -> tuple[int, ...]:
    """All marks of an entry: of its owner first, then of a file's type, then of its tags."""
    if row.is_folder:
        return (_owner_mark(row.owner),)
    marks = (_owner_mark(row.owner), *_type_marks(row.content_type))
    return marks + tuple(mark for item in row.tags.items() for mark in _tag_marks(*item)) if row.tags else marks


def marks_of_query(query: SearchQuery) -> tuple[int, ...]:
    """Marks that every answer has, the most telling first; () when the query has no such filter."""
    marks = [_tag_marks(tag.key, tag.value)[0 if tag.value is None else 1] for tag in query.tags]
    if query.content_type is not None:
        major, whole = _type_marks(query.content_type)
        marks.append(major if query.content_type.endswith("/") else whole)
    if query.owner is not None:
        marks.append(_owner_mark(query.owner))
    return tuple(marks)


def bits_of(marks: Iterable[int], *, is_file: bool) -> int:
    """Marks as one number: an entry that has all marks of a query has all of its bits."""
    bits = FILE_BIT if is_file else 0
    for mark in marks:
        bits |= 2 << mark % _BITS
    return bits


def gram_of(mark: int) -> str:
    """A mark as three characters."""
    high, low = divmod(mark, _CHARACTERS)
    higher, middle = divmod(high, _CHARACTERS)
    return chr(_FIRST_CHARACTER + higher) + chr(_FIRST_CHARACTER + middle) + chr(_FIRST_CHARACTER + low)


def grams_of_marks(marks: Sequence[int]) -> tuple[str, ...]:
    return tuple(gram_of(mark) for mark in marks)


def tag_piece(tag: Tag) -> str:
    """A part of the JSON text of every entry's tags that has this tag (`json.dumps(tags, ensure_ascii=False)`)."""
    key = json.dumps(tag.key, ensure_ascii=False) + ": "
    return key if tag.value is None else key + json.dumps(tag.value, ensure_ascii=False)


@lru_cache(maxsize=1024)
def _owner_mark(owner: str) -> int:
    return _mark(f"owner {owner}")


@lru_cache(maxsize=1024)
def _type_marks(content_type: str) -> tuple[int, int]:
    """Of what stands before the slash, and of the whole type without its parameters."""
    folded = content_type.lower()
    return _mark(f"major {folded.partition('/')[0]}"), _mark(f"type {folded.partition(';')[0].rstrip()}")


@lru_cache(maxsize=1024)
def _tag_marks(key: str, value: str | None) -> tuple[int, ...]:
    """Of the key, and of the key with its value."""
    marks = (_mark(f"tag {key}"),)
    return marks if value is None else (*marks, _mark(f"tag {key}\n{value}"))


def _mark(text: str) -> int:
    return crc32(text.encode())
