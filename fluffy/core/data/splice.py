"""Which chunks of a file give way when a part of it changes, and what the new ones are made of. Pure.

    file      | A        | B        | C        |
    change             .....body.....
    pieces    head of A  | body | tail of C          -> cut into chunks; A, B and C give way, all others are shared

What must be read from old chunks is only the head and the tail beside the change. A body so large that it is stored in
chunks of its own already is not copied again.

An append adds chunks at the end. Small ones would make a file of crumbs, and joining each with the last chunk would
write that again and again; so a new piece takes in the chunks before it as long as they are at most twice its size (the
logarithmic method: every byte is copied O(log) times, and the chunks at the end double in size).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fluffy.base.checks import invariant
from fluffy.base.units import KIB
from fluffy.core.metadata.model import ChunkRef

# Below this a chunk costs its round of fsyncs, whatever is in it.
MERGED_BYTES_MIN = 64 * KIB
# What one append joins at most; each is a read.
MERGED_CHUNKS_MAX = 64

Source = ChunkRef | bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """`count` bytes from `offset` of a chunk, or of bytes in memory."""

    source: Source
    offset: int
    count: int

    @property
    def chunk(self) -> ChunkRef | None:
        """The chunk, when the piece is a whole one."""
        source = self.source
        return source if isinstance(source, ChunkRef) and self.count == source.length else None


@dataclass(frozen=True, slots=True)
class Splice:
    """From chunk number `at` on, `drop` chunks give way to the ones in `made`: each the pieces that it is made of.

    `size`: of the whole file afterwards.
    """

    at: int
    drop: int
    made: tuple[tuple[Piece, ...], ...]
    size: int


def whole(source: Source) -> Piece:
    return Piece(source, 0, source.length if isinstance(source, ChunkRef) else len(source))


def splice(base: Sequence[ChunkRef], offset: int, body: Sequence[Source], *, chunk_size: int,
           joins_least: int | None = 1) -> Splice:
    """Put `body` into the file of chunks `base` at `offset`, which lies in it or at its end.

    `joins_least`: an append takes in small chunks before it when there are so many; None: never.
    """
    size = sum(chunk.length for chunk in base)
    pieces = [whole(source) for source in body]
    count = sum(piece.count for piece in pieces)
    invariant(0 <= offset <= size, "a change begins in the file or at its end")
    if offset == size:
        return _append(base, size, pieces, count, chunk_size=chunk_size, joins_least=joins_least)
    at, position = 0, 0
    while position + base[at].length <= offset:
        position += base[at].length
        at += 1
    if position < offset:
        pieces.insert(0, Piece(base[at], 0, offset - position))
    stop, end = at, offset + count
    while stop < len(base) and position < end:
        position += base[stop].length
        stop += 1
    if position > end:
        last = base[stop - 1]
        pieces.append(Piece(last, last.length - (position - end), position - end))
    return Splice(at, stop - at, cut(pieces, chunk_size), max(size, end))


def splice_bytes(base: bytes, offset: int, body: Sequence[Source], *, chunk_size: int) -> Splice:
    """The same for a file that lives in the metadata: all of it becomes chunks."""
    invariant(0 <= offset <= len(base), "a change begins in the file or at its end")
    pieces = [whole(source) for source in body]
    end = offset + sum(piece.count for piece in pieces)
    around = (Piece(base, 0, offset), *pieces, Piece(base, end, len(base) - end))
    return Splice(0, 0, cut([piece for piece in around if piece.count > 0], chunk_size), max(len(base), end))


def _append(base: Sequence[ChunkRef], size: int, pieces: list[Piece], count: int, *, chunk_size: int,
            joins_least: int | None) -> Splice:
    at, weight = len(base), count
    joined: list[Piece] = []
    while joins_least is not None and len(pieces) == 1 and at > 0 and len(joined) < MERGED_CHUNKS_MAX:
        length = base[at - 1].length
        if length + weight > chunk_size or length > max(MERGED_BYTES_MIN, 2 * weight):
            break
        at, weight = at - 1, weight + length
        joined.insert(0, whole(base[at]))
    if joins_least is None or len(joined) < joins_least:
        return Splice(len(base), 0, cut(pieces, chunk_size), size + count)
    made = ((*joined, *pieces),)
    return Splice(at, len(base) - at, made, size + count)


def cut(pieces: Sequence[Piece], chunk_size: int) -> tuple[tuple[Piece, ...], ...]:
    """Full chunks and a rest; chunks that are there already stay as they are."""
    made: list[tuple[Piece, ...]] = []
    waiting: list[Piece] = []
    room = chunk_size
    for piece in pieces:
        if piece.chunk is not None:
            if waiting:
                made.append(tuple(waiting))
            made.append((piece,))
            waiting, room = [], chunk_size
            continue
        done = 0
        while done < piece.count:
            count = min(room, piece.count - done)
            waiting.append(Piece(piece.source, piece.offset + done, count))
            done, room = done + count, room - count
            if room == 0:
                made.append(tuple(waiting))
                waiting, room = [], chunk_size
    return (*made, tuple(waiting)) if waiting else tuple(made)
