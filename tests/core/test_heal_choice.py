from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.model import MissingChunk
from fluffy.core.repair.heal import healers, most_endangered_first, sources


def missing(*replicas: int, wanted: int = 3, first_byte: int = 0) -> MissingChunk:
    return MissingChunk(ChunkId(bytes([first_byte]) * 32), 100, tuple(NodeNo(no) for no in replicas), wanted)


def nodes(*numbers: int) -> tuple[NodeNo, ...]:
    return tuple(NodeNo(no) for no in numbers)


def test_the_first_candidates_that_lack_the_chunk_heal_it() -> None:
    assert healers(missing(2), nodes(4, 2, 1, 3)) == nodes(4, 1)
    assert healers(missing(2, 4), nodes(4, 2, 1, 3)) == nodes(1)
    assert healers(missing(1, 2, 3), nodes(4, 2, 1, 3)) == ()


def test_too_few_candidates_heal_what_they_can() -> None:
    assert healers(missing(2), nodes(2, 1)) == nodes(1)


def test_sources_are_living_holders_and_never_oneself() -> None:
    assert sources(missing(1, 2, 3), NodeNo(1), {NodeNo(1), NodeNo(2)}) == nodes(2)
    assert sources(missing(), NodeNo(1), {NodeNo(2)}) == ()


def test_reading_is_spread_over_the_holders() -> None:
    firsts = {sources(missing(2, 3, first_byte=byte), NodeNo(1), set(nodes(2, 3)))[0] for byte in range(4)}
    assert firsts == set(nodes(2, 3))


def test_the_last_copy_comes_first() -> None:
    few, many = missing(1, first_byte=9), missing(1, 2, first_byte=1)
    assert most_endangered_first([many, few]) == [few, many]


@given(st.permutations(range(1, 7)), st.sets(st.integers(1, 6), max_size=6), st.integers(1, 5))
def test_all_nodes_together_fill_the_gap_and_no_more(order: list[int], held: set[int], wanted: int) -> None:
    chunk = missing(*sorted(held), wanted=wanted)
    acting = healers(chunk, nodes(*order))
    assert not held & set(acting)
    assert len(acting) == max(0, min(wanted - len(held), 6 - len(held)))
