"""How long bytes that nothing refers to are kept, and why that is safe.

An upload stores its chunks first and names them in the catalog last. In between, its files look like orphans. So an
upload may not last longer than `UPLOAD_LIFETIME_MAX_MS` from its first chunk to its commit (the gateways end longer
ones), and nothing is removed that could belong to one.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluffy.base.checks import invariant
from fluffy.base.units import DAY_MS, HOUR_MS

# 100 GiB at 5 MiB/s take 5.7 hours.
UPLOAD_LIFETIME_MAX_MS = 6 * HOUR_MS
ORPHAN_GRACE_MS = 1 * DAY_MS


@dataclass(frozen=True, slots=True)
class OrphanRules:
    """When a file unknown to the catalog may be removed.

    `grace_ms`: age of the file by its own time. `watched_ms`: how long the process that removes it must itself have
    known it as unknown, by its monotonic clock.
    """

    grace_ms: int = ORPHAN_GRACE_MS
    watched_ms: int = UPLOAD_LIFETIME_MAX_MS

    def __post_init__(self) -> None:
        # Twice: wall clocks of two processes may differ, and a file's time is the start of its last put.
        invariant(self.grace_ms >= 2 * UPLOAD_LIFETIME_MAX_MS, "an upload in progress is no orphan by its age")
        invariant(self.watched_ms >= UPLOAD_LIFETIME_MAX_MS, "an upload in progress is no orphan whatever the clock")


ORPHAN_RULES = OrphanRules()
