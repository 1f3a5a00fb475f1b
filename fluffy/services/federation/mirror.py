"""One mirror: a bucket of a cluster kept in another one, continuously. Its rules: docs/FEDERATION.md.

Two halves. One follows the source's change feed, and the target's for what others do there (mirror_watch.py), and
stores what is to be done together with the position behind it; the workers do it. What is to be done is always "make
this as the source's is now", so it may be done late, twice, in any order, after a kill and by two supernodes. Without a
position (the beginning, another history, a feed that was cut) everything is compared; and once a day, for what nobody
thought of.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Literal

from fluffy.base.errors import ClusterUnreachable, FluffyError, HistoryCut, Overloaded
from fluffy.ports import Clock
from fluffy.ports_federation import ChangesAnswer, FeedChange
from fluffy.services.federation.mirror_files import MirrorFiles
from fluffy.services.federation.mirror_sides import Side
from fluffy.services.federation.mirror_store import Cursor, Kept, MirrorStore, Todo, Work
from fluffy.services.federation.mirror_trees import MirrorTrees
from fluffy.services.federation.mirror_watch import MirrorWatch
from fluffy.services.federation.told import reason_of

log = logging.getLogger("fluffy.supernode")

FEED_WAIT_S = 1
WORKERS = 4
LOOK_EVERY_S = 0.2
# Files are one row each; more than this wait in the feed.
PENDING_MAX = 10_000
FIRST_WAIT_MS = 500
MOST_WAIT_MS = 30_000
# What is refused is not likely to be allowed a moment later.
REFUSED_WAIT_MS = 300_000
REST_FIRST_S = 0.5
REST_MOST_S = 30.0
COMPARE_EVERY_MS = 24 * 3600 * 1000
# How often the target is asked whether it is still the same cluster.
TARGET_EVERY_S = 10.0
_FOLDERS = ("folder-made", "folder-removed", "folder-moved", "folder-deleted", "folder-undeleted", "bucket-made",
            "bucket-removed")
_MOVES = {"file-moved": "file", "folder-moved": "move"}

State = Literal["level", "behind", "comparing", "stopped"]


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """`fresh_as_of_ms`: the target was then as the source; None: never yet. `changes`: known and not followed yet;
    `pending`: followed and not done yet. `error`: why it is stopped, or of the oldest work that failed.
    """

    state: State
    fresh_as_of_ms: int | None
    lag_ms: int
    changes: int
    pending: int
    error: str


class Mirror:
    """`run` it. `name`: for people; `key`: for the store, which follows from the two ends."""

    def __init__(self, name: str, source: Side, target: Side, store: MirrorStore, clock: Clock) -> None:
        self.name = name
        self.key = f"{source}>{target}"
        self.source = source
        self.target = target
        self.files = MirrorFiles(self.key, source, target, store)
        self.watch = MirrorWatch(self.key, target, self.files, store, clock)
        self._trees = MirrorTrees(self.key, self.files, store)
        self._store = store
        self._clock = clock
        self._busy: set[tuple[str, str]] = set()
        self._head = 0
        self._stopped_by = "it has just started"
        self._target_at_s = 0.0
        self._target_seen = ("", 0)
        self._behind_since_ms = clock.now_ms()

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_following())
            group.create_task(self._keep_watching())
            for _ in range(WORKERS):
                group.create_task(self._keep_working())

    def lag(self) -> tuple[int, int]:
        """Changes that are known and not followed yet, and those that are followed and not done yet."""
        cursor = self._store.cursor(self.key)
        return max(0, self._head - cursor.seq) if cursor is not None else 0, self._store.count(self.key)

    def status(self) -> MirrorStatus:
        cursor = self._store.cursor(self.key)
        changes, pending = self.lag()
        state: State = "stopped"
        if not self._stopped_by:
            is_level = cursor is not None and cursor.compared_ms and not pending and not changes
            state = "level" if is_level else "behind" if cursor is not None and cursor.compared_ms else "comparing"
        failed = self._store.failed(self.key, 1)
        fresh_ms = cursor.level_ms if cursor is not None and cursor.level_ms else None
        lag_ms = 0 if state == "level" else max(0, self._clock.now_ms() - (fresh_ms or self._behind_since_ms))
        return MirrorStatus(state, fresh_ms, lag_ms, changes, pending,
                            self._stopped_by or (failed[0].error if failed else ""))

    def failed(self, limit: int) -> list[Work]:
        return self._store.failed(self.key, limit)

    def kept(self, limit: int) -> list[Kept]:
        return self._store.kept(self.key, limit)

    def kept_count(self) -> int:
        return self._store.kept_count(self.key)

    # The feed

    async def _keep_following(self) -> None:
        rest_s = REST_FIRST_S
        while True:
            was_stopped = bool(self._stopped_by)
            try:
                more = await self.follow_once()
            except FluffyError as error:
                if not was_stopped:
                    log.warning("mirror.stopped", extra={"mirror": self.name, "reason": reason_of(error)})
                self._stopped_by = reason_of(error)
                await asyncio.sleep(rest_s)
                rest_s = min(2 * rest_s, REST_MOST_S) if not self._is_somebody_away else REST_FIRST_S
            else:
                if was_stopped:
                    log.info("mirror.follows", extra={"mirror": self.name})
                rest_s = REST_FIRST_S
                await asyncio.sleep(0 if more else 0.01)

    async def _keep_watching(self) -> None:
        while True:
            try:
                more = await self.watch.watch_once()
            except FluffyError as error:
                if not self.watch.error:
                    log.warning("mirror.target_not_followed", extra={"mirror": self.name, "reason": reason_of(error)})
                self.watch.error, more = reason_of(error), False
                await asyncio.sleep(REST_FIRST_S)
            await asyncio.sleep(0 if more else LOOK_EVERY_S)

    @property
    def _is_somebody_away(self) -> bool:
        return not (self.source.is_reachable and self.target.is_reachable)

    async def follow_once(self) -> bool:
        """One piece of the feed; True: there is more at once. Raises what stands in the way."""
        for side in (self.source, self.target):
            if not side.is_reachable:
                raise ClusterUnreachable(f"cluster {side.cluster} does not answer now")
        cursor = self._store.cursor(self.key)
        target_epoch = await self._look_at_target(cursor)
        if cursor is None or target_epoch != cursor.target_epoch:
            await self._begin(target_epoch)
            return True
        try:
            answer = await self.source.changes(cursor.seq, FEED_WAIT_S if self.files.is_ready else 0)
        except HistoryCut:
            await self._begin(target_epoch)
            return True
        seen = answer.seen
        if seen.epoch != cursor.epoch or (seen.seq < cursor.seq and not seen.is_stale):
            await self._begin(target_epoch)
            return True
        self.files.know(cursor.epoch, cursor.target_epoch)
        self._head, self._stopped_by, self.source.min_seq = max(seen.seq, answer.next), "", cursor.seq
        if self._store.count(self.key, "file") >= PENDING_MAX:
            await asyncio.sleep(FEED_WAIT_S)
            return False
        await self._take(cursor, answer)
        return answer.more

    async def _look_at_target(self, cursor: Cursor | None) -> str:
        """Its history. One that is another, or went back to an earlier state, must be compared: '' then."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._target_at_s:
            seen = (await self.target.position()).seen
            epoch, seq = self._target_seen
            if epoch == seen.epoch and seen.seq < seq and not seen.is_stale and cursor is not None:
                log.info("mirror.target_went_back", extra={"mirror": self.name, "seq": seen.seq})
                self._store.compare(self.key, self._clock.now_ms())
            self._target_seen, self._target_at_s = (seen.epoch, seen.seq), now_s + TARGET_EVERY_S
        return self._target_seen[0]

    async def _begin(self, target_epoch: str) -> None:
        """Follow from now on, and compare everything."""
        await self.source.check_bucket()
        seen = (await self.source.position()).seen
        log.info("mirror.comparing", extra={"mirror": self.name, "epoch": seen.epoch, "seq": seen.seq})
        self.files.know(seen.epoch, target_epoch)
        self.source.min_seq = self._head = seen.seq
        target_seq = self._target_seen[1]
        self._store.begin(self.key, seen.epoch, target_epoch, seen.seq, target_seq, self._clock.now_ms())

    async def _take(self, cursor: Cursor, answer: ChangesAnswer) -> None:
        now_ms = self._clock.now_ms()
        if answer.next > cursor.seq:
            await self.source.check_bucket()  # whose changes are hidden from the asker would be missed
            self.source.min_seq = answer.next
            self._store.take(self.key, answer.next, self._todos(answer.changes), now_ms)
        if answer.more or answer.seen.is_stale or self._store.count(self.key):
            return
        if now_ms - cursor.level_ms >= 1000 or not cursor.compared_ms:
            self._store.is_level(self.key, now_ms)
        if cursor.compared_ms and now_ms - cursor.compared_ms >= COMPARE_EVERY_MS:
            self._store.compare(self.key, now_ms)

    def _todos(self, changes: tuple[FeedChange, ...]) -> list[Todo]:
        """What the changes mean for the target; each place once."""
        todos: dict[Todo, None] = {}
        for change in changes:
            kind = "tree" if change.kind in _FOLDERS else "file"
            path, source = self._inside(change.path), self._inside(change.source)
            if path and source and change.kind in _MOVES:
                todos[Todo(_MOVES[change.kind], path, source)] = None
            elif path is not None:
                todos[Todo(kind, path)] = None
            elif source is not None:
                todos[Todo(kind, source)] = None
        return list(todos)

    def _inside(self, path: str) -> str | None:
        """The path in the bucket; None: it is in another one."""
        bucket, _, inside = path.partition("/")
        return inside if bucket == self.source.bucket else None

    # The work

    async def _keep_working(self) -> None:
        while True:
            work = self.claim()
            if work is None:
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            place = work.kind, work.path
            self._busy.add(place)
            try:
                await self.do(work)
            finally:
                self._busy.discard(place)

    def claim(self) -> Work | None:
        """The next that nobody is at. Folders that were moved come first and alone, or their files would be copied;
        then files, so that changes need not wait for a comparison of all.
        """
        if self._is_somebody_away or not self.files.is_ready or any(kind == "move" for kind, _ in self._busy):
            return None
        now_ms = self._clock.now_ms()
        for kind in ("move", "file", "tree"):
            for work in self._store.due(self.key, kind, now_ms, 2 * WORKERS):
                if (work.kind, work.path) not in self._busy:
                    return work
        return None

    async def do(self, work: Work) -> None:
        """One piece of work; what fails is tried again later."""
        now_ms = self._clock.now_ms()
        try:
            if work.kind == "file":
                await self.files.make_good(work.path, work.came_from, now_ms)
                self._store.done(self.key, work, (), now_ms)
                return
            if work.kind == "move":
                await self._trees.move(work.came_from, work.path)
                trees = [Todo("tree", work.path), Todo("tree", work.came_from)]
                self._store.done(self.key, work, trees, now_ms)
                return
            if self._store.count(self.key, "file") >= 2 * PENDING_MAX:
                raise Overloaded("too many files wait to be done; this folder waits for them")
            part = await self._trees.page(work, now_ms)
            if part.after is None:
                self._store.done(self.key, work, part.more, now_ms)
            else:
                self._store.go_on(self.key, work, part.after, part.more, now_ms)
        except FluffyError as error:
            is_refused = error.facts.get("retry", error.retry) == "never" and error.http_status not in (404, 409, 412)
            most_ms = REFUSED_WAIT_MS if is_refused else MOST_WAIT_MS
            wait_ms = min(FIRST_WAIT_MS << min(work.attempts, 12), most_ms)
            self._store.later(work, self._clock.now_ms() + wait_ms, f"/{work.path}: {reason_of(error)}")
