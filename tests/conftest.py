"""For every test."""

from __future__ import annotations

import asyncio
import functools
import inspect
import signal
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import strategies as st

# Before pytest's own timeout, which ends the whole run: a test that waits for ever fails alone, and tells where.
PATIENCE = 0.9

# A run in the background of a shell script is born deaf to Ctrl-C, and so would be all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # In a fresh clone Hypothesis makes tables of Unicode when a text is first drawn: seconds on a busy machine, which
    # it holds against whichever test that was ("Input generation is slow"). Here they are nobody's; later in a file.
    st.text().validate()
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            mark = item.get_closest_marker("timeout")
            seconds = float(mark.args[0] if mark else item.config.getini("timeout"))
            item.obj = _bounded(item.obj, PATIENCE * seconds)


def _bounded(test: Callable[..., Awaitable[None]], seconds: float) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def bounded(*args: object, **kwargs: object) -> None:
        async with asyncio.timeout(seconds):
            await test(*args, **kwargs)
    return bounded
