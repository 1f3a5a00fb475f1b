"""What no rule keeps any more: old versions, the trash, deleted folders; leader work, in bounded steps."""

from __future__ import annotations

from fluffy.base.units import DAY_MS
from fluffy.core.metadata import past_places, reaping, versions
from fluffy.core.metadata.commands import ExpireVersions
from fluffy.core.metadata.outcomes import Accepted, Outcome
from fluffy.core.metadata.refusals import refuse_operator, refuse_term
from fluffy.core.metadata.working import Working

# One command frees at most so many versions, whatever the leader asks: about 30 ms of apply.
EXPIRE_VERSIONS_MAX = 1_000


def expire_versions(work: Working, command: ExpireVersions) -> Outcome:
    """Free replaced and deleted versions, and folders, older than the trash keeps them, oldest first.

    facts: freed (versions, and names of deleted folders); more (there are others, ask again).
    """
    refusal = refuse_operator(work, command.header.user_no) or refuse_term(work, command.term)
    if refusal is not None:
        return refusal
    limit = min(command.limit, EXPIRE_VERSIONS_MAX)
    reaping.condemn_expired(work, limit=limit)
    reaped, more_folders = reaping.reap(work, limit=limit)
    freed, more_versions = versions.sweep(work, expires_ms_max=work.clock_ms, versions_max=limit,
                                          chunks_max=versions.SWEEP_CHUNKS_MAX)
    # Looking back goes no further than the longest trash of any bucket.
    kept_days = work.rules.trash_days_max(work.settings)
    forgotten = past_places.forget(work, before_ms=work.clock_ms - kept_days * DAY_MS, limit=limit)
    if freed or reaped or forgotten:
        work.seq += 1
    return Accepted(work.seq, {"freed": freed + reaped, "more": more_versions or more_folders})
