"""The audit log: who changed which right, and who was refused what. The same on every node, and bounded."""

from __future__ import annotations

from fluffy.base.checks import invariant
from fluffy.base.ids import UserNo
from fluffy.core.metadata.working import Working

# About 150 bytes a row: 15 MB. A thousand changes of rights a day fill it in three months; refusals are what may
# flood it, so doors report them folded (services/refusals.py).
AUDIT_ROWS_MAX = 100_000
# One cut for so many rows.
CUT_BATCH = 1_000
invariant(CUT_BATCH * 10 <= AUDIT_ROWS_MAX, "the log is never cut to a small part of itself")


def record(work: Working, user_no: UserNo, act: str, target: str, detail: str = "") -> None:
    """A right was changed by `user_no` (0: the cluster)."""
    user = work.user(user_no)
    append(work, work.clock_ms, "" if user is None else user.name, act, target, detail, is_refused=False)


def append(work: Working, at_ms: int, who: str, act: str, target: str, detail: str, *, is_refused: bool) -> None:
    """Add a row; drops the oldest ones when there are too many. Texts were checked and bounded by the caller."""
    no = work.db.execute("INSERT INTO audit (at_ms, who, act, target, refused, detail) VALUES (?, ?, ?, ?, ?, ?)",
                         (at_ms, who, act, target, int(is_refused), detail)).lastrowid
    invariant(no is not None, "an insert has a row number")
    if no is not None and no % CUT_BATCH == 0:
        work.db.execute("DELETE FROM audit WHERE no <= ?", (no - AUDIT_ROWS_MAX,))
