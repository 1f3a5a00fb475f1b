"""How a user stands in a bucket that is not there (any more) under its name, for those who look into trash and past.

A name of a bucket may have belonged to several buckets, of several people: whoever looks back is judged by the bucket
that had the name then, not by the one that has it now.
"""

from __future__ import annotations

import sqlite3

from fluffy.base.ids import UserNo
from fluffy.base.paths import RemotePath
from fluffy.core.metadata.model_people import Standing
from fluffy.core.metadata.queries_files import owner_name
from fluffy.core.metadata.queries_time import folder_at
from fluffy.core.metadata.rights import EVERYONE_NO, Right
from fluffy.core.metadata.schema import ROOT_NO


def standing_in_trash(db: sqlite3.Connection, bucket: str, user_no: UserNo) -> Standing | None:
    """In the bucket of that name that was removed last, of whose trash old generations are read; None: none is kept."""
    row = db.execute("SELECT no FROM tombs WHERE parent = ? AND key = ? ORDER BY deleted_ms DESC, no DESC LIMIT 1",
                     (ROOT_NO, bucket + "/")).fetchone()
    return None if row is None else _standing(db, bucket, row[0], user_no)


def standing_then(db: sqlite3.Connection, bucket: str, user_no: UserNo, moment_ms: int) -> Standing | None:
    """In the bucket that had the name at that moment, by the rights of now; None: there was none."""
    bucket_no = folder_at(db, RemotePath((bucket,)), moment_ms)
    return None if bucket_no is None else _standing(db, bucket, bucket_no, user_no)


def _standing(db: sqlite3.Connection, bucket: str, bucket_no: int, user_no: UserNo) -> Standing:
    """Of a bucket of which nothing is left nobody is the owner: only admins see what it was."""
    row = db.execute("SELECT owner_no FROM folders WHERE folder_no = ?", (bucket_no,)).fetchone()
    (granted,) = db.execute("SELECT max(granted) FROM grants WHERE bucket_no = ? AND grantee_no IN (?, ?)",
                            (bucket_no, EVERYONE_NO, user_no)).fetchone()
    return Standing(bucket, "" if row is None else owner_name(db, row[0]), Right(granted or 0))
