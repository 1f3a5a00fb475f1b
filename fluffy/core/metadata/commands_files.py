"""The command that makes a version of a file: on a page of its own, because the S3 door's builds on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fluffy.base.frozen import quickly_made
from fluffy.base.ids import ChunkId, NodeNo
from fluffy.core.metadata.header import Header


@quickly_made
@dataclass(frozen=True, slots=True)
class PutFile:
    """Create or update the file at `path` (`bucket/folder/name`).

    Either `inline` holds the bytes (`chunks` empty), or `chunks` lists `(chunk_id, length)` in order and
    `replicas[i]` the node numbers that have fsynced chunk i for this write. A chunk may be listed with no new replicas
    only if the state already counts copies of it. Missing folders, and a missing bucket, are made when `parents`.
    `if_match`: the etag the current version must have. `if_none_match`: there must be no current version.
    `since_seq`: of a state that the writer knew before it began to send its chunks; 0: not said (drop_table.py).
    """

    KIND: ClassVar[int] = 2
    header: Header
    path: str
    size: int
    blake3: bytes
    etag: str
    content_type: str
    meta: dict[str, str]
    tags: dict[str, str]
    inline: bytes | None
    chunks: tuple[tuple[ChunkId, int], ...]
    replicas: tuple[tuple[NodeNo, ...], ...]
    if_match: str | None = None
    if_none_match: bool = False
    parents: bool = True
    lock: bytes = b""
    since_seq: int = 0
