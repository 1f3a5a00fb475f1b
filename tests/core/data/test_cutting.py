"""Cutting bodies into chunks, and ranges into parts of chunks."""

from hypothesis import given
from hypothesis import strategies as st

from fluffy.core.data.cutting import chunk_lengths, parts_of_range


@given(st.integers(0, 10_000), st.integers(1, 700))
def test_chunks_add_up_and_only_the_last_is_short(size, chunk_size):
    lengths = list(chunk_lengths(size, chunk_size))
    assert sum(lengths) == size and all(lengths)
    assert all(length == chunk_size for length in lengths[:-1])


@given(st.lists(st.integers(1, 50), max_size=20), st.data())
def test_parts_of_a_range_are_its_bytes_in_order(lengths, data):
    body = bytes(index % 251 for index in range(sum(lengths)))
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, len(body)))
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    parts = list(parts_of_range(lengths, start, end))
    assert b"".join(body[starts[part.index] + part.offset:][:part.length] for part in parts) == body[start:end]
    assert all(part.length > 0 for part in parts)
