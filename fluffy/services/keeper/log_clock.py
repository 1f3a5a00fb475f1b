"""The keeper's clock for what happens in log time: the stamps of its commands, and what it thinks is due."""

from __future__ import annotations

from fluffy.core.health.log_time import LogTime
from fluffy.core.metadata import queries
from fluffy.ports import Clock, MetadataReader


class LogClock:
    """A `Clock` whose `now_ms` goes on from the newest log time when the wall clock is behind that (log_time.py)."""

    def __init__(self, clock: Clock, reader: MetadataReader) -> None:
        self._clock = clock
        self._reader = reader
        self._time = LogTime()

    def now_ms(self) -> int:
        state = self._reader.read(queries.cluster_state)
        return self._time.now_ms(log_ms=0 if state is None else state.clock_ms, wall_ms=self._clock.now_ms(),
                                 monotonic_ms=int(self._clock.monotonic_s() * 1000))

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()
