from __future__ import annotations

import random

from fluffy.base.units import MIB
from fluffy.core.health.pacing import UserTimes
from fluffy.services.user_times import WINDOW_SECONDS, UserTimesTally, worst_of


def test_a_percentile_is_right_to_a_tenth_over_the_last_seconds() -> None:
    rng, tally, times = random.Random(3), UserTimesTally(), []
    for _ in range(WINDOW_SECONDS):
        for _ in range(200):
            times.append(rng.lognormvariate(2.0, 1.0))
            tally.note(times[-1] / 1000, 100)
        seen = tally.turn()
    exact = sorted(times)[len(times) * 99 // 100]
    assert seen.requests == 1000
    assert exact * 0.99 <= seen.p99_ms <= exact * 1.11


def test_old_seconds_and_large_transfers_do_not_count() -> None:
    tally = UserTimesTally()
    tally.note(5.0, 100)
    tally.note(9.0, 2 * MIB)
    assert tally.turn().requests == 1
    for _ in range(WINDOW_SECONDS - 1):
        assert tally.turn().requests == 1
    assert tally.turn() == UserTimes(0, 0.0)


def test_the_slowest_gateway_with_enough_requests_speaks_for_the_node() -> None:
    assert worst_of([], 20) is None
    assert worst_of([UserTimes(100, 5.0), UserTimes(3, 900.0)], 20) == UserTimes(103, 5.0)
    assert worst_of([UserTimes(12, 5.0), UserTimes(12, 9.0)], 20) == UserTimes(24, 9.0)
