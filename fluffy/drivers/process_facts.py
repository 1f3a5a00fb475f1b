"""What the kernel knows of this process: its time, memory and open files (proc(5))."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from fluffy.wire.metric_samples import Samples

_PAGE_BYTES = resource.getpagesize()


class ProcessFacts:
    """Make it when the process begins."""

    def __init__(self) -> None:
        self._started_s = time.time()

    def tell(self, samples: Samples) -> None:
        times = os.times()
        samples.add("fluffy_process_start_time_seconds", self._started_s)
        samples.add("fluffy_process_cpu_seconds_total", times.user + times.system)
        samples.add("fluffy_process_resident_memory_bytes", _resident_bytes())
        samples.add("fluffy_process_open_fds", len(os.listdir("/proc/self/fd")))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
