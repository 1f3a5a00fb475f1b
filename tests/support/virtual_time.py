"""An event loop in which nothing is waited for: when all tasks sleep, its clock jumps to the next one that wakes.

An hour of timers takes as long as what runs in it, and the machine's load changes nothing. Only for code without
threads and sockets: those would have to wait in real time.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest.mock import patch

R = TypeVar("R")
# Any start but 0, where differences and absolute times would look alike.
START_S = 1_000.0


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = START_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "all tasks wait for something that never comes"
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`run_virtually` makes one."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_virtually(main: Coroutine[Any, Any, R]) -> R:
    """`asyncio.run` in virtual time; `time.monotonic` is the loop's clock meanwhile."""
    loop = VirtualLoop()
    try:
        with patch.object(time, "monotonic", loop.time):
            return loop.run_until_complete(main)
    finally:
        loop.close()
