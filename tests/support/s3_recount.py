"""A plain recount of what the S3 door keeps: nothing in it belongs to what is gone."""

from __future__ import annotations

import sqlite3


def check_s3(db: sqlite3.Connection) -> None:
    """Assert that key pairs have users, documents buckets, and implicit folders are folders with something in them."""
    assert not db.execute("SELECT 1 FROM s3_keys WHERE user_no NOT IN (SELECT user_no FROM users)").fetchall()
    assert not db.execute("SELECT 1 FROM bucket_documents LEFT JOIN folders ON folder_no = bucket_no"
                          " WHERE parent IS NULL OR parent != 0 OR folder_no = 0").fetchall()
    assert not db.execute("SELECT 1 FROM implicit_folders WHERE folder_no NOT IN (SELECT folder_no FROM folders)"
                          ).fetchall()
