"""Short names for the commands that tests of the metadata send; by the admin, at log time 1000, unless told."""

from __future__ import annotations

import sqlite3
from typing import Any

from blake3 import blake3

from fluffy.base.ids import ChunkId, NodeNo, UserNo
from fluffy.core.metadata.commands import DeleteFile, ExpireVersions, ForgetChunks, PutFile, ReplicasChanged
from tests.support.local_log import header

AT_MS = 1_000
CLUSTER = UserNo(0)


def insert_user(db: sqlite3.Connection, user_no: int, name: str, role: str = "user") -> None:
    """A user with a number that the test chooses, past the log."""
    db.execute("INSERT INTO users (user_no, name, role, created_ms) VALUES (?, ?, ?, 0)", (user_no, name, role))


def chunk(number: int) -> ChunkId:
    return ChunkId(number.to_bytes(32, "big"))


def nodes(*numbers: int) -> tuple[NodeNo, ...]:
    return tuple(NodeNo(number) for number in numbers)


def put(path: str, data: bytes = b"data", *, at_ms: int = AT_MS, **changed: Any) -> PutFile:
    """A file with inline bytes."""
    root = blake3(data).digest()
    fields: dict[str, Any] = {
        "header": header(at_ms=at_ms), "path": path, "size": len(data), "blake3": root, "etag": root[:16].hex(),
        "content_type": "text/plain", "meta": {}, "tags": {}, "inline": data, "chunks": (), "replicas": ()}
    return PutFile(**{**fields, **changed})


def put_chunks(path: str, *numbers: int, on: tuple[int, ...] = (1, 2, 3), length: int = 1 << 20, at_ms: int = AT_MS,
               **changed: Any) -> PutFile:
    """A file of the chunks with those numbers, all of one length, fsynced by the nodes of `on`."""
    fields: dict[str, Any] = {
        "size": length * len(numbers), "inline": None, "blake3": bytes(32), "etag": "ee" * 16,
        "chunks": tuple((chunk(number), length) for number in numbers),
        "replicas": tuple(nodes(*on) for _ in numbers)}
    return put(path, at_ms=at_ms, **{**fields, **changed})


def delete(path: str, *, at_ms: int = AT_MS, **changed: Any) -> DeleteFile:
    return DeleteFile(header(at_ms=at_ms), path, **changed)


def expire(*, at_ms: int, limit: int = 1_000, term: int = 1) -> ExpireVersions:
    return ExpireVersions(header(CLUSTER, at_ms), term, limit)


def forget(*numbers: int, at_ms: int, grace_ms: int = 0, term: int = 1) -> ForgetChunks:
    return ForgetChunks(header(CLUSTER, at_ms), term, tuple(chunk(number) for number in numbers), grace_ms)


def replicas(*, added: tuple[tuple[int, int], ...] = (), removed: tuple[tuple[int, int], ...] = (),
             at_ms: int = AT_MS) -> ReplicasChanged:
    """Pairs of chunk number and node number."""
    def pairs(numbers: tuple[tuple[int, int], ...]) -> tuple[tuple[ChunkId, NodeNo], ...]:
        return tuple((chunk(number), NodeNo(node)) for number, node in numbers)
    return ReplicasChanged(header(CLUSTER, at_ms), pairs(added), pairs(removed))
