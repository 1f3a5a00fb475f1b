"""How a body becomes chunks, and which parts of which chunks a range of a file needs.

Every chunk of a file but the last has `chunk_size` bytes, so that the same bytes uploaded twice give the same chunks
and are stored once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fluffy.base.checks import invariant


@dataclass(frozen=True, slots=True)
class ChunkPart:
    """`length` bytes from `offset` of the chunk at `index` of the manifest."""

    index: int
    offset: int
    length: int


def chunk_lengths(size: int, chunk_size: int) -> Iterator[int]:
    """The lengths of a body's chunks, in order; none for an empty body."""
    invariant(chunk_size > 0 and size >= 0, "a chunk has bytes")
    left = size
    while left > 0:
        yield min(chunk_size, left)
        left -= chunk_size


def parts_of_range(lengths: Sequence[int], start: int, end: int) -> Iterator[ChunkPart]:
    """The chunk parts that make up the bytes `start` (included) to `end` (not included) of a file, in order."""
    position = 0
    for index, length in enumerate(lengths):
        low, high = max(start - position, 0), min(end - position, length)
        if low < high:
            yield ChunkPart(index, low, high - low)
        position += length
        if position >= end:
            return
