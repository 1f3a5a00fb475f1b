"""What was decided at a cluster's birth stays: the configuration may repeat it, not change it.

The log's majority is counted over its members. A node that took another list of them from an edited file could elect
itself with too few votes and acknowledge what the others never see; so the list is taken from the file at the birth
only, and ever after from the log (fluffy/drivers/raft/membership.py).
"""

from __future__ import annotations

import logging
import sqlite3

from fluffy.apps.settings import Settings
from fluffy.core.metadata import queries

log = logging.getLogger(__name__)

# Written into the log at birth, and taken from there ever after.
_KEPT = ("replication", "write_quorum", "chunk_size", "inline_max", "trash_days", "versions_max")


def check_birth_facts(settings: Settings, db: sqlite3.Connection) -> None:
    """Tell of differences: what the log says counts. Before the birth there is nothing to compare.

    Which nodes the configuration names matters only for their addresses: who is a member is in the log, and changes
    there (`--join`, `remove`).
    """
    state = queries.cluster_state(db)
    if state is None:
        return
    members = {str(record.name) for record in queries.node_records(db)}
    extra = sorted({str(name) for name in settings.nodes} - members)
    if extra:
        log.info("settings.not_members", extra={"nodes": ", ".join(extra)})
    for key in _KEPT:
        if getattr(settings.cluster, key) != getattr(state.settings, key):
            log.warning("settings.kept_from_birth", extra={
                "key": f"cluster.{key}", "configured": getattr(settings.cluster, key),
                "in_force": getattr(state.settings, key)})
