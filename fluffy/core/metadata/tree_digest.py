"""What somebody would call "the same tree", as one short text: equal on two clusters that hold the same.

Unlike the digest of the state (digest.py) it knows no numbers, positions, nodes or requests: a tree that was restored
into another cluster has others of them. It speaks of names and owners in words, and has three parts:

*tree*: every current file and folder with its path, owner, times, and of files generation, size, hashes, type, metadata
and tags. *people*: users, quotas, grants and rules of buckets. *history*: old versions and what is in the trash.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack
from blake3 import blake3

from fluffy.core.metadata.packing import unpack_texts
from fluffy.core.metadata.schema import ROOT_NO

# Paths have at most 1,024 bytes, so this many open folders at most.
_DEPTH_MAX = 1024
_CHILDREN = ("SELECT e.key, e.no, e.version_no, e.generation, e.size, e.etag, e.content_type, e.owner_no,"
             " e.modified_ms, v.blake3, v.meta, v.tags FROM entries e LEFT JOIN versions v USING (version_no)"
             " WHERE e.parent = ? ORDER BY e.key")
# Buckets by their name: numbers mean nothing elsewhere.
_BUCKETS = "(SELECT no, key FROM entries WHERE parent = 0 AND version_no = 0)"
_PEOPLE: tuple[tuple[str, str], ...] = (
    ("users", "SELECT name, role, created_ms, password, disabled FROM users ORDER BY name"),
    ("grants", f"SELECT b.key, ifnull(u.name, ''), g.granted FROM grants g JOIN {_BUCKETS} b ON b.no = g.bucket_no"
               " LEFT JOIN users u ON u.user_no = g.grantee_no ORDER BY 1, 2"),
    ("rules", f"SELECT b.key, r.trash_days, r.versions_max, r.replication FROM bucket_rules r JOIN {_BUCKETS} b"
              " ON b.no = r.bucket_no ORDER BY 1"),
    ("quotas of users", "SELECT u.name, a.files_max, a.bytes_max FROM accounts a JOIN users u ON u.user_no = a.no"
                        " WHERE a.subject = 1 AND (files_max IS NOT NULL OR bytes_max IS NOT NULL) ORDER BY 1"),
    ("quotas of buckets", f"SELECT b.key, a.files_max, a.bytes_max FROM accounts a JOIN {_BUCKETS} b ON b.no = a.no"
                          " WHERE a.subject = 0 AND (files_max IS NOT NULL OR bytes_max IS NOT NULL) ORDER BY 1"))
_HISTORY: tuple[tuple[str, str], ...] = (
    ("versions", "SELECT blake3, generation, size, etag, content_type, ifnull(name, ''), modified_ms, retired_ms,"
                 " expires_ms, meta, tags FROM versions LEFT JOIN users ON user_no = owner_no"
                 " WHERE expires_ms > 0 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"),
    ("trash", "SELECT key, generation, deleted_ms, expires_ms FROM tombs ORDER BY 1, 2, 3, 4"))


@dataclass(frozen=True, slots=True)
class TreeDigest:
    """Sums and hashes (hex) of the three parts; `digest` is of all of them."""

    files: int
    folders: int
    bytes: int
    tree: str
    people: str
    history: str

    @property
    def digest(self) -> str:
        return blake3(f"{self.tree} {self.people} {self.history}".encode()).hexdigest()


def tree_digest(db: sqlite3.Connection) -> TreeDigest:
    """Inside one read transaction. A scan of everything: run it in a thread."""
    files = folders = size = 0
    hasher = blake3()
    for row in _walk(db):
        hasher.update(msgpack.packb(row))
        if row[1]:
            files += 1
            size += row[2]
        else:
            folders += 1
    return TreeDigest(files, folders, size, hasher.hexdigest(), _digest_of(db, _PEOPLE), _digest_of(db, _HISTORY))


def _walk(db: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Every entry in the order of paths: (path, is a file, size, …)."""
    owners: dict[int, str] = dict(db.execute("SELECT user_no, name FROM users"))
    open_folders = [("", db.execute(_CHILDREN, (ROOT_NO,)))]
    while open_folders and len(open_folders) <= _DEPTH_MAX:
        prefix, children = open_folders[-1]
        row = children.fetchone()
        if row is None:
            open_folders.pop()
            continue
        key, no, version_no, generation, size, etag, content_type, owner_no, modified_ms, root, meta, tags = row
        yield (prefix + key, bool(version_no), size, generation, etag, content_type, owners.get(owner_no, ""),
               modified_ms, root, sorted(unpack_texts(meta).items()), sorted(unpack_texts(tags).items()))
        if not version_no:
            open_folders.append((prefix + key, db.execute(_CHILDREN, (no,))))


def _digest_of(db: sqlite3.Connection, queries: tuple[tuple[str, str], ...]) -> str:
    hasher = blake3()
    for name, query in queries:
        hasher.update(b"\x00" + name.encode())
        for row in db.execute(query):
            hasher.update(msgpack.packb(row))
    return hasher.hexdigest()
