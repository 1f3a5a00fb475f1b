"""From the pile to a state: what stands at each place, whether its bytes are there, and what could not be had back.

Of a place the newest word counts. A thing is there only if no node that knows the whole tree, at that position or
later, says nothing of it: such a node has seen it go. Of a file the newest generation counts whose chunks some node
holds; nothing that was deleted comes back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fluffy.base.ids import NodeNo
from fluffy.client.rebuild.pile import FILE, FOLDER, GONE, NodeStock, Pile, Said
from fluffy.core.metadata.machine import open_state
from fluffy.core.metadata.manifest import BucketManifest, FileManifest, FolderManifest, UserManifest
from fluffy.core.metadata.packing import pack_etag, pack_manifest, pack_nodes, pack_texts
from fluffy.core.metadata.schema import ROOT_NO
from fluffy.core.metadata.schema_people import BUCKET_ACCOUNTS, OWNER_ACCOUNTS
from fluffy.core.metadata.schema_tree import FOLDER_REACH, FOLDER_SUMS
from fluffy.wire.manifest_records import decode_body

ADMIN_NO = 1
NO_COPY = "no node holds a good copy of all its parts"
NO_FOLDER = "the manifest of a folder above it is lost"
OLDER = "restored as this older generation: no node holds a good copy of all parts of the newest"


@dataclass(slots=True)
class Salvaged:
    """Sums. What could not be had back stands in the pile's table `lost`, one row each."""

    files: int = 0
    bytes: int = 0
    folders: int = 0
    older: int = 0
    lost: int = 0
    deleted: int = 0
    disputed: int = 0
    users: int = 0


@dataclass(slots=True)
class _Tree:
    """Folders that are reachable from the root, and the candidates for files in them."""

    folders: dict[int, FolderManifest] = field(default_factory=dict)


