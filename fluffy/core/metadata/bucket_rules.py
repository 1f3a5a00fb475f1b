"""How each bucket keeps its files: days in the trash, versions, copies. Kept in memory beside their table."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from fluffy.core.metadata.model import ClusterSettings

# All are in memory, about 200 bytes each.
BUCKET_RULES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What a bucket says; None: as the cluster does."""

    trash_days: int | None
    versions_max: int | None
    replication: int | None


_NONE = Rules(None, None, None)


@dataclass(frozen=True, slots=True)
class Keeping:
    """What holds in a bucket."""

    trash_days: int
    versions_max: int
    replication: int


class BucketRules:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._by_bucket: dict[int, Rules] = {
            row[0]: Rules(*row[1:]) for row in db.execute("SELECT * FROM bucket_rules")}

    def __len__(self) -> int:
        return len(self._by_bucket)

    def of(self, bucket_no: int | None, settings: ClusterSettings) -> Keeping:
        """The bucket's own rules where it has some; None: a bucket that is to be made."""
        return keeping(_NONE if bucket_no is None else self._by_bucket.get(bucket_no, _NONE), settings)

    def trash_days_max(self, settings: ClusterSettings) -> int:
        """The longest that any bucket keeps its trash."""
        return max([settings.trash_days, *(rules.trash_days or 0 for rules in self._by_bucket.values())])

    def has(self, bucket_no: int) -> bool:
        return bucket_no in self._by_bucket

    def set(self, bucket_no: int, rules: Rules) -> None:
        if rules == _NONE:
            self.drop(bucket_no)
            return
        self._by_bucket[bucket_no] = rules
        self._db.execute("INSERT OR REPLACE INTO bucket_rules VALUES (?, ?, ?, ?)",
                         (bucket_no, rules.trash_days, rules.versions_max, rules.replication))

    def drop(self, bucket_no: int) -> None:
        """The bucket is gone, or does as the cluster does."""
        if self._by_bucket.pop(bucket_no, None) is not None:
            self._db.execute("DELETE FROM bucket_rules WHERE bucket_no = ?", (bucket_no,))


def keeping(rules: Rules, settings: ClusterSettings) -> Keeping:
    return Keeping(settings.trash_days if rules.trash_days is None else rules.trash_days,
                   settings.versions_max if rules.versions_max is None else rules.versions_max,
                   settings.replication if rules.replication is None else rules.replication)
