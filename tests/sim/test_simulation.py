"""The whole cluster under fifty seeds, and proof that it would notice: planted faults, and the library as released."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fluffy.core.metadata import apply_move, locks
from fluffy.core.metadata.dedup import RequestWindow
from fluffy.drivers.raft.elections import Elections
from fluffy.drivers.raft.journal import SegmentedJournal
from fluffy.drivers.raft.library import HardenedSyncObj
from fluffy.drivers.raft.reads import LinearizableReads
from fluffy.drivers.raft.transport import RaftTransport
from fluffy.sim import run
from fluffy.sim.cluster import Result, simulate
from fluffy.sim.disk import SimFile
from fluffy.sim.member import Stock
from fluffy.sim.places import KINDS
from fluffy.sim.rare import BY_SCRIPT, RARE_PATHS
from fluffy.sim.run import results
from fluffy.sim.scale import replaced

SUITE_SEEDS = range(50, 100)
JOBS = min(2, len(os.sched_getaffinity(0)))


@pytest.fixture(scope="module")
def suite() -> list[Result]:
    return list(results(SUITE_SEEDS, JOBS))


@pytest.mark.timeout(400)
def test_fifty_seeds_break_no_promise(suite: list[Result]) -> None:
    assert {result.seed: result.violations for result in suite if result.violations} == {}
    assert sum(result.writes_acked for result in suite) > 5000 and sum(result.reads for result in suite) > 1000


@pytest.mark.parametrize("name", [name for name in RARE_PATHS if name not in BY_SCRIPT])
def test_the_seeds_of_the_suite_take_each_rare_path(suite: list[Result], name: str) -> None:
    total: Counter[str] = sum((result.counters for result in suite), Counter())
    assert total[name] > 0, f"no seed of the suite reaches {name}: it wants a script"


def test_the_seeds_of_the_suite_do_everything_to_the_tree_and_meet_what_refuses_it(suite: list[Result]) -> None:
    total: Counter[str] = sum((result.counters for result in suite), Counter())
    for name in (*(f"{kind}_done" for kind in KINDS), "make_PreconditionFailed", "move_FileNotFound",
                 "move_AlreadyExists", "carry_AlreadyExists", "add_FileLocked", "lock_FileLocked", "add_LockLost",
                 "unlock_LockNotFound"):
        assert total[f"places_{name}"] > 0, name
    assert total["barrier_looks"] > 0


TRACES = "from fluffy.sim.cluster import simulate; print([simulate(seed).trace_hash for seed in range(100, 104)])"


def test_a_seed_gives_the_same_run_whatever_the_hash_seed() -> None:
    """Sets of text iterate differently in each process; a run must not depend on it."""
    traces = [subprocess.run([sys.executable, "-c", TRACES], env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
                             capture_output=True, text=True, timeout=100).stdout for seed in ("1", "2")]
    assert traces[0] == traces[1] and traces[0].count(",") == 3


def test_seeds_differ() -> None:
    assert simulate(100).trace_hash != simulate(101).trace_hash


def first_violation(seeds: range, stock: Stock | None = None) -> str:
    """What the first seed that finds anything says; fails the test when none does."""
    for seed in seeds:
        violations = simulate(seed, stock=stock).violations
        if violations:
            return violations[0]
    raise AssertionError(f"{len(seeds)} seeds found nothing")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("stock", ["transport", "journal"])
def test_the_library_as_released_is_caught_losing_acknowledged_writes(stock: Stock) -> None:
    for seed in range(200):
        if simulate(seed, stock=stock).lost:
            return
    raise AssertionError("200 seeds found no lost write: the simulation has no teeth")


# -- planted faults

def _acks_at_once(self: RaftTransport, peer: Any, message: dict[str, Any]) -> bool:
    ORIGINAL_HOLD(self, peer, message)
    self.release_acks()
    return True


def _nothing(*_arguments: Any) -> None:
    """Does not do it."""


def _confirm_nothing(self: LinearizableReads, current: Any) -> None:
    self._finish_round(current.index)


def _grant_always(self: Elections, name: str, message: dict[str, Any]) -> None:
    self._transport.send_to(name, {"type": "pre_vote_granted", "term": message["term"]})


def _forgets_votes(self: SegmentedJournal, term: int, vote: str | None) -> None:
    self._term, self._vote = term, vote


def _apply_too_early(self: HardenedSyncObj) -> bool:
    self._SyncObj__raftCommitIndex = self.journal.last_index
    return bool(ORIGINAL_APPLY(self))


ORIGINAL_HOLD = RaftTransport._hold
ORIGINAL_APPLY = HardenedSyncObj._SyncObj__applyLogEntries

PLANTED: list[tuple[str, Any, str, Callable[..., Any], str]] = [
    ("acknowledgements leave before the sync", RaftTransport, "_hold", _acks_at_once, "acknowledges"),
    ("syncs do nothing", SimFile, "fdatasync", _nothing, ""),
    ("a vote is not written", SegmentedJournal, "setCurrentTerm", _forgets_votes, "votes twice"),
    ("reads are not confirmed by a majority", LinearizableReads, "_judge_round", _confirm_nothing, "a read of"),
    ("repeated requests are not recognised", RequestWindow, "lookup", _nothing, ""),
    ("locks keep nobody out", locks, "refuse_held", _nothing, "under the lock"),
    ("a move replaces what stands there", apply_move, "_refuse_target", _nothing, "was accepted at"),
    ("entries are applied too early", HardenedSyncObj, "_SyncObj__applyLogEntries", _apply_too_early, ""),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("target", "name", "fault", "says"), [planted[1:] for planted in PLANTED],
                         ids=[planted[0] for planted in PLANTED])
def test_a_planted_fault_is_found(target: Any, name: str, fault: Callable[..., Any], says: str) -> None:
    with replaced([(target, name, fault)]):
        assert says in first_violation(range(60, 120))


@pytest.fixture
def quiet(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    yield lambda: capsys.readouterr().out


def test_the_command_tells_the_seed_and_fails(quiet: Callable[[], str]) -> None:
    with replaced([(RaftTransport, "_hold", _acks_at_once)]):
        assert run.main(["--seeds", "2", "--jobs", "1"]) == 1
    told = quiet()
    assert "seed 0: " in told and "2 of them with violations" in told


def test_the_command_writes_a_trace(tmp_path: Any, quiet: Callable[[], str]) -> None:
    trace = tmp_path / "trace"
    assert run.main(["--seeds", "1", "--start", "7", "--trace", str(trace)]) == 0
    lines = trace.read_text().splitlines()
    assert len(lines) > 1000 and any(" turn one " in line for line in lines)
    assert "0 of them with violations" in quiet()
