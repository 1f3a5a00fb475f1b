"""The whole tree against its model: everything people do to files and folders, by Hypothesis and by long histories.

FLUFFY_TREE_STEPS=100000 makes the long history as long (`make sim` does).
"""

from __future__ import annotations

import os
import random
from collections import Counter
from contextlib import closing

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fluffy.base.units import DAY_MS, HOUR_MS
from fluffy.core.metadata.outcomes import Rejected
from tests.support.memory_state import MemoryState
from tests.support.metadata_recount import check_state
from tests.support.tree_pair import GENESIS, TreePair

FILES = ["admin/a", "admin/b", "admin/d/a", "admin/d/e/a", "admin/d/e/b", "new/a", "new/d/a", "admin/f/a"]
FOLDERS = ["admin/d", "admin/d/e", "admin/f", "new", "new/d", "admin/d/f", "admin"]
PATHS = FILES + FOLDERS
CHUNKS = [bytes([number]) * 32 for number in range(5)]
STEPS = int(os.environ.get("FLUFFY_TREE_STEPS", "1500"))
STEPS_BETWEEN_CHECKS = 10
files, folders, paths = map(st.sampled_from, (FILES, FOLDERS, PATHS))


class PeopleMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pair = TreePair()

    @rule(path=files, content=st.binary(max_size=3) | st.lists(st.sampled_from(CHUNKS), min_size=1,
                                                                max_size=3).map(tuple))
    def put(self, path: str, content: bytes | tuple[bytes, ...]) -> None:
        self.pair.put(path, content)

    @rule(path=files, data=st.binary(max_size=3))
    def append(self, path: str, data: bytes) -> None:
        self.pair.append(path, data)

    @rule(path=files, at=st.integers(0, 2), drop=st.integers(0, 1), chunk=st.sampled_from(CHUNKS))
    def patch(self, path: str, at: int, drop: int, chunk: bytes) -> None:
        self.pair.patch(path, at, drop, chunk)

    @rule(path=files, value=st.text("xyz", max_size=2))
    def tag(self, path: str, value: str) -> None:
        self.pair.tag(path, value)

    @rule(path=files)
    def touch(self, path: str) -> None:
        self.pair.touch(path)

    @rule(path=files)
    def delete(self, path: str) -> None:
        self.pair.delete(path)

    @rule(path=folders)
    def delete_folder(self, path: str) -> None:
        self.pair.delete_folder(path)

    @rule(path=folders)
    def mkdir(self, path: str) -> None:
        self.pair.mkdir(path)

    @rule(path=folders)
    def rmdir(self, path: str) -> None:
        self.pair.rmdir(path)

    @rule(src=paths, dst=paths, overwrite=st.booleans())
    def move(self, src: str, dst: str, overwrite: bool) -> None:
        self.pair.move(src, dst, overwrite)

    @rule(src=paths, dst=paths, overwrite=st.booleans())
    def copy(self, src: str, dst: str, overwrite: bool) -> None:
        self.pair.copy(src, dst, overwrite)

    @rule(path=files, back=st.integers(1, 3))
    def restore(self, path: str, back: int) -> None:
        self.pair.restore(path, back)

    @rule(path=paths, place=st.none() | paths)
    def undelete(self, path: str, place: str | None) -> None:
        self.pair.undelete(path, place)

    @rule()
    def empty(self) -> None:
        self.pair.empty()

    @rule(ms=st.sampled_from([HOUR_MS, DAY_MS]))
    def expire(self, ms: int) -> None:
        self.pair.tick(ms)
        self.pair.expire()

    @rule(rng=st.randoms(use_true_random=False))
    def look_back(self, rng: random.Random) -> None:
        self.pair.look_back(rng)

    @invariant()
    def agrees(self) -> None:
        self.pair.check()
        self.pair.tick()

    def teardown(self) -> None:
        check_state(self.pair.state.db)
        self.pair.close()


PeopleMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestPeopleMachine = PeopleMachine.TestCase


def act(pair: TreePair, rng: random.Random) -> None:
    """One random step; mostly ones that make something."""
    path, folder = rng.choice(FILES), rng.choice(FOLDERS)
    anything = [rng.choice(PATHS) for _ in range(2)]
    match rng.choices(range(14), [24, 8, 8, 4, 4, 8, 4, 6, 4, 12, 8, 6, 8, 1])[0]:
        case 0:
            pair.put(path, rng.randbytes(2) if rng.random() < 0.5 else tuple(rng.choices(CHUNKS, k=3)))
        case 1:
            pair.append(path, rng.randbytes(2))
        case 2:
            pair.patch(path, rng.randrange(3), rng.randrange(2), rng.choice(CHUNKS))
        case 3:
            pair.tag(path, str(rng.randrange(10)))
        case 4:
            pair.touch(path)
        case 5:
            pair.delete(path)
        case 6:
            pair.delete_folder(folder)
        case 7:
            pair.mkdir(folder)
        case 8:
            pair.rmdir(folder)
        case 9:
            pair.move(*anything, rng.random() < 0.5)
        case 10:
            pair.copy(*anything, rng.random() < 0.5)
        case 11:
            pair.restore(path, rng.randrange(1, 4))
        case 12:
            pair.undelete(anything[0], rng.choice([None, anything[1]]))
        case 13:
            if rng.random() < 0.3:
                pair.empty()
            else:
                pair.tick(rng.choice([HOUR_MS, DAY_MS]))
                pair.expire()


@pytest.mark.timeout(3_600)
def test_a_long_history_agrees_with_the_model_and_looks_back_truly() -> None:
    rng = random.Random(3)
    refusals: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    done = 0
    while done < STEPS:
        with closing(TreePair()) as pair:
            for step in range(min(1_000, STEPS - done)):
                act(pair, rng)
                pair.tick()
                if step % STEPS_BETWEEN_CHECKS == 0:
                    pair.check()
                    pair.look_back(rng)
                if step % 100 == 0:
                    check_state(pair.state.db)
                done += 1
            for command, outcome in zip(pair.history, pair.outcomes, strict=True):
                if isinstance(outcome, Rejected):
                    refusals[outcome.code] += 1
                else:
                    accepted[type(command).__name__] += 1
            replay(pair, rng)
    for kind in ("Move", "Copy", "DeleteFolder", "Undelete", "RestoreVersion", "PatchFile", "AppendFile", "EmptyTrash"):
        assert accepted[kind] > 0, kind
    for code in ("IntoItself", "AlreadyExists", "IsFile", "IsFolder", "VersionNotFound", "FolderNotEmpty"):
        assert refusals[code] > 0, code


def replay(pair: TreePair, rng: random.Random) -> None:
    """The same commands, in other transactions and with restarts: the same answers, the same digest."""
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
