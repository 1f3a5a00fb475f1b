"""A slow, plain recount of everything the state machine keeps incrementally; the oracle of its tests."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any

from fluffy.core.metadata.packing import unpack_manifest, unpack_nodes
from tests.support.jobs_recount import check_jobs
from tests.support.people_recount import check_people
from tests.support.s3_recount import check_s3
from tests.support.uploads_recount import check_uploads, part_references


def check_state(db: sqlite3.Connection) -> None:
    """Assert that every counter equals its recount and every reference leads somewhere."""
    state = _rows(db, "SELECT * FROM state")[0]
    _check_chunks(db, state)
    _check_folders(db)
    _check_files(db, state)
    _check_numbers(db, state)
    check_people(db)
    check_uploads(db)
    check_s3(db)
    check_jobs(db)


def _rows(db: sqlite3.Connection, query: str, *values: Any) -> list[dict[str, Any]]:
    cursor = db.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _check_chunks(db: sqlite3.Connection, state: dict[str, Any]) -> None:
    settings = _rows(db, "SELECT replication FROM cluster")
    rules = [row[0] for row in db.execute("SELECT replication FROM bucket_rules WHERE replication IS NOT NULL")]
    refs = part_references(db)
    for (manifest,) in db.execute("SELECT manifest FROM versions WHERE manifest IS NOT NULL"):
        refs.update(unpack_manifest(manifest))
    chunks = _rows(db, "SELECT * FROM chunks")
    retired = dict(db.execute("SELECT node_no, strip_after FROM retired_nodes").fetchall())
    assert not set(retired) & {row[0] for row in db.execute("SELECT node_no FROM nodes")}
    node_chunks: Counter[int] = Counter()
    node_bytes: Counter[int] = Counter()
    missing = set()
    for chunk in chunks:
        nodes = unpack_nodes(chunk["replicas"])
        assert chunk["refs"] == refs.pop(chunk["chunk_no"], 0)
        assert list(nodes) == sorted(set(nodes)) and chunk["copies"] == len(nodes)
        least = min([settings[0]["replication"], *rules])
        assert chunk["wanted"] == 0 if chunk["refs"] == 0 else chunk["wanted"] >= least
        assert (chunk["free_since_ms"] is None) == (chunk["refs"] > 0)
        for node in nodes:
            if node in retired:
                assert retired[node] is not None and chunk["chunk_no"] > retired[node], "it was taken out"
                continue
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
    folders = {row["folder_no"]: row for row in _rows(db, "SELECT * FROM folders")}
    entries = Counter(row[0] for row in db.execute("SELECT parent FROM entries"))
    tombs = Counter(row[0] for row in db.execute("SELECT parent FROM tombs"))
    reaping = {row[0] for row in db.execute("SELECT folder_no FROM reaping")}
    assert set(entries) | set(tombs) | reaping <= set(folders)
    for no, folder in folders.items():
        assert folder["entries"] == entries[no] and folder["tombs"] == tombs[no]
        if no == 0:
            continue
        assert folder["parent"] in folders and folder["key"].endswith("/")
        place = (folder["parent"], folder["key"])
        shown = db.execute("SELECT 1 FROM entries WHERE parent = ? AND key = ? AND no = ?", (*place, no)).fetchone()
        buried = db.execute("SELECT parent, key, generation, expires_ms FROM tombs WHERE no = ?", (no,)).fetchone()
        if no in reaping:
            assert folder["removed"] and folder["parent"] == 0 and shown is None and buried is None
        elif folder["removed"]:
            assert shown is None and buried[:3] == (*place, 0)
            assert buried[3] is not None or (not folder["entries"] and folder["tombs"])
        else:
            assert shown == (1,) and buried is None
    listed = [row[0] for row in db.execute("SELECT no FROM entries WHERE version_no = 0")]
    buried_nos = [row[0] for row in db.execute("SELECT no FROM tombs WHERE generation = 0")]
    assert sorted(listed + buried_nos + sorted(reaping)) == sorted(no for no in folders if no)
    _check_sums(db, folders)


def _check_sums(db: sqlite3.Connection, folders: dict[int, dict[str, Any]]) -> None:
    """Every folder counts what is below it; one that is being freed counts nothing any more."""
    below: dict[int, list[dict[str, Any]]] = {no: [] for no in folders}
    for file in _rows(db, "SELECT parent, size, generation FROM entries WHERE version_no != 0"):
        no = file["parent"]
        below[no].append(file)
        while no and not folders[no]["removed"]:
            no = folders[no]["parent"]
            below[no].append(file)
    gone = {row[0] for row in db.execute("SELECT folder_no FROM reaping")}
    for no, folder in folders.items():
        if no in gone or _reaped_above(folders, no, gone):
            continue
        if no == 0:
            assert (folder["files"], folder["bytes"], folder["top"], folder["reach"]) == (0, 0, 0, 0)
            continue
        assert (folder["files"], folder["bytes"]) == (len(below[no]), sum(file["size"] for file in below[no]))
        assert folder["top"] >= max((file["generation"] for file in below[no]), default=0)


def _reaped_above(folders: dict[int, dict[str, Any]], no: int, gone: set[int]) -> bool:
    while no:
        no = folders[no]["parent"]
        if no in gone:
            return True
    return False


def _check_files(db: sqlite3.Connection, state: dict[str, Any]) -> None:
    hidden = _hidden_folders(db)
    files = _rows(db, "SELECT * FROM entries WHERE version_no != 0")
    shown = [file for file in files if file["parent"] not in hidden]
    assert state["files"] == len(shown) and state["file_bytes"] == sum(file["size"] for file in shown)
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
        kept = db.execute("SELECT count(*) FROM versions WHERE file_no = ? AND expires_ms > 0", (file["no"],))
        if not db.execute("SELECT 1 FROM bucket_rules").fetchone():
            assert kept.fetchone()[0] < versions_max, "what the rule does not keep is condemned"
        current.add(file["version_no"])
    for version in _rows(db, "SELECT * FROM versions"):
        assert (version["retired_ms"] is None) == (version["version_no"] in current)
        assert (version["expires_ms"] is None) == (version["retired_ms"] is None) and version["retired_ms"] != 0
        assert (version["manifest"] is None) != (version["inline"] is None)
        if version["inline"] is not None:
            assert len(version["inline"]) == version["size"]
    for tomb in _rows(db, "SELECT * FROM tombs WHERE generation != 0"):
        assert not tomb["key"].endswith("/")
        newest = db.execute("SELECT max(generation) FROM versions WHERE file_no = ?", (tomb["no"],)).fetchone()[0]
        assert newest is not None and newest <= tomb["generation"], "a tomb stands while a version is kept"


def _hidden_folders(db: sqlite3.Connection) -> set[int]:
    """Folders in the trash or being freed, with all that is below them."""
    hidden = {row[0] for row in db.execute("SELECT folder_no FROM folders WHERE removed")}
    waiting = sorted(hidden)
    while waiting:
        inside = [row[0] for row in db.execute("SELECT no FROM entries WHERE parent = ? AND version_no = 0",
                                               (waiting.pop(),))]
        hidden |= set(inside)
        waiting += inside
    return hidden


def _check_numbers(db: sqlite3.Connection, state: dict[str, Any]) -> None:
    used = [row[0] for row in db.execute(
        "SELECT folder_no FROM folders WHERE folder_no UNION ALL SELECT version_no FROM versions"
        " UNION ALL SELECT chunk_no FROM chunks UNION ALL SELECT no FROM entries WHERE version_no != 0"
        " UNION ALL SELECT no FROM tombs WHERE generation != 0"
        " UNION ALL SELECT upload_no FROM uploads UNION ALL SELECT upload_no FROM ended_uploads")]
    assert len(used) == len(set(used)) and max(used, default=0) <= state["last_no"]
    seqs = [row[0] for row in db.execute("SELECT seq FROM changes ORDER BY seq")]
    assert not seqs or (state["changes_cut"] < seqs[0] and seqs[-1] <= state["seq"])
    requests = db.execute("SELECT no, at_ms FROM requests ORDER BY no").fetchall()
    assert [at_ms for _, at_ms in requests] == sorted(at_ms for _, at_ms in requests)
    assert len({row[0] for row in db.execute("SELECT request_id FROM requests")}) == len(requests)
    assert not requests or requests[-1][0] == state["request_no"]
