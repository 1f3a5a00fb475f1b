"""Chunks that are alike are put together, and each copy has a reason."""

from __future__ import annotations

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.queries_redundancy import PlacedChunk
from fluffy.core.repair.explain import group_alike, how_covered, why_here

ORDERS = {0: [1, 2, 3, 4], 1: [2, 1, 3, 4], 2: [4, 3, 2, 1]}


def chunk(index: int, nodes: tuple[int, ...], order: int = 0) -> PlacedChunk:
    return PlacedChunk(index, ChunkId(bytes([order]) + index.to_bytes(31, "big")), 10,
                       tuple(NodeNo(node) for node in nodes), 3)


def order(chunk_id: ChunkId) -> list[NodeNo]:
    return [NodeNo(node) for node in ORDERS[chunk_id[0]]]


def test_ten_thousand_alike_chunks_are_one_group() -> None:
    groups, after = group_alike([chunk(index, (1, 2, 3), index % 2) for index in range(10_000)], order, 5)
    assert after is None and len(groups) == 1
    [group] = groups
    assert (group.chunks, group.bytes, group.spans) == (10_000, 100_000, [[0, 9_999]])
    assert group.ranks == {1: (1, 2), 2: (1, 2), 3: (3, 3), 4: (4, 4)}


def test_what_differs_stands_apart_with_its_places() -> None:
    chunks = [chunk(0, (1, 2, 3)), chunk(1, (1, 2)), chunk(2, (1, 2, 3)), chunk(3, (1, 2, 3), 2), chunk(4, (1, 2))]
    groups, after = group_alike(chunks, order, 5)
    assert after is None
    assert [(group.nodes, group.spans) for group in groups] == [
        ((1, 2, 3), [[0, 0], [2, 2]]), ((1, 2), [[1, 1], [4, 4]]), ((1, 2, 3), [[3, 3]])]
    assert groups[1].lacking == (3,) and groups[2].lacking == (4,)


def test_a_page_of_groups_ends_before_the_chunk_that_does_not_fit() -> None:
    chunks = [chunk(0, (1,)), chunk(1, (2,)), chunk(2, (1,)), chunk(3, (3,)), chunk(4, (1,))]
    groups, after = group_alike(chunks, order, 2)
    assert ([group.chunks for group in groups], after) == ([2, 1], 3)
    groups, after = group_alike(chunks[3:], order, 2)
    assert ([group.chunks for group in groups], after) == ([1, 1], None)


def test_each_copy_has_a_reason() -> None:
    [group], _ = group_alike([chunk(0, (1, 4, 9))], order, 1)
    assert why_here(group, NodeNo(1)) == "rank 1 in the placement of this chunk"
    assert why_here(group, NodeNo(4)).startswith("rank 4: stands in")
    assert why_here(group, NodeNo(1), "down").startswith("its node does not answer")
    assert why_here(group, NodeNo(1), "draining").startswith("its node is being emptied")
    assert why_here(group, NodeNo(9)).startswith("no node that the placement would choose")


def test_how_a_group_is_covered() -> None:
    for nodes, living, said in (((1, 2, 3), {1, 2, 3}, "whole"), ((1, 2, 3), {1, 2}, "short"),
                                ((1, 2, 3), {1}, "endangered"), ((1,), {2}, "away"), ((), {1}, "lost")):
        [group], _ = group_alike([chunk(0, nodes)], order, 1)
        assert how_covered(group, living) == said
