"""What compaction leaves for followers that lag a little: bounded in entries and in bytes."""

from __future__ import annotations

from random import Random

import pytest

from fluffy.drivers.raft import journal as journal_module
from fluffy.drivers.raft.checkpoints import CheckpointPolicy
from fluffy.drivers.raft.journal import RETAIN_BYTES_MAX, SegmentedJournal
from fluffy.sim.disk import SimDisk


def filled(entries: int, body_bytes: int) -> SegmentedJournal:
    journal = SegmentedJournal(SimDisk(Random(0)), retain_entries=20)
    for index in range(1, entries + 1):
        journal.add(bytes(body_bytes), index, 1)
    journal.sync()
    return journal


def test_small_entries_are_retained_by_count() -> None:
    journal = filled(100, 10)
    journal.compact_to(95)
    assert journal.first_index == 81


def test_large_entries_are_retained_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "RETAIN_BYTES_MAX", 5_000)
    journal = filled(100, 1_000)
    journal.compact_to(99)
    assert journal.first_index == 96
    assert journal.bytes_since_base < 6_000


def test_nothing_that_the_checkpoint_does_not_cover_is_let_go() -> None:
    journal = filled(100, 10)
    journal.compact_to(50)
    assert journal.first_index == 50


def test_what_is_retained_does_not_make_the_next_checkpoint_due() -> None:
    assert CheckpointPolicy().log_bytes_min // 2 >= RETAIN_BYTES_MAX
