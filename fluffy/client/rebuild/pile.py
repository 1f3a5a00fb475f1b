"""What all nodes' manifests say, on one pile: a SQLite file on this machine, so memory does not grow with the tree.

Of each place every different thing that was ever said is kept, with the position of the last time it was said, and
which nodes said it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
from blake3 import blake3

from fluffy.core.metadata.manifest import (
    AnewManifest,
    BucketManifest,
    FileManifest,
    FolderManifest,
    GoneManifest,
    HeadManifest,
    Manifest,
    MarkManifest,
    UserManifest,
)
from fluffy.wire.manifest_records import Damage, decode_body, encode_manifest, read_segment

FILE, FOLDER, GONE = 2, 3, 4
_CONTENT_BYTES = 16
# Bits of an integer of SQLite.
NODES_MAX = 62
_TABLES = (
    """
CREATE TABLE IF NOT EXISTS said (
    parent      INTEGER NOT NULL,
    key         TEXT NOT NULL,
    content     BLOB NOT NULL,      -- hash of what stands there
    seq         INTEGER NOT NULL,   -- the last position at which somebody saw it there as the current thing
    kind        INTEGER NOT NULL,
    no          INTEGER NOT NULL,
    generation  INTEGER NOT NULL,
    nodes       INTEGER NOT NULL,   -- who says so, a bit each
    body        BLOB NOT NULL,
    PRIMARY KEY (parent, key, content)
)""",
    "CREATE TABLE IF NOT EXISTS anew (parent INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS people (kind INTEGER, no INTEGER, seq INTEGER, body BLOB, PRIMARY KEY (kind, no))",
    "CREATE TABLE IF NOT EXISTS held (chunk_id BLOB, node_no INTEGER, PRIMARY KEY (chunk_id, node_no)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS needed (chunk_id BLOB PRIMARY KEY, length INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS last_place (no INTEGER PRIMARY KEY, seq INTEGER, parent INTEGER, key TEXT)",
    "CREATE TABLE IF NOT EXISTS lost (path TEXT, generation INTEGER, why TEXT)",
    "CREATE TABLE IF NOT EXISTS top (one INTEGER PRIMARY KEY, seq INTEGER, no INTEGER, at_ms INTEGER)",
    "INSERT OR IGNORE INTO top VALUES (1, 0, 0, 0)",
)
_SAY = """
INSERT INTO said VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (parent, key, content) DO UPDATE SET seq = max(seq, excluded.seq), nodes = nodes | excluded.nodes"""
_TELL = """
INSERT INTO people VALUES (?, ?, ?, ?)
    ON CONFLICT (kind, no) DO UPDATE SET seq = excluded.seq, body = excluded.body WHERE excluded.seq > seq"""


@dataclass(slots=True)
class NodeStock:
    """What was found on one node. `whole_seq`: what it says nothing about did not exist at that position; None: it
    cannot say that, because its series was not whole or is damaged.
    """

    name: str
    whole_seq: int | None = None
    segments: int = 0
    records: int = 0
    damaged_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was said of a place."""

    seq: int
    kind: int
    no: int
    generation: int
    nodes: int
    body: bytes

    def record(self) -> Manifest | HeadManifest | None:
        return decode_body(self.body)


@dataclass(slots=True)
class _Series:
    """What the segments of one series of one node add up to. `heads`, `ends`: the first and last mark of each."""

    heads: dict[int, MarkManifest] = field(default_factory=dict)
    ends: dict[int, MarkManifest] = field(default_factory=dict)
    last: MarkManifest | None = None
    last_number: int = 0
    damaged: bool = False

    def is_joined(self) -> bool:
        """Whether all segments are there, each to its end: the next one says how far it was."""
        return len(self.heads) == self.last_number and all(
            self.ends.get(number - 1) == self.heads.get(number) for number in range(2, self.last_number + 1))


