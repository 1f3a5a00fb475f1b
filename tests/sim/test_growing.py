"""Machines that join and go while everything else goes wrong: nothing is broken, and planted faults are found."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from fluffy.drivers.raft.library import HardenedSyncObj
from fluffy.drivers.raft.membership import Disks, Membership
from fluffy.sim.cluster import simulate
from fluffy.sim.rare import GROWING_PATHS
from fluffy.sim.run import results

SEEDS = range(12)
JOBS = min(2, len(os.sched_getaffinity(0)))
# Of a fault that is planted, at least one of these shows it.
FAULT_SEEDS = (9, 5, 2, 10, 8, 6)
# Seldom: tests/drivers/raft/test_membership.py walks it.
BY_SCRIPT = frozenset({"membership_truncated", "asked_without_vote"})


@pytest.mark.timeout(400)
def test_members_come_and_go_and_no_promise_is_broken() -> None:
    counters: Counter[str] = Counter()
    for result in results(SEEDS, JOBS, grows=True):
        assert not result.violations, (result.seed, result.violations)
        counters += result.counters
    missed = [name for name in GROWING_PATHS if not counters[name] and name not in BY_SCRIPT]
    assert not missed, "no seed takes these paths any more"


def first_violation() -> str:
    for seed in FAULT_SEEDS:
        result = simulate(seed, grows=True)
        if result.violations:
            return result.violations[0]
    return ""


def test_a_learner_that_stands_for_election_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Membership, "is_voter", property(lambda self: True))
    assert "has no vote" in first_violation()


def test_a_learner_whose_vote_counts_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    other_voters = Membership.other_voters.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(Membership, "other_voters", property(lambda self: (*other_voters(self), *self.learners)))
    monkeypatch.setattr(HardenedSyncObj, "majority", property(lambda self: len(self.membership.voters) // 2 + 1))
    assert first_violation()


def test_two_changes_at_once_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(self: Membership, voters: Disks, connected: object) -> str | None:
        return None

    monkeypatch.setattr(Membership, "refusal", careless)
    assert "two changes" in first_violation()
