"""Lifting a database of an older format to the present one, at start, before anything is applied.

A step takes format n to n + 1 and must be a function of the database alone: every node takes it by itself, and all
must arrive at the same digest. Steps that ever shipped stay, in order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from fluffy.base.checks import invariant
from fluffy.base.errors import FeatureTooNew, IdentityMismatch
from fluffy.core.metadata import (
    schema_jobs,
    schema_keeper,
    schema_members,
    schema_object_uploads,
    schema_people,
    schema_rebuild,
    schema_s3,
    schema_tree,
    schema_uploads,
)
from fluffy.core.metadata.schema import APPLICATION_ID, FORMAT_VERSION, TABLES

Step = Callable[[sqlite3.Connection], None]


def _create(db: sqlite3.Connection) -> None:
    for statement in TABLES:
        db.execute(statement)


def _lift_to_2(db: sqlite3.Connection) -> None:
    """A file tree for people: users, grants, quotas, locks, the audit log; moves, trash of folders, rules; uploads."""
    schema_people.lift(db)
    schema_tree.lift(db)
    schema_uploads.lift(db)


def _lift_to_3(db: sqlite3.Connection) -> None:
    """Repair by jobs, members that come and go, the S3 door. Not released yet: its parts join as they are built."""
    schema_keeper.lift(db)
    schema_members.lift(db)
    schema_s3.lift(db)
    schema_jobs.lift(db)
    schema_rebuild.lift(db)
    schema_object_uploads.lift(db)


# STEPS[n] lifts format n to n + 1; 0 is the empty file.
STEPS: Mapping[int, Step] = {0: _create, 1: _lift_to_2, 2: _lift_to_3}
invariant(sorted(STEPS) == list(range(FORMAT_VERSION)), "there is one step from every older format")


def format_of(db: sqlite3.Connection) -> int:
    """The format of the database; 0 when it holds nothing yet."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def migrate(db: sqlite3.Connection, steps: Mapping[int, Step] = STEPS) -> int:
    """Bring `db` to the newest format that `steps` reach, each step in a transaction of its own; returns the format.

    Killed in the middle, it goes on at the next start. Raises IdentityMismatch for a database that is not ours,
    FeatureTooNew for one that a newer program wrote.
    """
    newest = max(steps) + 1
    found = format_of(db)
    application = int(db.execute("PRAGMA application_id").fetchone()[0])
    if application != APPLICATION_ID and db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise IdentityMismatch("meta.db is not a database of this program")
    if found > newest:
        raise FeatureTooNew(f"meta.db has format {found}, this program knows formats up to {newest}; upgrade this node",
                            format=found, known=newest)
    for version in range(found, newest):
        db.execute("BEGIN IMMEDIATE")
        try:
            steps[version](db)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {version + 1}")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
    return newest
