"""The state machine against a model of dictionaries: by Hypothesis, which shrinks, and by long seeded histories."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import DAY_MS, HOUR_MS
from fluffy.core.metadata.outcomes import Rejected
from tests.support.memory_state import MemoryState
from tests.support.metadata_model import CHUNK_LENGTHS, GENESIS, Pair
from tests.support.metadata_recount import check_state

FILES = ["admin/a", "admin/b", "admin/d/a", "admin/d/e/a", "new/a", "new/d/a", "admin/a/x"]
FOLDERS = ["admin/d", "admin/d/e", "new", "new/d", "admin/f", "admin/b", "admin"]
CHUNKS = list(CHUNK_LENGTHS)
NODES = [NodeNo(1), NodeNo(2), NodeNo(3)]
SLEEPS_MS = [1, HOUR_MS, DAY_MS, 2 * DAY_MS]

chunk_lists = st.lists(st.sampled_from(CHUNKS), min_size=1, max_size=3).map(tuple)
node_sets = st.sampled_from([(1, 2), (1, 2), (2, 3), (1, 2, 3), (1,), ()]).map(lambda nodes: tuple(map(NodeNo, nodes)))
pairs = st.lists(st.tuples(st.sampled_from(CHUNKS), st.sampled_from(NODES)), max_size=3)


class TreeMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    @rule(path=st.sampled_from(FILES), content=st.binary(max_size=3), none=st.booleans(), parents=st.booleans())
    def put_inline(self, path: str, content: bytes, none: bool, parents: bool) -> None:
        self.pair.put(path, content, if_none_match=none, parents=parents)

    @rule(path=st.sampled_from(FILES), chunks=chunk_lists, nodes=node_sets)
    def put_chunks(self, path: str, chunks: tuple[ChunkId, ...], nodes: tuple[NodeNo, ...]) -> None:
        self.pair.put(path, chunks, nodes)

    @rule(path=st.sampled_from(FILES), generation=st.integers(1, 4))
    def put_if_match(self, path: str, generation: int) -> None:
        self.pair.put(path, b"m", if_match_generation=generation)

    @rule(path=st.sampled_from(FILES), purge=st.booleans())
    def delete(self, path: str, purge: bool) -> None:
        self.pair.delete(path, purge=purge)

    @rule(path=st.sampled_from(FOLDERS), parents=st.booleans())
    def mkdir(self, path: str, parents: bool) -> None:
        self.pair.mkdir(path, parents=parents)

    @rule(path=st.sampled_from(FOLDERS))
    def rmdir(self, path: str) -> None:
        self.pair.rmdir(path)

    @rule(added=pairs, removed=pairs)
    def replicas(self, added: list[tuple[ChunkId, NodeNo]], removed: list[tuple[ChunkId, NodeNo]]) -> None:
        self.pair.replicas(added, removed)

    @rule(grace_ms=st.sampled_from([0, HOUR_MS]))
    def forget(self, grace_ms: int) -> None:
        self.pair.forget(grace_ms)

    @rule(ms=st.sampled_from(SLEEPS_MS))
    def sleep(self, ms: int) -> None:
        self.pair.sleep(ms)

    @rule()
    def expire(self) -> None:
        self.pair.expire()

    @rule(number=st.integers(0, 1_000))
    def repeat(self, number: int) -> None:
        self.pair.repeat(number)

    @invariant()
    def agrees(self) -> None:
        self.pair.check()

    def teardown(self) -> None:
        check_state(self.pair.state.db)
        self.pair.close()


TreeMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestTreeMachine = TreeMachine.TestCase


def wander(pair: Pair, rng: random.Random, steps: int) -> None:
    """Random steps, mostly puts, so that there is something to delete, expire and forget."""
    for _ in range(steps):
        path = rng.choice(FILES)
        match rng.choices(range(9), [30, 30, 12, 4, 8, 12, 5, 5, 6])[0]:
            case 0:
                pair.put(path, rng.randbytes(rng.randrange(4)), if_none_match=rng.random() < 0.1,
                         parents=rng.random() < 0.8)
            case 1:
                nodes = rng.choice([(1, 2), (1, 2), (2, 3), (1, 2, 3), (1,), ()])
                pair.put(path, tuple(rng.choices(CHUNKS, k=rng.randrange(1, 4))), tuple(map(NodeNo, nodes)))
            case 2:
                pair.delete(path, purge=rng.random() < 0.3)
            case 3:
                pair.mkdir(rng.choice(FOLDERS), parents=rng.random() < 0.5)
            case 4:
                pair.rmdir(rng.choice(FOLDERS))
            case 5:
                pair.replicas([(rng.choice(CHUNKS), rng.choice(NODES))], [(rng.choice(CHUNKS), rng.choice(NODES))])
            case 6:
                pair.forget(rng.choice([0, HOUR_MS]))
            case 7:
                pair.sleep(rng.choice(SLEEPS_MS))
                pair.expire()
            case 8:
                pair.repeat(rng.randrange(10_000))


@pytest.mark.parametrize("seed", range(12))
def test_long_histories_agree_with_the_model_and_replay_to_the_same_digest(seed: int) -> None:
    rng = random.Random(seed)
    with closing(Pair()) as pair:
        for _ in range(25):
            wander(pair, rng, 16)
            pair.check()
            check_state(pair.state.db)
        _replay(pair, rng)


def _replay(pair: Pair, rng: random.Random) -> None:
    """The same commands, in other entries and transactions, with restarts: the same answers, the same digest."""
    with closing(MemoryState(GENESIS)) as state:
        outcomes = []
        at = 0
        while at < len(pair.history):
            end = at + rng.randrange(1, 40)
            outcomes += state.run(*pair.history[at:end])
            at = end
            state = state.reopened()
        assert outcomes == pair.outcomes
        assert state.machine.digest() == pair.state.machine.digest()


RARE_ROWS = {"a folder that shelters trash": "folders WHERE removed", "a floor": "folders WHERE floor",
             "a missing chunk": "chunks WHERE copies < wanted", "a free chunk": "chunks WHERE refs = 0"}


def test_random_histories_reach_the_rare_paths() -> None:
    refusals: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    for seed in range(6):
        with closing(Pair()) as pair:
            rng = random.Random(seed)
            for _ in range(60):
                wander(pair, rng, 8)
                db = pair.state.db
                for name, table_and_condition in RARE_ROWS.items():
                    reached[name] += db.execute(f"SELECT count(*) FROM {table_and_condition}").fetchone()[0]
            refusals.update(outcome.code for outcome in pair.outcomes if isinstance(outcome, Rejected))
            reached["forgotten"] += sum(outcome.facts.get("forgotten", 0) for outcome in pair.outcomes)
            reached["freed"] += sum(outcome.facts.get("freed", 0) for outcome in pair.outcomes)
    for name in (*RARE_ROWS, "forgotten", "freed"):
        assert reached[name] > 0, name
    for code in ("BucketNotFound", "FolderNotFound", "FileNotFound", "IsFile", "IsFolder", "FolderNotEmpty",
                 "AlreadyExists", "PreconditionFailed", "ChunksMissing"):
        assert refusals[code] > 0, code
