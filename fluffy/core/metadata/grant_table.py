"""Who was given what in a bucket, and who owns it."""

from __future__ import annotations

from fluffy.base.ids import UserNo
from fluffy.core.metadata.folder_cache import Folder
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.metadata.working import Working


def give_bucket(work: Working, bucket: Folder, heir_no: UserNo) -> None:
    """Change a bucket's owner; the files keep theirs. What it holds counts for the heir from here on."""
    work.accounts.give(bucket_no=bucket.no, from_no=bucket.owner_no, to_no=heir_no)
    work.folders.touch(bucket).owner_no = heir_no
    work.db.execute("UPDATE entries SET owner_no = ? WHERE parent = ? AND key = ?", (heir_no, ROOT_NO, bucket.key))
    work.db.execute("DELETE FROM grants WHERE bucket_no = ? AND grantee_no = ?", (bucket.no, heir_no))
