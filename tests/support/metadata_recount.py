"""A slow, plain recount of everything the state machine keeps incrementally; the oracle of its tests."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any

from fluffy.core.metadata.packing import unpack_manifest, unpack_nodes

FOLDER_COLUMNS = ("no", "parent", "key", "owner_no", "created_ms", "entries", "tombs", "floor", "removed")


def check_state(db: sqlite3.Connection) -> None:
    """Assert that every counter equals its recount and every reference leads somewhere."""
    state = _rows(db, "SELECT * FROM state")[0]
    _check_chunks(db, state)
    _check_folders(db)
    _check_files(db, state)
    _check_numbers(db, state)


def _rows(db: sqlite3.Connection, query: str, *values: Any) -> list[dict[str, Any]]:
    cursor = db.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _check_chunks(db: sqlite3.Connection, state: dict[str, Any]) -> None:
    settings = _rows(db, "SELECT replication FROM cluster")
    refs: Counter[int] = Counter()
    for (manifest,) in db.execute("SELECT manifest FROM versions WHERE manifest IS NOT NULL"):
        refs.update(unpack_manifest(manifest))
    chunks = _rows(db, "SELECT * FROM chunks")
    node_chunks: Counter[int] = Counter()
    node_bytes: Counter[int] = Counter()
    missing = set()
    for chunk in chunks:
        nodes = unpack_nodes(chunk["replicas"])
        assert chunk["refs"] == refs.pop(chunk["chunk_no"], 0)
        assert list(nodes) == sorted(set(nodes)) and chunk["copies"] == len(nodes)
        assert chunk["wanted"] == (settings[0]["replication"] if chunk["refs"] else 0)
        assert (chunk["free_since_ms"] is None) == (chunk["refs"] > 0)
        for node in nodes:
            node_chunks[node] += 1
            node_bytes[node] += chunk["length"]
        if chunk["refs"] and len(nodes) < chunk["wanted"]:
            missing.add(chunk["chunk_id"])
    assert not refs, "every manifest leads to known chunks"
    indexed = {row[0] for row in db.execute("SELECT chunk_id FROM chunks INDEXED BY chunks_missing"
                                            " WHERE copies < wanted")}
    assert indexed == missing and state["missing_chunks"] == len(missing)
    assert state["chunks"] == len(chunks) and state["chunk_bytes"] == sum(chunk["length"] for chunk in chunks)
    for node_no, count, size in db.execute("SELECT node_no, chunks, bytes FROM nodes"):
        assert (count, size) == (node_chunks.pop(node_no, 0), node_bytes[node_no])
    assert not node_chunks, "only members hold chunks"


def _check_folders(db: sqlite3.Connection) -> None:
    folders = {row[0]: dict(zip(FOLDER_COLUMNS, row, strict=True)) for row in db.execute("SELECT * FROM folders")}
    entries = Counter(row[0] for row in db.execute("SELECT parent FROM entries"))
    tombs = Counter(row[0] for row in db.execute("SELECT parent FROM tombs"))
    assert set(entries) | set(tombs) <= set(folders)
    for no, folder in folders.items():
        assert folder["entries"] == entries[no] and folder["tombs"] == tombs[no]
        if no == 0:
            continue
        assert folder["parent"] in folders and folder["key"].endswith("/")
        place = (folder["parent"], folder["key"])
        shown = db.execute("SELECT no FROM entries WHERE parent = ? AND key = ?", place).fetchone()
        buried = db.execute("SELECT no, generation FROM tombs WHERE parent = ? AND key = ?", place).fetchone()
        if folder["removed"]:
            assert buried == (no, 0) and shown is None and not folder["entries"] and folder["tombs"]
        else:
            assert shown == (no,) and buried is None and not folders[folder["parent"]]["removed"]
    listed = [row[0] for row in db.execute("SELECT no FROM entries WHERE version_no = 0")]
    buried_nos = [row[0] for row in db.execute("SELECT no FROM tombs WHERE generation = 0")]
    assert sorted(listed + buried_nos) == sorted(no for no in folders if no)


def _check_files(db: sqlite3.Connection, state: dict[str, Any]) -> None:
    files = _rows(db, "SELECT * FROM entries WHERE version_no != 0")
    assert state["files"] == len(files) and state["file_bytes"] == sum(file["size"] for file in files)
    current = set()
    for file in files:
        [version] = _rows(db, "SELECT * FROM versions WHERE version_no = ?", file["version_no"])
        assert version["file_no"] == file["no"] and version["retired_ms"] is None
        for name in ("generation", "size", "etag", "content_type", "owner_no", "modified_ms"):
            assert version[name] == file[name]
        newer = db.execute("SELECT count(*) FROM versions WHERE file_no = ? AND generation >= ?",
                           (file["no"], file["generation"])).fetchone()[0]
        assert newer == 1, "the current version is the newest"
        [versions_max] = db.execute("SELECT versions_max FROM cluster").fetchone()
        kept = db.execute("SELECT count(*) FROM versions WHERE file_no = ? AND retired_ms > 0", (file["no"],))
        assert kept.fetchone()[0] < versions_max, "what the rule does not keep is condemned"
        current.add(file["version_no"])
    for version in _rows(db, "SELECT * FROM versions"):
        assert (version["retired_ms"] is None) == (version["version_no"] in current)
        assert (version["manifest"] is None) != (version["inline"] is None)
        if version["inline"] is not None:
            assert len(version["inline"]) == version["size"]
    for tomb in _rows(db, "SELECT * FROM tombs WHERE generation != 0"):
        assert not tomb["key"].endswith("/")
        newest = db.execute("SELECT max(generation) FROM versions WHERE file_no = ?", (tomb["no"],)).fetchone()[0]
        assert newest == tomb["generation"], "a tomb stands while its last version is kept"


def _check_numbers(db: sqlite3.Connection, state: dict[str, Any]) -> None:
    used = [row[0] for row in db.execute(
        "SELECT folder_no FROM folders WHERE folder_no UNION ALL SELECT version_no FROM versions"
        " UNION ALL SELECT chunk_no FROM chunks UNION ALL SELECT no FROM entries WHERE version_no != 0"
        " UNION ALL SELECT no FROM tombs WHERE generation != 0")]
    assert len(used) == len(set(used)) and max(used, default=0) <= state["last_no"]
    seqs = [row[0] for row in db.execute("SELECT seq FROM changes ORDER BY seq")]
    assert not seqs or (state["changes_cut"] < seqs[0] and seqs[-1] <= state["seq"])
    requests = db.execute("SELECT no, at_ms FROM requests ORDER BY no").fetchall()
    assert [at_ms for _, at_ms in requests] == sorted(at_ms for _, at_ms in requests)
    assert len({row[0] for row in db.execute("SELECT request_id FROM requests")}) == len(requests)
    assert not requests or requests[-1][0] == state["request_no"]
