"""The recorder would see it: planted losses, doubles and stale reads are found; a check that cannot fail is none."""

from __future__ import annotations

import pytest

from fluffy.core.metadata.model import Change
from tests.faults.checks import compare_with_feed
from tests.faults.recorder import Key, Operation, Record, body_of

PATH = "admin/load/c0/k0"
SIZE = 300


def history() -> Key:
    """Put 1, put 2, delete 3, put 4 (never answered)."""
    return Key(PATH, [
        Operation("put", 1, SIZE, 0.0, 0.1, 1), Operation("put", 2, SIZE, 0.2, 0.3, 2),
        Operation("delete", 3, SIZE, 0.4, 0.5), Operation("put", 4, SIZE, 0.6)])


def change(kind: str, number: int, generation: int) -> Change:
    size = len(body_of(PATH, number, SIZE)) if kind == "file-put" else 0
    return Change(number, 0, kind, PATH, generation, size, "admin")


PUT_1, PUT_2, DELETE_3, PUT_4 = (
    change("file-put", 1, 1), change("file-put", 2, 2), change("file-deleted", 3, 2), change("file-put", 4, 3))


@pytest.mark.parametrize("feed", [[PUT_1, PUT_2, DELETE_3], [PUT_1, PUT_2, DELETE_3, PUT_4]])
def test_the_acknowledged_with_or_without_the_open_one_is_right(feed: list[Change]) -> None:
    assert compare_with_feed(history(), feed) is None


@pytest.mark.parametrize(("feed", "word"), [
    ([PUT_1, DELETE_3], "lost"),
    ([PUT_1, PUT_2], "lost"),
    ([], "lost"),
    ([PUT_1, PUT_2, PUT_2, DELETE_3], "lost"),
    ([PUT_1, PUT_2, DELETE_3, PUT_4, PUT_4], "twice"),
    ([PUT_1, PUT_2, DELETE_3, DELETE_3], "twice"),
    ([PUT_2, PUT_1, DELETE_3], "lost"),
])
def test_planted_losses_doubles_and_wrong_orders_are_found(feed: list[Change], word: str) -> None:
    problem = compare_with_feed(history(), feed)
    assert problem is not None and word in problem


def violations(status: int, body: bytes, oldest: int) -> list[str]:
    record = Record()
    record.check_read(history(), status, body, oldest)
    return record.violations


def test_reads_of_what_was_acknowledged_or_is_under_way_are_right() -> None:
    assert not violations(200, body_of(PATH, 2, SIZE), 2)
    assert not violations(200, body_of(PATH, 4, SIZE), 3)
    assert not violations(404, b"", 3)
    assert not violations(404, b"", 0)
    assert not violations(404, b"", 2)


def test_stale_lost_and_foreign_reads_are_found() -> None:
    assert violations(200, body_of(PATH, 1, SIZE), 2)
    assert violations(200, body_of(PATH, 2, SIZE), 3)
    assert violations(404, b"", 4)
    assert violations(200, body_of(PATH, 9, SIZE), 0)
    assert violations(200, body_of(PATH, 2, SIZE)[:-1] + b"!", 0)


def test_the_gap_counts_from_the_kill_and_to_the_end() -> None:
    record = Record(acks_s=[0.5, 1.0, 1.2, 4.2, 4.3])
    assert record.longest_gap_s(1.1, 5.0) == pytest.approx(3.0)
    assert record.longest_gap_s(4.25, 9.0) == pytest.approx(4.7)
