"""Time that also passes while the machine is suspended, for promises about what other machines do meanwhile."""

from __future__ import annotations

import time


def boottime_s() -> float:
    """Seconds since this machine's start; monotonic, and set by nobody."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
