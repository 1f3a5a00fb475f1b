"""What a node writes beside its chunks, so that the tree can be made again when all databases are gone: manifests.

A manifest tells what stands at a *place*, a key in a numbered folder (as `entries` does), so moving a folder is one
record, whatever it holds. Every record carries the feed position `seq` of the state that it was read from: of two about
one place the later one counts, whichever node wrote it. `path` is where the thing was then; it is for people, and for
when the records of the folders above are lost.

Every node writes them for everything, not only for the chunks that it holds: copies move without a change of the file,
and a node that knows the whole tree can say of everything whether it was still there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fluffy.base.ids import ChunkId

Place = tuple[int, str]  # folder number and key; a folder's key ends in '/'
ChunkPart = tuple[int, ChunkId, int]  # its number, its id, its length


@dataclass(frozen=True, slots=True)
class FileManifest:
    """One generation of a file. Its bytes are `inline` or in `chunks`. `is_current`: no newer one was there."""

    seq: int
    parent: int
    key: str
    path: str
    no: int
    version_no: int
    generation: int
    size: int
    blake3: bytes
    etag: str | bytes
    content_type: str
    owner_no: int
    modified_ms: int
    meta_version: int
    is_current: bool = True
    meta: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    chunks: tuple[ChunkPart, ...] = ()
    inline: bytes | None = None


@dataclass(frozen=True, slots=True)
class FilesManifest:
    """The current generations of files of one folder, their bytes inline: as many FileManifests in one record.

    Files are mostly small and come many at a time, so this is what a small file costs. `path`: of the folder, with a
    slash. `rows`: of each what the state has: key, no, version_no, generation, size, blake3, etag, content_type,
    owner_no, modified_ms, meta_version, meta and tags (packed texts, or None), and the bytes.
    """

    seq: int
    parent: int
    path: str
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class FolderManifest:
    seq: int
    parent: int
    key: str
    path: str
    no: int
    owner_no: int
    created_ms: int


@dataclass(frozen=True, slots=True)
class GoneManifest:
    """Nothing stands at the place any more."""

    seq: int
    parent: int
    key: str


@dataclass(frozen=True, slots=True)
class AnewManifest:
    """What was said before the position `seq` of what is in the folder does not hold: it came (back) then, or was
    listed again.
    """

    seq: int
    parent: int


@dataclass(frozen=True, slots=True)
class UserManifest:
    """A user with quota (None: no limit). `name` empty: there is no such user any more."""

    seq: int
    no: int
    name: str
    role: str
    created_ms: int
    password: bytes | None
    disabled: bool
    files_max: int | None
    bytes_max: int | None


@dataclass(frozen=True, slots=True)
class BucketManifest:
    """What a bucket's own rows say, None: as the cluster does. `grants`: user number (0: everyone) and right."""

    seq: int
    no: int
    owner_no: int
    trash_days: int | None
    versions_max: int | None
    replication: int | None
    files_max: int | None
    bytes_max: int | None
    grants: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class MarkManifest:
    """Everything up to the feed position `seq` stands before this record.

    `building`: after which place the first walk over everything goes on; None: it is done, and what this series says
    nothing about does not exist.
    """

    seq: int
    at_ms: int
    building: Place | None = None


@dataclass(frozen=True, slots=True)
class HeadManifest:
    """The first record of a segment: whose it is, and the mark that held at its beginning."""

    cluster_uuid: str
    series: int
    number: int
    mark: MarkManifest


Manifest = (FileManifest | FilesManifest | FolderManifest | GoneManifest | AnewManifest | UserManifest | BucketManifest
            | MarkManifest)
