"""`fluffy admin force-new-cluster`: a survivor goes on alone when the majority is lost for good.

Offline, on the stopped node's folder. Everything in its log is applied, also what it does not know to be committed:
the lost majority may have acknowledged it. Then the state is made that of a new cluster with one member
(core/metadata/force_new.py), the log begins anew behind it in a higher term, a checkpoint covers both, and node.json is
bound to the new UUID. Killed anywhere in between, the node refuses to start until this has been said again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fluffy.apps.folder_owner import as_owner_of
from fluffy.apps.identity import Identity, load_or_create_identity, rebind, refuse_lost_log
from fluffy.apps.node_lock import node_lock
from fluffy.apps.seed import SEED_NAME
from fluffy.apps.settings import NodeSettings, Settings
from fluffy.base.errors import StartRefused
from fluffy.base.ids import ClusterUuid, NodeNo, new_cluster_uuid
from fluffy.core.metadata import queries
from fluffy.drivers.raft import library
from fluffy.drivers.raft.checkpoint_files import CheckpointFiles, CheckpointHead, copy_state
from fluffy.drivers.raft.checkpoints import recover_state
from fluffy.drivers.raft.disk import RealDisk
from fluffy.drivers.raft.journal import Entry, SegmentedJournal
from fluffy.drivers.raft.state_store import StateStore

APPLY_ENTRIES = 64


@dataclass(frozen=True, slots=True)
class Survivor:
    """What a stopped node holds. `uncertain`: entries that it does not know to be committed."""

    name: str
    cluster_uuid: str
    last_index: int
    last_term: int
    uncertain: int
    files: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forced:
    before: Survivor
    cluster_uuid: ClusterUuid
    left_out: tuple[str, ...]


class Stopped:
    """Log and state of a stopped node, all entries applied; made by `stopped`, for one process, once."""

    def __init__(self, identity: Identity, node: NodeSettings) -> None:
        if identity.cluster_uuid is None:
            raise StartRefused(f"node {node.name} has never been in a cluster; there is nothing to go on with")
        refuse_lost_log(node.dir, identity)
        self._node = node
        self.journal = SegmentedJournal(RealDisk(node.dir / "log", fsync=True))
        self.store = StateStore(node.dir)
        self.files = CheckpointFiles(node.dir / "checkpoints")
        recover_state(self.store, self.files, self.journal)
        committed = self.journal.getRaftCommitIndex()
        self._apply_all(node)
        state = queries.cluster_state(self.store.db)
        if state is None:
            raise StartRefused(f"the cluster of node {node.name} was never born; there is nothing to go on with")
        records = queries.node_records(self.store.db)
        self.node_no = next((record.node_no for record in records if record.disk_uuid == identity.disk_uuid), None)
        last = self.journal.last_index
        self.survivor = Survivor(node.name, state.cluster_uuid, last, self.journal.term_at(last) or 0,
                                 max(0, last - committed), queries.usage(self.store.db).files,
                                 tuple(record.name for record in records))

    def go_on_alone(self) -> Forced:
        """Make the node a cluster of its own."""
        uuid = new_cluster_uuid()
        left_out = _begin_anew(self, uuid)
        rebind(self._node.dir, uuid)
        (self._node.dir / SEED_NAME).unlink(missing_ok=True)
        return Forced(self.survivor, uuid, left_out)

    def _apply_all(self, node: NodeSettings) -> None:
        applied = max(1, self.store.applied_index)
        if not self.journal.first_index <= applied <= self.journal.last_index:
            raise StartRefused(f"the state of node {node.name} stands at {applied}, its log holds entries "
                               f"{self.journal.first_index} to {self.journal.last_index}: it lost data; take another "
                               "survivor")
        while applied < self.journal.last_index:
            entries = self.journal.entries(applied + 1, applied + 1 + APPLY_ENTRIES)
            self.store.apply([(index, term, command[1:] if command[0] != library.NO_OP else b"")
                              for command, index, term in entries])
            applied = entries[-1][1]

    def close(self) -> None:
        self.store.close()
        self.journal._destroy()


@contextmanager
def stopped(settings: Settings, node: NodeSettings) -> Iterator[Stopped]:
    """Hold a node that does not run. Raises StartRefused when it does, or when it cannot be what goes on."""
    if not node.dir.is_dir():
        raise StartRefused(f"there is no folder {node.dir} of node {node.name} on this machine")
    identity = load_or_create_identity(settings, node)  # with the secret, which the folder's owner perhaps may not read
    with as_owner_of(node.dir):
        (node.dir / "run").mkdir(mode=0o700, exist_ok=True)
        with node_lock(node.dir, node.name):
            opened = Stopped(identity, node)
            try:
                yield opened
            finally:
                opened.close()


def _begin_anew(opened: Stopped, uuid: ClusterUuid) -> tuple[str, ...]:
    """State, log and checkpoint of the new cluster, in this order; the names of those left out."""
    journal, store = opened.journal, opened.store
    if opened.node_no is None:
        raise StartRefused(f"node {opened.survivor.name} is no member of its cluster any more; take another survivor")
    term = max(journal.getCurrentTerm(), opened.survivor.last_term) + 1
    no_op = bytes([library.NO_OP])
    entries: tuple[Entry, Entry] = ((no_op, journal.last_index + 1, term), (no_op, journal.last_index + 2, term))
    store.machine.begin()
    for _, index, _ in entries:
        store.machine.apply(index, term, [])
    left_out = store.machine.make_alone(NodeNo(opened.node_no), uuid)
    store.machine.commit()
    store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    journal.setCurrentTerm(term, None)
    journal.reset(*entries)
    for index in opened.files.indexes():
        opened.files.remove(index)
    copied = copy_state(store.path, opened.files.folder)
    opened.files.publish(copied.path, CheckpointHead(copied.index, copied.size, copied.xxh3, entries))
    return left_out
