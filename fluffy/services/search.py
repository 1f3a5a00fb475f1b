"""Keeping the search index level with the state: following the change feed, building, listing again, sweeping.

Each round takes one bounded piece and stores the cursor with the rows, so a kill at any point costs one piece. The
feed is followed during a build too: what a build has passed already would otherwise be missed.

The sweep goes round slowly and forgets what the state does not have any more (content of purged folders, of which the
feed tells only the folder).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import ParamSpec, TypeVar

from fluffy.base.deadline import Deadline
from fluffy.base.errors import FluffyError, IndexCorrupt
from fluffy.base.threads import in_thread
from fluffy.core.metadata import queries_search
from fluffy.core.metadata.queries_search import FeedPoint, IndexChanges
from fluffy.ports import Clock, IndexState, MetadataReader, SearchIndex

log = logging.getLogger("fluffy.keeper")
P = ParamSpec("P")
R = TypeVar("R")

# A file is found so soon after it was put while there are few changes ...
FOLLOW_EVERY_S = 0.1
# ... and while there are more than this in a pass, within this: a pass costs the same for one change and for hundreds.
BUSY_CHANGES = 20
BUSY_EVERY_S = 0.7
# Some 20 ms of work each, so a stop is never far.
FEED_CHANGES = 2_000
BUILD_ENTRIES = 5_000
# Between two pieces of a build the disk and the core belong to others for as long as a piece took, at most this.
BUILD_REST_MAX_S = 0.1
SWEEP_ROWS = 2_000
SWEEP_EVERY_S = 1.0
# While there is much to follow, it waits for so much longer.
SWEEP_BUSY_S = 10.0
READ_TIMEOUT_S = 10.0


class SearchFollower:
    """Call `one_round` often; True means that there is more to do at once."""

    def __init__(self, reader: MetadataReader, index: SearchIndex, clock: Clock, disk: Executor) -> None:
        self._reader = reader
        self._index = index
        self._clock = clock
        self._disk = disk
        self._turn = asyncio.Lock()  # the index takes one call at a time
        self._seen: IndexState | None = None  # the index when it was looked at last
        self._follow_from_s = 0.0
        self._swept_no = 0
        self._sweep_from_s = clock.monotonic_s() + SWEEP_EVERY_S

    async def one_round(self) -> bool:
        async with self._turn:
            try:
                return await self._round()
            except IndexCorrupt as error:
                log.warning("search.damaged", extra={"reason": str(error.__cause__)})
                await self._begin_anew()
                return True

    async def take(self, cluster_uuid: str, since_seq: int, changes: IndexChanges) -> None:
        """A part of the feed from `since_seq` on that another follower has read. Of use when the cursor is in it."""
        async with self._turn:
            try:
                state = self._seen = await self._in_disk_thread(self._index.open)
                if state.cluster_uuid == cluster_uuid and since_seq <= state.seq < changes.seq:
                    await self._apply(state, changes)
            except (FluffyError, OSError, sqlite3.OperationalError):
                return  # seen again in the next round, and mended or told there: the other follower goes on

    async def _round(self) -> bool:
        if self._is_in_order() and self._is_busy():
            return False
        point = self._reader.read(queries_search.feed_point)
        if point.cluster_uuid is None or self._is_level(point):
            return False
        state = self._seen = await self._in_disk_thread(self._index.open)
        if state.cluster_uuid != point.cluster_uuid:
            await self._start(state, point, point.cluster_uuid)
            return True
        if point.seq < state.seq:
            await self._in_disk_thread(self._index.rewind, point.seq)
            return True
        if point.seq > state.seq and not self._is_busy() and await self._follow(state):
            return True
        if state.building is not None:
            return await self._build(state.building)
        if state.walk is not None:
            return await self._walk(*state.walk)
        if self._is_sweep_due():
            await self._sweep(state)
        return False

    def _is_in_order(self) -> bool:
        """Nothing is left to do but to follow. The sweep looks again: an index that was lost is missed soon."""
        seen = self._seen
        return seen is not None and seen.building is None and seen.walk is None and not self._is_sweep_due()

    def _is_level(self, point: FeedPoint) -> bool:
        seen = self._seen
        return (seen is not None and self._is_in_order() and seen.cluster_uuid == point.cluster_uuid
                and seen.seq == point.seq)

    def _is_busy(self) -> bool:
        return self._clock.monotonic_s() < self._follow_from_s

    def _is_sweep_due(self) -> bool:
        late_s = self._clock.monotonic_s() - self._sweep_from_s
        return late_s >= (SWEEP_BUSY_S if self._is_busy() else 0.0)

    async def _start(self, state: IndexState, point: FeedPoint, cluster_uuid: str) -> None:
        if state.cluster_uuid:
            await self._begin_anew()
        log.info("search.rebuilding", extra={"seq": point.seq})
        await self._in_disk_thread(self._index.start_build, cluster_uuid, point.seq)

    async def _follow(self, state: IndexState) -> bool:
        """One piece of the feed; True: there is more of it, or all has to begin anew."""
        changes = await self._reader.read_in_thread(
            lambda db: queries_search.index_changes(db, state.seq, FEED_CHANGES), Deadline.after(READ_TIMEOUT_S))
        if changes.cut:
            log.info("search.cut", extra={"seq": state.seq})
            await self._begin_anew()
            return True
        if changes.seq < state.seq:
            return True  # another meta.db was put in place meanwhile; the next round looks again
        await self._apply(state, changes)
        return changes.more

    async def _apply(self, state: IndexState, changes: IndexChanges) -> None:
        self._seen = None  # it may have found folders to be listed
        await self._in_disk_thread(self._index.apply, changes)
        if not changes.walks:
            self._seen = replace(state, seq=changes.seq)
        if changes.seq - state.seq > BUSY_CHANGES and not changes.more:
            self._follow_from_s = self._clock.monotonic_s() + BUSY_EVERY_S

    async def _begin_anew(self) -> None:
        self._seen = None
        await self._in_disk_thread(self._index.begin_anew)

    async def _build(self, after: tuple[int, str]) -> bool:
        began_s = self._clock.monotonic_s()
        entries = await self._reader.read_in_thread(
            lambda db: queries_search.all_entries(db, after, BUILD_ENTRIES), Deadline.after(READ_TIMEOUT_S))
        is_last = len(entries) < BUILD_ENTRIES
        last = None if is_last else (entries[-1].parent, entries[-1].key)
        await self._in_disk_thread(self._index.load, entries, last)
        if is_last:
            log.info("search.rebuilt")
            return False
        await asyncio.sleep(min(BUILD_REST_MAX_S, self._clock.monotonic_s() - began_s))
        return True

    async def _walk(self, folder_no: int, after: str) -> bool:
        entries = await self._reader.read_in_thread(
            lambda db: queries_search.entries_of_folder(db, folder_no, after, BUILD_ENTRIES),
            Deadline.after(READ_TIMEOUT_S))
        last = None if len(entries) < BUILD_ENTRIES else entries[-1].key
        await self._in_disk_thread(self._index.load_folder, folder_no, entries, last)
        return True

    async def _sweep(self, state: IndexState) -> None:
        """Compare the next rows with a state that is not older than the index."""
        self._sweep_from_s = self._clock.monotonic_s() + SWEEP_EVERY_S
        known = await self._in_disk_thread(self._index.known, self._swept_no, SWEEP_ROWS)
        self._swept_no = known[-1][0] if len(known) == SWEEP_ROWS else 0
        gone, point = await self._reader.read_in_thread(
            lambda db: (queries_search.not_there(db, known), queries_search.feed_point(db)),
            Deadline.after(READ_TIMEOUT_S))
        if gone and point.seq >= state.seq and point.cluster_uuid == state.cluster_uuid:
            await self._in_disk_thread(self._index.remove, gone)

    async def _in_disk_thread(self, call: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        return await in_thread(self._disk, call, *arguments, **named)
