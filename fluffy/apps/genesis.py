"""The birth of a cluster: once, when every initial member is there, by the first leader.

All must be there because the log must know each member's disk: a disk that voted before it was known and was then
exchanged could vote twice. The admin's token is made here and kept in a file that only its owner can read; the log
keeps its hash.
"""

from __future__ import annotations

import logging
import secrets
import time
from pathlib import Path

from blake3 import blake3

from fluffy.apps.cluster_secret import given_admin_token, write_private_once
from fluffy.apps.identity import Identity
from fluffy.apps.settings import Settings
from fluffy.base.ids import NodeNo, RequestId, UserNo, new_cluster_uuid
from fluffy.core.metadata.commands import FEATURE_LEVEL, Genesis, Header, NodeRecord
from fluffy.drivers.raft.group_commit import Answered
from fluffy.drivers.raft.links import TcpLinks
from fluffy.drivers.raft.node import RaftNode
from fluffy.wire.log_entries import encode_command

log = logging.getLogger(__name__)

ADMIN_NAME = "admin"
TOKEN_BYTES = 32
# A refused or lost genesis is proposed again after this; only the first one accepted counts.
AGAIN_AFTER_S = 1.0


class Birth:
    """Call `step` once a turn until the cluster exists."""

    def __init__(self, settings: Settings, identity: Identity, node: RaftNode, links: TcpLinks) -> None:
        self._settings = settings
        self._identity = identity
        self._node = node
        self._links = links
        self._proposed_s = -1e9
        self._cluster_uuid = new_cluster_uuid()

    def waiting_for(self) -> str:
        """A sentence for `/readyz` and for who waits at the terminal."""
        missing = [name for name in self._node.transport.peer_names() if self._links.identity_of(name) is None]
        if missing:
            return f"waiting for node {', '.join(missing)}: a cluster is born when all its first nodes are there"
        return "waiting for the cluster to be born"

    def step(self) -> None:
        node = self._node
        if not node.raft.is_leader or node.clock() - self._proposed_s < AGAIN_AFTER_S:
            return
        disks: dict[str, str] = {self._identity.name: self._identity.disk_uuid}
        for name in node.transport.peer_names():
            peer = self._links.identity_of(name)
            if peer is None:
                return
            disks[name] = peer.disk_uuid
        self._proposed_s = node.clock()
        node.proposals.offer(encode_command(self._command(disks)), self._answered)

    def _command(self, disks: dict[str, str]) -> Genesis:
        cluster = self._settings.cluster
        records = tuple(
            NodeRecord(NodeNo(number), each.name, disks[each.name], each.zone, each.host, http=each.http,
                       raft=each.raft, data=each.data, s3=each.s3 or 0)
            for number, each in enumerate(self._settings.nodes.values(), start=1))
        own_number = next(record.node_no for record in records if record.name == self._identity.name)
        return Genesis(
            header=Header(RequestId(b""), time.time_ns() // 1_000_000, own_number, UserNo(0)),
            cluster_uuid=self._cluster_uuid, cluster_name=cluster.name, nodes=records, admin_name=ADMIN_NAME,
            admin_token_hash=blake3(admin_token(cluster.admin_token_file).encode()).digest(),
            replication=cluster.replication, write_quorum=cluster.write_quorum, chunk_size=cluster.chunk_size,
            inline_max=cluster.inline_max, trash_days=cluster.trash_days, versions_max=cluster.versions_max,
            feature_level=FEATURE_LEVEL)

    def _answered(self, answered: Answered) -> None:
        log.info("genesis.answered", extra={"error": answered.error})


def admin_token(path: Path) -> str:
    """The admin's token: from the environment, else from its file, which is made if it does not exist."""
    given = given_admin_token()
    if given is not None:
        return given
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if write_private_once(path, secrets.token_urlsafe(TOKEN_BYTES) + "\n"):
            log.info("genesis.token_written", extra={"path": str(path)})
    return path.read_text().strip()
