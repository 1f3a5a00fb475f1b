from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fluffy.base.units import DAY_MS
from fluffy.core.repair.scrubbing import RATE_MIN_BYTES_PER_S, is_due, pass_rate

PERIOD_MS = 14 * DAY_MS
NOW_MS = 1_700_000_000_000


def test_the_first_pass_and_one_that_has_not_ended_are_due() -> None:
    assert is_due(NOW_MS, 0, 0, PERIOD_MS)
    assert is_due(NOW_MS, NOW_MS - 30 * DAY_MS, 0, PERIOD_MS)


def test_the_next_pass_begins_half_a_period_after_the_last_began() -> None:
    assert not is_due(NOW_MS, NOW_MS - 6 * DAY_MS, NOW_MS - DAY_MS, PERIOD_MS)
    assert is_due(NOW_MS, NOW_MS - 7 * DAY_MS, NOW_MS - DAY_MS, PERIOD_MS)
    assert is_due(NOW_MS, NOW_MS + DAY_MS, NOW_MS + 2 * DAY_MS, PERIOD_MS), "the clock was set back"


@given(st.integers(0, 1 << 50), st.integers(1, 3650))
def test_the_rate_reads_all_in_half_of_the_time(stored_bytes: int, days: int) -> None:
    rate = pass_rate(stored_bytes, days * DAY_MS)
    assert rate >= RATE_MIN_BYTES_PER_S
    assert (rate + 1) * (days * 86_400 // 2) >= stored_bytes
