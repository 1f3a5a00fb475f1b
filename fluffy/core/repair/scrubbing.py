"""When a disk is read again, and how fast: every byte once within `scrub_days`, at the lowest rate that this takes.

A pass takes half of the time; the next one begins when half has gone by since the last began. So between two reads of
one byte lies at most the whole time, also when a pass was slow, and half of it is there for nodes that were away.
"""

from __future__ import annotations

from fluffy.base.checks import invariant
from fluffy.base.units import KIB, SECOND_MS

# Small disks are read in a day rather than slowly for a week: 22 GiB a day.
RATE_MIN_BYTES_PER_S = 256 * KIB


def is_due(now_ms: int, started_ms: int, finished_ms: int, period_ms: int) -> bool:
    """Whether a pass goes on or should begin. `started_ms` 0: there was none; `finished_ms` 0: it goes on.

    A clock that was set back (the start lies in the future) begins a new pass rather than waiting for it.
    """
    invariant(period_ms > 0, "scrubbing has a period")
    if started_ms == 0 or finished_ms == 0:
        return True
    return now_ms >= started_ms + period_ms // 2 or now_ms < started_ms


def pass_rate(stored_bytes: int, period_ms: int) -> int:
    """Bytes a second that read all of it in half of the period."""
    return max(RATE_MIN_BYTES_PER_S, stored_bytes * SECOND_MS * 2 // period_ms)
