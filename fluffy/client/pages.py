"""Answers in pages, as one iterator: the next page is asked for when the last one is used up."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Page(Protocol[T_co]):
    """A page of an answer; `after` is the cursor of the next one, None on the last."""

    @property
    def items(self) -> tuple[T_co, ...]: ...
    @property
    def after(self) -> str | None: ...


class Pages(AsyncIterator[T]):
    """All items, one by one; or page by page (`next_page`) for who has a price to pay for each time it asks."""

    def __init__(self, page_after: Callable[[str | None], Awaitable[Page[T]]], after: str | None = None) -> None:
        self._page_after = page_after
        self._after = after
        self._items: deque[T] = deque()
        self._is_over = False

    async def __anext__(self) -> T:
        if not self._items:
            self._items.extend(await self.next_page())
        if not self._items:
            raise StopAsyncIteration
        return self._items.popleft()

    async def next_page(self) -> tuple[T, ...]:
        """What was not handed out yet of the present page, or else the next page; empty at the end."""
        if self._items:
            left = tuple(self._items)
            self._items.clear()
            return left
        while not self._is_over:
            page = await self._page_after(self._after)
            self._is_over = page.after in (None, self._after)
            self._after = page.after
            if page.items:
                return page.items
        return ()
