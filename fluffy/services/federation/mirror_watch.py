"""What others do at a mirror's target, noticed within seconds: its change feed is followed too.

A change becomes "make this as the source's is now", as everything else does, so a copy that was removed or changed at
the target comes back without a comparison of all. The mirror's own writes are known by their generation and skipped;
what slips through costs one look. No circle comes of it: a copy carries a mark and goes back to nowhere, and who fights
with a mirror about a file is answered slower each time.
"""

from __future__ import annotations

import asyncio

from cachetools import LRUCache

from fluffy.base.errors import HistoryCut
from fluffy.ports import Clock
from fluffy.ports_federation import FeedChange
from fluffy.services.federation.mirror_files import MirrorFiles
from fluffy.services.federation.mirror_sides import Side
from fluffy.services.federation.mirror_store import UNKNOWN_SEQ, MirrorStore, Todo

FEED_WAIT_S = 1
# The answer to a write of our own comes about when the feed tells of it.
OWN_WRITE_S = 0.3
# New folders at the target, and old versions that go for good, change nothing of what a mirror keeps.
_HARMLESS = frozenset({"folder-made", "bucket-made", "file-purged", "folder-purged"})
# Noticed again within this time, a place is made good later: 0, 1, 2, 4, … seconds.
FIGHT_MS = 3_600_000
FIGHT_WAIT_MOST_MS = 60_000
PLACES_MAX = 10_000


class MirrorWatch:
    """`noticed`: changes of others since the start. `error`: why the feed is not followed now; '': it is."""

    def __init__(self, mirror: str, target: Side, files: MirrorFiles, store: MirrorStore, clock: Clock) -> None:
        self.noticed = 0
        self.error = ""
        self._mirror = mirror
        self._target = target
        self._files = files
        self._store = store
        self._clock = clock
        self._fights: LRUCache[Todo, tuple[int, int]] = LRUCache(PLACES_MAX)

    async def watch_once(self) -> bool:
        """One piece of the target's feed; True: there is more at once. Raises what stands in the way."""
        cursor = self._store.cursor(self._mirror)
        if cursor is None or not self._files.is_ready or not self._target.is_reachable:
            return False
        if cursor.target_seq == UNKNOWN_SEQ:
            seq = (await self._target.position()).seen.seq
            self._store.take_target(self._mirror, cursor, seq, (), self._clock.now_ms())
            return True
        try:
            answer = await self._target.changes(cursor.target_seq, FEED_WAIT_S)
        except HistoryCut:
            await self._begin_anew()
            return True
        self.error = ""
        seen = answer.seen
        if seen.epoch != cursor.target_epoch or seen.is_stale:
            return False  # another cluster: who follows the source sees it and compares everything
        if seen.seq < cursor.target_seq:
            await self._begin_anew()
            return True
        if answer.next > cursor.target_seq:
            if answer.changes:
                await asyncio.sleep(OWN_WRITE_S)
            self._store.take_target(self._mirror, cursor, answer.next, self._todos(answer.changes),
                                    self._clock.now_ms())
        return answer.more

    async def _begin_anew(self) -> None:
        """Nobody knows what happened in between: compare everything."""
        cursor = self._store.cursor(self._mirror)
        if cursor is not None:
            seq = (await self._target.position()).seen.seq
            self._store.take_target(self._mirror, cursor, seq, (), self._clock.now_ms())
            self._store.compare(self._mirror, self._clock.now_ms())

    def _todos(self, changes: tuple[FeedChange, ...]) -> list[tuple[Todo, int]]:
        """What the changes of others mean, each place once, with the time when it is due."""
        todos: dict[Todo, None] = {}
        for change in changes:
            path, source = self._inside(change.path), self._inside(change.source)
            if change.kind in _HARMLESS or (path is None and source is None):
                continue
            if path is not None and self._files.was_own(change.kind, path, change.generation):
                continue
            self.noticed += 1
            kind = "file" if change.kind.startswith("file") else "tree"
            todos |= {Todo(kind, place): None for place in (path, source) if place is not None}
        return [(todo, self._due_ms(todo)) for todo in todos]

    def _due_ms(self, todo: Todo) -> int:
        now_ms = self._clock.now_ms()
        times, last_ms = self._fights.get(todo, (0, 0))
        times = times + 1 if now_ms - last_ms < FIGHT_MS else 1
        self._fights[todo] = times, now_ms
        return now_ms + (0 if times == 1 else min(500 << min(times, 10), FIGHT_WAIT_MOST_MS))

    def _inside(self, path: str) -> str | None:
        """The path in the target's bucket; None: it is in another one."""
        bucket, _, inside = path.partition("/")
        return inside if bucket == self._target.bucket else None
