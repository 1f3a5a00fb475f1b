"""Commands of the file tree: moving, copying, deleting whole folders, changing parts, versions, trash, time travel.

Kinds 20 to 39, feature level 2. The rules of `commands` hold: numbers for ever, new fields only at the end with a
default. Common fields:

`path`, `src`, `dst`: canonical text, `bucket/folder/name`. `parents`: missing folders of the target (and a missing
bucket) are made. `if_match`: the etag that the present file must have (`*`: it must only be there); otherwise
Rejected(PreconditionFailed) whose facts name the present etag and generation. `lock`: as in `commands`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.header import Header


@dataclass(frozen=True, slots=True)
class Move:
    """Give a file, a folder with everything in it, or a bucket another path; owners, history and trash go along.

    One row moves, whatever the folder holds. A file keeps its generation, or goes on above what the new path has used.
    `overwrite`: what stands at `dst` (of the same kind) goes to the trash first; else Rejected(AlreadyExists).
    `if_match` speaks of the file at `src`, `if_dst_match` of the one at `dst`.
    """

    KIND: ClassVar[int] = 20
    header: Header
    src: str
    dst: str
    overwrite: bool = False
    parents: bool = True
    if_match: str | None = None
    if_dst_match: str | None = None
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy a file or a folder with everything in it; chunks are shared, the copy belongs to the caller.

    `generation`: of the file at `src`, 0: the current one. `overwrite`: a file at `dst` gets a new generation, a folder
    at `dst` goes to the trash first; else Rejected(AlreadyExists). `meta`, `tags`, `content_type`: replace those of a
    copied file; None: they are copied too. A folder with more than COPY_ENTRIES_MAX entries is Rejected(TooLarge).
    """

    KIND: ClassVar[int] = 21
    header: Header
    src: str
    dst: str
    generation: int = 0
    overwrite: bool = False
    parents: bool = True
    if_match: str | None = None
    if_dst_match: str | None = None
    meta: dict[str, str] | None = None
    tags: dict[str, str] | None = None
    content_type: str | None = None
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class DeleteFolder:
    """Delete a folder or bucket with everything in it, at once: into the trash, or with `purge` for good."""

    KIND: ClassVar[int] = 22
    header: Header
    path: str
    purge: bool = False
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class TouchFile:
    """Make an empty file, or give the present one a new generation of the same bytes, modified now."""

    KIND: ClassVar[int] = 23
    header: Header
    path: str
    parents: bool = True
    if_match: str | None = None
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class AppendFile:
    """Add a few bytes to the end of a file that lives in the metadata; makes the file when there is none.

    Nothing conflicts: the log orders the appends. When the file is kept in chunks, or would outgrow `inline_max`:
    Rejected(PreconditionFailed) with the fact `use: "patch"`; then the door sends a PatchFile.
    """

    KIND: ClassVar[int] = 24
    header: Header
    path: str
    data: bytes
    content_type: str = ""
    parents: bool = True
    if_match: str | None = None
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class PatchFile:
    """A new generation that differs from `base_generation`, the current one, in a part only.

    `at`, `drop`: from chunk number `at` of the base on, `drop` chunks give way to `chunks`; the others are shared.
    For an append `at` is the tail (when it is not full) and `drop` 1. Of a base in the metadata both are 0 and `chunks`
    or `inline` holds the whole new content; `inline` with `drop` = all chunks takes the file back into the metadata.
    `size`, `blake3`, `etag` are of the whole new content; `blake3` may be empty: not known, each chunk has its own.
    `intent`: a hash of what the caller asked for, equal at every attempt, so that a door which tries again after
    Rejected(PreconditionFailed) with a newer base is still known as the same request (each attempt has an id of its
    own, derived from the caller's).
    """

    KIND: ClassVar[int] = 25
    header: Header
    path: str
    intent: bytes
    base_generation: int
    at: int
    drop: int
    size: int
    blake3: bytes
    etag: str
    inline: bytes | None
    chunks: tuple[tuple[ChunkId, int], ...]
    replicas: tuple[tuple[NodeNo, ...], ...]
    if_match: str | None = None
    lock: bytes = b""
    since_seq: int = 0  # as in PutFile


@dataclass(frozen=True, slots=True)
class SetTags:
    """Replace the tags of the current version in place: generation and etag stay, `meta_version` grows by one."""

    KIND: ClassVar[int] = 26
    header: Header
    path: str
    tags: dict[str, str]
    if_match: str | None = None
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class SetMeta:
    """Replace the user metadata in place, and the content type unless it is None. Like SetTags otherwise."""

    KIND: ClassVar[int] = 27
    header: Header
    path: str
    meta: dict[str, str]
    content_type: str | None = None
    if_match: str | None = None
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class RestoreVersion:
    """Make a kept generation current again, as a new generation that shares its bytes; also of a deleted file.

    `expect`: the generation that must be current now (0: none must be); None: whatever is there, it becomes history.
    """

    KIND: ClassVar[int] = 28
    header: Header
    path: str
    generation: int
    expect: int | None = None
    lock: bytes = b""
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class Undelete:
    """Take a deleted file, or a folder with everything in it, out of the trash.

    `item`: its number in the trash (`TrashItem.item`), 0: the one deleted last at `path`. `target`: another path to
    bring it back to. Where something stands: Rejected(AlreadyExists) telling what.
    """

    KIND: ClassVar[int] = 29
    header: Header
    path: str
    item: int = 0
    target: str | None = None
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class PurgeVersion:
    """Free one old generation of a file, deleted or not, for good. The current one must be deleted first."""

    KIND: ClassVar[int] = 30
    header: Header
    path: str
    generation: int
    lock: bytes = b""


@dataclass(frozen=True, slots=True)
class EmptyTrash:
    """Purge up to `limit` items of the trash, at or below `path` (empty: in all buckets the caller may write).

    facts: purged, more (there may be others: ask again), after (the cursor to ask with).
    """

    KIND: ClassVar[int] = 31
    header: Header
    path: str
    after: str = ""
    limit: int = 1_000


@dataclass(frozen=True, slots=True)
class SetBucketRules:
    """How a bucket keeps its files; None: as the cluster does. Holds for what is written and deleted from now on."""

    KIND: ClassVar[int] = 32
    header: Header
    bucket: str
    trash_days: int | None
    versions_max: int | None
    replication: int | None


@dataclass(frozen=True, slots=True)
class RestoreFolderAt:
    """Bring the files of a folder back as they were at `moment_ms` of log time, as new generations, batch by batch.

    Looks at up to `limit` names from the cursor `after` on. `exact`: also move to the trash what was not there then.
    facts: restored, deleted, same, conflicts (paths where something of the other kind stands), more, after.
    """

    KIND: ClassVar[int] = 33
    header: Header
    path: str
    moment_ms: int
    exact: bool = False
    after: str = ""
    limit: int = 500
    lock: bytes = b""


TreeCommand = (Move | Copy | DeleteFolder | TouchFile | AppendFile | PatchFile | SetTags | SetMeta | RestoreVersion
               | Undelete | PurgeVersion | EmptyTrash | SetBucketRules | RestoreFolderAt)
TREE_COMMANDS = (Move, Copy, DeleteFolder, TouchFile, AppendFile, PatchFile, SetTags, SetMeta, RestoreVersion, Undelete,
                 PurgeVersion, EmptyTrash, SetBucketRules, RestoreFolderAt)
