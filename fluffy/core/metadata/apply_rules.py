"""How a bucket keeps its files: set by those who administer it."""

from __future__ import annotations

from fluffy.base.errors import BucketNotFound, NameIllegal, RequestError, TooLarge
from fluffy.base.paths import parse_path
from fluffy.core.metadata import tree
from fluffy.core.metadata.apply_cluster import REPLICATION_MAX, TRASH_DAYS_MAX, VERSIONS_MAX
from fluffy.core.metadata.bucket_rules import BUCKET_RULES_MAX, Rules
from fluffy.core.metadata.commands_tree import SetBucketRules
from fluffy.core.metadata.outcomes import Accepted, Outcome
from fluffy.core.metadata.refusals import refuse_bucket_admin, refused
from fluffy.core.metadata.working import Working


def set_bucket_rules(work: Working, command: SetBucketRules) -> Outcome:
    """Replace the rules of a bucket. facts: what holds in it now: trash_days, versions_max, replication."""
    try:
        path = parse_path(command.bucket)
    except NameIllegal as error:
        return refused(NameIllegal, error.message)
    bucket = tree.folder_in(work, work.folders.root(), path.text) if path.is_bucket else None
    if bucket is None:
        return refused(BucketNotFound)
    refusal = refuse_bucket_admin(work, command.header.user_no, bucket)
    if refusal is not None:
        return refusal
    in_range = ((command.trash_days is None or command.trash_days <= TRASH_DAYS_MAX)
                and (command.versions_max is None or 1 <= command.versions_max <= VERSIONS_MAX)
                and (command.replication is None
                     or work.settings.write_quorum <= command.replication <= REPLICATION_MAX))
    if not in_range:
        least = work.settings.write_quorum
        return refused(RequestError, f"a bucket keeps trash for up to {TRASH_DAYS_MAX} days, 1 to {VERSIONS_MAX}"
                                     f" versions, and {least} (the write quorum) to {REPLICATION_MAX} copies")
    if len(work.rules) >= BUCKET_RULES_MAX and not work.rules.has(bucket.no):
        return refused(TooLarge, f"{BUCKET_RULES_MAX} buckets have rules of their own already")
    work.rules.set(bucket.no, Rules(command.trash_days, command.versions_max, command.replication))
    work.seq += 1
    keeping = work.keeping(bucket)
    return Accepted(work.seq, {"trash_days": keeping.trash_days, "versions_max": keeping.versions_max,
                               "replication": keeping.replication})
