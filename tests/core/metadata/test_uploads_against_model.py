"""Uploads in parts against a model of dictionaries: by Hypothesis, which shrinks, and by long seeded histories."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.base.units import DAY_MS
from fluffy.core.metadata.outcomes import Rejected
from tests.support.memory_state import MemoryState
from tests.support.metadata_recount import check_state
from tests.support.upload_pair import GENESIS, LEASE_MS, LENGTHS, UploadPair, size_of

PATHS = ["admin/a", "admin/d/b", "bob/a", "bob/b", "new/a"]
CHUNKS = list(LENGTHS)
NUMBERS = range(5)
NODE_SETS = [(1, 2), (1, 2, 3), (2, 3), (1,), ()]
SLEEPS_MS = [1, LEASE_MS // 2, LEASE_MS, DAY_MS]

chunk_lists = st.lists(st.sampled_from(CHUNKS), max_size=3).map(tuple)
numbers = st.sampled_from(NUMBERS)
parts = st.integers(1, 4)


class UploadMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pair = UploadPair()

    @rule(number=numbers, path=st.sampled_from(PATHS), chunks=st.none() | chunk_lists,
          if_match=st.sampled_from([None, None, "*", "other"]), create_only=st.sampled_from([False, False, True]))
    def begin(self, number: int, path: str, chunks: tuple[ChunkId, ...] | None, if_match: str | None,
              create_only: bool) -> None:
        self.pair.begin(number, path, None if chunks is None else size_of(chunks), if_match, create_only)

    @rule(number=numbers, part=parts, chunks=chunk_lists, nodes=st.sampled_from(NODE_SETS))
    def put_part(self, number: int, part: int, chunks: tuple[ChunkId, ...], nodes: tuple[int, ...]) -> None:
        self.pair.put_part(number, part, chunks, tuple(map(NodeNo, nodes)))

    @rule(number=numbers, part=parts, chunks=chunk_lists)
    def put_good_part(self, number: int, part: int, chunks: tuple[ChunkId, ...]) -> None:
        self.pair.put_part(number, part, chunks, (NodeNo(1), NodeNo(2)))

    @rule(number=numbers, proof=st.booleans(),
          named=st.just(()) | st.sets(parts).map(lambda found: tuple(sorted(found))))
    def complete(self, number: int, named: tuple[int, ...], proof: bool) -> None:
        self.pair.complete(number, named, proof)

    @rule(number=numbers)
    def abort(self, number: int) -> None:
        self.pair.abort(number)

    @rule(limit=st.sampled_from([0, 1, 100]))
    def expire(self, limit: int) -> None:
        self.pair.expire(limit)

    @rule(path=st.sampled_from(PATHS), chunks=chunk_lists)
    def put_file(self, path: str, chunks: tuple[ChunkId, ...]) -> None:
        self.pair.put_file(path, chunks)

    @rule(path=st.sampled_from(PATHS))
    def delete_file(self, path: str) -> None:
        self.pair.delete_file(path)

    @rule(ms=st.sampled_from(SLEEPS_MS))
    def sleep(self, ms: int) -> None:
        self.pair.sleep(ms)

    @rule()
    def forget_all(self) -> None:
        self.pair.forget_all()

    @rule(number=st.integers(0, 1_000))
    def repeat(self, number: int) -> None:
        self.pair.repeat(number)

    @invariant()
    def agrees(self) -> None:
        self.pair.check()

    def teardown(self) -> None:
        check_state(self.pair.state.db)
        self.pair.close()


UploadMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestUploadMachine = UploadMachine.TestCase


def wander(pair: UploadPair, rng: random.Random, steps: int) -> None:
    """Random steps, mostly parts, so that there is something to complete, abort and expire."""
    for _ in range(steps):
        number, path = rng.choice(NUMBERS), rng.choice(PATHS)
        chunks = tuple(rng.choices(CHUNKS, k=rng.randrange(4)))
        match rng.choices(range(9), [12, 45, 14, 3, 5, 8, 4, 5, 4])[0]:
            case 0:
                pair.begin(number, path, rng.choice([None, None, None, size_of(chunks)]),
                           rng.choice([None, None, None, "*"]), rng.random() < 0.2)
            case 1:
                pair.put_part(number, rng.randrange(1, 4), chunks, tuple(map(NodeNo, rng.choice(NODE_SETS))))
            case 2:
                named = tuple(sorted(rng.sample(range(1, 4), k=rng.randrange(4))))
                pair.complete(number, named, rng.random() < 0.5)
            case 3:
                pair.abort(number)
            case 4:
                pair.expire(rng.choice([0, 1, 100]))
            case 5:
                pair.put_file(path, chunks)
            case 6:
                pair.delete_file(path)
            case 7:
                pair.sleep(rng.choice(SLEEPS_MS))
                pair.forget_all()
            case 8:
                pair.repeat(rng.randrange(10_000))


@pytest.mark.parametrize("seed", range(10))
def test_long_histories_agree_with_the_model_and_replay_to_the_same_digest(seed: int) -> None:
    rng = random.Random(seed)
    with closing(UploadPair()) as pair:
        for _ in range(25):
            wander(pair, rng, 16)
            pair.check()
            check_state(pair.state.db)
        _replay(pair, rng)


def _replay(pair: UploadPair, rng: random.Random) -> None:
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


def test_random_histories_reach_the_rare_paths() -> None:
    refusals: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    for seed in range(8):
        with closing(UploadPair()) as pair:
            wander(pair, random.Random(seed), 480)
            for command, outcome in zip(pair.history, pair.outcomes, strict=True):
                if isinstance(outcome, Rejected):
                    refusals[outcome.code] += 1
                else:
                    reached[type(command).__name__] += 1
                    reached["replaced"] += bool(outcome.facts.get("replaced"))
                    reached["ended by lease"] += outcome.facts.get("ended", 0)
                    reached["freed"] += type(command).__name__ == "ExpireUploads" and outcome.facts["freed"]
    for name in ("BeginUpload", "PutPart", "CompleteUpload", "AbortUpload", "replaced", "ended by lease", "freed"):
        assert reached[name] > 0, name
    for code in ("UploadNotFound", "UploadFinished", "PartsMissing", "PreconditionFailed", "QuotaExceeded",
                 "ChunksMissing", "RequestError"):
        assert refusals[code] > 0, code