class Pile:
    """The pile in one file; a context manager would hide when it is removed, so `close` it."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA synchronous=OFF")
        self.db.execute("PRAGMA journal_mode=MEMORY")
        for statement in _TABLES:
            self.db.execute(statement)
        self._series: dict[tuple[int, int], _Series] = {}

    def close(self) -> None:
        self.db.close()

    def add(self, node: int, stock: NodeStock, data: bytes) -> None:
        """Take one segment of the node with that bit."""
        damage = Damage()
        series: _Series | None = None
        number = seen_damage = top_no = 0
        top_seq = top_ms = 0
        self.db.execute("BEGIN")
        for _, record in read_segment(data, damage):
            stock.records += 1
            if isinstance(record, HeadManifest):
                series = self._series.setdefault((node, record.series), _Series())
                number, mark = record.number, record.mark
                series.heads[number] = series.ends[number] = mark
                if number >= series.last_number:
                    series.last, series.last_number = mark, number
            elif isinstance(record, MarkManifest):
                if series is not None:
                    series.ends[number] = record
                    if number == series.last_number:
                        series.last = record
                top_seq, top_ms = max(top_seq, record.seq), max(top_ms, record.at_ms)
            else:
                top_no = max(top_no, self._take(1 << node, record))
            if damage.places > seen_damage:  # and something good came after it: no torn end
                seen_damage = damage.places
                if series is not None:
                    series.damaged = True
        self.db.execute("UPDATE top SET seq = max(seq, ?), no = max(no, ?), at_ms = max(at_ms, ?)",
                        (top_seq, top_no, top_ms))
        self.db.execute("COMMIT")
        stock.segments += 1
        stock.damaged_bytes += damage.bytes

    def finish(self, node: int, stock: NodeStock) -> None:
        """All segments of the node were added: what does it know for sure?"""
        for (whose, _), series in self._series.items():
            whole = (series.last is not None and series.last.building is None and not series.damaged
                     and series.is_joined())
            if whose == node and whole and series.last is not None:
                stock.whole_seq = max(stock.whole_seq or 0, series.last.seq)

    def _take(self, bit: int, record: Manifest) -> int:
        """Put one record on the pile; the highest number in it."""
        match record:
            case FileManifest():
                content = _content((record.no, record.version_no, record.generation, record.size, record.blake3,
                                    record.etag, record.content_type, record.owner_no, record.modified_ms,
                                    record.meta_version, dict(record.meta), dict(record.tags), record.chunks))
                seq = record.seq if record.is_current else 0
                self.db.execute(_SAY, (record.parent, record.key, content, seq, FILE, record.no, record.generation,
                                       bit, encode_manifest(record)[8:]))
                return max(record.no, record.version_no, *(part[0] for part in record.chunks))
            case FolderManifest():
                content = _content((record.no, record.owner_no, record.created_ms))
                self.db.execute(_SAY, (record.parent, record.key, content, record.seq, FOLDER, record.no, 0, bit,
                                       encode_manifest(record)[8:]))
                return record.no
            case GoneManifest(seq, parent, key):
                self.db.execute(_SAY, (parent, key, b"", seq, GONE, 0, 0, bit, b""))
            case AnewManifest(seq, parent):
                self.db.execute("INSERT INTO anew VALUES (?, ?) ON CONFLICT (parent) DO UPDATE"
                                " SET seq = max(seq, excluded.seq)", (parent, seq))
            case UserManifest(seq, no):
                self.db.execute(_TELL, (5, no, seq, encode_manifest(record)[8:]))
                return no
            case BucketManifest(seq, no):
                self.db.execute(_TELL, (6, no, seq, encode_manifest(record)[8:]))
                return no
            case MarkManifest():
                return 0
        return 0

    def places(self) -> Iterator[tuple[int, str, list[Said]]]:
        """Every place with what was said of it, the newest first; of one moment what most nodes say."""
        anew: dict[int, int] = dict(self.db.execute("SELECT parent, seq FROM anew"))
        place: tuple[int, str] | None = None
        said: list[Said] = []
        for parent, key, *row in self.db.execute(
                "SELECT parent, key, seq, kind, no, generation, nodes, body FROM said ORDER BY parent, key"):
            if (parent, key) != place:
                if place is not None and said:
                    yield *place, _sorted(said)
                place, said = (parent, key), []
            one = Said(*row)
            if one.seq >= anew.get(parent, 0) or one.seq == 0:
                said.append(one)
        if place is not None and said:
            yield *place, _sorted(said)


def _sorted(said: list[Said]) -> list[Said]:
    return sorted(said, key=lambda one: (-one.seq, -one.nodes.bit_count(), -one.generation))


def _content(values: tuple[object, ...]) -> bytes:
    return blake3(msgpack.packb(values)).digest(_CONTENT_BYTES)
