from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fluffy.core.health.pacing import FLOOR_BYTES_PER_S, PACES, Feedback, TokenBucket, UserTimes


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


def test_a_new_rate_counts_from_now_on() -> None:
    bucket = TokenBucket(100, 0.0)
    bucket.take(200, 0.0)
    assert bucket.wait_s(0, 0.0) == 1.0
    bucket.set_rate(10, 0.5)
    assert bucket.wait_s(0, 0.5) == 5.0
    assert bucket.wait_s(10, 5.5) == 1.0
    bucket.set_rate(1_000, 6.5)
    assert bucket.take(10, 6.5) == 0.0


BALANCED = PACES["balanced"]
CALM, STRAINED = UserTimes(100, 20.0), UserTimes(100, 31.0)


def fed(times: list[tuple[UserTimes | None, bool]]) -> list[int]:
    """The rates, one observation a second."""
    feedback = Feedback(BALANCED, 0.0)
    return [feedback.observe(users, working, float(second)) for second, (users, working) in enumerate(times)]


def test_times_half_as_long_again_halve_the_rate_down_to_a_floor() -> None:
    rates = fed([(CALM, False)] + [(STRAINED, True)] * 20)
    whole = BALANCED.bytes_per_s
    assert rates[0] == whole
    assert rates[1] == rates[3] == whole // 2, "once in a window"
    assert rates[4] == whole // 4
    assert rates[-1] == whole // 16


def test_the_rate_grows_back_in_steps_when_users_are_well_again() -> None:
    rates = fed([(CALM, False)] + [(STRAINED, True)] * 20 + [(CALM, True)] * 25)
    back = rates[21:]
    assert back == sorted(back) and back[-1] == BALANCED.bytes_per_s
    assert back[0] < BALANCED.bytes_per_s // 8


def test_few_requests_and_times_of_milliseconds_are_in_nobodys_way() -> None:
    assert set(fed([(CALM, False)] + [(UserTimes(5, 900.0), True)] * 9)) == {BALANCED.bytes_per_s}
    assert set(fed([(UserTimes(100, 2.0), False)] + [(UserTimes(100, 6.0), True)] * 9)) == {BALANCED.bytes_per_s}
    assert set(fed([(None, True)] * 9)) == {BALANCED.bytes_per_s}


def test_slow_times_without_background_work_are_no_reason_to_slow_down() -> None:
    rates = fed([(CALM, False)] * 3 + [(UserTimes(100, 300.0), False)] * 20 + [(UserTimes(100, 300.0), True)] * 5)
    assert set(rates) == {BALANCED.bytes_per_s}


def test_without_an_idle_value_the_best_time_seen_is_the_measure() -> None:
    rates = fed([(UserTimes(100, 80.0), True)] * 3 + [(CALM, True)] * 9 + [(UserTimes(100, 80.0), True)] * 3)
    assert rates[11] == BALANCED.bytes_per_s and rates[12] == BALANCED.bytes_per_s // 2


def test_another_knob_begins_with_all_that_it_allows() -> None:
    feedback = Feedback(BALANCED, 0.0)
    feedback.observe(CALM, False, 0.0)
    feedback.observe(STRAINED, True, 1.0)
    feedback.set_pace(BALANCED)
    assert feedback.bytes_per_s == BALANCED.bytes_per_s // 2
    feedback.set_pace(PACES["quiet"])
    assert feedback.bytes_per_s == PACES["quiet"].bytes_per_s


def test_even_the_quiet_floor_brings_a_chunk_within_a_lease() -> None:
    feedback = Feedback(PACES["quiet"], 0.0)
    feedback.observe(CALM, False, 0.0)
    assert min(feedback.observe(STRAINED, True, float(second)) for second in range(1, 60)) == FLOOR_BYTES_PER_S
