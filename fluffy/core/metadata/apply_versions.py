"""Versions that no rule keeps any more: leader work, in bounded steps."""

from __future__ import annotations

from fluffy.base.units import DAY_MS
from fluffy.core.metadata import versions
from fluffy.core.metadata.commands import ExpireVersions
from fluffy.core.metadata.outcomes import Accepted, Outcome
from fluffy.core.metadata.refusals import refuse_operator, refuse_term
from fluffy.core.metadata.working import Working

# One command frees at most so many versions, whatever the leader asks: about 30 ms of apply.
EXPIRE_VERSIONS_MAX = 1_000


def expire_versions(work: Working, command: ExpireVersions) -> Outcome:
    """Free replaced and deleted versions older than the trash keeps them, oldest first.

    facts: freed; more (there are others, ask again).
    """
    refusal = refuse_operator(work, command.header.user_no) or refuse_term(work, command.term)
    if refusal is not None:
        return refusal
    kept_since_ms = work.clock_ms - work.settings.trash_days * DAY_MS
    freed, more = versions.sweep(work, retired_ms_max=max(versions.CONDEMNED_MS, kept_since_ms),
                                 versions_max=min(command.limit, EXPIRE_VERSIONS_MAX),
                                 chunks_max=versions.SWEEP_CHUNKS_MAX)
    if freed:
        work.seq += 1
    return Accepted(work.seq, {"freed": freed, "more": more})
