"""The thread behind the blocking face: one event loop, which any thread may give work to.

Ctrl-C while work is waited for cancels it, waits until it has tidied up (a broken download keeps its part), and is
raised on.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

import uvloop

from fluffy.client.pages import Pages

T = TypeVar("T")

# Tidying up after Ctrl-C writes at most a few buffered megabytes.
TIDY_S = 10.0


class LoopThread:
    """A running event loop in a daemon thread of its own. `close()` ends it."""

    def __init__(self, name: str) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()
        self._closed = False
        self._running: set[Future[Any]] = set()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel what still runs, do `last`, and end the loop and the thread. Harmless a second time."""
        if self._closed:
            last.close()
            return
        if threading.current_thread() is self._thread:  # the garbage collector may run anywhere
            self._closed = True
            asyncio.run_coroutine_threadsafe(_then_stop(last), self._loop)
            return
        self.run(_end_the_others())
        self.run(last)
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Let `work` run; it is awaited, or cancelled, through the future."""
        if self._closed:
            work.close()
            raise RuntimeError("this Fluffy is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def leave(self, work: Coroutine[Any, Any, object]) -> None:
        """Let `work` run without waiting for it, from any thread, also the loop's own; dropped once closed."""
        if self._closed:
            work.close()
        else:
            asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let `work` run, and wait for what comes of it. Raises RuntimeError where that would wait for itself."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a callback of a Fluffy (progress, observer) runs in its own thread and cannot wait "
                               "for it; note what you need and ask later, or elsewhere")
        tidied = threading.Event()

        async def watched() -> T:
            try:
                return await work
            finally:
                tidied.set()
        watching = watched()
        try:
            future = self.start(watching)
        except BaseException:  # closed, or Ctrl-C came this early: nobody will do it
            for coroutine in (watching, work):
                if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                    coroutine.close()
            raise
        self._running.add(future)
        try:
            return future.result()
        except CancelledError:
            tidied.wait(TIDY_S)
            raise
        except BaseException:
            if future.cancel():  # we were interrupted, not it
                tidied.wait(TIDY_S)
            raise
        finally:
            self._running.discard(future)

    def interrupt(self) -> None:
        """Cancel what all threads are waiting for now: their calls raise `concurrent.futures.CancelledError`."""
        for future in tuple(self._running):
            future.cancel()

    def pull(self, items: AsyncIterator[T]) -> Iterator[T]:
        """The items, one by one, as they are asked for; what comes in pages crosses the threads in pages."""
        if isinstance(items, Pages):
            while page := self.run(items.next_page()):
                yield from page
            return
        while True:
            try:
                item = self.run(_next(items))
            except StopAsyncIteration:
                return
            yield item


async def _then_stop(last: Coroutine[Any, Any, None]) -> None:
    await _end_the_others()
    await last
    asyncio.get_running_loop().stop()


async def _end_the_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)
