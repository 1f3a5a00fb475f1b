"""What was decided at a cluster's birth stays: the configuration may repeat it, not change it.

The log's majority is counted over its members. A node that took another list of them from an edited file could elect
itself with too few votes and acknowledge what the others never see; so such a node must not start.
"""

from __future__ import annotations

import logging
import sqlite3

from fluffy.apps.settings import Settings
from fluffy.base.errors import ConfigIllegal
from fluffy.core.metadata import queries

log = logging.getLogger(__name__)

# Written into the log at birth, and taken from there ever after.
_KEPT = ("replication", "write_quorum", "chunk_size", "inline_max", "trash_days", "versions_max")


def check_birth_facts(settings: Settings, db: sqlite3.Connection) -> None:
    """Raises ConfigIllegal when the configuration names other nodes than the cluster was born with.

    Other differences do no harm (the log's values count) and are warned of. Before the birth there is nothing to check.
    """
    state = queries.cluster_state(db)
    if state is None:
        return
    born = {str(record.name) for record in queries.node_records(db)}
    named = {str(name) for name in settings.nodes}
    if born != named:
        missing, added = sorted(born - named), sorted(named - born)
        parts = [f"it lacks {', '.join(missing)}"] * bool(missing) + [f"it adds {', '.join(added)}"] * bool(added)
        raise ConfigIllegal(
            f"{settings.path} names other nodes than this cluster has: {' and '.join(parts)}; nodes cannot be added or "
            f"removed by editing the configuration, so put the list of nodes back")
    for key in _KEPT:
        if getattr(settings.cluster, key) != getattr(state.settings, key):
            log.warning("settings.kept_from_birth", extra={
                "key": f"cluster.{key}", "configured": getattr(settings.cluster, key),
                "in_force": getattr(state.settings, key)})
