"""The cluster itself: its birth, the leader's placement map, the feature level."""

from __future__ import annotations

from collections.abc import Sequence

from fluffy.base.errors import (
    AlreadyExists,
    FeatureTooNew,
    NameIllegal,
    NodeNotFound,
    PreconditionFailed,
    RequestError,
)
from fluffy.base.ids import UserNo
from fluffy.base.paths import check_segment
from fluffy.base.units import KIB
from fluffy.core.metadata import health_table, tree
from fluffy.core.metadata.apply_users import TOKEN_HASH_BYTES
from fluffy.core.metadata.commands import (
    FEATURE_LEVEL,
    Genesis,
    NodeRecord,
    NodeState,
    PublishPlacement,
    SetFeatureLevel,
)
from fluffy.core.metadata.file_body import CHUNK_BYTES_MAX, INLINE_BYTES_MAX
from fluffy.core.metadata.names import is_name
from fluffy.core.metadata.outcomes import Accepted, Outcome, Rejected
from fluffy.core.metadata.packing import NODE_NO_MAX
from fluffy.core.metadata.refusals import refuse_operator, refuse_term, refused
from fluffy.core.metadata.working import Working

ADMIN_NO = UserNo(1)
# The placement map is one command, and every peer ranks all nodes for each chunk.
NODES_MAX = 256
REPLICATION_MAX = 16
CHUNK_SIZE_MIN = KIB
TRASH_DAYS_MAX = 36_500
VERSIONS_MAX = 10_000
WEIGHT_MAX = 1 << 40
NODE_STATES = ("up", "suspect", "down", "draining", "joining")


def genesis(work: Working, command: Genesis) -> Outcome:
    """Bear the cluster, once. facts: cluster_uuid."""
    if work.cluster_uuid is not None:
        return refused(AlreadyExists, "this cluster was born already", cluster_uuid=work.cluster_uuid)
    refusal = _refuse_settings(command) or _refuse_members(command.nodes)
    if refusal is not None:
        return refusal
    if command.feature_level > FEATURE_LEVEL:
        raise FeatureTooNew(level=command.feature_level, known=FEATURE_LEVEL)
    db = work.db
    db.execute("INSERT INTO cluster VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
               (command.cluster_uuid, command.cluster_name, work.clock_ms, command.replication, command.write_quorum,
                command.chunk_size, command.inline_max, command.trash_days, command.versions_max))
    for node in sorted(command.nodes, key=lambda node: node.node_no):
        db.execute("INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
                   (node.node_no, node.name, node.disk_uuid, node.zone, node.host, node.http, node.raft, node.data,
                    node.s3))
        db.execute("INSERT INTO placement VALUES (?, 'up', ?, 1)", (node.node_no, node.zone))
        db.execute("INSERT INTO voters VALUES (?, ?)", (node.name, node.disk_uuid))
    work.members_changed += 1
    db.execute("INSERT INTO users (user_no, name, role, created_ms) VALUES (?, ?, 'admin', ?)",
               (ADMIN_NO, command.admin_name, work.clock_ms))
    db.execute("INSERT INTO tokens (token_hash, user_no, label, created_ms) VALUES (?, ?, 'made at genesis', ?)",
               (command.admin_token_hash, ADMIN_NO, work.clock_ms))
    work.feature_level = command.feature_level
    if work.feature_level >= health_table.JOBS_LEVEL:
        health_table.begin(work)
    work.reload_cluster()
    tree.make_folder(work, work.folders.root(), command.admin_name, command.admin_name, ADMIN_NO)
    return Accepted(work.seq, {"cluster_uuid": command.cluster_uuid})


