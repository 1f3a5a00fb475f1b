"""How late a command may be stamped: by what the voters' clocks say, not by its proposer's alone.

Log time is the newest stamp of any command and never goes back, so one clock that is years ahead would end every lock,
lease and trash at once. Each node therefore knows the clocks of the voters and holds its own commands' stamps back
where its own clock is far ahead of most. A stamp is changed before its entry is made: what is applied stays a matter of
the log alone.

Of the voters' clocks the middle one counts (of an even number the lower): fewer than half of them may be wrong. One
that was not heard yet counts as earlier than all others: else two wrong ones of five would be most of three. Log time
as it goes on by itself is always allowed, so where most clocks are wrong and behind, it does not stand still.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fluffy.base.units import MINUTE_MS
from fluffy.core.health.log_time import LogTime

# Clocks that differ by less are left alone; the doctor calls more than that critical (checks_nodes.SKEW_CRITICAL_MS).
AHEAD_MAX_MS = 1 * MINUTE_MS


@dataclass(slots=True)
class StampRule:
    """Of one process. `hear` what other nodes say, `limit_ms` before each command."""

    _heard: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> its wall clock, our monotonic one then
    _time: LogTime = field(default_factory=LogTime)

    def hear(self, name: str, *, wall_ms: int, monotonic_ms: int) -> None:
        self._heard[name] = wall_ms, monotonic_ms

    def limit_ms(self, other_voters: Iterable[str], *, own_ms: int | None, monotonic_ms: int,
                 log_ms: int) -> int | None:
        """The latest stamp; None: nobody is known to compare with. `own_ms` None: this node has no vote."""
        going_on_ms = self._time.now_ms(log_ms=log_ms, wall_ms=0, monotonic_ms=monotonic_ms)
        others = list(other_voters)
        told = [self._heard[name] for name in others if name in self._heard]
        clocks = sorted([wall_ms + monotonic_ms - then_ms for wall_ms, then_ms in told]
                        + ([] if own_ms is None else [own_ms]))
        if len(clocks) < 2:
            return None
        voters = len(others) + (own_ms is not None)
        middle = (voters - 1) // 2 - (voters - len(clocks))
        return max(clocks[max(0, middle)] + AHEAD_MAX_MS, going_on_ms)
