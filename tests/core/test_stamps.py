"""One clock, however wrong, takes log time no further than most voters' clocks say, and no good one is held back."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from fluffy.core.health.stamps import AHEAD_MAX_MS, StampRule

START_MS = 1_700_000_000_000
YEAR_MS = 365 * 86_400_000
# How far good clocks are apart here; half of what is left alone.
APART_MS = AHEAD_MAX_MS // 2
MAJORITY = {3: 2, 4: 3, 5: 3}


@dataclass
class Node:
    """`off_ms`: its clock minus the time that it is. `booted_ms`: of its monotonic clock."""

    name: str
    off_ms: int
    booted_ms: int
    rule: StampRule = field(default_factory=StampRule)


class World:
    """Nodes that tell each other their clocks and propose; only what a majority has heard of is committed."""

    def __init__(self, offs: list[int]) -> None:
        self.true_ms = START_MS
        self.log_ms = START_MS
        self.nodes = [Node(str(number), off, 1_000_000 * number) for number, off in enumerate(offs)]

    def tell(self, speaker: Node, listener: Node) -> None:
        listener.rule.hear(speaker.name, wall_ms=self.true_ms + speaker.off_ms,
                           monotonic_ms=self.true_ms - listener.booted_ms)

    def tell_all(self) -> None:
        for one in self.nodes:
            for other in self.nodes:
                if one is not other:
                    self.tell(one, other)

    def stamp(self, node: Node) -> tuple[int, int]:
        """(what its clock says, what the rule makes of it), proposed and committed."""
        wall_ms = self.true_ms + node.off_ms
        limit_ms = node.rule.limit_ms([other.name for other in self.nodes if other is not node], own_ms=wall_ms,
                                      monotonic_ms=self.true_ms - node.booted_ms, log_ms=self.log_ms)
        stamped_ms = wall_ms if limit_ms is None else min(wall_ms, limit_ms)
        self.log_ms = max(self.log_ms, stamped_ms)
        return wall_ms, stamped_ms


GOOD = st.integers(-APART_MS, APART_MS)
WRONG = st.sampled_from([-50 * YEAR_MS, -YEAR_MS, 600_000, 86_400_000, 30 * YEAR_MS])
STEPS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 1_000, 60_000, 3_600_000])), max_size=30)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(MAJORITY)), st.data(), STEPS)
def test_fewer_than_half_of_the_clocks_do_not_take_log_time_away(count: int, data: st.DataObject,
                                                                 steps: list[tuple[int, int]]) -> None:
    good = data.draw(st.lists(GOOD, min_size=MAJORITY[count], max_size=count))
    wrong = data.draw(st.lists(WRONG, min_size=count - len(good), max_size=count - len(good)))
    world = World(data.draw(st.permutations([*good, *wrong])))
    world.tell_all()
    for number, passed_ms in steps:
        world.true_ms += passed_ms
        node = world.nodes[number % count]
        if passed_ms == 60_000:
            world.tell_all()
        wall_ms, stamped_ms = world.stamp(node)
        assert world.log_ms <= world.true_ms + APART_MS + AHEAD_MAX_MS
        if abs(node.off_ms) <= APART_MS:
            assert stamped_ms == wall_ms, "a good clock is not held back"


@given(st.sampled_from([30 * YEAR_MS, 600_000]), st.booleans())
def test_who_has_heard_one_other_only_believes_the_earlier_clock(off_ms: int, is_mine: bool) -> None:
    world = World([off_ms, 0, 0] if is_mine else [0, off_ms, 0])
    world.tell(world.nodes[1], world.nodes[0])
    assert world.stamp(world.nodes[0])[1] <= START_MS + AHEAD_MAX_MS


@given(st.sampled_from([4, 5, 7]), st.data())
def test_wrong_clocks_are_no_majority_where_good_ones_are_not_heard(count: int, data: st.DataObject) -> None:
    """They are down since this node was started; as many as can commit are there, and one of them is good."""
    world = World([30 * YEAR_MS] * ((count - 1) // 2) + [0] * (count // 2 + 1))
    for other in [*world.nodes[1:(count - 1) // 2], world.nodes[-1]]:
        world.tell(other, world.nodes[0])
    for other in data.draw(st.lists(st.sampled_from(world.nodes[1:]))):
        world.tell(other, world.nodes[0])
    world.stamp(world.nodes[0])
    assert world.log_ms <= START_MS + AHEAD_MAX_MS


def test_a_clock_that_jumps_is_held_back_at_once_and_many_commands_do_not_add_up() -> None:
    world = World([0, 0, 0])
    world.tell_all()
    world.nodes[2].off_ms = 30 * YEAR_MS  # nobody has been told yet
    for _ in range(1_000):
        world.stamp(world.nodes[2])
    assert world.log_ms == START_MS + AHEAD_MAX_MS


def test_where_most_clocks_are_behind_log_time_goes_on_by_itself() -> None:
    world = World([0, -YEAR_MS, -YEAR_MS])
    world.tell_all()
    for _ in range(60):
        world.true_ms += 1_000
        world.stamp(world.nodes[0])
    assert START_MS + 55_000 <= world.log_ms <= world.true_ms


def test_alone_nobody_is_asked() -> None:
    rule = StampRule()
    assert rule.limit_ms([], own_ms=START_MS, monotonic_ms=5, log_ms=START_MS) is None
    assert rule.limit_ms(["two"], own_ms=START_MS, monotonic_ms=5, log_ms=START_MS) is None
