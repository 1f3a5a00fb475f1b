"""Quotas: what a command adds is refused when it does not fit, and counted when it does.

Every command that adds or takes current files calls `refuse_growth` among its checks and `count` once with its change.
"""

from __future__ import annotations

from fluffy.base.errors import QuotaExceeded
from fluffy.base.ids import UserNo
from fluffy.core.metadata.accounts import Account
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.outcomes import Rejected
from fluffy.core.metadata.refusals import refused
from fluffy.core.metadata.working import Working


def refuse_growth(work: Working, bucket: Folder | None, user_no: UserNo, *, files: int, size: int,
                  leaving: Folder | None = None, held: tuple[int, int] = (0, 0)) -> Rejected | None:
    """None when `files` more files of together `size` more bytes fit into the quotas of the bucket and its owner.

    `bucket` None: it will be made, and owned by `user_no`. What shrinks or stays always fits, also where a quota was
    set below what is used. `leaving`: the bucket that they move out of; its owner pays for them already. `held`: bytes
    that must fit beside them, those in this bucket and those in all of its owner's.
    """
    if files <= 0 and size <= 0:
        return None
    if bucket is not None:
        refusal = _refuse(work.accounts.bucket(bucket.no), "bucket", bucket.key.removesuffix("/"), files, size,
                          held[0])
        if refusal is not None:
            return refusal
    owner_no = UserNo(bucket.owner_no) if bucket is not None else user_no
    if leaving is not None and leaving.owner_no == owner_no:
        return None
    account = work.accounts.user(owner_no)
    if account.files_max is None and account.bytes_max is None:
        return None
    owner = work.user(owner_no)
    return _refuse(account, "user", "" if owner is None else owner.name, files, size, held[1])


def refuse_gift(work: Working, heir_no: UserNo, *, files: int, size: int) -> Rejected | None:
    """None when what somebody else's buckets hold fits into the quota of a new owner."""
    heir = work.user(heir_no)
    return _refuse(work.accounts.user(heir_no), "user", "" if heir is None else heir.name, files, size)


def _refuse(account: Account, subject: str, name: str, files: int, size: int, held: int = 0) -> Rejected | None:
    if account.bytes_max is None and account.files_max is None:
        return None
    used = account.bytes + held
    if size > 0 and account.bytes_max is not None and used + size > account.bytes_max:
        return _exceeded(subject, name, "bytes", used, account.bytes_max, size)
    if files > 0 and account.files_max is not None and account.files + files > account.files_max:
        return _exceeded(subject, name, "files", account.files, account.files_max, files)
    return None


def _exceeded(subject: str, name: str, unit: str, used: int, limit: int, wanted: int) -> Rejected:
    sentence = (f"{subject} {name} uses {used:,} of the {limit:,} {unit} that its quota allows;"
                f" {wanted:,} more do not fit")
    return refused(QuotaExceeded, sentence, subject=subject, name=name, unit=unit, used=used, limit=limit,
                   wanted=wanted)


def count(work: Working, bucket: Folder, *, files: int, size: int) -> None:
    """Current files were added to (or, negative, taken from) a bucket: its account, its owner's, and the sums."""
    work.files += files
    work.file_bytes += size
    work.accounts.count(bucket_no=bucket.no, owner_no=bucket.owner_no, files=files, size=size)
