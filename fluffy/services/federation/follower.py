"""Following one cluster: its feed into the catalog, its tree when there is nothing yet, its hashes for comparison.

Each round takes one piece and stores the cursor with the rows, so a kill at any point costs one piece. The feed is
followed during a build too: what a build has passed already would otherwise be missed. Nothing older than the cursor is
ever taken: an answer of a peer that lags is as good as none.

A cluster that fails is left alone by its breaker; no other waits for it, because every cluster has a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fluffy.base.deadline import Deadline
from fluffy.base.errors import CatalogFailed, FluffyError, HistoryCut
from fluffy.core.federation.breaker import Breaker
from fluffy.core.federation.coverage import Contact
from fluffy.ports import Clock
from fluffy.ports_federation import (
    Catalog,
    CatalogCluster,
    ClusterClient,
    DeadLetter,
    FeedAnswer,
    RowsAnswer,
    Seen,
)
from fluffy.wire.catalog_rows import hash_of_rows

log = logging.getLogger("fluffy.supernode")

# A quiet cluster is heard of this often: its leader and load are known within two seconds.
FEED_WAIT_S = 1
# What an answer may take beyond the wait; a frozen peer is left after half of it (drivers/cluster_http.py).
ASK_S = 5.0
# A page of 5,000 rows, from a machine that is busy.
PAGE_S = 20.0
# One range of 5,000 rows, and a rest that is so many times as long: of many clusters, all together must leave the
# processor to those who search. A million rows are compared within ten minutes.
AUDIT_EVERY_S = 1.0
AUDIT_REST_TIMES = 50
# How often a quiet cluster's freshness is written down.
NOTE_EVERY_S = 5.0
# The catalog is in trouble: that is no fault of the cluster's.
CATALOG_REST_S = 1.0


class ClusterFollower:
    """`run` it. `facts` is what the cluster told last, `contact` how fresh that is."""

    def __init__(self, name: str, client: ClusterClient, catalog: Catalog, clock: Clock) -> None:
        self.name = name
        self.client = client
        self.breaker = Breaker()
        self.facts: Mapping[str, Any] = {}
        self.number: int | None = None
        self.pieces = 0
        self.rows_loaded = 0
        self.rows_mended = 0
        self.rejects = 0
        self.failures = 0
        self._catalog = catalog
        self._clock = clock
        self._contact = Contact(0, 0, 0, None, False)
        self._audited = (0, "")
        self._audit_at_s = clock.monotonic_s() + AUDIT_EVERY_S
        self._noted_at_s = 0.0

    @property
    def contact(self) -> Contact:
        return self._contact

    @property
    def is_reachable(self) -> bool:
        return self.breaker.is_closed and self._contact.heard_s is not None

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            try:
                more = await self.one_round()
            except CatalogFailed as error:
                log.warning("catalog.failed", extra={"cluster": self.name, "reason": error.message})
                await asyncio.sleep(CATALOG_REST_S)
            except FluffyError as error:
                await self._rest_after(error)
            else:
                self.breaker.worked()
                await asyncio.sleep(0 if more else 0.01)

    async def _rest_after(self, error: FluffyError) -> None:
        was_closed = self.breaker.is_closed
        self.breaker.failed(self._clock.monotonic_s())
        self.failures += 1
        self._contact = _with(self._contact, reason=error.message)
        if was_closed and not self.breaker.is_closed:
            log.warning("cluster.lost", extra={"cluster": self.name, "reason": error.message})
        await asyncio.sleep(max(0.1, self.breaker.wait_s(self._clock.monotonic_s())))

    async def one_round(self) -> bool:
        """One piece; True: there is more to do at once."""
        known = next((one for one in await self._catalog.clusters() if one.name == self.name), None)
        self.number = None if known is None else known.number
        if known is None:
            self._contact = Contact(0, 0, 0, self._contact.heard_s, False)
            await self._begin()
            return True
        busy = known.building is not None or known.walk is not None
        try:
            answer = await self.client.feed(known.seq, known.epoch, 0 if busy else FEED_WAIT_S,
                                            Deadline.after(ASK_S if not busy else PAGE_S))
        except HistoryCut as error:
            log.info("cluster.history_cut", extra={"cluster": self.name, "seq": known.seq, "reason": error.message})
            await self._begin()
            return True
        if answer.seen.epoch != known.epoch or (answer.piece.head < known.seq and not answer.seen.is_stale):
            log.info("cluster.other_history", extra={"cluster": self.name, "epoch": answer.seen.epoch})
            await self._begin()
            return True
        if await self._take(known, answer) or await self._tree(known):
            return True
        began_s = self._clock.monotonic_s()
        if began_s >= self._audit_at_s and not busy and answer.piece.seq == answer.piece.head:
            self._audit_at_s = began_s + AUDIT_EVERY_S
            await self._audit(known)
            took_s = self._clock.monotonic_s() - began_s
            self._audit_at_s = began_s + max(AUDIT_EVERY_S, took_s * AUDIT_REST_TIMES)
        return False

    async def _begin(self) -> None:
        """The first page of the tree says where the feed is to be followed from."""
        answer = await self.client.rows((0, ""), Deadline.after(PAGE_S))
        log.info("cluster.building", extra={"cluster": self.name, "epoch": answer.seen.epoch, "seq": answer.seen.seq})
        known = await self._catalog.begin(self.name, answer.seen.epoch, answer.seen.seq)
        self.number, self._audited = known.number, (0, "")
        self._contact = Contact(known.seq, known.seq, 0, self._clock.monotonic_s(), False)
        await self._load(known, answer)

    async def _take(self, known: CatalogCluster, answer: FeedAnswer) -> bool:
        """Take over a piece of the feed; True: there is more of it."""
        piece, now_s, now_ms = answer.piece, self._clock.monotonic_s(), self._clock.now_ms()
        self.facts = answer.facts
        built = known.building is None and known.walk is None and not piece.walks
        is_level = built and not piece.more and not answer.seen.is_stale and piece.seq >= piece.head
        if piece.seq > known.seq or (is_level and now_s >= self._noted_at_s):
            if piece.seq >= known.seq:
                await self._set_aside(answer.rejects, piece.seq)
                await self._catalog.apply(known.number, piece, now_ms if is_level else 0)
                self.pieces += 1
            self._noted_at_s = now_s + NOTE_EVERY_S
        heard_s = self._contact.heard_s if answer.seen.is_stale else now_s
        reason = "the cluster has no majority of its nodes" if answer.seen.is_stale else ""
        self._contact = Contact(max(piece.seq, known.seq), max(piece.head, known.seq),
                                now_ms if is_level else known.level_ms, heard_s, built, reason)
        return piece.more

    async def _tree(self, known: CatalogCluster) -> bool:
        """One page of the tree that is being read, or of a folder that came back; True: there was something to read."""
        if known.building is not None:
            await self._load(known, await self.client.rows(known.building, Deadline.after(PAGE_S)))
            return True
        if known.walk is None:
            return False
        folder_no, after = known.walk
        answer = await self.client.folder(folder_no, after, Deadline.after(PAGE_S))
        if await self._is_usable(known, answer.seen):
            await self._set_aside(answer.rejects, answer.seen.seq)
            end = None if answer.after is None else answer.after[1]
            await self._catalog.load_folder(known.number, folder_no, answer.rows, end)
            self.rows_loaded += len(answer.rows)
        return True

    async def _load(self, known: CatalogCluster, answer: RowsAnswer) -> None:
        if await self._is_usable(known, answer.seen):
            await self._set_aside(answer.rejects, answer.seen.seq)
            await self._catalog.load(known.number, answer.rows, answer.after)
            self.rows_loaded += len(answer.rows)
            if answer.after is None:
                log.info("cluster.built", extra={"cluster": self.name})

    async def _is_usable(self, known: CatalogCluster, seen: Seen) -> bool:
        """Whether an answer is of the cursor's history and not older than it. Rests a moment when it is not."""
        now = next((one for one in await self._catalog.clusters() if one.number == known.number), None)
        if now is not None and seen.epoch == now.epoch and seen.seq >= now.seq:
            return True
        await asyncio.sleep(0.1)
        return False

    async def _audit(self, known: CatalogCluster) -> None:
        """Compare the next range with the cluster, and make it right when it is not."""
        after = self._audited
        answer = await self.client.row_hash(after, Deadline.after(PAGE_S))
        self._audited = answer.after or (0, "")
        if not await self._is_usable(known, answer.seen):
            return
        mine = await self._catalog.rows(known.number, after, answer.rows)
        is_end_right = answer.after is not None or len(await self._catalog.rows(
            known.number, after, answer.rows + 1)) == len(mine)
        if is_end_right and await asyncio.to_thread(hash_of_rows, mine) == answer.digest:
            return
        page = await self.client.rows(after, Deadline.after(PAGE_S))
        if await self._is_usable(known, page.seen) and not page.rejects:
            mended = await self._catalog.replace(known.number, after, page.after, page.rows)
            self.rows_mended += mended
            if mended:
                log.info("cluster.mended", extra={"cluster": self.name, "rows": mended})

    async def _set_aside(self, rejects: Sequence[tuple[str, str]], seq: int) -> None:
        if rejects:
            self.rejects += len(rejects)
            log.warning("cluster.rows_rejected", extra={"cluster": self.name, "rows": len(rejects)})
            now_ms = self._clock.now_ms()
            await self._catalog.set_aside([DeadLetter(self.name, seq, now_ms, *reject) for reject in rejects])


def _with(contact: Contact, *, reason: str) -> Contact:
    return Contact(contact.seq, contact.head, contact.level_ms, contact.heard_s, contact.built, reason)
