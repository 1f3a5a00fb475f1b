from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fluffy.core.health.pacing import PACES, TokenBucket


def test_a_burst_of_one_second_is_free_and_then_the_rate_holds() -> None:
    bucket = TokenBucket(100, 0.0)
    assert bucket.take(100, 0.0) == 0.0
    assert bucket.take(50, 0.0) == 0.5
    assert bucket.take(50, 0.5) == 0.5


def test_one_piece_larger_than_the_burst_passes_and_is_paid_for() -> None:
    bucket = TokenBucket(10, 0.0)
    assert bucket.take(40, 0.0) == 3.0
    assert bucket.take(1, 3.0) > 0.0


def test_quiet_is_slower_than_balanced_and_balanced_than_fast() -> None:
    rates = [PACES[mode].bytes_per_s for mode in ("quiet", "balanced", "fast")]
    assert rates == sorted(rates) and len(set(rates)) == 3


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 3)), max_size=50))
def test_who_waits_as_told_never_exceeds_the_rate_plus_one_burst(steps: list[tuple[int, float]]) -> None:
    bucket, now_s, used = TokenBucket(100, 0.0), 0.0, 0
    for amount, rest_s in steps:
        now_s += rest_s
        now_s += bucket.take(amount, now_s)
        used += amount
        assert used <= 100 + 100 * now_s + 1e-6
