"""A plain recount of what is kept about people: usage by bucket and user, and that nothing refers to nobody."""

from __future__ import annotations

import sqlite3


def check_people(db: sqlite3.Connection) -> None:
    """Assert that every account equals its recount and every grant, token and lock leads somewhere."""
    _check_accounts(db)
    users = {row[0] for row in db.execute("SELECT user_no FROM users")}
    folders = {row[0] for row in db.execute("SELECT folder_no FROM folders")}
    assert {row[0] for row in db.execute("SELECT user_no FROM tokens UNION SELECT user_no FROM locks")} <= users
    assert {row[0] for row in db.execute("SELECT grantee_no FROM grants")} <= users | {0}
    assert {row[0] for row in db.execute("SELECT bucket_no FROM grants")} <= folders
    assert {row[0] for row in db.execute("SELECT granted FROM grants")} <= {1, 2, 3}
    [admins] = db.execute("SELECT count(*) FROM users WHERE role = 'admin' AND NOT disabled").fetchone()
    assert admins or not users, "somebody can always administer"
    for owner_no, listed in db.execute("SELECT f.owner_no, e.owner_no FROM entries e JOIN folders f"
                                       " ON f.folder_no = e.no WHERE e.version_no = 0 AND e.parent = 0"):
        assert owner_no == listed
    _check_locks(db)


def _check_accounts(db: sqlite3.Connection) -> None:
    buckets: dict[int, tuple[int, int]] = {}
    owners: dict[int, tuple[int, int]] = {}
    for bucket_no, owner_no in db.execute("SELECT no, owner_no FROM entries WHERE parent = 0").fetchall():
        files, size = 0, 0
        waiting = [bucket_no]
        while waiting:
            for no, version_no, its_size in db.execute("SELECT no, version_no, size FROM entries WHERE parent = ?",
                                                       (waiting.pop(),)).fetchall():
                if version_no:
                    files, size = files + 1, size + its_size
                else:
                    waiting.append(no)
        buckets[bucket_no] = (files, size)
        held = owners.get(owner_no, (0, 0))
        owners[owner_no] = (held[0] + files, held[1] + size)
    for subject, expected in ((0, buckets), (1, owners)):
        kept = {no: (files, size) for no, files, size in
                db.execute("SELECT no, files, bytes FROM accounts WHERE subject = ?", (subject,))}
        for no in expected.keys() | kept.keys():
            assert kept.get(no, (0, 0)) == expected.get(no, (0, 0)), (subject, no)


def _check_locks(db: sqlite3.Connection) -> None:
    """No two living locks are at odds."""
    [clock_ms] = db.execute("SELECT clock_ms FROM state").fetchone()
    locks = db.execute("SELECT path, mode FROM locks WHERE expires_ms > ? ORDER BY lock_no", (clock_ms,)).fetchall()
    for number, (path, mode) in enumerate(locks):
        for other, its_mode in locks[:number]:
            if f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/"):
                assert mode == its_mode == "shared"
