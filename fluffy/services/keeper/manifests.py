"""Keeping the manifests level with the state: following the change feed, walking over everything, beginning anew.

Each round takes one bounded piece and makes it durable with the mark of how far it reaches, so a kill at any point
costs one piece. It is background work: it lags under load and catches up, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import ParamSpec, TypeVar

from fluffy.base.deadline import Deadline
from fluffy.base.errors import DeadlineExceeded
from fluffy.base.threads import in_thread
from fluffy.base.units import MIB
from fluffy.core.metadata import queries_manifests, queries_search
from fluffy.core.metadata.manifest import BucketManifest, Manifest, MarkManifest, Place, UserManifest
from fluffy.core.metadata.queries_search import IndexChanges
from fluffy.ports import Clock, ManifestLog, ManifestState, MetadataReader

log = logging.getLogger("fluffy.keeper")
P = ParamSpec("P")
R = TypeVar("R")

FOLLOW_EVERY_S = 0.5
FEED_CHANGES = 1_000
BUILD_ENTRIES = 500
# After a piece, users have the core and the disk for as long as it took, at most this.
REST_MAX_S = 0.5
# A read of all users and buckets; only when something changed.
PEOPLE_EVERY_S = 5.0
# A series is written anew when it is more than twice what stands in the state, and by more than this.
ANEW_BYTES_MIN = 64 * MIB
READ_TIMEOUT_S = 30.0


Also = Callable[[str, int, IndexChanges], Awaitable[None]]


class ManifestKeeper:
    """Call `one_round` often; True means that there is more to do at once.

    `also` is given what the same part of the feed means for the search index, and the position before it.
    """

    def __init__(self, reader: MetadataReader, manifests: ManifestLog, clock: Clock, disk: Executor,
                 anew_bytes_min: int = ANEW_BYTES_MIN, also: Also | None = None) -> None:
        self._also = also
        self._reader = reader
        self._manifests = manifests
        self._clock = clock
        self._disk = disk
        self._anew_bytes_min = anew_bytes_min
        self._whole_bytes: int | None = None
        self._people: dict[tuple[type, int], Manifest] = {}
        self._people_seq = -1
        self._people_from_s = 0.0

    async def one_round(self) -> bool:
        began_s = self._clock.monotonic_s()
        has_more = await self._round()
        if has_more:
            await asyncio.sleep(min(REST_MAX_S, self._clock.monotonic_s() - began_s))
        return has_more

    async def _round(self) -> bool:
        point = self._reader.read(queries_search.feed_point)
        if point.cluster_uuid is None:
            return False
        state = await self._in_disk_thread(self._manifests.open, point.cluster_uuid)
        mark = state.mark
        if mark is None or await self._is_mostly_old(state, mark):
            await self._begin_anew(point.seq)
            return True
        if point.seq > mark.seq and await self._follow(mark, point.cluster_uuid):
            return True
        if mark.building is not None:
            return await self._build(mark.building)
        await self._tell_people(point.seq)
        return False

    async def _is_mostly_old(self, state: ManifestState, mark: MarkManifest) -> bool:
        """When it has doubled, a scan tells whether files were added or changed."""
        if mark.building is not None:
            return False
        if self._whole_bytes is None:  # after a restart
            self._whole_bytes = state.built_bytes
        if state.bytes <= 2 * self._whole_bytes + self._anew_bytes_min:
            return False
        try:
            living = await self._reader.read_in_thread(queries_manifests.living_bytes, Deadline.after(READ_TIMEOUT_S))
        except DeadlineExceeded:
            return True  # a walk goes by pieces, and ends
        if state.bytes > 2 * living + self._anew_bytes_min:
            return True
        self._whole_bytes = living
        return False

    async def _begin_anew(self, seq: int) -> None:
        log.info("manifests.begun", extra={"seq": seq})
        self._people.clear()
        self._people_seq = -1
        await self._in_disk_thread(self._manifests.begin_series, MarkManifest(seq, self._clock.now_ms(), (0, "")))

    async def _follow(self, mark: MarkManifest, cluster_uuid: str) -> bool:
        """One piece of the feed; True: there is more of it, or all has to begin anew."""
        changes = await self._reader.read_in_thread(
            lambda db: queries_manifests.manifest_changes(db, mark.seq, FEED_CHANGES), Deadline.after(READ_TIMEOUT_S))
        if changes.anew:
            await self._begin_anew(changes.seq)
            return True
        if changes.seq < mark.seq:
            return False  # the state lost its last commits in a power failure, and makes them again
        if self._also is not None and changes.index is not None:
            await self._also(cluster_uuid, mark.seq, changes.index)
        await self._append(changes.records, replace(mark, seq=changes.seq, at_ms=self._clock.now_ms()))
        return changes.more

    async def _build(self, after: Place) -> bool:
        records, following = await self._reader.read_in_thread(
            lambda db: queries_manifests.all_manifests(db, after, BUILD_ENTRIES), Deadline.after(READ_TIMEOUT_S))
        state = await self._in_disk_thread(self._manifests.open, self._cluster_uuid())
        assert state.mark is not None
        mark = replace(state.mark, at_ms=self._clock.now_ms(), building=following)
        if following is not None:
            await self._append(records, mark)
            return True
        # People first, so that a series that is whole has them.
        await self._append((*records, *await self._people_news()), mark)
        await self._in_disk_thread(self._manifests.drop_older_series)
        state = await self._in_disk_thread(self._manifests.open, self._cluster_uuid())
        self._whole_bytes = state.bytes
        log.info("manifests.whole", extra={"bytes": state.bytes, "seq": mark.seq})
        return False

    def _cluster_uuid(self) -> str:
        return self._reader.read(queries_search.feed_point).cluster_uuid or ""

    async def _tell_people(self, seq: int) -> None:
        """What is new about users and buckets: no feed tells of it."""
        now_s = self._clock.monotonic_s()
        if seq == self._people_seq or now_s < self._people_from_s:
            return
        self._people_from_s = now_s + PEOPLE_EVERY_S
        news = await self._people_news()
        self._people_seq = seq
        state = await self._in_disk_thread(self._manifests.open, self._cluster_uuid())
        if news and state.mark is not None:
            await self._append(news, state.mark)

    async def _people_news(self) -> list[Manifest]:
        found = await self._reader.read_in_thread(queries_manifests.people_manifests, Deadline.after(READ_TIMEOUT_S))
        now: dict[tuple[type, int], Manifest] = {}
        seq = 0
        news: list[Manifest] = []
        for record in found:
            if not isinstance(record, UserManifest | BucketManifest):
                continue
            key = (type(record), record.no)
            seq = max(seq, record.seq)
            now[key] = replace(record, seq=0)
            if self._people.get(key) != now[key]:
                news.append(record)
        for kind, no in self._people:
            if kind is UserManifest and (kind, no) not in now:
                news.append(UserManifest(seq, no, "", "", 0, None, True, None, None))
        self._people = now
        return news

    async def _append(self, records: tuple[Manifest, ...] | list[Manifest], mark: MarkManifest) -> None:
        await self._in_disk_thread(self._manifests.append, records, mark)

    async def _in_disk_thread(self, call: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        return await in_thread(self._disk, call, *arguments, **named)
