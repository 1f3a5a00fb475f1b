"""Bytes of files of other clusters that passed through here: kept in blocks, given up least recently used first.

A block belongs to one generation of a file, which never changes, so nothing has to be invalidated; whether the asker
may read the file, and which generation is the present one, is asked of its cluster each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cachetools import LRUCache

from fluffy.base.checks import invariant
from fluffy.base.units import MIB

BLOCK_BYTES = 1 * MIB


@dataclass(frozen=True, slots=True)
class BlockKey:
    """`etag` too: a cluster that was begun anew may use a generation again."""

    cluster: str
    path: str
    generation: int
    etag: str
    block: int


class FileCache:
    """At most `bytes_max`; 0 keeps nothing."""

    def __init__(self, bytes_max: int) -> None:
        self._kept: LRUCache[BlockKey, bytes] = LRUCache(bytes_max, getsizeof=len)
        self._coming: dict[BlockKey, asyncio.Lock] = {}
        self.hits = 0
        self.misses = 0

    @property
    def kept_bytes(self) -> int:
        return int(self._kept.currsize)

    def has(self, key: BlockKey) -> bool:
        return key in self._kept

    async def get(self, key: BlockKey, fetch: Callable[[], Awaitable[bytes]]) -> bytes:
        """The block; those who want the same one at once wait for one `fetch`."""
        found = self._kept.get(key)
        if found is None:
            lock = self._coming.setdefault(key, asyncio.Lock())
            async with lock:
                found = self._kept.get(key)
                if found is None:
                    try:
                        return await self._fetch(key, fetch)
                    finally:
                        self._coming.pop(key, None)
        self.hits += 1
        return found

    async def _fetch(self, key: BlockKey, fetch: Callable[[], Awaitable[bytes]]) -> bytes:
        self.misses += 1
        block = await fetch()
        invariant(len(block) <= BLOCK_BYTES, "a block fits its bound")
        if len(block) <= self._kept.maxsize:
            self._kept[key] = block
        return block
