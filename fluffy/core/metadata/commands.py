"""Every change of the state that can be asked for, as values; others are in the `commands_…` beside this one.

One class per kind, one number per class, for ever: the numbers are in logs on disks (`wire/log_entries.py` encodes
them; golden bytes in its tests). Fields may be added at the end with a default; never removed or reordered.

Common to all, in `Header`: `request_id` (16 bytes; empty means "not deduplicated", only for commands that are
idempotent by themselves), `at_ms` (proposer's wall clock; the state's clock is `max(old, at_ms)`), `proposer`
(node number, 0 before genesis) and `user_no` (who asks; 0 is the cluster itself).

Every command that changes a path ends in `lock`: BLAKE3 of the lock token that the writer brings, or empty. A write to
a path that somebody else has locked is refused, and so is one whose own lock has ended (locks.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fluffy.base.ids import ChunkId, ClusterUuid, NodeNo
from fluffy.core.metadata.commands_files import PutFile as PutFile  # part of this page for everybody else
from fluffy.core.metadata.commands_jobs import JOB_COMMANDS, JobCommand
from fluffy.core.metadata.commands_keeper import KEEPER_COMMANDS, KeeperCommand
from fluffy.core.metadata.commands_members import MEMBER_COMMANDS, MemberCommand
from fluffy.core.metadata.commands_object_uploads import OBJECT_UPLOAD_COMMANDS, ObjectUploadCommand
from fluffy.core.metadata.commands_object_versions import OBJECT_VERSION_COMMANDS, ObjectVersionCommand
from fluffy.core.metadata.commands_people import PEOPLE_COMMANDS, PeopleCommand
from fluffy.core.metadata.commands_rebuild import REBUILD_COMMANDS, RebuildCommand
from fluffy.core.metadata.commands_s3 import S3_COMMANDS, S3Command
from fluffy.core.metadata.commands_tree import TREE_COMMANDS, TreeCommand
from fluffy.core.metadata.commands_uploads import UPLOAD_COMMANDS, UploadCommand
from fluffy.core.metadata.header import Header as Header  # part of this page for everybody else


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A member as the log knows it. `disk_uuid` is what makes an emptied disk a stranger (promise P11)."""

    node_no: NodeNo
    name: str
    disk_uuid: str
    zone: str
    host: str
    http: int
    raft: int
    data: int
    s3: int


@dataclass(frozen=True, slots=True)
class Genesis:
    """The birth of the cluster; accepted once. Makes the admin user (number 1) and its home bucket."""

    KIND: ClassVar[int] = 1
    header: Header
    cluster_uuid: ClusterUuid
    cluster_name: str
    nodes: tuple[NodeRecord, ...]
    admin_name: str
    admin_token_hash: bytes  # BLAKE3 of the token text, 32 bytes; the token itself is never in the log
    replication: int
    write_quorum: int
    chunk_size: int
    inline_max: int
    trash_days: int
    versions_max: int
    feature_level: int = 1


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """Delete the file at `path`: kept in the trash by the bucket's rule, or with `purge` gone for good."""

    KIND: ClassVar[int] = 3
    header: Header
    path: str
    purge: bool = False
    if_match: str | None = None
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """Make the folder (or, for one segment, the bucket) at `path`.

    `parents`: also its parents, and no error if it is there.
    """

    KIND: ClassVar[int] = 4
    header: Header
    path: str
    parents: bool = False
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class RemoveFolder:
    """Remove the empty folder or bucket at `path`."""

    KIND: ClassVar[int] = 5
    header: Header
    path: str
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class NodeState:
    """One line of the placement map.

    `state`: up, suspect, down, draining, joining. `weight` > 0 in GiB of free space, an integer.
    """

    node_no: NodeNo
    state: str
    zone: str
    weight: int


@dataclass(frozen=True, slots=True)
class PublishPlacement:
    """The leader's placement map. Refused when `term` is older than the newest seen, or `epoch` is not the next one."""

    KIND: ClassVar[int] = 6
    header: Header
    term: int
    epoch: int
    nodes: tuple[NodeState, ...]


@dataclass(frozen=True, slots=True)
class ReplicasChanged:
    """A node tells which copies it has gained, then which it has lost.

    Idempotent; unknown chunks are ignored and counted in the facts.
    """

    KIND: ClassVar[int] = 7
    header: Header
    added: tuple[tuple[ChunkId, NodeNo], ...]
    removed: tuple[tuple[ChunkId, NodeNo], ...]


@dataclass(frozen=True, slots=True)
class ForgetChunks:
    """Leader work: drop the rows of chunks unreferenced for `grace_ms` of log time; nodes then sweep the files.

    Chunks that are referenced again, or not long enough unreferenced, are skipped (facts: `forgotten` count).
    """

    KIND: ClassVar[int] = 8
    header: Header
    term: int
    chunk_ids: tuple[ChunkId, ...]
    grace_ms: int


@dataclass(frozen=True, slots=True)
class ExpireVersions:
    """Leader work: purge up to `limit` versions that the bucket rules (trash_days, versions_max) no longer keep."""

    KIND: ClassVar[int] = 9
    header: Header
    term: int
    limit: int


@dataclass(frozen=True, slots=True)
class SetFeatureLevel:
    """Allow command kinds up to `level`; never lowers. A node that does not know the level stops."""

    KIND: ClassVar[int] = 10
    header: Header
    level: int


@dataclass(frozen=True, slots=True)
class AddToken:
    """Give `user` a further API token, stored as its BLAKE3. By the user and by admins.

    `expires_ms`: wall clock; 0: never.
    """

    KIND: ClassVar[int] = 11
    header: Header
    user: str
    token_hash: bytes
    label: str
    expires_ms: int = 0


Command = (Genesis | PutFile | DeleteFile | MakeFolder | RemoveFolder | PublishPlacement | ReplicasChanged
           | ForgetChunks | ExpireVersions | SetFeatureLevel | AddToken | PeopleCommand | TreeCommand | UploadCommand
           | KeeperCommand | MemberCommand | S3Command | JobCommand | RebuildCommand
           | ObjectUploadCommand | ObjectVersionCommand)

# The level whose kinds this program knows: 1 to 11 are level 1, 20 to 69 level 2, 70 and above level 3. A kind that
# comes after a release raises it.
FEATURE_LEVEL = 3

LEVEL_2_KIND_MIN = 20
LEVEL_3_KIND_MIN = 70

COMMAND_KINDS: dict[int, type[Any]] = {
    cls.KIND: cls
    for cls in (Genesis, PutFile, DeleteFile, MakeFolder, RemoveFolder, PublishPlacement, ReplicasChanged,
                ForgetChunks, ExpireVersions, SetFeatureLevel, AddToken, *PEOPLE_COMMANDS, *TREE_COMMANDS,
                *UPLOAD_COMMANDS, *KEEPER_COMMANDS, *MEMBER_COMMANDS, *S3_COMMANDS, *JOB_COMMANDS, *REBUILD_COMMANDS,
                *OBJECT_UPLOAD_COMMANDS, *OBJECT_VERSION_COMMANDS)
}
