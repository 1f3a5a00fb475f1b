"""The leader ends what the lifecycles of buckets say is over: objects, old versions, lonely markers, forgotten uploads.

It walks the buckets that have a lifecycle in small steps and proposes what is due; the log looks again, and leaves
alone what has changed meanwhile (ExpireObjects). A leader that is replaced in the middle costs nothing but time.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from functools import partial
from itertools import groupby, islice

from fluffy.base.deadline import Deadline
from fluffy.base.errors import Conflict, NotFound
from fluffy.base.ids import NodeNo, RequestId, UserNo
from fluffy.core.metadata import queries, queries_object_uploads, queries_object_versions, queries_objects
from fluffy.core.metadata.commands import Header
from fluffy.core.metadata.commands_object_versions import ExpireObjects
from fluffy.core.metadata.commands_uploads import AbortUpload
from fluffy.core.metadata.packing import unpack_texts
from fluffy.core.metadata.queries_object_versions import VersionRow
from fluffy.ports import Clock, MetadataLog, MetadataReader
from fluffy.services.keeper.leadership import Leadership
from fluffy.wire.s3_lifecycle import Rule, Version, ended, is_due, parse_lifecycle

log = logging.getLogger("fluffy.keeper")

# The feature level that knows lifecycles.
LIFECYCLE_LEVEL = 3
# Rows of one step of a walk: 10 ms of reading.
STEP_ROWS = 1_000
# One command: 1,000 keys of 1 KiB would be its bound, and 30 ms of apply enough.
BATCH_ITEMS = 200
STEP_TIMEOUT_S = 10.0
PROPOSE_TIMEOUT_S = 5.0


class LifecycleKeeper:
    """Call `one_round` now and then."""

    def __init__(self, own_no: NodeNo, leadership: Leadership, log_: MetadataLog, reader: MetadataReader,
                 clock: Clock) -> None:
        self._own_no = own_no
        self._leadership = leadership
        self._log = log_
        self._reader = reader
        self._clock = clock

    async def one_round(self) -> None:
        state = self._reader.read(queries.cluster_state)
        if self._leadership.term is None or state is None or state.feature_level < LIFECYCLE_LEVEL:
            return
        for bucket, bucket_no, versioning, document in self._reader.read(queries_objects.lifecycles):
            rules = parse_lifecycle(document)
            try:
                await self._tidy_bucket(bucket, bucket_no, has_versions=bool(versioning), rules=rules)
                await self._abort_uploads(bucket, rules)
            except Conflict as error:
                self._leadership.resign(error)
                return
            except NotFound as error:
                # Removed meanwhile, by somebody who was sooner.
                log.info("lifecycle.gone", extra={"bucket": bucket, "error": error.code()})

    async def _tidy_bucket(self, bucket: str, bucket_no: int, *, has_versions: bool, rules: Sequence[Rule]) -> None:
        after = ""
        expired = 0
        while True:
            rows = await self._reader.read_in_thread(partial(_step, bucket_no=bucket_no, after=after),
                                                     Deadline.after(STEP_TIMEOUT_S))
            items = _due(rows, rules, self._clock.now_ms(), has_versions=has_versions)
            for at in range(0, len(items), BATCH_ITEMS):
                expired += await self._expire(bucket, tuple(items[at:at + BATCH_ITEMS]))
            if not rows:
                break
            after = rows[-1].key
        if expired:
            log.info("lifecycle.expired", extra={"bucket": bucket, "versions": expired})

    async def _expire(self, bucket: str, items: tuple[tuple[str, int], ...]) -> int:
        term = self._leadership.term
        if term is None:
            return 0
        outcome = await self._log.propose(ExpireObjects(self._header(), term, bucket, items),
                                          Deadline.after(PROPOSE_TIMEOUT_S))
        return int(outcome.facts["expired"])

    async def _abort_uploads(self, bucket: str, rules: Sequence[Rule]) -> None:
        now_ms = self._clock.now_ms()
        if not any(rule.abort_days is not None for rule in rules):
            return
        uploads = await self._reader.read_in_thread(
            lambda db: queries_object_uploads.object_uploads(db, bucket, "", now_ms), Deadline.after(STEP_TIMEOUT_S))
        for upload in uploads:
            if self._leadership.term is None:
                return
            if any(rule.abort_days is not None and rule.fits(upload.key, 0, {})
                   and is_due(upload.begun_ms, rule.abort_days, now_ms) for rule in rules):
                await self._log.propose(AbortUpload(self._header(), upload.upload_id),
                                        Deadline.after(PROPOSE_TIMEOUT_S))
                log.info("lifecycle.aborted", extra={"bucket": bucket})

    def _header(self) -> Header:
        return Header(RequestId(b""), self._clock.now_ms(), self._own_no, UserNo(0))


def _step(db: sqlite3.Connection, bucket_no: int, after: str) -> list[VersionRow]:
    """All versions of the next keys: about STEP_ROWS, and never a part of one key's."""
    walk = queries_object_versions.walk_versions(db, bucket_no, "", after)
    rows = list(islice(walk, STEP_ROWS))
    for row in walk:
        if row.key != rows[-1].key:
            break
        rows.append(row)
    return rows


def _due(rows: Sequence[VersionRow], rules: Sequence[Rule], now_ms: int, *,
         has_versions: bool) -> list[tuple[str, int]]:
    items: list[tuple[str, int]] = []
    for key, group in groupby(rows, key=lambda row: row.key):
        versions = [Version(row.version_no, row.size, unpack_texts(row.tags), row.modified_ms, row.since_ms,
                            row.is_marker) for row in group if has_versions or (row.is_latest and not row.is_marker)]
        if versions:
            items += [(key, version_no) for version_no in ended(rules, key, versions, now_ms)]
    return items
