"""The machine's clocks, for `ports.Clock`."""

from __future__ import annotations

import time


class SystemClock:
    """Wall time for stamps, `time.monotonic` for waiting (the clock of asyncio, uvloop and `Deadline`)."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()
