"""One of the nodes that repair is ten times slower: the others take its work, and it does not hold up the end.

Real workers, plan and state in virtual time. The measure is the same repair without the slow node: the plan gives it
nothing, and the others do all of it (`tests/faults/slow_node.py` does the same with processes).
"""

from __future__ import annotations

import pytest

from fluffy.base.units import MIB
from tests.support.repair_world import repair

COPY_S = 0.2
FAST = {1: COPY_S, 2: COPY_S, 3: COPY_S, 4: COPY_S}
SLOW = {**FAST, 4: 10 * COPY_S}


@pytest.mark.parametrize(("chunks", "length"), [(300, 20_000), (600, 20_000), (600, 8 * MIB)])
def test_a_slow_node_costs_less_than_a_third_of_the_time_without_it(chunks: int, length: int) -> None:
    without = repair(chunks, length, FAST, spared=4)
    stealing = repair(chunks, length, SLOW)
    assert stealing.copies == without.copies == sum(stealing.done.values()) == sum(without.done.values())
    assert 4 not in without.done and stealing.done[4] > 0
    assert sum(stealing.stolen.values()) > 0
    assert stealing.took_s <= 1.3 * without.took_s, (stealing, without)


def test_without_stealing_everybody_waits_for_it() -> None:
    forbidden = repair(200, 20_000, SLOW, steals=False)
    assert sum(forbidden.stolen.values()) == 0
    assert forbidden.took_s > 3 * repair(200, 20_000, FAST, spared=4).took_s


def test_a_slow_node_whose_jobs_nobody_takes_does_them_itself() -> None:
    """What the others could do they are forbidden to take: it waits for them for no longer than a job of its own."""
    alone = repair(100, 20_000, SLOW, thieves=(4,))
    assert alone.done[4] > 15
    assert alone.took_s < repair(100, 20_000, SLOW, steals=False).took_s + 15 * COPY_S
