"""Format 3, the part about S3's multipart uploads: what their sessions and parts have beside those of people."""

from __future__ import annotations

import sqlite3

TABLES: tuple[str, ...] = (
    # 1: for an object, at the place that objects.locate finds; its entity tag stays a text
    "ALTER TABLE uploads ADD COLUMN is_object INTEGER NOT NULL DEFAULT 0",
    # Msgpack map: the part's checksums in base64, by algorithm; NULL: none
    "ALTER TABLE upload_parts ADD COLUMN sums BLOB",
)


def lift(db: sqlite3.Connection) -> None:
    """The part of S3's multipart uploads in the step from format 2 to 3. Digested with the tables it adds to."""
    for statement in TABLES:
        db.execute(statement)