class Salvage:
    """Use in order: `note_needed`, then chunks are looked for (`pile.held`), then `build`."""

    def __init__(self, pile: Pile, stocks: Sequence[NodeStock]) -> None:
        self._pile = pile
        self._whole = [(1 << bit, stock.whole_seq) for bit, stock in enumerate(stocks) if stock.whole_seq is not None]
        self._floors: dict[int, int] = {}
        self.sums = Salvaged()

    def note_needed(self) -> int:
        """Which chunks matter; how many they are. Also where each file was seen last."""
        db = self._pile.db
        db.execute("BEGIN")
        db.execute("DELETE FROM needed")
        db.execute("DELETE FROM last_place")
        for parent, key, said in self._standing(FILE):
            db.execute("INSERT INTO last_place VALUES (?, ?, ?, ?) ON CONFLICT (no) DO UPDATE SET seq = excluded.seq,"
                       " parent = excluded.parent, key = excluded.key WHERE excluded.seq > seq",
                       (said[0].no, said[0].seq, parent, key))
            for one in said:
                record = one.record()
                if isinstance(record, FileManifest):
                    db.executemany("INSERT OR IGNORE INTO needed VALUES (?, ?)",
                                   [(chunk_id, length) for _, chunk_id, length in record.chunks])
        db.execute("COMMIT")
        return int(db.execute("SELECT count(*) FROM needed").fetchone()[0])

    def build(self, db: sqlite3.Connection, *, replication: int) -> Salvaged:
        """Make the state in an empty database."""
        self.sums = Salvaged()
        self._pile.db.execute("DELETE FROM lost")
        open_state(db)
        db.execute("BEGIN")
        tree = self._folders()
        buckets = self._buckets(tree)
        wanted = {no: bucket.replication or replication for no, bucket in buckets.items()}
        self._put_folders(db, tree)
        self._put_files(db, tree, wanted, replication)
        self._put_people(db, buckets)
        self._put_counters(db)
        db.execute("COMMIT")
        return self.sums

    def lost(self) -> Iterator[tuple[str, int, str]]:
        """(path, generation, why) of what is not as it was."""
        yield from self._pile.db.execute("SELECT path, generation, why FROM lost ORDER BY path, generation")

    # -- what stands where

    def _standing(self, kind: int) -> Iterator[tuple[int, str, list[Said]]]:
        """Places where a thing of that kind stands, with what may be there: the newest word first."""
        for parent, key, said in self._pile.places():
            newest = said[0]
            has_gone = newest.kind == GONE or newest.seq == 0 or self._has_gone(newest.seq, said)
            if has_gone:
                # Whoever makes one of these names again must not meet a generation that was there before.
                top = max(one.generation for one in said)
                self._floors[parent] = max(self._floors.get(parent, 0), top)
            if has_gone or newest.kind != kind:
                self.sums.deleted += has_gone and kind == FILE and any(one.kind == FILE for one in said)
                continue
            if len(said) > 1 and said[1].seq == newest.seq and said[1].kind != GONE:
                self.sums.disputed += 1
            yield parent, key, [one for one in said if one.kind == kind and one.no == newest.no]

    def _has_gone(self, seq: int, said: list[Said]) -> bool:
        """Whether a node that knew the whole tree then or later says nothing of the place."""
        nodes = 0
        for one in said:
            nodes |= one.nodes
        return any(whole_seq >= seq and not nodes & bit for bit, whole_seq in self._whole)

    def _folders(self) -> _Tree:
        """All folders with a way to the root."""
        found: dict[int, tuple[int, FolderManifest]] = {}
        for _, _, said in self._standing(FOLDER):
            record = said[0].record()
            if isinstance(record, FolderManifest) and said[0].seq > found.get(record.no, (-1,))[0]:
                found[record.no] = said[0].seq, record
        children: dict[int, list[FolderManifest]] = {}
        for _, record in found.values():
            children.setdefault(record.parent, []).append(record)
        tree = _Tree()
        waiting = [ROOT_NO]
        while waiting:
            for record in children.pop(waiting.pop(), ()):
                tree.folders[record.no] = record
                waiting.append(record.no)
        self.sums.folders = len(tree.folders)
        return tree

    def _buckets(self, tree: _Tree) -> Mapping[int, BucketManifest]:
        buckets = {}
        for (body,) in self._pile.db.execute("SELECT body FROM people WHERE kind = 6 ORDER BY no"):
            record = decode_body(body)
            if isinstance(record, BucketManifest) and record.no in tree.folders:
                buckets[record.no] = record
        return buckets

    # -- putting it into the tables

    def _put_folders(self, db: sqlite3.Connection, tree: _Tree) -> None:
        for no, record in tree.folders.items():
            db.execute("INSERT INTO folders (folder_no, parent, key, owner_no, created_ms, entries, tombs, floor,"
                       " removed) VALUES (?, ?, ?, ?, ?, 0, 0, ?, 0)",
                       (no, record.parent, record.key, record.owner_no, record.created_ms, self._floors.get(no, 0)))
            db.execute("INSERT INTO entries VALUES (?, ?, ?, 0, 0, 0, '', '', ?, ?)",
                       (record.parent, record.key, no, record.owner_no, record.created_ms))

    def _put_files(self, db: sqlite3.Connection, tree: _Tree, wanted: Mapping[int, int], replication: int) -> None:
        chunk_nos: dict[bytes, int] = {}
        for parent, key, said in self._standing(FILE):
            records = [record for one in said if isinstance(record := one.record(), FileManifest)]
            if not records:
                continue
            newest = records[0]
            if parent not in tree.folders:
                self._note_missing_folder(newest, parent)
                continue
            if self._pile.db.execute("SELECT parent, key FROM last_place WHERE no = ?",
                                     (newest.no,)).fetchone() != (parent, key):
                continue  # one file at two places: the record of its leaving is lost
            good = next((record for record in sorted(records, key=lambda record: -record.generation)
                         if record.generation <= newest.generation and self._is_there(record)), None)
            path = self._path(tree, parent) + key
            if good is None:
                self._lose(path, newest.generation, NO_COPY)
                continue
            if good.generation != newest.generation:
                self.sums.older += 1
                self._lose(path, good.generation, OLDER, is_lost=False)
            self._put_file(db, parent, key, good, chunk_nos, wanted.get(self._bucket(tree, parent), replication))

    def _note_missing_folder(self, record: FileManifest, parent: int) -> None:
        """Deleted with its folder, or the folder's own record is lost: a node that knows the whole tree would say."""
        if any(whole_seq >= record.seq for _, whole_seq in self._whole):
            self.sums.deleted += 1
        else:
            self._lose(record.path, record.generation, NO_FOLDER)

    def _is_there(self, record: FileManifest) -> bool:
        if record.inline is not None or not record.chunks:
            return record.inline is not None or record.size == 0
        return all(self._pile.db.execute("SELECT 1 FROM held WHERE chunk_id = ?", (chunk_id,)).fetchone()
                   for _, chunk_id, _ in record.chunks)

    def _put_file(self, db: sqlite3.Connection, parent: int, key: str, record: FileManifest,
                  chunk_nos: dict[bytes, int], wanted: int) -> None:
        etag = pack_etag(record.etag) if isinstance(record.etag, str) else record.etag
        numbers = [self._put_chunk(db, part, chunk_nos, wanted) for part in record.chunks]
        db.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, ?, ?, ?, ?, ?)",
                   (record.version_no, record.no, record.generation, record.size, record.blake3, etag,
                    record.content_type, record.owner_no, record.modified_ms, record.meta_version,
                    pack_texts(dict(record.meta)), pack_texts(dict(record.tags)),
                    pack_manifest(numbers) if record.inline is None else None, record.inline))
        db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                   (parent, key, record.no, record.version_no, record.generation, record.size, etag,
                    record.content_type, record.owner_no, record.modified_ms))
        self.sums.files += 1
        self.sums.bytes += record.size

    def _put_chunk(self, db: sqlite3.Connection, part: tuple[int, bytes, int], chunk_nos: dict[bytes, int],
                   wanted: int) -> int:
        """The number of a chunk with one more reference."""
        _, chunk_id, length = part
        no = chunk_nos.get(chunk_id)
        if no is None:
            no = chunk_nos[chunk_id] = part[0]
            nodes = tuple(NodeNo(node_no) for (node_no,) in self._pile.db.execute(
                "SELECT node_no FROM held WHERE chunk_id = ? ORDER BY node_no", (chunk_id,)))
            db.execute("INSERT INTO chunks VALUES (?, ?, ?, 1, ?, ?, ?, NULL)",
                       (no, chunk_id, length, wanted, len(nodes), pack_nodes(nodes)))
        else:
            db.execute("UPDATE chunks SET refs = refs + 1, wanted = max(wanted, ?) WHERE chunk_no = ?", (wanted, no))
        return no

    def _put_people(self, db: sqlite3.Connection, buckets: Mapping[int, BucketManifest]) -> None:
        limits: list[tuple[int, int, int | None, int | None]] = []
        for (body,) in self._pile.db.execute("SELECT body FROM people WHERE kind = 5 ORDER BY no"):
            record = decode_body(body)
            if isinstance(record, UserManifest) and record.name:
                db.execute("INSERT INTO users (user_no, name, role, created_ms, password, disabled)"
                           " VALUES (?, ?, ?, ?, ?, ?)", (record.no, record.name, record.role, record.created_ms,
                                                          record.password, int(record.disabled)))
                limits.append((1, record.no, record.files_max, record.bytes_max))
        self._put_unknown_owners(db)
        for no, bucket in buckets.items():
            db.execute("UPDATE folders SET owner_no = ? WHERE folder_no = ?", (bucket.owner_no, no))
            if (bucket.trash_days, bucket.versions_max, bucket.replication) != (None, None, None):
                db.execute("INSERT INTO bucket_rules VALUES (?, ?, ?, ?)",
                           (no, bucket.trash_days, bucket.versions_max, bucket.replication))
            db.executemany("INSERT INTO grants VALUES (?, ?, ?)",
                           [(no, user_no, granted) for user_no, granted in bucket.grants])
            limits.append((0, no, bucket.files_max, bucket.bytes_max))
        db.execute("DELETE FROM grants WHERE grantee_no != 0 AND grantee_no NOT IN (SELECT user_no FROM users)")
        db.execute(BUCKET_ACCOUNTS)
        db.execute(OWNER_ACCOUNTS)
        for subject, no, files_max, bytes_max in limits:
            if files_max is not None or bytes_max is not None:
                db.execute("INSERT INTO accounts VALUES (?, ?, 0, 0, ?, ?) ON CONFLICT (subject, no) DO UPDATE"
                           " SET files_max = excluded.files_max, bytes_max = excluded.bytes_max",
                           (subject, no, files_max, bytes_max))
        self.sums.users = int(db.execute("SELECT count(*) FROM users").fetchone()[0])

    def _put_unknown_owners(self, db: sqlite3.Connection) -> None:
        """An admin there must be; and whoever owns a bucket is somebody, be it a name that says no more."""
        if db.execute("SELECT 1 FROM users WHERE user_no = ?", (ADMIN_NO,)).fetchone() is None:
            taken = db.execute("SELECT 1 FROM users WHERE name = 'admin'").fetchone()
            db.execute("INSERT INTO users (user_no, name, role, created_ms) VALUES (?, ?, 'admin', 0)",
                       (ADMIN_NO, "admin" if taken is None else "restored-admin"))
        for (owner_no,) in db.execute(
                "SELECT DISTINCT owner_no FROM folders WHERE parent = 0 AND folder_no != 0"
                " AND owner_no NOT IN (SELECT user_no FROM users)").fetchall():
            db.execute("INSERT INTO users (user_no, name, role, created_ms) VALUES (?, ?, 'user', 0)",
                       (owner_no, f"owner-{owner_no}"))

    def _put_counters(self, db: sqlite3.Connection) -> None:
        db.execute("UPDATE folders SET entries = (SELECT count(*) FROM entries WHERE parent = folder_no)")
        db.execute(FOLDER_SUMS)
        db.execute(FOLDER_REACH)
        seq, no, at_ms = self._pile.db.execute("SELECT seq, no, at_ms FROM top").fetchone()
        db.execute("UPDATE state SET seq = ?, last_no = ?, clock_ms = ?, files = ?, file_bytes = ?,"
                   " chunks = (SELECT count(*) FROM chunks),"
                   " chunk_bytes = (SELECT ifnull(sum(length), 0) FROM chunks),"
                   " missing_chunks = (SELECT count(*) FROM chunks WHERE copies < wanted)",
                   (seq, no, at_ms, self.sums.files, self.sums.bytes))

    def _lose(self, path: str, generation: int, why: str, *, is_lost: bool = True) -> None:
        self.sums.lost += is_lost
        self._pile.db.execute("INSERT INTO lost VALUES (?, ?, ?)", ("/" + path, generation, why))

    def _path(self, tree: _Tree, folder_no: int) -> str:
        parts = []
        while folder_no != ROOT_NO:
            record = tree.folders[folder_no]
            parts.append(record.key)
            folder_no = record.parent
        return "".join(reversed(parts))

    def _bucket(self, tree: _Tree, folder_no: int) -> int:
        while (record := tree.folders[folder_no]).parent != ROOT_NO:
            folder_no = record.parent
        return folder_no
