"""Running a blocking call in a pool of threads, with an end that can be relied on.

A thread cannot be stopped. Whoever lent it memory or a descriptor must not take them back before it has ended; so a
cancelled `in_thread` waits for its call to end and only then lets the cancellation through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(threads: Executor, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """`call(…)` in `threads`. Once this returned, raised or was cancelled, the call is over or never began."""
    # With the context of who asks, so that lines logged there know the request.
    work = threads.submit(copy_context().run, partial(call, *arguments, **named))
    ended = asyncio.wrap_future(work)
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        if not work.cancel():
            await _outlive(ended)
        raise


async def _outlive(ended: asyncio.Future[T]) -> None:
    """Wait for `ended` whatever happens: the caller is being cancelled already, a second time changes nothing."""
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            continue
    if not ended.cancelled():
        ended.exception()  # looked at, so that nobody warns about it: the caller's own end is the news
