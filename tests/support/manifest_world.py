"""Manifests without a keeper: a writer that follows a state in memory, and a restore from what several wrote."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from fluffy.base.ids import NodeNo
from fluffy.client.rebuild.pile import NodeStock, Pile
from fluffy.client.rebuild.salvage import Salvage
from fluffy.core.metadata.manifest import HeadManifest, Manifest, MarkManifest
from fluffy.core.metadata.queries_manifests import all_manifests, manifest_changes, people_manifests
from fluffy.wire.manifest_records import MAGIC, encode_manifest


class Writer:
    """What one node writes; `follow` and `build` take one piece each, as the keeper does."""

    def __init__(self, db: sqlite3.Connection, limit: int = 3) -> None:
        self.db = db
        self.limit = limit
        self.series = 0
        self.records: list[Manifest] = []
        self.mark = MarkManifest(0, 0)
        self.anew()

    def anew(self) -> None:
        (seq,) = self.db.execute("SELECT seq FROM state").fetchone()
        self.series += 1
        self.records = []
        self.mark = MarkManifest(seq, 0, (0, ""))
        self.first = self.mark

    def follow(self) -> bool:
        changes = manifest_changes(self.db, self.mark.seq, self.limit)
        if changes.anew:
            self.anew()
            return True
        self._add(changes.records, MarkManifest(changes.seq, 0, self.mark.building))
        return changes.more

    def build(self) -> bool:
        if self.mark.building is None:
            return False
        records, following = all_manifests(self.db, self.mark.building, self.limit)
        self._add(records, MarkManifest(self.mark.seq, 0, following))
        return following is not None

    def catch_up(self) -> None:
        while self.follow() or self.build():
            continue
        self.records += people_manifests(self.db)

    def _add(self, records: Sequence[Manifest], mark: MarkManifest) -> None:
        self.records += [*records, mark]
        self.mark = mark

    def segment(self) -> bytes:
        head = encode_manifest(HeadManifest("u", self.series, 1, self.first))
        return MAGIC + head + b"".join(map(encode_manifest, self.records))


def salvage(segments: Sequence[bytes], folder: Path, held: Sequence[tuple[bytes, int]] | None = None,
            ) -> tuple[sqlite3.Connection, Salvage, Pile]:
    """The state made of what each node wrote. `held`: chunk and node; None: node 1 holds all that is needed."""
    pile = Pile(folder / "pile")
    stocks = [NodeStock(str(number)) for number in range(len(segments))]
    for bit, data in enumerate(segments):
        pile.add(bit, stocks[bit], data)
        pile.finish(bit, stocks[bit])
    found = Salvage(pile, stocks)
    found.note_needed()
    if held is None:
        held = [(chunk_id, 1) for (chunk_id,) in pile.db.execute("SELECT chunk_id FROM needed").fetchall()]
    pile.db.executemany("INSERT INTO held VALUES (?, ?)", [(chunk_id, NodeNo(no)) for chunk_id, no in held])
    db = sqlite3.connect(":memory:", isolation_level=None)
    found.build(db, replication=3)
    return db, found, pile


def tree_of(segments: Sequence[bytes], folder: Path) -> str:
    """The digest of the tree that comes of them."""
    from fluffy.core.metadata.tree_digest import tree_digest
    db, _, pile = salvage(segments, folder)
    with closing(db), closing(pile):
        return tree_digest(db).tree
