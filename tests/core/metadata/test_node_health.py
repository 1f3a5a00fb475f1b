"""Since when a node is away is kept in the state, in log time, whoever leads."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from fluffy.core.metadata import queries
from fluffy.core.metadata.commands import FEATURE_LEVEL, SetFeatureLevel
from tests.support.jobs_commands import placement
from tests.support.local_log import genesis_command, header
from tests.support.memory_state import MemoryState
from tests.support.metadata_commands import CLUSTER

GENESIS = replace(genesis_command(3, at_ms=0), feature_level=FEATURE_LEVEL)


def down_since(state: MemoryState) -> list[int]:
    return [health.down_since_ms for health in queries.node_healths(state.db)]


def test_down_counts_from_the_first_map_that_says_so() -> None:
    with closing(MemoryState(GENESIS)) as state:
        state.accept(placement(1, "up", "down", "suspect", at_ms=2_000))
        state.accept(placement(2, "up", "down", "down", at_ms=3_000))
        state.term = 2
        state.accept(placement(3, "suspect", "down", "down", at_ms=4_000, term=2))
        assert down_since(state) == [0, 2_000, 3_000]
        assert [health.since_ms for health in queries.node_healths(state.db)] == [4_000, 2_000, 3_000]


def test_a_node_that_flaps_is_away_until_it_is_trusted_again() -> None:
    with closing(MemoryState(GENESIS)) as state:
        for epoch, word in enumerate(("down", "suspect", "down", "suspect"), start=1):
            state.accept(placement(epoch, "up", "up", word, at_ms=1_000 * epoch))
        assert down_since(state) == [0, 0, 1_000]
        state.accept(placement(5, "up", "up", "up", at_ms=9_000))
        assert down_since(state) == [0, 0, 0]
        state.accept(placement(6, "up", "up", "down", at_ms=10_000))
        assert down_since(state) == [0, 0, 10_000]


def test_it_is_kept_from_the_feature_level_on_that_knows_it() -> None:
    """Before it some members run programs without the table; what they apply must give the same state."""
    with closing(MemoryState(replace(GENESIS, feature_level=1))) as state:
        state.accept(placement(1, "up", "up", "down", at_ms=1_000))
        assert queries.node_healths(state.db) == ()
        state.accept(SetFeatureLevel(header(CLUSTER, 5_000), FEATURE_LEVEL))
        assert down_since(state) == [0, 0, 5_000]
