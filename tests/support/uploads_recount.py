"""A plain recount of upload sessions: their sums, and that every part belongs to a session or waits to be freed."""

from __future__ import annotations

import sqlite3
from collections import Counter

from fluffy.core.metadata.packing import unpack_manifest


def part_references(db: sqlite3.Connection) -> Counter[int]:
    """How often parts refer to each chunk."""
    refs: Counter[int] = Counter()
    for (manifest,) in db.execute("SELECT manifest FROM upload_parts"):
        refs.update(unpack_manifest(manifest))
    return refs


def check_uploads(db: sqlite3.Connection) -> None:
    """Assert that every session's sums equal their recount."""
    owned: Counter[int] = Counter()
    for no, upload_id, parts, chunks, size, expires_ms, begun_ms in db.execute(
            "SELECT upload_no, upload_id, parts, chunks, bytes, expires_ms, begun_ms FROM uploads").fetchall():
        rows = db.execute("SELECT number, size, manifest FROM upload_parts WHERE upload_no = ?", (no,)).fetchall()
        assert len(upload_id) == 16 and expires_ms >= begun_ms
        assert (parts, size) == (len(rows), sum(row[1] for row in rows))
        assert chunks == sum(len(row[2]) // 8 for row in rows)
        owned[no] = len(rows)
    ended = {row[0] for row in db.execute("SELECT upload_no FROM ended_uploads")}
    assert not ended & set(owned), "a session lives or has ended"
    for no, number, size, manifest in db.execute("SELECT upload_no, number, size, manifest FROM upload_parts"):
        assert no in owned or no in ended, "every part is somebody's"
        assert 1 <= number <= 10_000
        lengths = [db.execute("SELECT length FROM chunks WHERE chunk_no = ?", (chunk,)).fetchone()[0]
                   for chunk in unpack_manifest(manifest)]
        assert sum(lengths) == size
    names = [row[0] for row in db.execute("SELECT upload_id FROM uploads UNION ALL"
                                          " SELECT upload_id FROM finished_uploads")]
    assert len(names) == len(set(names)), "a finished session is not open"
