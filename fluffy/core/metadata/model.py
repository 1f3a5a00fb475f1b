"""What readers of the state get: frozen values, made by `queries.py` from rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fluffy.base.ids import ChunkId, ClusterUuid, NodeNo, UserNo
from fluffy.core.metadata.commands import NodeRecord, NodeState

Role = Literal["admin", "user", "readonly", "supernode"]


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Decided at genesis and kept in the state: every node must agree on them."""

    replication: int
    write_quorum: int
    chunk_size: int
    inline_max: int
    trash_days: int
    versions_max: int


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The one row about everything. `seq` counts accepted changes, the same at the same log position everywhere."""

    cluster_uuid: ClusterUuid
    cluster_name: str
    settings: ClusterSettings
    seq: int
    clock_ms: int
    applied_index: int
    feature_level: int


@dataclass(frozen=True, slots=True)
class User:
    """Who asks. A disabled user has no rights and no credential that works."""

    user_no: UserNo
    name: str
    role: Role
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """One chunk of a version, in order. `replicas`: nodes that hold it, ascending; may be empty when all are lost."""

    chunk_id: ChunkId
    length: int
    replicas: tuple[NodeNo, ...]


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One immutable version. Exactly one of `inline` and `chunks` carries the bytes (both empty for size 0).

    `blake3` is empty when the version was made from parts and nobody has hashed it whole; every chunk has its own hash.
    `is_md5`: the etag is S3's (MD5, or of parts), not made of BLAKE3. Only `meta`, `tags` and `content_type` may
    change in place; `meta_version` counts how often. `version_no`: what names it for ever; 0: not read.
    """

    path: str
    generation: int
    size: int
    blake3: bytes
    etag: str
    content_type: str
    owner: str
    modified_ms: int
    meta: dict[str, str]
    tags: dict[str, str]
    inline: bytes | None
    chunks: tuple[ChunkRef, ...]
    meta_version: int = 0
    is_md5: bool = False
    version_no: int = 0


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One generation in a file's history. `retired_ms`, `expires_ms`: None for the current one; log time else."""

    generation: int
    size: int
    blake3: bytes
    etag: str
    content_type: str
    owner: str
    modified_ms: int
    retired_ms: int | None
    expires_ms: int | None
    meta_version: int


@dataclass(frozen=True, slots=True)
class TrashItem:
    """A deleted file, or a folder deleted with all it held. `item`: its number, for Undelete.

    `generation`: of the file's newest kept version; 0 for folders. `files`, `size`: what would come back.
    """

    item: int
    path: str
    kind: Literal["file", "folder"]
    generation: int
    size: int
    files: int
    owner: str
    deleted_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class TrashPage:
    """`after`: the cursor for the next page, None when this is the last one."""

    items: tuple[TrashItem, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class DiffLine:
    """What became of one path between two moments. Generations and sizes are 0 where it was not, and of folders."""

    path: str
    kind: Literal["file", "folder"]
    change: Literal["created", "deleted", "changed"]
    from_generation: int
    to_generation: int
    from_size: int
    to_size: int


@dataclass(frozen=True, slots=True)
class DiffPage:
    """`after`: the cursor for the next page, None when this is the last one."""

    lines: tuple[DiffLine, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class FolderInfo:
    """A folder or a bucket (one segment)."""

    path: str
    owner: str
    created_ms: int
    entries: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing. For folders: size 0, generation 0, etag empty.

    `path` is the full path without leading slash; names of folders carry no trailing one.
    """

    name: str
    path: str
    kind: Literal["file", "folder"]
    size: int
    generation: int
    etag: str
    content_type: str
    owner: str
    modified_ms: int


@dataclass(frozen=True, slots=True)
class Page:
    """`after` is the cursor for the next page, None when this is the last one.

    `version`: of a folder's listing, the same as long as nothing in it changed; empty where that is not told.
    """

    entries: tuple[Entry, ...]
    after: str | None
    version: str = ""


@dataclass(frozen=True, slots=True)
class PlacementMap:
    """What the leader published last; epoch 0 (made at genesis) has every member up with weight 1."""

    epoch: int
    nodes: tuple[NodeState, ...]


@dataclass(frozen=True, slots=True)
class Member:
    record: NodeRecord
    state: str
    chunks: int
    bytes: int


@dataclass(frozen=True, slots=True)
class MissingChunk:
    """A referenced chunk with fewer copies than its bucket wants."""

    chunk_id: ChunkId
    length: int
    replicas: tuple[NodeNo, ...]
    wanted: int


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the change feed.

    `kind`: one of `changes.KINDS`, where the page says what a follower does with each. `source`: the path that a moved
    file or folder had before; empty in other rows.
    """

    seq: int
    at_ms: int
    kind: str
    path: str
    generation: int
    size: int
    owner: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    files: int
    bytes: int
    chunks: int
    chunk_bytes: int
    missing_chunks: int
