"""Rights in buckets and how much they may hold: grants, owners, quotas; and the audit log's share from the doors."""

from __future__ import annotations

from fluffy.base.errors import BucketNotFound, GrantNotFound, RequestError, TooLarge, UserNotFound
from fluffy.base.ids import UserNo
from fluffy.core.metadata import audit, quotas, tree
from fluffy.core.metadata.accounts import Account
from fluffy.core.metadata.commands_people import (
    EVERYONE,
    GiveBucket,
    Refusal,
    RemoveGrant,
    ReportRefusals,
    SetGrant,
    SetQuota,
)
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.grant_table import give_bucket
from fluffy.core.metadata.names import is_bucket_name, is_name
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.refusals import (
    find_user,
    is_operator,
    refuse_bucket_admin,
    refuse_operator,
    refused,
)
from fluffy.core.metadata.rights import EVERYONE_NO, RIGHT_NAMES
from fluffy.core.metadata.schema import CLUSTER_USER_NO
from fluffy.core.metadata.working import Working

# Grants are read whole for the pages that show them; more people than this want "everyone".
GRANTS_OF_BUCKET_MAX = 1_000
# What a door may report at once, and how long its texts may be: at most 400 KB, under the log's entry.
REFUSALS_MAX = 256
REFUSAL_TEXT_BYTES_MAX = 1_200
QUOTA_MAX = 1 << 60


def set_grant(work: Working, command: SetGrant) -> Outcome:
    """Give or change a right. facts: right (the one there was before, None: none)."""
    bucket = _bucket(work, command.header.user_no, command.bucket)
    if isinstance(bucket, Rejected):
        return bucket
    refusal = refuse_bucket_admin(work, command.header.user_no, bucket)
    if refusal is not None:
        return refusal
    right = RIGHT_NAMES.get(command.right)
    if right is None:
        return refused(RequestError, "a right is read, write or admin")
    grantee_no = _grantee(work, command.grantee)
    if grantee_no is None:
        return refused(UserNotFound, user=command.grantee if is_name(command.grantee) else "")
    if grantee_no == bucket.owner_no:
        return refused(RequestError, "the owner of a bucket may do everything in it anyway")
    old = work.db.execute("SELECT granted FROM grants WHERE bucket_no = ? AND grantee_no = ?",
                          (bucket.no, grantee_no)).fetchone()
    if old is None:
        (held,) = work.db.execute("SELECT count(*) FROM grants WHERE bucket_no = ?", (bucket.no,)).fetchone()
        if held >= GRANTS_OF_BUCKET_MAX:
            return refused(TooLarge, f"a bucket has at most {GRANTS_OF_BUCKET_MAX:,} grants")
    facts = {"right": None if old is None else _right_name(old[0])}
    if old is None or old[0] != right:
        work.db.execute("INSERT OR REPLACE INTO grants VALUES (?, ?, ?)", (bucket.no, grantee_no, int(right)))
        work.seq += 1
        audit.record(work, command.header.user_no, "grant", command.bucket, f"{command.right} to {command.grantee}")
    return Accepted(work.seq, facts)


def _right_name(granted: int) -> str:
    return next(name for name, right in RIGHT_NAMES.items() if right == granted)


def _grantee(work: Working, name: str) -> UserNo | None:
    return UserNo(EVERYONE_NO) if name == EVERYONE else find_user(work, name)


def remove_grant(work: Working, command: RemoveGrant) -> Outcome:
    """Take a right back; everybody may give up their own."""
    bucket = _bucket(work, command.header.user_no, command.bucket)
    if isinstance(bucket, Rejected):
        return bucket
    grantee_no = _grantee(work, command.grantee)
    if grantee_no is None or grantee_no != command.header.user_no or grantee_no == CLUSTER_USER_NO:
        refusal = refuse_bucket_admin(work, command.header.user_no, bucket)
        if refusal is not None:
            return refusal
    taken = grantee_no is not None and work.db.execute(
        "DELETE FROM grants WHERE bucket_no = ? AND grantee_no = ?", (bucket.no, grantee_no)).rowcount
    if not taken:
        return refused(GrantNotFound)
    work.seq += 1
    audit.record(work, command.header.user_no, "remove-grant", command.bucket, command.grantee)
    return Accepted(work.seq)


