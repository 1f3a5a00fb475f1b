"""One member goes on alone, as another cluster: the state's part of `fluffy admin force-new-cluster`.

Not a command: it happens on one stopped node, outside the log, and makes the beginning of a new one. The new cluster's
UUID is what keeps the old members out for ever (promise P11): whoever still has the old one is refused by every port,
and their disks are retired besides.
"""

from __future__ import annotations

from fluffy.base.checks import invariant
from fluffy.base.ids import ClusterUuid, NodeNo
from fluffy.core.metadata import health_table, job_table
from fluffy.core.metadata.working import Working


def make_alone(work: Working, node_no: NodeNo, cluster_uuid: ClusterUuid) -> tuple[str, ...]:
    """Make `node_no` the only member, and the cluster a new one; the names of the others.

    Copies on the others are taken out of the chunks by the leader's keeper later, as after any removal.
    """
    db = work.db
    invariant(node_no in work.nodes, "a member goes on alone")
    others: list[tuple[int, str, str]] = db.execute(
        "SELECT node_no, name, disk_uuid FROM nodes WHERE node_no != ? ORDER BY node_no", (node_no,)).fetchall()
    for other_no, name, disk_uuid in others:
        strip_after = 0 if work.nodes[NodeNo(other_no)].chunks else None
        db.execute("INSERT OR REPLACE INTO retired_nodes VALUES (?, ?, ?, ?, ?)",
                   (other_no, name, disk_uuid, work.clock_ms, strip_after))
        db.execute("DELETE FROM nodes WHERE node_no = ?", (other_no,))
        db.execute("DELETE FROM placement WHERE node_no = ?", (other_no,))
        del work.nodes[NodeNo(other_no)]
        job_table.forget_node(work, NodeNo(other_no))
        health_table.forget(work, NodeNo(other_no))
    db.execute("DELETE FROM node_intents")
    db.execute("DELETE FROM expected_disks")
    db.execute("DELETE FROM voters")
    db.execute("INSERT INTO voters SELECT name, disk_uuid FROM nodes")
    db.execute("UPDATE placement SET state = 'up'")
    db.execute("UPDATE node_health SET since_ms = ?, down_since_ms = 0", (work.clock_ms,))
    db.execute("UPDATE cluster SET cluster_uuid = ?", (cluster_uuid,))
    # Positions that the lost members gave out may have meant something else: every follower looks at everything again.
    work.feed.clear()
    db.execute("DELETE FROM changes")
    work.cluster_uuid = cluster_uuid
    work.epoch += 1
    work.seq += 1
    work.changes_cut = work.seq
    work.members_changed += 1
    return tuple(name for _, name, _ in others)
