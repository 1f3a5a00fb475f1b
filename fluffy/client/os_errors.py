"""Our errors as the ones of Python's own file functions, for programs that know nothing of us (fsspec, pandas, …)."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from fluffy.base.errors import (
    AccessDenied,
    AlreadyExists,
    Conflict,
    DiskFull,
    FileLocked,
    FluffyError,
    FolderNotEmpty,
    IsFile,
    IsFolder,
    LocalFileFailed,
    LockLost,
    NameIllegal,
    NotFound,
    NotSupported,
    PreconditionFailed,
    QuotaExceeded,
    RangeIllegal,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

# The first class that fits; OSError makes FileNotFoundError and its kin of the number by itself.
_ERRNOS: tuple[tuple[type[FluffyError], int], ...] = (
    (NotFound, errno.ENOENT), (AlreadyExists, errno.EEXIST), (IsFolder, errno.EISDIR), (IsFile, errno.ENOTDIR),
    (FolderNotEmpty, errno.ENOTEMPTY), (AccessDenied, errno.EACCES), (Unauthenticated, errno.EACCES),
    (FileLocked, errno.EACCES), (LockLost, errno.EACCES), (QuotaExceeded, errno.EDQUOT), (DiskFull, errno.ENOSPC),
    (TooLarge, errno.EFBIG), (NameIllegal, errno.EINVAL), (RangeIllegal, errno.EINVAL), (NotSupported, errno.ENOTSUP),
    (PreconditionFailed, errno.ESTALE), (Conflict, errno.EBUSY), (Unavailable, errno.EAGAIN),
    (LocalFileFailed, errno.EIO),
)


@contextmanager
def as_os_errors(path: str = "") -> Iterator[None]:
    """FluffyErrors inside become OSErrors; their cause is the FluffyError."""
    try:
        yield
    except FluffyError as error:
        raise os_error(error, path) from error


def os_error(error: FluffyError, path: str = "") -> OSError:
    """The OSError that says the same. A failure of the local disk is given as it came."""
    if isinstance(error, LocalFileFailed) and isinstance(error.__cause__, OSError):
        return error.__cause__
    number = next((number for cls, number in _ERRNOS if isinstance(error, cls)), errno.EIO)
    return OSError(number, error.message, str(error.facts.get("path", path)) or None)
