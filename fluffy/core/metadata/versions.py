"""Versions of files: immutable rows, retired when replaced or deleted, freed when no rule keeps them any more.

Freeing a version of a large file touches thousands of chunks, so it is never done where a version is condemned:
condemned rows get `retired_ms` 0, and every later change frees a few (`sweep`), as does the leader's ExpireVersions.
"""

from __future__ import annotations

from fluffy.base.ids import UserNo
from fluffy.core.metadata import changes, chunk_table, tree
from fluffy.core.metadata.commands import PutFile
from fluffy.core.metadata.packing import pack_etag, pack_texts
from fluffy.core.metadata.working import Working

CONDEMNED_MS = 0
# A version of a 100 GiB file has 12,800 chunks, about 0.1 s to free; the log must not pause longer in one command.
SWEEP_CHUNKS_MAX = 4_096
# What one update pays: more than the one version it may condemn, so a backlog shrinks.
SWEEP_VERSIONS_BY_UPDATE = 2
SWEEP_CHUNKS_BY_UPDATE = 64
# A purge frees most files whole at once.
SWEEP_VERSIONS_BY_PURGE = 128


def add(work: Working, command: PutFile, *, file_no: int, generation: int, owner_no: UserNo,
        manifest: bytes | None) -> int:
    """Store the version of a put; returns its number."""
    version_no = work.next_no()
    inline = None if manifest is not None else command.inline or b""
    work.db.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?)",
                    (version_no, file_no, generation, command.size, command.blake3, pack_etag(command.etag),
                     command.content_type, owner_no, work.clock_ms, pack_texts(command.meta), pack_texts(command.tags),
                     manifest, inline))
    return version_no


def retire(work: Working, version_no: int) -> None:
    """The version is not current any more; the rules decide how long it is kept."""
    # At least 1: 0 means condemned.
    work.db.execute("UPDATE versions SET retired_ms = ? WHERE version_no = ?", (max(1, work.clock_ms), version_no))


def condemn(work: Working, file_no: int, *, generation_max: int) -> None:
    """Let retired versions of a file up to a generation be freed now."""
    work.db.execute("UPDATE versions SET retired_ms = 0 WHERE file_no = ? AND generation <= ?"
                    " AND retired_ms IS NOT NULL AND retired_ms > 0", (file_no, generation_max))


def sweep(work: Working, *, retired_ms_max: int, versions_max: int, chunks_max: int) -> tuple[int, bool]:
    """Free versions retired at or before `retired_ms_max`, oldest first, within both bounds.

    Returns how many, and whether a bound (not the end of the work) stopped it. The first one is freed whatever its
    size, so that sweeping always gets on.
    """
    rows = work.db.execute(
        "SELECT version_no, file_no, owner_no, ifnull(length(manifest), 0) FROM versions WHERE retired_ms IS NOT NULL"
        " AND retired_ms <= ? ORDER BY retired_ms, version_no LIMIT ?", (retired_ms_max, versions_max)).fetchall()
    freed = 0
    chunks = 0
    for version_no, file_no, owner_no, manifest_bytes in rows:
        chunks += manifest_bytes // 8
        if freed and chunks > chunks_max:
            break
        if manifest_bytes:
            row = work.db.execute("SELECT manifest FROM versions WHERE version_no = ?", (version_no,)).fetchone()
            chunk_table.release(work, row[0])
        work.db.execute("DELETE FROM versions WHERE version_no = ?", (version_no,))
        freed += 1
        _forget_if_last(work, file_no, owner_no)
    return freed, len(rows) == versions_max or freed < len(rows)


def _forget_if_last(work: Working, file_no: int, owner_no: UserNo) -> None:
    """Drop the tomb of a deleted file whose last version was freed."""
    tomb = work.db.execute("SELECT parent, key, generation FROM tombs WHERE no = ?", (file_no,)).fetchone()
    if tomb is None or work.db.execute("SELECT 1 FROM versions WHERE file_no = ? AND retired_ms IS NOT NULL LIMIT 1",
                                       (file_no,)).fetchone():
        return
    parent, key, generation = tomb
    folder = work.folders.get(parent)
    path = tree.path_in(work, folder, key)
    tree.drop_tomb(work, folder, key)
    changes.record(work, changes.FILE_PURGED, path, generation=generation, size=0, owner_no=owner_no)
