"""Random lives of the whole tree: rules for Hypothesis, which shrinks what it finds, and long seeded histories.

Files and folders, versions and trash, tags, locks, quotas, uploads in parts, by two users, against the plain model.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fluffy.base.units import DAY_MS, HOUR_MS
from fluffy.core.metadata.outcomes import Rejected
from tests.support.memory_state import MemoryState
from tests.support.metadata_recount import check_state
from tests.support.tree_pair import GENESIS
from tests.support.tree_people import ADMIN, BOB, PeoplePair

FILES = ["admin/a", "admin/b", "admin/d/a", "admin/d/e/a", "admin/d/e/b", "new/a", "new/d/a", "admin/f/a", "bob/a"]
FOLDERS = ["admin/d", "admin/d/e", "admin/f", "new", "new/d", "admin/d/f", "admin", "bob"]
PATHS = FILES + FOLDERS
BUCKETS = ["admin", "bob", "new"]
CHUNKS = [bytes([number]) * 32 for number in range(5)]
TOKENS = [bytes([number]) * 32 for number in range(100, 103)]
SLOTS = range(3)
NO_LIMITS = (None, None)
LIMITS = [NO_LIMITS, NO_LIMITS, (3, None), (None, 4_000), (6, 9_000), (0, 0)]
TTLS_MS = [1_000, HOUR_MS]
STEPS_BETWEEN_CHECKS = 10
files, folders, paths, tokens, slots, limits = map(st.sampled_from, (FILES, FOLDERS, PATHS, TOKENS, SLOTS, LIMITS))
modes = st.sampled_from(["exclusive", "shared"])
chunk_lists = st.lists(st.sampled_from(CHUNKS), min_size=1, max_size=3).map(tuple)


class PeopleMachine(RuleBasedStateMachine):
    """One step is one rule, and after each all that readers can ask is compared."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.pair = PeoplePair()

    @rule(asker=st.sampled_from([ADMIN, ADMIN, BOB]), token=st.sampled_from([b"", b"", *TOKENS]))
    def act_as(self, asker: int, token: bytes) -> None:
        self.pair.act_as(asker, token)

    @rule(path=paths, mode=modes, ttl_ms=st.sampled_from(TTLS_MS), token=tokens)
    def lock(self, path: str, mode: str, ttl_ms: int, token: bytes) -> None:
        self.pair.lock(path, mode, ttl_ms, token)

    @rule(token=tokens, ttl_ms=st.sampled_from(TTLS_MS))
    def renew(self, token: bytes, ttl_ms: int) -> None:
        self.pair.renew(token, ttl_ms)

    @rule(token=tokens)
    def unlock(self, token: bytes) -> None:
        self.pair.unlock(token)

    @rule(path=paths)
    def break_locks(self, path: str) -> None:
        self.pair.break_locks(path)

    @rule(user=st.sampled_from([ADMIN, BOB]), of=limits)
    def limit_user(self, user: int, of: tuple[int | None, int | None]) -> None:
        self.pair.limit_user(user, of)

    @rule(name=st.sampled_from(BUCKETS), of=limits)
    def limit_bucket(self, name: str, of: tuple[int | None, int | None]) -> None:
        self.pair.limit_bucket(name, of)

    @rule(slot=slots, path=files)
    def begin(self, slot: int, path: str) -> None:
        self.pair.begin(slot, path)

    @rule(slot=slots, number=st.integers(1, 3), chunks=chunk_lists)
    def part(self, slot: int, number: int, chunks: tuple[bytes, ...]) -> None:
        self.pair.part(slot, number, chunks)

    @rule(slot=slots)
    def complete(self, slot: int) -> None:
        self.pair.complete(slot)

    @rule(slot=slots)
    def abort(self, slot: int) -> None:
        self.pair.abort(slot)

    @rule(path=files, content=st.binary(max_size=3) | chunk_lists)
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
        PeopleMachine.steps += 1
        self.pair.check()
        self.pair.tick()

    def teardown(self) -> None:
        check_state(self.pair.state.db)
        self.pair.close()


def act(pair: PeoplePair, rng: random.Random) -> None:
    """One random step; mostly ones that make something. What stands in the way does not stand there long."""
    if rng.random() < 0.25:
        act_with_people(pair, rng)
        return
    if rng.random() < 0.4:
        pair.act_as(pair.asker, b"")
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


def act_with_people(pair: PeoplePair, rng: random.Random) -> None:
    token, slot, path = rng.choice(TOKENS), rng.choice(SLOTS), rng.choice(PATHS)
    match rng.choices(range(11), [8, 4, 2, 4, 8, 3, 3, 6, 14, 8, 1])[0]:
        case 0:
            pair.act_as(rng.choice([ADMIN, ADMIN, BOB]), rng.choice([b"", token]))
        case 1:
            pair.lock(path, rng.choice(["exclusive", "shared"]), rng.choice(TTLS_MS), token)
        case 2:
            pair.renew(token, rng.choice(TTLS_MS))
        case 3:
            pair.unlock(token)
        case 4:
            pair.break_locks(path)
        case 5:
            pair.limit_user(rng.choice([ADMIN, BOB]), rng.choice([NO_LIMITS, NO_LIMITS, rng.choice(LIMITS)]))
        case 6:
            pair.limit_bucket(rng.choice(BUCKETS), rng.choice([NO_LIMITS, NO_LIMITS, rng.choice(LIMITS)]))
        case 7:
            pair.begin(slot, rng.choice(FILES))
        case 8:
            pair.part(slot, rng.choice([1, 1, 1, 2, 3]), tuple(rng.choices(CHUNKS, k=rng.randrange(1, 3))))
        case 9:
            pair.complete(slot)
        case 10:
            pair.abort(slot)


STEPS_OF_A_HISTORY = 1_000


def live(steps: int, seed: int) -> Counter[str]:
    """Histories of a thousand steps, each replayed in the end; how often each command was accepted, each code met.

    Raises AssertionError where the model and the machine disagree.
    """
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    for begun in range(0, steps, STEPS_OF_A_HISTORY):
        with closing(PeoplePair()) as pair:
            for step in range(min(STEPS_OF_A_HISTORY, steps - begun)):
                act(pair, rng)
                pair.tick()
                if step % STEPS_BETWEEN_CHECKS == 0:
                    pair.check()
                    pair.look_back(rng)
                if step % 100 == 0:
                    check_state(pair.state.db)
            for command, outcome in zip(pair.history, pair.outcomes, strict=True):
                found[outcome.code if isinstance(outcome, Rejected) else type(command).__name__] += 1
            replay(pair, rng)
    return found


def replay(pair: PeoplePair, rng: random.Random) -> None:
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