def _refuse_settings(command: Genesis) -> Rejected | None:
    texts = (command.cluster_uuid, command.cluster_name, command.admin_name)
    in_range = (
        all(is_name(text) for text in texts)
        and len(command.admin_token_hash) == TOKEN_HASH_BYTES
        and 1 <= command.write_quorum <= command.replication <= REPLICATION_MAX
        and CHUNK_SIZE_MIN <= command.chunk_size <= CHUNK_BYTES_MAX
        and 0 <= command.inline_max <= INLINE_BYTES_MAX
        and 0 <= command.trash_days <= TRASH_DAYS_MAX
        and 1 <= command.versions_max <= VERSIONS_MAX
        and command.feature_level >= 1)
    if not in_range:
        return refused(RequestError, "a setting of the new cluster is out of range")
    try:
        check_segment(command.admin_name)
    except NameIllegal as error:
        return refused(NameIllegal, error.message)
    if "/" in command.admin_name:
        return refused(NameIllegal, "a user's name has no slash: it is also the name of the home bucket")
    return None


def _refuse_members(nodes: Sequence[NodeRecord]) -> Rejected | None:
    if not 1 <= len(nodes) <= NODES_MAX:
        return refused(RequestError, f"a cluster has 1 to {NODES_MAX} nodes")
    for node in nodes:
        texts_fit = all(is_name(text) for text in (node.name, node.disk_uuid, node.host, node.zone))
        ports_fit = all(0 <= port < 65_536 for port in (node.http, node.raft, node.data, node.s3))
        if not (texts_fit and ports_fit and 1 <= node.node_no <= NODE_NO_MAX):
            return refused(RequestError, "a node's name, address or number is out of range", node_no=node.node_no)
    for values in ([node.node_no for node in nodes], [node.name for node in nodes],
                   [node.disk_uuid for node in nodes]):
        if len(set(values)) != len(values):
            return refused(RequestError, "two nodes share a number, a name or a disk")
    return None


def publish_placement(work: Working, command: PublishPlacement) -> Outcome:
    """Replace the placement map by the next epoch's. facts: epoch."""
    refusal = refuse_operator(work, command.header.user_no) or refuse_term(work, command.term)
    if refusal is not None:
        return refusal
    if command.epoch != work.epoch + 1:
        return refused(PreconditionFailed, "the placement map has changed meanwhile", epoch=work.epoch)
    refusal = _refuse_map(work, command.nodes)
    if refusal is not None:
        return refusal
    health_table.note(work, command.nodes)
    work.db.execute("DELETE FROM placement")
    work.db.executemany("INSERT INTO placement VALUES (?, ?, ?, ?)",
                        [(node.node_no, node.state, node.zone, node.weight) for node in command.nodes])
    work.epoch = command.epoch
    work.seq += 1
    return Accepted(work.seq, {"epoch": work.epoch})


def _refuse_map(work: Working, nodes: Sequence[NodeState]) -> Rejected | None:
    for node in nodes:
        if node.node_no not in work.nodes:
            return refused(NodeNotFound, node_no=node.node_no)
        if node.state not in NODE_STATES or not 1 <= node.weight <= WEIGHT_MAX or not is_name(node.zone):
            return refused(RequestError, "a line of the placement map is out of range", node_no=node.node_no)
    if not nodes or len({node.node_no for node in nodes}) != len(nodes):
        return refused(RequestError, "the placement map lists every node at most once, and at least one")
    return None


def set_feature_level(work: Working, command: SetFeatureLevel) -> Outcome:
    """Allow newer command kinds. facts: level.

    Raises FeatureTooNew for a level this program does not know: the process must stop rather than diverge. The decoder
    refuses such a command already, so nobody whose own program is too old can propose it.
    """
    refusal = refuse_operator(work, command.header.user_no)
    if refusal is not None:
        return refusal
    if command.level > FEATURE_LEVEL:
        raise FeatureTooNew(level=command.level, known=FEATURE_LEVEL)
    if command.level > work.feature_level:
        if command.level >= health_table.JOBS_LEVEL > work.feature_level:
            health_table.begin(work)
        work.feature_level = command.level
        work.seq += 1
    return Accepted(work.seq, {"level": work.feature_level})
