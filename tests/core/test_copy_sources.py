from __future__ import annotations

from fluffy.base.hashing import chunk_id_of
from fluffy.base.ids import NodeNo
from fluffy.core.repair.copy_sources import copy_sources

CHUNKS = [chunk_id_of(b"%d" % number) for number in range(60)]
NODES = tuple(NodeNo(no) for no in (1, 2, 3))


def test_all_holders_but_oneself_are_asked_once() -> None:
    assert set(copy_sources(CHUNKS[0], NODES, NodeNo(2), {})) == {1, 3}
    assert copy_sources(CHUNKS[0], (NodeNo(2),), NodeNo(2), {}) == ()


def test_readers_spread_over_the_holders() -> None:
    states = dict.fromkeys(NODES, "up")
    assert {copy_sources(chunk, NODES, NodeNo(9), states)[0] for chunk in CHUNKS} == set(NODES)


def test_who_hardly_answers_is_asked_last() -> None:
    states = {NodeNo(1): "down", NodeNo(2): "suspect", NodeNo(3): "draining"}
    assert all(copy_sources(chunk, NODES, NodeNo(9), states) == (3, 2, 1) for chunk in CHUNKS)
