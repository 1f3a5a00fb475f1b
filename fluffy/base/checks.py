"""Assertions that stay on, and the one exception that means *our* bug.

`InvariantBroken` is caught only at the top of a process, which logs it and exits 70 (EX_SOFTWARE).
"""

from __future__ import annotations

EXIT_BUG = 70
EXIT_DISK_FAILED = 74
EXIT_REFUSED_TO_START = 78


class InvariantBroken(BaseException):
    """Something that cannot be, is. Not a `FluffyError`: nobody may handle it and go on."""


def invariant(holds: bool, promise: str) -> None:
    """Stop the process unless `promise` holds. Cheap enough to stay on in production."""
    if not holds:
        raise InvariantBroken(promise)
