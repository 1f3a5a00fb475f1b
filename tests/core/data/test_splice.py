"""Changing a part of a file's chunks: against the same change of plain bytes."""

from __future__ import annotations

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.ids import ChunkId
from fluffy.core.data.splice import MERGED_BYTES_MIN, Piece, Source, Splice, splice, splice_bytes
from fluffy.core.metadata.model import ChunkRef

CHUNK_SIZE = 16
STORE: dict[ChunkId, bytes] = {}


def stored(data: bytes) -> ChunkRef:
    chunk_id = ChunkId(blake3(data).digest())
    STORE[chunk_id] = data
    return ChunkRef(chunk_id, len(data), ())


def bytes_of(source: Source) -> bytes:
    return source if isinstance(source, bytes) else STORE[source.chunk_id]


def made_of(pieces: tuple[Piece, ...]) -> bytes:
    return b"".join(bytes_of(piece.source)[piece.offset:piece.offset + piece.count] for piece in pieces)


def chunks_after(base: list[ChunkRef], change: Splice) -> list[bytes]:
    """The bytes of each chunk of the file afterwards."""
    kept = [bytes_of(chunk) for chunk in base]
    return [*kept[:change.at], *(made_of(pieces) for pieces in change.made), *kept[change.at + change.drop:]]


some_bytes = st.binary(min_size=1, max_size=CHUNK_SIZE)
files = st.lists(some_bytes, min_size=1, max_size=6)
# A body is a few bytes in memory, or chunks of its own.
bodies = st.one_of(st.binary(min_size=1, max_size=60).map(lambda data: [data]),
                   st.lists(some_bytes, min_size=1, max_size=4).map(lambda parts: [stored(part) for part in parts]))


@given(files, bodies, st.integers(0, 100), st.sampled_from([None, 1, 3]))
def test_a_splice_is_the_same_as_changing_the_bytes(parts: list[bytes], body: list[Source], place: int,
                                                    joins: int | None) -> None:
    base = [stored(part) for part in parts]
    before, new = b"".join(parts), b"".join(map(bytes_of, body))
    offset = min(place, len(before))
    change = splice(base, offset, body, chunk_size=CHUNK_SIZE, joins_least=joins)
    after = before[:offset] + new + before[offset + len(new):]
    chunks = chunks_after(base, change)
    assert b"".join(chunks) == after
    assert change.size == len(after)
    assert all(0 < len(chunk) <= CHUNK_SIZE for chunk in chunks)


@given(files, bodies, st.integers(0, 100))
def test_only_chunks_that_the_change_touches_give_way(parts: list[bytes], body: list[Source], place: int) -> None:
    base = [stored(part) for part in parts]
    size, count = sum(map(len, parts)), sum(len(bytes_of(source)) for source in body)
    offset = min(place, size)
    change = splice(base, offset, body, chunk_size=CHUNK_SIZE, joins_least=None)
    position = 0
    for number, part in enumerate(parts):
        touched = position < offset + count and offset < position + len(part)
        assert touched == (change.at <= number < change.at + change.drop)
        position += len(part)


@given(st.binary(max_size=50), bodies, st.integers(0, 60))
def test_a_file_in_the_metadata_becomes_chunks_whole(content: bytes, body: list[Source], place: int) -> None:
    offset = min(place, len(content))
    new = b"".join(map(bytes_of, body))
    change = splice_bytes(content, offset, body, chunk_size=CHUNK_SIZE)
    after = content[:offset] + new + content[offset + len(new):]
    assert b"".join(map(made_of, change.made)) == after and (change.at, change.drop) == (0, 0)
    assert change.size == len(after)


def test_a_body_that_is_stored_already_is_not_copied_again() -> None:
    base, body = [stored(b"a" * 16), stored(b"b" * 16)], [stored(b"x" * 16), stored(b"y" * 4)]
    change = splice(base, 6, body, chunk_size=CHUNK_SIZE)
    assert [pieces[0].chunk for pieces in change.made[1:3]] == body
    assert (len(change.made[0]), len(change.made[3])) == (1, 1)


def test_a_thousand_small_appends_leave_few_chunks_and_copy_each_byte_a_few_times() -> None:
    chunk_size, line = 1024 * 1024, b"x" * 4096
    base: list[ChunkRef] = []
    copied = 0
    for number in range(1000):
        data = number.to_bytes(4, "big") + line
        change = splice(base, sum(chunk.length for chunk in base), [data], chunk_size=chunk_size)
        made = [stored(made_of(pieces)) for pieces in change.made]
        copied += sum(chunk.length for chunk in made)
        base = [*base[:change.at], *made, *base[change.at + change.drop:]]
    size = sum(chunk.length for chunk in base)
    assert size == 1000 * 4100
    assert len(base) <= size // MERGED_BYTES_MIN + 8
    assert copied < 20 * size