def _bucket(work: Working, user_no: UserNo, name: str) -> Folder | Rejected:
    bucket = tree.folder_in(work, work.folders.root(), name) if is_bucket_name(name) else None
    return refused(BucketNotFound) if bucket is None else bucket


def give(work: Working, command: GiveBucket) -> Outcome:
    """Change a bucket's owner."""
    bucket = _bucket(work, command.header.user_no, command.bucket)
    if isinstance(bucket, Rejected):
        return bucket
    asker_no = command.header.user_no
    refusal = refuse_bucket_admin(work, asker_no, bucket)
    if refusal is None and asker_no != bucket.owner_no:
        refusal = refuse_operator(work, asker_no)  # an admin grant is not ownership
    if refusal is not None:
        return refusal
    heir_no = find_user(work, command.owner)
    if heir_no is None:
        return refused(UserNotFound, user=command.owner if is_name(command.owner) else "")
    if heir_no == bucket.owner_no:
        return Accepted(work.seq)
    held = work.accounts.bucket(bucket.no)
    refusal = quotas.refuse_gift(work, heir_no, files=held.files, size=held.bytes)
    if refusal is not None:
        return refusal
    give_bucket(work, bucket, heir_no)
    work.seq += 1
    audit.record(work, asker_no, "give-bucket", command.bucket, f"to {command.owner}")
    return Accepted(work.seq)


def set_quota(work: Working, command: SetQuota) -> Outcome:
    """Limit a user or a bucket. facts: files, bytes (what is used)."""
    refusal = refuse_operator(work, command.header.user_no)
    if refusal is not None:
        return refusal
    if any(limit is not None and limit > QUOTA_MAX for limit in (command.bytes_max, command.files_max)):
        return refused(RequestError, "that limit is larger than anything; leave it out instead")
    account = _account(work, command)
    if isinstance(account, Rejected):
        return account
    account.files_max, account.bytes_max = command.files_max, command.bytes_max
    work.accounts.touch(account)
    work.seq += 1
    files = "any" if command.files_max is None else f"{command.files_max}"
    size = "any" if command.bytes_max is None else f"{command.bytes_max}"
    audit.record(work, command.header.user_no, f"quota-{command.subject}", command.name, f"{files} files, {size} bytes")
    return Accepted(work.seq, {"files": account.files, "bytes": account.bytes})


def _account(work: Working, command: SetQuota) -> Account | Rejected:
    match command.subject:
        case "user":
            user_no = find_user(work, command.name)
            return refused(UserNotFound) if user_no is None else work.accounts.user(user_no)
        case "bucket":
            bucket = _bucket(work, command.header.user_no, command.name)
            return bucket if isinstance(bucket, Rejected) else work.accounts.bucket(bucket.no)
    return refused(RequestError, "a quota is for a user or a bucket")


def report_refusals(work: Working, command: ReportRefusals) -> Outcome:
    """Append what a door refused to the audit log."""
    if not is_operator(work, command.header.user_no):
        return refuse_operator(work, command.header.user_no) or refused(RequestError)
    if len(command.refusals) > REFUSALS_MAX or not all(_fits(refusal) for refusal in command.refusals):
        return refused(TooLarge, f"at most {REFUSALS_MAX} refusals of {REFUSAL_TEXT_BYTES_MAX} bytes a text at once")
    for refusal in command.refusals:
        audit.append(work, refusal.at_ms, refusal.user, refusal.act, refusal.target, refusal.reason, is_refused=True)
    if command.refusals:
        work.seq += 1
    return Accepted(work.seq)


def _fits(refusal: Refusal) -> bool:
    try:
        return all(len(text.encode()) <= REFUSAL_TEXT_BYTES_MAX
                   for text in (refusal.user, refusal.act, refusal.target, refusal.reason))
    except UnicodeEncodeError:
        return False
