"""Log time that one wrong clock has put ahead goes on all the same, and comes back to the others slowly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fluffy.core.health.log_time import SLOWER, LogTime

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


def test_it_is_the_wall_clock_while_that_is_ahead() -> None:
    time = LogTime()
    assert time.now_ms(log_ms=0, wall_ms=START_MS, monotonic_ms=5) == START_MS
    assert time.now_ms(log_ms=START_MS, wall_ms=START_MS + 60_000, monotonic_ms=60_005) == START_MS + 60_000


def test_after_a_jump_it_goes_on_and_does_not_wait_for_the_wall_clocks() -> None:
    time = LogTime()
    time.now_ms(log_ms=0, wall_ms=START_MS, monotonic_ms=0)
    ahead_ms = START_MS + HOUR_MS
    assert time.now_ms(log_ms=ahead_ms, wall_ms=START_MS + 1_000, monotonic_ms=1_000) == ahead_ms
    later_ms = time.now_ms(log_ms=ahead_ms, wall_ms=START_MS + 33_000, monotonic_ms=33_000)
    assert later_ms == ahead_ms + 32_000 - 32_000 // SLOWER


def test_a_wall_clock_that_goes_back_does_not_stop_it() -> None:
    time = LogTime()
    time.now_ms(log_ms=0, wall_ms=START_MS, monotonic_ms=0)
    assert time.now_ms(log_ms=START_MS, wall_ms=START_MS - HOUR_MS, monotonic_ms=16_000) == START_MS + 15_000


def test_the_wall_clock_catches_up() -> None:
    time = LogTime()
    ahead_ms = START_MS + HOUR_MS
    time.now_ms(log_ms=ahead_ms, wall_ms=START_MS, monotonic_ms=0)
    now_ms = log_ms = ahead_ms
    for minute in range(1, 16 * 60 + 1):
        now_ms = time.now_ms(log_ms=log_ms, wall_ms=START_MS + minute * 60_000, monotonic_ms=minute * 60_000)
        log_ms = max(log_ms, now_ms)
    assert now_ms == START_MS + 16 * HOUR_MS


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(-10**7, 10**7), st.integers(0, 10**6)), max_size=30))
def test_it_never_goes_back_nor_behind_the_log(steps: list[tuple[int, int, int]]) -> None:
    time = LogTime()
    before_ms = monotonic_ms = 0
    for ahead_ms, skew_ms, passed_ms in steps:
        monotonic_ms += passed_ms
        log_ms = START_MS + ahead_ms
        now_ms = time.now_ms(log_ms=log_ms, wall_ms=START_MS + skew_ms, monotonic_ms=monotonic_ms)
        assert now_ms >= max(before_ms, log_ms, START_MS + skew_ms)
        before_ms = now_ms
