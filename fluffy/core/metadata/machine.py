"""The state machine: one replicated command stream in, outcomes out.

    begin() -> apply(index, term, commands) * n -> commit()

One transaction from `begin` to `commit`; it also stores the applied index, so a restart goes on exactly where the
database is. The caller (the log process, and nobody else) keeps answers back until `commit` has returned.

`apply` is total: a refusal is a value. An exception out of it is a bug of ours or a failed disk, and after it the
object must not be used again: the process stops, and the transaction that was open never happened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fluffy.base.checks import invariant
from fluffy.base.errors import FeatureTooNew, NotReady, Rebuilding, RequestError
from fluffy.base.ids import REQUEST_ID_BYTES, ClusterUuid, NodeNo
from fluffy.core.metadata import (
    apply_chunks,
    apply_cluster,
    apply_files,
    apply_folders,
    apply_jobs,
    apply_keeper,
    apply_members,
    apply_object_versions,
    apply_people,
    apply_rebuild,
    apply_s3,
    apply_tree,
    apply_uploads,
    apply_users,
    apply_versions,
    force_new,
    migrations,
)
from fluffy.core.metadata.commands import (
    FEATURE_LEVEL,
    AddToken,
    Command,
    DeleteFile,
    ExpireVersions,
    ForgetChunks,
    Genesis,
    MakeFolder,
    PublishPlacement,
    PutFile,
    RemoveFolder,
    ReplicasChanged,
    SetFeatureLevel,
)
from fluffy.core.metadata.dedup import RequestWindow
from fluffy.core.metadata.digest import digest_of
from fluffy.core.metadata.outcomes import Outcome
from fluffy.core.metadata.refusals import refused
from fluffy.core.metadata.working import Working


def open_state(db: sqlite3.Connection) -> StateMachine:
    """Create or migrate the tables and load what is kept in memory.

    `db` was opened with `isolation_level=None`. Raises FeatureTooNew when a newer program wrote it.
    """
    invariant(db.isolation_level is None, "transactions are ours, not the sqlite3 module's")
    migrations.migrate(db)
    work = Working(db)
    if work.feature_level > FEATURE_LEVEL:
        raise FeatureTooNew(level=work.feature_level, known=FEATURE_LEVEL)
    return StateMachine(work)


Handler = Callable[[Working, Any], Outcome]

HANDLERS: Mapping[int, Handler] = {
    Genesis.KIND: apply_cluster.genesis,
    PutFile.KIND: apply_files.put_file,
    DeleteFile.KIND: apply_files.delete_file,
    MakeFolder.KIND: apply_folders.make_folder,
    RemoveFolder.KIND: apply_folders.remove_folder,
    PublishPlacement.KIND: apply_cluster.publish_placement,
    ReplicasChanged.KIND: apply_chunks.replicas_changed,
    ForgetChunks.KIND: apply_chunks.forget_chunks,
    ExpireVersions.KIND: apply_versions.expire_versions,
    SetFeatureLevel.KIND: apply_cluster.set_feature_level,
    AddToken.KIND: apply_users.add_token,
    **apply_tree.HANDLERS,
    **apply_people.HANDLERS,
    **apply_uploads.HANDLERS,
    **apply_keeper.HANDLERS,
    **apply_members.HANDLERS,
    **apply_s3.HANDLERS,
    **apply_jobs.HANDLERS,
    **apply_rebuild.HANDLERS,
    **apply_object_versions.HANDLERS,
}


class StateMachine:
    """The open state of one node. Single-threaded."""

    def __init__(self, work: Working) -> None:
        self._work = work
        self._requests = RequestWindow(work)

    @property
    def applied_index(self) -> int:
        """The last log entry applied (durable after `commit`); 0 before any."""
        return self._work.applied_index

    @property
    def applied_term(self) -> int:
        return self._work.applied_term

    @property
    def seq(self) -> int:
        return self._work.seq

    @property
    def clock_ms(self) -> int:
        """Log time: the newest stamp that was applied."""
        return self._work.clock_ms

    @property
    def feature_level(self) -> int:
        """Commands up to this level may be proposed; 0 before genesis."""
        return self._work.feature_level

    @property
    def cluster_uuid(self) -> str | None:
        """None before genesis."""
        return self._work.cluster_uuid

    @property
    def members_changed(self) -> int:
        """Another number after each change of who is a member, and who votes."""
        return self._work.members_changed

    def begin(self) -> None:
        """Open the transaction of a batch of entries."""
        self._work.db.execute("BEGIN IMMEDIATE")

    def apply(self, index: int, term: int, commands: Sequence[Command]) -> list[Outcome]:
        """Apply one log entry; one outcome for each command, in order.

        Entries come in order, each once; the caller skips those at or below `applied_index`. Raises FeatureTooNew when
        the cluster was lifted to a level that this program does not know.
        """
        work = self._work
        invariant(work.db.in_transaction, "apply happens between begin and commit")
        invariant(index > work.applied_index and term >= work.applied_term, "log entries are applied in order, once")
        work.entry_term = term
        outcomes = [self._apply_once(command) for command in commands]
        work.applied_index = index
        work.applied_term = term
        return outcomes

    def commit(self) -> None:
        """Make the batch visible to readers. The log is what is durable; the database may lag after a power loss."""
        self._requests.flush()
        self._work.flush()
        self._work.db.execute("COMMIT")

    def make_alone(self, node_no: NodeNo, cluster_uuid: ClusterUuid) -> tuple[str, ...]:
        """See `force_new.make_alone`. Between begin and commit, and never while there is a log process."""
        invariant(self._work.db.in_transaction, "a new cluster begins between begin and commit")
        return force_new.make_alone(self._work, node_no, cluster_uuid)

    def digest(self) -> str:
        """See `digest_of`. Between transactions only."""
        invariant(not self._work.db.in_transaction, "a digest is of a committed state")
        return digest_of(self._work.db)

    def _apply_once(self, command: Command) -> Outcome:
        work = self._work
        work.advance_clock(command.header.at_ms)
        request_id = command.header.request_id
        if not request_id:
            return self._dispatch(command)
        if len(request_id) != REQUEST_ID_BYTES:
            return refused(RequestError, f"a request id has {REQUEST_ID_BYTES} bytes")
        outcome = self._requests.lookup(command)
        if outcome is None:
            outcome = self._dispatch(command)
            self._requests.remember(command, outcome)
        return outcome

    def _dispatch(self, command: Command) -> Outcome:
        work = self._work
        if work.cluster_uuid is None and not isinstance(command, Genesis):
            return refused(NotReady, "the cluster is not born yet")
        if work.rebuild is not None and not apply_rebuild.is_allowed_meanwhile(command.KIND):
            return refused(Rebuilding)
        return HANDLERS[command.KIND](work, command)
